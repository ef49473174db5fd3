//! One mapping of a space per process, whoever asks: a table of what this process has joined.
//!
//! The table is process-wide and knows no Python. Interpreters share what it holds: one mapping, one process slot. A
//! [`Membership`] is one share; when the last one ends, the process leaves the space. A participant holds a share, too,
//! so nobody leaves under a thread that still sleeps inside.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::{Duration, Instant};

use pso_engine::arena::{ArenaError, Layout};
use pso_engine::platform::System;
use pso_engine::platform::native::{self, Choice, Native, Place, children};
use pso_engine::space::{JoinError, Space};
use pso_engine::transaction::Participant;

use crate::recording::Recordings;

/// Longest wait for the table. Only a fork in the middle of somebody's look-up makes it longer than microseconds.
const PATIENCE: Duration = Duration::from_secs(2);

static SPACES: Mutex<Option<HashMap<Which, Weak<Membership>>>> = Mutex::new(None);

/// Which space it is. A copy of a space's directory has its uuid, and is another space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Which {
    /// What its header says.
    pub uuid: [u8; 16],
    /// Device and inode of its file, which is open as long as anybody asks; zeros for an anonymous one.
    file: (u64, u64),
}

/// Where a space is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// By name.
    Name(String),
    /// In a directory, absolute.
    Directory(PathBuf),
    /// Nowhere: handed over by descriptor.
    Anonymous,
}

/// As the `repr` of a space has it.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Directory(path) => write!(f, "dir={:?}", path.display().to_string()),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// Why a space cannot be had.
#[derive(Debug)]
pub enum OpenError {
    /// The files are wrong.
    Arena(ArenaError),
    /// The space takes no more.
    Join(JoinError),
}

impl From<ArenaError> for OpenError {
    fn from(error: ArenaError) -> Self {
        Self::Arena(error)
    }
}
impl From<JoinError> for OpenError {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

/// A share of this process's membership in a space.
pub struct Membership {
    space: Arc<Space<Native>>,
    which: Which,
    recordings: Recordings,
}

impl Membership {
    /// The engine's face of it.
    pub fn space(&self) -> &Arc<Space<Native>> {
        &self.space
    }
    /// The mapping.
    pub fn native(&self) -> &Native {
        self.space.arena().platform()
    }
    /// Which space it is.
    pub fn which(&self) -> Which {
        self.which
    }
    /// The space's name among all spaces, which its copies have, too.
    pub fn uuid(&self) -> [u8; 16] {
        self.which.uuid
    }
    /// What records this process's transactions.
    #[inline]
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }
    /// In a child of a fork: takes a process slot of its own, once, whoever of the process's interpreters asks first.
    /// Gives whether it holds what its parent did.
    ///
    /// # Errors
    /// Where it has no slot after, the process stays a fork that has not joined; whoever asks again tries again.
    pub fn rejoin(&self) -> Result<bool, OpenError> {
        if self.native().forked()
            && let Err(error) = self.native().rejoin_after_fork()
        {
            self.space.disinherit();
            return Err(error.into());
        }
        Ok(self.space.rejoin()?)
    }
    /// Somebody who can run transactions.
    pub fn participant(&self) -> Result<Participant<Native>, JoinError> {
        self.space.participant()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // A courtesy: whoever does not get here leaves by being dead.
        self.space.leave();
        if let Some(spaces) = table().as_mut()
            && spaces.get(&self.which).is_some_and(|known| known.strong_count() == 0)
        {
            spaces.remove(&self.which);
        }
    }
}

/// Joins what was mapped, or shares what this process has joined already.
fn join(native: Native, layout: Layout) -> Result<Arc<Membership>, OpenError> {
    let which = Which { uuid: native.uuid(), file: native.file_key().unwrap_or_default() };
    let mut table = table();
    let spaces = table.get_or_insert_default();
    if let Some(known) = spaces.get(&which).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let membership =
        Arc::new(Membership { space: Space::join(native, layout)?, which, recordings: Recordings::default() });
    spaces.insert(which, Arc::downgrade(&membership));
    Ok(membership)
}

/// Makes a space.
pub fn create(place: &Location, choice: Choice) -> Result<Arc<Membership>, OpenError> {
    let (native, layout) = match place.place() {
        Some(place) => native::create(&place, choice)?,
        None => native::create_anonymous(choice)?,
    };
    join(native, layout)
}

/// Opens a space that exists. Anonymous ones have no place: see [`attach_descriptor`].
pub fn attach(place: &Place) -> Result<Arc<Membership>, OpenError> {
    let (native, layout) = native::attach(place)?;
    join(native, layout)
}

/// Opens the anonymous space that process `pid` has open as descriptor `number`.
pub fn attach_descriptor(pid: u32, number: i32) -> Result<Arc<Membership>, OpenError> {
    let path = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
    let file = native::open_anonymous(&path)?;
    let (native, layout) = native::attach_descriptor(file)?;
    join(native, layout)
}

/// If no child of a fork is to come any more, what was kept for such is let go of in all spaces.
#[inline]
pub fn settle_children() {
    children::settle(|forks| {
        let joined: Vec<_> = table().iter().flat_map(HashMap::values).filter_map(Weak::upgrade).collect();
        for membership in joined.iter().filter(|membership| !membership.native().forked()) {
            (0..forks).for_each(|_| membership.space.after_fork_failed());
            membership.space.empty_put_off();
        }
    });
}

/// The anonymous space with this uuid, if this process has joined it.
pub fn known_anonymous(uuid: &[u8; 16]) -> Option<Arc<Membership>> {
    let known = table().as_ref()?.get(&Which { uuid: *uuid, file: Default::default() })?.upgrade()?;
    known.native().path().is_none().then_some(known)
}

impl Location {
    /// What the engine calls it; `None` for an anonymous space.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Name(name) => Some(Place::Name(name.clone())),
            Self::Directory(path) => Some(Place::Directory(path.clone())),
            Self::Anonymous => None,
        }
    }
}

fn table() -> MutexGuard<'static, Option<HashMap<Which, Weak<Membership>>>> {
    lock(&SPACES)
}

/// Locks what is held for moments only, and never while Python runs.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::yield_now(),
            // A thread that a fork did not copy holds it for ever.
            Err(TryLockError::WouldBlock) => panic!("a table of this process was in use at the moment of a fork"),
        }
    }
}
