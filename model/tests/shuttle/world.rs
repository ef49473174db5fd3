//! The platform on which shuttle plays: a [`Heap`] with a scheduling point before each access.
//!
//! shuttle is sequentially consistent, so ordinary memory serves: what matters is that it may switch threads before each access
//! and each call that waits. Before the actors start and after they have ended the world is quiet and switches nowhere.
//!
//! **Time** is shared and moves with every access, spin and wait, so that it is the same for the same schedule. **Waiting** is one
//! of two models: with time-outs (the waiter yields until it is rung or its time is over), or without (waits of 2 ms and longer
//! end by a ring only; shuttle reports a lost wake-up as a deadlock).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool as Flag, AtomicU64 as Counter};

use pso_engine::arena::{Layout, PARTICIPANT_WORDS};
use pso_engine::platform::{
    Liveness, Memory, Ordering, Ordering::Relaxed, OutOfPages, ProcessIdentity, System, WaitOutcome, WordKind,
};
use pso_engine::word::{ParticipantId, ProcessSlotId, WordAddress};
use pso_model::heap::Heap;
use pso_model::scenario::{World, small_geometry};
use shuttle::sync::atomic::AtomicBool;
use shuttle::sync::{Condvar, Mutex};

/// Waits shorter than this are polls: nobody rings for them.
const SHORTEST_SLEEP_NS: u64 = 1_500_000;
const ACCESS_NS: u64 = 20;
const SPIN_NS: u64 = 1_000;
/// A look of a sleeper whether its time is over.
const DOZE_NS: u64 = 100_000;

/// Whether sleeps end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    TimesOut,
    RingsOnly,
}

/// One process.
#[derive(Clone)]
pub struct Shuttle {
    heap: Heap,
    shared: Arc<Shared>,
}

struct Shared {
    layout: Layout,
    waiting: Waiting,
    loud: Flag,
    now_ns: Counter,
    /// Looked at before each access: that is shuttle's scheduling point.
    pulse: AtomicBool,
    /// Where each participant sleeps: the lock that a sleeper and a waker hold, as a kernel does.
    beds: Vec<(Mutex<()>, Condvar)>,
}

impl Shuttle {
    /// Formatted memory and its first process.
    pub fn new(waiting: Waiting) -> (Self, Layout) {
        let (heap, layout) = Heap::space(small_geometry());
        heap.watch_pages();
        let beds = (0..layout.geometry().participants).map(|_| (Mutex::new(()), Condvar::new())).collect();
        let (loud, now_ns, pulse) = (Flag::new(false), Counter::new(1_000_000_000), AtomicBool::new(false));
        (Self { heap, shared: Arc::new(Shared { layout, waiting, loud, now_ns, pulse, beds }) }, layout)
    }

    /// From here on shuttle may switch before each access.
    pub fn raise_curtain(&self) {
        self.shared.loud.store(true, Relaxed);
    }

    /// No more switches.
    pub fn lower_curtain(&self) {
        self.shared.loud.store(false, Relaxed);
    }

    /// A point where others may run.
    #[inline]
    fn step(&self) -> &Heap {
        if self.shared.loud.load(Relaxed) {
            self.shared.now_ns.fetch_add(ACCESS_NS, Relaxed);
            self.shared.pulse.load(Ordering::Acquire);
        }
        &self.heap
    }

    fn bed(&self, bell: WordAddress) -> &(Mutex<()>, Condvar) {
        let first = self.shared.layout.participant(ParticipantId(0)).expect("there are participants");
        &self.shared.beds[((bell.index() - first.index()) / PARTICIPANT_WORDS) as usize]
    }

    fn sleep_until_rung(&self, bell: WordAddress, expected: u32) -> WaitOutcome {
        let (lock, condition) = self.bed(bell);
        let guard = lock.lock().unwrap();
        if self.heap.load(bell, Ordering::Acquire) as u32 == expected {
            drop(condition.wait(guard).unwrap());
        }
        WaitOutcome::Woken
    }

    fn doze(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let end = self.now_ns() + timeout_ns;
        // Bounded by the time-out: every turn costs time.
        while self.now_ns() < end {
            if self.heap.load(bell, Ordering::Acquire) as u32 != expected {
                return WaitOutcome::Woken;
            }
            self.shared.now_ns.fetch_add(DOZE_NS, Relaxed);
            shuttle::thread::yield_now();
        }
        WaitOutcome::TimedOut
    }
}

impl World for Shuttle {
    fn process(&self) -> Self {
        Self { heap: self.heap.process(), shared: Arc::clone(&self.shared) }
    }
    fn kill_process(&self, slot: ProcessSlotId) {
        self.heap.kill_process(slot);
    }
    fn fence_process(&self, slot: ProcessSlotId) {
        self.heap.fence_process(slot);
    }
}

impl Memory for Shuttle {
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
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.step().load_optimistic(address)
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
    fn retype(&self, _address: WordAddress, _words: u64, _kind: WordKind) {}
    fn fence(&self, order: Ordering) {
        self.heap.fence(order);
    }
    fn light_fence(&self) {
        self.heap.light_fence();
    }
    fn heavy_fence(&self) -> bool {
        self.heap.heavy_fence()
    }
}

impl System for Shuttle {
    fn now_ns(&self) -> u64 {
        self.shared.now_ns.load(Relaxed)
    }
    fn coarse_ns(&self) -> u64 {
        self.now_ns() / 1_000_000 * 1_000_000
    }
    fn spin_hint(&self) {
        if self.shared.loud.load(Relaxed) {
            self.shared.now_ns.fetch_add(SPIN_NS, Relaxed);
            shuttle::thread::yield_now();
        }
    }
    fn spin_ns(&self) -> u64 {
        0
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        self.step();
        match self.shared.waiting {
            Waiting::RingsOnly if timeout_ns >= SHORTEST_SLEEP_NS => self.sleep_until_rung(bell, expected),
            _ => self.doze(bell, expected, timeout_ns),
        }
    }
    fn wake(&self, bell: WordAddress) {
        self.step();
        if self.shared.waiting == Waiting::RingsOnly && self.shared.loud.load(Relaxed) {
            let (lock, condition) = self.bed(bell);
            let _guard = lock.lock().unwrap();
            condition.notify_all();
        }
    }
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.step().commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.step().punch_pages(address, words);
    }
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.step().claim_liveness(slot)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.step().release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.step().liveness(slot, identity)
    }
    fn identity(&self) -> ProcessIdentity {
        self.heap.identity()
    }
    fn thread_number(&self) -> u64 {
        u64::from(self.heap.identity().pid)
    }
    fn forked(&self) -> bool {
        false
    }
    fn entropy(&self) -> u64 {
        self.heap.entropy()
    }
}
