//! How a process notices that it is a fork: a page that the kernel wipes in the child.
//!
//! `fork` may be called by anybody, without handlers of ours, and every transaction asks; so asking must cost a load. Where
//! the kernel cannot wipe a page (before 4.14, and some sandboxes), the process number is asked for instead, a system
//! call each time.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Says whether this process is another one than the one that armed it.
#[derive(Debug)]
pub(super) struct ForkMark {
    /// Not 0 in the process that armed it.
    page: Option<NonNull<AtomicU64>>,
    /// Who armed it; read where there is no page.
    pid: AtomicU32,
}

// SAFETY: the page is reached through an atomic only and lives as long as the value.
unsafe impl Send for ForkMark {}
// SAFETY: as for Send.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    /// A mark of this process.
    pub(super) fn armed() -> Self {
        let mark = Self { page: wiped_page(), pid: AtomicU32::new(0) };
        mark.arm();
        mark
    }

    /// From now on this process is the one.
    pub(super) fn arm(&self) {
        // Relaxed: what else the process has to know about itself is published by whoever shares the Native.
        self.pid.store(std::process::id(), Relaxed);
        if let Some(page) = self.page {
            // SAFETY: mapped until drop, page-aligned.
            unsafe { page.as_ref() }.store(1, Relaxed);
        }
    }

    /// True in a child, until it arms the mark by itself.
    #[inline]
    pub(super) fn forked(&self) -> bool {
        match self.page {
            // SAFETY: mapped until drop, page-aligned. Relaxed: the child's page was wiped before its first instruction.
            Some(page) => unsafe { page.as_ref() }.load(Relaxed) == 0,
            None => std::process::id() != self.pid.load(Relaxed),
        }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        if let Some(page) = self.page {
            // SAFETY: mapped by `wiped_page`; the value that alone reaches it ends here.
            let _ = unsafe { munmap(page.as_ptr().cast(), rustix::param::page_size()) };
        }
    }
}

/// A private page that reads as 0 in every child; `None` where the kernel has no such thing.
fn wiped_page() -> Option<NonNull<AtomicU64>> {
    let length = rustix::param::page_size();
    // SAFETY: no MAP_FIXED, so nothing that exists is replaced.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: the page mapped above, in which nothing is yet.
    if unsafe { madvise(page, length, Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: mapped above and reached by nobody else.
        let _ = unsafe { munmap(page, length) };
        return None;
    }
    NonNull::new(page.cast())
}
