//! Which entry of a large record a lock word of its own attempt means: the word has the entry's number modulo 4,096, so that several have it.
//!
//! Cells are mostly looked at in the order in which they were written, so the first try is the next one behind the last that was found. Else a table of the
//! process's own says it, by cell. What it says is checked against the record, and what it does not know, or has no memory for, is looked for there.

use std::cell::{Cell, RefCell};

use hashbrown::HashTable;

use super::Participant;
use crate::participant::{Entry, EntryKind};
use crate::platform::Platform;
use crate::word::{CellAddress, ENTRY_MASK};

/// What is known of the entries of the attempt under way. In a box: hardly any participant needs it, and they are large enough.
#[derive(Debug, Default)]
pub(super) struct OwnEntries {
    /// The one that was found last.
    last: Cell<u64>,
    by_cell: RefCell<ByCell>,
}

/// Numbers of entries that lock a cell, by the cell.
#[derive(Debug, Default)]
struct ByCell {
    /// Of the attempt that they are of.
    seq: u64,
    /// Those below are in the table; some may be of what an alternative had written that was undone.
    known: u64,
    numbers: HashTable<u32>,
}

fn hash(cell: CellAddress) -> u64 {
    spread(cell.index())
}

/// Fibonacci hashing, and the upper half for the lower bits: cells lie at multiples of their size.
fn spread(number: u64) -> u64 {
    let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl OwnEntries {
    /// Gives the memory of the table back.
    pub fn forget(&self) {
        self.by_cell.take();
    }
}

impl<P: Platform> Participant<P> {
    /// The entry of this attempt that a lock of its own names.
    #[inline]
    pub(super) fn own_entry(&self, entry: u64, cell: CellAddress) -> Option<Entry> {
        if self.entries <= ENTRY_MASK + 1 {
            return (entry < self.entries).then(|| self.entry(entry));
        }
        self.own_entry_of_many(entry, cell)
    }

    #[inline(never)]
    fn own_entry_of_many(&self, entry: u64, cell: CellAddress) -> Option<Entry> {
        let last = self.own_entries.last.get();
        let next = last + (entry.wrapping_sub(last) & ENTRY_MASK);
        let is_it = |number: u64| number & ENTRY_MASK == entry && self.locked_by(number) == Some(cell);
        let number = Some(next)
            .filter(|next| is_it(*next))
            .or_else(|| self.own_entries.by_cell.borrow_mut().find(self, cell, is_it))
            .or_else(|| (entry..self.entries).step_by(ENTRY_MASK as usize + 1).find(|number| is_it(*number)))?;
        self.own_entries.last.set(number);
        Some(self.entry(number))
    }

    /// The cell that an entry of the record locks.
    fn locked_by(&self, number: u64) -> Option<CellAddress> {
        let target = (number < self.entries).then(|| self.entry(number).target(self.arena())).flatten();
        target.filter(|(kind, _)| matches!(kind, EntryKind::Write | EntryKind::Hold)).map(|(_, cell)| cell)
    }
}

impl ByCell {
    fn find<P: Platform>(
        &mut self,
        tx: &Participant<P>,
        cell: CellAddress,
        is_it: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        self.learn(tx);
        self.numbers.find(hash(cell), |number| is_it(u64::from(*number))).map(|number| u64::from(*number))
    }

    /// Enters what the attempt has written since.
    fn learn<P: Platform>(&mut self, tx: &Participant<P>) {
        if self.seq != tx.seq {
            self.numbers.clear();
            (self.seq, self.known) = (tx.seq, 0);
        }
        self.known = self.known.min(tx.entries);
        // Of an entry that is void by now nobody asks: it may be anywhere, but not all of them in one place.
        let hash_of = |number: &u32| {
            let number = u64::from(*number);
            tx.locked_by(number).map_or_else(|| spread(number), hash)
        };
        while self.known < tx.entries
            && let Ok(number) = u32::try_from(self.known)
            && self.numbers.try_reserve(1, hash_of).is_ok()
        {
            if let Some(cell) = tx.locked_by(self.known) {
                self.numbers.insert_unique(hash(cell), number, hash_of);
            }
            self.known += 1;
        }
    }
}
