//! From a word to the blocks of many names that it leads to, through those of one name.

use super::colour::has_many_names;
use crate::allocator;
use crate::arena::Arena;
use crate::platform::Platform;
use crate::shape::{DICT_CELLS, DICT_PLACES, SPINE_CELLS, references, some_cells};
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, CELL_WORDS, CellAddress, Handle, Value};

/// Where a way ends.
pub(super) enum Found {
    /// At a block of many names.
    ManyNames(Handle),
    /// At an array of cells, of which there may be very many; and it stays as long as its container does.
    Array(Handle),
}

/// Calls `found` for each end of the ways from `word`. Of what is freed meanwhile nothing is found, or something that the word does not lead to.
pub(super) fn reach<P: Platform>(arena: &Arena<P>, word: u64, found: &mut impl FnMut(Found)) {
    // One word, one block of one name, is nearly all there is: no list for them.
    let Some(first) = step(arena, word, found) else { return };
    let mut pending = vec![first];
    // Bound: a space has no more blocks, and each has one name; damage may close them to a ring.
    for _ in 0..arena.layout().geometry().space_words / 4 {
        let Some((handle, kind)) = pending.pop() else { return };
        each_word(arena, handle, kind, &mut |word| pending.extend(step(arena, word, found)));
    }
}

/// A block of one name that leads on; or nothing, or an end.
#[inline]
fn step<P: Platform>(arena: &Arena<P>, word: u64, found: &mut impl FnMut(Found)) -> Option<(Handle, BlockKind)> {
    let handle = Value::from_raw(word).as_handle()?;
    // What is PRIVATE after T0 was made since; what is RETIRED was shaded through by whoever took it out. Neither stays where it is:
    // the memory may be somebody else's before a mark is set.
    let state = allocator::check(arena, handle).ok().filter(|state| state.phase == BlockPhase::Live)?;
    let kind = state.kind;
    if has_many_names(arena, handle, kind) {
        found(Found::ManyNames(handle));
        return None;
    }
    match kind {
        BlockKind::Cells => {
            found(Found::Array(handle));
            None
        }
        BlockKind::Tuple | BlockKind::DictEntry => Some((handle, kind)),
        // A bucket's entries stand at the places, too: one way to them is enough.
        _ => None,
    }
}

/// Calls `visit` with the values of some cells of an array. Gives the number of the first that is left, if there is one.
pub(super) fn some_words<P: Platform>(
    arena: &Arena<P>,
    array: Handle,
    from: u64,
    most: u64,
    visit: &mut impl FnMut(u64),
) -> Option<u64> {
    let room = allocator::payload_words(arena, array).ok()?;
    let (cells, left) = some_cells(arena, array, room, from, most).ok()?;
    cells.for_each(|cell| visit(arena.platform().load_optimistic(cell.value_word())));
    left
}

/// Calls `visit` with each word of a block that may lead on.
pub(super) fn each_word<P: Platform>(arena: &Arena<P>, handle: Handle, kind: BlockKind, visit: &mut impl FnMut(u64)) {
    let platform = arena.platform();
    // Acquire, in the loads: what the word names is seen, and what its committer shaded before he stored it.
    let Ok(room) = allocator::payload_words(arena, handle) else { return };
    // Whose kind is damaged may be a smaller one, at the end of the space.
    if kind == BlockKind::Dict && room >= DICT_CELLS * CELL_WORDS {
        let first = CellAddress::new(handle.block().offset(BLOCK_HEADER_WORDS)).offset(DICT_PLACES);
        return (0..SPINE_CELLS).for_each(|index| visit(platform.load_optimistic(first.offset(index).value_word())));
    }
    // Of a block whose counts contradict its room nothing is looked at; `fsck` reports it.
    let _ = references(arena, handle, kind, room, &mut |reference| visit(platform.load_optimistic(reference.word())));
}
