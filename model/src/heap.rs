//! A platform in the memory of one process: what tests of the engine run on.
//!
//! Every word is an atomic of the standard library, plain ones too, so nothing here is undefined whatever the engine
//! does; that plain words are used as such is for the checkers to show. A [`Heap`] is one *process* of the space: its
//! clones share the process, [`Heap::process`] makes another one on the same memory. What a test can do to it:
//!
//! - [`Heap::limit_pages`] makes memory run out, [`Heap::watch_pages`] makes touching an uncommitted page a panic; [`Heap::set_spin`];
//! - [`Heap::kill_process`] and [`Heap::fence_process`] change what [`System::liveness`] says;
//! - [`Heap::die_after`] stops the process before its n-th access to memory from now on, by a panic with [`Killed`].
//!   The engine does no protocol work in destructors, so unwinding leaves exactly what kill -9 would leave.

use std::sync::atomic::{self, AtomicBool, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use pso_engine::arena::{self, Geometry, Layout};
use pso_engine::contention::PolicyId;
use pso_engine::platform::{Liveness, Memory, OutOfPages, ProcessIdentity, System, WaitOutcome, WordKind};
use pso_engine::word::{ProcessSlotId, WordAddress};

use crate::scenario::World as SceneWorld;

/// Words of a page, unless superblocks are smaller.
const PAGE_WORDS: u64 = 512;
/// Sleepers are spread over so many condition variables.
const PARKING_PLACES: usize = 32;
/// What a full system answers, as on Linux.
const ENOSPC: i32 = 28;
/// The start time of every process here: they have different numbers anyway.
const START_TIME: u64 = 1;

/// The payload of the panic that stands for a kill -9 (see [`Heap::die_after`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

/// Deaths are panics: only those of tests that fail are for people to see. Once for all threads of this process.
pub fn hide_deaths() {
    static HIDDEN: Once = Once::new();
    HIDDEN.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Killed>() {
                hook(info);
            }
        }));
    });
}

/// One process of a space that lives in ordinary memory.
#[derive(Clone, Debug)]
pub struct Heap {
    world: Arc<World>,
    process: Arc<Process>,
}

#[derive(Debug)]
struct World {
    words: Box<[AtomicU64]>,
    page_words: u64,
    committed: Box<[AtomicBool]>,
    watched: AtomicBool,
    pages: Mutex<Pages>,
    parking: Vec<(Mutex<()>, Condvar)>,
    members: Mutex<Members>,
    next_pid: AtomicU32,
    entropy: AtomicU64,
    spin_ns: AtomicU64,
    epoch: Instant,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// Accesses left until death; `u64::MAX` is for ever.
    remaining: AtomicU64,
}

#[derive(Debug, Default)]
struct Pages {
    committed: u64,
    limit: Option<u64>,
}

#[derive(Debug, Default)]
struct Members {
    /// Who holds the liveness byte of each slot.
    holders: Vec<Option<u32>>,
    dead: Vec<u32>,
}

impl Members {
    /// The kernel gives back all bytes that a process held.
    fn kill(&mut self, pid: u32) {
        self.holders.iter_mut().filter(|holder| **holder == Some(pid)).for_each(|holder| *holder = None);
        self.dead.push(pid);
    }
}

impl Heap {
    /// Zeroed memory for `geometry`, nothing committed, one process.
    pub fn new(geometry: Geometry) -> Self {
        let page_words = PAGE_WORDS.min(geometry.superblock_words);
        let words = Box::<[AtomicU64]>::new_zeroed_slice(geometry.space_words as usize);
        // SAFETY: an AtomicU64 of all zero bytes is a valid AtomicU64 of 0. Zeroed by the allocator: large spaces cost only the pages that a test touches.
        let words = unsafe { words.assume_init() };
        let world = World {
            words,
            page_words,
            committed: (0..geometry.space_words.div_ceil(page_words)).map(|_| AtomicBool::new(false)).collect(),
            watched: AtomicBool::new(false),
            pages: Mutex::default(),
            parking: (0..PARKING_PLACES).map(|_| Default::default()).collect(),
            members: Mutex::new(Members { holders: vec![None; geometry.process_slots as usize], dead: Vec::new() }),
            next_pid: AtomicU32::new(1000),
            entropy: AtomicU64::new(0x5eed),
            spin_ns: AtomicU64::new(2_000),
            epoch: Instant::now(),
        };
        Self::another_process(Arc::new(world))
    }

    /// A formatted space whose tables are committed: what attaching gives. Panics where `geometry` makes no layout.
    pub fn space(geometry: Geometry) -> (Self, Layout) {
        Self::space_with(geometry, PolicyId::default())
    }

    /// The same, whose members settle conflicts by `policy`.
    pub fn space_with(geometry: Geometry, policy: PolicyId) -> (Self, Layout) {
        let layout = Layout::new(geometry).expect("the geometry holds its own tables");
        let heap = Self::new(geometry);
        heap.commit_pages(WordAddress::new(0), layout.tables_words()).expect("no limit is set yet");
        arena::format(&heap, &layout, policy);
        (heap, layout)
    }

    /// Another process on the same memory, with a number of its own.
    pub fn process(&self) -> Self {
        Self::another_process(self.world.clone())
    }

    fn another_process(world: Arc<World>) -> Self {
        let pid = world.next_pid.fetch_add(1, Relaxed);
        Self { world, process: Arc::new(Process { pid, remaining: AtomicU64::new(u64::MAX) }) }
    }

    /// The process dies before it has made `accesses` more accesses to memory: the one after them panics with [`Killed`].
    pub fn die_after(&self, accesses: u64) {
        self.process.remaining.store(accesses, Relaxed);
    }

    /// Lets the process live on. Gives the accesses that were left.
    pub fn live_on(&self) -> u64 {
        self.process.remaining.swap(u64::MAX, Relaxed)
    }

    /// Whoever holds `slot` is dead from now on: the byte is free and the process is gone. (Its threads, if a test has any, are for the test to end.)
    pub fn kill_process(&self, slot: ProcessSlotId) {
        let mut members = self.members();
        if let Some(pid) = members.holders[slot.0 as usize] {
            members.kill(pid);
        }
    }

    /// This process is dead from now on, whatever bytes it holds.
    pub fn kill(&self) {
        self.members().kill(self.process.pid);
    }

    /// Whoever holds `slot` loses the byte and lives.
    pub fn fence_process(&self, slot: ProcessSlotId) {
        self.members().holders[slot.0 as usize] = None;
    }

    /// At most `words` words are ever committed; `None` lifts the limit.
    pub fn limit_pages(&self, words: Option<u64>) {
        self.pages().limit = words.map(|words| words / self.world.page_words);
    }

    /// So long somebody spins before he sleeps; 0: as on one processor.
    pub fn set_spin(&self, ns: u64) {
        self.world.spin_ns.store(ns, Relaxed);
    }

    /// Words that are committed now.
    pub fn committed_words(&self) -> u64 {
        self.pages().committed * self.world.page_words
    }

    /// From now on an access to a page that is not committed is a panic: on a full system it would be SIGBUS.
    pub fn watch_pages(&self) {
        self.world.watched.store(true, Relaxed);
    }

    #[inline]
    fn word(&self, address: WordAddress) -> &AtomicU64 {
        if self.process.remaining.load(Relaxed) != u64::MAX {
            self.step();
        }
        if self.world.watched.load(Relaxed) {
            self.touch(address);
        }
        &self.world.words[address.index() as usize]
    }

    /// Panics if the page of this word is not committed, whether or not pages are watched.
    #[inline]
    pub fn touch(&self, address: WordAddress) {
        let committed = self.world.committed[(address.index() / self.world.page_words) as usize].load(Relaxed);
        assert!(committed, "word {} was touched before its page was committed", address.index());
    }

    #[cold]
    fn step(&self) {
        let left = self.process.remaining.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if left.is_err() && !std::thread::panicking() {
            std::panic::panic_any(Killed);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.world.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.world.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parking(&self, bell: WordAddress) -> &(Mutex<()>, Condvar) {
        // Bells stand in rows of participants: the row number differs above the low bits.
        let spread = bell.index().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.world.parking[spread as usize % PARKING_PLACES]
    }

    fn page_range(&self, address: WordAddress, words: u64) -> std::ops::Range<usize> {
        let first = address.index() / self.world.page_words;
        let end = (address.index() + words).div_ceil(self.world.page_words);
        first as usize..end as usize
    }
}

impl Memory for Heap {
    #[inline]
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.word(address).load(order)
    }
    #[inline]
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.word(address).store(value, order)
    }
    #[inline]
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.word(address).swap(value, order)
    }
    #[inline]
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.word(address).compare_exchange(current, new, success, failure)
    }
    #[inline]
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.word(address).fetch_add(value, order)
    }
    #[inline]
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.word(address).fetch_or(bits, order)
    }
    #[inline]
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.word(address).fetch_and(bits, order)
    }
    #[inline]
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.word(address).load(Relaxed)
    }
    #[inline]
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.word(address).load(atomic::Ordering::Acquire)
    }
    #[inline]
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.word(address).store(value, Relaxed)
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        let words = length.div_ceil(8) as u64;
        let mut bytes: Vec<u8> =
            (0..words).flat_map(|word| self.load_plain(address.offset(word)).to_le_bytes()).collect();
        bytes.truncate(length);
        reader(&bytes)
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(8).enumerate() {
            let word = address.offset(index as u64);
            let mut value = if piece.len() == 8 { [0; 8] } else { self.load_plain(word).to_le_bytes() };
            value[..piece.len()].copy_from_slice(piece);
            self.store_plain(word, u64::from_le_bytes(value));
        }
    }
    #[inline]
    fn retype(&self, _address: WordAddress, _words: u64, _kind: WordKind) {}

    #[inline]
    fn fence(&self, order: Ordering) {
        atomic::fence(order)
    }
    #[inline]
    fn light_fence(&self) {
        atomic::fence(Ordering::SeqCst)
    }
    #[inline]
    fn heavy_fence(&self) -> bool {
        atomic::fence(Ordering::SeqCst);
        true
    }
}

impl SceneWorld for Heap {
    fn process(&self) -> Self {
        Heap::process(self)
    }
    fn kill_process(&self, slot: ProcessSlotId) {
        Heap::kill_process(self, slot);
    }
    fn fence_process(&self, slot: ProcessSlotId) {
        Heap::fence_process(self, slot);
    }
}

impl System for Heap {
    fn now_ns(&self) -> u64 {
        // From one second on: nobody takes 0 for a time.
        1_000_000_000 + self.world.epoch.elapsed().as_nanos() as u64
    }
    fn coarse_ns(&self) -> u64 {
        self.now_ns() / 1_000_000 * 1_000_000
    }
    fn spin_hint(&self) {
        std::thread::yield_now();
    }
    fn spin_ns(&self) -> u64 {
        self.world.spin_ns.load(Relaxed)
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let (lock, condition) = self.parking(bell);
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock that `wake` takes: whoever changed the bell before rings after this look, or we see the change.
        if self.world.words[bell.index() as usize].load(Ordering::Acquire) as u32 != expected {
            return WaitOutcome::Woken;
        }
        let (_guard, outcome) =
            condition.wait_timeout(guard, Duration::from_nanos(timeout_ns)).unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() { WaitOutcome::TimedOut } else { WaitOutcome::Woken }
    }
    fn wake(&self, bell: WordAddress) {
        let (lock, condition) = self.parking(bell);
        drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
        condition.notify_all();
    }

    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        let mut pages = self.pages();
        let range = &self.world.committed[self.page_range(address, words)];
        let new = range.iter().filter(|page| !page.load(Relaxed)).count() as u64;
        if pages.limit.is_some_and(|limit| pages.committed + new > limit) {
            return Err(OutOfPages { bytes: words * 8, errno: ENOSPC });
        }
        pages.committed += new;
        range.iter().for_each(|page| page.store(true, Relaxed));
        Ok(())
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        let mut pages = self.pages();
        let range = &self.world.committed[self.page_range(address, words)];
        pages.committed -= range.iter().filter(|page| page.swap(false, Relaxed)).count() as u64;
        for word in &self.world.words[address.index() as usize..(address.index() + words) as usize] {
            word.store(0, Relaxed);
        }
    }

    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        let mut members = self.members();
        let holder = &mut members.holders[slot.0 as usize];
        let free = holder.is_none();
        if free {
            *holder = Some(self.process.pid);
        }
        free
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        let mut members = self.members();
        let holder = &mut members.holders[slot.0 as usize];
        if *holder == Some(self.process.pid) {
            *holder = None;
        }
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        let members = self.members();
        if members.holders[slot.0 as usize].is_some() {
            return Liveness::Alive;
        }
        let born = (1000..self.world.next_pid.load(Relaxed)).contains(&identity.pid);
        let lives = born && identity.start_time == START_TIME && !members.dead.contains(&identity.pid);
        if lives { Liveness::Fenced } else { Liveness::Dead }
    }
    fn identity(&self) -> ProcessIdentity {
        ProcessIdentity { pid: self.process.pid, start_time: START_TIME }
    }
    fn thread_number(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Relaxed));
        NUMBER.with(|number| *number)
    }
    fn forked(&self) -> bool {
        false
    }
    fn entropy(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood, 2014): the same numbers in every run.
        let mut state = self.world.entropy.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ state >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry::for_bytes(1 << 20).expect("a space of 1 MiB")
    }

    #[test]
    fn bytes_written_are_read_back() {
        let (heap, layout) = Heap::space(geometry());
        let address = WordAddress::new(layout.tables_words());
        heap.store_plain(address.offset(1), u64::MAX);
        heap.write_payload(address, b"hello world");
        heap.with_payload(address, 11, |bytes| assert_eq!(bytes, b"hello world"));
        // The tail of the last word is left as it is.
        assert_eq!(heap.load_plain(address.offset(1)) >> 24, u64::MAX >> 24);
    }

    #[test]
    fn a_killed_process_is_dead_and_a_fenced_one_is_not() {
        let (heap, _) = Heap::space(geometry());
        let other = heap.process();
        let slot = ProcessSlotId(3);
        assert!(other.claim_liveness(slot));
        assert!(!heap.claim_liveness(slot));
        assert_eq!(heap.liveness(slot, other.identity()), Liveness::Alive);
        heap.fence_process(slot);
        assert_eq!(heap.liveness(slot, other.identity()), Liveness::Fenced);
        assert!(other.claim_liveness(slot));
        heap.kill_process(slot);
        assert_eq!(heap.liveness(slot, other.identity()), Liveness::Dead);
        assert!(heap.claim_liveness(slot));
    }

    #[test]
    fn a_process_dies_at_the_access_that_was_said() {
        let (heap, layout) = Heap::space(geometry());
        let other = heap.process();
        let word = WordAddress::new(layout.tables_words());
        other.die_after(2);
        let end =
            std::panic::catch_unwind(|| (0..5).for_each(|_| other.store(word, other.load(word, Relaxed) + 1, Relaxed)));
        assert!(end.unwrap_err().is::<Killed>());
        assert_eq!(heap.load(word, Relaxed), 1);
    }

    #[test]
    fn pages_run_out() {
        let (heap, layout) = Heap::space(geometry());
        heap.limit_pages(Some(layout.tables_words() + 1024));
        assert!(heap.commit_pages(WordAddress::new(layout.tables_words()), 1024).is_ok());
        assert!(heap.commit_pages(WordAddress::new(layout.tables_words()), 1024).is_ok(), "committed already");
        let full = heap.commit_pages(WordAddress::new(layout.tables_words() + 1024), 1).unwrap_err();
        assert_eq!(full, OutOfPages { bytes: 8, errno: ENOSPC });
    }

    #[test]
    fn a_change_of_the_bell_wakes() {
        let (heap, layout) = Heap::space(geometry());
        let bell = WordAddress::new(layout.tables_words());
        assert_eq!(heap.wait(bell, 0, 1_000), WaitOutcome::TimedOut);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while heap.wait(bell, 0, 60_000_000_000) == WaitOutcome::Woken && heap.load(bell, Relaxed) == 0 {}
            });
            heap.store(bell, 1, Ordering::Release);
            heap.wake(bell);
        });
    }
}
