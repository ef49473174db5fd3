//! The shape of blocks: where the cells and the references of each kind are. For objects, which fill them, and for those who
//! walk a space and know no object: `fsck`, `collection`.

use crate::arena::Arena;
use crate::error::Corrupt;
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, CELL_WORDS, CellAddress, Handle, WordAddress};

/// Payload words before the cells of a `Cells` block: their number, and a word that is not used.
pub const CELLS_PREFIX: u64 = 2;
/// Cells of a spine, which names the arrays of cells of a container (see `object`).
pub const SPINE_CELLS: u64 = 2;
/// Cells of a `List` block: the length, the spine.
pub const LIST_CELLS: u64 = 1 + SPINE_CELLS;
/// Cells of a `Dict` block: the number of buckets, two spines, five counters.
pub const DICT_CELLS: u64 = 2 * SPINE_CELLS + 6;
/// First cell of the spine of a dict's places.
pub const DICT_PLACES: u64 = 1 + SPINE_CELLS;
/// Payload words before the cells of a `Queue` block.
pub const QUEUE_PREFIX_WORDS: u64 = 2;
/// Cells of a `Queue` block: the spine, how the ring stands and three that keep distance, the head and four that do, the tail.
pub const QUEUE_CELLS: u64 = SPINE_CELLS + 1 + 3 + 1 + 4 + 1;
/// Where the key of a `DictEntry` stands; its hash stands before.
pub const ENTRY_KEY: u64 = 1;
/// Where the place cell of a `DictEntry` stands.
pub const ENTRY_PLACE: u64 = 2;
/// Where the value cell of a `DictEntry` stands.
pub const ENTRY_VALUE: u64 = ENTRY_PLACE + CELL_WORDS;
/// Payload words of a `DictEntry`.
pub const ENTRY_WORDS: u64 = ENTRY_VALUE + CELL_WORDS;
/// Payload words before the pairs of a `DictBucket`: their number.
pub const BUCKET_PREFIX_WORDS: u64 = 1;
/// Payload words of a pair of a `DictBucket`: hash and handle of an entry.
pub const BUCKET_PAIR_WORDS: u64 = 2;

/// A word of a block that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A cell, which transactions change.
    Cell(CellAddress),
    /// An immutable word.
    Value(WordAddress),
}

impl Reference {
    /// Where the value stands.
    #[inline]
    pub fn word(self) -> WordAddress {
        match self {
            Self::Cell(cell) => cell.value_word(),
            Self::Value(word) => word,
        }
    }
}

/// A block whose room is known.
struct Block<'a, P> {
    arena: &'a Arena<P>,
    payload: WordAddress,
    room: u64,
}

impl<P: Platform> Block<'_, P> {
    fn corrupt(&self, what: &'static str, word: u64) -> Corrupt {
        Corrupt { what, byte_offset: self.payload.byte_offset(), word }
    }

    /// Checks that the block has `words` payload words (`None`: more than can be counted).
    fn has(&self, words: Option<u64>) -> Result<(), Corrupt> {
        match words {
            Some(words) if words <= self.room => Ok(()),
            _ => Err(self.corrupt("a length that does not fit its block", words.unwrap_or(u64::MAX))),
        }
    }

    /// The first payload word: a length or a count, where the kind has one.
    fn count(&self) -> Result<u64, Corrupt> {
        self.has(Some(1))?;
        // Whoever walks along may be nobody who holds the block.
        Ok(self.arena.platform().load_optimistic(self.payload))
    }

    fn cells(&self, prefix: u64, cells: u64, visit: &mut dyn FnMut(Reference)) -> Result<(), Corrupt> {
        self.has(cells.checked_mul(CELL_WORDS).and_then(|words| words.checked_add(prefix)))?;
        let first = CellAddress::new(self.payload.offset(prefix));
        (0..cells).for_each(|index| visit(Reference::Cell(first.offset(index))));
        Ok(())
    }

    /// Of a `Cells` block: its first cell, and how many there are.
    fn array(&self) -> Result<(CellAddress, u64), Corrupt> {
        let count = self.count()?;
        self.has(count.checked_mul(CELL_WORDS).and_then(|words| words.checked_add(CELLS_PREFIX)))?;
        Ok((CellAddress::new(self.payload.offset(CELLS_PREFIX)), count))
    }

    /// Of a `Tuple` block: how many items there are.
    fn items(&self) -> Result<u64, Corrupt> {
        let length = self.count()?;
        self.has(length.checked_add(1))?;
        Ok(length)
    }

    fn bytes(&self, prefix: u64, length: u64) -> Result<(), Corrupt> {
        self.has(length.div_ceil(8).checked_add(prefix))
    }
}

/// The cells from number `from` on of a `Cells` block, at most `most`, for whoever does not go through all of them at once; and the number of the first that is left, if
/// there is one. `payload_words` as in [`references`].
pub fn some_cells<P: Platform>(
    arena: &Arena<P>,
    array: Handle,
    payload_words: u64,
    from: u64,
    most: u64,
) -> Result<(impl Iterator<Item = CellAddress>, Option<u64>), Corrupt> {
    let payload = array.block().offset(BLOCK_HEADER_WORDS);
    let (first, count) = Block { arena, payload, room: payload_words }.array()?;
    let end = count.min(from.saturating_add(most));
    Ok(((from..end).map(move |index| first.offset(index)), (end < count).then_some(end)))
}

/// The words from number `from` on of a `Cells` block or a `Tuple`, at most `most`, and the number of the first that is left, if there is one: as [`some_cells`].
pub fn some_references<P: Platform>(
    arena: &Arena<P>,
    handle: Handle,
    kind: BlockKind,
    payload_words: u64,
    from: u64,
    most: u64,
) -> Result<(impl Iterator<Item = WordAddress>, Option<u64>), Corrupt> {
    let payload = handle.block().offset(BLOCK_HEADER_WORDS);
    let block = Block { arena, payload, room: payload_words };
    let (first, count, stride) = match kind {
        BlockKind::Tuple => (payload.offset(1), block.items()?, 1),
        _ => block.array().map(|(first, count)| (first.value_word(), count, CELL_WORDS))?,
    };
    let end = count.min(from.saturating_add(most));
    Ok(((from..end).map(move |index| first.offset(index * stride)), (end < count).then_some(end)))
}

/// Runs `visit` over all words of a block that hold values. `payload_words` is the room of the block
/// (`allocator::payload_words`), and no word outside it is looked at: what does not fit is `Corrupt`.
pub fn references<P: Platform>(
    arena: &Arena<P>,
    handle: Handle,
    kind: BlockKind,
    payload_words: u64,
    visit: &mut dyn FnMut(Reference),
) -> Result<(), Corrupt> {
    let payload = handle.block().offset(BLOCK_HEADER_WORDS);
    let block = Block { arena, payload, room: payload_words };
    match kind {
        BlockKind::None | BlockKind::Log | BlockKind::Holds => Ok(()),
        BlockKind::Text | BlockKind::Bytes => block.bytes(2, block.count()?),
        BlockKind::Int => block.bytes(1, block.count()? & (u64::MAX >> 1)),
        BlockKind::Float => block.has(Some(1)),
        BlockKind::Tuple => {
            (0..block.items()?).for_each(|index| visit(Reference::Value(payload.offset(1 + index))));
            Ok(())
        }
        BlockKind::List => block.cells(0, LIST_CELLS, visit),
        BlockKind::Dict => block.cells(0, DICT_CELLS, visit),
        BlockKind::Queue => block.cells(QUEUE_PREFIX_WORDS, QUEUE_CELLS, visit),
        BlockKind::Cells => {
            let (first, count) = block.array()?;
            (0..count).for_each(|index| visit(Reference::Cell(first.offset(index))));
            Ok(())
        }
        BlockKind::DictEntry => {
            block.has(Some(ENTRY_WORDS))?;
            visit(Reference::Value(payload.offset(ENTRY_KEY)));
            visit(Reference::Cell(CellAddress::new(payload.offset(ENTRY_PLACE))));
            visit(Reference::Cell(CellAddress::new(payload.offset(ENTRY_VALUE))));
            Ok(())
        }
        BlockKind::DictBucket => {
            let count = block.count()?;
            let words = count.checked_mul(BUCKET_PAIR_WORDS);
            block.has(words.and_then(|words| words.checked_add(BUCKET_PREFIX_WORDS)))?;
            let handle_of = |index| BUCKET_PREFIX_WORDS + index * BUCKET_PAIR_WORDS + 1;
            (0..count).for_each(|index| visit(Reference::Value(payload.offset(handle_of(index)))));
            Ok(())
        }
        BlockKind::DictTable => Err(block.corrupt("a kind of block that nothing makes", kind as u64)),
    }
}
