//! From a word to the blocks of many names that it leads to, through those of one name.

use super::colour::has_many_names;
use super::doubt::{Place, damaged_state};
use crate::allocator;
use crate::arena::Arena;
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::{DICT_CELLS, DICT_PLACES, SPINE_CELLS, references, some_references};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retired {
    /// It was shaded through by whoever took it out, after the collection had begun, or was named by nobody then, and is named here no more. It does not stay where it is: the memory may be somebody
    /// else's before a mark is set.
    Passed,
    /// The caller's log keeps it, and it may have been taken out before the collection began.
    Followed,
}

/// Words of one block that are looked at together. So many blocks wait, at most, for each that is nested in another.
const PIECE: u64 = 64;

/// A block of one name, and the number of the first of its words that was not looked at.
#[derive(Clone, Copy, Debug)]
struct Way {
    handle: Handle,
    kind: BlockKind,
    from: u64,
    /// The last cell on the way to it.
    cell: Option<Place>,
    /// In which turn of its walk it was known to be there.
    turn: u64,
}

/// A walk along all ways from a word, which may be left and gone on with: whoever takes out meanwhile what it has not come to shades through that, as through what it
/// comes from.
#[derive(Debug)]
pub(super) struct Walk {
    retired: Retired,
    next: Option<Way>,
    pending: Vec<Way>,
    turn: u64,
    /// Bound, in pieces: a space has no more blocks, and each has one name; damage may close them to a ring.
    left: u64,
}

impl Walk {
    /// `None`: there is no way on from the word. If it is an end, it was found.
    pub fn begin<P: Platform>(
        arena: &Arena<P>,
        word: u64,
        retired: Retired,
        found: &mut impl FnMut(Found, Option<Place>),
    ) -> Option<Self> {
        let (handle, kind) = step(arena, word, retired, &mut |end| found(end, None))?;
        let next = Some(Way { handle, kind, from: 0, cell: None, turn: 0 });
        // One block is nearly all there is: no list for that.
        Some(Self { retired, next, pending: Vec::new(), turn: 0, left: arena.layout().geometry().space_words / 2 })
    }

    pub fn is_through(&self) -> bool {
        self.next.is_none() && self.pending.is_empty()
    }

    /// Goes on, over `most` words or somewhat more. Calls `found` for each end, with the last cell on that way, if there is one: the value of an entry, which commits change as they
    /// change the cell that the word is from. Of what is freed meanwhile nothing is found, or something that the word does not lead to. Gives how many words were looked at: each block on the way
    /// counts for one, and each item of a tuple.
    pub fn go_on<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        most: u64,
        found: &mut impl FnMut(Found, Option<Place>),
    ) -> u64 {
        let mut words = 0;
        while words < most
            && let Some(way) = self.next.take().or_else(|| self.pending.pop())
        {
            words += 1;
            if self.left == 0 {
                self.pending.clear();
                found(Found::Nothing, None);
                break;
            }
            self.left -= 1;
            match self.piece(arena, way, found) {
                Ok(items) => words += items,
                Err(_) => found(Found::Nothing, way.cell),
            }
        }
        self.turn += 1;
        words
    }

    /// Gives how many items of a tuple were looked at.
    fn piece<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        way: Way,
        found: &mut impl FnMut(Found, Option<Place>),
    ) -> Result<u64, Stop> {
        let Way { handle, kind, from, .. } = way;
        // Since the last turn its memory may have gone, and the page of that.
        if way.turn != self.turn && allocator::check_fully(arena, handle)?.kind != kind {
            return Err(damaged_state(arena, handle).into());
        }
        if kind != BlockKind::Tuple {
            each_word(arena, handle, kind, &mut |at, word| self.enter(arena, &way, at, word, found))?;
            return Ok(0);
        }
        let room = allocator::payload_words(arena, handle)?;
        let (items, left) = some_references(arena, handle, kind, room, from, PIECE)?;
        // What it names comes first: whatever it is, no more than a piece of each block waits.
        self.next = left.map(|from| Way { from, turn: self.turn, ..way });
        let mut looked_at = 0;
        for at in items {
            looked_at += 1;
            self.enter(arena, &way, at, arena.platform().load_optimistic(at), found);
        }
        Ok(looked_at)
    }

    /// A word of a block on the way.
    fn enter<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        way: &Way,
        at: WordAddress,
        word: u64,
        found: &mut impl FnMut(Found, Option<Place>),
    ) {
        let entry = way.kind == BlockKind::DictEntry;
        let cell = if entry { Some(Place { word, at, within: Some(way.handle) }) } else { way.cell };
        if let Some((handle, kind)) = step(arena, word, self.retired, &mut |end| found(end, cell)) {
            let before = self.next.replace(Way { handle, kind, from: 0, cell, turn: self.turn });
            self.pending.extend(before);
        }
    }
}

/// All ways from a word at once: see [`Walk::go_on`].
pub(super) fn reach<P: Platform>(
    arena: &Arena<P>,
    word: u64,
    retired: Retired,
    found: &mut impl FnMut(Found, Option<Place>),
) {
    if let Some(mut walk) = Walk::begin(arena, word, retired, found) {
        walk.go_on(arena, u64::MAX, found);
    }
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

/// Calls `visit` with the values of some cells of an array, or some items of a tuple, and where they stand, until it says that it is enough. Gives the number of the first that
/// is left, if there may be one.
///
/// # Errors
/// It is no such block (any more), or its count contradicts its room.
pub(super) fn some_words<P: Platform>(
    arena: &Arena<P>,
    block: Handle,
    kind: BlockKind,
    from: u64,
    most: u64,
    visit: &mut impl FnMut(WordAddress, u64) -> bool,
) -> Result<Option<u64>, Stop> {
    let room = allocator::payload_words(arena, block)?;
    let (words, left) = some_references(arena, block, kind, room, from, most)?;
    for (index, at) in (from..).zip(words) {
        if !visit(at, arena.platform().load_optimistic(at)) {
            return Ok(Some(index + 1));
        }
    }
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
