//! How a process notices that it is a fork: a page that the kernel wipes in the child.
//!
//! `fork` may be called by anybody, without handlers of ours, and every access of a transaction asks; so asking must cost a
//! load. Where the kernel cannot wipe a page (before 4.14, and some sandboxes), the process number is asked for instead, a
//! system call each time.
//!
//! Invariant: the page holds 0, or the incarnation of this very process. Incarnations rise from parent to child, so what a
//! parent took for itself is never taken for its child's.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// What stands for the page where there is none: 0, as in a child.
static NO_PAGE: AtomicU64 = AtomicU64::new(0);

/// The page of a [`ForkMark`], in reach without it. Whoever keeps one keeps the mark alive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page(NonNull<AtomicU64>);

impl Page {
    /// The incarnation that armed it; 0 in a child, and where the kernel wipes no page.
    #[inline(always)]
    pub(super) fn incarnation(self) -> u64 {
        // SAFETY: mapped as long as its mark lives and page-aligned, or a static. The child's page was wiped before
        // its first instruction. Acquire: whose child it is no more another thread may have found: pairs with `arm`.
        unsafe { self.0.as_ref() }.load(Acquire)
    }
}

/// Says whether this process is another one than the one that armed it.
#[derive(Debug)]
pub(super) struct ForkMark {
    /// The incarnation, wiped in children; [`NO_PAGE`] where the kernel cannot.
    page: NonNull<AtomicU64>,
    /// The incarnation, as children inherit it.
    incarnation: AtomicU64,
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
        let page = wiped_page().unwrap_or(NonNull::from(&NO_PAGE));
        let mark = Self { page, incarnation: AtomicU64::new(0), pid: AtomicU32::new(0) };
        mark.arm();
        mark
    }

    /// Where the incarnation stands. Good as long as the mark.
    pub(super) fn reach(&self) -> Page {
        Page(self.page)
    }

    pub(super) fn has_page(&self) -> bool {
        self.page != NonNull::from(&NO_PAGE)
    }

    fn page(&self) -> &AtomicU64 {
        // SAFETY: mapped until drop and page-aligned, or a static.
        unsafe { self.page.as_ref() }
    }

    /// From now on this process is the one.
    pub(super) fn arm(&self) {
        let incarnation = self.incarnation.fetch_add(1, Relaxed) + 1;
        // Release: which slot it has got the process's other threads find behind it.
        self.pid.store(std::process::id(), Release);
        if self.has_page() {
            self.page().store(incarnation, Release);
        }
    }

    /// The number of the process that armed the mark; 0 in a child, until it arms the mark by itself. For where its page
    /// says 0.
    #[cold]
    #[inline(never)]
    pub(super) fn incarnation(&self) -> u64 {
        if self.has_page() {
            return self.reach().incarnation();
        }
        if std::process::id() == self.pid.load(Acquire) { self.incarnation.load(Relaxed) } else { 0 }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        if self.has_page() {
            // SAFETY: mapped by `wiped_page`; the value that alone reaches it ends here.
            let _ = unsafe { munmap(self.page.as_ptr().cast(), rustix::param::page_size()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the kernel wipes no page the mark still knows its process.
    #[test]
    fn without_a_page_the_process_number_tells() {
        let mark = ForkMark { page: NonNull::from(&NO_PAGE), incarnation: AtomicU64::new(0), pid: AtomicU32::new(0) };
        assert_eq!(mark.incarnation(), 0, "armed by nobody");
        mark.arm();
        assert_eq!(mark.incarnation(), 1);
        mark.arm();
        assert_eq!(mark.incarnation(), 2);
        mark.pid.store(std::process::id() + 1, Relaxed);
        assert_eq!(mark.incarnation(), 0, "armed by another process");
    }

    #[test]
    fn a_mark_that_is_armed_again_is_another_incarnation() {
        let mark = ForkMark::armed();
        let first = mark.incarnation();
        mark.arm();
        assert!(first > 0 && mark.incarnation() > first);
    }
}
