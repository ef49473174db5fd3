//! What may be found, and the sentence for each.

use std::fmt;

use crate::allocator::Damage;
use crate::word::{CellAddress, ParticipantId, ProcessSlotId, WordAddress};

/// Something that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Somebody found damage before and said so.
    Poisoned {
        /// The number that he left.
        reason: u64,
    },
    /// Superblocks and blocks.
    Memory(Damage),
    /// A process slot names a process that is dead and was not cleared up after.
    DeadProcess {
        /// Which.
        slot: ProcessSlotId,
    },
    /// A participant slot is claimed by a process that is dead or gone.
    HeldByTheDead {
        /// Which.
        participant: ParticipantId,
    },
    /// A status word that nothing of ours writes, or one that is not at rest where it must be.
    Status {
        /// Whose.
        participant: ParticipantId,
        /// What was read.
        word: u64,
    },
    /// A participant slot whose claim is none, and not 0: nobody can have it.
    Claim {
        /// Which.
        participant: ParticipantId,
        /// What was read.
        word: u64,
    },
    /// A participant slot of nobody that says that an attempt is under way: nothing that is replaced would ever be freed.
    Start {
        /// Which.
        participant: ParticipantId,
        /// What was read.
        word: u64,
    },
    /// The version clock has a value that it never reaches.
    Clock {
        /// What was read.
        word: u64,
    },
    /// The number that blocks are retired at is none: who begins an attempt with it keeps nothing from being freed.
    Batch {
        /// What was read.
        word: u64,
    },
    /// A container in a superblock that is said to hold none: collections would pass it by.
    ManyNames {
        /// Where.
        at: WordAddress,
    },
    /// A handle that names a block which a collection has found to be garbage, in a space at rest.
    Condemned {
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// A lock of an attempt that is over, or of nobody.
    Lock {
        /// The cell.
        cell: CellAddress,
        /// What was read.
        word: u64,
    },
    /// A version that the clock has not reached, or that nobody gives.
    Version {
        /// The cell.
        cell: CellAddress,
        /// What was read.
        version: u64,
    },
    /// A word that is no value.
    Value {
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// A handle that names no block in use.
    Dangling {
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// A handle in a participant slot that names no piece of a log, or one that is too small.
    LogPiece {
        /// Whose.
        participant: ParticipantId,
        /// What was read.
        word: u64,
    },
    /// A piece of a log that no participant slot names.
    UnnamedLogPiece {
        /// Where.
        at: WordAddress,
    },
    /// A handle in a process slot that names no piece of a table of what is held, or one that is too small.
    HoldsPiece {
        /// Whose.
        process: ProcessSlotId,
        /// What was read.
        word: u64,
    },
    /// A piece of such a table that no process slot names.
    UnnamedHoldsPiece {
        /// Where.
        at: WordAddress,
    },
    /// An entry of such a table that is no handle, or one that nobody has who could hold anything.
    Held {
        /// Whose.
        process: ProcessSlotId,
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// A PRIVATE block in a space in which nobody is in an attempt.
    Private {
        /// Where.
        at: WordAddress,
        /// Whose.
        owner: ParticipantId,
    },
    /// A block that was retired and that no participant's list names.
    Unlisted {
        /// Where.
        at: WordAddress,
        /// Who has retired it.
        owner: ParticipantId,
    },
    /// A block whose counts contradict its room.
    Block {
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Poisoned { reason } => {
                write!(f, "somebody found damage before and closed the space (reason {reason})")
            }
            Self::Memory(damage) => damage.fmt(f),
            Self::DeadProcess { slot } => write!(f, "process slot {} belongs to a process that is dead", slot.0),
            Self::HeldByTheDead { participant } => {
                write!(f, "participant {} belongs to a process that is dead", participant.0)
            }
            Self::Status { participant, word } => {
                write!(f, "participant {}: the status is {word:#018x}", participant.0)
            }
            Self::Claim { participant, word } => {
                write!(
                    f,
                    "participant {}: the claim is {word:#018x}, so nobody has the slot and nobody can have it",
                    participant.0
                )
            }
            Self::Start { participant, word } => {
                write!(
                    f,
                    "participant {} is nobody's, and is said to have begun an attempt ({word:#018x})",
                    participant.0
                )
            }
            Self::Clock { word } => write!(f, "the version clock is {word:#018x}"),
            Self::Batch { word } => write!(f, "the number that blocks are retired at is {word:#018x}"),
            Self::ManyNames { at } => {
                write!(f, "the container at byte {} lies in a superblock that is said to hold none", at.byte_offset())
            }
            Self::Condemned { at, word } => {
                write!(
                    f,
                    "the handle at byte {} names a block that was found to be garbage ({word:#018x})",
                    at.byte_offset()
                )
            }
            Self::Lock { cell, word } => {
                let at = cell.lock_word().byte_offset();
                write!(f, "the cell at byte {at} is locked by nobody who runs ({word:#018x})")
            }
            Self::Version { cell, version } => {
                let at = cell.lock_word().byte_offset();
                write!(
                    f,
                    "the cell at byte {at} has the version {version:#018x}, which the clock has not reached, or nobody gives"
                )
            }
            Self::Value { at, word } => write!(f, "the word at byte {} is no value ({word:#018x})", at.byte_offset()),
            Self::Dangling { at, word } => {
                write!(f, "the handle at byte {} names no block in use ({word:#018x})", at.byte_offset())
            }
            Self::LogPiece { participant, word } => {
                write!(f, "participant {}: {word:#018x} names no piece of a log of the right size", participant.0)
            }
            Self::UnnamedLogPiece { at } => {
                write!(f, "the piece of a log at byte {} belongs to no participant", at.byte_offset())
            }
            Self::HoldsPiece { process, word } => {
                write!(f, "process slot {}: {word:#018x} names no piece of a table of the right size", process.0)
            }
            Self::UnnamedHoldsPiece { at } => {
                write!(f, "the piece of a table at byte {} belongs to no process", at.byte_offset())
            }
            Self::Held { process, at, word } => write!(
                f,
                "process slot {}: the entry at byte {} is held by nobody or is no handle ({word:#018x})",
                process.0,
                at.byte_offset()
            ),
            Self::Private { at, owner } => write!(
                f,
                "the block at byte {} is private to participant {}, who is in no attempt",
                at.byte_offset(),
                owner.0
            ),
            Self::Unlisted { at, owner } => write!(
                f,
                "the block at byte {} was retired by participant {} and is in no list",
                at.byte_offset(),
                owner.0
            ),
            Self::Block { at, word } => {
                write!(f, "the block around byte {} contradicts its size ({word:#018x})", at.byte_offset())
            }
        }
    }
}
