//! Time for tests in which one thread plays all parts: whoever waits, waits in vain, so time passes at once.
//!
//! A sleep returns as timed out and moves a clock of the test's own by its whole length; so do the looks at the clock and the
//! spin hints, by a little. What a scene waits for (50 us for a PREPARED owner, 1 ms for a stopper, 100 ms for a hung one) then
//! costs nothing, and runs are the same every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_engine::platform::{Platform, WaitOutcome};
use pso_engine::word::WordAddress;

use crate::lens::{Lens, ProcessLens, Through};

/// A look at the clock takes so long.
const LOOK_NS: u64 = 50;
/// So long does a spinning processor rest.
const SPIN_NS: u64 = 500;

/// The clock begins at one second: nobody takes 0 for a time.
const BEGIN_NS: u64 = 1_000_000_000;

/// The payload of the panic that ends a play in which somebody waits for ever (see [`Alone::until`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endless;

/// The clock, shared by all who play.
#[derive(Clone, Debug)]
pub struct Alone {
    now_ns: Arc<AtomicU64>,
    end_ns: u64,
}

impl Default for Alone {
    fn default() -> Self {
        Self::until(u64::MAX)
    }
}

impl Alone {
    /// `inner` with this clock.
    pub fn on<P>(&self, inner: P) -> Through<P, Alone> {
        Through::over(inner, self.clone())
    }

    /// A clock that goes on for so long; whoever waits beyond that panics with [`Endless`].
    pub fn until(patience_ns: u64) -> Self {
        Self { now_ns: Arc::new(AtomicU64::new(BEGIN_NS)), end_ns: patience_ns.saturating_add(BEGIN_NS) }
    }

    fn pass(&self, ns: u64) -> u64 {
        let now = self.now_ns.fetch_add(ns, Relaxed);
        if now > self.end_ns && !std::thread::panicking() {
            std::panic::panic_any(Endless);
        }
        now
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

impl<P: Platform> ProcessLens<P> for Alone {
    fn another(&self) -> Self {
        self.clone()
    }
}
