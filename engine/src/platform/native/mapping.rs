//! The mapping of a space: one reservation, guard, space, guard.
//!
//! rustix and not memmap2, for the mapping has to lie at a random place between guards, so it is made with `MAP_FIXED`
//! inside a reservation of our own.
//!
//! Invariants:
//! 1. From `base` on, `bytes` bytes are mapped shared, readable and writable, until the value is dropped.
//! 2. Nothing else lies within [`GUARD_BYTES`] before or behind: a stray access that runs off either end traps.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// What is kept empty on either side. A multiple of the huge page, so that the space itself begins at one.
const GUARD_BYTES: usize = 2 << 20;
/// Random places are tried below this address: a quarter of what the smaller of the usual address spaces (47 bits) has.
const PLACE_BITS: u32 = 45;

/// A mapped space.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the memory belongs to no thread; all access to it goes through atomics or is ordered by the engine.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` bytes of `file`. `randomness` chooses the place.
    pub(super) fn new(file: BorrowedFd<'_>, bytes: u64, randomness: u64) -> Result<Self, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::NOMEM)?;
        let reserved = bytes.checked_add(2 * GUARD_BYTES + GUARD_BYTES).ok_or(Errno::NOMEM)?;
        // A hint, not an order: where something lies already, the kernel chooses another place. Of whole pages: valgrind
        // refuses others.
        let hint = (randomness as usize) & ((1 << PLACE_BITS) - 1) & !(rustix::param::page_size() - 1);
        // SAFETY: without MAP_FIXED nothing that exists is replaced.
        let start = unsafe {
            mmap_anonymous(hint as *mut _, reserved, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        // The reservation is one guard longer than it needs to be, so that the space can begin at a multiple of it.
        let base = (start as usize + GUARD_BYTES).next_multiple_of(GUARD_BYTES);
        // SAFETY: the range lies inside the reservation made above, which nobody else knows of.
        let mapped = unsafe {
            mmap(
                base as *mut _,
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED,
                file,
                0,
            )
        };
        let unmap = |from: usize, length: usize| {
            // SAFETY: the range lies inside the reservation, and no reference into it exists yet.
            let _ = unsafe { munmap(from as *mut _, length) };
        };
        if let Err(errno) = mapped {
            unmap(start as usize, reserved);
            return Err(errno);
        }
        // A dump of a crash would read every hole of the space, and fill it with pages. A refusal costs that only.
        // SAFETY: of the range mapped above; it changes what a dump takes, and nothing else.
        let _ = unsafe { madvise(base as *mut _, bytes, Advice::LinuxDontDump) };
        // Give back what alignment left over at either end; a failure costs address space only.
        let (first, end) =
            (base - GUARD_BYTES, base + bytes.next_multiple_of(rustix::param::page_size()) + GUARD_BYTES);
        if first > start as usize {
            unmap(start as usize, first - start as usize);
        }
        if end < start as usize + reserved {
            unmap(end, start as usize + reserved - end);
        }
        let base = NonNull::new(base as *mut AtomicU64).ok_or(Errno::NOMEM)?;
        Ok(Self { base, bytes })
    }

    /// The first word.
    pub(super) fn base(&self) -> NonNull<AtomicU64> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let first = self.base.as_ptr() as usize - GUARD_BYTES;
        let length = self.bytes.next_multiple_of(rustix::param::page_size()) + 2 * GUARD_BYTES;
        // SAFETY: exactly the range that `new` kept, and whoever drops the owner has given up all access to it.
        let _ = unsafe { munmap(first as *mut _, length) };
    }
}
