//! One collection, in steps of some tens of microseconds, from its begin to its end.

use std::sync::atomic::Ordering::SeqCst;

use super::colour::{colour, has_many_names, is_condemned};
use super::doubt::Place;
use super::role::{Patience, Role, Seat, is_in_use};
use super::roots::Commit;
use super::trace::{Share, TRACED_AT_ONCE, Tracer, push};
use crate::allocator;
use crate::arena::Arena;
use crate::error::Corrupt;
use crate::participant::Claim;
use crate::platform::Platform;
use crate::reclamation::{self, Look, Looked};
use crate::word::{BlockPhase, Colour, Handle};

/// What one step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    Went,
    /// This collection is over. Where this process has no memory for its lists, it has found less than there is.
    Over(Collected),
    /// Somebody else has taken over, or it was begun by another process: this is its child. Nothing was done.
    Lost,
}

/// What a collection found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that nothing named any more. What only they named goes with them.
    pub objects: u64,
    /// Those that something names, and those that were made meanwhile.
    pub kept: u64,
    /// What could not be read. Then nothing was condemned: what hangs on it alone is not garbage.
    pub damage: Option<Corrupt>,
}

/// How far it has come (the numbers of the module's protocol). The numbers of superblocks say where a look over all blocks is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Commits,
    Roots,
    Logs,
    Marking,
    Looking { superblock: u64, clean: bool },
    Condemning { superblock: u64 },
    Retiring,
}

/// A collection under way. Whoever drops it without having closed it leaves it to others, who take over after a while.
#[derive(Debug)]
pub struct Collection {
    pub(super) role: Role,
    phase: Phase,
    /// Grey blocks.
    tracer: Tracer,
    /// Those who were COMMITTED when it began.
    commits: Vec<Commit>,
    /// At the logs, if one has begun and is not over.
    pub(super) look: Option<Look>,
    /// What somebody of a collection before is about to change, or to retire: it is not retired by this one.
    left_alone: Vec<Handle>,
    /// Superblocks with something condemned.
    condemned: Vec<u64>,
    /// A list could not grow: what is grey or condemned is left as it is.
    starved: bool,
    collected: Collected,
}

impl Collection {
    /// Step 1 of the protocol. `None`: somebody living collects, and has to be left to it.
    pub(crate) fn open<P: Platform>(
        seat: &Seat<'_, P>,
        patience: Patience,
        is_dead: impl FnOnce(Claim) -> bool,
    ) -> Option<Self> {
        let role = Role::take(seat, patience, is_dead)?;
        let commits = Commit::all(seat.arena);
        Some(Self {
            role,
            phase: Phase::Commits,
            tracer: Tracer::default(),
            commits,
            look: None,
            left_alone: Vec::new(),
            condemned: Vec::new(),
            starved: false,
            collected: Collected::default(),
        })
    }

    /// Goes on. `roots` calls what it is given with each object that a process holds.
    pub(crate) fn step<P: Platform>(
        &mut self,
        seat: &mut Seat<'_, P>,
        roots: impl FnOnce(&mut dyn FnMut(Handle)) -> Result<(), Corrupt>,
    ) -> Step {
        if !self.role.is_mine(seat) {
            return Step::Lost;
        }
        self.role.show_life(seat);
        seat.enter();
        // A step of its own, so that whoever helps finds something to do.
        let admits = matches!(self.phase, Phase::Marking | Phase::Looking { .. }) && self.role.admit(seat);
        let is_over = self.has_to_end() || !admits && self.go_on(seat, roots);
        seat.leave();
        if is_over {
            if !self.has_to_end() {
                self.role.note_end(seat);
            }
            self.close(seat);
            return Step::Over(Collected { damage: self.tracer.damage, ..self.collected });
        }
        Step::Went
    }

    /// True: it is over.
    fn go_on<P: Platform>(
        &mut self,
        seat: &mut Seat<'_, P>,
        roots: impl FnOnce(&mut dyn FnMut(Handle)) -> Result<(), Corrupt>,
    ) -> bool {
        match self.phase {
            // First of all: of whoever is through by now all is done before anything is traced.
            Phase::Commits => match self.commits.pop() {
                Some(commit) => self.mark_commit(seat, commit),
                None => self.phase = Phase::Roots,
            },
            Phase::Roots => {
                self.mark_roots(seat, roots);
                self.phase = Phase::Logs;
            }
            Phase::Logs => match self.mark_logs(seat) {
                Looked::Some => {}
                Looked::All => self.phase = Phase::Marking,
                Looked::Unknown => self.starved = true,
            },
            Phase::Marking => {
                self.trace(seat);
                if self.tracer.is_done() {
                    self.phase = Phase::Looking { superblock: 0, clean: true };
                }
            }
            Phase::Looking { superblock, clean } => self.look(seat, superblock, clean),
            Phase::Condemning { superblock } => self.condemn(seat, superblock),
            Phase::Retiring => match self.condemned.pop() {
                Some(superblock) => self.retire(seat, superblock),
                None => return true,
            },
        }
        false
    }

    /// Lets others take over from here on. Between steps.
    pub(crate) fn rest<P: Platform>(&self, seat: &Seat<'_, P>) {
        self.role.rest(seat);
    }

    /// After [`Self::rest`]. False: it is lost.
    pub(crate) fn resume<P: Platform>(&self, seat: &Seat<'_, P>) -> bool {
        self.role.is_mine(seat)
    }

    /// Ends it, finished or not.
    pub(crate) fn close<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        self.role.close(seat);
    }

    pub(super) fn note<P: Platform>(&mut self, seat: &Seat<'_, P>, object: Handle) {
        self.tracer.note(seat, self.role.right(), object);
    }

    pub(super) fn note_damage(&mut self, damage: Option<Corrupt>) {
        self.tracer.damage = self.tracer.damage.or(damage);
    }

    /// Where not all is found that can be reached.
    fn has_to_end(&self) -> bool {
        self.starved || self.tracer.has_to_end()
    }

    /// It is not retired by this collection.
    pub(super) fn leave_alone(&mut self, object: Handle) {
        self.starved |= !push(&mut self.left_alone, object);
    }

    /// Notes the ends of the ways from a word that is known to be one.
    pub(super) fn reach<P: Platform>(&mut self, seat: &Seat<'_, P>, word: u64) {
        self.follow(seat, word, None);
    }

    /// The same from a word that was read in passing.
    pub(super) fn reach_from<P: Platform>(&mut self, seat: &Seat<'_, P>, place: Place) {
        self.follow(seat, place.word, Some(place));
    }

    /// To the end, if nobody takes over: the words behind a root are one step, and whoever is at it says so.
    fn follow<P: Platform>(&mut self, seat: &Seat<'_, P>, word: u64, place: Option<Place>) {
        let Self { role, tracer, .. } = self;
        tracer.reach(seat, role.right(), word, place, TRACED_AT_ONCE);
        while tracer.is_walking() && role.is_mine(seat) {
            role.show_life(seat);
            tracer.walk_on(seat, role.right(), TRACED_AT_ONCE);
        }
    }

    fn trace<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        let share = if self.role.has_admitted() { Share::First } else { Share::All };
        self.tracer.trace(seat, self.role.right(), share, TRACED_AT_ONCE);
    }

    /// From here on nobody else traces. What somebody is about to note is noted.
    fn dismiss<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        let Self { role, tracer, left_alone, .. } = self;
        let mut has_room = true;
        let done = role.dismiss(seat, &mut |right, handle| match is_in_use(seat.arena, handle) {
            // Of somebody who stands still since a collection before; or condemned by one, which is as in `mark_logs`.
            true if left_alone.contains(&handle) => {}
            true if is_condemned(seat.arena, handle) => has_room &= push(left_alone, handle),
            true => drop(tracer.note(seat, right, handle)),
            false => {}
        });
        self.starved |= !done || !has_room;
    }

    /// Step 5: one superblock, or some of what was found there.
    fn look<P: Platform>(&mut self, seat: &Seat<'_, P>, from: u64, clean: bool) {
        let arena = seat.arena;
        let superblock = next_superblock(arena, from);
        if !self.tracer.is_done() {
            self.trace(seat);
        } else if superblock < allocator::superblocks_used(arena) {
            for_each_of_many_names(arena, superblock, |handle| {
                if colour(arena, handle, self.role.cycle()) == Colour::Grey {
                    self.tracer.push(handle);
                }
            });
            let clean = clean && self.tracer.is_done();
            self.phase = Phase::Looking { superblock: superblock + 1, clean };
        } else if clean && !self.role.has_admitted() {
            self.phase = Phase::Condemning { superblock: 0 };
        } else {
            if clean {
                self.dismiss(seat);
            }
            self.phase = Phase::Looking { superblock: 0, clean: true };
        }
    }

    /// Step 6, its first half.
    fn condemn<P: Platform>(&mut self, seat: &Seat<'_, P>, from: u64) {
        let arena = seat.arena;
        let superblock = next_superblock(arena, from);
        if superblock < allocator::superblocks_used(arena) {
            let mut condemned = 0;
            for_each_of_many_names(arena, superblock, |handle| {
                let is_garbage = self.condemn_one(seat, handle);
                condemned += u64::from(is_garbage);
                self.collected.kept += u64::from(!is_garbage);
            });
            if condemned > 0 {
                self.collected.objects += condemned;
                self.starved |= !push(&mut self.condemned, superblock);
            }
            self.phase = Phase::Condemning { superblock: superblock + 1 };
        } else {
            self.phase = Phase::Retiring;
        }
    }

    /// False: somebody can reach it, or it is left as it is.
    fn condemn_one<P: Platform>(&self, seat: &Seat<'_, P>, handle: Handle) -> bool {
        let right = self.role.right();
        if self.left_alone.contains(&handle) {
            // Grey, too: by somebody who was admitted and was at it when he was dismissed. All that can be reached is black by now.
            return right.condemn_left_alone(seat, handle);
        }
        colour(seat.arena, handle, self.role.cycle()) == Colour::White
            && right.change(seat, handle, Colour::White, Colour::Condemned)
    }

    /// Its second half.
    fn retire<P: Platform>(&mut self, seat: &mut Seat<'_, P>, superblock: u64) {
        let arena = seat.arena;
        for_each_of_many_names(arena, superblock, |handle| {
            if colour(arena, handle, self.role.cycle()) != Colour::Condemned || self.left_alone.contains(&handle) {
                return;
            }
            // What stays condemned is white for the next collection.
            self.starved |= !seat.limbo.reserve(1);
            if !self.starved
                && self.role.right().may_retire(seat, handle)
                && reclamation::retire_whole(arena, seat.slot, seat.id, handle)
            {
                // RETIRED before the stamp: whoever begins at a later one finds it so. It ended with an exchange.
                if !P::EXCHANGE_IS_FENCE {
                    arena.platform().fence(SeqCst);
                }
                seat.limbo.push(arena, reclamation::stamp(arena), handle, true);
            }
        });
    }
}

/// The next superblock from `from` on that a look has to go to; the number behind the last where there is none.
pub(super) fn next_superblock<P: Platform>(arena: &Arena<P>, from: u64) -> u64 {
    let used = allocator::superblocks_used(arena);
    (from..used).find(|number| allocator::may_have_many_names(arena, *number)).unwrap_or(used)
}

/// The LIVE blocks of a superblock that may have many names.
pub(super) fn for_each_of_many_names<P: Platform>(arena: &Arena<P>, superblock: u64, mut visit: impl FnMut(Handle)) {
    allocator::for_each_block_in(arena, superblock, &mut |handle, state| {
        if state.phase == BlockPhase::Live && has_many_names(arena, handle, state.kind) {
            visit(handle);
        }
    });
}
