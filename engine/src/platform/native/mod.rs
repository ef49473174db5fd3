//! The native platform: a mapped file, hardware atomics, the kernel's clocks, futexes and locks.
//!
//! A space is a file in memory (`/dev/shm/pso.NAME/arena`, the same in a directory of the user's, or a sealed memfd) that
//! every member maps once, whole, at an address of its own. A word is `base + index * 8`, and an access is the one
//! instruction that the processor has for it.
//!
//! - [`create`], [`attach`], [`unlink`]: files and refusals (`place`, `open`).
//! - `mapping`: where the space lies, and the guards around it.
//! - `system`: clocks, waiting, pages, entropy.
//! - `descriptor`: files that may be closed behind our back. `live`, `process`: who lives. `fork`: who is a copy. `children`: who is to join yet. `limit`: what this process may have.
//!
//! Invariants:
//! 1. `base` is the start of a mapping of `words` words that lives as long as any clone of the `Native`; every [`WordAddress`] that gets
//!    here lies inside (rule 4 of [`crate::platform`]), which debug builds check.
//! 2. Words, atomic or plain, are accessed by atomic instructions of one width. Payload bytes are not; they are immutable
//!    once published.
//! 3. All members of a space fence as its header says (`fences`): a process that cannot is refused.

pub mod children;
mod descriptor;
mod fences;
mod fork;
mod limit;
mod live;
mod mapping;
mod open;
mod place;
mod process;
mod system;

pub use open::{Choice, attach, attach_descriptor, create, create_anonymous, open_anonymous};
pub use place::{Place, list_spaces, unlink};

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

use descriptor::Opened;

use crate::arena::ArenaError;
use crate::arena::header::Fences;
use crate::platform::{Memory, ProcessIdentity, WordKind};
use crate::word::WordAddress;

/// One space, mapped into this process. A clone is the same mapping, which ends with the last one.
#[derive(Clone, Debug)]
// In this order: each access begins with the base.
#[repr(C)]
pub struct Native {
    base: NonNull<AtomicU64>,
    words: u64,
    fork: fork::Page,
    fences: Fences,
    joined: Arc<Joined>,
}

/// What a process has of a space that it joined, once for all clones.
#[derive(Debug)]
struct Joined {
    fork: fork::ForkMark,
    spin_ns: u64,
    /// The process that opened the space, or joined it after a fork.
    pid: AtomicU32,
    start_time: AtomicU64,
    uuid: u128,
    path: PathBuf,
    /// The file of a named space. An anonymous one has its lock bytes in the same file, which must be open only once.
    arena: Option<Opened>,
    live: live::Membership,
    _mapping: mapping::Mapping,
}

// SAFETY: `base` points into the mapping and `fork` to its page, which live as long as `joined` and are accessed by atomics
// or as the engine orders it; nothing belongs to a thread.
unsafe impl Send for Native {}
// SAFETY: as for Send.
unsafe impl Sync for Native {}

impl Native {
    /// The descriptor of an anonymous space, to be handed to another process. Never close a duplicate of it in this
    /// process: that would end this process's liveness (it would be fenced). `None` for a named space.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.joined.arena.is_none().then(|| self.joined.live.file().number())
    }
    /// Name of this space among all spaces.
    pub fn uuid(&self) -> [u8; 16] {
        self.joined.uuid.to_be_bytes()
    }
    /// Directory of a named space, absolute; `None` for an anonymous one.
    pub fn path(&self) -> Option<&Path> {
        self.joined.arena.is_some().then_some(&self.joined.path)
    }
    /// Device and inode of its file, open as long as this lives: what sets it apart from its copies. `None` for an anonymous one.
    pub fn file_key(&self) -> Option<(u64, u64)> {
        self.joined.arena.as_ref().map(|arena| arena.file().key())
    }
    /// Bytes of the space, used or not.
    pub fn bytes(&self) -> u64 {
        self.words * 8
    }
    /// Bytes that are backed by memory at this moment.
    pub fn committed_bytes(&self) -> u64 {
        self.file().and_then(|file| rustix::fs::fstat(file).ok()).map_or(0, |stat| stat.st_blocks as u64 * 512)
    }

    /// In a forked child: gets ready to take a slot. The parent's slots are forgotten, not given back. It is a fork still, until it has one:
    /// [`System::has_joined`](crate::platform::System::has_joined).
    pub fn rejoin_after_fork(&self) -> Result<(), ArenaError> {
        let failed = |error| ArenaError::from_system("join, after a fork,", &self.joined.path, error);
        let identity = process::myself_or_why()?;
        if !fences::is_ready_for(self.fences) {
            return Err(ArenaError::NoMembarrier { path: self.joined.path.clone() });
        }
        self.joined.live.rejoin().map_err(failed)?;
        self.set_identity(identity);
        Ok(())
    }

    fn set_identity(&self, identity: ProcessIdentity) {
        // Relaxed: written before the value is shared, or in a child before it has joined, by all of its threads alike; read by this process only.
        self.joined.pid.store(identity.pid, Ordering::Relaxed);
        self.joined.start_time.store(identity.start_time, Ordering::Relaxed);
    }

    /// The file behind the mapping, unless somebody has closed it.
    fn file(&self) -> Option<BorrowedFd<'_>> {
        self.joined.arena.as_ref().map_or_else(|| self.joined.live.file(), Opened::file).get()
    }
    /// The same, opened anew by its name if somebody has closed it. An anonymous one has no name.
    fn file_again(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(file) = self.file() {
            return Ok(file);
        }
        let closed = || io::Error::from_raw_os_error(libc::EBADF);
        let arena = self.joined.arena.as_ref().ok_or_else(closed)?;
        arena.go_on_with(open::open_arena_again(&self.joined.path, arena.file().key())?);
        self.file().ok_or_else(closed)
    }

    #[inline(always)]
    fn word(&self, address: WordAddress) -> &AtomicU64 {
        debug_assert!(address.index() < self.words, "word {} of {}", address.index(), self.words);
        // SAFETY: invariant 1; the mapping is aligned to pages, and every access to a word is atomic (invariant 2).
        unsafe { &*self.base.as_ptr().add(address.index() as usize) }
    }

    #[inline(always)]
    fn payload(&self, address: WordAddress, length: usize) -> *const u8 {
        debug_assert!(
            address.index() <= self.words && length as u64 <= (self.words - address.index()) * 8,
            "{length} bytes from word {} of {}",
            address.index(),
            self.words
        );
        // SAFETY: invariant 1, for the whole of the payload.
        unsafe { self.base.as_ptr().add(address.index() as usize).cast() }
    }
}

impl Memory for Native {
    #[inline(always)]
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.word(address).load(order)
    }
    #[inline(always)]
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.word(address).store(value, order);
    }
    #[inline(always)]
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.word(address).swap(value, order)
    }
    #[inline(always)]
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
    #[inline(always)]
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.word(address).fetch_add(value, order)
    }
    #[inline(always)]
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.word(address).fetch_or(bits, order)
    }
    #[inline(always)]
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.word(address).fetch_and(bits, order)
    }

    #[inline(always)]
    fn prefetch(&self, address: WordAddress) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: a hint: of an address that is not mapped it does nothing.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(self.base.as_ptr().wrapping_add(address.index() as usize).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    #[inline(always)]
    fn load_plain(&self, address: WordAddress) -> u64 {
        // Relaxed and not plain, for the same instruction: a reader with a stale handle may look at a word that its new
        // owner writes. It throws away what it read, but a plain access would have been undefined before that.
        self.word(address).load(Ordering::Relaxed)
    }
    #[inline(always)]
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.word(address).load(Ordering::Acquire)
    }
    #[inline(always)]
    fn store_plain(&self, address: WordAddress, value: u64) {
        // Relaxed: see `load_plain`; whoever publishes the block does so by a release store.
        self.word(address).store(value, Ordering::Relaxed);
    }
    #[inline]
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: inside the mapping (`payload`), initialized (mapped memory always is), immutable while the caller is
        // protected by its read log, and not used after the closure.
        reader(unsafe { std::slice::from_raw_parts(self.payload(address, length), length) })
    }
    #[inline]
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        // Relaxed and not plain, word by word: see `load_plain`; whoever goes along a log may look at a block that is written anew.
        let (words, tail) = bytes.as_chunks();
        for (word, bytes) in (0..).zip(words) {
            self.word(address.offset(word)).store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if !tail.is_empty() {
            let last = self.word(address.offset(words.len() as u64));
            let mut bytes = last.load(Ordering::Relaxed).to_ne_bytes();
            bytes[..tail.len()].copy_from_slice(tail);
            last.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
    #[inline(always)]
    fn retype(&self, _address: WordAddress, _words: u64, _kind: WordKind) {}

    /// Intel's manual, volume 3A, "Loads and Stores Are Not Reordered with Locked Instructions"; and compilers emit such an instruction for the
    /// fence itself, for AMD's processors, too. To the compiler an AcqRel exchange is a barrier in both directions.
    const EXCHANGE_IS_FENCE: bool = cfg!(target_arch = "x86_64");

    #[inline(always)]
    fn fence(&self, order: Ordering) {
        fence(order);
    }
    #[inline(always)]
    fn light_fence(&self) {
        match self.fences {
            Fences::Full => fence(Ordering::SeqCst),
            Fences::Membarrier => compiler_fence(Ordering::SeqCst),
        }
    }
    #[inline(always)]
    fn heavy_fence(&self) -> bool {
        fence(Ordering::SeqCst);
        self.fences == Fences::Full || fences::everywhere()
    }
}
