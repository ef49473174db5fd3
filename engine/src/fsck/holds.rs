//! What processes hold against the process slots that name the tables. An entry whose block is gone is no finding: see `holding`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Acquire;

use super::Finding;
use super::members::is_claimed;
use crate::allocator;
use crate::arena::Arena;
use crate::holding::{Content, ENTRY_WORDS, for_each_entry, piece_entries};
use crate::participant::{PIECES, ProcessPhase, ProcessSlot};
use crate::platform::Platform;
use crate::word::{BlockKind, BlockPhase, Handle, ProcessSlotId};

pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    let mut named = BTreeSet::new();
    for number in 0..arena.layout().geometry().process_slots {
        let id = ProcessSlotId(number as u16);
        let Some(slot) = ProcessSlot::of(arena, id) else { continue };
        let whole = (0..PIECES).all(|piece| check_piece(arena, id, slot, piece, &mut named, report));
        if whole {
            check_entries(arena, id, slot, report);
        }
    }
    // As with logs: a piece that is not named yet is PRIVATE.
    allocator::for_each_block(arena, |handle, state| {
        let is_piece = state.kind == BlockKind::Holds && state.phase == BlockPhase::Live;
        if at_rest && is_piece && !named.contains(&handle.raw()) {
            report(Finding::UnnamedHoldsPiece { at: handle.block() });
        }
    });
}

/// False: there is none where one is named.
fn check_piece<P: Platform>(
    arena: &Arena<P>,
    id: ProcessSlotId,
    slot: ProcessSlot,
    piece: u64,
    named: &mut BTreeSet<u64>,
    report: &mut impl FnMut(Finding),
) -> bool {
    // Acquire: pairs with the compare-exchange by which a table grows; the block is there.
    let word = arena.platform().load(slot.holds_piece(piece), Acquire);
    if word == 0 {
        return true;
    }
    let least = piece_entries(arena, piece) * ENTRY_WORDS;
    let is_piece = || {
        Handle::from_raw(word).is_some_and(|handle| {
            let state = allocator::check_fully(arena, handle);
            // Named first, published next: in between its maker lives or is to be recovered.
            let is_table = state.is_ok_and(|state| {
                state.kind == BlockKind::Holds && (state.phase == BlockPhase::Live || is_claimed(arena, state.owner))
            });
            is_table && allocator::payload_words(arena, handle).is_ok_and(|room| room >= least)
        })
    };
    // A second look: its maker may have published it and left in the middle of the first.
    let sound = (is_piece() || is_piece()) && named.insert(word);
    if !sound {
        report(Finding::HoldsPiece { process: id, word });
    }
    sound
}

fn check_entries<P: Platform>(
    arena: &Arena<P>,
    id: ProcessSlotId,
    slot: ProcessSlot,
    report: &mut impl FnMut(Finding),
) {
    let state = slot.state(arena);
    let mut found = Vec::new();
    for_each_entry(arena, slot, |_, entry| {
        let content = entry.content(arena);
        let nobodys = state.phase == ProcessPhase::Free && content != Content::Empty;
        if nobodys || matches!(content, Content::Damaged(_)) {
            found.push(Finding::Held { process: id, at: entry.word(), word: content.word() });
        }
    });
    // Somebody may have taken the slot meanwhile.
    if slot.state(arena) == state {
        found.into_iter().for_each(report);
    }
}
