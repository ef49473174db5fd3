//! What a participant counts for people.

use std::sync::atomic::Ordering::Relaxed;

use super::Participant;
use crate::platform::Platform;

/// Numbers for people, kept privately and written to the slot now and then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub attempts: u64,
    pub commits: u64,
    pub stops: u64,
    pub sleeps: u64,
    pub mean_duration_ns: u64,
    /// When this attempt began, if it is one of those that are timed; so much later as it has slept.
    pub began_ns: Option<u64>,
}

/// Every so many attempts the shared tick is looked after, and the numbers for people are written.
pub(super) const SAMPLE: u64 = 32;
/// Every so many attempts one is timed: two clock readings.
pub(super) const TIMED: u64 = 4 * SAMPLE;

impl<P: Platform> Participant<P> {
    pub(super) fn write_counters(&self) {
        let platform = self.platform();
        // Relaxed: numbers for people.
        platform.store(self.slot.attempts(), self.counters.attempts, Relaxed);
        platform.store(self.slot.commits(), self.counters.commits, Relaxed);
        platform.store(self.slot.stops(), self.counters.stops, Relaxed);
        platform.store(self.slot.sleeps(), self.counters.sleeps, Relaxed);
        platform.store(self.slot.mean_duration(), self.counters.mean_duration_ns, Relaxed);
    }
}
