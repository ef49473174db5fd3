//! Limits of this process (`setrlimit`) that a space runs into: sizes of files, addresses.
//!
//! Whoever makes a file longer than `RLIMIT_FSIZE` is refused, and is sent SIGXFSZ besides, which ends a process that has not
//! said otherwise. A library must not die of that, nor change what signals do to its process: so the signal is held back in the
//! thread that makes the call, and taken away if the call was refused.

use std::mem::MaybeUninit;
use std::ptr::null_mut;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The limit, in bytes; `u64::MAX` where there is none.
pub(super) fn of(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

/// Makes a call that the limit on the size of files may refuse: `EFBIG`, and no signal.
///
/// Cost: two system calls beside the call.
pub(super) fn refused_quietly<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let held_back = only_sigxfsz();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: reads one set and writes the other, both of this frame.
    let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &held_back, before.as_mut_ptr()) } == 0;
    let result = call();
    if blocked {
        if matches!(result, Err(Errno::FBIG)) {
            let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: reads the set and the time; nobody wants to know more of the signal. It was sent to this thread, so it is
            // here by now, unless it is ignored.
            unsafe { libc::sigtimedwait(&held_back, null_mut(), &no_time) };
        }
        // SAFETY: the set was written by the first call, which succeeded.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    }
    result
}

fn only_sigxfsz() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` fills the set, and SIGXFSZ is a signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ);
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_succeeds_passes_and_the_mask_is_as_before() {
        let mask = || {
            let mut set = only_sigxfsz();
            // SAFETY: a null set changes nothing; the other is of this frame.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
            // SAFETY: the set was filled above.
            unsafe { libc::sigismember(&set, libc::SIGXFSZ) }
        };
        let before = mask();
        assert_eq!(refused_quietly(|| Ok(mask())), Ok(1));
        assert_eq!(refused_quietly::<()>(|| Err(Errno::FBIG)), Err(Errno::FBIG));
        assert_eq!(mask(), before);
    }
}
