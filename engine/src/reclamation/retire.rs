//! One block's way out of the space, and the list that it waits in.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::Slot;
use crate::platform::Platform;
use crate::word::{BlockPhase, BlockState, Handle, ParticipantId, WordAddress};

/// The count word of a block that several words name. It is never retired.
const SHARED: u64 = u64::MAX;

/// Where a RETIRED block says which one was retired before it: in its count word. 0 in all other blocks, or [`SHARED`].
#[inline]
pub(super) fn link(handle: Handle) -> WordAddress {
    handle.block().offset(1)
}

/// Says that more than one word will name a block. Only while it is PRIVATE to an attempt of the caller.
pub fn share<P: Platform>(arena: &Arena<P>, handle: Handle) {
    // Relaxed: published with the block.
    arena.platform().store(link(handle), SHARED, Relaxed);
}

/// Whether that was said of a block.
pub fn is_shared<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    // Relaxed: written before the block was published.
    arena.platform().load(link(handle), Relaxed) == SHARED
}

/// The number that blocks of a commit are retired at. After COMMITTED, by whoever does the write-back.
pub fn stamp<P: Platform>(arena: &Arena<P>) -> u64 {
    // Relaxed: F1 and F2 order it against the loads of those who begin.
    arena.platform().load(arena.layout().hot(HotWord::Batch), Relaxed)
}

/// Puts a block that a commit took out of the space into the list of `slot`, which is `owner`'s. Any step may have been done
/// before. False: the block is shared, or is not LIVE in that generation (any more).
pub(crate) fn retire<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId, handle: Handle) -> bool {
    let Ok(state) = allocator::check_fully(arena, handle) else { return false };
    if state.phase != BlockPhase::Live {
        return false;
    }
    let platform = arena.platform();
    if is_shared(arena, handle) {
        return false;
    }
    // Relaxed: one writer, the owner or its one recoverer.
    let youngest = platform.load(slot.retired(), Relaxed);
    if youngest != handle.raw() {
        platform.store(link(handle), youngest, Relaxed);
        // Release: whoever finds the head finds the link.
        platform.store(slot.retired(), handle.raw(), Release);
    }
    let retired = BlockState { phase: BlockPhase::Retired, owner, ..state };
    // AcqRel: releases head and link to whoever finds the block RETIRED.
    platform.compare_exchange(handle.block(), state.pack(), retired.pack(), AcqRel, Relaxed).is_ok()
}

/// Visits what waits in the list of `slot`, which is `owner`'s, the youngest first. Of a list closed to a ring by damage some more than
/// once.
pub fn for_each_retired<P: Platform>(
    arena: &Arena<P>,
    slot: Slot,
    owner: ParticipantId,
    mut visit: impl FnMut(Handle),
) {
    let platform = arena.platform();
    // Acquire: pairs with the release in `retire`.
    let mut next = platform.load(slot.retired(), Acquire);
    // Bound: a space has no more blocks. A list that damage has closed to a ring ends where it comes by a link again that it has
    // marked: one at each power of two (Brent, 1980).
    let mut marked = 0;
    for steps in 1..arena.layout().geometry().space_words / 4 {
        if next == marked {
            return;
        }
        if steps.is_power_of_two() {
            marked = next;
        }
        let Some(handle) = Handle::from_raw(next) else { return };
        let state = allocator::check_fully(arena, handle);
        if !state.is_ok_and(|state| state.phase == BlockPhase::Retired && state.owner == owner) {
            return;
        }
        visit(handle);
        next = platform.load(link(handle), Relaxed);
    }
}
