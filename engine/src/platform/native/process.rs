//! What the kernel says about processes: who I am, and whether another one can still run, or reach a space.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, test_kill_process, waitid};

use crate::arena::ArenaError;
use crate::platform::ProcessIdentity;

/// Flag of the ninth field of `stat`: the thread is past its last instruction in user mode (PF_EXITING).
const EXITING: u64 = 0x4;

/// What a file of `/proc` says. A process may call itself anything, and is called by the first 15 bytes of its program's name, which may end in the middle of a
/// character: that is not for us to refuse.
fn text_of(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// This process.
pub(super) fn myself() -> io::Result<ProcessIdentity> {
    let stat = text_of("/proc/self/stat")?;
    let start_time = parse(&stat).map(|stat| stat.start_time);
    let start_time = start_time.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat"))?;
    Ok(ProcessIdentity { pid: std::process::id(), start_time })
}

/// This process, or what a space cannot be opened for.
pub(super) fn myself_or_why() -> Result<ProcessIdentity, ArenaError> {
    myself().map_err(|error| ArenaError::from_proc(Path::new("/proc/self/stat"), error))
}

/// The pid namespace of this process, as the kernel numbers them; 0 where that cannot be known.
pub(super) fn pid_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}

/// True if the process can never run another instruction: it is gone, its number belongs to another one, or all its
/// threads are on their way out. What cannot be found out counts as running.
pub(super) fn is_gone(identity: ProcessIdentity) -> bool {
    let stat = match text_of(format!("/proc/{}/stat", identity.pid)) {
        Ok(stat) => stat,
        Err(_) => return is_nobody(identity.pid),
    };
    match parse(&stat) {
        Some(stat) if stat.start_time != identity.start_time => numbers_are_ours() || is_nobody(identity.pid),
        // A killed process stays a zombie until its parent looks, which may be never. But a leader that has left is a
        // zombie, too, while its other threads go on.
        Some(stat) if stat.exiting => numbers_are_ours() && threads_are_exiting(identity.pid),
        _ => false,
    }
}

fn threads_are_exiting(pid: u32) -> bool {
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(_) => return is_nobody(pid),
    };
    threads.into_iter().all(|thread| match thread.and_then(|thread| text_of(thread.path().join("stat"))) {
        Ok(stat) => parse(&stat).is_some_and(|stat| stat.exiting),
        Err(error) => no_such_process(&error),
    })
}

/// True if the process runs but does not map `file` (any more): it has started another program, or has closed the space
/// without leaving it. Believed only if this process, which maps the file, is shown to do so: file systems that show
/// another number there than `stat` says prove nothing.
pub(super) fn has_no_access(identity: ProcessIdentity, file: BorrowedFd<'_>) -> bool {
    let Ok(stat) = fstat(file) else { return false };
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let (device, inode) = (format!("{major:02x}:{minor:02x}"), stat.st_ino.to_string());
    let maps = |process: &str| {
        let maps = text_of(format!("/proc/{process}/maps")).ok()?;
        // Empty: the first thread has left and others have not.
        (!maps.is_empty()).then(|| maps.lines().any(|line| is_mapping_of(line, &device, &inode)))
    };
    maps(&identity.pid.to_string()) == Some(false) && maps("self") == Some(true) && numbers_are_ours()
}

/// Whether `/proc` counts processes as this one does. It may have been mounted in another pid namespace (`unshare --pid` without
/// `--mount-proc`, a chroot with the host's): what it says of a number is then somebody else's.
fn numbers_are_ours() -> bool {
    let Ok(status) = text_of("/proc/self/status") else { return false };
    let is_so_called =
        || fs::read_link("/proc/self").is_ok_and(|link| link.to_str() == Some(&std::process::id().to_string()));
    is_numbered_once(&status).unwrap_or_else(is_so_called)
}

/// A process has a number in the namespace of `/proc`, and in each one below that up to its own. `None`: a kernel that does not say (before 4.1, gVisor).
fn is_numbered_once(status: &str) -> Option<bool> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(numbers.split_ascii_whitespace().count() == 1)
}

/// A line is `range access offset device inode path`.
fn is_mapping_of(line: &str, device: &str, inode: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(3);
    fields.next() == Some(device) && fields.next() == Some(inode)
}

/// The kernel's word for it, whatever `/proc` shows: it may not be there, be hidden from us, or not be opened for want of descriptors.
fn is_nobody(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A zombie is somebody to `kill`; whether a child is one its parent may ask.
    let asks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid.is_none_or(|pid| {
        test_kill_process(pid) == Err(Errno::SRCH) || matches!(waitid(WaitId::Pid(pid), asks), Ok(Some(_)))
    })
}

/// Of a thread only these prove anything: too many open files, say, does not.
fn no_such_process(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    exiting: bool,
    start_time: u64,
}

/// Field 2 of `stat` is the command's name in brackets and may hold anything, brackets and spaces included.
fn parse(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?; // field 3
    let flags: u64 = fields.nth(5)?.parse().ok()?; // field 9
    let start_time = fields.nth(12)?.parse().ok()?; // field 22
    Some(Stat { exiting: matches!(state, "Z" | "X" | "x") || flags & EXITING != 0, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let tail = "R 1 2 3 4 5 4194304 7 8 9 10 11 12 13 14 15 16 17 18 987654 20";
        let expected = Some(Stat { exiting: false, start_time: 987_654 });
        assert_eq!(parse(&format!("42 (cat) {tail}")), expected);
        assert_eq!(parse(&format!("42 (a) R 1 (b) {tail}")), expected);
        assert_eq!(parse("42 (cat) R 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn who_has_two_numbers_is_in_a_namespace_below_that_of_proc() {
        for (status, expected) in [
            ("Name:\tcat\nNSpid:\t42\nNSpgid:\t40\t1\n", Some(true)),
            ("Name:\tcat\nNSpid:\t42\t1\n", Some(false)),
            ("Name:\tcat\n", None),
            ("", None),
        ] {
            assert_eq!(is_numbered_once(status), expected, "{status:?}");
        }
        // Where the tests run; what `i_am_here_and_nobody_else_is_me` is told is told by `/proc`.
        assert!(numbers_are_ours());
    }

    #[test]
    fn i_am_here_and_nobody_else_is_me() {
        let me = myself().unwrap();
        assert!(!is_gone(me));
        assert!(is_gone(ProcessIdentity { start_time: me.start_time + 1, ..me }));
        // Process numbers end at 2^22.
        assert!(is_gone(ProcessIdentity { pid: 1 << 23, start_time: 1 }));
    }

    /// A killed child whose parent does not wait for it must not hold up anybody, whatever it is called.
    #[test]
    fn a_zombie_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        zombie_is_gone(&mut child);
        // Somebody who waits for nothing and has a name that is cut off in the middle of a character.
        let script =
            r"printf '\320\276\320\261\320\275\320\276\320\262\320\273\320\265\320' > /proc/$$/comm; echo; read -r _";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        assert!(String::from_utf8(fs::read(format!("/proc/{}/stat", child.id())).unwrap()).is_err());
        zombie_is_gone(&mut child);
    }

    fn zombie_is_gone(child: &mut std::process::Child) {
        let stat = text_of(format!("/proc/{}/stat", child.id())).unwrap();
        let identity = ProcessIdentity { pid: child.id(), start_time: parse(&stat).unwrap().start_time };
        assert!(!is_gone(identity));
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !is_gone(identity) {
            assert!(std::time::Instant::now() < deadline, "the zombie still counts as running");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(identity));
    }
}
