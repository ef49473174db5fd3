//! The face of the engine: a space that this process has joined.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::allocator;
use crate::arena::{Arena, HotWord, Layout};
use crate::error::Corrupt;
use crate::holding;
use crate::participant::{Claim, ProcessPhase, ProcessSlot, Slot, Taking};
use crate::platform::{Liveness, Platform};
use crate::reclamation;
use crate::recovery;
use crate::transaction::{Participant, Stay, have_grown};
use crate::word::{ParticipantId, ProcessSlotId, Version};

mod refusal;

pub use refusal::{Holders, JoinError};

/// Words of a space in which a place is kept ready, at least: 8 MiB.
const WITH_A_READY_PLACE: u64 = 1 << 20;
/// Places that nobody has and that keep the first pieces of their logs where memory is looked for: who joins a full space has no room for his own.
const PLACES_WITH_LOGS: u64 = 2;

/// A space, joined. Shared by the threads (and interpreters) of a process.
#[derive(Debug)]
pub struct Space<P: Platform> {
    arena: Arena<P>,
    /// The claim of this process, packed. Atomic only because the child of a fork takes another slot: see `rejoin`.
    claim: AtomicU64,
    /// What it holds outside of the space.
    held: holding::Table,
    /// In the child of a fork that found no slot: its parent has been told not to wait for it.
    disinherited: AtomicBool,
    /// The process of whose threads one is at [`Space::rejoin`], by its number and when it began; 0: none.
    rejoins: AtomicU64,
    /// What the last one came to.
    inherits: AtomicBool,
}

/// The only thread of its process that is at [`Space::rejoin`].
struct Rejoining<'a>(&'a AtomicU64);

impl Drop for Rejoining<'_> {
    fn drop(&mut self) {
        // Release: whoever waits finds what was done.
        self.0.store(0, Release);
    }
}

/// Ends a look, come what may.
struct Look<'a, P: Platform> {
    arena: &'a Arena<P>,
    slot: ProcessSlot,
    generation: u64,
}

impl<P: Platform> Drop for Look<'_, P> {
    fn drop(&mut self) {
        self.slot.end_look(self.arena, self.generation);
    }
}

/// Why a process slot may be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vacancy {
    Free,
    /// Of a dead process none of whose participants is claimed any more.
    Unclaimed,
    Dead,
}

impl<P: Platform> Space<P> {
    /// Joins the space in `platform`: takes a process slot, clears up after the dead.
    pub fn join(platform: P, layout: Layout) -> Result<Arc<Self>, JoinError> {
        let arena = Arena::new(platform, layout);
        let claim = Self::take_process_slot(&arena)?;
        let space = Arc::new(Self {
            arena,
            claim: AtomicU64::new(claim.pack()),
            held: holding::Table::default(),
            disinherited: AtomicBool::new(false),
            rejoins: AtomicU64::new(0),
            inherits: AtomicBool::new(true),
        });
        recovery::recover_dead(&space);
        Ok(space)
    }

    /// In the child of a fork, once its platform is ready: takes a process slot of the child's own. The
    /// parent's participants are not the child's: it drops them without leaving, and takes new ones. What the parent held at the
    /// fork the child holds from here on, too, under the same tokens (see `holding`): true. False: it holds nothing, and the tokens are void,
    /// for nobody has said before the fork that it would come ([`Space::before_fork`]), or the parent has ended meanwhile.
    ///
    /// Of several threads one does it. The others wait, and are told the same; so is whoever asks in a process that is no fork, or not any more.
    ///
    /// # Errors
    /// [`JoinError::Processes`], [`JoinError::Locks`]: it has no slot, and stays a fork that has not joined. Its
    /// parent goes on without it: if it finds a slot later, it holds nothing of what its parent did. After all other errors it has
    /// its slot.
    pub fn rejoin(self: &Arc<Self>) -> Result<bool, JoinError> {
        let _alone = self.begin_to_rejoin();
        if !self.arena.platform().forked() {
            // Relaxed: behind the acquire of who waited.
            return Ok(self.inherits.load(Relaxed));
        }
        self.inherits.store(false, Relaxed);
        let inherits = self.take_the_parents_place()?;
        self.inherits.store(inherits, Relaxed);
        Ok(inherits)
    }

    /// Waits until no other thread of this process is at it.
    fn begin_to_rejoin(&self) -> Rejoining<'_> {
        let identity = self.arena.platform().identity();
        // Not the number alone: a process may get that of an ancestor who died, and whose thread is copied here.
        let me = u64::from(identity.pid) | identity.start_time << 32;
        loop {
            // Of another process: a thread of the parent's that this fork has no copy of.
            let seen = self.rejoins.load(Relaxed);
            // Acquire: pairs with the release of who was at it.
            if seen != me && self.rejoins.compare_exchange(seen, me, Acquire, Relaxed).is_ok() {
                return Rejoining(&self.rejoins);
            }
            self.arena.platform().spin_hint();
            std::thread::yield_now();
        }
    }

    fn take_the_parents_place(self: &Arc<Self>) -> Result<bool, JoinError> {
        let parent = self.claim();
        let claim = Self::take_process_slot(&self.arena).inspect_err(|_| self.disinherit())?;
        // Relaxed: published by what says that this is no fork any more. Nobody asks for the claim of one.
        self.claim.store(claim.pack(), Relaxed);
        self.held.reset();
        self.arena.platform().has_joined();
        // First: the parent may be among the dead.
        let disinherited = self.disinherited.swap(false, Relaxed);
        let noted = self.held_at_fork().filter(|_| !disinherited);
        let taken_over = noted.map_or(Ok(false), |noted| self.take_over_held(parent, &noted));
        recovery::recover_dead(self);
        taken_over
    }

    /// In the child of a fork that cannot join: the parent waits for it no longer. Done once, for it lowers a count.
    pub fn disinherit(&self) {
        // Another thread of it may have joined since this one failed. Relaxed: one of its threads. Without a note nobody waits for it.
        if self.arena.platform().forked() && !self.disinherited.swap(true, Relaxed) && self.held_at_fork().is_some() {
            self.after_fork_failed();
        }
    }

    /// A slot whose liveness byte we get. If a dead process is still named there, the slot's generation rises: its
    /// participants' claims name a generation that is gone, which proves them dead to everybody.
    fn take_process_slot(arena: &Arena<P>) -> Result<Claim, JoinError> {
        let slots = arena.layout().geometry().process_slots;
        // What others met before is not about this.
        let _ = arena.platform().liveness_refusal();
        // Last those whose participants are claimed still: somebody may wait for them, and takes the dead for alive while we are at it.
        for wanted in [Vacancy::Free, Vacancy::Unclaimed, Vacancy::Dead, Vacancy::Free] {
            for number in 0..slots {
                let id = ProcessSlotId(number as u16);
                let Some(slot) = ProcessSlot::of(arena, id) else { continue };
                // A process that lives on without its byte (FENCED) keeps its slot.
                let state = slot.state(arena);
                let is_claimed =
                    || recovery::anybody_claims(arena, Claim { process: id, generation: state.generation });
                let usable = match state.phase {
                    ProcessPhase::Free => wanted == Vacancy::Free,
                    ProcessPhase::Used => {
                        wanted != Vacancy::Free
                            && arena.platform().liveness(id, slot.identity(arena)) == Liveness::Dead
                            && (wanted == Vacancy::Dead || !is_claimed())
                    }
                };
                if !usable || !arena.platform().claim_liveness(id) {
                    continue;
                }
                // With the byte in hand nobody else takes the slot; somebody may have, before.
                let taken = match slot.state(arena) == state {
                    true => slot.take(arena, arena.platform().identity(), state),
                    false => Taking::Changed,
                };
                let taken = match taken {
                    Taking::Taken(taken) => taken,
                    Taking::Changed => {
                        arena.platform().release_liveness(id);
                        continue;
                    }
                    // With the byte in hand: see there.
                    Taking::Lost => continue,
                };
                // What a dead one held. Of a free slot nothing is held. The slot is ours by then: the dead one is dead to all, however long this takes.
                if state.phase == ProcessPhase::Used {
                    holding::empty(arena, slot);
                }
                return Ok(Claim { process: id, generation: taken.generation });
            }
        }
        Err(match arena.platform().liveness_refusal() {
            Some(errno) => JoinError::Locks { errno },
            None => JoinError::Processes { slots, holders: Holders::of_process_slots(arena) },
        })
    }

    /// The memory.
    #[inline]
    pub fn arena(&self) -> &Arena<P> {
        &self.arena
    }
    /// What this process holds outside of the space: the private side.
    #[inline]
    pub(crate) fn held(&self) -> &holding::Table {
        &self.held
    }
    /// The claim of this process: its slot, and which life of the slot this is.
    #[inline]
    pub fn claim(&self) -> Claim {
        // Relaxed: see `rejoin`. What is stored is a claim.
        let word = self.claim.load(Relaxed);
        Claim::unpack(word).unwrap_or(Claim { process: ProcessSlotId(0), generation: 0 })
    }
    /// The slot of this process.
    pub fn process(&self) -> ProcessSlotId {
        self.claim().process
    }

    /// Somebody who can run transactions: takes a place in the participant table.
    ///
    /// # Errors
    /// `Participants`, `Full`: no place, no room for its logs. `Corrupt`: they are damaged, or the version clock is. `Forked`: before [`Self::rejoin`].
    pub fn participant(self: &Arc<Self>) -> Result<Participant<P>, JoinError> {
        if self.arena.platform().forked() {
            return Err(JoinError::Forked);
        }
        // Here, once: who runs transactions relies on it.
        let clock = self.arena.layout().hot(HotWord::VersionClock);
        let word = self.arena.platform().load(clock, Relaxed);
        if !Version::is_clock(word) {
            return Err(Corrupt { what: "the version clock", byte_offset: clock.byte_offset(), word }.into());
        }
        let word = reclamation::stamp(&self.arena);
        if !reclamation::is_batch(word) {
            let byte_offset = self.arena.layout().hot(HotWord::Batch).byte_offset();
            return Err(Corrupt { what: "the number that blocks are retired at", byte_offset, word }.into());
        }
        match self.claim_participant() {
            Ok(Some(participant)) => return Ok(participant),
            Ok(None) => _ = recovery::recover_dead(self),
            // No room for logs: the dead have some, and what is left of those who are gone makes room.
            Err(JoinError::Full(_)) => self.make_room_to_join(),
            Err(error) => return Err(error),
        }
        let participants = self.arena.layout().geometry().participants;
        let claimed = self.claim_participant()?;
        claimed.ok_or_else(|| JoinError::Participants { participants, holders: Holders::of_participants(&self.arena) })
    }

    #[cold]
    #[inline(never)]
    fn make_room_to_join(self: &Arc<Self>) {
        recovery::recover_dead(self);
        self.inherit();
    }

    fn claim_participant(self: &Arc<Self>) -> Result<Option<Participant<P>>, JoinError> {
        let mut refused = None;
        for number in 0..self.arena.layout().geometry().participants {
            let id = ParticipantId(number as u16);
            let Some(slot) = Slot::of(&self.arena, id) else { continue };
            let platform = self.arena.platform();
            // Relaxed: only a hint before the compare-exchange.
            if platform.load(slot.claim(), Relaxed) != 0 {
                continue;
            }
            // Where one finds no room for its logs, only those that have theirs are worth a try.
            if matches!(refused, Some(JoinError::Full(_))) && !self.has_logs(slot) {
                continue;
            }
            match self.claim_place(id, slot, Stay::ToWork) {
                Ok(None) => {}
                Ok(Some(participant)) => return Ok(Some(participant)),
                // A place that damage has made useless, or for which there is no room: others may have what they need.
                Err(error) => refused = refused.filter(|_| !matches!(error, JoinError::Full(_))).or(Some(error)),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    fn has_logs(&self, slot: Slot) -> bool {
        // Relaxed: a hint; whoever takes the place looks again.
        [slot.record_piece(0), slot.read_log_piece(0)].iter().all(|at| self.arena.platform().load(*at, Relaxed) != 0)
    }

    /// Sees to it that a place which nobody has comes with logs: who joins a full space has no room for his own, and without them he could free nothing. True: there is one.
    /// Only in spaces of 8 MiB and more: what it takes, a superblock, and more of those who come and go, is too much of a smaller one.
    ///
    /// Cost: a load for each place before it; where there is none as much as joining and leaving.
    pub fn keep_place_ready(self: &Arc<Self>) -> bool {
        if self.arena.platform().forked() || self.arena.layout().geometry().space_words < WITH_A_READY_PLACE {
            return false;
        }
        let mut without_logs = [None; 2];
        for number in 0..self.arena.layout().geometry().participants {
            let id = ParticipantId(number as u16);
            let Some(slot) = Slot::of(&self.arena, id) else { continue };
            // Relaxed: a hint, as above.
            if self.arena.platform().load(slot.claim(), Relaxed) != 0 {
                continue;
            }
            if self.has_logs(slot) {
                return true;
            }
            let [first, second] = &mut without_logs;
            if first.is_none() { first } else { second }.get_or_insert((id, slot));
        }
        // The only one is for whoever joins just now. As a rule: who comes just here may find none free for a moment.
        let [Some((id, slot)), Some(_)] = without_logs else { return false };
        let taken = self.claim_place(id, slot, Stay::ToWork).ok().flatten();
        let is_ready = taken.is_some();
        taken.into_iter().for_each(Participant::leave);
        is_ready
    }

    /// Takes one place. `None`: somebody else has it. In line: a participant is large, and is moved by each call that it goes through.
    #[inline(always)]
    fn claim_place(
        self: &Arc<Self>,
        id: ParticipantId,
        slot: Slot,
        stay: Stay,
    ) -> Result<Option<Participant<P>>, JoinError> {
        // AcqRel: pairs with the release of the last owner or its recoverer; the slot is at rest.
        let claim = self.claim().pack();
        if self.arena.platform().compare_exchange(slot.claim(), 0, claim, AcqRel, Relaxed).is_err() {
            return Ok(None);
        }
        let _look = self.begin_look();
        match Participant::adopt(Arc::clone(self), id, slot, stay) {
            Ok(participant) => Ok(Some(participant)),
            Err(error) => {
                self.give_back(id, slot);
                Err(error)
            }
        }
    }

    /// Frees what those have retired who are gone, as far as nobody holds it, and their logs, but for the first pieces of [`PLACES_WITH_LOGS`]: else it waits for the next
    /// owner of their place, which may never come. Gives the number of payload words freed.
    ///
    /// Cost: a load or two for each place; for each where something is left as much as joining, a collection and leaving.
    pub fn inherit(self: &Arc<Self>) -> u64 {
        let mut freed = 0;
        // In the child of a fork the claim is the parent's.
        if self.arena.platform().forked() {
            return freed;
        }
        let mut with_logs = 0;
        for number in 0..self.arena.layout().geometry().participants {
            let id = ParticipantId(number as u16);
            let Some(slot) = Slot::of(&self.arena, id) else { continue };
            // Relaxed: only hints, as above.
            let load = |word| self.arena.platform().load(word, Relaxed);
            if load(slot.claim()) != 0 {
                continue;
            }
            let is_bare = load(slot.record_piece(0)) == 0 && load(slot.read_log_piece(0)) == 0;
            with_logs += u64::from(!is_bare);
            let keeps_logs = with_logs <= PLACES_WITH_LOGS;
            let is_left = load(slot.retired()) != 0 || load(slot.detached()) != 0;
            if !is_left && (is_bare || keeps_logs && !have_grown(&self.arena, slot)) {
                continue;
            }
            if let Ok(Some(mut heir)) = self.claim_place(id, slot, Stay::ToFree) {
                // Retired, to be freed with the rest.
                if keeps_logs {
                    heir.trim_logs()
                } else {
                    heir.give_up_logs()
                }
                heir.collect();
                freed += heir.freed_words();
                heir.leave();
            }
        }
        freed
    }

    /// Nobody came of it: the place is for the next one, with what was taken for its logs.
    fn give_back(&self, id: ParticipantId, slot: Slot) {
        allocator::recover(&self.arena, id);
        // Release: pairs with the acquire of the next claim; the slot is at rest.
        let _ = self.arena.platform().compare_exchange(slot.claim(), self.claim().pack(), 0, Release, Relaxed);
    }

    /// While this runs, memory that is in use now does not go back to the system: for whoever checks handles that nothing keeps, or visits
    /// all blocks, and is in no attempt. Whoever is stopped in it keeps others from giving memory back, not from using it again.
    pub fn look<R>(&self, look: impl FnOnce() -> R) -> R {
        let _look = self.begin_look();
        look()
    }

    /// The same, until what it gives is dropped.
    fn begin_look(&self) -> Option<Look<'_, P>> {
        let claim = self.claim();
        // In a fork the parent's slot is not ours to count in; what the parent does not hold either the child does not look at.
        let slot = ProcessSlot::of(&self.arena, claim.process).filter(|_| !self.arena.platform().forked())?;
        slot.begin_look(&self.arena, claim.generation);
        Some(Look { arena: &self.arena, slot, generation: claim.generation })
    }

    /// Clears up after dead processes. Returns how many participants were freed: in the child of a fork that has not joined, none.
    pub fn recover_dead(&self) -> u64 {
        if self.arena.platform().forked() { 0 } else { recovery::recover_dead(self) }
    }

    /// Leaves: participants that were not given back are finished as if this process had died, then the slot is free. Nothing is held
    /// any more, and nobody may release or export after.
    ///
    /// While a child of a fork has still to copy what this process holds, the slot stays as it is and is cleared like a dead one's.
    pub fn leave(&self) {
        let platform = self.arena.platform();
        if platform.forked() {
            return;
        }
        let claim = self.claim();
        if let Some(slot) = ProcessSlot::of(&self.arena, claim.process) {
            let state = slot.state(&self.arena);
            let mine = state.generation == claim.generation && state.phase == ProcessPhase::Used;
            if mine && slot.children_to_come(&self.arena) == 0 {
                holding::empty(&self.arena, slot);
                slot.free(&self.arena, state);
            }
        }
        platform.release_liveness(claim.process);
    }

    /// Marks the space as damaged: every `begin` refuses from here on. The first finder's number stays.
    pub fn poison(&self, reason: u64) {
        let word = self.arena.layout().hot(HotWord::Poison);
        let _ = self.arena.platform().compare_exchange(word, 0, reason.max(1), AcqRel, Acquire);
    }
}
