//! The order of a dict: place i names the entry that was inserted as the i-th, or is absent since it was removed.
//!
//! *Compaction.* Once more than half of at least 32 places are absent, an insertion begins to move entries down. The cells
//! `from` and `to` say how far it is: places below `to` are compacted, those from `to` to `from` are absent, those from
//! `from` on are as they were. Each insertion looks at 16 places more, until `from` meets `used`; then `used` falls back to
//! `to`. An insertion adds one place meanwhile, so it takes used/15 insertions. Order is kept throughout, for entries
//! move down only, and never past another.
//!
//! Taking the last entry lowers `used` to its place, so that taking from the end again and again does not look at the same
//! absent places again and again. If that goes below `from`, compaction is given up; it begins anew if it is worth it.
//! Taking the first again and again does look at the absent places before it (as the builtin does), until insertions
//! compact them.

use super::Dict;
use super::entry::Entry;
use crate::error::Stop;
use crate::object::block::{corrupt, handle_of, read_count, write_count};
use crate::object::discard;
use crate::object::vector::MOST_PLACES;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{CellAddress, Value};

/// Compaction begins at no fewer places: below, looking at absent ones costs nothing worth the writes.
const COMPACTION_LEAST_PLACES: u64 = 32;
/// Places that an insertion looks at while compaction goes on.
const PLACES_PER_STEP: u64 = 16;

/// The entry that a place's cell names.
fn entry_in<P: Platform>(tx: &mut Participant<P>, cell: CellAddress) -> Result<Option<Entry>, Stop> {
    let value = tx.read(cell)?;
    if value.is_absent() {
        return Ok(None);
    }
    Entry::open(tx, handle_of(value, cell)?).map(Some)
}

impl Dict {
    /// The entry at a place below `used`, which has memory. `None`: it was removed.
    pub(super) fn entry_at<P: Platform>(self, tx: &mut Participant<P>, place: u64) -> Result<Option<Entry>, Stop> {
        match self.entry_if_any(tx, place)? {
            Some(found) => Ok(found),
            None => Err(corrupt("a dict with more places than memory for them", self.used_cell().value_word(), place)),
        }
    }

    /// The entry at a place, if it names one. `None`: the place has no memory yet.
    pub(super) fn entry_if_any<P: Platform>(
        self,
        tx: &mut Participant<P>,
        place: u64,
    ) -> Result<Option<Option<Entry>>, Stop> {
        self.places().find(tx, place)?.map(|cell| entry_in(tx, cell)).transpose()
    }

    /// The first entry at or behind `place`. Looks at no more places than are used, each of which must have memory.
    pub(super) fn occupied_from<P: Platform>(
        self,
        tx: &mut Participant<P>,
        place: u64,
    ) -> Result<Option<(u64, Entry)>, Stop> {
        // Mostly it is right there: no place from `used` on names an entry, and so nobody need know where that is.
        if place < MOST_PLACES
            && let Some(Some(entry)) = self.entry_if_any(tx, place)?
        {
            return Ok(Some((place, entry)));
        }
        let used = read_count(tx, self.used_cell(), MOST_PLACES)?;
        for place in place..used {
            if let Some(entry) = self.entry_at(tx, place)? {
                return Ok(Some((place, entry)));
            }
        }
        Ok(None)
    }

    /// The last entry below `place`, with the same bound.
    pub(super) fn occupied_below<P: Platform>(
        self,
        tx: &mut Participant<P>,
        place: u64,
    ) -> Result<Option<(u64, Entry)>, Stop> {
        let used = read_count(tx, self.used_cell(), MOST_PLACES)?;
        for place in (0..place.min(used)).rev() {
            if let Some(entry) = self.entry_at(tx, place)? {
                return Ok(Some((place, entry)));
            }
        }
        Ok(None)
    }

    /// Empties the place of an entry that is taken out. `last`: all places behind it are known to be absent.
    pub(super) fn empty_place<P: Platform>(
        self,
        tx: &mut Participant<P>,
        entry: Entry,
        last: bool,
    ) -> Result<(), Stop> {
        let place = entry.place(tx)?;
        let (used, removed) = self.counts(tx)?;
        match self.places().find(tx, place)? {
            Some(cell) if place < used && tx.read(cell)? == Value::handle(entry.handle()) => {
                tx.write(cell, Value::ABSENT)?;
            }
            _ => return Err(corrupt("an entry that is not at its place", entry.place_cell().value_word(), place)),
        }
        if removed + 1 == used {
            // It was the last one: nobody is to look at all that are absent any more.
            write_count(tx, self.used_cell(), 0)?;
            write_count(tx, self.removed_cell(), 0)?;
            return self.end_compaction(tx);
        }
        let behind = used - place - 1;
        if behind > 0 && !last {
            return write_count(tx, self.removed_cell(), removed + 1);
        }
        write_count(tx, self.used_cell(), place)?;
        if behind > 0 {
            let removed = removed.checked_sub(behind).ok_or_else(|| self.miscounted(removed))?;
            write_count(tx, self.removed_cell(), removed)?;
        }
        if place < read_count(tx, self.compaction_from_cell(), MOST_PLACES)? {
            self.end_compaction(tx)?;
        }
        Ok(())
    }

    #[cold]
    fn miscounted(self, removed: u64) -> Stop {
        corrupt("the counters of a dict", self.removed_cell().value_word(), removed)
    }

    /// One step of compaction, if it goes on or is worth beginning.
    pub(super) fn compact<P: Platform>(self, tx: &mut Participant<P>) -> Result<(), Stop> {
        let begun = tx.read(self.compaction_from_cell())?;
        if begun.is_absent() {
            let (used, removed) = self.counts(tx)?;
            if used < COMPACTION_LEAST_PLACES || removed <= used / 2 {
                return Ok(());
            }
        }
        let (used, removed) = self.counts(tx)?;
        let mut from = read_count(tx, self.compaction_from_cell(), used)?;
        let mut to = read_count(tx, self.compaction_to_cell(), from)?;
        for _ in 0..PLACES_PER_STEP.min(used - from) {
            if let Some(entry) = self.entry_at(tx, from)? {
                if from != to {
                    self.places().write(tx, from, Value::ABSENT)?;
                    self.places().write(tx, to, Value::handle(entry.handle()))?;
                    write_count(tx, entry.place_cell(), to)?;
                }
                to += 1;
            }
            from += 1;
        }
        if from < used {
            write_count(tx, self.compaction_from_cell(), from)?;
            return write_count(tx, self.compaction_to_cell(), to);
        }
        let removed = removed.checked_sub(used - to).ok_or_else(|| self.miscounted(removed))?;
        write_count(tx, self.used_cell(), to)?;
        write_count(tx, self.removed_cell(), removed)?;
        self.end_compaction(tx)
    }

    fn end_compaction<P: Platform>(self, tx: &mut Participant<P>) -> Result<(), Stop> {
        tx.write(self.compaction_from_cell(), Value::ABSENT)?;
        tx.write(self.compaction_to_cell(), Value::ABSENT)
    }

    /// Empties all places, and discards the entries with all that they name.
    pub(super) fn clear_places<P: Platform>(self, tx: &mut Participant<P>) -> Result<(), Stop> {
        let (used, _) = self.counts(tx)?;
        for place in 0..used {
            if let Some(entry) = self.entry_at(tx, place)? {
                self.places().write(tx, place, Value::ABSENT)?;
                let (key, value) = (entry.key(tx)?, entry.value(tx)?);
                // The entry first: whoever checks the space meanwhile finds nothing in use that names what is not.
                tx.discard(entry.handle())?;
                discard(tx, key)?;
                discard(tx, value)?;
            }
        }
        write_count(tx, self.used_cell(), 0)?;
        write_count(tx, self.removed_cell(), 0)?;
        self.end_compaction(tx)
    }
}
