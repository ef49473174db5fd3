//! Clocks, waiting, pages, liveness and entropy of the native platform: all that asks the kernel.
//!
//! Clocks go through the vDSO (no system call). Waiting is a futex on the lower half of the bell, in the mapping, so that
//! it works between processes: never a private one. Pages are made certain by `fallocate` before they are used, in this
//! one place; without it a full file system would end a process with SIGBUS in the middle of a store.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::open::open_live_again;
use super::{Native, limit, process};
use crate::platform::{Liveness, OutOfPages, ProcessIdentity, System, WaitOutcome};
use crate::word::{ProcessSlotId, WordAddress};

/// About what a wake-up across cores costs.
const WAKE_NS: u64 = 20_000;
/// Pages are allocated in pieces: a signal makes the kernel give back the piece that it is at, and begin again.
const COMMIT_PIECE_BYTES: u64 = 4 << 20;
const LEAST_PIECE_BYTES: u64 = 4 << 10;

impl Native {
    /// The bell's lower half, as the kernel wants it.
    #[inline]
    fn bell(&self, bell: WordAddress) -> &AtomicU32 {
        let word: *const AtomicU32 = std::ptr::from_ref(self.word(bell)).cast();
        // SAFETY: the lower half of a word inside the mapping (little-endian, checked in `arena::header`). Only the
        // kernel accesses it by this width, as part of its own atomic compare.
        unsafe { &*word }
    }
}

impl System for Native {
    #[inline]
    fn now_ns(&self) -> u64 {
        nanoseconds(ClockId::Monotonic)
    }
    #[inline]
    fn coarse_ns(&self) -> u64 {
        nanoseconds(ClockId::MonotonicCoarse)
    }
    #[inline(always)]
    fn spin_hint(&self) {
        std::hint::spin_loop();
    }
    #[inline]
    fn spin_ns(&self) -> u64 {
        self.joined.spin_ns
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let timeout =
            Timespec { tv_sec: (timeout_ns / 1_000_000_000) as i64, tv_nsec: (timeout_ns % 1_000_000_000) as _ };
        // No flags: a shared futex, found by file and offset, for the other side has it mapped elsewhere.
        match futex::wait(self.bell(bell), futex::Flags::empty(), expected, Some(&timeout)) {
            Err(Errno::TIMEDOUT) => WaitOutcome::TimedOut,
            _ => WaitOutcome::Woken,
        }
    }
    fn wake(&self, bell: WordAddress) {
        // Fails for a bad address only, which `bell` excludes. All of them: a bell has one sleeper, or one by mistake too many.
        let _ = futex::wake(self.bell(bell), futex::Flags::empty(), i32::MAX as u32);
    }

    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        let out_of_pages = |errno: Errno| OutOfPages { bytes: words.saturating_mul(8), errno: errno.raw_os_error() };
        if address.index().checked_add(words).is_none_or(|end| end > self.words) {
            return Err(out_of_pages(Errno::INVAL));
        }
        let end = address.byte_offset() + words * 8;
        let mut at = address.byte_offset();
        let mut most = COMMIT_PIECE_BYTES;
        while at < end {
            let piece = most.min(end - at);
            let closed = |error: io::Error| out_of_pages(Errno::from_io_error(&error).unwrap_or(Errno::BADF));
            let file = self.file_again().map_err(closed)?;
            match limit::refused_quietly(|| fallocate(file, FallocateFlags::KEEP_SIZE, at, piece)) {
                Ok(()) => at += piece,
                // Where signals come faster than pages, a smaller one.
                Err(Errno::INTR) => most = (most / 2).max(LEAST_PIECE_BYTES),
                // What was allocated before this piece stays: others may have begun to use it.
                Err(errno) => return Err(out_of_pages(errno)),
            }
        }
        Ok(())
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        debug_assert!(address.index() + words <= self.words);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Closed by somebody, and not to be had again: then these pages stay, and are got again like others.
        let punch = |file| fallocate(file, flags, address.byte_offset(), words * 8);
        while self.file_again().ok().map(punch) == Some(Err(Errno::INTR)) {}
    }

    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.joined.live.claim(slot)
    }
    fn liveness_refusal(&self) -> Option<i32> {
        self.joined.live.take_refusal()
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.joined.live.release(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        let open = |key| match self.path() {
            Some(path) => open_live_again(path, key),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if self.joined.live.is_held(slot, open) {
            Liveness::Alive
        } else if !self.forked() && identity == self.identity()
            || process::is_gone(identity)
            || self.file().is_some_and(|file| process::has_no_access(identity, file))
        {
            // In the first case: this process had the slot before it ran another program, for which it holds no byte.
            Liveness::Dead
        } else {
            Liveness::Fenced
        }
    }
    fn identity(&self) -> ProcessIdentity {
        // Relaxed: see `set_identity`.
        let opened = ProcessIdentity {
            pid: self.joined.pid.load(Ordering::Relaxed),
            start_time: self.joined.start_time.load(Ordering::Relaxed),
        };
        if self.forked() { process::myself().unwrap_or(opened) } else { opened }
    }
    fn thread_number(&self) -> u64 {
        rustix::thread::gettid().as_raw_nonzero().get() as u64
    }
    #[inline(always)]
    fn forked(&self) -> bool {
        self.incarnation() == 0
    }
    fn has_joined(&self) {
        self.joined.fork.arm();
    }
    #[inline(always)]
    fn incarnation(&self) -> u64 {
        match self.fork.incarnation() {
            0 => self.joined.fork.incarnation(),
            incarnation => incarnation,
        }
    }
    #[inline(always)]
    fn is_surely(&self, incarnation: u64) -> bool {
        self.fork.incarnation() == incarnation
    }
    fn entropy(&self) -> u64 {
        entropy()
    }
}

#[inline]
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What spinning is worth on this machine.
pub(super) fn spin_ns() -> u64 {
    if available_parallelism().is_ok_and(|processors| processors.get() > 1) { WAKE_NS } else { 0 }
}

/// 64 random bits.
pub(super) fn entropy() -> u64 {
    let mut bytes = [0u8; 8];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(8) => return u64::from_ne_bytes(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            // Forbidden by a sandbox, at worst: names of files and places in memory get by with what a standard hasher
            // is seeded with.
            Err(_) => {
                return std::hash::BuildHasher::hash_one(
                    &std::hash::RandomState::new(),
                    nanoseconds(ClockId::Monotonic),
                );
            }
        }
    }
}
