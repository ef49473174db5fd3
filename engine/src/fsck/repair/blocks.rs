//! Blocks and cells: what is named is made part of the space, what nothing names is freed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::reach::Reached;
use super::{Mended, Unnamed};
use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::collection;
use crate::fsck::cells::{can_be, has_noted_names};
use crate::fsck::doomed::second_word;
use crate::participant::{Slot, status_of};
use crate::platform::Platform;
use crate::reclamation::for_each_retired;
use crate::shape::{Reference, references};
use crate::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, CellAddress, Colour, Handle, LockWord, Mark, ParticipantId,
    State, Version,
};

/// A committed cell names it, in its generation: its commit exists, whatever the block says.
pub(super) fn publish<P: Platform>(arena: &Arena<P>, reached: &Reached, report: &mut dyn FnMut(Mended)) {
    allocator::for_each_believed_block(arena, |handle, state| {
        if state.phase == BlockPhase::Private && reached.blocks.contains(&handle.raw()) {
            allocator::publish(arena, handle);
            report(Mended::Published { at: handle.block(), owner: state.owner });
        }
    });
    let last = collection::last(arena).number;
    allocator::for_each_believed_block(arena, |handle, state| {
        if state.phase == BlockPhase::Live && reached.blocks.contains(&handle.raw()) {
            renew_mark(arena, handle, state, last, report);
        }
    });
}

/// What the root leads to no collection may have condemned, and nobody may be retiring.
fn renew_mark<P: Platform>(
    arena: &Arena<P>,
    handle: Handle,
    state: BlockState,
    last: u64,
    report: &mut dyn FnMut(Mended),
) {
    let word = second_word(arena, handle);
    let is_sound = match Mark::unpack(word) {
        Some(mark) => mark.colour != Colour::Condemned && mark.cycle <= last,
        None => word == 0,
    };
    if !is_sound {
        // That it may have many names is safe to say of any block: then only collections free it.
        allocator::note_many_names(arena, handle);
        let at = handle.block().offset(1);
        let _ = arena.platform().compare_exchange(at, word, Mark::NEW.pack(), AcqRel, Relaxed);
        report(Mended::Mark { at: handle.block(), word });
    }
    if state.kind.is_container() && !has_noted_names(arena, handle) {
        allocator::note_many_names(arena, handle);
        report(Mended::ManyNames { at: handle.block() });
    }
}

/// Blocks that neither the root leads to nor a slot names.
pub(super) fn unnamed<P: Platform>(
    arena: &Arena<P>,
    reached: &Reached,
    pieces: &HashSet<u64>,
) -> Vec<(Handle, BlockState)> {
    let mut unnamed = Vec::new();
    allocator::for_each_believed_block(arena, |handle, state| {
        // A kind that is none is damage, and stays.
        let named = reached.blocks.contains(&handle.raw()) || pieces.contains(&handle.raw());
        if !named && state.kind != BlockKind::None {
            unnamed.push((handle, state));
        }
    });
    unnamed
}

/// How much that is.
pub(super) fn measure<P: Platform>(arena: &Arena<P>, reached: &Reached, pieces: &HashSet<u64>) -> Unnamed {
    let unnamed = unnamed(arena, reached, pieces);
    let bytes = unnamed.iter().map(|(handle, _)| bytes(arena, *handle)).sum();
    Unnamed { blocks: unnamed.len() as u64, bytes }
}

fn bytes<P: Platform>(arena: &Arena<P>, handle: Handle) -> u64 {
    allocator::check_believed(arena, handle).map_or(0, |(_, words)| (words + BLOCK_HEADER_WORDS) * 8)
}

/// Frees them, and empties the lists that some wait in.
pub(super) fn free<P: Platform>(arena: &Arena<P>, unnamed: Vec<(Handle, BlockState)>, report: &mut dyn FnMut(Mended)) {
    let waiting = place_in_lists(arena);
    let (mut retired, mut others): (Vec<_>, Vec<_>) =
        unnamed.into_iter().partition(|(_, state)| state.phase == BlockPhase::Retired);
    // All of them before the first is freed: what is condemned may name what is gone.
    others.iter().filter(|(_, state)| state.phase == BlockPhase::Live).for_each(|(handle, _)| condemn(arena, *handle));
    // From the old end of each list on: a walk from its head ends where the first is free. What is in none first.
    retired.sort_by_key(|(handle, _)| waiting.get(&handle.raw()).copied().unwrap_or(0));
    for (handle, state) in others.drain(..).chain(retired) {
        let bytes = bytes(arena, handle);
        if allocator::free_for_good(arena, handle) {
            report(Mended::Freed { at: handle.block(), kind: state.kind, phase: state.phase, bytes });
        }
    }
    empty_lists(arena, report);
}

/// For each block in a list how far it is from the old end of it; 1: the oldest.
fn place_in_lists<P: Platform>(arena: &Arena<P>) -> HashMap<u64, usize> {
    let mut places = HashMap::new();
    for (id, slot) in slots(arena) {
        let mut listed = Vec::new();
        for_each_retired(arena, slot, id, |handle, _| listed.push(handle.raw()));
        places.extend(listed.into_iter().rev().zip(1..));
    }
    places
}

fn slots<P: Platform>(arena: &Arena<P>) -> impl Iterator<Item = (ParticipantId, Slot)> + '_ {
    let ids = (0..arena.layout().geometry().participants).map(|number| ParticipantId(number as u16));
    ids.filter_map(|id| Slot::of(arena, id).map(|slot| (id, slot)))
}

fn empty_lists<P: Platform>(arena: &Arena<P>, report: &mut dyn FnMut(Mended)) {
    let platform = arena.platform();
    for (participant, slot) in slots(arena).filter(|(_, slot)| status_of(arena, *slot).is_ok()) {
        for at in [slot.retired(), slot.detached()] {
            let word = platform.load(at, Acquire);
            if word != 0 && platform.compare_exchange(at, word, 0, AcqRel, Relaxed).is_ok() {
                report(Mended::Retired { participant, word });
            }
        }
        // Relaxed: a number for people.
        platform.store(slot.retired_words(), 0, Relaxed);
    }
}

/// As a collector does with what may have many names. Of any block the mark says that only a collection frees it: if nobody else comes, one will.
fn condemn<P: Platform>(arena: &Arena<P>, handle: Handle) {
    // Collections look where there are such blocks, and nowhere else.
    allocator::note_many_names(arena, handle);
    let (platform, word) = (arena.platform(), second_word(arena, handle));
    let cycle = Mark::unpack(word).map_or(0, |mark| mark.cycle);
    let condemned = Mark { cycle, colour: Colour::Condemned }.pack();
    let _ = platform.compare_exchange(handle.block().offset(1), word, condemned, AcqRel, Relaxed);
}

/// Cells are locked by nobody, and have versions that can be and the clock has reached: at rest any such version is as good as another.
pub(super) fn mend_cells<P: Platform>(arena: &Arena<P>, report: &mut dyn FnMut(Mended)) {
    let (platform, constant) = (arena.platform(), arena.constant());
    for at in [constant.lock_word(), constant.value_word()] {
        let word = platform.load(at, Acquire);
        if word != 0 && platform.compare_exchange(at, word, 0, AcqRel, Relaxed).is_ok() {
            report(Mended::Constant { at, word });
        }
    }
    let clock = mend_clock(arena, report);
    for_each_cell(arena, &mut |cell| {
        let word = platform.load(cell.lock_word(), Acquire);
        let time = match LockWord::unpack(word) {
            LockWord::Free(version) if version.clock() <= clock && can_be(arena, version) => return,
            LockWord::Free(version) => version.clock().min(clock),
            // Whether its attempt has committed nobody can say.
            LockWord::Locked(by) if !is_over(arena, by.participant) => return,
            LockWord::Locked(_) => clock,
        };
        let free = LockWord::free(Version::start_of(time));
        if platform.compare_exchange(cell.lock_word(), word, free, AcqRel, Relaxed).is_ok() {
            report(Mended::Cell { cell, word });
        }
    });
}

fn is_over<P: Platform>(arena: &Arena<P>, participant: ParticipantId) -> bool {
    Slot::of(arena, participant)
        .is_none_or(|slot| status_of(arena, slot).is_ok_and(|status| status.state == State::Idle))
}

/// The clock; set to the last one of the versions, of which none is far off, if it is one that it never reaches.
fn mend_clock<P: Platform>(arena: &Arena<P>, report: &mut dyn FnMut(Mended)) -> u64 {
    let (platform, at) = (arena.platform(), arena.layout().hot(HotWord::VersionClock));
    let from = platform.load(at, Acquire);
    if Version::is_clock(from) {
        return from;
    }
    let mut to = 1;
    for_each_cell(arena, &mut |cell| {
        if let LockWord::Free(version) = LockWord::unpack(platform.load(cell.lock_word(), Acquire))
            && can_be(arena, version)
            // Half of the way at most: the clock goes on from there.
            && Version::is_clock(2 * version.clock())
        {
            to = to.max(version.clock());
        }
    });
    if platform.compare_exchange(at, from, to, AcqRel, Relaxed).is_ok() {
        report(Mended::Clock { from, to });
    }
    to
}

/// The root, and all cells of blocks in use whose counts can be believed.
fn for_each_cell<P: Platform>(arena: &Arena<P>, visit: &mut dyn FnMut(CellAddress)) {
    visit(arena.root());
    allocator::for_each_believed_block(arena, |handle, state| {
        let Ok((_, room)) = allocator::check_believed(arena, handle) else { return };
        if state.phase == BlockPhase::Live {
            let mut cells = Vec::new();
            let whole = references(arena, handle, state.kind, room, &mut |reference| {
                if let Reference::Cell(cell) = reference {
                    cells.push(cell);
                }
            });
            if whole.is_ok() {
                cells.into_iter().for_each(&mut *visit);
            }
        }
    });
}
