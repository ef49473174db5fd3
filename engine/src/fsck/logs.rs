//! Pieces of records and read logs against the participant slots that name them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Acquire;

use super::Finding;
use super::members::is_claimed;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::{ENTRY_WORDS, PIECES, READ_WORDS, Slot, piece_elements};
use crate::platform::Platform;
use crate::word::{BlockKind, BlockPhase, Handle, ParticipantId, WordAddress};

pub(super) fn check<P: Platform>(arena: &Arena<P>, at_rest: bool, report: &mut impl FnMut(Finding)) {
    let mut named = BTreeSet::new();
    for number in 0..arena.layout().geometry().participants {
        let id = ParticipantId(number as u16);
        let Some(slot) = Slot::of(arena, id) else { continue };
        for piece in 0..PIECES {
            for (word, words) in [(slot.record_piece(piece), ENTRY_WORDS), (slot.read_log_piece(piece), READ_WORDS)] {
                check_piece(arena, id, word, piece, words, &mut named, report);
            }
        }
    }
    // Somebody who works may be between making a piece and naming it, but that piece is PRIVATE; and one that was made
    // since we looked at its slot is for the next check.
    allocator::for_each_block(arena, |handle, state| {
        if at_rest && state.kind == BlockKind::Log && state.phase == BlockPhase::Live && !named.contains(&handle.raw())
        {
            report(Finding::UnnamedLogPiece { at: handle.block() });
        }
    });
}

fn check_piece<P: Platform>(
    arena: &Arena<P>,
    id: ParticipantId,
    at: WordAddress,
    piece: u64,
    words: u64,
    named: &mut BTreeSet<u64>,
    report: &mut impl FnMut(Finding),
) {
    // Acquire: pairs with the release by which a log grows; the block is there.
    let word = arena.platform().load(at, Acquire);
    if word == 0 {
        return;
    }
    let least = piece_elements(arena.layout().geometry().log_base, piece) * words;
    let is_piece = || {
        Handle::from_raw(word).is_some_and(|handle| {
            let state = allocator::check_fully(arena, handle);
            // Named first, published next: in between only somebody who lives or is to be recovered can be.
            let is_log = state.is_ok_and(|state| {
                // Retired first, forgotten next: the slot's next owner does so.
                let phases = [BlockPhase::Live, BlockPhase::Retired];
                state.kind == BlockKind::Log && (phases.contains(&state.phase) || is_claimed(arena, id))
            });
            is_log && allocator::payload_words(arena, handle).is_ok_and(|room| room >= least)
        })
    };
    // A second look: its owner may have published it and left in the middle of the first. And another: he may have given it back since.
    if (!(is_piece() || is_piece()) || !named.insert(word)) && arena.platform().load(at, Acquire) == word {
        report(Finding::LogPiece { participant: id, word });
    }
}
