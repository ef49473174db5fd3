//! What a repair has done, and the sentence for each.

use std::fmt;

use crate::allocator::Mend;
use crate::word::{BlockKind, BlockPhase, CellAddress, ParticipantId, ProcessSlotId, WordAddress};

/// Blocks that nothing names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// How many.
    pub blocks: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} blocks of {} bytes that nothing names are kept: a damaged word may have meant one of them",
            self.blocks, self.bytes
        )
    }
}

/// Something that was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mended {
    /// A header of a superblock, or a word that superblocks come from.
    Memory(Mend),
    /// A block that nothing names was freed.
    Freed {
        /// Where.
        at: WordAddress,
        /// What it held.
        kind: BlockKind,
        /// What it was: PRIVATE and LIVE ones were forgotten, RETIRED ones were waiting.
        phase: BlockPhase,
        /// Its bytes, header included.
        bytes: u64,
    },
    /// A block that a committed cell names was said to belong to an attempt that is over.
    Published {
        /// Where.
        at: WordAddress,
        /// Whose it was said to be.
        owner: ParticipantId,
    },
    /// A process slot of a process that is gone was freed.
    Process {
        /// Which.
        slot: ProcessSlotId,
    },
    /// A participant slot was claimed by nobody who is there: its last attempt was ended, its slot freed.
    Claim {
        /// Which.
        participant: ParticipantId,
        /// What the claim was.
        word: u64,
    },
    /// A participant that is nobody's is between attempts.
    Status {
        /// Which.
        participant: ParticipantId,
        /// What its status was.
        word: u64,
    },
    /// A participant that is nobody's has begun nothing.
    Start {
        /// Which.
        participant: ParticipantId,
        /// What was said.
        word: u64,
    },
    /// A log ends before what is no piece of one.
    LogPiece {
        /// Whose.
        participant: ParticipantId,
        /// What the slot named.
        word: u64,
    },
    /// A table of what a process held ends before what is no piece of one.
    HoldsPiece {
        /// Whose.
        process: ProcessSlotId,
        /// What the slot named.
        word: u64,
    },
    /// Something held by nobody was let go of.
    Held {
        /// Whose it was.
        process: ProcessSlotId,
        /// Where.
        at: WordAddress,
        /// What the entry was.
        word: u64,
    },
    /// A cell that was locked by nobody who runs, or had a version that the clock has not reached or nobody gives, is free at the clock's.
    Cell {
        /// Which.
        cell: CellAddress,
        /// What its first word was.
        word: u64,
    },
    /// The version clock was set anew, to the last version of a cell that can be.
    Clock {
        /// What it was.
        from: u64,
        /// What it is.
        to: u64,
    },
    /// The number that blocks are retired at was set anew.
    Batch {
        /// What it was.
        from: u64,
    },
    /// The cell that nobody writes is empty.
    Constant {
        /// Where.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// The mark of a block in use was none that a collection had left: it is new.
    Mark {
        /// The block.
        at: WordAddress,
        /// What was read.
        word: u64,
    },
    /// Collections look for containers where this one is.
    ManyNames {
        /// The block.
        at: WordAddress,
    },
    /// The list of what a participant had retired is empty.
    Retired {
        /// Whose.
        participant: ParticipantId,
        /// What it began with.
        word: u64,
    },
    /// A word that named somebody at work names nobody.
    Nobody {
        /// Where.
        at: WordAddress,
        /// What it says.
        what: &'static str,
        /// What was read.
        word: u64,
    },
    /// The space was closed to all transactions, and nothing is left to be found.
    Opened {
        /// Why it was closed.
        reason: u64,
    },
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory(mend) => mend.fmt(f),
            Self::Freed { at, kind, phase, bytes } => {
                let was = match phase {
                    BlockPhase::Private => "made by an attempt that is over",
                    BlockPhase::Retired => "replaced before",
                    BlockPhase::Live | BlockPhase::Free => "named by nothing",
                };
                write!(f, "freed: {bytes} bytes at byte {} ({kind:?}), {was}", at.byte_offset())
            }
            Self::Published { at, owner } => write!(
                f,
                "the block at byte {} was said to be private to participant {}; it is part of the space",
                at.byte_offset(),
                owner.0
            ),
            Self::Process { slot } => write!(f, "process slot {} belonged to a process that is gone: freed", slot.0),
            Self::Claim { participant, word } => {
                write!(f, "participant {} was claimed by nobody who is there ({word:#018x}): freed", participant.0)
            }
            Self::Status { participant, word } => {
                write!(f, "participant {}: the status was {word:#018x}, now it is idle", participant.0)
            }
            Self::Start { participant, word } => {
                write!(
                    f,
                    "participant {} is nobody's and was said to be in an attempt ({word:#018x}): no more",
                    participant.0
                )
            }
            Self::LogPiece { participant, word } => {
                write!(f, "participant {}: {word:#018x} named no piece of a log: forgotten", participant.0)
            }
            Self::HoldsPiece { process, word } => {
                write!(f, "process slot {}: {word:#018x} named no piece of a table: forgotten", process.0)
            }
            Self::Held { process, at, word } => write!(
                f,
                "process slot {}: the entry at byte {} held {word:#018x} for nobody: let go",
                process.0,
                at.byte_offset()
            ),
            Self::Cell { cell, word } => {
                let at = cell.lock_word().byte_offset();
                write!(
                    f,
                    "the cell at byte {at} was locked, or had a version that cannot be ({word:#018x}): free, with the value that it has"
                )
            }
            Self::Clock { from, to } => write!(f, "the version clock was {from:#018x}, now it is {to}"),
            Self::Batch { from } => write!(f, "the number that blocks are retired at was {from:#018x}, now it is 1"),
            Self::Constant { at, word } => {
                write!(f, "the word at byte {} is written by nobody and was {word:#018x}: 0", at.byte_offset())
            }
            Self::Mark { at, word } => {
                write!(f, "the block at byte {} is in use, and its mark was {word:#018x}: a new one", at.byte_offset())
            }
            Self::ManyNames { at } => {
                write!(f, "collections look for the container at byte {} where it is", at.byte_offset())
            }
            Self::Retired { participant, word } => {
                write!(f, "participant {}: the list of what was replaced ({word:#018x}) is empty", participant.0)
            }
            Self::Nobody { at, what, word } => {
                write!(f, "the word at byte {}, {what}, was {word:#018x}: nobody", at.byte_offset())
            }
            Self::Opened { reason } => {
                write!(f, "the space was closed (reason {reason}), and nothing is left to be found: it is open again")
            }
        }
    }
}
