//! One collection, in steps of some tens of microseconds, from its begin to its end.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::colour::{colour, has_many_names, recolour, shade};
use super::reach::{Found, each_word, reach};
use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::{Claim, NO_LOG, Slot};
use crate::platform::Platform;
use crate::reclamation::{self, Limbo};
use crate::word::{BlockPhase, Colour, Handle, ParticipantId, State, Status};

/// Names that wait to be traced, at most: 512 KiB. What is not noted is grey all the same, and found in a look over all blocks.
pub const MOST_PENDING: usize = 1 << 16;
/// Words that one step traces, or somewhat more.
const TRACED_AT_ONCE: u64 = 1024;
/// In the collector's word beside the claim: nobody is at it just now, and others may begin anew.
const RESTS: u64 = 1 << 62;
/// How long whoever is in no hurry lets another one rest.
const REST_NS: u64 = 500_000_000;
/// Numbers of collections: the bits of a mark. 0 is none.
const CYCLES: u64 = (1 << 56) - 1;

/// What one step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    Went,
    /// Somebody began before, and is not through: nothing can be done but wait.
    Waits,
    /// This collection is over. Where this process has no memory for its lists, it has found less than there is.
    Over(Collected),
    /// Somebody else has taken over while it rested, or it was begun by another process: this is its child. Nothing was done.
    Lost,
}

/// What a collection found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that nothing named any more. What only they named goes with them.
    pub objects: u64,
    /// Those that something names, and those that were made meanwhile.
    pub kept: u64,
}

/// Who collects: a participant that is in no attempt.
pub struct Seat<'a, P: Platform> {
    pub(crate) arena: &'a Arena<P>,
    pub(crate) id: ParticipantId,
    pub(crate) slot: Slot,
    pub(crate) claim: Claim,
    pub(crate) limbo: &'a mut Limbo,
}

impl<P: Platform> Seat<'_, P> {
    /// What is named from here on is not freed by others before [`Self::leave`]: as in an attempt.
    fn enter(&self) {
        // Relaxed, and the fence: as in `begin`.
        self.arena.platform().store(self.slot.start(), reclamation::stamp(self.arena) | NO_LOG, Relaxed);
        self.arena.platform().fence(SeqCst);
    }

    fn leave(&self) {
        // Release: what was read is read before anybody frees it.
        self.arena.platform().store(self.slot.start(), 0, Release);
    }
}

/// How far it has come (the numbers of the module's protocol). The numbers of superblocks say where a look over all blocks is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Opening,
    Logs,
    Marking,
    Looking { superblock: u64, clean: bool },
    Condemning { superblock: u64 },
    Retiring,
}

/// A collection under way. Whoever drops it without having closed it, or let it rest, leaves it to the next one after the death of this
/// process.
#[derive(Debug)]
pub struct Collection {
    claim: u64,
    cycle: u64,
    phase: Phase,
    /// Grey blocks.
    objects: Vec<Handle>,
    /// The one that is being traced, and its arrays of cells that are not traced yet.
    tracing: Option<Handle>,
    arrays: Vec<Handle>,
    /// Those who were COMMITTED when it began, and their statuses.
    commits: Vec<(Slot, u64)>,
    /// Superblocks with something condemned.
    condemned: Vec<u64>,
    /// A list could not grow: what is grey or condemned is left as it is.
    starved: bool,
    collected: Collected,
}

impl Collection {
    /// Step 1 of the protocol. `None`: somebody living collects, and does not rest; or not for long, and there is no `hurry`.
    pub(crate) fn open<P: Platform>(
        seat: &Seat<'_, P>,
        hurry: bool,
        is_dead: impl FnOnce(Claim) -> bool,
    ) -> Option<Self> {
        let (platform, layout, claim) = (seat.arena.platform(), seat.arena.layout(), seat.claim.pack());
        let word = layout.hot(HotWord::Collector);
        // Acquire: pairs with the release of the last collector.
        let holder = platform.load(word, Acquire);
        // Relaxed: only how long somebody waits hangs on it.
        let rested_ns = || platform.coarse_ns().saturating_sub(platform.load(word.offset(1), Relaxed));
        let rests = holder & RESTS != 0 && (hurry || rested_ns() > REST_NS);
        if holder != 0 && !rests && !Claim::unpack(holder).is_none_or(is_dead) {
            return None;
        }
        platform.compare_exchange(word, holder, claim, AcqRel, Relaxed).ok()?;
        // Relaxed: only whoever has the word above writes these; those who have to see the second see it by the fence.
        let cycle = (platform.load(layout.hot(HotWord::LastCollection), Relaxed) % CYCLES) + 1;
        platform.store(layout.hot(HotWord::LastCollection), cycle, Relaxed);
        platform.store(layout.collection(), cycle, Relaxed);
        // Pairs with the fence behind COMMITTED: whoever is not COMMITTED yet finds the number when he is.
        platform.fence(SeqCst);
        let (phase, collected, commits) = (Phase::Opening, Collected::default(), who_commits(seat.arena));
        let (objects, arrays, condemned) = (Vec::new(), Vec::new(), Vec::new());
        Some(Self {
            claim,
            cycle,
            phase,
            objects,
            tracing: None,
            arrays,
            commits,
            condemned,
            starved: false,
            collected,
        })
    }

    /// Goes on. `roots` calls what it is given with each object that a process holds.
    pub(crate) fn step<P: Platform>(
        &mut self,
        seat: &mut Seat<'_, P>,
        roots: impl FnOnce(&mut dyn FnMut(Handle)),
    ) -> Step {
        if !self.is_mine(seat) {
            return Step::Lost;
        }
        if self.starved {
            self.close(seat);
            return Step::Over(self.collected);
        }
        match self.phase {
            Phase::Opening => {
                // Acquire: what he has written back is seen.
                self.commits.retain(|(slot, status)| seat.arena.platform().load(slot.status(), Acquire) == *status);
                if !self.commits.is_empty() {
                    return Step::Waits;
                }
                self.mark_roots(seat, roots);
                self.phase = Phase::Logs;
            }
            Phase::Logs => {
                if !self.mark_logs(seat) {
                    return Step::Waits;
                }
                self.phase = Phase::Marking;
            }
            Phase::Marking => {
                seat.enter();
                self.trace(seat.arena);
                seat.leave();
                if self.is_all_traced() {
                    self.phase = Phase::Looking { superblock: 0, clean: true };
                }
            }
            Phase::Looking { superblock, clean } => self.look(seat, superblock, clean),
            Phase::Condemning { superblock } => self.condemn(seat, superblock),
            Phase::Retiring => {
                let Some(superblock) = self.condemned.pop() else {
                    self.close(seat);
                    return Step::Over(self.collected);
                };
                self.retire(seat, superblock);
            }
        }
        Step::Went
    }

    /// Lets others take over from here on. Between steps.
    pub(crate) fn rest<P: Platform>(&self, seat: &Seat<'_, P>) {
        let arena = seat.arena;
        if self.is_mine(seat) {
            let since = arena.layout().hot(HotWord::Collector).offset(1);
            arena.platform().store(since, arena.platform().coarse_ns(), Relaxed);
            self.change_holder(arena, self.claim, self.claim | RESTS);
        }
    }

    /// After [`Self::rest`]. False: it is lost.
    pub(crate) fn resume<P: Platform>(&self, seat: &Seat<'_, P>) -> bool {
        let arena = seat.arena;
        if self.claim != seat.claim.pack() || !self.change_holder(arena, self.claim | RESTS, self.claim) {
            return false;
        }
        // Relaxed: written before the word that was just acquired. Another one of this process may have taken over and rest now.
        let is_same = arena.platform().load(arena.layout().collection(), Relaxed) == self.cycle;
        if !is_same {
            self.change_holder(arena, self.claim, self.claim | RESTS);
        }
        is_same
    }

    fn change_holder<P: Platform>(&self, arena: &Arena<P>, from: u64, to: u64) -> bool {
        let word = arena.layout().hot(HotWord::Collector);
        // AcqRel: what was done is passed on to whoever has the word next.
        arena.platform().compare_exchange(word, from, to, AcqRel, Relaxed).is_ok()
    }

    /// Ends it, finished or not.
    pub(crate) fn close<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        let arena = seat.arena;
        if self.is_mine(seat) {
            // Relaxed: whoever still sees the number does some work in vain.
            arena.platform().store(arena.layout().collection(), 0, Relaxed);
            self.change_holder(arena, self.claim, 0);
        }
    }

    /// The child of a fork has a copy of it, and another claim; so has a process that has left and joined again.
    fn is_mine<P: Platform>(&self, seat: &Seat<'_, P>) -> bool {
        let holder = seat.arena.platform().load(seat.arena.layout().hot(HotWord::Collector), Relaxed);
        holder == self.claim && self.claim == seat.claim.pack()
    }

    fn mark_roots<P: Platform>(&mut self, seat: &Seat<'_, P>, roots: impl FnOnce(&mut dyn FnMut(Handle))) {
        let arena = seat.arena;
        seat.enter();
        // Acquire: as a tracer's.
        let root = arena.platform().load(arena.root().value_word(), Acquire);
        self.reach(arena, root);
        roots(&mut |held| self.reach(arena, held.raw()));
        seat.leave();
    }

    /// What those who are in an attempt have read and named. False: of somebody it cannot be said now.
    fn mark_logs<P: Platform>(&mut self, seat: &Seat<'_, P>) -> bool {
        let arena = seat.arena;
        let since = reclamation::look_at_logs(arena, seat.id, &mut |handle| {
            // Relaxed, in the check: whoever looked has acquired it. What is RETIRED has one name, and was followed.
            if let Ok(state) = allocator::check_fully(arena, handle)
                && state.phase == BlockPhase::Live
                && has_many_names(arena, handle, state.kind)
            {
                self.note(arena, handle);
            }
        });
        since == reclamation::NOTHING_ELSE
    }

    fn note<P: Platform>(&mut self, arena: &Arena<P>, object: Handle) {
        // What cannot be noted is grey all the same.
        if shade(arena, object, self.cycle) && self.objects.len() < MOST_PENDING {
            push(&mut self.objects, object);
        }
    }

    /// Notes the ends of the ways from a word.
    fn reach<P: Platform>(&mut self, arena: &Arena<P>, word: u64) {
        reach(arena, word, &mut |found| match found {
            Found::Array(array) => self.starved |= !push(&mut self.arrays, array),
            Found::ManyNames(object) => self.note(arena, object),
        });
    }

    fn is_all_traced(&self) -> bool {
        self.objects.is_empty() && self.arrays.is_empty() && self.tracing.is_none()
    }

    /// Traces some of what is grey.
    fn trace<P: Platform>(&mut self, arena: &Arena<P>) {
        let mut words = 0;
        while words < TRACED_AT_ONCE {
            // Arrays first: a block is black once all its arrays are traced, and not before.
            let next = self.arrays.pop().or_else(|| {
                if let Some(traced) = self.tracing.take() {
                    recolour(arena, traced, self.cycle, Colour::Grey, Colour::Black);
                }
                self.tracing = self.objects.pop();
                self.tracing
            });
            let Some(next) = next else { return };
            if let Ok(state) = allocator::check(arena, next) {
                words += 1;
                each_word(arena, next, state.kind, &mut |word| {
                    words += 1;
                    self.reach(arena, word);
                });
            }
        }
    }

    /// The next superblock from `from` on that a look has to go to; the number behind the last where there is none.
    fn next_superblock<P: Platform>(arena: &Arena<P>, from: u64) -> u64 {
        let used = allocator::superblocks_used(arena);
        (from..used).find(|number| allocator::may_have_many_names(arena, *number)).unwrap_or(used)
    }

    /// Step 5: one superblock, or some of what was found there.
    fn look<P: Platform>(&mut self, seat: &Seat<'_, P>, from: u64, clean: bool) {
        let arena = seat.arena;
        seat.enter();
        let superblock = Self::next_superblock(arena, from);
        if !self.is_all_traced() {
            self.trace(arena);
        } else if superblock < allocator::superblocks_used(arena) {
            let before = self.objects.len();
            for_each_of_many_names(arena, superblock, |handle| {
                if colour(arena, handle, self.cycle) == Colour::Grey {
                    self.starved |= !push(&mut self.objects, handle);
                }
            });
            let clean = clean && self.objects.len() == before;
            self.phase = Phase::Looking { superblock: superblock + 1, clean };
        } else if clean {
            self.phase = Phase::Condemning { superblock: 0 };
        } else {
            self.phase = Phase::Looking { superblock: 0, clean: true };
        }
        seat.leave();
    }

    /// Step 6, its first half.
    fn condemn<P: Platform>(&mut self, seat: &Seat<'_, P>, from: u64) {
        let arena = seat.arena;
        let superblock = Self::next_superblock(arena, from);
        if superblock < allocator::superblocks_used(arena) {
            // As in a look: a block that others free meanwhile must not become something else under our eyes.
            seat.enter();
            let mut condemned = 0;
            for_each_of_many_names(arena, superblock, |handle| {
                let is_white = recolour(arena, handle, self.cycle, Colour::White, Colour::Condemned);
                condemned += u64::from(is_white);
                self.collected.kept += u64::from(!is_white);
            });
            seat.leave();
            if condemned > 0 {
                self.collected.objects += condemned;
                self.starved |= !push(&mut self.condemned, superblock);
            }
            self.phase = Phase::Condemning { superblock: superblock + 1 };
        } else {
            self.phase = Phase::Retiring;
        }
    }

    /// Its second half.
    fn retire<P: Platform>(&mut self, seat: &mut Seat<'_, P>, superblock: u64) {
        let arena = seat.arena;
        seat.enter();
        for_each_of_many_names(arena, superblock, |handle| {
            if colour(arena, handle, self.cycle) == Colour::Condemned {
                // What stays condemned is white for the next collection.
                self.starved |= !seat.limbo.reserve(1);
                if !self.starved && reclamation::retire_whole(arena, seat.slot, seat.id, handle) {
                    seat.limbo.push(arena, reclamation::stamp(arena), handle, true);
                }
            }
        });
        seat.leave();
    }
}

/// Puts a word on a list. False: this process has no memory for that.
fn push<T>(list: &mut Vec<T>, item: T) -> bool {
    let has_room = list.try_reserve(1).is_ok();
    if has_room {
        list.push(item);
    }
    has_room
}

/// All who are COMMITTED and not through with it.
fn who_commits<P: Platform>(arena: &Arena<P>) -> Vec<(Slot, u64)> {
    let slots = (0..arena.layout().geometry().participants).filter_map(|id| Slot::of(arena, ParticipantId(id as u16)));
    // Relaxed: after the fence of the caller.
    let statuses = slots.map(|slot| (slot, arena.platform().load(slot.status(), Relaxed)));
    let commits = |word| Status::unpack(word).is_some_and(|status| status.state == State::Committed);
    statuses.filter(|(_, word)| commits(*word)).collect()
}

/// The LIVE blocks of a superblock that may have many names.
fn for_each_of_many_names<P: Platform>(arena: &Arena<P>, superblock: u64, mut visit: impl FnMut(Handle)) {
    allocator::for_each_block_to_mark(arena, superblock, &mut |handle, state| {
        if state.phase == BlockPhase::Live && has_many_names(arena, handle, state.kind) {
            visit(handle);
        }
    });
}
