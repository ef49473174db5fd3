//! The enemy: takes the core from whoever has just locked a cell, and lets the oldest transaction wait longest.
//!
//! A holder loses its core for a slice right after it has got a lock, as if a foreign process had come; not every time, for
//! then nothing but that would be seen, but once in [`ONE_IN`] locks, by a seeded draw. Among the ready the youngest
//! transaction runs first. It stays an enemy that a system could be: after [`PATIENCE_SLICES`] slices of waiting anybody runs.

use super::{Candidate, Scheduler};
use crate::random::Random;

/// So many locks, in the mean, between two preemptions of a holder.
const ONE_IN: u64 = 16;
/// After so many slices in the queue a thread runs, however old its transaction is.
const PATIENCE_SLICES: u64 = 10;

/// Preempts lock holders, delays the oldest.
#[derive(Debug)]
pub struct Adversary {
    random: Random,
    /// Locks of each thread at its last step, to see that it has got one more.
    locks: Vec<u64>,
    slice: u64,
}

impl Adversary {
    /// One whose draws `seed` determines.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::split(seed, 0xbad), locks: Vec::new(), slice: 0 }
    }
}

impl Scheduler for Adversary {
    fn name(&self) -> &'static str {
        "adversary"
    }
    fn choose(&mut self, now: u64, ready: &[Candidate]) -> usize {
        let patience = PATIENCE_SLICES * self.slice;
        let out_of_patience = |candidate: &&Candidate| now.saturating_sub(candidate.since) > patience;
        let longest = ready.iter().filter(out_of_patience).min_by_key(|candidate| (candidate.since, candidate.thread));
        // Between transactions is younger than any.
        let age = |candidate: &Candidate| candidate.transaction_since.unwrap_or(u64::MAX);
        let youngest = ready.iter().max_by_key(|candidate| (age(candidate), candidate.thread));
        longest.or(youngest).map_or(0, |candidate| candidate.thread)
    }
    fn takes_away(&mut self, _now: u64, running: &Candidate, slice: u64) -> Option<u64> {
        self.slice = slice;
        if self.locks.len() <= running.thread {
            self.locks.resize(running.thread + 1, 0);
        }
        let before = std::mem::replace(&mut self.locks[running.thread], running.locks);
        (running.locks > before && self.random.below(ONE_IN) == 0).then_some(slice)
    }
    fn is_hostile(&self) -> bool {
        true
    }
}
