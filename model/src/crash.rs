//! A process that stops for ever before a chosen access to memory, over any platform.
//!
//! The access panics with [`Killed`], which the test catches where the thread begins. What unwinds in between does what kill -9
//! would not let it do, so from the death on its accesses are swallowed: nothing is stored, loads give 0, compare-exchanges
//! fail, sleeps end at once, bells stay silent. `Platform` says nothing of threads: a process that is to die alone has one.
//!
//! That the process is *dead* others learn from the world's `kill_process`, when the test says so: between the two it looks
//! like one that was stopped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use pso_engine::platform::{Liveness, Platform, ProcessIdentity, WaitOutcome};
use pso_engine::word::{ProcessSlotId, WordAddress};

pub use crate::heap::Killed;
use crate::lens::{Access, Lens, Operation, Through};

/// A dead thread that makes more accesses than this does protocol work in a destructor, or loops there.
const LAST_TWITCHES: u64 = 10_000;

/// When to die.
#[derive(Debug)]
pub struct Death {
    /// Accesses left; `u64::MAX`: for ever.
    remaining: AtomicU64,
    dead: AtomicBool,
    twitches: AtomicU64,
}

impl Default for Death {
    fn default() -> Self {
        Self { remaining: AtomicU64::new(u64::MAX), dead: AtomicBool::new(false), twitches: AtomicU64::new(0) }
    }
}

/// The platform `P`, on which a process may die.
pub type Crash<P> = Through<P, Death>;

impl<P> Through<P, Death> {
    /// A process that may die. Immortal until told otherwise.
    pub fn mortal(inner: P) -> Self {
        Self::over(inner, Death::default())
    }

    /// Dies before the access that comes after `accesses` more.
    pub fn die_after(&self, accesses: u64) {
        self.lens().remaining.store(accesses, Relaxed);
    }

    /// Lives on if it still lives. True if so.
    pub fn live_on(&self) -> bool {
        self.lens().remaining.store(u64::MAX, Relaxed);
        !self.is_dead()
    }

    /// True after the death.
    pub fn is_dead(&self) -> bool {
        self.lens().dead.load(Relaxed)
    }
}

impl<P: Platform> Lens<P> for Death {
    fn access(&self, inner: &P, access: Access) -> Result<u64, u64> {
        if self.dead.load(Relaxed) {
            let twitches = self.twitches.fetch_add(1, Relaxed);
            assert!(twitches < LAST_TWITCHES, "a destructor goes on for ever at {}", access.site);
            return match access.operation {
                Operation::CompareExchange([current, _], _) => Err(!current),
                Operation::Payload(_) => Err(0),
                _ => Ok(0),
            };
        }
        let remaining = self.remaining.load(Relaxed);
        if remaining != u64::MAX && access.touches_memory() {
            if remaining == 0 {
                self.dead.store(true, Relaxed);
                std::panic::panic_any(Killed);
            }
            self.remaining.store(remaining - 1, Relaxed);
        }
        access.on(inner)
    }
    fn wait(&self, inner: &P, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        if self.dead.load(Relaxed) { WaitOutcome::TimedOut } else { inner.wait(bell, expected, timeout_ns) }
    }
    fn wake(&self, inner: &P, bell: WordAddress) {
        if !self.dead.load(Relaxed) {
            inner.wake(bell);
        }
    }
    fn liveness(&self, inner: &P, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        if self.dead.load(Relaxed) { Liveness::Alive } else { inner.liveness(slot, identity) }
    }
}
