//! The one door between the engine and the world: memory, time, waiting, pages, liveness.
//!
//! The engine is generic over [`Platform`] and never touches memory, clocks or the kernel by itself. What ships runs on
//! [`native`]; models and the simulator bring their own platforms and run the same source. Hence the rules:
//!
//! 1. Memory is 64-bit words at a [`WordAddress`]. *Typed words* are atomic and each access names its ordering; *plain
//!    words* and payload bytes are not atomic and are published by somebody's release store.
//! 2. No access is `SeqCst`. Where a store must come before a later load, the caller writes a [`Memory::fence`].
//! 3. Every loop that waits calls [`System::spin_hint`] or [`System::wait`], so that a scheduler can take over.
//! 4. `unsafe` memory access lives in implementations of this trait. A `WordAddress` that reaches it lies inside the
//!    space: addresses are made by `Layout`, by the allocator and by checked handles only.

use crate::word::{ProcessSlotId, WordAddress};
pub use std::sync::atomic::Ordering;

pub mod native;

/// Shared memory: typed words, plain payload, fences.
///
/// What names an ordering is `#[track_caller]`: an adapter can tell the call sites apart and weaken one of them. Costs
/// nothing where nobody asks for the caller.
pub trait Memory {
    /// Loads a typed word. `order`: `Relaxed` or `Acquire`.
    #[track_caller]
    fn load(&self, address: WordAddress, order: Ordering) -> u64;
    /// Stores a typed word. `order`: `Relaxed` or `Release`.
    #[track_caller]
    fn store(&self, address: WordAddress, value: u64, order: Ordering);
    /// Replaces a typed word and returns what it held.
    #[track_caller]
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64;
    /// Replaces `current` by `new`; `Err` holds what was there instead. Never fails spuriously.
    #[track_caller]
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64>;
    /// Adds (wrapping) and returns what the word held.
    #[track_caller]
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64;
    /// Sets bits and returns what the word held.
    #[track_caller]
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64;
    /// Keeps only `bits` and returns what the word held.
    #[track_caller]
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64;

    /// Says that the word will be changed soon: whoever changes many asks for their lines some ahead. Never fails, touches nothing.
    #[inline(always)]
    fn prefetch(&self, _address: WordAddress) {}

    /// Reads one plain word that a release store published (immutable payload).
    #[track_caller]
    fn load_plain(&self, address: WordAddress) -> u64;
    /// Reads one word, of whatever kind, of a block that somebody may free meanwhile and use for something else; `Acquire`. Nothing may hang on the
    /// answer but what is right if the block is still what it was.
    #[track_caller]
    fn load_optimistic(&self, address: WordAddress) -> u64;
    /// Writes one plain word that nobody else can reach yet.
    #[track_caller]
    fn store_plain(&self, address: WordAddress, value: u64);
    /// Runs `reader` over `length` payload bytes from `address`. The slice must not outlive the call.
    #[track_caller]
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R;
    /// Copies bytes into payload that nobody else can reach yet. The tail of the last word is left as it is.
    #[track_caller]
    fn write_payload(&self, address: WordAddress, bytes: &[u8]);
    /// Says that `words` words from `address` are from now on of `kind`. Free on real memory; models need it.
    #[track_caller]
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind);

    /// Whether a compare-exchange that succeeds orders all before it before all after it, as a `SeqCst` fence does. True of the locked
    /// instructions of x86-64, where such a fence is one more of them.
    const EXCHANGE_IS_FENCE: bool = false;
    /// A fence. `SeqCst` orders earlier stores before later loads; `Acquire` orders earlier loads before what follows.
    #[track_caller]
    fn fence(&self, order: Ordering);
    /// The cheap side of an asymmetric pair: orders my store before my load as seen by whoever calls [`Memory::heavy_fence`].
    #[track_caller]
    fn light_fence(&self);
    /// The dear side of the pair, and a `SeqCst` fence besides. False: it could not be had, and nothing is known of what others have stored before
    /// their light fences.
    #[track_caller]
    #[must_use]
    fn heavy_fence(&self) -> bool;
}

/// What a word is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// Accessed by atomic operations only.
    Atomic,
    /// Plain, immutable once published.
    Plain,
}

/// Time, waiting, pages, liveness and entropy.
pub trait System {
    /// Monotonic time in nanoseconds; exact, tens of ns to read.
    fn now_ns(&self) -> u64;
    /// Monotonic time in nanoseconds, in steps of milliseconds; a few ns to read.
    fn coarse_ns(&self) -> u64;
    /// Tells the processor, or the scheduler of a model, that the caller spins.
    fn spin_hint(&self);
    /// How long spinning pays before sleeping, in nanoseconds: about the cost of a wake-up; 0 on one processor.
    fn spin_ns(&self) -> u64;
    /// Sleeps while the low 32 bits of `bell` equal `expected`, at most `timeout_ns`. May return early for no reason.
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome;
    /// Wakes whoever sleeps on `bell`.
    fn wake(&self, bell: WordAddress);

    /// Makes sure that `words` words from `address` are backed by memory. Out of memory is an error here, never later.
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages>;
    /// Gives the memory behind `words` words back to the system; they read as zero afterwards.
    fn punch_pages(&self, address: WordAddress, words: u64);

    /// Takes the liveness byte of `slot` for this process. False: somebody who lives holds it.
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool;
    /// Takes out why [`System::claim_liveness`] failed since this was last asked, other than that somebody holds the byte: the number of the system's last error.
    ///
    /// Provided for platforms that refuse nobody.
    fn liveness_refusal(&self) -> Option<i32> {
        None
    }
    /// Gives the liveness byte of `slot` back.
    fn release_liveness(&self, slot: ProcessSlotId);
    /// Whether the process that holds `slot` lives. Proven, never guessed from silence.
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness;
    /// Who this process is.
    fn identity(&self) -> ProcessIdentity;
    /// The thread's number, for people who read `inspect`.
    fn thread_number(&self) -> u64;
    /// True in a child of the process that opened the space, until it has joined by itself.
    fn forked(&self) -> bool;
    /// Says that the child of a fork has a slot by now: [`System::forked`] is false from here on.
    ///
    /// Provided for platforms in which no child joins.
    fn has_joined(&self) {}
    /// Which joined process this is: 0 where [`System::forked`], and after joining another number than any parent had. What
    /// a process took for itself is its own for as long as this stays. Each access of an attempt asks, so it is to be a load.
    ///
    /// Provided for platforms in which no child joins.
    #[inline]
    fn incarnation(&self) -> u64 {
        u64::from(!self.forked())
    }
    /// True if it is `incarnation`, which is not 0, and that is known at once. Else ask.
    #[inline]
    fn is_surely(&self, incarnation: u64) -> bool {
        self.incarnation() == incarnation
    }
    /// 64 random bits.
    fn entropy(&self) -> u64;
}

/// All that the engine asks of its world. `Sync`: the threads of a process share one. `Clone`: a clone is the same memory in
/// the same process; each participant keeps one among its own words.
pub trait Platform: Memory + System + Clone + Send + Sync + 'static {}
impl<T: Memory + System + Clone + Send + Sync + 'static> Platform for T {}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The word changed, somebody rang, or for no reason at all: look again.
    Woken,
    /// The time is over.
    TimedOut,
}

/// The system gives no pages for the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: no room for {bytes} more bytes of the space (errno {errno})", self.reason())]
pub struct OutOfPages {
    /// How much was asked for.
    pub bytes: u64,
    /// What the system answered.
    pub errno: i32,
}

impl OutOfPages {
    /// Whether it is the limit of this process on the size of files (`RLIMIT_FSIZE`): another process may have room.
    pub fn is_file_limit(&self) -> bool {
        self.errno == libc::EFBIG
    }

    fn reason(&self) -> &'static str {
        match self.errno {
            libc::ENOSPC => "the file system that the space is in is full",
            libc::EDQUOT => "the quota of the user is used up where the space is",
            libc::EFBIG => "the limit on the size of files (RLIMIT_FSIZE, ulimit -f) is reached",
            libc::ENOMEM => "the system has no memory left",
            libc::EBADF => {
                "somebody has closed the file of the space in this process, and by its name it is not to be had again"
            }
            libc::EMFILE | libc::ENFILE => {
                "somebody has closed the file of the space in this process, and no more files may be opened"
            }
            _ => "the system gives no memory",
        }
    }
}

/// A process as the kernel knows it. The start time tells a process from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Process number.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
}

/// What is known of a member of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Holds its byte.
    Alive,
    /// The byte is free and the process is gone (or is another one).
    Dead,
    /// The byte is free but the process lives: it closed the lock file by accident.
    Fenced,
}
