//! Retired blocks against the lists of participants: one that hangs in no list is never freed.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use super::Finding;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::{EntryKind, Slot, entries, status_of};
use crate::platform::Platform;
use crate::reclamation::for_each_retired;
use crate::word::{BlockPhase, ParticipantId, State};

/// Of a space at rest only: those who work are in the middle of it.
pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    if !at_rest {
        return;
    }
    let mut listed = BTreeSet::new();
    for number in 0..arena.layout().geometry().participants {
        let id = ParticipantId(number as u16);
        if let Some(slot) = Slot::of(arena, id) {
            for_each_retired(arena, slot, id, |handle, _| {
                listed.insert(handle.raw());
            });
        }
    }
    allocator::for_each_block(arena, |handle, state| {
        if state.phase == BlockPhase::Retired && !listed.contains(&handle.raw()) {
            report(Finding::Unlisted { at: handle.block(), owner: state.owner });
        }
    });
}

/// The LIVE blocks that commits have taken out of the space and have only not come to retiring. Others may have gone on by then, and
/// retired what these name.
///
/// Cost: the records of all who are COMMITTED.
pub(super) fn taken_out<P: Platform>(arena: &Arena<P>) -> BTreeSet<u64> {
    let slots = (0..arena.layout().geometry().participants).filter_map(|id| Slot::of(arena, ParticipantId(id as u16)));
    let committed = slots.filter(|slot| status_of(arena, *slot).is_ok_and(|status| status.state == State::Committed));
    let discards = committed.flat_map(|slot| {
        // Relaxed: released with COMMITTED.
        let start = arena.platform().load(slot.record_start(), Relaxed);
        let reserved = arena.platform().load(slot.entries_reserved(), Relaxed);
        entries(arena, slot, start, reserved)
            .filter(|(_, entry)| matches!(entry.target(arena), Some((EntryKind::Discard, _))))
    });
    discards.map(|(_, entry)| entry.old_version(arena)).collect()
}
