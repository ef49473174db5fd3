//! The oldest ready thread first; nobody loses its core before its slice is over.

use super::{Candidate, Scheduler};

/// First come, first served.
#[derive(Debug, Default)]
pub struct RoundRobin;

impl Scheduler for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }
    fn choose(&mut self, _now: u64, ready: &[Candidate]) -> usize {
        let first = ready.iter().min_by_key(|candidate| (candidate.since, candidate.thread));
        first.map_or(0, |candidate| candidate.thread)
    }
}
