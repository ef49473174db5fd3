//! An array of cells that grows without ever moving one: what lists, dicts and queues keep their places in.
//!
//! A container embeds two neighbouring cells, the *spine*:
//! ```text
//! +0  first       absent, or the Cells block of places 0..8
//! +2  directory   absent, or a Cells block of 14 cells:
//!       0..7      cell k: the Cells block of places 8<<k .. 16<<k, so all of 8..1024
//!       7..14     cell 7+j: page j, a Cells block whose cells name leaves: page 0 the first 64, page j the next
//!                 7 * 64 * 8^(j-1)
//! leaf            a Cells block of 1,022 cells; leaf c holds the places 1024 + 1022 c and on
//! Cells block     [number of cells][unused][cell 0: 2 words][cell 1]...
//! ```
//! The odd sizes fill the size classes of the allocator: a leaf with its header is 16 KiB, a directory 256 bytes.
//!
//! 1. Each pointer is written once and stays, so that it is read by `read_stable`: reading a place logs the place alone
//!    (a place without memory logs the pointer that is absent). Whatever shrinks empties its places and keeps the memory.
//! 2. A place that was never written, or whose memory was never made, is absent.
//! 3. Growing makes at most one directory, one page and one leaf. Up to 500,000 places a page has at most 448 cells; the
//!    largest that a dict of 4 million makes has 3,584.

use super::block::{allocate_cells, cell_of, handle_of, too_large};
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{CellAddress, Value};

/// Places that need no directory.
pub(super) const FIRST_PLACES: u64 = 8;

const SEGMENTS: u64 = 7;
const SMALL_PLACES: u64 = FIRST_PLACES << SEGMENTS;
const DIRECTORY_CELLS: u64 = 14;
const LEAF_CELLS: u64 = 1022;
const PAGE_CELLS: u64 = 64;
/// Places that a directory reaches: 2^24 leaves, 256 GiB of cells.
pub(super) const MOST_PLACES: u64 = SMALL_PLACES + LEAF_CELLS * (PAGE_CELLS << (3 * (DIRECTORY_CELLS - SEGMENTS - 1)));

/// A vector, by its spine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    first: CellAddress,
    directory: CellAddress,
}

/// The way from the directory to a place behind the first eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Segment { entry: u64, cells: u64, offset: u64 },
    Leaf { entry: u64, page_cells: u64, page_offset: u64, offset: u64 },
}

#[inline(always)]
fn way(place: u64) -> Way {
    if place < SMALL_PLACES {
        let entry = u64::from(place.ilog2()) - 3;
        let cells = FIRST_PLACES << entry;
        return Way::Segment { entry, cells, offset: place - cells };
    }
    let (leaf, offset) = ((place - SMALL_PLACES) / LEAF_CELLS, (place - SMALL_PLACES) % LEAF_CELLS);
    if leaf < PAGE_CELLS {
        return Way::Leaf { entry: SEGMENTS, page_cells: PAGE_CELLS, page_offset: leaf, offset };
    }
    let page = (u64::from(leaf.ilog2()) - 6) / 3;
    let before = PAGE_CELLS << (3 * page);
    Way::Leaf { entry: SEGMENTS + 1 + page, page_cells: 7 * before, page_offset: leaf - before, offset }
}

impl Vector {
    /// The vector whose spine starts at `first`.
    #[inline]
    pub(super) fn new(first: CellAddress) -> Self {
        Self { first, directory: first.offset(1) }
    }

    /// The cell of `place`; `None` if it has no memory yet.
    #[inline(always)]
    pub(super) fn find<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<Option<CellAddress>, Stop> {
        if place < FIRST_PLACES {
            return follow(tx, self.first, place);
        }
        if place < SMALL_PLACES
            && let Way::Segment { entry, offset, .. } = way(place)
        {
            return match follow(tx, self.directory, entry)? {
                Some(segment) => follow(tx, segment, offset),
                None => Ok(None),
            };
        }
        self.find_far(tx, place)
    }

    /// The cell of a place behind the segments.
    #[inline(never)]
    fn find_far<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<Option<CellAddress>, Stop> {
        if place >= MOST_PLACES {
            return Ok(None);
        }
        match way(place) {
            Way::Segment { entry, offset, .. } => match follow(tx, self.directory, entry)? {
                Some(segment) => follow(tx, segment, offset),
                None => Ok(None),
            },
            Way::Leaf { entry, page_offset, offset, .. } => {
                let Some(page) = follow(tx, self.directory, entry)? else { return Ok(None) };
                let Some(leaf) = follow(tx, page, page_offset)? else { return Ok(None) };
                follow(tx, leaf, offset)
            }
        }
    }

    /// The value at `place`; absent if it has no memory yet.
    #[inline(always)]
    pub(super) fn read<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<Value, Stop> {
        match self.find(tx, place)? {
            Some(cell) => tx.read(cell),
            None => Ok(Value::ABSENT),
        }
    }

    /// The cell of `place`, with memory made for it if it has none.
    #[inline]
    pub(super) fn ensure<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<CellAddress, Stop> {
        match self.find(tx, place)? {
            Some(cell) => Ok(cell),
            None => self.grow(tx, place),
        }
    }

    #[cold]
    fn grow<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<CellAddress, Stop> {
        if place >= MOST_PLACES {
            return Err(too_large(MOST_PLACES));
        }
        if place < FIRST_PLACES {
            return make(tx, self.first, FIRST_PLACES, place);
        }
        match way(place) {
            Way::Segment { entry, cells, offset } => {
                let segment = make(tx, self.directory, DIRECTORY_CELLS, entry)?;
                make(tx, segment, cells, offset)
            }
            Way::Leaf { entry, page_cells, page_offset, offset } => {
                let page = make(tx, self.directory, DIRECTORY_CELLS, entry)?;
                let leaf = make(tx, page, page_cells, page_offset)?;
                make(tx, leaf, LEAF_CELLS, offset)
            }
        }
    }

    /// Writes `value` at `place`.
    #[inline]
    pub(super) fn write<P: Platform>(self, tx: &mut Participant<P>, place: u64, value: Value) -> Result<(), Stop> {
        let cell = self.ensure(tx, place)?;
        tx.write(cell, value)
    }
}

/// The cell at `offset` of the array that `pointer` names, if it names one.
#[inline(always)]
fn follow<P: Platform>(
    tx: &mut Participant<P>,
    pointer: CellAddress,
    offset: u64,
) -> Result<Option<CellAddress>, Stop> {
    let value = tx.read_stable(pointer)?;
    if value.is_absent() {
        return Ok(None);
    }
    cell_of(tx, handle_of(value, pointer)?, offset).map(Some)
}

/// The same, with an array of `cells` cells made if there is none.
fn make<P: Platform>(
    tx: &mut Participant<P>,
    pointer: CellAddress,
    cells: u64,
    offset: u64,
) -> Result<CellAddress, Stop> {
    if let Some(cell) = follow(tx, pointer, offset)? {
        return Ok(cell);
    }
    let (array, first) = allocate_cells(tx, cells)?;
    tx.write(pointer, Value::handle(array))?;
    Ok(first.offset(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place has one way, ways of neighbours are neighbours, and no offset leaves its array.
    #[test]
    fn ways_are_dense() {
        let mut expected = (0, 0, 0);
        for place in FIRST_PLACES..40_000_000 {
            let now = match way(place) {
                Way::Segment { entry, cells, offset } => {
                    assert!(offset < cells && entry < SEGMENTS);
                    (entry, 0, offset)
                }
                Way::Leaf { entry, page_cells, page_offset, offset } => {
                    assert!(offset < LEAF_CELLS && page_offset < page_cells && entry < DIRECTORY_CELLS);
                    (entry, page_offset, offset)
                }
            };
            let next_leaf = (now.0, now.1 + 1, 0);
            let next_entry = (now.0 + 1, 0, 0);
            assert!(now == expected || now.2 == 0, "place {place}: {now:?} after {expected:?}");
            expected = match way(place) {
                Way::Segment { cells, offset, .. } if offset + 1 == cells => next_entry,
                Way::Leaf { page_cells, page_offset, offset, .. } if offset + 1 == LEAF_CELLS => {
                    if page_offset + 1 == page_cells { next_entry } else { next_leaf }
                }
                _ => (now.0, now.1, now.2 + 1),
            };
        }
    }

    #[test]
    fn the_last_place_is_in_the_last_page() {
        let Way::Leaf { entry, page_cells, page_offset, offset } = way(MOST_PLACES - 1) else { panic!() };
        assert_eq!((entry, page_offset + 1, offset + 1), (DIRECTORY_CELLS - 1, page_cells, LEAF_CELLS));
    }
}
