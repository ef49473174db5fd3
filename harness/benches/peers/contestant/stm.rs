//! What `stm-core` and `fast-stm` have in common: all but their names. One has grown out of the other, and the interface stayed.

/// A contestant `$name` on the crate `$stm`.
macro_rules! contestant {
    ($name:ident, $stm:ident) => {
        use std::cell::Cell;

        use pso_harness::failure::Failure;
        use $stm::{TVar, atomically};

        use super::{Actor, World};

        /// The variables.
        pub struct $name(Vec<TVar<i64>>);

        /// One thread.
        pub struct Hand<'world> {
            variables: &'world [TVar<i64>],
            attempts: Cell<u64>,
        }

        impl World for $name {
            type Actor<'world> = Hand<'world>;

            fn new(variables: usize) -> Result<Self, Failure> {
                // One by one: a clone would be the same variable.
                Ok(Self((0..variables).map(|_| TVar::new(0)).collect()))
            }
            fn actor(&self) -> Result<Hand<'_>, Failure> {
                Ok(Hand { variables: &self.0, attempts: Cell::new(0) })
            }
            fn values(&self) -> Result<Vec<i64>, Failure> {
                Ok(self.0.iter().map(TVar::read_atomic).collect())
            }
        }

        impl Hand<'_> {
            fn count(&self) {
                self.attempts.set(self.attempts.get() + 1);
            }
        }

        impl Actor for Hand<'_> {
            fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
                atomically(|tx| {
                    self.count();
                    for variable in variables {
                        let variable = &self.variables[*variable];
                        let value = variable.read(tx)?;
                        variable.write(tx, value + 1)?;
                    }
                    Ok(())
                });
                Ok(())
            }
            fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
                let (from, to) = (&self.variables[from], &self.variables[to]);
                atomically(|tx| {
                    self.count();
                    let value = from.read(tx)?;
                    from.write(tx, value - 1)?;
                    let value = to.read(tx)?;
                    to.write(tx, value + 1)
                });
                Ok(())
            }
            fn read(&mut self, variable: usize) -> Result<i64, Failure> {
                self.count();
                Ok(self.variables[variable].read_atomic())
            }
            fn sum(&mut self) -> Result<i64, Failure> {
                Ok(atomically(|tx| {
                    self.count();
                    let mut sum = 0;
                    for variable in self.variables {
                        sum += variable.read(tx)?;
                    }
                    Ok(sum)
                }))
            }
            fn attempts(&self) -> u64 {
                self.attempts.get()
            }
        }
    };
}
pub(super) use contestant;
