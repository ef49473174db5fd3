//! Time for tests in which one thread plays all parts: whoever waits, waits in vain, so time passes at once.
//!
//! A sleep returns as timed out and moves a clock of the test's own by its whole length; so do the looks at the clock and the
//! spin hints, by a little. What a scene waits for (50 us for a PREPARED owner, 1 ms for a stopper, 100 ms for a hung one) then
//! costs nothing, and runs are the same every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_engine::platform::{Platform, WaitOutcome};
use pso_engine::word::WordAddress;

use crate::lens::{Lens, Through};

/// A look at the clock takes so long.
const LOOK_NS: u64 = 50;
/// So long does a spinning processor rest.
const SPIN_NS: u64 = 500;

/// The clock, shared by all who play. Begins at one second: nobody takes 0 for a time.
#[derive(Clone, Debug)]
pub struct Alone(Arc<AtomicU64>);

impl Default for Alone {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000_000)))
    }
}

impl Alone {
    /// `inner` with this clock.
    pub fn on<P>(&self, inner: P) -> Through<P, Alone> {
        Through::over(inner, self.clone())
    }

    fn pass(&self, ns: u64) -> u64 {
        self.0.fetch_add(ns, Relaxed)
    }
}

impl<P: Platform> Lens<P> for Alone {
    fn now_ns(&self, _: &P) -> u64 {
        self.pass(LOOK_NS)
    }
    fn coarse_ns(&self, _: &P) -> u64 {
        self.pass(LOOK_NS) / 1_000_000 * 1_000_000
    }
    fn spin_hint(&self, _: &P) {
        self.pass(SPIN_NS);
    }
    fn wait(&self, inner: &P, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        if inner.load(bell, pso_engine::platform::Ordering::Acquire) as u32 != expected {
            return WaitOutcome::Woken;
        }
        self.pass(timeout_ns);
        WaitOutcome::TimedOut
    }
}
