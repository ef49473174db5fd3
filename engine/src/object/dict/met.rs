//! Who goes through a dict in several transactions: where an entry that was met stands now.
//!
//! Places move down meanwhile (see `places`), and never past another. So behind the newest of those that were met, and are still there, come just those that were not
//! met, and what was inserted since; and before it none that was there all the time and was not met.

use super::{Dict, bucket};
use crate::error::Stop;
use crate::object::dict::entry::Entry;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{Handle, Value};

/// An entry that was met. It keeps nothing: what it names may be gone, and is not looked at before a dict names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    place: u64,
    hash: u64,
    entry: Handle,
}

impl Met {
    pub(super) fn of<P: Platform>(tx: &Participant<P>, place: u64, entry: Entry) -> Self {
        Self { place, hash: entry.hash(tx), entry: entry.handle() }
    }

    /// Where it stood: the next one is behind it, the previous one below.
    pub fn place(&self) -> u64 {
        self.place
    }
}

/// What is met at a place, with its key.
pub(super) fn with_key<P: Platform>(
    tx: &mut Participant<P>,
    (place, entry): (u64, Entry),
) -> Result<(Met, Value), Stop> {
    Ok((Met::of(tx, place, entry), entry.key(tx)?))
}

/// The same with its value.
pub(super) fn with_value<P: Platform>(
    tx: &mut Participant<P>,
    found: (u64, Entry),
) -> Result<(Met, Value, Value), Stop> {
    let (met, key) = with_key(tx, found)?;
    Ok((met, key, found.1.value(tx)?))
}

/// Where the first of `met` stands that is still in the dict. `None`: none of them is. Mostly the first one is asked for, and stands where it stood: one cell more.
pub fn place_of_met<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    met: impl IntoIterator<Item = Met>,
) -> Result<Option<u64>, Stop> {
    let dict = Dict::open(tx, handle)?;
    for met in met {
        if let Some(place) = dict.place_of(tx, met)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

impl Dict {
    fn place_of<P: Platform>(self, tx: &mut Participant<P>, met: Met) -> Result<Option<u64>, Stop> {
        if let Some(cell) = self.places().find(tx, met.place)?
            && tx.read(cell)? == Value::handle(met.entry)
        {
            return Ok(Some(met.place));
        }
        let count = self.bucket_count(tx)?;
        if count == 0 {
            return Ok(None);
        }
        let named = self.bucket_of(tx, count, met.hash)?;
        match bucket::names(tx, self, named, met.entry)? {
            true => Entry::open(tx, met.entry)?.place(tx).map(Some),
            false => Ok(None),
        }
    }
}
