//! One `std::sync::Mutex` around all variables: what most programs do, and the floor for a single thread.
//!
//! Fair use: the variables stand in one vector behind the lock, so that a transaction is one lock and one unlock. It gives no
//! isolation between parts of the data, serves one process only, and a thread that is killed inside leaves it locked.

use std::sync::{Mutex, MutexGuard};

use pso_harness::failure::Failure;

use super::{Actor, World};

/// The lock and what it protects.
pub struct StdMutex(Mutex<Vec<i64>>);

/// One thread.
pub struct Hand<'world> {
    world: &'world StdMutex,
    attempts: u64,
}

impl World for StdMutex {
    type Actor<'world> = Hand<'world>;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self(Mutex::new(vec![0; variables])))
    }
    fn actor(&self) -> Result<Hand<'_>, Failure> {
        Ok(Hand { world: self, attempts: 0 })
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        Ok(locked(&self.0)?.clone())
    }
}

fn locked(mutex: &Mutex<Vec<i64>>) -> Result<MutexGuard<'_, Vec<i64>>, Failure> {
    mutex.lock().map_err(|_| Failure::Wrong("a thread panicked while it held the mutex".into()))
}

impl Actor for Hand<'_> {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = locked(&self.world.0)?;
        variables.iter().for_each(|variable| values[*variable] += 1);
        Ok(())
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.attempts += 1;
        let mut values = locked(&self.world.0)?;
        values[from] -= 1;
        values[to] += 1;
        Ok(())
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(locked(&self.world.0)?[variable])
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        self.attempts += 1;
        Ok(locked(&self.world.0)?.iter().sum())
    }
    fn attempts(&self) -> u64 {
        self.attempts
    }
}
