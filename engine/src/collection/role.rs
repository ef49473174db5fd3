//! Who collects: one process at a time, from whom others may take over at any moment.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::colour::{colour, has_many_names, recolour};
use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::{Claim, Slot};
use crate::platform::Platform;
use crate::reclamation::{self, Limbo};
use crate::word::{BlockPhase, Colour, Cycle, Handle, ParticipantId};

/// In the word that says who collects, beside the claim: nobody is at it just now, and others may begin anew.
const RESTS: u64 = 1 << 62;

/// How long whoever wants to collect leaves a collection to somebody else who lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Who lets it rest, in ns.
    pub rests_ns: u64,
    /// Who has gone no step further, in ns.
    pub silent_ns: u64,
}

impl Patience {
    /// Of whoever collects by the way.
    pub const BY_THE_WAY: Self = Self { rests_ns: 500_000_000, silent_ns: 500_000_000 };
    /// Of whoever waits for memory. Where many wait for few processors one may be silent for long, and must come to an end all the same.
    pub const IN_A_HURRY: Self = Self { rests_ns: 0, silent_ns: 500_000_000 };
}

/// A participant that is in no attempt, on its way through a collection.
pub struct Seat<'a, P: Platform> {
    pub(crate) arena: &'a Arena<P>,
    pub(crate) id: ParticipantId,
    pub(crate) slot: Slot,
    pub(crate) claim: Claim,
    pub(crate) limbo: &'a mut Limbo,
}

impl<P: Platform> Seat<'_, P> {
    /// From here on [`Self::protect`] protects.
    pub(super) fn enter(&self) {
        // Relaxed, and the fence: as in `begin`.
        self.arena.platform().store(self.slot.start(), reclamation::stamp(self.arena), Relaxed);
        self.arena.platform().fence(SeqCst);
    }

    pub(super) fn leave(&self) {
        // Release: all is done before anybody frees it.
        self.arena.platform().store(self.slot.start(), 0, Release);
    }

    /// What is retired from here on, by whoever looks at this pointer after that, is not freed before the next call. That it is in use still the caller
    /// finds out now.
    pub(super) fn protect(&self, handle: Handle) {
        // Release: who sees the new name knows that all is done with the last one.
        self.arena.platform().store(self.slot.hazard(), handle.raw(), Release);
        self.arena.platform().light_fence();
    }
}

/// The last collection that was begun, by anybody. Relaxed.
pub fn last<P: Platform>(arena: &Arena<P>) -> Cycle {
    Cycle::unpack(arena.platform().load(arena.layout().collection(), Relaxed))
}

/// One collection's right to change marks and to retire.
#[derive(Debug)]
pub(super) struct Role {
    claim: u64,
    /// Its number, which no other one has.
    pub cycle: u64,
}

impl Role {
    /// Begins the next collection. `None`: somebody living collects, and has to be left to it.
    pub fn take<P: Platform>(
        seat: &Seat<'_, P>,
        patience: Patience,
        is_dead: impl FnOnce(Claim) -> bool,
    ) -> Option<Self> {
        let (platform, word) = (seat.arena.platform(), seat.arena.layout().collection());
        // Acquire: pairs with the release of the last collector.
        let seen = platform.load(word, Acquire);
        let cycle = Cycle::unpack(seen);
        if cycle.under_way && !may_be_taken(seat.arena, patience, is_dead) {
            return None;
        }
        let role = Self { claim: seat.claim.pack(), cycle: cycle.next().number };
        // Before, so that nobody takes it at once for what the last one has said.
        role.show_life(seat);
        // AcqRel: from here on nobody else changes a mark but what his hazard pointer names already.
        platform.compare_exchange(word, seen, cycle.next().pack(), AcqRel, Relaxed).ok()?;
        role.show_life(seat);
        // Pairs with the fence behind COMMITTED: whoever is not COMMITTED yet finds the number when he is.
        platform.fence(SeqCst);
        Some(role)
    }

    /// The child of a fork has a copy of it, and another claim; so has a process that has left and joined again.
    pub fn is_mine<P: Platform>(&self, seat: &Seat<'_, P>) -> bool {
        // Relaxed: what hangs on it comes behind a fence, or is a step of which nothing is lost.
        self.claim == seat.claim.pack()
            && seat.arena.platform().load(seat.arena.layout().collection(), Relaxed) == self.word()
    }

    /// Somebody is at it.
    pub fn show_life<P: Platform>(&self, seat: &Seat<'_, P>) {
        self.say(seat, self.claim);
    }

    /// Nobody is at it for a while.
    pub fn rest<P: Platform>(&self, seat: &Seat<'_, P>) {
        if self.is_mine(seat) {
            self.say(seat, self.claim | RESTS);
        }
    }

    /// Ends it.
    pub fn close<P: Platform>(&self, seat: &Seat<'_, P>) {
        if self.is_mine(seat) {
            let over = Cycle { number: self.cycle, under_way: false };
            // AcqRel: what was done is passed on to whoever collects next. Lost: somebody has taken over.
            let word = seat.arena.layout().collection();
            let _ = seat.arena.platform().compare_exchange(word, self.word(), over.pack(), AcqRel, Relaxed);
        }
    }

    /// Changes the colour of a block in use that may have many names. False: it is not so, or has another colour; or this is not the collection under way
    /// any more.
    ///
    /// Whoever takes over finds the name in the hazard pointer, or we find that he has.
    pub fn change<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle, from: Colour, to: Colour) -> bool {
        seat.protect(handle);
        self.is_mine(seat) && is_in_use(seat.arena, handle) && recolour(seat.arena, handle, self.cycle, from, to)
    }

    /// Whether a block was condemned by this collection, which is under way still. Whoever takes over leaves it alone.
    pub fn may_retire<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle) -> bool {
        seat.protect(handle);
        self.is_mine(seat)
            && is_in_use(seat.arena, handle)
            && colour(seat.arena, handle, self.cycle) == Colour::Condemned
    }

    fn word(&self) -> u64 {
        Cycle { number: self.cycle, under_way: true }.pack()
    }

    /// What others make of it decides only how soon they take over.
    fn say<P: Platform>(&self, seat: &Seat<'_, P>, who: u64) {
        let (platform, word) = (seat.arena.platform(), seat.arena.layout().hot(HotWord::Collector));
        platform.store(word.offset(1), platform.coarse_ns(), Relaxed);
        platform.store(word, who, Relaxed);
    }
}

/// Whether a block is in use, and may have many names.
pub(super) fn is_in_use<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    allocator::check_fully(arena, handle)
        .is_ok_and(|state| state.phase == BlockPhase::Live && has_many_names(arena, handle, state.kind))
}

fn may_be_taken<P: Platform>(arena: &Arena<P>, patience: Patience, is_dead: impl FnOnce(Claim) -> bool) -> bool {
    let (platform, word) = (arena.platform(), arena.layout().hot(HotWord::Collector));
    // Relaxed: see `say`.
    let holder = platform.load(word, Relaxed);
    let silent_ns = platform.coarse_ns().saturating_sub(platform.load(word.offset(1), Relaxed));
    let rests = holder & RESTS != 0 && silent_ns >= patience.rests_ns;
    rests || silent_ns >= patience.silent_ns || Claim::unpack(holder & !RESTS).is_some_and(is_dead)
}
