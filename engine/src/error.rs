//! What can go wrong below a transaction, as values.

use std::fmt;

use crate::platform::OutOfPages;
use crate::word::Handle;

/// A word that nothing of ours writes was read: the space is damaged. Names the structure and the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the space is damaged: {what} at byte {byte_offset} holds {word:#018x}")]
pub struct Corrupt {
    /// Which structure.
    pub what: &'static str,
    /// Where.
    pub byte_offset: u64,
    /// What was read.
    pub word: u64,
}

/// A handle that names nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object behind handle {:#018x} is gone, or not committed yet", handle.raw())]
pub struct Stale {
    /// The handle.
    pub handle: Handle,
}

/// What there is a number for, and so no more than there are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// Cells that one transaction reads.
    Reads,
    /// Cells that it locks, and blocks that it makes and discards.
    Changes,
    /// Objects that one process holds.
    Holds,
    /// Places of one container.
    Places,
}

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reads => "reads in one transaction",
            Self::Changes => "changes in one transaction",
            Self::Holds => "objects that one process holds",
            Self::Places => "places in one container",
        })
    }
}

/// No room for another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Full {
    /// The space has reached the size it was created with.
    #[error("the space is full: no room for {bytes} more bytes in a space of {space_bytes}")]
    Space {
        /// Asked for.
        bytes: u64,
        /// Size of the space.
        space_bytes: u64,
    },
    /// More than lies side by side in any space of this kind, however much of it is free.
    #[error("a value of {bytes} bytes is too long: at most {most_bytes} lie side by side, however large the space is")]
    TooLarge {
        /// Asked for.
        bytes: u64,
        /// What the space has.
        most_bytes: u64,
    },
    /// More than there are numbers for.
    #[error("there can be no more than {most} {what}")]
    TooMany {
        /// Of what.
        what: Counted,
        /// So many there can be.
        most: u64,
    },
    /// The system has no memory for the pages.
    #[error(transparent)]
    System(#[from] OutOfPages),
}

impl Full {
    /// There may be room once something is freed.
    pub fn wants_room(&self) -> bool {
        matches!(self, Self::Space { .. } | Self::System(_))
    }

    /// This process has no memory for so much of its own.
    pub(crate) fn of_process(bytes: usize) -> Self {
        OutOfPages { bytes: bytes as u64, errno: libc::ENOMEM }.into()
    }
}

/// Why an attempt cannot go on. Whoever passes it on from a body ends the attempt by it: everything that it wrote is void. Most have ended it already; not `Retry`, `Stale`, `WrongKind`
/// and `Corrupt`, which a body may pass over.
///
/// Two words, what is rare in a box: each read and write gives a result with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// Somebody else went first: run the body again.
    #[error("another transaction went first")]
    Conflict,
    /// The body asked to wait until something that it has read changes, then to run again.
    #[error("the transaction waits for a change")]
    Retry,
    /// Whoever waits was interrupted (Ctrl-C).
    #[error("the wait was interrupted")]
    Interrupted,
    /// The time that the caller gave is over.
    #[error("the transaction did not finish in the time it was given")]
    TimedOut,
    /// Something in a read-only transaction writes.
    #[error("the transaction is read-only, and something in it writes")]
    ReadOnly,
    /// An irrevocable transaction asked to wait for a change.
    #[error("an irrevocable transaction cannot wait for a change: nobody else can change what it has read")]
    Irrevocable,
    /// No room.
    #[error(transparent)]
    Full(Box<Full>),
    /// A handle that names nothing any more.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The space is damaged.
    #[error(transparent)]
    Corrupt(Box<Corrupt>),
    /// This process is a fork of the one that opened the space and has not joined by itself.
    #[error("this process is a fork of the one that opened the space, and has to join by itself")]
    Forked,
    /// A value of the wrong kind was met (a handle of a list given where a dict is wanted).
    #[error("the object is a {found:?}, not a {wanted:?}")]
    WrongKind {
        /// What the operation is for.
        wanted: crate::word::BlockKind,
        /// What the handle names.
        found: crate::word::BlockKind,
    },
}

impl Stop {
    /// No room, and there may be some once something is freed.
    pub fn wants_room(&self) -> bool {
        matches!(self, Self::Full(full) if full.wants_room())
    }
}

impl From<Full> for Stop {
    #[cold]
    fn from(full: Full) -> Self {
        Self::Full(Box::new(full))
    }
}

impl From<Corrupt> for Stop {
    #[cold]
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(Box::new(corrupt))
    }
}

// What is nearly never met is on the stack of each who allocates.
const _: () = assert!(size_of::<Full>() <= 3 * size_of::<u64>());
// A read gives no more than its value and a tag.
const _: () = assert!(size_of::<Result<crate::word::Value, Stop>>() == 2 * size_of::<usize>());
