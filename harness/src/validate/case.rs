//! What a validation gave: for each workload and number of processes the runs of both worlds, and how far apart they are.

use serde::{Deserialize, Serialize};

use crate::machine::median;

/// How far the simulated median may be from the real one.
pub const TOLERANCE: f64 = 0.25;

/// All that `pso validate` measured.
#[derive(Clone, Serialize, Deserialize)]
pub struct Numbers {
    /// Rounds: runs of each case in each world.
    pub rounds: u32,
    /// Transactions of a run, of all processes together.
    pub transactions: u64,
    /// Chose the cells.
    pub seed: u64,
    /// By workload and processes.
    pub cases: Vec<Case>,
}

/// One workload on so many processes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Case {
    /// Name of the trace's kind.
    pub workload: String,
    /// How many.
    pub processes: u32,
    /// Commits a second, each round.
    pub real: Vec<f64>,
    /// The same of the simulated machine.
    pub simulated: Vec<f64>,
    /// Each round.
    pub real_attempts_per_commit: Vec<f64>,
    /// Each round.
    pub simulated_attempts_per_commit: Vec<f64>,
    /// What a load of a line that the other core has changed took, ns, each round: how far apart the cores were then. Older
    /// files do not have it.
    #[serde(default)]
    pub transfer_ns: Vec<f64>,
    /// Of the medians of commits a second: simulated over real, less 1.
    pub error: f64,
}

impl Case {
    /// One without any run.
    pub fn new(workload: &str, processes: u32) -> Self {
        Self {
            workload: workload.into(),
            processes,
            real: Vec::new(),
            simulated: Vec::new(),
            real_attempts_per_commit: Vec::new(),
            simulated_attempts_per_commit: Vec::new(),
            transfer_ns: Vec::new(),
            error: 0.0,
        }
    }

    /// Computes the error from the runs.
    pub fn settle(&mut self) {
        self.error = median(&self.simulated) / median(&self.real) - 1.0;
    }

    /// Whether the simulated median is near enough.
    pub fn holds(&self) -> bool {
        self.error.abs() <= TOLERANCE
    }
}

/// The value below which a part of `runs` lies; 0 of none.
pub fn quantile(runs: &[f64], part: f64) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len() as f64 - 1.0) * part).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_medians_and_has_a_limit() {
        let mut case = Case::new("counter", 2);
        (case.real, case.simulated) = (vec![1.0, 4.0, 5.0], vec![9.0, 5.0, 1.0]);
        case.settle();
        assert!((case.error - 0.25).abs() < 1e-9 && case.holds());
        case.simulated = vec![5.1];
        case.settle();
        assert!(!case.holds());
        assert_eq!((quantile(&[3.0, 1.0, 2.0], 0.25), quantile(&[], 0.5)), (2.0, 0.0));
    }
}
