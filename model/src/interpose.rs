//! A platform around another one that does something at a chosen access to memory: the rest of the world, squeezed into one
//! instant between two accesses of one thread.
//!
//! With `at(n, action)` for every n, a test explores *all* schedules of one preemption: the watched thread stops before its
//! n-th access, `action` (another participant's whole transaction, say) runs, the watched thread goes on. The action runs on
//! the same thread, so it must not wait for ever for the one it interrupts: give it a deadline.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_engine::platform::{Liveness, Memory, Ordering, OutOfPages, ProcessIdentity, System, WaitOutcome, WordKind};
use pso_engine::word::{ProcessSlotId, WordAddress};

type Action = Box<dyn FnOnce() + Send>;

/// The platform `inner`, with an action at one of its accesses to memory.
pub struct Interposed<P> {
    inner: P,
    /// Accesses until the action; `u64::MAX`: none.
    remaining: AtomicU64,
    action: Mutex<Option<Action>>,
}

impl<P> Interposed<P> {
    /// Wraps a platform.
    pub fn new(inner: P) -> Self {
        Self { inner, remaining: AtomicU64::new(u64::MAX), action: Mutex::new(None) }
    }

    /// Runs `action` before the access that comes after `accesses` more.
    pub fn at(&self, accesses: u64, action: impl FnOnce() + Send + 'static) {
        *self.action.lock().unwrap() = Some(Box::new(action));
        self.remaining.store(accesses, Relaxed);
    }

    /// Forgets the action. True if it has not run: the watched code was through before.
    pub fn forget(&self) -> bool {
        self.remaining.store(u64::MAX, Relaxed);
        self.action.lock().unwrap().take().is_some()
    }

    #[inline]
    fn step(&self) -> &P {
        let remaining = self.remaining.load(Relaxed);
        if remaining != u64::MAX {
            self.remaining.store(remaining.wrapping_sub(1), Relaxed);
            if remaining == 0 {
                // `u64::MAX` by now: the action's own accesses, if it makes any here, pass.
                let action = self.action.lock().unwrap().take();
                if let Some(action) = action {
                    action();
                }
            }
        }
        &self.inner
    }
}

impl<P: Memory> Memory for Interposed<P> {
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.step().load(address, order)
    }
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.step().store(address, value, order);
    }
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.step().swap(address, value, order)
    }
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.step().compare_exchange(address, current, new, success, failure)
    }
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.step().fetch_add(address, value, order)
    }
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.step().fetch_or(address, bits, order)
    }
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.step().fetch_and(address, bits, order)
    }
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.step().load_plain(address)
    }
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.step().store_plain(address, value);
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        self.step().with_payload(address, length, reader)
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        self.step().write_payload(address, bytes);
    }
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind) {
        self.inner.retype(address, words, kind);
    }
    fn fence(&self, order: Ordering) {
        self.inner.fence(order);
    }
    fn light_fence(&self) {
        self.inner.light_fence();
    }
    fn heavy_fence(&self) {
        self.inner.heavy_fence();
    }
}

impl<P: System> System for Interposed<P> {
    fn now_ns(&self) -> u64 {
        self.inner.now_ns()
    }
    fn coarse_ns(&self) -> u64 {
        self.inner.coarse_ns()
    }
    fn spin_hint(&self) {
        self.inner.spin_hint();
    }
    fn spin_ns(&self) -> u64 {
        self.inner.spin_ns()
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        self.inner.wait(bell, expected, timeout_ns)
    }
    fn wake(&self, bell: WordAddress) {
        self.inner.wake(bell);
    }
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.inner.commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.inner.punch_pages(address, words);
    }
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.inner.claim_liveness(slot)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.inner.release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.inner.liveness(slot, identity)
    }
    fn identity(&self) -> ProcessIdentity {
        self.inner.identity()
    }
    fn thread_number(&self) -> u64 {
        self.inner.thread_number()
    }
    fn forked(&self) -> bool {
        self.inner.forked()
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
}
