//! Every cell and every immutable value of every LIVE block.

use std::sync::atomic::Ordering::Acquire;

use super::repair::Reached;
use super::{Finding, doomed, retired};
use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::participant::{Claim, Slot, status_of};
use crate::platform::Platform;
use crate::shape::{Reference, references};
use crate::word::{
    BlockKind, BlockPhase, CellAddress, Handle, LockWord, LockedBy, State, Unpacked, Value, Version, WordAddress,
};

pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    check_cell(arena, arena.root(), at_rest, report);
    check_constant(arena, report);
    let mut suspicious = Vec::new();
    allocator::for_each_block(arena, |handle, state| {
        if at_rest && state.phase == BlockPhase::Private {
            report(Finding::Private { at: handle.block(), owner: state.owner });
        }
        if state.phase == BlockPhase::Live && !matches!(state.kind, BlockKind::Log | BlockKind::None | BlockKind::Holds)
        {
            let mut found = Vec::new();
            if state.kind.is_container() && !has_noted_names(arena, handle) {
                found.push(Finding::ManyNames { at: handle.block() });
            }
            check_block(arena, handle, state.kind, at_rest, &mut |finding| found.push(finding));
            if !found.is_empty() {
                suspicious.push((handle, state, found));
            }
        }
    });
    if suspicious.is_empty() {
        return;
    }
    // Garbage may name what is gone. After all was found: who was garbage then is still known as such, or gone, with what it owned before it.
    let doomed = doomed::all(arena);
    // A collector that was killed has condemned some and not others: garbage may name what is condemned.
    let is_condemned = |finding: &Finding| matches!(finding, Finding::Condemned { .. });
    let names_condemned = suspicious.iter().any(|(_, _, found)| found.iter().any(is_condemned));
    let reached = names_condemned.then(|| Reached::with_held(arena));
    // Retired meanwhile, or freed, or about to be: what a block named may be gone. In this order: whoever is about to retire it
    // stays COMMITTED until it has.
    let taken_out = retired::taken_out(arena);
    for (handle, state, found) in suspicious {
        let is_out = doomed.contains(&handle.raw()) || taken_out.contains(&handle.raw());
        if !is_out && allocator::check_fully(arena, handle) == Ok(state) {
            let in_use = reached.as_ref().is_none_or(|reached| reached.blocks.contains(&handle.raw()));
            found.into_iter().filter(|finding| in_use || !is_condemned(finding)).for_each(&mut *report);
        }
    }
}

fn check_block<P: Platform>(
    arena: &Arena<P>,
    handle: Handle,
    kind: BlockKind,
    at_rest: bool,
    report: &mut impl FnMut(Finding),
) {
    let Ok(room) = allocator::payload_words(arena, handle) else {
        return report(Finding::Block { at: handle.block(), word: handle.raw() });
    };
    let contradiction = references(arena, handle, kind, room, &mut |reference| match reference {
        Reference::Cell(cell) => check_cell(arena, cell, at_rest, report),
        Reference::Value(at) => check_value(arena, at, arena.platform().load_plain(at), at_rest, report),
    });
    if let Err(corrupt) = contradiction {
        report(Finding::Block { at: WordAddress::new(corrupt.byte_offset / 8), word: corrupt.word });
    }
}

fn check_cell<P: Platform>(arena: &Arena<P>, cell: CellAddress, at_rest: bool, report: &mut impl FnMut(Finding)) {
    let platform = arena.platform();
    // Acquire: as a reader's; what the value names is seen.
    let word = platform.load(cell.lock_word(), Acquire);
    let value = platform.load(cell.value_word(), Acquire);
    let unchanged = || platform.load(cell.lock_word(), Acquire) == word;
    match LockWord::unpack(word) {
        LockWord::Free(version) => {
            // Loaded after the version: a living clock is past it.
            let clock = platform.load(arena.layout().hot(HotWord::VersionClock), Acquire);
            if version.clock() > clock || !can_be(arena, version) {
                report(Finding::Version { cell, version: version.0 });
            }
        }
        LockWord::Locked(by) if at_rest || !is_held(arena, by) => {
            if unchanged() {
                report(Finding::Lock { cell, word });
            }
        }
        LockWord::Locked(_) => {}
    }
    // A value that was replaced since may name what is free by now.
    let mut found = None;
    check_value(arena, cell.value_word(), value, at_rest, &mut |finding| found = Some(finding));
    if let Some(finding) = found
        && unchanged()
    {
        report(finding);
    }
}

/// Whether somebody who has a place in the table gives such a version, or nobody does.
pub(super) fn can_be<P: Platform>(arena: &Arena<P>, version: Version) -> bool {
    let participants = arena.layout().geometry().participants;
    version.can_be() && version.writer().is_none_or(|writer| u64::from(writer.0) < participants)
}

/// Whether the lock belongs to an attempt that somebody runs.
fn is_held<P: Platform>(arena: &Arena<P>, by: LockedBy) -> bool {
    let Some(slot) = Slot::of(arena, by.participant) else { return false };
    let claimed = Claim::unpack(arena.platform().load(slot.claim(), Acquire)).is_some();
    claimed && status_of(arena, slot).is_ok_and(|status| status.seq == by.seq && status.state != State::Idle)
}

fn check_value<P: Platform>(
    arena: &Arena<P>,
    at: WordAddress,
    word: u64,
    at_rest: bool,
    report: &mut impl FnMut(Finding),
) {
    match Value::from_raw(word).unpack() {
        None => report(Finding::Value { at, word }),
        Some(Unpacked::Handle(handle)) => {
            // What is retired, nobody names any more.
            let state = allocator::check_fully(arena, handle);
            if !state.is_ok_and(|state| state.phase != BlockPhase::Retired) {
                report(Finding::Dangling { at, word });
            } else if at_rest && doomed::is_doomed(arena, handle) {
                // Nobody is in the middle of a collection: what names it is garbage, too, or wrong.
                report(Finding::Condemned { at, word });
            }
        }
        Some(_) => {}
    }
}

/// The cell that nobody ever writes.
fn check_constant<P: Platform>(arena: &Arena<P>, report: &mut impl FnMut(Finding)) {
    let cell = arena.constant();
    for at in [cell.lock_word(), cell.value_word()] {
        let word = arena.platform().load(at, Acquire);
        if word != 0 {
            report(Finding::Value { at, word });
        }
    }
}

/// Whether the superblock of a container says that it holds some.
pub(super) fn has_noted_names<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    let superblock = arena.layout().superblock_of(handle.block());
    superblock.is_some_and(|number| allocator::may_have_many_names(arena, number))
}
