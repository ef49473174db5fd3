//! Where participants sleep under loom: the lock that a sleeper and a waker hold, as a kernel does, and who may be shaken.

use std::sync::atomic::{AtomicU64 as Counter, Ordering::Relaxed};

use loom::sync::{Condvar, Mutex};
use pso_engine::platform::WaitOutcome;

/// How many sleeps have ended by shaking, in all executions of this process.
pub static SHAKEN: Counter = Counter::new(0);

/// One participant's. The lock holds whether the sleeper was shaken.
#[derive(Default)]
pub struct Bed {
    shaken: Mutex<bool>,
    condition: Condvar,
}

impl Bed {
    /// Sleeps until somebody wakes or shakes, if `nothing_has_changed`: asked under the lock that wakers take, so that whoever
    /// made a change before it wakes finds a sleeper, or its change is seen.
    pub fn sleep_if(&self, nothing_has_changed: impl FnOnce() -> bool) -> WaitOutcome {
        let mut shaken = self.shaken.lock().unwrap();
        if nothing_has_changed() {
            *shaken = false;
            shaken = self.condition.wait(shaken).unwrap();
            if *shaken {
                SHAKEN.fetch_add(1, Relaxed);
                return WaitOutcome::TimedOut;
            }
        }
        WaitOutcome::Woken
    }

    pub fn wake(&self) {
        let guard = self.shaken.lock().unwrap();
        self.condition.notify_all();
        drop(guard);
    }

    /// Ends a sleep for no reason. Does nothing to whoever is awake.
    pub fn shake(&self) {
        *self.shaken.lock().unwrap() = true;
        self.condition.notify_all();
    }
}
