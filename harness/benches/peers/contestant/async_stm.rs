//! The crate `async-stm`: a multi-version clock in the manner of TL2, variables behind locks and reference counts, the
//! transaction in a thread-local. `atomically` is a future that waits only when a body asks for a change (`retry`).
//!
//! Fair use: a `TVar<i64>` a variable. No body here asks for a change, so the future is through at its first poll, and the
//! simplest executor is the fairest: it is polled once, with a waker that does nothing; a runtime would only add to its
//! times. Were it not through, that would be reported. It has no read outside of a transaction. Threads of one process only.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_stm::{Stm, TVar, atomically};
use pso_harness::failure::Failure;

use super::{Actor, World};

/// The variables.
pub struct AsyncStm(Vec<TVar<i64>>);

/// One thread.
pub struct Hand<'world> {
    variables: &'world [TVar<i64>],
    attempts: Cell<u64>,
}

impl World for AsyncStm {
    type Actor<'world> = Hand<'world>;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self((0..variables).map(|_| TVar::new(0)).collect()))
    }
    fn actor(&self) -> Result<Hand<'_>, Failure> {
        Ok(Hand { variables: &self.0, attempts: Cell::new(0) })
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        let mut hand = self.actor()?;
        (0..self.0.len()).map(|variable| hand.read(variable)).collect()
    }
}

impl Hand<'_> {
    fn run<T>(&self, body: impl Fn() -> Stm<T>) -> Result<T, Failure> {
        let transaction = pin!(atomically(|| {
            self.attempts.set(self.attempts.get() + 1);
            body()
        }));
        match transaction.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => Err(Failure::Wrong("async-stm waits, though no body asked it to".into())),
        }
    }
}

impl Actor for Hand<'_> {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        self.run(|| {
            for variable in variables {
                let variable = &self.variables[*variable];
                let value = *variable.read()?;
                variable.write(value + 1)?;
            }
            Ok(())
        })
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        let (from, to) = (&self.variables[from], &self.variables[to]);
        self.run(|| {
            let value = *from.read()?;
            from.write(value - 1)?;
            let value = *to.read()?;
            to.write(value + 1)
        })
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        self.run(|| Ok(*self.variables[variable].read()?))
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        self.run(|| {
            let mut sum = 0;
            for variable in self.variables {
                sum += *variable.read()?;
            }
            Ok(sum)
        })
    }
    fn attempts(&self) -> u64 {
        self.attempts.get()
    }
}
