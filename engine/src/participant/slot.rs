//! One participant's words, by name.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::process::{ProcessPhase, ProcessSlot};
use crate::arena::Arena;
use crate::error::Corrupt;
use crate::platform::{Liveness, Platform};
use crate::word::{AttemptId, ParticipantId, ProcessSlotId, State, Status, WordAddress};

/// Pieces of a record ring or of a read log at most. Their sizes: `pieces`.
pub const PIECES: u64 = 24;

/// Where one participant's words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(WordAddress);

impl Slot {
    /// The slot of `id`; `None` for a participant that cannot be.
    #[inline]
    pub fn of<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> Option<Self> {
        arena.layout().participant(id).map(Self)
    }
    /// `seq | state`: decides the attempt's fate.
    #[inline]
    pub fn status(self) -> WordAddress {
        self.0
    }
    /// Age of the transaction; kept over its retries.
    #[inline]
    pub fn priority(self) -> WordAddress {
        self.0.offset(1)
    }
    /// Version of the commit under way. Written before COMMITTED, valid while the status says so.
    #[inline]
    pub fn commit_version(self) -> WordAddress {
        self.0.offset(2)
    }
    /// Batch number at which the attempt began, or the step of a collection; 0 in between.
    #[inline]
    pub fn start(self) -> WordAddress {
        self.0.offset(3)
    }
    /// Not 0: the transaction starves.
    #[inline]
    pub fn starving(self) -> WordAddress {
        self.0.offset(4)
    }
    /// Handle of the block whose mark this participant's collection is about to change: a hazard pointer, valid while there is a start and the
    /// status is IDLE.
    #[inline]
    pub fn hazard(self) -> WordAddress {
        self.0.offset(5)
    }
    /// Which attempt waits for this one. Others write.
    #[inline]
    pub fn queue_to(self) -> WordAddress {
        self.0.offset(8)
    }
    /// Which attempt stopped this one. Others write.
    #[inline]
    pub fn stopped_by(self) -> WordAddress {
        self.0.offset(9)
    }
    /// The one word that the participant sleeps on. Others write.
    #[inline]
    pub fn bell(self) -> WordAddress {
        self.0.offset(10)
    }
    /// Who finishes what this participant left when it died. Others write.
    #[inline]
    pub fn recoverer(self) -> WordAddress {
        self.0.offset(11)
    }
    /// First unit of the current record in the ring.
    #[inline]
    pub fn record_start(self) -> WordAddress {
        self.0.offset(16)
    }
    /// Entries of the current record, counted before the lock of the last one is tried for.
    #[inline]
    pub fn entries_reserved(self) -> WordAddress {
        self.0.offset(17)
    }
    /// Entries of the read log. Within an attempt it only grows. The entry behind the last may be one that is being noted, or an old one.
    #[inline]
    pub fn read_log_length(self) -> WordAddress {
        self.0.offset(18)
    }
    /// Index of the cell wanted while waiting.
    #[inline]
    pub fn want(self) -> WordAddress {
        self.0.offset(19)
    }
    /// Why its bits stand in wait buckets (see [`WaitingFor`]).
    #[inline]
    pub fn waiting_for(self) -> WordAddress {
        self.0.offset(20)
    }
    /// Handle of the block that was retired last and not freed yet, or 0. The head of a list (see `reclamation`).
    #[inline]
    pub fn retired(self) -> WordAddress {
        self.0.offset(21)
    }
    /// Payload words that wait in that list, for people.
    #[inline]
    pub fn retired_words(self) -> WordAddress {
        self.0.offset(22)
    }
    /// Handle of the first block of a run that was taken out of the middle of that list, or 0 (see `reclamation`).
    #[inline]
    pub fn detached(self) -> WordAddress {
        self.0.offset(23)
    }
    /// Whose slot this is (see [`Claim`]); 0: nobody's.
    #[inline]
    pub fn claim(self) -> WordAddress {
        self.0.offset(24)
    }
    /// Thread number, for people.
    #[inline]
    pub fn thread_number(self) -> WordAddress {
        self.0.offset(25)
    }
    /// Mean duration of an attempt in ns.
    #[inline]
    pub fn mean_duration(self) -> WordAddress {
        self.0.offset(26)
    }
    /// Attempts so far.
    #[inline]
    pub fn attempts(self) -> WordAddress {
        self.0.offset(27)
    }
    /// Commits so far.
    #[inline]
    pub fn commits(self) -> WordAddress {
        self.0.offset(28)
    }
    /// Times that somebody else stopped an attempt.
    #[inline]
    pub fn stops(self) -> WordAddress {
        self.0.offset(29)
    }
    /// Sleeps so far.
    #[inline]
    pub fn sleeps(self) -> WordAddress {
        self.0.offset(30)
    }
    /// How long, in ns, this participant may show no sign of life in a transaction before a waiter stops it.
    #[inline]
    pub fn hung_limit(self) -> WordAddress {
        self.0.offset(31)
    }
    /// Handle of a piece of the record ring, or 0.
    #[inline]
    pub fn record_piece(self, piece: u64) -> WordAddress {
        debug_assert!(piece < PIECES);
        self.0.offset(32 + piece)
    }
    /// Handle of a piece of the read log, or 0.
    #[inline]
    pub fn read_log_piece(self, piece: u64) -> WordAddress {
        debug_assert!(piece < PIECES);
        self.0.offset(56 + piece)
    }
}

/// Why a participant's bits stand in wait buckets. One word per participant, for it waits for one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum WaitingFor {
    /// For nothing.
    Nothing = 0,
    /// For a cell to be free: one of those is woken at a time, the oldest.
    Cell = 1,
    /// For a change of something it has read (`retry`): all of those are woken.
    Change = 2,
}

/// To whom a participant slot belongs: `1:1 | process slot:16 | generation of the process slot:40`, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The process.
    pub process: ProcessSlotId,
    /// The process slot's generation when the claim was made.
    pub generation: u64,
}

impl Claim {
    const GENERATION_BITS: u32 = 40;
    const TAKEN: u64 = 1 << 63;

    /// Packs the word.
    pub const fn pack(self) -> u64 {
        Self::TAKEN
            | (self.process.0 as u64) << Self::GENERATION_BITS
            | (self.generation & ((1 << Self::GENERATION_BITS) - 1))
    }
    /// Unpacks the word; `None`: free.
    pub const fn unpack(word: u64) -> Option<Self> {
        if word & Self::TAKEN == 0 {
            return None;
        }
        Some(Self {
            process: ProcessSlotId((word >> Self::GENERATION_BITS) as u16),
            generation: word & ((1 << Self::GENERATION_BITS) - 1),
        })
    }
}

/// The decoded status of a participant.
#[inline]
#[track_caller]
pub fn status_of<P: Platform>(arena: &Arena<P>, slot: Slot) -> Result<Status, Corrupt> {
    // Acquire: pairs with the compare-exchange to COMMITTED (commit_version and the record are seen) and with the
    // release store of IDLE (the cells are seen as written back).
    let word = arena.platform().load(slot.status(), Acquire);
    Status::unpack(word).ok_or(Corrupt {
        what: "a participant's status",
        byte_offset: slot.status().byte_offset(),
        word,
    })
}

/// True once `attempt` has ended: its seq is gone, or it is decided against.
#[track_caller]
pub fn is_over<P: Platform>(arena: &Arena<P>, attempt: AttemptId) -> bool {
    let Some(slot) = Slot::of(arena, attempt.participant) else { return true };
    match status_of(arena, slot) {
        Ok(status) => status.seq != attempt.seq || matches!(status.state, State::Idle | State::Aborted),
        Err(_) => true,
    }
}

/// Whether an attempt is in its write-back.
pub fn is_committed<P: Platform>(arena: &Arena<P>, attempt: AttemptId) -> bool {
    let Some(slot) = Slot::of(arena, attempt.participant) else { return false };
    // Relaxed: nothing of it is read on account of this; who looks at its cells acquires their locks.
    arena.platform().load(slot.status(), Relaxed) == Status { seq: attempt.seq, state: State::Committed }.pack()
}

/// Whether the process that `id` belongs to is proven dead. A few microseconds: asked after waits only.
///
/// For whoever has the right to recover the slot it stays so: nobody else makes an end of the claim of the dead.
pub fn participant_is_dead<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> bool {
    let Some(slot) = Slot::of(arena, id) else { return true };
    // Acquire: pairs with the claim's compare-exchange; the process slot that it names is filled in.
    let word = arena.platform().load(slot.claim(), Acquire);
    let Some(claim) = Claim::unpack(word) else { return false };
    // Acquire: it is looked at behind what was found. Who has left and ended meanwhile is not who has the slot now.
    claim_is_dead(arena, claim) && arena.platform().load(slot.claim(), Acquire) == word
}

fn claim_is_dead<P: Platform>(arena: &Arena<P>, claim: Claim) -> bool {
    let Some(process) = ProcessSlot::of(arena, claim.process) else { return false };
    let state = process.state(arena);
    if state.generation != claim.generation || state.phase != ProcessPhase::Used {
        return true;
    }
    let identity = process.identity(arena);
    // Relaxed: a slot that was given on in between fails the comparison, and nothing else is read through it.
    if arena.platform().load(process.state_word(), Relaxed) != state.pack() {
        return false;
    }
    arena.platform().liveness(claim.process, identity) == Liveness::Dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_survives_packing() {
        let claim = Claim { process: ProcessSlotId(255), generation: (1 << 40) - 1 };
        assert_eq!(Claim::unpack(claim.pack()), Some(claim));
        assert_eq!(Claim::unpack(0), None);
    }
}
