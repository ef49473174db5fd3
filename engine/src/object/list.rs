//! List: a mutable array of values.
//!
//! ```text
//! List block   [length cell][spine of the places: first cell, directory cell]        see `vector`
//! ```
//! 1. Place i is absent exactly if i >= length. So reading or setting one index looks at the place alone, not at the
//!    length: it logs one cell, and conflicts neither with other indices nor with whoever appends.
//! 2. The length cell counts places; an absent one is 0. Appending writes the length and one place.
//! 3. Inserting and removing in the middle move what is behind, one read and one write for each. Memory stays.

use super::block::{allocate, corrupt, fill_absent, glance_at_count, open_container, read_count, write_count};
use super::discard;
use super::vector::{MOST_PLACES, Vector};
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::LIST_CELLS;
use crate::transaction::Participant;
use crate::word::{BlockKind, CELL_WORDS, CellAddress, Handle, Value};

/// An opened list.
#[derive(Clone, Copy)]
struct List {
    length: CellAddress,
    places: Vector,
}

impl List {
    #[inline(always)]
    fn open<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Self, Stop> {
        let length = CellAddress::new(open_container(tx, handle, BlockKind::List, LIST_CELLS * CELL_WORDS)?);
        Ok(Self { length, places: Vector::new(length.offset(1)) })
    }

    #[inline(always)]
    fn len<P: Platform>(self, tx: &mut Participant<P>) -> Result<u64, Stop> {
        read_count(tx, self.length, MOST_PLACES)
    }

    /// The value at a place below the length: invariant 1 makes an absent one damage.
    fn present<P: Platform>(self, tx: &mut Participant<P>, index: u64) -> Result<Value, Stop> {
        let value = self.places.read(tx, index)?;
        if value.is_absent() {
            return Err(corrupt("a list that is longer than its places", self.length.value_word(), index));
        }
        Ok(value)
    }
}

/// Goes through a list from a place on. For the attempt that made it, and as long as that does not change the list.
///
/// It logs each place, and the length only where that stood when it began: who appends before that is no conflict. From there on it goes no further than the list reached then.
/// (Without that, it might chase who appends for ever: what comes while the reads before are validated is the next item.)
#[derive(Clone, Copy)]
pub struct Cursor {
    list: List,
    place: u64,
    /// Where to look next how long the list is, or is known to end.
    end: u64,
    is_end_known: bool,
}

impl Cursor {
    /// The place of the next value.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// The next value; `None` behind the last. Logs one cell, once one more.
    #[inline]
    pub fn next<P: Platform>(&mut self, tx: &mut Participant<P>) -> Result<Option<Value>, Stop> {
        if self.place >= self.end {
            if self.is_end_known {
                return Ok(None);
            }
            self.is_end_known = true;
            self.end = self.list.len(tx)?;
            if self.place >= self.end {
                return Ok(None);
            }
        }
        let value = match self.is_end_known {
            true => self.list.present(tx, self.place)?,
            false => self.list.places.read(tx, self.place)?,
        };
        if value.is_absent() {
            // It says by itself that the list is no longer.
            (self.end, self.is_end_known) = (self.place, true);
            return Ok(None);
        }
        self.place += 1;
        Ok(Some(value))
    }
}

/// A cursor before the value at `start`.
pub fn cursor<P: Platform>(tx: &mut Participant<P>, handle: Handle, start: u64) -> Result<Cursor, Stop> {
    let list = List::open(tx, handle)?;
    let end = glance_at_count(tx, list.length, MOST_PLACES);
    Ok(Cursor { list, place: start, end, is_end_known: false })
}

/// Makes an empty list.
pub fn create<P: Platform>(tx: &mut Participant<P>) -> Result<Handle, Stop> {
    let (handle, payload) = allocate(tx, BlockKind::List, LIST_CELLS * CELL_WORDS)?;
    fill_absent(tx, CellAddress::new(payload), LIST_CELLS);
    Ok(handle)
}

/// Number of values.
#[inline(always)]
pub fn len<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<u64, Stop> {
    List::open(tx, handle)?.len(tx)
}

/// The value at `index`; `None` behind the last. Logs one cell.
#[inline(always)]
pub fn get<P: Platform>(tx: &mut Participant<P>, handle: Handle, index: u64) -> Result<Option<Value>, Stop> {
    let value = List::open(tx, handle)?.places.read(tx, index)?;
    Ok((!value.is_absent()).then_some(value))
}

/// Replaces the value at `index`, and discards the one that was there. False, and nothing done: there is none.
#[inline(always)]
pub fn set<P: Platform>(tx: &mut Participant<P>, handle: Handle, index: u64, value: Value) -> Result<bool, Stop> {
    match exchange(tx, handle, index, value)? {
        Some(old) => discard(tx, old).map(|()| true),
        None => Ok(false),
    }
}

/// Replaces the value at `index`; returns the one that was there, which is the caller's. `None`, and nothing done: there is none.
#[inline(always)]
pub fn exchange<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    index: u64,
    value: Value,
) -> Result<Option<Value>, Stop> {
    debug_assert!(!value.is_absent());
    let Some(cell) = List::open(tx, handle)?.places.find(tx, index)? else { return Ok(None) };
    let old = tx.read(cell)?;
    if old.is_absent() {
        return Ok(None);
    }
    tx.write(cell, value)?;
    Ok(Some(old))
}

/// Appends a value.
pub fn push<P: Platform>(tx: &mut Participant<P>, handle: Handle, value: Value) -> Result<(), Stop> {
    debug_assert!(!value.is_absent());
    let list = List::open(tx, handle)?;
    let length = list.len(tx)?;
    list.places.write(tx, length, value)?;
    write_count(tx, list.length, length + 1)
}

/// Inserts a value before the one at `index`, or at the end if there is none. Moves all that is behind.
pub fn insert<P: Platform>(tx: &mut Participant<P>, handle: Handle, index: u64, value: Value) -> Result<(), Stop> {
    debug_assert!(!value.is_absent());
    let list = List::open(tx, handle)?;
    let length = list.len(tx)?;
    let mut moving = value;
    // Bound: the length, and each place below it must be there.
    for place in index.min(length)..length {
        let next = list.present(tx, place)?;
        list.places.write(tx, place, moving)?;
        moving = next;
    }
    list.places.write(tx, length, moving)?;
    write_count(tx, list.length, length + 1)
}

/// Removes the value at `index` and returns it: it is the caller's. `None` if there is none. Moves all that is behind.
pub fn remove<P: Platform>(tx: &mut Participant<P>, handle: Handle, index: u64) -> Result<Option<Value>, Stop> {
    let list = List::open(tx, handle)?;
    let length = list.len(tx)?;
    if index >= length {
        return Ok(None);
    }
    let mut moving = Value::ABSENT;
    // Bound: the length, and each place below it must be there.
    for place in (index..length).rev() {
        let next = list.present(tx, place)?;
        list.places.write(tx, place, moving)?;
        moving = next;
    }
    write_count(tx, list.length, length - 1)?;
    Ok(Some(moving))
}

/// Discards what is behind the first `length` values. Empties the places and keeps their memory.
pub fn truncate<P: Platform>(tx: &mut Participant<P>, handle: Handle, length: u64) -> Result<(), Stop> {
    let list = List::open(tx, handle)?;
    let before = list.len(tx)?;
    if length >= before {
        return Ok(());
    }
    // Bound: the length, and each place below it must be there.
    for place in (length..before).rev() {
        let value = list.present(tx, place)?;
        list.places.write(tx, place, Value::ABSENT)?;
        discard(tx, value)?;
    }
    write_count(tx, list.length, length)
}
