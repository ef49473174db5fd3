//! Retired blocks against the lists of participants: one that hangs in no list is never freed.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use super::Finding;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::{EntryKind, Slot, entries, status_of};
use crate::platform::Platform;
use crate::reclamation::for_each_retired;
use crate::word::{BlockPhase, Handle, ParticipantId, State};

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

/// Whether a commit has taken a LIVE block out of the space and has only not come to retiring it. Others may have gone on by then,
/// and retired what it names.
///
/// Cost: the records of all who are COMMITTED.
pub(super) fn is_taken_out<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    let slots = (0..arena.layout().geometry().participants).filter_map(|id| Slot::of(arena, ParticipantId(id as u16)));
    slots.filter(|slot| status_of(arena, *slot).is_ok_and(|status| status.state == State::Committed)).any(|slot| {
        // Relaxed: released with COMMITTED.
        let start = arena.platform().load(slot.record_start(), Relaxed);
        let reserved = arena.platform().load(slot.entries_reserved(), Relaxed);
        entries(arena, slot, start, reserved).any(|(_, entry)| {
            matches!(entry.target(arena), Some((EntryKind::Discard, _))) && entry.old_version(arena) == handle.raw()
        })
    })
}
