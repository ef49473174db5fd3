//! One block's way out of the space, and the list that it waits in.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::Slot;
use crate::platform::Platform;
use crate::word::{BlockPhase, BlockState, Handle, Link, Mark, ParticipantId, WordAddress};

/// Where a RETIRED block has its [`Link`]: where a block of many names has its mark before.
#[inline]
pub(super) fn link(handle: Handle) -> WordAddress {
    handle.block().offset(1)
}

/// Whether more than one word may name a block that is no container.
pub fn is_shared<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    // Relaxed: written before the block was published.
    Mark::unpack(arena.platform().load(link(handle), Relaxed)).is_some()
}

/// The number that blocks of a commit are retired at. After COMMITTED, by whoever does the write-back.
pub fn stamp<P: Platform>(arena: &Arena<P>) -> u64 {
    // Relaxed: F1 and F2 order it against the loads of those who begin.
    arena.platform().load(arena.layout().hot(HotWord::Batch), Relaxed)
}

/// Whether a word can be that number: 0 would say that no attempt is under way, and the largest are never reached.
pub fn is_batch(word: u64) -> bool {
    word != 0 && word >> 63 == 0
}

/// Puts a block that a commit took out of the space into the list of `slot`, which is `owner`'s. Any step may have been done
/// before. False: the block is shared, or is not LIVE in that generation (any more), or there is none: the record of the dead may be damaged.
pub(crate) fn retire<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId, handle: Handle) -> bool {
    enlist(arena, slot, owner, handle, false)
}

/// The same with a block of any number of names, of which none is left: it takes along what it owns.
pub(crate) fn retire_whole<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId, handle: Handle) -> bool {
    enlist(arena, slot, owner, handle, true)
}

fn enlist<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId, handle: Handle, whole: bool) -> bool {
    let Ok(state) = allocator::check_fully(arena, handle) else { return false };
    if state.phase != BlockPhase::Live || (!whole && is_shared(arena, handle)) {
        return false;
    }
    let platform = arena.platform();
    // Relaxed: one writer, the owner or its one recoverer.
    let youngest = platform.load(slot.retired(), Relaxed);
    if youngest != handle.raw() {
        let before = Handle::from_raw(youngest);
        platform.store(link(handle), Link { before, whole }.pack(), Relaxed);
        // Release: whoever finds the head finds the link.
        platform.store(slot.retired(), handle.raw(), Release);
    }
    set_retired(arena, handle, state, owner)
}

fn set_retired<P: Platform>(arena: &Arena<P>, handle: Handle, state: BlockState, owner: ParticipantId) -> bool {
    let retired = BlockState { phase: BlockPhase::Retired, owner, ..state };
    // AcqRel: releases head and link to whoever finds the block RETIRED.
    arena.platform().compare_exchange(handle.block(), state.pack(), retired.pack(), AcqRel, Relaxed).is_ok()
}

/// The last step for whoever was killed before it: the head of the list is RETIRED. For the recoverer of `owner`.
pub(crate) fn finish_retiring<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId) {
    // Relaxed: of the dead all is seen.
    if let Some(head) = Handle::from_raw(arena.platform().load(slot.retired(), Relaxed))
        && let Ok(state) = allocator::check_fully(arena, head)
        && state.phase == BlockPhase::Live
    {
        set_retired(arena, head, state, owner);
    }
}

/// Hangs a run that a killed owner had taken out of the middle of its list to the end of it again. For the slot's next owner; any step may
/// have been done before.
pub(super) fn stitch<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId) {
    let platform = arena.platform();
    // Acquire, here and below: pairs with the release in `Limbo`.
    let detached = platform.load(slot.detached(), Acquire);
    if detached == 0 {
        return;
    }
    let (mut listed, mut run) = (Vec::new(), Vec::new());
    walk(arena, platform.load(slot.retired(), Acquire), owner, |handle, whole| listed.push((handle, whole)));
    walk(arena, detached, owner, |handle, whole| run.push((handle, whole)));
    let known: HashSet<u64> = listed.iter().map(|(handle, _)| handle.raw()).collect();
    run.truncate(run.iter().take_while(|(handle, _)| !known.contains(&handle.raw())).count());
    if let (Some((first, _)), Some((last, whole))) = (run.first(), run.last()) {
        // Relaxed: followed after the word that is released next.
        platform.store(link(*last), Link { before: None, whole: *whole }.pack(), Relaxed);
        match listed.last() {
            Some((oldest, whole)) => {
                platform.store(link(*oldest), Link { before: Some(*first), whole: *whole }.pack(), Release);
            }
            None => platform.store(slot.retired(), first.raw(), Release),
        }
    }
    platform.store(slot.detached(), 0, Release);
}

/// Visits what waits in the lists of `slot`, which is `owner`'s, the youngest first, and says of each block whether it goes
/// whole. Of a list closed to a ring by damage some more than once, and what a killed one was just taking out of the middle.
pub fn for_each_retired<P: Platform>(
    arena: &Arena<P>,
    slot: Slot,
    owner: ParticipantId,
    mut visit: impl FnMut(Handle, bool),
) {
    // Acquire: pairs with the release in `retire`.
    walk(arena, arena.platform().load(slot.retired(), Acquire), owner, &mut visit);
    walk(arena, arena.platform().load(slot.detached(), Acquire), owner, &mut visit);
}

fn walk<P: Platform>(arena: &Arena<P>, first: u64, owner: ParticipantId, mut visit: impl FnMut(Handle, bool)) {
    let platform = arena.platform();
    let mut next = Handle::from_raw(first);
    // Bound: a space has no more blocks. A list that damage has closed to a ring ends where it comes by a link again that it has
    // marked: one at each power of two (Brent, 1980).
    let mut marked = None;
    for steps in 1..arena.layout().geometry().space_words / 4 {
        if next == marked {
            return;
        }
        if steps.is_power_of_two() {
            marked = next;
        }
        let Some(handle) = next else { return };
        let state = allocator::check_fully(arena, handle);
        if !state.is_ok_and(|state| state.phase == BlockPhase::Retired && state.owner == owner) {
            return;
        }
        let link = Link::unpack(platform.load(link(handle), Relaxed));
        visit(handle, link.whole);
        next = link.before;
    }
}
