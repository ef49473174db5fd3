//! Pieces of logs, and of tables of what processes held. Nobody is in an attempt and nobody holds anything: of both nothing is worth keeping
//! but their room, for whoever takes the slots next.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::Mended;
use super::reach::Reached;
use crate::allocator;
use crate::arena::Arena;
use crate::holding::{self, for_each_entry, piece_entries};
use crate::participant::{ENTRY_WORDS, PIECES, ProcessSlot, READ_WORDS, Slot, piece_elements, status_of};
use crate::platform::Platform;
use crate::word::{BlockKind, BlockPhase, Handle, ParticipantId, ProcessSlotId, State, WordAddress};

/// Ends each list of pieces before the first word that names none, and empties all entries. Gives the raw handles of the pieces that stay.
pub(super) fn mend<P: Platform>(arena: &Arena<P>, reached: &Reached, report: &mut dyn FnMut(Mended)) -> HashSet<u64> {
    let mut pieces = HashSet::new();
    let geometry = *arena.layout().geometry();
    for number in 0..geometry.participants {
        let participant = ParticipantId(number as u16);
        let Some(slot) = Slot::of(arena, participant) else { continue };
        // Whose attempt nobody can judge, or end, keeps its record.
        if !status_of(arena, slot).is_ok_and(|status| status.state == State::Idle) {
            continue;
        }
        for (first, words) in [(slot.record_piece(0), ENTRY_WORDS), (slot.read_log_piece(0), READ_WORDS)] {
            let least = |piece: u64| piece_elements(geometry.log_base, piece) * words;
            end_list(arena, reached, BlockKind::Log, first, least, &mut pieces, &mut |word| {
                report(Mended::LogPiece { participant, word });
            });
        }
    }
    for number in 0..geometry.process_slots {
        let process = ProcessSlotId(number as u16);
        let Some(slot) = ProcessSlot::of(arena, process) else { continue };
        let least = |piece: u64| piece_entries(arena, piece) * holding::ENTRY_WORDS;
        end_list(arena, reached, BlockKind::Holds, slot.holds_piece(0), least, &mut pieces, &mut |word| {
            report(Mended::HoldsPiece { process, word });
        });
        empty(arena, process, slot, report);
    }
    pieces
}

fn end_list<P: Platform>(
    arena: &Arena<P>,
    reached: &Reached,
    kind: BlockKind,
    first: WordAddress,
    least: impl Fn(u64) -> u64,
    pieces: &mut HashSet<u64>,
    report: &mut dyn FnMut(u64),
) {
    let mut is_over = false;
    for piece in 0..PIECES {
        let at = first.offset(piece);
        let word = arena.platform().load(at, Acquire);
        is_over = is_over || word == 0 || !is_piece(arena, reached, kind, word, least(piece)) || !pieces.insert(word);
        if is_over && word != 0 && arena.platform().compare_exchange(at, word, 0, AcqRel, Relaxed).is_ok() {
            report(word);
        }
    }
}

fn is_piece<P: Platform>(arena: &Arena<P>, reached: &Reached, kind: BlockKind, word: u64, least: u64) -> bool {
    Handle::from_raw(word).is_some_and(|handle| {
        let found = allocator::check_believed(arena, handle);
        found.is_ok_and(|(state, room)| state.kind == kind && state.phase == BlockPhase::Live && room >= least)
            && !reached.blocks.contains(&word)
    })
}

/// Empties what can be read of a table.
pub(super) fn empty<P: Platform>(
    arena: &Arena<P>,
    process: ProcessSlotId,
    slot: ProcessSlot,
    report: &mut dyn FnMut(Mended),
) {
    for_each_entry(arena, slot, |_, entry| {
        // Relaxed: nobody else is there.
        let word = arena.platform().load(entry.word(), Relaxed);
        if word != 0 {
            report(Mended::Held { process, at: entry.word(), word });
        }
    });
    holding::empty(arena, slot);
}
