//! Liveness bytes: byte N of the lock file is locked by the process that holds process slot N, for as long as it lives.
//!
//! The lock is a classic fcntl record lock, the only kind that ends with the process itself: flock and OFD locks belong
//! to an open file and live on in every forked child. Classic locks have two properties that shape this module.
//! - A process never sees its own locks, and may lock twice what it holds. So each process keeps a bitmap of its own bytes.
//! - Closing *any* descriptor of the file ends *all* locks that the process has on it. So a process opens a lock file
//!   once, whoever asks (two mappings of one space, two interpreters), and a table for the whole process, the only
//!   global state of the native platform, knows which are open. Locks belong to processes, so their bookkeeping does.
//!
//! Invariants:
//! 1. A lock file is open at most once in a process, but for descriptors that were handed over to it twice; those are
//!    kept open as long as the first. (Only somebody who closes one of them behind our back, or opens the file by himself and closes it, ends the
//!    locks early: who copies the folder, say. Then we are `Fenced` for the others, never dead, and whoever joins after that, or asks who lives, opens the
//!    file anew if need be and locks again what is ours.)
//! 2. A bit of `mine` is set before its byte is locked and cleared after it is unlocked.
//! 3. One copy of this module is in a process: another one would not know its bytes, and take its slots for those of a program that this
//!    process ran before (`Native::liveness`).
//! 4. Nothing here waits for ever. Who forks has the table locked meanwhile, so no child finds it locked by a thread that was not copied.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::descriptor::{Descriptor, FileKey, Opened, key_of};
use super::fork::ForkMark;
use crate::word::ProcessSlotId;

/// Longest wait for the table. Whoever has it makes a few system calls, microseconds.
const TABLE_PATIENCE: Duration = Duration::from_secs(2);
/// Slots are 16 bits, so this covers every geometry.
const SLOT_WORDS: usize = (1 << 16) / 64;
/// A byte that is no slot's.
const NO_SLOT: u64 = 1 << 16;

static OPEN: Mutex<Vec<Arc<LiveFile>>> = Mutex::new(Vec::new());

/// The lock file of one space, as this process has it open.
pub(super) struct LiveFile {
    file: Opened,
    /// Further descriptors of the same file that must not be closed before `file`.
    duplicates: Mutex<Vec<Descriptor>>,
    /// The slots that this process holds.
    mine: Box<[AtomicU64]>,
    /// Whose slots `mine` are: not this process's in a fork that has not joined by itself. (Not its number: that may be given to a grandchild.)
    owner: ForkMark,
    /// The last error for which a byte was refused that nobody holds; 0: none.
    refusal: AtomicI32,
}

/// A share of a [`LiveFile`]; the last one closes it.
#[derive(Debug)]
pub(super) struct Membership(ManuallyDrop<Arc<LiveFile>>);

impl Membership {
    /// The lock file with this key: the open one, or what `open` opens.
    pub(super) fn join(key: FileKey, open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        let mut table = table()?;
        let Some(live) = known(&table, key) else {
            return Ok(Self::first(&mut table, Descriptor::known(open()?, key)));
        };
        live.forget_the_parents();
        live.open_unless_open(open)?;
        live.lock_again();
        Ok(Self(ManuallyDrop::new(live)))
    }

    /// The lock file behind a descriptor that was handed over.
    pub(super) fn adopt(file: OwnedFd) -> io::Result<Self> {
        let key = key_of(file.as_fd())?;
        let mut table = match table() {
            Ok(table) => table,
            Err(error) => {
                // Nobody knows whether closing it does harm. A leak does none.
                std::mem::forget(file);
                return Err(error);
            }
        };
        let Some(live) = known(&table, key) else {
            return Ok(Self::first(&mut table, Descriptor::known(file, key)));
        };
        live.forget_the_parents();
        // Who is given the number of one of ours knows that somebody has closed that one.
        if live.file().get().is_none() || live.has_number(file.as_raw_fd()) {
            live.go_on_with(file);
        } else {
            // Closing it would end the locks that this process holds through the first descriptor.
            lock(&live.duplicates).push(Descriptor::known(file, key));
        }
        Ok(Self(ManuallyDrop::new(live)))
    }

    fn first(table: &mut Vec<Arc<LiveFile>>, file: Descriptor) -> Self {
        let live = Arc::new(LiveFile::new(file));
        table.push(live.clone());
        Self(ManuallyDrop::new(live))
    }
}

fn known(table: &[Arc<LiveFile>], key: FileKey) -> Option<Arc<LiveFile>> {
    table.iter().find(|live| live.file().key() == key).cloned()
}

impl Deref for Membership {
    type Target = LiveFile;

    fn deref(&self) -> &LiveFile {
        &self.0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // Without the table the file stays open: better than to close it while another thread opens it anew.
        let Ok(mut table) = table() else { return };
        // Two: the table's and mine. Shares are made under the table's lock only, so nobody makes another now.
        if Arc::strong_count(&self.0) == 2 {
            table.retain(|live| !Arc::ptr_eq(live, &self.0));
        }
        // SAFETY: the field is not used again. Here and not by itself, so that the file is closed under the table's lock.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

impl LiveFile {
    fn new(file: Descriptor) -> Self {
        Self {
            file: Opened::new(file),
            duplicates: Mutex::default(),
            mine: (0..SLOT_WORDS).map(|_| AtomicU64::new(0)).collect(),
            owner: ForkMark::armed(),
            refusal: AtomicI32::new(0),
        }
    }

    /// If somebody has closed the file: goes on with what `open` opens. Under the table's lock.
    fn open_unless_open(&self, open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<()> {
        if self.file().get().is_none() {
            self.go_on_with(open()?);
        }
        Ok(())
    }

    /// Somebody has closed a descriptor of the file, and with it has ended the locks: locks our bytes again, by another one. Under the table's lock. Nobody has taken one
    /// meanwhile: whose process lives is not dead, with or without a lock.
    fn go_on_with(&self, file: OwnedFd) {
        // Nobody else has one meanwhile, so it is not closed at once: see above.
        self.file.go_on_with(file);
        self.lock_again();
    }

    /// Locks what is ours, if it is not locked any more. Under the table's lock.
    fn lock_again(&self) {
        if self.owner.incarnation() != 0 {
            self.held().for_each(|slot| drop(self.set_lock(slot.0.into(), libc::F_WRLCK)));
        }
    }

    fn has_number(&self, number: i32) -> bool {
        let is_it = |file: &Descriptor| file.number().as_raw_fd() == number;
        is_it(self.file()) || lock(&self.duplicates).iter().any(is_it)
    }

    fn held(&self) -> impl Iterator<Item = ProcessSlotId> {
        // Acquire: as in `holds`. Few words have bits.
        let words = self.mine.iter().map(|word| word.load(Acquire)).enumerate().filter(|(_, word)| *word != 0);
        words.flat_map(|(number, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 != 0);
            bits.map(move |bit| ProcessSlotId((number * 64 + bit) as u16))
        })
    }

    /// The descriptor itself. Never close a duplicate of it in this process.
    pub(super) fn file(&self) -> &Descriptor {
        self.file.file()
    }

    /// Whether this process gets locks on the file at all.
    pub(super) fn try_lock(&self) -> io::Result<()> {
        self.set_lock(NO_SLOT, libc::F_WRLCK)?;
        self.set_lock(NO_SLOT, libc::F_UNLCK)
    }

    /// Takes out why [`LiveFile::claim`] was refused what nobody holds.
    pub(super) fn take_refusal(&self) -> Option<i32> {
        // Relaxed: for people. Of two threads that join one may be told what the other one met.
        Some(self.refusal.swap(0, Relaxed)).filter(|errno| *errno != 0)
    }

    /// Takes the byte of `slot`. False: somebody holds it, or the system refuses.
    pub(super) fn claim(&self, slot: ProcessSlotId) -> bool {
        let (word, bit) = self.bit(slot);
        // AcqRel: of two threads that claim, one sees the other's bit; `release` must be over before we lock again.
        if word.fetch_or(bit, AcqRel) & bit != 0 {
            return false;
        }
        if self.set_lock(slot.0.into(), libc::F_WRLCK).is_ok() {
            return true;
        }
        // Once more: who opens the file anew meanwhile locks the byte, for the bit is set.
        let _table = table();
        let Err(error) = self.set_lock(slot.0.into(), libc::F_WRLCK) else { return true };
        word.fetch_and(!bit, AcqRel);
        // By POSIX either of these says that another process holds it.
        if let Some(errno) = error.raw_os_error().filter(|errno| ![libc::EAGAIN, libc::EACCES].contains(errno)) {
            self.refusal.store(errno, Relaxed);
        }
        false
    }

    /// Gives the byte of `slot` back.
    pub(super) fn release(&self, slot: ProcessSlotId) {
        let (word, bit) = self.bit(slot);
        if self.holds(slot) {
            // So that nobody who opens the file anew locks it again.
            let _table = table();
            // If this fails, the byte stays locked until the process ends: others take the slot for a living one.
            let _ = self.set_lock(slot.0.into(), libc::F_UNLCK);
            word.fetch_and(!bit, AcqRel);
        }
    }

    /// Whether a living process holds the byte of `slot`. What cannot be found out counts as held. `open` opens the file if somebody has closed it.
    pub(super) fn is_held(&self, slot: ProcessSlotId, open: impl FnOnce(FileKey) -> io::Result<OwnedFd>) -> bool {
        if self.holds(slot) {
            return true;
        }
        // Ours first: whoever is asked for may be about to ask for us. Nobody need wait for the table for that.
        if let Ok(_table) = OPEN.try_lock() {
            self.lock_again();
        }
        let key = self.file().key();
        if self.file().get().is_none() && table().and_then(|_table| self.open_unless_open(|| open(key))).is_err() {
            return true;
        }
        let wanted = Flock {
            start: slot.0 as u64,
            length: 1,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        self.file().get().is_none_or(|file| !matches!(fcntl_getlk(file, &wanted), Ok(None)))
    }

    /// In a fork: forgets the parent's slots, if nobody has done so yet. The descriptor is as good as a new one, for
    /// locks belong to the process and not to what is open; closing it here does not touch the parent's either.
    pub(super) fn rejoin(&self) -> io::Result<()> {
        let _table = table()?;
        self.forget_the_parents();
        Ok(())
    }

    /// The same, once, whoever asks first: who attaches in a fork may do so before anybody rejoins, or where nobody does (of a file that a thread of the parent
    /// had open in the middle of something). Under the table's lock, so that nobody claims a slot between the question and the last word.
    fn forget_the_parents(&self) {
        if self.owner.incarnation() == 0 {
            for word in self.mine.iter() {
                // Release: what this process claims from now on it claims in an empty bitmap.
                word.store(0, Release);
            }
            self.owner.arm();
        }
    }

    /// Whether this process holds the byte of `slot`.
    fn holds(&self, slot: ProcessSlotId) -> bool {
        let (word, bit) = self.bit(slot);
        // Acquire: pairs with `claim` and `release` of other threads.
        word.load(Acquire) & bit != 0
    }

    fn bit(&self, slot: ProcessSlotId) -> (&AtomicU64, u64) {
        (&self.mine[slot.0 as usize / 64], 1 << (slot.0 % 64))
    }

    fn set_lock(&self, byte: u64, kind: i32) -> io::Result<()> {
        let file = self.file().get().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: flock is plain numbers, for which zeros are a value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = byte as _;
        lock.l_len = 1;
        // SAFETY: F_SETLK reads one flock, which lives through the call; the descriptor is open.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for LiveFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<u16> = self.held().map(|slot| slot.0).collect();
        formatter.debug_struct("LiveFile").field("file", self.file()).field("held", &held).finish()
    }
}

type Table = MutexGuard<'static, Vec<Arc<LiveFile>>>;

thread_local! {
    /// The table, while this thread forks.
    static FORKING: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// From the first use of the table on every fork of the process waits for it. (One that is under way just then may not.)
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    extern "C" fn before() {
        // Not to be had: the child is as one without this.
        let _ = FORKING.try_with(|forking| forking.replace(locked_table().ok()));
    }
    extern "C" fn after() {
        let _ = FORKING.try_with(|forking| drop(forking.take()));
    }
    // Nobody waits for whoever is first: he may be in the middle of it in a parent, and waits for a fork himself.
    if !WATCHED.swap(true, AcqRel) {
        // SAFETY: the functions are there as long as the process, and do nothing that a child with one thread may not. Refused for want of memory: as above.
        let _ = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
    }
}

/// The table of open lock files, within [`TABLE_PATIENCE`].
fn table() -> io::Result<Table> {
    watch_forks();
    locked_table()
}

fn locked_table() -> io::Result<Table> {
    let deadline = Instant::now() + TABLE_PATIENCE;
    loop {
        match OPEN.try_lock() {
            Ok(table) => return Ok(table),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::Deadlock.into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The danger: no child of such a fork can ever join.
    #[test]
    fn a_fork_while_another_thread_has_the_table_leaves_it_free() {
        let (tell, told) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let table = table().unwrap();
            tell.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            drop(table);
        });
        told.recv().unwrap();
        // SAFETY: the child locks a mutex and ends at once.
        match unsafe { libc::fork() } {
            // SAFETY: as above.
            0 => unsafe { libc::_exit(i32::from(OPEN.try_lock().is_err())) },
            child => {
                let mut status = -1;
                // SAFETY: a child of ours, and a place for its status.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
        other.join().unwrap();
        assert!(table().is_ok());
    }

    const REFUSED: i32 = 99;
    const PANICKED: i32 = 98;

    /// Runs `body` in a child whose children are in a pid namespace of their own. Gives how it ended: [`REFUSED`] where the system makes none.
    fn in_a_child_with_a_namespace(body: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child has one thread, and ends here.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: plain numbers.
                let refused = unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0;
                let body = || if refused { REFUSED } else { body() };
                let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(PANICKED);
                // SAFETY: ends the child.
                unsafe { libc::_exit(status) }
            }
            child => {
                let mut status = -1;
                // SAFETY: a child of ours, and a place for its status.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
            }
        }
    }

    /// The danger: numbers of processes are given again, and a grandchild that has the number of its dead grandparent takes that one's slots for its own: it
    /// counts as alive for all others. Here both are the first process of a namespace.
    #[test]
    fn a_grandchild_with_the_number_of_its_grandparent_forgets_the_slots_of_that_one() {
        let path = std::env::temp_dir().join(format!("pso-live-{}", std::process::id()));
        let claimed_then = |check: fn(&LiveFile) -> bool| {
            let path = path.clone();
            in_a_child_with_a_namespace(move || {
                // The first process of a namespace.
                in_a_child_with_a_namespace(move || {
                    let file = std::fs::File::create(&path).unwrap();
                    let key = key_of(file.as_fd()).unwrap();
                    let live = LiveFile::new(Descriptor::known(file.into(), key));
                    assert!(live.claim(ProcessSlotId(1)));
                    if !live.owner.has_page() {
                        return REFUSED;
                    }
                    let me = std::process::id();
                    // The first one of another.
                    in_a_child_with_a_namespace(move || {
                        assert_eq!((me, std::process::id()), (1, 1));
                        live.rejoin().unwrap();
                        i32::from(!check(&live))
                    })
                })
            })
        };
        let forgets = claimed_then(|live| live.held().next().is_none());
        let _ = std::fs::remove_file(&path);
        if forgets == REFUSED {
            return eprintln!(
                "NOT SHOWN: numbers that are given again, where pid namespaces, or pages that are wiped, are not to be had"
            );
        }
        assert_eq!(forgets, 0);
    }
}
