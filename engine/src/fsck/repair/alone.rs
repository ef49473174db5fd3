//! Proof that nobody else is in the space; and what processes and participants left that are not there any more.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::reach::Reached;
use super::{Mended, RepairError, tables};
use crate::arena::Arena;
use crate::holding;
use crate::participant::{Claim, ProcessPhase, ProcessSlot, Slot, status_of};
use crate::platform::{Liveness, Platform};
use crate::space::{JoinError, Space};
use crate::word::{ParticipantId, ProcessSlotId, State, Status};

/// All liveness bytes are in the hand of this process: nobody is there, and nobody can join. They go back when this is dropped, and with the process, if it is
/// killed.
pub(super) struct Alone<'a, P: Platform> {
    space: &'a Space<P>,
    claimed: Vec<ProcessSlotId>,
}

impl<'a, P: Platform> Alone<'a, P> {
    /// Takes them, or says who is there.
    pub(super) fn prove(space: &'a Space<P>) -> Result<Self, RepairError> {
        let mut alone = Self { space, claimed: Vec::new() };
        // What others met before is not about this.
        let _ = space.arena().platform().liveness_refusal();
        slots(space.arena()).try_for_each(|(id, slot)| alone.take(id, slot)).map(|()| alone)
    }

    fn take(&mut self, id: ProcessSlotId, slot: ProcessSlot) -> Result<(), RepairError> {
        let arena = self.space.arena();
        if id == self.space.process() {
            return Ok(());
        }
        let state = slot.state(arena);
        let is_used = state.phase == ProcessPhase::Used;
        let identity = slot.identity(arena);
        let in_use = RepairError::InUse { slot: id, pid: is_used.then_some(identity.pid) };
        // One without its byte may still write.
        if is_used && arena.platform().liveness(id, identity) == Liveness::Fenced {
            return Err(in_use);
        }
        if !arena.platform().claim_liveness(id) {
            // Nobody has it where the system gives no locks.
            return Err(match arena.platform().liveness_refusal() {
                Some(errno) => JoinError::Locks { errno }.into(),
                None => in_use,
            });
        }
        self.claimed.push(id);
        // With the byte in hand nobody takes the slot any more. Whoever has, since it was looked at, may have lost the byte, and live.
        if slot.state(arena) == state { Ok(()) } else { Err(in_use) }
    }
}

impl<P: Platform> Drop for Alone<'_, P> {
    /// Lets others join.
    fn drop(&mut self) {
        self.claimed.iter().for_each(|id| self.space.arena().platform().release_liveness(*id));
    }
}

fn slots<P: Platform>(arena: &Arena<P>) -> impl Iterator<Item = (ProcessSlotId, ProcessSlot)> + '_ {
    let ids = (0..arena.layout().geometry().process_slots).map(|number| ProcessSlotId(number as u16));
    ids.filter_map(|id| ProcessSlot::of(arena, id).map(|slot| (id, slot)))
}

fn participants<P: Platform>(arena: &Arena<P>) -> impl Iterator<Item = (ParticipantId, Slot)> + '_ {
    let ids = (0..arena.layout().geometry().participants).map(|number| ParticipantId(number as u16));
    ids.filter_map(|id| Slot::of(arena, id).map(|slot| (id, slot)))
}

/// Frees the process slots of all others, and what they held. Tables that cannot be read come later.
pub(super) fn end_processes<P: Platform>(space: &Space<P>, report: &mut dyn FnMut(Mended)) {
    let arena = space.arena();
    for (id, slot) in slots(arena).filter(|(id, _)| *id != space.process()) {
        let state = slot.state(arena);
        if state.phase == ProcessPhase::Used {
            holding::publish_pieces(arena, slot);
            // A free slot holds nothing, whatever becomes of this repair: who joins after it looks at the tables of slots that are not free.
            tables::empty(arena, id, slot, report);
            // Its participants are proven dead by it, as those of a slot that was given on.
            if slot.free(arena, state) || clear_state(arena, slot) {
                report(Mended::Process { slot: id });
            }
        }
    }
}

/// A phase that is none: the word as it is packed is not the word that is there.
fn clear_state<P: Platform>(arena: &Arena<P>, slot: ProcessSlot) -> bool {
    let word = arena.platform().load(slot.state_word(), Acquire);
    // The generation stays, as far as it can be read: claims that name it are of a process that is gone.
    arena
        .platform()
        .compare_exchange(slot.state_word(), word, word >> 8 << 8 & ((1 << 48) - 1), AcqRel, Relaxed)
        .is_ok()
}

/// Recovers all participants that are claimed by somebody who is not there: all.
pub(super) fn end_participants<P: Platform>(space: &Space<P>, report: &mut dyn FnMut(Mended)) {
    let (arena, platform) = (space.arena(), space.arena().platform());
    let dead = dead_claim(space);
    let mut found = Vec::new();
    for (id, slot) in participants(arena) {
        // Nobody recovers anybody just now.
        platform.store(slot.recoverer(), 0, Relaxed);
        let word = platform.load(slot.claim(), Acquire);
        if word != 0 {
            found.push((id, slot, word));
            let _ = platform.compare_exchange(slot.claim(), word, dead, AcqRel, Relaxed);
        }
    }
    if !found.is_empty() {
        space.recover_dead();
    }
    for (participant, slot, word) in found {
        if platform.load(slot.claim(), Acquire) == 0 {
            report(Mended::Claim { participant, word });
        }
    }
}

/// Participants of nobody are between attempts. True: one was not, and was recovered, which may have changed cells.
pub(super) fn settle<P: Platform>(space: &Space<P>, reached: &Reached, report: &mut dyn FnMut(Mended)) -> bool {
    let (arena, platform) = (space.arena(), space.arena().platform());
    let mut unfinished = Vec::new();
    for (participant, slot) in participants(arena) {
        let start = platform.load(slot.start(), Acquire);
        if start != 0 {
            platform.store(slot.start(), 0, Relaxed);
            report(Mended::Start { participant, word: start });
        }
        let word = platform.load(slot.status(), Acquire);
        let status = status_of(arena, slot).ok();
        if status.is_some_and(|status| status.state == State::Idle) {
            continue;
        }
        // What its locks are worth the status says, or nobody knows. Somebody's blocks go with it, if no word that cannot be read may name them.
        let is_claimed = platform.load(slot.claim(), Acquire) != 0;
        match (reached.is_locked_by(participant.0, status.map(|status| status.seq)), status) {
            (true, Some(_)) => unfinished.push((participant, slot, word)),
            (true, None) => {}
            (false, _) if is_claimed && !reached.is_sure() => {}
            (false, _) => {
                let seq = ((word >> 4) + 1) & ((1 << 40) - 1);
                let idle = Status { seq, state: State::Idle }.pack();
                if platform.compare_exchange(slot.status(), word, idle, AcqRel, Relaxed).is_ok() {
                    report(Mended::Status { participant, word });
                }
            }
        }
    }
    if unfinished.is_empty() {
        return false;
    }
    let dead = dead_claim(space);
    let claimed = |slot: Slot| platform.compare_exchange(slot.claim(), 0, dead, AcqRel, Relaxed).is_ok();
    let claimed: Vec<bool> = unfinished.iter().map(|(_, slot, _)| claimed(*slot)).collect();
    space.recover_dead();
    for ((participant, slot, word), claimed) in unfinished.into_iter().zip(claimed) {
        if platform.load(slot.status(), Acquire) != word {
            report(Mended::Status { participant, word });
        } else if claimed {
            // Its record cannot be read to its end.
            let _ = platform.compare_exchange(slot.claim(), dead, 0, AcqRel, Relaxed);
        }
    }
    true
}

/// A claim of somebody who is not there.
fn dead_claim<P: Platform>(space: &Space<P>) -> u64 {
    let mine = space.claim();
    Claim { generation: mine.generation.wrapping_sub(1) & ((1 << 40) - 1), ..mine }.pack()
}

/// Recovers those whose attempts were judged just now, when what they have published is.
pub(super) fn end_settled<P: Platform>(space: &Space<P>, report: &mut dyn FnMut(Mended)) {
    let (arena, platform) = (space.arena(), space.arena().platform());
    let is_settled = |slot: Slot| status_of(arena, slot).is_ok_and(|status| status.state == State::Idle);
    let claims = participants(arena).map(|(id, slot)| (id, slot, platform.load(slot.claim(), Acquire)));
    let found: Vec<_> = claims.filter(|(_, slot, word)| *word != 0 && is_settled(*slot)).collect();
    if !found.is_empty() {
        space.recover_dead();
    }
    for (participant, slot, word) in found {
        if platform.load(slot.claim(), Acquire) == 0 {
            report(Mended::Claim { participant, word });
        }
    }
}
