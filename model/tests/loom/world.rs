//! The platform on which loom plays: every word that a scene touches while its actors run is a loom object.
//!
//! **Quiet and loud.** Before the actors start and after they have ended there is one thread. Then the world is *quiet*: its
//! memory is a [`Heap`], loom sees nothing, and a scene may make spaces, participants and objects at full speed in each
//! execution. [`Loom::raise_curtain`] makes loom objects of the touched words, with the values that stand in the heap;
//! [`Loom::lower_curtain`] writes the last values back. In between each access is loom's.
//!
//! **Touched words.** loom objects must be made by the main thread before the others start, and thousands of them make an
//! execution slow. So a [`Touched`] set says which words become objects. An access to another word is done on the heap, between
//! fences, and noted for the next round: the runner explores again until a round adds nothing. What a round before that sees, can
//! happen; but it does not see all. (A word that was one process's alone, or of another kind, has been accessed without these
//! fences: then the execution ends at once, by a panic with [`Unknown`].)
//!
//! A word that one process alone touches, or that nobody changes, needs no loom object: it stays in the heap. The set knows who
//! loads and who changes each word; an actor is a process of its own, so processes stand for threads.
//!
//! **Dependence.** loom finds the schedules that matter by dependent accesses, and looks at the *last* access to an object only. A
//! change that follows a load of its own, as every compare-exchange here does, therefore hides that others have loaded the word
//! before: a scene that begins with its reader had one execution. So each shared word has a [`Mark`] for each of its loaders: an
//! object that loom orders and that synchronizes nothing (a condition variable on which nobody waits). A load touches its own
//! mark; the next change by another touches it, too, and loom sees that the two depend on each other.
//!
//! **Typed words.** Atomic words are loom atomics; plain words are loom cells, so that an access to one which nothing orders
//! after another access is a reported race. `retype` counts as a write. An access of the wrong kind is a panic.
//!
//! **Pages** that were given back to the system have no memory: an access to one is a panic, as on a full system it would be a signal.
//! To give them back changes each of their words to 0.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64 as Counter};
use std::sync::{Arc, OnceLock};

use loom::cell::UnsafeCell;
use loom::sync::Condvar;
use loom::sync::atomic::{AtomicU64, fence};
use pso_engine::arena::Layout;
use pso_engine::platform::{
    Liveness, Memory, Ordering, Ordering::Relaxed, OutOfPages, ProcessIdentity, System, WaitOutcome, WordKind,
};
use pso_engine::word::{ParticipantId, ProcessSlotId, WordAddress};
use pso_model::heap::Heap;
use pso_model::scenario::{World, small_geometry};

use crate::beds::Bed;
pub use crate::manners::{Clock, Manners, Waiting};
use crate::touched::{Deed, Touched, Unknown, Uses};

/// Waits shorter than this are polls: nobody rings for them.
const SHORTEST_SLEEP_NS: u64 = 1_500_000;
/// What a turn of a spinning loop costs. Two of them are longer than the engine leaves a PREPARED owner alone.
const SPIN_STEP_NS: u64 = 30_000;
/// What a look at an impatient clock costs: above 1 ms, the longest patience but that for the hung.
const IMPATIENT_STEP_NS: u64 = 1_100_000;

/// Makes the loads of one process and the changes of others depend on each other, and orders nothing.
struct Mark {
    loader: u16,
    touched: AtomicBool,
    object: Condvar,
}

/// One process.
#[derive(Clone)]
pub struct Loom {
    memory: Arc<SharedMemory>,
    heap: Heap,
    /// Stands for this process in [`Uses`].
    bit: u16,
    now_ns: Arc<Counter>,
}

struct SharedMemory {
    layout: Layout,
    manners: Manners,
    touched: Arc<Touched>,
    /// Per word: whether it is plain.
    plain: Box<[AtomicBool]>,
    loud: AtomicBool,
    processes: Counter,
    stage: OnceLock<Stage>,
}

/// The loom objects of one execution.
struct Stage {
    /// Object number + 1 of each word; 0: none.
    numbers: Vec<u32>,
    objects: Vec<Object>,
    /// Where each participant sleeps.
    beds: Vec<Bed>,
    /// Touched by each change of and each look at who lives, so that loom knows that they depend on each other.
    liveness: Condvar,
}

struct Object {
    index: u64,
    uses: Uses,
    atomic: Option<AtomicU64>,
    plain: Option<PlainWord>,
    marks: Vec<Mark>,
}

struct PlainWord(UnsafeCell<u64>);
// SAFETY: loom checks each access and runs one thread at a time.
unsafe impl Sync for PlainWord {}
// SAFETY: as above.
unsafe impl Send for PlainWord {}

impl Loom {
    /// Formatted memory and its first process.
    pub fn new(manners: Manners, touched: Arc<Touched>) -> (Self, Layout) {
        let (heap, layout) = Heap::space(small_geometry());
        let words = layout.geometry().space_words as usize;
        let plain = (0..words).map(|word| AtomicBool::new(word < pso_engine::arena::HEADER_WORDS as usize));
        let memory = SharedMemory {
            layout,
            manners,
            touched,
            plain: plain.collect(),
            loud: AtomicBool::new(false),
            processes: Counter::new(0),
            stage: OnceLock::new(),
        };
        (Self::of(Arc::new(memory), heap), layout)
    }

    fn of(memory: Arc<SharedMemory>, heap: Heap) -> Self {
        let number = memory.processes.fetch_add(1, Relaxed);
        let bit = 1u16.checked_shl(number as u32).expect("a scene has at most 16 processes");
        Self { memory, heap, bit, now_ns: Arc::new(Counter::new(SHORTEST_SLEEP_NS)) }
    }

    /// From here on loom sees each access. Main thread, before it starts the others.
    pub fn raise_curtain(&self) {
        let words = &self.memory.touched.known;
        let mut numbers = vec![0; self.memory.plain.len()];
        let mut objects = Vec::with_capacity(words.len());
        for (&index, uses) in words.iter() {
            let value = self.heap.load(WordAddress::new(index), Relaxed);
            let shared = uses.shared();
            let atomic = (shared && uses.atomic).then(|| AtomicU64::new(value));
            let plain = (shared && uses.plain).then(|| PlainWord(UnsafeCell::new(value)));
            let loaders = (0..u16::BITS).map(|process| 1 << process).filter(|process| uses.loaders & process != 0);
            let others_change = |loader: &u16| atomic.is_some() && uses.changers & !loader != 0;
            let mark = |loader| Mark { loader, touched: AtomicBool::new(false), object: Condvar::new() };
            let marks = loaders.filter(others_change).map(mark).collect();
            objects.push(Object { index, uses: *uses, atomic, plain, marks });
            numbers[index as usize] = objects.len() as u32;
        }
        let participants = self.memory.layout.geometry().participants;
        let beds = match self.memory.manners.waiting {
            Waiting::Yield => Vec::new(),
            Waiting::Sleep | Waiting::Fitful => (0..participants).map(|_| Bed::default()).collect(),
        };
        let stage = Stage { numbers, objects, beds, liveness: Condvar::new() };
        assert!(self.memory.stage.set(stage).is_ok(), "one play an execution");
        self.memory.loud.store(true, Relaxed);
    }

    /// Back to the heap, with what the actors have left. Main thread, after it has waited for the others.
    pub fn lower_curtain(&self) {
        self.memory.loud.store(false, Relaxed);
        let stage = self.memory.stage.get().expect("the curtain was raised");
        for object in &stage.objects {
            let address = WordAddress::new(object.index);
            let plain = self.memory.plain[object.index as usize].load(Relaxed);
            let value = match (&object.atomic, &object.plain) {
                (_, Some(word)) if plain => word.0.with(|value| {
                    // SAFETY: loom has checked that nobody writes at once.
                    unsafe { *value }
                }),
                // SAFETY: loom checks that every store happened before.
                (Some(word), _) => unsafe { word.unsync_load() },
                _ => continue,
            };
            self.heap.store(address, value, Relaxed);
        }
    }

    /// True while the actors act.
    pub fn is_loud(&self) -> bool {
        self.memory.loud.load(Relaxed)
    }

    /// The stage, while actors are on it.
    #[inline]
    fn stage(&self) -> Option<&Stage> {
        if self.memory.loud.load(Relaxed) { self.memory.stage.get() } else { None }
    }

    fn is_plain(&self, address: WordAddress) -> bool {
        self.memory.plain[address.index() as usize].load(Relaxed)
    }

    /// The object of a word; `None`: it has none yet. Notes an access that it was not made for.
    fn object<'a>(&self, stage: &'a Stage, address: WordAddress, kind: WordKind, deed: Deed) -> Option<&'a Object> {
        let number = stage.numbers[address.index() as usize];
        let object = number.checked_sub(1).map(|number| &stage.objects[number as usize]);
        let of_kind = |object: &&Object| if kind == WordKind::Atomic { object.uses.atomic } else { object.uses.plain };
        let of_user = |object: &&Object| {
            let users = if deed == Deed::Load { object.uses.loaders } else { object.uses.changers };
            users & self.bit != 0
        };
        if object.as_ref().is_none_or(|object| !of_kind(object) || !of_user(object)) {
            self.memory.touched.add(address.index(), kind, deed, self.bit);
            match object.as_ref() {
                // Everybody's accesses to it are fenced: whoever reads what another has written sees all that came before.
                None => fence(Ordering::SeqCst),
                Some(object) if of_kind(object) && object.uses.shared() => {}
                Some(_) => resume_unwind(Box::new(Unknown)),
            }
        }
        object
    }

    /// The loom atomic of a word; `None` for one that lies in the heap.
    fn atomic<'a>(&self, stage: &'a Stage, address: WordAddress, deed: Deed) -> Option<&'a AtomicU64> {
        assert!(!self.is_plain(address), "word {} is plain, and this is an atomic access", address.index());
        let object = self.object(stage, address, WordKind::Atomic, deed)?;
        for mark in &object.marks {
            // A change touches the marks of those who have loaded since the last change; of its own process none.
            let concerned = match deed {
                Deed::Load => {
                    mark.loader == self.bit && {
                        mark.touched.store(true, Relaxed);
                        true
                    }
                }
                Deed::Change => mark.loader != self.bit && mark.touched.swap(false, Relaxed),
            };
            if concerned {
                mark.object.notify_one();
            }
        }
        object.atomic.as_ref()
    }

    fn plain<'a>(&self, stage: &'a Stage, address: WordAddress, deed: Deed) -> Option<&'a PlainWord> {
        assert!(self.is_plain(address), "word {} is atomic, and this is a plain access", address.index());
        self.object(stage, address, WordKind::Plain, deed)?.plain.as_ref()
    }

    /// The loom atomic of a word while actors are on stage; `None`: the word lies in the heap.
    #[inline]
    fn loud(&self, address: WordAddress, deed: Deed) -> Option<&AtomicU64> {
        self.heap.touch(address);
        self.atomic(self.stage()?, address, deed)
    }

    /// Everybody else could run.
    fn pass_on(&self) {
        loom::thread::yield_now();
    }
}

impl World for Loom {
    fn process(&self) -> Self {
        Self::of(Arc::clone(&self.memory), self.heap.process())
    }
    fn kill_process(&self, slot: ProcessSlotId) {
        self.heap.kill_process(slot);
    }
    fn fence_process(&self, slot: ProcessSlotId) {
        self.heap.fence_process(slot);
    }
}

impl Memory for Loom {
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        match self.loud(address, Deed::Load) {
            Some(word) => word.load(order),
            None => self.heap.load(address, order),
        }
    }
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        match self.loud(address, Deed::Change) {
            Some(word) => word.store(value, order),
            None => self.heap.store(address, value, order),
        }
    }
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        match self.loud(address, Deed::Change) {
            Some(word) => word.swap(value, order),
            None => self.heap.swap(address, value, order),
        }
    }
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        match self.loud(address, Deed::Change) {
            Some(word) => word.compare_exchange(current, new, success, failure),
            None => self.heap.compare_exchange(address, current, new, success, failure),
        }
    }
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        match self.loud(address, Deed::Change) {
            Some(word) => word.fetch_add(value, order),
            None => self.heap.fetch_add(address, value, order),
        }
    }
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        match self.loud(address, Deed::Change) {
            Some(word) => word.fetch_or(bits, order),
            None => self.heap.fetch_or(address, bits, order),
        }
    }
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        match self.loud(address, Deed::Change) {
            Some(word) => word.fetch_and(bits, order),
            None => self.heap.fetch_and(address, bits, order),
        }
    }

    fn load_plain(&self, address: WordAddress) -> u64 {
        self.heap.touch(address);
        match self.stage().and_then(|stage| self.plain(stage, address, Deed::Load)) {
            Some(word) => word.0.with(|value| {
                // SAFETY: loom has checked that nobody writes at once.
                unsafe { *value }
            }),
            None => self.heap.load_plain(address),
        }
    }
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.heap.touch(address);
        // No race: of a plain word the newest value, which `store_plain` leaves in the heap, too.
        if self.is_plain(address) { self.heap.load_plain(address) } else { self.load(address, Ordering::Acquire) }
    }
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.heap.touch(address);
        self.heap.store_plain(address, value);
        if let Some(word) = self.stage().and_then(|stage| self.plain(stage, address, Deed::Change)) {
            word.0.with_mut(|word| {
                // SAFETY: loom has checked that nobody reads or writes at once.
                unsafe { *word = value }
            });
        }
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
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind) {
        for index in address.index()..address.index() + words {
            self.memory.plain[index as usize].store(kind == WordKind::Plain, Relaxed);
            // A word has a history as a plain word only if it ever is one while the actors run; then its new life must come
            // after everything in the old one.
            if let Some(stage) = self.stage()
                && let Some(number) = stage.numbers[index as usize].checked_sub(1)
                && let Some(plain) = &stage.objects[number as usize].plain
            {
                plain.0.with_mut(|_| ());
            }
        }
    }

    fn fence(&self, order: Ordering) {
        match self.stage() {
            Some(_) => fence(order),
            None => self.heap.fence(order),
        }
    }
    fn light_fence(&self) {
        self.fence(Ordering::SeqCst);
    }
    fn heavy_fence(&self) -> bool {
        self.fence(Ordering::SeqCst);
        true
    }
}

impl System for Loom {
    fn now_ns(&self) -> u64 {
        match self.memory.manners.clock {
            Clock::Patient => self.now_ns.load(Relaxed),
            Clock::Impatient => self.now_ns.fetch_add(IMPATIENT_STEP_NS, Relaxed),
        }
    }
    fn coarse_ns(&self) -> u64 {
        // Shared time stands still: who is older is the scene's choice.
        0
    }
    fn spin_hint(&self) {
        self.now_ns.fetch_add(SPIN_STEP_NS, Relaxed);
        if self.stage().is_some() {
            self.pass_on();
        }
    }
    fn spin_ns(&self) -> u64 {
        self.memory.manners.spin_ns
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let stage = self.stage().expect("nobody waits before the play");
        if self.memory.manners.waiting == Waiting::Yield || timeout_ns < SHORTEST_SLEEP_NS {
            self.now_ns.fetch_add(timeout_ns, Relaxed);
            self.pass_on();
            return WaitOutcome::TimedOut;
        }
        let nothing_has_changed = || self.load(bell, Ordering::Acquire) as u32 == expected;
        self.bed(stage, bell).sleep_if(nothing_has_changed)
    }
    fn wake(&self, bell: WordAddress) {
        if let Some(stage) = self.stage()
            && self.memory.manners.waiting != Waiting::Yield
        {
            self.bed(stage, bell).wake();
        }
    }

    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.heap.commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        // First: whoever touches one of the words after its change below finds it gone.
        self.heap.punch_pages(address, words);
        let Some(stage) = self.stage() else { return };
        for word in (0..words).map(|word| address.offset(word)) {
            if self.is_plain(word) {
                if let Some(plain) = self.plain(stage, word, Deed::Change) {
                    plain.0.with_mut(|word| {
                        // SAFETY: loom has checked that nobody reads or writes at once.
                        unsafe { *word = 0 }
                    });
                }
            } else if let Some(atomic) = self.atomic(stage, word, Deed::Change) {
                atomic.store(0, Relaxed);
            }
        }
    }

    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.note_liveness();
        self.heap.claim_liveness(slot)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.note_liveness();
        self.heap.release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.note_liveness();
        self.heap.liveness(slot, identity)
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

impl Loom {
    /// Shakes every participant once, if sleep is fitful. For a thread of its own, so that each comes at every time.
    pub fn shake(&self) {
        let Some(stage) = self.stage() else { return };
        stage.beds.iter().for_each(Bed::shake);
    }

    fn bed<'a>(&self, stage: &'a Stage, bell: WordAddress) -> &'a Bed {
        let first = self.memory.layout.participant(ParticipantId(0)).expect("there are participants");
        let who = (bell.index() - first.index()) / pso_engine::arena::PARTICIPANT_WORDS;
        &stage.beds[who as usize]
    }

    /// The engine gets no ordering from a look at who lives, as none is promised.
    fn note_liveness(&self) {
        if let Some(stage) = self.stage() {
            stage.liveness.notify_one();
        }
    }
}
