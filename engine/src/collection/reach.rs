//! From a word to the blocks of many names that it leads to, through those of one name.

use super::colour::has_many_names;
use super::doubt::{Place, damaged_state};
use crate::allocator;
use crate::arena::Arena;
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::{DICT_CELLS, DICT_PLACES, SPINE_CELLS, references, some_cells};
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, CELL_WORDS, CellAddress, Handle, Value, WordAddress};

/// Where a way ends.
pub(super) enum Found {
    /// At a block of many names.
    ManyNames(Handle),
    /// At an array of cells, of which there may be very many; and it stays as long as its container does.
    Array(Handle),
    /// At what nothing of ours writes, or at a name of what is not there: the word means nothing, or something is damaged.
    Nothing,
}

/// What is RETIRED: a block of one name that somebody has taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retired {
    /// It was shaded through by whoever took it out, after the collection had begun, or was named by nobody then, and is named here no more. It does not stay where it is: the memory may be somebody
    /// else's before a mark is set.
    Passed,
    /// The caller's log keeps it, and it may have been taken out before the collection began.
    Followed,
}

/// Calls `found` for each end of the ways from `word`, with the last cell on that way, if there is one: the value of an entry, which commits change as they
/// change the cell that the word is from. Of what is freed meanwhile nothing is found, or something that the word does not lead to.
pub(super) fn reach<P: Platform>(
    arena: &Arena<P>,
    word: u64,
    retired: Retired,
    found: &mut impl FnMut(Found, Option<Place>),
) {
    // One word, one block of one name, is nearly all there is: no list for them.
    let Some(first) = step(arena, word, retired, &mut |end| found(end, None)) else { return };
    let mut pending = vec![(first, None)];
    // Bound: a space has no more blocks, and each has one name; damage may close them to a ring.
    for _ in 0..arena.layout().geometry().space_words / 4 {
        let Some(((handle, kind), cell)) = pending.pop() else { return };
        let read = each_word(arena, handle, kind, &mut |at, word| {
            let entry = kind == BlockKind::DictEntry;
            let cell = if entry { Some(Place { word, at, within: Some(handle) }) } else { cell };
            pending.extend(step(arena, word, retired, &mut |end| found(end, cell)).map(|block| (block, cell)));
        });
        if read.is_err() {
            found(Found::Nothing, cell);
        }
    }
    found(Found::Nothing, None);
}

/// A block of one name that leads on; or nothing, or an end.
#[inline]
fn step<P: Platform>(
    arena: &Arena<P>,
    word: u64,
    retired: Retired,
    found: &mut impl FnMut(Found),
) -> Option<(Handle, BlockKind)> {
    let Some(handle) = Value::from_raw(word).as_handle() else {
        if Value::from_raw(word).unpack().is_none() {
            found(Found::Nothing);
        }
        return None;
    };
    // What is PRIVATE after T0 was made since.
    let kind = match allocator::check(arena, handle).map(|state| (state.phase, state.kind)) {
        Ok((BlockPhase::Live, kind)) if kind.can_be_named() => kind,
        Ok((BlockPhase::Retired, kind @ (BlockKind::Tuple | BlockKind::DictEntry | BlockKind::DictBucket)))
            if retired == Retired::Followed && !has_many_names(arena, handle, kind) =>
        {
            return Some((handle, kind));
        }
        Ok((BlockPhase::Private, _)) => return None,
        _ => {
            found(Found::Nothing);
            return None;
        }
    };
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
        // A bucket's entries stand at the places, too: one way to them is enough. But for one that was taken out meanwhile.
        BlockKind::DictBucket if retired == Retired::Followed => Some((handle, kind)),
        _ => None,
    }
}

/// Calls `visit` with the values of some cells of an array, and where they stand. Gives the number of the first that is left, if there is one.
///
/// # Errors
/// It is no such array (any more), or its count contradicts its room.
pub(super) fn some_words<P: Platform>(
    arena: &Arena<P>,
    array: Handle,
    from: u64,
    most: u64,
    visit: &mut impl FnMut(WordAddress, u64),
) -> Result<Option<u64>, Stop> {
    let room = allocator::payload_words(arena, array)?;
    let (cells, left) = some_cells(arena, array, room, from, most)?;
    cells.map(CellAddress::value_word).for_each(|at| visit(at, arena.platform().load_optimistic(at)));
    Ok(left)
}

/// Calls `visit` with each word of a block that may lead on, and where it stands.
///
/// # Errors
/// There is no such block (any more), or its counts contradict its room.
pub(super) fn each_word<P: Platform>(
    arena: &Arena<P>,
    handle: Handle,
    kind: BlockKind,
    visit: &mut impl FnMut(WordAddress, u64),
) -> Result<(), Stop> {
    let platform = arena.platform();
    if !kind.can_be_named() {
        return Err(damaged_state(arena, handle).into());
    }
    // Acquire, in the loads: what the word names is seen, and what its committer shaded before he stored it.
    let room = allocator::payload_words(arena, handle)?;
    let mut visit = |at: WordAddress| visit(at, platform.load_optimistic(at));
    // Whose kind is damaged may be a smaller one, at the end of the space.
    if kind == BlockKind::Dict && room >= DICT_CELLS * CELL_WORDS {
        let first = CellAddress::new(handle.block().offset(BLOCK_HEADER_WORDS)).offset(DICT_PLACES);
        (0..SPINE_CELLS).for_each(|index| visit(first.offset(index).value_word()));
        return Ok(());
    }
    Ok(references(arena, handle, kind, room, &mut |reference| visit(reference.word()))?)
}
