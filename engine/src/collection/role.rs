//! Who collects: one process at a time, from whom others may take over at any moment.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::colour::{colour, condemn_marked, has_many_names, recolour};
use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::{Claim, Slot};
use crate::platform::Platform;
use crate::reclamation::{self, Limbo};
use crate::word::{BlockPhase, Colour, Cycle, Handle, ParticipantId};

/// In the word that says who collects, beside the claim: nobody is at it just now, and others may begin anew.
const RESTS: u64 = 1 << 62;

/// In the same line, behind it and since when nothing was heard: the number of the collection that somebody wants to help with; the large object that whoever
/// collects is at; and the number of the last collection that came to its end.
const WANTED: u64 = 2;
const LARGE: u64 = 3;
const ENDED: u64 = 4;
/// How often the time for which others leave one who rests doubles at most: from half a second to 16 of them.
const MOST_DOUBLINGS: u64 = 5;

/// How long whoever wants to collect leaves a collection to somebody else who lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Who lets it rest, in ns; twice as long for each that was begun since one came to its end. Each begins from the beginning: if none were left time, none would end where several
    /// do a little now and then.
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

    /// Says that this participant would help whoever collects. `None`: he has admitted nobody.
    pub(super) fn wish_to_help(&self) -> Option<Cycle> {
        let (platform, layout) = (self.arena.platform(), self.arena.layout());
        // Acquire: what comes before marking is done for whoever is admitted.
        let cycle = Cycle::unpack(platform.load(layout.collection(), Acquire));
        let wanted = layout.hot(HotWord::Collector).offset(WANTED);
        // Relaxed: a wish.
        if cycle.under_way && platform.load(wanted, Relaxed) != cycle.number {
            platform.store(wanted, cycle.number, Relaxed);
        }
        Some(cycle).filter(|cycle| cycle.helped)
    }

    /// What is large, and is being traced by whoever collects.
    pub(super) fn say_large(&self, object: Handle) {
        // Relaxed, here and below: it decides only who traces it.
        let word = self.arena.layout().hot(HotWord::Collector).offset(LARGE);
        self.arena.platform().store(word, object.raw(), Relaxed);
    }

    pub(super) fn is_large_of_another(&self, object: Handle) -> bool {
        let word = self.arena.layout().hot(HotWord::Collector).offset(LARGE);
        self.arena.platform().load(word, Relaxed) == object.raw()
    }
}

/// The last collection that was begun, by anybody. Relaxed.
pub fn last<P: Platform>(arena: &Arena<P>) -> Cycle {
    Cycle::unpack(arena.platform().load(arena.layout().collection(), Relaxed))
}

/// The last collection and whether it is under way: two that are equal, and none has begun or ended in between.
pub(crate) fn known<P: Platform>(arena: &Arena<P>) -> (u64, bool) {
    let last = last(arena);
    (last.number, last.under_way)
}

/// A right to change marks in one collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    /// The collection's number, which no other one has.
    pub cycle: u64,
    /// What the word beside the clock says as long as the right lasts.
    word: u64,
}

impl Right {
    /// Of whoever finds this word there.
    pub fn new(cycle: Cycle) -> Self {
        Self { cycle: cycle.number, word: cycle.pack() }
    }

    pub fn is_valid<P: Platform>(&self, seat: &Seat<'_, P>) -> bool {
        // Relaxed: what hangs on it comes behind a fence, or is a step of which nothing is lost.
        seat.arena.platform().load(seat.arena.layout().collection(), Relaxed) == self.word
    }

    /// Changes the colour of a block in use that may have many names. False: it is not so, or has another colour; or the right is over.
    ///
    /// Whoever ends it finds the name in the hazard pointer, or we find that he has.
    pub fn change<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle, from: Colour, to: Colour) -> bool {
        seat.protect(handle);
        self.is_valid(seat) && is_in_use(seat.arena, handle) && recolour(seat.arena, handle, self.cycle, from, to)
    }

    /// Condemns a block that is left alone, unless it is black, or retired by now as far as that it has no mark.
    pub fn condemn_left_alone<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle) -> bool {
        seat.protect(handle);
        self.is_valid(seat) && is_in_use(seat.arena, handle) && condemn_marked(seat.arena, handle, self.cycle)
    }

    /// Whether a block was condemned by this collection, which is under way still. Whoever takes over leaves it alone.
    pub fn may_retire<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle) -> bool {
        seat.protect(handle);
        self.is_valid(seat)
            && is_in_use(seat.arena, handle)
            && colour(seat.arena, handle, self.cycle) == Colour::Condemned
    }
}

/// Whether others trace, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Help {
    NotYet,
    Admitted,
    Dismissed,
}

/// Who collects, of one collection.
#[derive(Debug)]
pub(super) struct Role {
    claim: u64,
    right: Right,
    help: Help,
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
        if cycle.under_way && !may_be_taken(seat.arena, cycle.number, patience, is_dead) {
            return None;
        }
        let role = Self { claim: seat.claim.pack(), right: Right::new(cycle.next()), help: Help::NotYet };
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
        self.claim == seat.claim.pack() && self.right.is_valid(seat)
    }

    /// His, to change marks and to retire.
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// Its number.
    pub fn cycle(&self) -> u64 {
        self.right.cycle
    }

    /// Whether others may trace.
    pub fn has_admitted(&self) -> bool {
        self.help == Help::Admitted
    }

    /// Lets others trace, if somebody has asked for it and they have not been dismissed. False: nothing has changed.
    pub fn admit<P: Platform>(&mut self, seat: &Seat<'_, P>) -> bool {
        let (platform, line) = (seat.arena.platform(), seat.arena.layout().hot(HotWord::Collector));
        // Relaxed: a wish.
        if self.help != Help::NotYet || platform.load(line.offset(WANTED), Relaxed) != self.cycle() {
            return false;
        }
        // What is done before marking is done for whoever sees it.
        self.help = Help::Admitted;
        self.exchange(seat, Cycle { helped: true, ..self.cycle_word() })
    }

    /// Lets nobody else trace. Visits the blocks whose marks they may change still: one for each who is in the middle of it. False: somebody has taken over, or
    /// the system does not let this process make others fence.
    pub fn dismiss<P: Platform>(&mut self, seat: &Seat<'_, P>, visit: &mut impl FnMut(&Right, Handle)) -> bool {
        self.help = Help::Dismissed;
        // Whoever is about to change a mark finds that it is over, or we find which; and all that he has changed before.
        let is_mine = self.exchange(seat, Cycle { helped: false, ..self.cycle_word() });
        if is_mine && seat.arena.platform().heavy_fence() {
            reclamation::for_each_hazard(seat.arena, seat.id, &mut |handle| visit(&self.right, handle));
            return true;
        }
        false
    }

    /// False: somebody has taken over.
    fn exchange<P: Platform>(&mut self, seat: &Seat<'_, P>, cycle: Cycle) -> bool {
        let (platform, word) = (seat.arena.platform(), seat.arena.layout().collection());
        let right = Right::new(cycle);
        // AcqRel: what was done is passed on to whoever collects next.
        let is_mine = platform.compare_exchange(word, self.right.word, right.word, AcqRel, Relaxed).is_ok();
        if is_mine {
            self.right = right;
        }
        is_mine
    }

    fn cycle_word(&self) -> Cycle {
        Cycle::unpack(self.right.word)
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

    /// Ends it, finished or not.
    pub fn close<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        if self.is_mine(seat) {
            // Lost: somebody has taken over.
            self.exchange(seat, Cycle { number: self.cycle(), under_way: false, helped: false });
        }
    }

    /// It has come to its end.
    pub fn note_end<P: Platform>(&self, seat: &Seat<'_, P>) {
        let ended = seat.arena.layout().hot(HotWord::Collector).offset(ENDED);
        // Relaxed: it decides only how soon others take over.
        seat.arena.platform().store(ended, self.cycle(), Relaxed);
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

fn may_be_taken<P: Platform>(
    arena: &Arena<P>,
    cycle: u64,
    patience: Patience,
    is_dead: impl FnOnce(Claim) -> bool,
) -> bool {
    let (platform, word) = (arena.platform(), arena.layout().hot(HotWord::Collector));
    // Relaxed: see `say`.
    let holder = platform.load(word, Relaxed);
    let silent_ns = platform.coarse_ns().saturating_sub(platform.load(word.offset(1), Relaxed));
    let waited_enough = if holder & RESTS != 0 {
        let in_vain = cycle.saturating_sub(platform.load(word.offset(ENDED), Relaxed)).saturating_sub(1);
        silent_ns >= patience.rests_ns << in_vain.min(MOST_DOUBLINGS)
    } else {
        silent_ns >= patience.silent_ns
    };
    waited_enough || Claim::unpack(holder & !RESTS).is_some_and(is_dead)
}
