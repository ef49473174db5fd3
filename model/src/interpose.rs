//! A platform around another one that does something at a chosen access to memory: the rest of the world, squeezed into one
//! instant between two accesses of one thread.
//!
//! With `at(n, action)` for every n, a test explores *all* schedules of one preemption: the watched thread stops before its
//! n-th access, `action` (another participant's whole transaction, say) runs, the watched thread goes on. The action runs on
//! the same thread, so it must not wait for ever for the one it interrupts: give it a deadline.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_engine::platform::Platform;

use crate::lens::{Access, Lens, Through};

type Action = Box<dyn FnOnce() + Send>;

/// The lens with an action at one of the accesses.
#[derive(Default)]
pub struct Instant {
    /// Accesses until the action, plus one; 0: none.
    remaining: AtomicU64,
    action: Mutex<Option<Action>>,
}

/// The platform `P`, with an action at one of its accesses to memory.
pub type Interposed<P> = Through<P, Instant>;

impl Instant {
    /// Runs `action` before the access that comes after `accesses` more.
    pub fn at(&self, accesses: u64, action: impl FnOnce() + Send + 'static) {
        *self.action.lock().unwrap() = Some(Box::new(action));
        self.remaining.store(accesses + 1, Relaxed);
    }

    /// Forgets the action. True if it has not run: the watched code was through before.
    pub fn forget(&self) -> bool {
        self.remaining.store(0, Relaxed);
        self.action.lock().unwrap().take().is_some()
    }
}

impl<P> Through<P, Instant> {
    /// Wraps a platform.
    pub fn new(inner: P) -> Self {
        Self::over(inner, Instant::default())
    }

    /// As [`Instant::at`].
    pub fn at(&self, accesses: u64, action: impl FnOnce() + Send + 'static) {
        self.lens().at(accesses, action);
    }

    /// As [`Instant::forget`].
    pub fn forget(&self) -> bool {
        self.lens().forget()
    }
}

impl<P: Platform> Lens<P> for Instant {
    #[inline]
    fn access(&self, inner: &P, access: Access) -> Result<u64, u64> {
        let remaining = self.remaining.load(Relaxed);
        if remaining != 0 && access.touches_memory() {
            self.remaining.store(remaining - 1, Relaxed);
            if remaining == 1 {
                // 0 by now: the action's own accesses, if it makes any here, pass.
                let action = self.action.lock().unwrap().take();
                if let Some(action) = action {
                    action();
                }
            }
        }
        access.on(inner)
    }
}
