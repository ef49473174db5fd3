//! Dict: a mutable mapping that keeps the order of insertion.
//!
//! ```text
//! Dict block (cells)
//!   0     bucket count: absent, or a power of two from 8
//!   1, 2  spine of the buckets           (first cell, directory cell: see `vector`)
//!   3, 4  spine of the places
//!   5     used: places handed out so far
//!   6     removed: how many of them are empty again; len = used - removed
//!   7     split: buckets below it are split (see `bucket`)
//!   8, 9  compaction: from, to           (see `places`)
//! DictEntry    [hash][key][place cell][value cell]     one line; hash and key never change
//! DictBucket   [entries]([hash][handle of an entry])*  immutable, replaced as a whole
//! ```
//! A bucket names the entries whose hash leads to it; a place names one entry, places are in the order of insertion.
//!
//! 1. An entry is named by exactly one bucket and exactly one place, and its place cell says which.
//! 2. Looking a key up logs three cells: the bucket count, the bucket, the value; one more while its bucket waits for its
//!    split. A missing key logs the first two.
//! 3. A new value for a present key writes the value's cell alone: different keys do not conflict. Insertion and removal
//!    write `used` or `removed`, so they conflict with each other and with `len`.
//! 4. No operation moves more than a constant number of entries: buckets are split by whoever inserts, places are moved
//!    down by whoever inserts, a few at a time. (`clear` is the exception: it empties each bucket and each place.)
//! 5. Whoever replaces a bucket, or takes an entry out, discards its block.

mod bucket;
mod cursor;
mod entry;
mod met;
mod places;

pub use self::cursor::{Cursor, cursor};
use self::entry::Entry;
pub use self::met::{Met, place_of_met};
use super::block::{allocate, corrupt, fill_absent, open_container, read_count, write_count};
use super::key::Key;
use super::vector::{MOST_PLACES, Vector};
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::{DICT_CELLS, DICT_PLACES};
use crate::transaction::Participant;
use crate::word::{BlockKind, CELL_WORDS, CellAddress, Handle, Value};

/// An opened dict.
#[derive(Clone, Copy)]
struct Dict {
    first: CellAddress,
}

impl Dict {
    #[inline(always)]
    fn open<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Self, Stop> {
        Ok(Self { first: CellAddress::new(open_container(tx, handle, BlockKind::Dict, DICT_CELLS * CELL_WORDS)?) })
    }

    #[inline]
    fn bucket_count_cell(self) -> CellAddress {
        self.first
    }
    #[inline]
    fn buckets(self) -> Vector {
        Vector::new(self.first.offset(1))
    }
    #[inline]
    fn places(self) -> Vector {
        Vector::new(self.first.offset(DICT_PLACES))
    }
    #[inline]
    fn used_cell(self) -> CellAddress {
        self.first.offset(5)
    }
    #[inline]
    fn removed_cell(self) -> CellAddress {
        self.first.offset(6)
    }
    #[inline]
    fn split_cell(self) -> CellAddress {
        self.first.offset(7)
    }
    #[inline]
    fn compaction_from_cell(self) -> CellAddress {
        self.first.offset(8)
    }
    #[inline]
    fn compaction_to_cell(self) -> CellAddress {
        self.first.offset(9)
    }

    /// `used` and `removed`.
    #[inline(always)]
    fn counts<P: Platform>(self, tx: &mut Participant<P>) -> Result<(u64, u64), Stop> {
        let used = read_count(tx, self.used_cell(), MOST_PLACES)?;
        let removed = read_count(tx, self.removed_cell(), MOST_PLACES)?;
        if removed > used {
            return Err(corrupt("the counters of a dict", self.removed_cell().value_word(), removed));
        }
        Ok((used, removed))
    }

    /// The entry of `key`.
    #[inline(always)]
    fn find<P: Platform>(self, tx: &mut Participant<P>, key: &Key) -> Result<Option<Entry>, Stop> {
        let count = self.bucket_count(tx)?;
        if count == 0 {
            return Ok(None);
        }
        let bucket = self.bucket_of(tx, count, key.hash())?;
        bucket::search(tx, self, bucket, key)
    }

    /// Adds an entry for a key that is not there.
    fn insert<P: Platform>(self, tx: &mut Participant<P>, key: &Key, value: Value) -> Result<(), Stop> {
        self.compact(tx)?;
        let (used, removed) = self.counts(tx)?;
        let count = self.grow_buckets(tx, used - removed)?;
        let stored = key.encode(tx)?;
        let entry = entry::make(tx, key.hash(), stored, used, value)?;
        self.places().write(tx, used, Value::handle(entry))?;
        write_count(tx, self.used_cell(), used + 1)?;
        self.add_to_bucket(tx, count, key.hash(), entry)
    }

    /// Takes an entry out; gives its key and its value, which are the caller's. `last`: it is known that no entry stands behind it.
    fn take<P: Platform>(self, tx: &mut Participant<P>, entry: Entry, last: bool) -> Result<(Value, Value), Stop> {
        let value = entry.value(tx)?;
        let count = self.bucket_count(tx)?;
        self.remove_from_bucket(tx, count, entry)?;
        self.empty_place(tx, entry, last)?;
        let key = entry.key(tx)?;
        tx.discard(entry.handle())?;
        Ok((key, value))
    }
}

/// Makes an empty dict.
pub fn create<P: Platform>(tx: &mut Participant<P>) -> Result<Handle, Stop> {
    let (handle, payload) = allocate(tx, BlockKind::Dict, DICT_CELLS * CELL_WORDS)?;
    fill_absent(tx, CellAddress::new(payload), DICT_CELLS);
    Ok(handle)
}

/// The value of `key`. Logs three cells, two where the key is missing, one more while the dict grows.
#[inline(always)]
pub fn get<P: Platform>(tx: &mut Participant<P>, handle: Handle, key: &Key) -> Result<Option<Value>, Stop> {
    match Dict::open(tx, handle)?.find(tx, key)? {
        Some(entry) => entry.value(tx).map(Some),
        None => Ok(None),
    }
}

/// Whether `key` is there. Logs two cells, one more while the dict grows.
#[inline(always)]
pub fn contains<P: Platform>(tx: &mut Participant<P>, handle: Handle, key: &Key) -> Result<bool, Stop> {
    Ok(Dict::open(tx, handle)?.find(tx, key)?.is_some())
}

/// Gives `key` a value; returns the one that it had, which is the caller's. A key that is there keeps its place and its spelling.
pub fn set<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    key: &Key,
    value: Value,
) -> Result<Option<Value>, Stop> {
    debug_assert!(!value.is_absent());
    let dict = Dict::open(tx, handle)?;
    match dict.find(tx, key)? {
        Some(entry) => {
            let old = entry.value(tx)?;
            tx.write(entry.value_cell(), value)?;
            Ok(Some(old))
        }
        None => dict.insert(tx, key, value).map(|()| None),
    }
}

/// Removes `key`; returns the key as it was stored, and its value. Both are the caller's.
pub fn remove<P: Platform>(tx: &mut Participant<P>, handle: Handle, key: &Key) -> Result<Option<(Value, Value)>, Stop> {
    let dict = Dict::open(tx, handle)?;
    match dict.find(tx, key)? {
        Some(entry) => dict.take(tx, entry, false).map(Some),
        None => Ok(None),
    }
}

/// Number of keys. Reads two cells.
#[inline(always)]
pub fn len<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<u64, Stop> {
    let (used, removed) = Dict::open(tx, handle)?.counts(tx)?;
    Ok(used - removed)
}

/// Removes all keys, and discards them with their values. Writes each bucket and each place; their memory stays with the dict.
pub fn clear<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<(), Stop> {
    let dict = Dict::open(tx, handle)?;
    dict.clear_buckets(tx)?;
    dict.clear_places(tx)
}

/// The first key at or behind `place`, in the order of insertion, with its value and the place to go on from. Start with
/// place 0. Between two transactions entries may move down: [`place_of_met`] says where to go on.
pub fn next<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(u64, Value, Value)>, Stop> {
    Ok(meet_next(tx, handle, place)?.map(|(met, key, value)| (met.place() + 1, key, value)))
}

/// The last key below `place`, with its value and its place, from which to go on. Start with `u64::MAX`.
pub fn previous<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(u64, Value, Value)>, Stop> {
    Ok(meet_previous(tx, handle, place)?.map(|(met, key, value)| (met.place(), key, value)))
}

/// As [`next`], for who goes on in another transaction.
pub fn meet_next<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(Met, Value, Value)>, Stop> {
    let found = Dict::open(tx, handle)?.occupied_from(tx, place)?;
    found.map(|found| met::with_value(tx, found)).transpose()
}

/// As [`previous`], for who goes on in another transaction.
pub fn meet_previous<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(Met, Value, Value)>, Stop> {
    let found = Dict::open(tx, handle)?.occupied_below(tx, place)?;
    found.map(|found| met::with_value(tx, found)).transpose()
}

/// As [`meet_next`], the key alone: whoever gives it another value is no conflict.
pub fn meet_next_key<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(Met, Value)>, Stop> {
    let found = Dict::open(tx, handle)?.occupied_from(tx, place)?;
    found.map(|found| met::with_key(tx, found)).transpose()
}

/// As [`meet_previous`], the key alone.
pub fn meet_previous_key<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    place: u64,
) -> Result<Option<(Met, Value)>, Stop> {
    let found = Dict::open(tx, handle)?.occupied_below(tx, place)?;
    found.map(|found| met::with_key(tx, found)).transpose()
}

/// The key that was inserted last, with its value.
pub fn last<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Option<(Value, Value)>, Stop> {
    Ok(previous(tx, handle, u64::MAX)?.map(|(_, key, value)| (key, value)))
}

/// Removes the key that was inserted last; returns it with its value: both are the caller's. What a `popitem` is.
pub fn pop_last<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Option<(Value, Value)>, Stop> {
    let dict = Dict::open(tx, handle)?;
    match dict.occupied_below(tx, u64::MAX)? {
        Some((_, entry)) => dict.take(tx, entry, true).map(Some),
        None => Ok(None),
    }
}
