//! All that a dead process left: its participants, then its slot.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::attempt::{Recoverer, end_attempt, process_is_dead};
use crate::allocator;
use crate::arena::Arena;
use crate::holding;
use crate::participant::{Claim, PIECES, ProcessPhase, ProcessSlot, ProcessState, Slot, Taking};
use crate::platform::Platform;
use crate::reclamation;
use crate::space::Space;
use crate::word::{Handle, ParticipantId, ProcessSlotId};

/// Looks for dead processes and clears up after them. Returns how many participants were freed.
///
/// Cost: some system calls for each process slot in use.
pub fn recover_dead<P: Platform>(space: &Space<P>) -> u64 {
    let arena = space.arena();
    let mut recovered = 0;
    for number in 0..arena.layout().geometry().participants {
        let id = ParticipantId(number as u16);
        let Some(slot) = Slot::of(arena, id) else { continue };
        // Acquire: pairs with the claim.
        let Some(claim) = Claim::unpack(arena.platform().load(slot.claim(), Acquire)) else { continue };
        if process_is_dead(arena, claim) && space.look(|| recover_participant(space, id, slot, claim)) {
            recovered += 1;
        }
    }
    free_dead_processes(arena);
    recovered
}

/// Steps 1 to 4 of the module's list. False: somebody living is at it, or the slot is not the dead one's any more; or damage leaves open what it has
/// committed. Then all stays its own, for `fsck` to say and a repair to judge.
fn recover_participant<P: Platform>(space: &Space<P>, id: ParticipantId, slot: Slot, claim: Claim) -> bool {
    let arena = space.arena();
    let platform = arena.platform();
    let Some(right) = Recoverer::take(space, slot) else { return false };
    // Again, with the right in hand.
    let is_mine = || platform.load(slot.claim(), Acquire) == claim.pack();
    let ended = is_mine() && end_attempt(arena, id, slot, None).is_ok();
    if ended {
        reclamation::finish_retiring(arena, slot, id);
        // Relaxed: published by the compare-exchange that frees the claim.
        platform.store(slot.read_log_length(), 0, Relaxed);
        // Release: who finds that nothing is about to be retired any more finds it retired.
        platform.store(slot.start(), 0, Release);
        publish_logs(arena, slot);
        if let Some(process) = ProcessSlot::of(arena, claim.process) {
            holding::publish_pieces(arena, process);
        }
        // Asked between reading a word and changing it: once the claim is freed, the number may be somebody else's.
        allocator::recover_while(arena, id, is_mine);
        // AcqRel: the next owner of the slot sees it at rest.
        let _ = platform.compare_exchange(slot.claim(), claim.pack(), 0, AcqRel, Relaxed);
    }
    right.give_back(arena);
    ended
}

/// A piece whose handle stands in the slot belongs to the slot, not to the dead: it must outlive the PRIVATE blocks.
fn publish_logs<P: Platform>(arena: &Arena<P>, slot: Slot) {
    for piece in 0..PIECES {
        for word in [slot.record_piece(piece), slot.read_log_piece(piece)] {
            let handle = Handle::from_raw(arena.platform().load(word, Acquire));
            if let Some(handle) = handle
                && allocator::check_fully(arena, handle).is_ok()
            {
                allocator::publish(arena, handle);
            }
        }
    }
}

/// Frees the process slots of the dead that no participant claims any more.
fn free_dead_processes<P: Platform>(arena: &Arena<P>) {
    for number in 0..arena.layout().geometry().process_slots {
        let id = ProcessSlotId(number as u16);
        let Some(slot) = ProcessSlot::of(arena, id) else { continue };
        let state = slot.state(arena);
        let claim = Claim { process: id, generation: state.generation };
        if state.phase == ProcessPhase::Used && process_is_dead(arena, claim) && !anybody_claims(arena, claim) {
            free_dead_process(arena, id, slot, state);
        }
    }
}

/// With the byte in hand and the slot our own for that long: nobody else takes it, or empties its table. Whoever dies here leaves a slot of a dead one, as it was.
fn free_dead_process<P: Platform>(arena: &Arena<P>, id: ProcessSlotId, slot: ProcessSlot, state: ProcessState) {
    if !arena.platform().claim_liveness(id) {
        return;
    }
    // Else somebody had it before us: then it is his, or free. A word that is no state is for a repair to mend, which says so.
    // Relaxed: it is compared with what was acquired, and exchanged.
    if arena.platform().load(slot.state_word(), Relaxed) == state.pack() {
        match slot.take(arena, arena.platform().identity(), state) {
            Taking::Taken(taken) => {
                holding::empty(arena, slot);
                slot.free(arena, taken);
            }
            Taking::Changed => {}
            // With the byte in hand: see there.
            Taking::Lost => return,
        }
    }
    arena.platform().release_liveness(id);
}

pub(crate) fn anybody_claims<P: Platform>(arena: &Arena<P>, claim: Claim) -> bool {
    (0..arena.layout().geometry().participants).any(|number| {
        Slot::of(arena, ParticipantId(number as u16))
            .is_some_and(|slot| arena.platform().load(slot.claim(), Acquire) == claim.pack())
    })
}
