//! Why somebody cannot take part in a space, and who has the places there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::arena::Arena;
use crate::error::Corrupt;
use crate::participant::{Claim, ProcessPhase, ProcessSlot, Slot};
use crate::platform::Platform;
use crate::word::{ParticipantId, ProcessSlotId};

/// Why a process or a thread cannot take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The process table is full.
    #[error("the space has {slots} process slots and living processes hold them all: {holders}")]
    Processes {
        /// Their number.
        slots: u64,
        /// Who has them.
        holders: Holders,
    },
    /// The system refuses the lock that says that this process lives.
    #[error("the system refuses this process the lock of a process slot: {}", std::io::Error::from_raw_os_error(*errno))]
    Locks {
        /// What it answered.
        errno: i32,
    },
    /// The participant table is full.
    #[error("the space has {participants} participant slots and all are in use: {holders}")]
    Participants {
        /// Their number.
        participants: u64,
        /// Who has them.
        holders: Holders,
    },
    /// The child of a fork asks in its parent's name.
    #[error("this process is the child of a fork and has not joined the space by itself")]
    Forked,
    /// No room for the participant's log.
    #[error(transparent)]
    Full(#[from] crate::error::Full),
    /// Damage.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Who has the slots of a table: processes, and how many each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders(Vec<(u32, u64)>);

impl Holders {
    /// So many are named.
    const NAMED: usize = 8;

    /// Of the process table.
    pub fn of_process_slots<P: Platform>(arena: &Arena<P>) -> Self {
        let slots = (0..arena.layout().geometry().process_slots).map(|number| ProcessSlotId(number as u16));
        let slots = slots.filter_map(|id| ProcessSlot::of(arena, id));
        let used = slots.filter(|slot| slot.state(arena).phase == ProcessPhase::Used);
        Self::count(used.map(|slot| slot.identity(arena).pid))
    }
    /// Of the participant table.
    pub fn of_participants<P: Platform>(arena: &Arena<P>) -> Self {
        let ids = (0..arena.layout().geometry().participants).map(|number| ParticipantId(number as u16));
        Self::count(ids.filter_map(|id| Slot::of(arena, id)).filter_map(|slot| {
            // Relaxed: for people, a little old.
            let claim = Claim::unpack(arena.platform().load(slot.claim(), Relaxed))?;
            Some(ProcessSlot::of(arena, claim.process)?.identity(arena).pid)
        }))
    }
    /// How many slots they have together.
    pub fn slots(&self) -> u64 {
        self.0.iter().map(|(_, slots)| slots).sum()
    }

    /// Those that have most first.
    fn count(pids: impl Iterator<Item = u32>) -> Self {
        let mut counts = BTreeMap::new();
        pids.for_each(|pid| *counts.entry(pid).or_insert(0) += 1);
        let mut holders: Vec<_> = counts.into_iter().collect();
        holders.sort_by_key(|(_, slots)| Reverse(*slots));
        Self(holders)
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (pid, slots)) in self.0.iter().take(Self::NAMED).enumerate() {
            write!(out, "{}process {pid} has {slots}", if number == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(Self::NAMED) {
            0 => Ok(()),
            more => write!(out, ", and {more} more processes"),
        }
    }
}
