//! Forks, and how their children end.

/// A child: 0, in it.
pub fn fork() -> i32 {
    // SAFETY: the child runs what the test gives it and ends by `exit_now`: no destructor, no other thread's locks but
    // the allocator's, which fork takes care of.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    pid
}

/// Of a child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process and nothing else.
    unsafe { libc::_exit(code) }
}

/// Waits for a child. -1: it was killed.
pub fn exit_code(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of this process and writes to a live variable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
}
