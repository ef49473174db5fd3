//! Children of forks that have still to join: does anybody know whether they will?
//!
//! A parent keeps what it holds until each child has copied it (see `holding`), so it has to learn of a child that never
//! comes: the fork failed, or the child was killed, or has started another program. Nobody tells it. So each fork has a pipe that
//! nothing is written to. The child keeps the writing end until it has joined, or has found that it cannot; the parent closes its
//! own at once. When the pipe ends, that child is through, one way or the other. When all have ended, nobody is to come, and
//! whatever is still counted is for nobody.
//!
//! A fork for which the system has no pipe is waited for as long as the process lives. So is the child of one that ran no handlers in
//! the child.
//!
//! This is state of a process, not of a space: one fork is a fork of all spaces.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};

use super::descriptor::Descriptor;

/// Longest wait for the list. Whoever has it makes some system calls; only a fork in the middle of that makes it longer.
const PATIENCE: Duration = Duration::from_secs(2);

static EXPECTED: Mutex<Expected> = Mutex::new(Expected { children: Vec::new(), forks: 0 });
/// Whether somebody is to come. For those who ask often.
static ANY: AtomicBool = AtomicBool::new(false);

struct Expected {
    children: Vec<Child>,
    /// Since nobody was expected.
    forks: u64,
}

struct Child {
    /// Who forks.
    thread: ThreadId,
    /// `None` where the system had no pipe.
    reader: Option<Descriptor>,
    writer: Option<Descriptor>,
}

impl Child {
    /// Whether it has joined, or never will.
    fn is_through(&self) -> bool {
        // Where somebody has closed it, nobody knows.
        let Some(reader) = self.reader.as_ref().and_then(Descriptor::get) else { return false };
        // Nothing is ever written: it has ended, or would be waited for.
        !matches!(read(reader, &mut [0u8; 1]), Err(Errno::AGAIN | Errno::INTR))
    }
}

/// Before a fork, and before anything is counted for its child.
pub fn expect_child() {
    let Some(mut expected) = lock() else { return };
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok();
    let (reader, writer) = pipe.map_or((None, None), |(reader, writer)| {
        let [reader, writer] = [reader, writer].map(Descriptor::new);
        (reader.ok(), writer.ok())
    });
    expected.children.push(Child { thread: std::thread::current().id(), reader, writer });
    expected.forks += 1;
    ANY.store(true, Relaxed);
}

/// In the parent after a fork, also if there is no child.
pub fn let_child_go() {
    let Some(mut expected) = lock() else { return };
    let me = std::thread::current().id();
    for child in expected.children.iter_mut().filter(|child| child.thread == me) {
        child.writer = None;
    }
}

/// In the child, once it has joined all spaces or has given that up.
pub fn arrive() {
    // Not waited for: a thread that does not exist here may have it. Then the parent waits as long as this process lives.
    let Ok(mut expected) = EXPECTED.try_lock() else { return };
    expected.children.clear();
    expected.forks = 0;
    ANY.store(false, Relaxed);
}

/// If children were expected and none of them is to come any more: runs `forget` with the number of forks since nobody was
/// expected. What is still counted for children of this process is at most that, and for nobody. No fork begins meanwhile.
///
/// Cost: a load; while somebody is expected, two system calls for each.
#[inline]
pub fn settle(forget: impl FnOnce(u64)) {
    // Relaxed: whoever misses it finds it the next time.
    if ANY.load(Relaxed) {
        settle_expected(forget);
    }
}

#[cold]
fn settle_expected(forget: impl FnOnce(u64)) {
    // Somebody else is at it.
    let Ok(mut expected) = EXPECTED.try_lock() else { return };
    expected.children.retain(|child| !child.is_through());
    if expected.children.is_empty() {
        ANY.store(false, Relaxed);
        forget(std::mem::take(&mut expected.forks));
    }
}

fn lock() -> Option<MutexGuard<'static, Expected>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match EXPECTED.try_lock() {
            Ok(expected) => return Some(expected),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;

    use super::*;

    /// The danger: who closes all descriptors gets their numbers, and loses a byte of what he reads, or the file.
    #[test]
    fn what_has_the_number_of_a_pipe_by_now_is_left_alone() {
        expect_child();
        let mut mine = tempfile::tempfile().unwrap();
        mine.write_all(b"mine").unwrap();
        mine.rewind().unwrap();
        let numbers = {
            let expected = lock().unwrap();
            let child = &expected.children[0];
            [&child.reader, &child.writer].map(|end| end.as_ref().unwrap().number().as_raw_fd())
        };
        for number in numbers {
            // SAFETY: two numbers; that the pipe's are gone is what this is about.
            assert_eq!(unsafe { libc::dup2(mine.as_raw_fd(), number) }, number);
        }
        settle(|forks| panic!("{forks} forks are through, it is said"));
        assert_eq!(mine.stream_position().unwrap(), 0);
        let_child_go();
        arrive();
        for number in numbers {
            // SAFETY: asks for flags, and closes what was opened above.
            assert_eq!(unsafe { (libc::fcntl(number, libc::F_GETFD), libc::close(number)) }, (0, 0));
        }
    }
}
