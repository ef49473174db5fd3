//! From the engine's errors to exceptions. The classes are written in Python (`pso/_errors.py`).

use std::path::Path;

use pso_engine::arena::ArenaError;
use pso_engine::error::{Full, Stop};
use pso_engine::fsck::RepairError;
use pso_engine::space::JoinError;

use crate::ffi::error::{raise_call, taken};
use crate::ffi::natives::Native;
use crate::ffi::{Any, Kind, Object, Python, Raised, Result, Visitor};

/// No region of a space is longer.
const MOST_BYTES: u64 = 64 << 20;

/// So many exceptions of a group are looked at: with more it is the body's failure, whatever they are.
const MOST_IN_A_GROUP: usize = 100_000;

/// The exception classes of one interpreter.
pub struct Errors {
    /// `pso.Error`
    pub base: Object,
    /// `pso.NoSpaceError`
    pub no_space: Object,
    /// `pso.SpaceClosedError`
    pub closed: Object,
    /// `pso.NotShareableError`
    pub not_shareable: Object,
    /// `pso.CrossSpaceError`
    pub cross_space: Object,
    /// `pso.StaleHandleError`
    pub stale: Object,
    /// `pso.ArenaFull`
    pub full: Object,
    /// `pso.NoAddressesError`
    pub no_addresses: Object,
    /// `pso.FileLimitError`
    pub file_limit: Object,
    /// `pso.NoPlaceError`
    pub no_place: Object,
    /// `pso.TooLargeError`
    pub too_large: Object,
    /// `pso.InUseError`
    pub in_use: Object,
    /// `pso.CorruptSpaceError`
    pub corrupt: Object,
    /// `pso.ForeignFileError`
    pub foreign: Object,
    /// `pso.VersionError`
    pub version: Object,
    /// `pso.OlderFormatError`
    pub older: Object,
    /// `pso.NewerFormatError`
    pub newer: Object,
    /// `pso.OtherBootError`
    pub other_boot: Object,
    /// `pso.ForkedInTransactionError`
    pub forked: Object,
    /// `pso.TransactionTimeout`
    pub timeout: Object,
    /// `pso.ReadOnlyError`
    pub read_only: Object,
    /// `pso.ConflictError`
    pub conflict: Object,
    /// `pso._errors.RetryRequest`
    pub retry: Object,
    file_exists: Object,
    file_not_found: Object,
    permission: Object,
    os: Object,
    /// `Exception`: what a body may handle.
    pub exception: Object,
    group: Object,
}

impl Errors {
    /// Finds the classes.
    pub fn load(py: Python<'_>) -> Result<Self> {
        let own = py.import(c"pso._errors")?;
        let builtins = py.import(c"builtins")?;
        Ok(Self {
            base: own.attribute(py, c"Error")?,
            no_space: own.attribute(py, c"NoSpaceError")?,
            closed: own.attribute(py, c"SpaceClosedError")?,
            not_shareable: own.attribute(py, c"NotShareableError")?,
            cross_space: own.attribute(py, c"CrossSpaceError")?,
            stale: own.attribute(py, c"StaleHandleError")?,
            full: own.attribute(py, c"ArenaFull")?,
            no_addresses: own.attribute(py, c"NoAddressesError")?,
            file_limit: own.attribute(py, c"FileLimitError")?,
            no_place: own.attribute(py, c"NoPlaceError")?,
            too_large: own.attribute(py, c"TooLargeError")?,
            in_use: own.attribute(py, c"InUseError")?,
            corrupt: own.attribute(py, c"CorruptSpaceError")?,
            foreign: own.attribute(py, c"ForeignFileError")?,
            version: own.attribute(py, c"VersionError")?,
            older: own.attribute(py, c"OlderFormatError")?,
            newer: own.attribute(py, c"NewerFormatError")?,
            other_boot: own.attribute(py, c"OtherBootError")?,
            forked: own.attribute(py, c"ForkedInTransactionError")?,
            timeout: own.attribute(py, c"TransactionTimeout")?,
            read_only: own.attribute(py, c"ReadOnlyError")?,
            conflict: own.attribute(py, c"ConflictError")?,
            retry: own.attribute(py, c"RetryRequest")?,
            file_exists: builtins.attribute(py, c"FileExistsError")?,
            file_not_found: builtins.attribute(py, c"FileNotFoundError")?,
            permission: builtins.attribute(py, c"PermissionError")?,
            os: builtins.attribute(py, c"OSError")?,
            exception: builtins.attribute(py, c"Exception")?,
            group: builtins.attribute(py, c"BaseExceptionGroup")?,
        })
    }

    /// Shows every class to the collector.
    pub fn traverse(&self, visitor: &Visitor) {
        for class in [
            &self.base,
            &self.no_space,
            &self.closed,
            &self.not_shareable,
            &self.cross_space,
            &self.stale,
            &self.full,
            &self.no_addresses,
            &self.file_limit,
            &self.no_place,
            &self.too_large,
            &self.in_use,
            &self.corrupt,
            &self.foreign,
            &self.version,
            &self.older,
            &self.newer,
            &self.other_boot,
            &self.forked,
            &self.timeout,
            &self.read_only,
            &self.conflict,
            &self.retry,
            &self.file_exists,
            &self.file_not_found,
            &self.permission,
            &self.os,
            &self.exception,
            &self.group,
        ] {
            visitor.object(class);
        }
    }

    /// Whether an attempt that was stopped has raised just that, or an `Exception` on the way. What is neither (Ctrl-C, an exit) is not for us to drop.
    pub fn is_of_stopped(&self, py: Python<'_>, raised: Raised) -> (Raised, bool) {
        self.is_of(py, raised, &[&self.exception, &self.conflict, &self.retry])
    }
    /// Whether a body that was not stopped asks to be run again.
    pub fn is_conflict(&self, py: Python<'_>, raised: Raised) -> (Raised, bool) {
        self.is_of(py, raised, &[&self.conflict])
    }
    /// Whether it says that the space is full.
    pub fn is_full(&self, py: Python<'_>, raised: Raised) -> (Raised, bool) {
        self.is_of(py, raised, &[&self.full])
    }
    /// Whether the exception is of one of `classes`; a group (`except*` and `TaskGroup` make them): whether all that it is made of are.
    fn is_of(&self, py: Python<'_>, raised: Raised, classes: &[&Object]) -> (Raised, bool) {
        if classes.iter().any(|class| raised.matches(py, class)) {
            return (raised, true);
        }
        if !raised.matches(py, &self.group) {
            return (raised, false);
        }
        match raised.take(py) {
            // It is dropped, or goes on as it is: what fails while it is looked at is nobody's, but for a Ctrl-C.
            Some(group) => {
                let all = self.consists_of(py, &group, classes).unwrap_or_else(|failed| {
                    failed.put_off(py);
                    false
                });
                (Raised::again(py, &group), all)
            }
            None => (Kind::System.raise(py, "an exception without a value"), false),
        }
    }
    /// A loop, for groups may stand in one another to any depth; but not without end, as one of a class of the user's may that has itself in it.
    fn consists_of(&self, py: Python<'_>, group: &Any, classes: &[&Object]) -> Result<bool> {
        let mut left = vec![group.to_object()];
        let mut found = 0;
        while let Some(exception) = left.pop() {
            let mut is_one = false;
            for class in classes {
                is_one |= exception.is_instance(py, class)?;
            }
            if is_one {
                continue;
            }
            if !exception.is_instance(py, &self.group)? {
                return Ok(false);
            }
            let inner = exception.attribute(py, c"exceptions")?;
            if inner.native() != Native::Tuple {
                return Ok(false);
            }
            let inner = inner.tuple_items(py)?;
            found += inner.len();
            if found > MOST_IN_A_GROUP {
                return Ok(false);
            }
            left.extend(inner);
        }
        Ok(true)
    }

    /// Raises what stopped an attempt. `closed`: the space was closed while somebody slept in it.
    #[cold]
    pub fn stopped(&self, py: Python<'_>, stop: Stop, closed: bool) -> Raised {
        match stop {
            Stop::Conflict => {
                Raised::with(py, &self.conflict, "another transaction went first: this attempt is run again")
            }
            Stop::Retry => Raised::with(py, &self.retry, "this attempt waits for a change"),
            // A signal handler raised, and its exception is still set: whatever else it has done.
            Stop::Interrupted => taken(py).unwrap_or_else(|| {
                if closed { self.space_closed(py) } else { Kind::Runtime.raise(py, stop.to_string()) }
            }),
            Stop::TimedOut => Raised::with(py, &self.timeout, stop.to_string()),
            Stop::ReadOnly => Raised::with(py, &self.read_only, stop.to_string()),
            Stop::Irrevocable => Kind::Runtime.raise(py, stop.to_string()),
            Stop::Full(full) => self.no_room(py, *full),
            Stop::Stale(_) | Stop::WrongKind { .. } => Raised::with(py, &self.stale, stop.to_string()),
            Stop::Corrupt(_) => Raised::with(py, &self.corrupt, stop.to_string()),
            Stop::Forked => self.forked_inside(py),
            other => Raised::with(py, &self.base, other.to_string()),
        }
    }

    /// Raises that a space is closed.
    #[cold]
    pub fn space_closed(&self, py: Python<'_>) -> Raised {
        Raised::with(py, &self.closed, "the space is closed")
    }

    /// Raises that this is a fork inside a transaction.
    #[cold]
    pub fn forked_inside(&self, py: Python<'_>) -> Raised {
        let message = "this process was forked inside a transaction, which goes on in its parent only";
        Raised::with(py, &self.forked, message)
    }

    /// Raises that there is no room.
    #[cold]
    pub fn no_room(&self, py: Python<'_>, full: Full) -> Raised {
        match full {
            Full::System(pages) if pages.is_file_limit() => self.too_long(py, &full.to_string()),
            // The engine has not looked further: it does not fit into this one.
            Full::Space { bytes, .. } if bytes > MOST_BYTES => {
                let message = format!("a value of {bytes} bytes is too long: no space has so many side by side");
                Raised::with(py, &self.too_large, message)
            }
            Full::TooLarge { .. } | Full::TooMany { .. } => Raised::with(py, &self.too_large, full.to_string()),
            full => Raised::with(py, &self.full, full.to_string()),
        }
    }

    /// Raises why this process or thread cannot take part.
    #[cold]
    pub fn not_joined(&self, py: Python<'_>, error: &JoinError) -> Raised {
        let class = match error {
            JoinError::Full(full) => return self.no_room(py, *full),
            JoinError::Processes { .. } | JoinError::Participants { .. } => &self.no_place,
            JoinError::Corrupt(_) => &self.corrupt,
            _ => &self.base,
        };
        Raised::with(py, class, error.to_string())
    }

    /// Raises why a space cannot be repaired.
    #[cold]
    pub fn not_repaired(&self, py: Python<'_>, error: &RepairError) -> Raised {
        match error {
            RepairError::Join(error) => self.not_joined(py, error),
            RepairError::InUse { .. } => Raised::with(py, &self.in_use, error.to_string()),
            RepairError::Pages(_) => Raised::with(py, &self.full, error.to_string()),
            _ => Raised::with(py, &self.base, error.to_string()),
        }
    }

    /// Raises why a space cannot be made, opened or removed.
    #[cold]
    pub fn arena(&self, py: Python<'_>, error: &ArenaError) -> Raised {
        let class = match error {
            ArenaError::AlreadyExists { .. } => return self.system(py, &self.file_exists, libc_errno::EEXIST, error),
            ArenaError::NotFound { .. } => return self.system(py, &self.file_not_found, libc_errno::ENOENT, error),
            ArenaError::NotOwner { .. } | ArenaError::Permission { .. } => {
                return self.system(py, &self.permission, libc_errno::EACCES, error);
            }
            ArenaError::NoMembarrier { .. } => return self.system(py, &self.permission, libc_errno::EACCES, error),
            ArenaError::System { source, .. } => {
                return self.system(py, &self.os, source.raw_os_error().unwrap_or(0), error);
            }
            ArenaError::BadName { .. } | ArenaError::TooSmall { .. } | ArenaError::TooLarge { .. } => {
                return Kind::Value.raise(py, error.to_string());
            }
            ArenaError::Foreign { .. } | ArenaError::NotSealed { .. } => &self.foreign,
            ArenaError::Older { .. } => &self.older,
            ArenaError::Newer { .. } => &self.newer,
            ArenaError::OtherLayout { .. } | ArenaError::OtherFeatures { .. } | ArenaError::OtherFences { .. } => {
                &self.version
            }
            ArenaError::OtherBoot { .. } => &self.other_boot,
            ArenaError::Corrupt { .. } | ArenaError::Truncated { .. } => &self.corrupt,
            ArenaError::FileLimit { .. } => return self.too_long(py, &error.to_string()),
            ArenaError::NoAddresses { .. } => &self.no_addresses,
            ArenaError::NoMemory { .. } | ArenaError::FileSystemFull { .. } => &self.full,
            _ => &self.base,
        };
        Raised::with(py, class, error.to_string())
    }

    /// Raises what stands in the way of a space in a directory of the user's, in terms of that; none where `error` says it.
    #[cold]
    pub fn directory(&self, py: Python<'_>, dir: &Path, error: &ArenaError) -> Option<Raised> {
        let shown = dir.display();
        match error {
            ArenaError::AlreadyExists { .. } if !dir.is_dir() => {
                let message = format!("{shown} is there, and is no directory");
                Some(numbered(py, &self.file_exists, libc_errno::EEXIST, &message))
            }
            ArenaError::AlreadyExists { .. } if dir.join("arena").symlink_metadata().is_err() => {
                let message = format!("the directory {shown} is not empty, and holds no space");
                Some(numbered(py, &self.file_exists, libc_errno::EEXIST, &message))
            }
            ArenaError::NotFound { .. } if dir.join("arena").symlink_metadata().is_err() => {
                let message = match dir.is_dir() {
                    true => format!("there is no space in the directory {shown}"),
                    false => format!("there is no directory {shown}"),
                };
                Some(numbered(py, &self.file_not_found, libc_errno::ENOENT, &message))
            }
            _ => None,
        }
    }

    /// Raises what became of a file, as `open()` does: with the class for its number, and with the path.
    #[cold]
    pub fn file(&self, py: Python<'_>, error: &std::io::Error, path: &Path) -> Raised {
        let number = error.raw_os_error().unwrap_or(libc_errno::EIO);
        let text = error.to_string();
        let sentence = text.split(" (os error").next().unwrap_or_default();
        match (py.int(i64::from(number)), py.str(sentence), py.path(path)) {
            (Ok(number), Ok(sentence), Ok(path)) => raise_call(py, &self.os, &[&number, &sentence, &path]),
            (Err(raised), _, _) | (_, Err(raised), _) | (_, _, Err(raised)) => raised,
        }
    }

    fn system(&self, py: Python<'_>, class: &Object, errno: i32, error: &ArenaError) -> Raised {
        let mut message = error.to_string();
        // Some sentences have it already; and the number stands before it as it is.
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        if !source.is_empty() && !message.contains(&source) {
            message = format!("{message}: {source}");
        }
        numbered(py, class, errno, &message.replace(&format!(" (os error {errno})"), ""))
    }

    /// Raises that a file would be longer than this process may have them.
    fn too_long(&self, py: Python<'_>, message: &str) -> Raised {
        numbered(py, &self.file_limit, libc_errno::EFBIG, message)
    }
}

/// An `OSError` with its number.
fn numbered(py: Python<'_>, class: &Object, errno: i32, message: &str) -> Raised {
    match (py.int(i64::from(errno)), py.str(message)) {
        (Ok(errno), Ok(message)) => raise_call(py, class, &[&errno, &message]),
        (Err(raised), _) | (_, Err(raised)) => raised,
    }
}

/// The numbers of Linux that we need, the same on all its platforms.
mod libc_errno {
    pub const EIO: i32 = 5;
    pub const ENOENT: i32 = 2;
    pub const EACCES: i32 = 13;
    pub const EEXIST: i32 = 17;
    pub const EFBIG: i32 = 27;
}
