//! Retired blocks against the lists of participants: one that hangs in no list is never freed.

use std::collections::BTreeSet;

use super::Finding;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::Slot;
use crate::platform::Platform;
use crate::reclamation::for_each_retired;
use crate::word::{BlockPhase, ParticipantId};

/// Of a space at rest only: those who work are in the middle of it.
pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    if !at_rest {
        return;
    }
    let mut listed = BTreeSet::new();
    for number in 0..arena.layout().geometry().participants {
        let id = ParticipantId(number as u16);
        if let Some(slot) = Slot::of(arena, id) {
            for_each_retired(arena, slot, id, |handle| {
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
