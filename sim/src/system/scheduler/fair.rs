//! Who has run least goes first: the idea of Linux's fair schedulers, without weights, groups and deadlines.
//!
//! A woken thread takes the core at once if it has run less than the running one by more than a quarter of a slice. A sleeper
//! comes back with at most one slice less than the one who has run least, so that a long sleep is no claim to a long run.

use super::{Candidate, Scheduler};

/// Fair slices.
#[derive(Debug, Default)]
pub struct Fair;

impl Scheduler for Fair {
    fn name(&self) -> &'static str {
        "fair"
    }
    fn choose(&mut self, _now: u64, ready: &[Candidate]) -> usize {
        let least = ready.iter().min_by_key(|candidate| (candidate.ran, candidate.thread));
        least.map_or(0, |candidate| candidate.thread)
    }
    fn preempts(&self, woken: &Candidate, running: &Candidate, slice: u64) -> bool {
        woken.ran + slice / 4 < running.ran
    }
    fn credit_of_sleeper(&self, ran: u64, least_ran: u64, slice: u64) -> u64 {
        ran.max(least_ran.saturating_sub(slice))
    }
}
