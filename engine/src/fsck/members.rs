//! Participants against processes.

use std::sync::atomic::Ordering::Acquire;

use super::Finding;
use crate::arena::Arena;
use crate::participant::{Claim, ProcessPhase, ProcessSlot, Slot, participant_is_dead};
use crate::platform::{Liveness, Platform};
use crate::recovery::process_is_dead;
use crate::word::{ParticipantId, ProcessSlotId, State, Status};

/// Whether somebody has the slot.
pub(super) fn is_claimed<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> bool {
    Slot::of(arena, id).is_some_and(|slot| Claim::unpack(arena.platform().load(slot.claim(), Acquire)).is_some())
}

/// Whether nobody living is just clearing up what the dead hold. True of all findings that are about something else.
pub(super) fn is_left_alone<P: Platform>(arena: &Arena<P>, finding: &Finding) -> bool {
    let all = || (0..arena.layout().geometry().participants).map(|number| ParticipantId(number as u16));
    match *finding {
        Finding::HeldByTheDead { participant } => is_dead_and_alone(arena, participant),
        Finding::DeadProcess { slot } => {
            let Some(process) = ProcessSlot::of(arena, slot) else { return true };
            let claim = Claim { process: slot, generation: process.state(arena).generation }.pack();
            let is_its = |slot: Slot| arena.platform().load(slot.claim(), Acquire) == claim;
            is_dead(arena, slot, process)
                && all().all(|id| !Slot::of(arena, id).is_some_and(is_its) || is_dead_and_alone(arena, id))
        }
        _ => true,
    }
}

/// Of a participant: nobody living has the right to recover it, and it is dead still: whoever was at it gives the right back last.
fn is_dead_and_alone<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> bool {
    let Some(slot) = Slot::of(arena, id) else { return true };
    // Acquire: pairs with the release of the right.
    let recoverer = Claim::unpack(arena.platform().load(slot.recoverer(), Acquire));
    recoverer.is_none_or(|recoverer| process_is_dead(arena, recoverer)) && participant_is_dead(arena, id)
}

fn is_dead<P: Platform>(arena: &Arena<P>, id: ProcessSlotId, slot: ProcessSlot) -> bool {
    let state = slot.state(arena);
    let dead =
        state.phase == ProcessPhase::Used && arena.platform().liveness(id, slot.identity(arena)) == Liveness::Dead;
    dead && slot.state(arena) == state
}

pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    for number in 0..arena.layout().geometry().process_slots {
        let id = ProcessSlotId(number as u16);
        let Some(slot) = ProcessSlot::of(arena, id) else { continue };
        if is_dead(arena, id, slot) {
            report(Finding::DeadProcess { slot: id });
        }
    }
    for number in 0..arena.layout().geometry().participants {
        check_participant(arena, ParticipantId(number as u16), at_rest, report);
    }
}

fn check_participant<P: Platform>(
    arena: &Arena<P>,
    id: ParticipantId,
    at_rest: bool,
    report: &mut impl FnMut(Finding),
) {
    let Some(slot) = Slot::of(arena, id) else { return };
    let claim = arena.platform().load(slot.claim(), Acquire);
    let word = arena.platform().load(slot.status(), Acquire);
    let still = |at, word| arena.platform().load(at, Acquire) == word;
    let unchanged = || still(slot.claim(), claim);
    if Claim::unpack(claim).is_some() && participant_is_dead(arena, id) && unchanged() {
        report(Finding::HeldByTheDead { participant: id });
    }
    if claim != 0 && Claim::unpack(claim).is_none() && unchanged() {
        report(Finding::Claim { participant: id, word: claim });
    }
    // Acquire: pairs with the release of the claim, before which its last owner cleared it.
    let start = arena.platform().load(slot.start(), Acquire);
    // Somebody may have come and gone in between: looked at behind the claim the status is another one then, too. (The start may be the same.)
    let has_rested = || unchanged() && still(slot.status(), word);
    if claim == 0 && start != 0 && has_rested() && still(slot.start(), start) {
        report(Finding::Start { participant: id, word: start });
    }
    let idle = Status::unpack(word).is_some_and(|status| status.state == State::Idle);
    let must_rest = at_rest || Claim::unpack(claim).is_none();
    if (Status::unpack(word).is_none() || (must_rest && !idle)) && has_rested() {
        report(Finding::Status { participant: id, word });
    }
}
