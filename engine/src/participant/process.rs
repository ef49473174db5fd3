//! One process's words: who it is, and which life of the slot this is.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::PIECES;
use crate::arena::Arena;
use crate::platform::{Platform, ProcessIdentity};
use crate::word::{ProcessSlotId, WordAddress};

/// Whether a process slot is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessPhase {
    /// Nobody's.
    Free,
    /// Of a process that lives, or has died and is not cleared up yet.
    Used,
}

/// `generation:40 | phase:8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessState {
    /// Rises with every process that takes the slot.
    pub generation: u64,
    /// Whether it is in use.
    pub phase: ProcessPhase,
}

impl ProcessState {
    /// Packs the word.
    pub const fn pack(self) -> u64 {
        self.generation << 8 | self.phase as u64
    }
    /// Unpacks the word. Anything but 0 is Used: a damaged phase is looked into rather than handed out.
    pub const fn unpack(word: u64) -> Self {
        let phase = if word & 0xff == 0 { ProcessPhase::Free } else { ProcessPhase::Used };
        Self { generation: word >> 8 & ((1 << 40) - 1), phase }
    }
}

/// What comes of taking a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It is ours, and in this state.
    Taken(ProcessState),
    /// It was in another state than was seen, and nothing was written.
    Changed,
    /// Somebody else has taken it just now, who has got the byte whose loss nobody noticed; our name may stand there until the slot is free again. Who keeps the byte
    /// until he ends (if it is his) does not call the other one dead for that, nor does anybody else: he is called dead no sooner than we are.
    Lost,
}

/// Where one process's words are. Written by whoever holds the slot's liveness byte; freed by recovery.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSlot(WordAddress);

impl ProcessSlot {
    const COUNT_BITS: u32 = 24;
    const COUNT_MASK: u64 = (1 << Self::COUNT_BITS) - 1;

    /// The slot `id`; `None` for one that cannot be.
    pub fn of<P: Platform>(arena: &Arena<P>, id: ProcessSlotId) -> Option<Self> {
        ((id.0 as u64) < arena.layout().geometry().process_slots).then(|| Self(arena.layout().process_slot(id)))
    }
    /// The state word.
    pub fn state_word(self) -> WordAddress {
        self.0
    }
    /// The decoded state.
    pub fn state<P: Platform>(self, arena: &Arena<P>) -> ProcessState {
        // Acquire: pairs with the release in `take`; the identity is filled in.
        ProcessState::unpack(arena.platform().load(self.0, Acquire))
    }
    /// Who it is.
    pub fn identity<P: Platform>(self, arena: &Arena<P>) -> ProcessIdentity {
        // Relaxed: read under a state that is compared again afterwards.
        let pid = arena.platform().load(self.0.offset(1), Relaxed) as u32;
        let start_time = arena.platform().load(self.0.offset(2), Relaxed);
        ProcessIdentity { pid, start_time }
    }
    /// `generation:40 | count:24`: how many look at blocks just now, outside of attempts.
    fn looks(self) -> WordAddress {
        self.0.offset(3)
    }
    /// `generation:40 | count:24`: children of forks that have still to copy what this process holds.
    #[inline]
    pub fn copies(self) -> WordAddress {
        self.0.offset(4)
    }
    /// Exports that this slot has seen so far, in all its lives.
    #[inline]
    pub fn tickets(self) -> WordAddress {
        self.0.offset(5)
    }
    /// Handle of a piece of the table of what the process holds, or 0.
    #[inline]
    pub fn holds_piece(self, piece: u64) -> WordAddress {
        debug_assert!(piece < PIECES);
        self.0.offset(16 + piece)
    }

    /// Children that have still to copy what this process holds.
    #[inline]
    pub(crate) fn children_to_come<P: Platform>(self, arena: &Arena<P>) -> u64 {
        // Acquire: pairs with the release below; what the child has copied is there.
        arena.platform().load(self.copies(), Acquire) & Self::COUNT_MASK
    }
    /// One of them has copied it, or does not exist. `generation`: the parent's. The count of another process is left alone.
    pub(crate) fn child_has_come<P: Platform>(self, arena: &Arena<P>, generation: u64) {
        count(arena, self.copies(), generation, |children| children.checked_sub(1));
    }

    /// From here on somebody of the process checks handles that nothing keeps, until [`Self::end_look`]: memory that was in use when he
    /// began does not go back to the system. `generation`: the process's.
    pub(crate) fn begin_look<P: Platform>(self, arena: &Arena<P>, generation: u64) {
        count(arena, self.looks(), generation, |looks| Some(looks + 1));
        // Whoever does not see the count has read before that what we find from here on.
        arena.platform().fence(SeqCst);
    }
    /// Ends it.
    pub(crate) fn end_look<P: Platform>(self, arena: &Arena<P>, generation: u64) {
        count(arena, self.looks(), generation, |looks| looks.checked_sub(1));
    }
    /// Whether somebody is in the middle of that. The dead are, until they are cleared up.
    pub(crate) fn anybody_looks<P: Platform>(self, arena: &Arena<P>) -> bool {
        // Acquire: pairs with the release of the end; what was looked at was looked at before.
        arena.platform().load(self.looks(), Acquire) & Self::COUNT_MASK != 0
            && self.state(arena).phase == ProcessPhase::Used
    }

    /// Takes a slot that was found in `seen`, free or a dead one's. The caller holds the liveness byte, and gives it back where the slot has
    /// [changed](Taking::Changed), and there only.
    pub fn take<P: Platform>(self, arena: &Arena<P>, identity: ProcessIdentity, seen: ProcessState) -> Taking {
        let platform = arena.platform();
        // A word that was no state counts as one, too.
        let word = platform.load(self.0, Relaxed);
        if ProcessState::unpack(word) != seen {
            return Taking::Changed;
        }
        let generation = (seen.generation + 1) & ((1 << 40) - 1);
        let state = ProcessState { generation, phase: ProcessPhase::Used };
        // Relaxed: published by the state's release.
        platform.store(self.0.offset(1), identity.pid as u64, Relaxed);
        platform.store(self.0.offset(2), identity.start_time, Relaxed);
        // Release: pairs with the acquire in `state`.
        if platform.compare_exchange(self.0, word, state.pack(), Release, Relaxed).is_err() {
            return Taking::Lost;
        }
        // Behind it: whoever loses must not write over the winner's. Until then they are the last owner's: nobody lowers them for us, and a look that he did not end
        // keeps memory from going back a little longer.
        platform.store(self.copies(), generation << Self::COUNT_BITS, Relaxed);
        platform.store(self.looks(), generation << Self::COUNT_BITS, Relaxed);
        // Once more, over the name of somebody who has just come too late.
        platform.store(self.0.offset(1), identity.pid as u64, Relaxed);
        platform.store(self.0.offset(2), identity.start_time, Relaxed);
        Taking::Taken(state)
    }
    /// Frees the slot if it still is in `state`. False: somebody else did.
    pub fn free<P: Platform>(self, arena: &Arena<P>, state: ProcessState) -> bool {
        let free = ProcessState { phase: ProcessPhase::Free, ..state };
        arena.platform().compare_exchange(self.0, state.pack(), free.pack(), Release, Relaxed).is_ok()
    }
}

/// Changes a count that belongs to one life of a slot. That of another life is left alone, and where `change` says `None`.
fn count<P: Platform>(arena: &Arena<P>, at: WordAddress, generation: u64, change: impl Fn(u64) -> Option<u64>) {
    let platform = arena.platform();
    let mut word = platform.load(at, Relaxed);
    // Bound: it fails only where somebody else of the process comes in between.
    while word >> ProcessSlot::COUNT_BITS == generation
        && let Some(now) = change(word & ProcessSlot::COUNT_MASK)
    {
        match platform.compare_exchange(at, word, generation << ProcessSlot::COUNT_BITS | now, AcqRel, Relaxed) {
            Ok(_) => return,
            Err(seen) => word = seen,
        }
    }
}
