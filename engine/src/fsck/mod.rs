//! What must hold of a space, looked for word by word. Reads only; mending is `Space::recover_dead`'s business.
//!
//! - superblock headers against block states, hints against both, owners against participants (`allocator::audit`);
//! - participants against processes: nothing is held by the dead;
//! - every cell of every LIVE block: its lock word names a living attempt or a version that the clock has reached, its value
//!   decodes, a handle in it names a block in use;
//! - every immutable value likewise;
//! - the pieces of records and read logs: each one that a participant slot names is there, and nothing else is one;
//! - the tables of what processes hold: likewise, and each entry is empty or a handle, and empty where the slot is nobody's;
//! - retired blocks: none is named by a cell or a value, each hangs in the list of a participant; but what a collection has found to be
//!   garbage may name what is gone.
//!
//! A space may be checked while others work in it. Then what the living are in the middle of is not damage, and a word that
//! changed while it was looked at is looked at again.

mod cells;
mod doomed;
mod holds;
mod logs;
mod members;
mod retired;

use std::fmt;

use crate::allocator::{self, Damage};
use crate::arena::HotWord;
use crate::platform::{Ordering, Platform};
use crate::space::Space;
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
    /// A lock of an attempt that is over, or of nobody.
    Lock {
        /// The cell.
        cell: CellAddress,
        /// What was read.
        word: u64,
    },
    /// A version that the clock has not reached.
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
            Self::Lock { cell, word } => {
                let at = cell.lock_word().byte_offset();
                write!(f, "the cell at byte {at} is locked by nobody who runs ({word:#018x})")
            }
            Self::Version { cell, version } => {
                let at = cell.lock_word().byte_offset();
                write!(f, "the cell at byte {at} has the version {version}, which the clock has not reached")
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

/// Checks a space in which others may be at work.
pub fn fsck<P: Platform>(space: &Space<P>) -> Vec<Finding> {
    check(space, false)
}

/// Checks a space at rest: nobody is in an attempt. Every lock is a finding then.
pub fn fsck_at_rest<P: Platform>(space: &Space<P>) -> Vec<Finding> {
    check(space, true)
}

/// How often [`fsck_after_deaths`] clears up before it calls what the dead still hold a finding.
pub const CLEARING_TRIES: u32 = 20;

/// Clears up after the dead and checks: what a dead process left is not damage while there is somebody to clear it up.
///
/// A living process may be at the same dead one, and only one at a time has the right: `pause` gives it time (some
/// milliseconds of sleep; false: no more patience) and all is looked at again, at most [`CLEARING_TRIES`] times.
pub fn fsck_after_deaths<P: Platform>(space: &Space<P>, mut pause: impl FnMut() -> bool) -> Vec<Finding> {
    let mut tries = CLEARING_TRIES;
    loop {
        space.recover_dead();
        let findings = fsck(space);
        let dead = findings
            .iter()
            .any(|finding| matches!(finding, Finding::DeadProcess { .. } | Finding::HeldByTheDead { .. }));
        tries -= 1;
        if !dead || tries == 0 || !pause() {
            return findings;
        }
    }
}

fn check<P: Platform>(space: &Space<P>, at_rest: bool) -> Vec<Finding> {
    space.look(|| check_all(space, at_rest))
}

fn check_all<P: Platform>(space: &Space<P>, at_rest: bool) -> Vec<Finding> {
    let arena = space.arena();
    let mut findings = Vec::new();
    let poison = arena.platform().load(arena.layout().hot(HotWord::Poison), Ordering::Relaxed);
    if poison != 0 {
        findings.push(Finding::Poisoned { reason: poison });
    }
    members::check(arena, at_rest, &mut |finding| findings.push(finding));
    allocator::audit(
        arena,
        at_rest,
        |id| members::is_claimed(arena, id),
        |damage| findings.push(Finding::Memory(damage)),
    );
    logs::check(arena, at_rest, &mut |finding| findings.push(finding));
    holds::check(arena, at_rest, &mut |finding| findings.push(finding));
    retired::check(arena, at_rest, &mut |finding| findings.push(finding));
    cells::check(arena, at_rest, &mut |finding| findings.push(finding));
    findings
}
