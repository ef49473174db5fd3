//! (signatures; the body follows)
use std::sync::Arc;

use crate::arena::{Arena, Layout};
use crate::platform::Platform;
use crate::transaction::Participant;

/// A space that this process has joined.
pub struct Space<P: Platform> {
    arena: Arena<P>,
}

/// Why a process or a thread cannot take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The process table is full.
    #[error("the space has {slots} process slots and living processes hold them all")]
    Processes {
        /// Their number.
        slots: u64,
    },
    /// The participant table is full.
    #[error("the space has {participants} participant slots and all are in use")]
    Participants {
        /// Their number.
        participants: u64,
    },
    /// No room for the participant's log.
    #[error(transparent)]
    Full(#[from] crate::error::Full),
    /// Damage.
    #[error(transparent)]
    Corrupt(#[from] crate::error::Corrupt),
}

impl<P: Platform> Space<P> {
    /// Joins the space in `platform`: takes a process slot, clears up after the dead.
    pub fn join(_platform: P, _layout: Layout) -> Result<Arc<Self>, JoinError> {
        todo!()
    }
    /// The memory.
    #[inline]
    pub fn arena(&self) -> &Arena<P> {
        &self.arena
    }
    /// Somebody who can run transactions.
    pub fn participant(self: &Arc<Self>) -> Result<Participant<P>, JoinError> {
        todo!()
    }
    /// Leaves: the process slot is given back. Participants must have left.
    pub fn leave(&self) {
        todo!()
    }
}
