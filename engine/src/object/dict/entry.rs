//! One key of a dict: `[hash][key][place cell][value cell]`, with its header just one cache line.

use crate::allocator::is_small_in_use;
use crate::error::Stop;
use crate::object::block::{allocate, corrupt, count_value, fill_absent, fill_plain, open_part, plain, read_count};
use crate::object::vector::MOST_PLACES;
use crate::platform::Platform;
use crate::shape::{ENTRY_KEY, ENTRY_PLACE, ENTRY_VALUE, ENTRY_WORDS};
use crate::transaction::Participant;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, CellAddress, Handle, Value, WordAddress};

/// An opened entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    handle: Handle,
}

/// Makes an entry.
pub(super) fn make<P: Platform>(
    tx: &mut Participant<P>,
    hash: u64,
    key: Value,
    place: u64,
    value: Value,
) -> Result<Handle, Stop> {
    let (handle, payload) = allocate(tx, BlockKind::DictEntry, ENTRY_WORDS)?;
    fill_plain(tx, payload, [hash, key.raw()].into_iter());
    let place_cell = CellAddress::new(payload.offset(ENTRY_PLACE));
    fill_absent(tx, place_cell, 2);
    tx.initialize(place_cell, count_value(place));
    tx.initialize(place_cell.offset(1), value);
    Ok(handle)
}

impl Entry {
    /// The entry behind a handle. The one look at its state word counts for all that follows in this attempt.
    #[inline(always)]
    pub(super) fn open<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<Self, Stop> {
        open_part(tx, handle, BlockKind::DictEntry, ENTRY_WORDS)?;
        Ok(Self { handle })
    }

    /// The same, if the handle is an entry's.
    #[inline(always)]
    pub(super) fn if_in_use<P: Platform>(tx: &Participant<P>, handle: Handle) -> Option<Self> {
        is_small_in_use(tx.arena(), handle, BlockKind::DictEntry, ENTRY_WORDS).then_some(Self { handle })
    }

    #[inline]
    fn payload(self) -> WordAddress {
        self.handle.block().offset(BLOCK_HEADER_WORDS)
    }

    #[inline]
    pub(super) fn handle(self) -> Handle {
        self.handle
    }

    #[inline]
    pub(super) fn hash<P: Platform>(self, tx: &Participant<P>) -> u64 {
        plain(tx, self.payload())
    }

    /// The key as it was stored, not yet looked at.
    #[inline]
    pub(super) fn raw_key<P: Platform>(self, tx: &Participant<P>) -> Value {
        Value::from_raw(plain(tx, self.payload().offset(ENTRY_KEY)))
    }

    pub(super) fn key<P: Platform>(self, tx: &Participant<P>) -> Result<Value, Stop> {
        let key = self.raw_key(tx);
        if key.is_absent() {
            return Err(corrupt("the key of an entry", self.payload().offset(ENTRY_KEY), 0));
        }
        Ok(key)
    }

    #[inline]
    pub(super) fn place_cell(self) -> CellAddress {
        CellAddress::new(self.payload().offset(ENTRY_PLACE))
    }

    #[inline]
    pub(super) fn value_cell(self) -> CellAddress {
        CellAddress::new(self.payload().offset(ENTRY_VALUE))
    }

    pub(super) fn place<P: Platform>(self, tx: &mut Participant<P>) -> Result<u64, Stop> {
        read_count(tx, self.place_cell(), MOST_PLACES)
    }

    #[inline(always)]
    pub(super) fn value<P: Platform>(self, tx: &mut Participant<P>) -> Result<Value, Stop> {
        let value = tx.read(self.value_cell())?;
        if value.is_absent() {
            return Err(corrupt("the value of an entry", self.value_cell().value_word(), 0));
        }
        Ok(value)
    }
}
