//! Participants against processes.

use std::sync::atomic::Ordering::Acquire;

use super::Finding;
use crate::arena::Arena;
use crate::participant::{Claim, ProcessPhase, ProcessSlot, Slot, participant_is_dead};
use crate::platform::{Liveness, Platform};
use crate::word::{ParticipantId, ProcessSlotId, State, Status};

/// Whether somebody has the slot.
pub(super) fn is_claimed<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> bool {
    Slot::of(arena, id).is_some_and(|slot| Claim::unpack(arena.platform().load(slot.claim(), Acquire)).is_some())
}

pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    for number in 0..arena.layout().geometry().process_slots {
        let id = ProcessSlotId(number as u16);
        let Some(slot) = ProcessSlot::of(arena, id) else { continue };
        let state = slot.state(arena);
        let dead =
            state.phase == ProcessPhase::Used && arena.platform().liveness(id, slot.identity(arena)) == Liveness::Dead;
        if dead && slot.state(arena) == state {
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
