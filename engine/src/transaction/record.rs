//! The record of the attempt under way: what it locks, makes and discards, an entry each, in the participant's ring.
//!
//! ```text
//! ring: ... [header of the last record][its entries] [header: seq, version, OPEN or DONE][entry 0][entry 1] ...
//! ```
//! A record stands behind the last one, or at the beginning of the ring. Its first entries mostly lie side by side, and are found by adding up.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::Participant;
use super::commit::RECORD_OPEN;
use crate::arena::Arena;
use crate::error::Full;
use crate::participant::{ENTRY_WORDS, Entry, EntryKind};
use crate::platform::Platform;
use crate::word::{CellAddress, Handle, LockWord, WordAddress};

/// Records start at least so many units before the end of the ring, else at its beginning.
const RECORD_ROOM: u64 = 32;

impl<P: Platform> Participant<P> {
    /// Starts the record of this attempt behind the last one. Every earlier record is DONE; nothing counts them yet, so the
    /// ring is free all round.
    pub(super) fn open_record(&mut self) {
        if !self.open_record_at_once() {
            (self.first_entry, self.entries_beside) = self.record_ring.run(self.record_start + 1);
            self.write_header(self.record_ring.address(self.record_start));
        }
    }

    /// The same where it begins in the ring's first piece. False: it does not, and is not opened.
    #[inline(always)]
    fn open_record_at_once(&mut self) -> bool {
        // From the second half on, too: else large records, one after the other, would each make the ring grow.
        let capacity = self.record_ring.capacity();
        if self.record_start + RECORD_ROOM > capacity || self.record_start > capacity / 2 {
            self.record_start = 0;
        }
        let Some((header, beside)) = self.record_ring.early_rest(self.record_start) else { return false };
        (self.first_entry, self.entries_beside) = (header.offset(ENTRY_WORDS), beside);
        self.write_header(header);
        true
    }

    #[inline(always)]
    fn write_header(&mut self, header: WordAddress) {
        self.first_lock = LockWord::with_seq(self.any_lock, self.seq);
        let platform = self.platform();
        // Relaxed: published by the lock or by the status that leads here.
        platform.store(header, self.seq, Relaxed);
        platform.store(header.offset(2), RECORD_OPEN, Relaxed);
        platform.store(self.slot.record_start(), self.record_start, Relaxed);
        platform.store(self.slot.entries_reserved(), 0, Relaxed);
    }

    /// Room for one more entry in the record.
    #[inline]
    pub(super) fn entry_room(&mut self) -> Result<(), Full> {
        if self.entries == 0 {
            self.open_record();
        }
        if self.record_start + 1 + self.entries < self.record_ring.capacity() {
            return Ok(());
        }
        self.grow_record()
    }

    /// The next entry, where it is found at once. `None`: it may be had all the same.
    #[inline(always)]
    pub(super) fn entry_at_once(&mut self) -> Option<Entry> {
        if self.entries == 0 && !self.open_record_at_once() {
            return None;
        }
        (self.entries < self.entries_beside).then(|| Entry::at(self.first_entry.offset(self.entries * ENTRY_WORDS)))
    }

    /// Entry `number` of the record, which has been opened.
    #[inline]
    pub(super) fn entry(&self, number: u64) -> Entry {
        if number < self.entries_beside {
            return Entry::at(self.first_entry.offset(number * ENTRY_WORDS));
        }
        Entry::at(self.record_ring.address(self.record_start + 1 + number))
    }

    /// The entries of the record, in their order.
    #[inline(always)]
    pub(super) fn for_each_entry(&self, visit: impl Fn(&Arena<P>, Entry)) {
        let (arena, entries) = (&self.arena, self.entries);
        if entries > self.entries_beside {
            return (0..entries).for_each(|number| visit(arena, self.entry(number)));
        }
        let end = self.first_entry.offset(entries * ENTRY_WORDS);
        let mut entry = self.first_entry;
        while entry != end {
            visit(arena, Entry::at(entry));
            entry = entry.offset(ENTRY_WORDS);
        }
    }

    /// Each cell that the record locks.
    pub(super) fn for_each_locked(&self, visit: impl Fn(&Arena<P>, EntryKind, CellAddress)) {
        self.for_each_entry(|arena, entry| {
            if let Some((kind @ (EntryKind::Write | EntryKind::Hold), cell)) = entry.target(arena) {
                visit(arena, kind, cell);
            }
        });
    }

    /// Notes a block of this attempt, so that the commit publishes it and an abort frees it.
    pub(super) fn note_allocation(&mut self, handle: Handle) {
        let arena = &self.arena;
        let entry = self.entry(self.entries);
        let nothing = CellAddress::new(WordAddress::new(0));
        entry.fill(arena, EntryKind::Allocation, nothing, [handle.raw(), 0, 0]);
        self.entries += 1;
        // Release: recovery that reads the count finds the entry filled.
        arena.platform().store(self.slot.entries_reserved(), self.entries, Release);
    }
}
