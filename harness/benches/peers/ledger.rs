//! What variables hold after so many operations: by the same draws again, and nobody beside.

use pso_harness::failure::Failure;

use crate::contestant::Actor;
use crate::run::Case;

/// Variables that one works on alone.
struct Ledger(Vec<i64>);

/// What a run must have left whose participants have made so many changes each.
///
/// Cost: the operations, without transactions.
///
/// # Errors
/// None, but for those of a [`Role::step`](crate::workload::Role::step).
pub fn expected(case: &Case, changes: &[u64]) -> Result<Vec<i64>, Failure> {
    let mut ledger = Ledger(vec![0; case.workload.variables(case.participants)]);
    for (participant, changes) in (0..).zip(changes) {
        let mut role = case.workload.role(participant, case.participants, case.seed);
        // Bound: who has made a change has drawn one, and the draws are the same.
        while role.changes < *changes {
            role.step(&mut ledger)?;
        }
    }
    Ok(ledger.0)
}

impl Actor for Ledger {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        variables.iter().for_each(|variable| self.0[*variable] += 1);
        Ok(())
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.0[from] -= 1;
        self.0[to] += 1;
        Ok(())
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        Ok(self.0[variable])
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        Ok(self.0.iter().sum())
    }
    fn attempts(&self) -> u64 {
        0
    }
}
