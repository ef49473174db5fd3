//! Writing a cell: entry first, lock second.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::Participant;
use crate::error::Stop;
use crate::participant::{Entry, EntryKind, HELD, Slot, foreign_entry, status_of};
use crate::platform::{Platform, WordKind};
use crate::word::{CellAddress, ENTRY_MASK, Handle, LockWord, LockedBy, State, Value, Version, WordAddress};

/// Records start at least so many units before the end of the ring, else at its beginning.
const RECORD_ROOM: u64 = 32;

impl<P: Platform> Participant<P> {
    /// Gives a cell a new value, seen by others when the attempt commits. Takes the cell's lock at the first write.
    ///
    /// Cost: four words of the participant's own record, one compare-exchange on the cell.
    ///
    /// # Errors
    /// `Conflict` if the attempt is over, `Full` if its record cannot grow, `ReadOnly`, `Interrupted` and `TimedOut` from waiting.
    #[inline]
    pub fn write(&mut self, cell: CellAddress, value: Value) -> Result<(), Stop> {
        let word = self.platform().load(cell.lock_word(), Acquire);
        // The everyday case. Between attempts there is no past.
        if self.snapshot.has(Version(word))
            && self.still(self.active)
            && !self.is_foreign()
            && self.lock_at_once(cell, word, Version(word), Some(value))?
        {
            return Ok(());
        }
        self.write_slowly(cell, value)
    }

    /// Bounded: every turn means that somebody else has made a step, or that we have waited.
    #[inline(never)]
    fn write_slowly(&mut self, cell: CellAddress, value: Value) -> Result<(), Stop> {
        loop {
            let word = self.platform().load(cell.lock_word(), Acquire);
            if !self.still(self.active) || self.active == 0 || self.is_foreign() {
                return Err(self.lost());
            }
            match LockWord::unpack(word) {
                LockWord::Free(version) => {
                    if self.admits(version)? && self.lock(cell, word, version, Some(value))? {
                        return Ok(());
                    }
                }
                LockWord::Locked(by) if self.is_mine(by) => {
                    let entry = self.own_entry(by.entry, cell);
                    let entry = entry.ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
                    if self.read_only {
                        return Err(self.fail(Stop::ReadOnly));
                    }
                    self.note_overwritten(entry, cell);
                    entry.set_new_value(self.arena(), value.raw());
                    if self.holds_in == self.seq {
                        entry.set_kind(self.arena(), EntryKind::Write, cell);
                    }
                    return Ok(());
                }
                LockWord::Locked(by) => {
                    if self.write_past_lock(cell, word, by, Some(value))? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives a cell of a block that this attempt allocated its first value. Nobody else can reach it yet.
    #[inline]
    pub fn initialize(&mut self, cell: CellAddress, value: Value) {
        let platform = self.platform();
        platform.retype(cell.lock_word(), crate::word::CELL_WORDS, WordKind::Atomic);
        // Relaxed: published with the block, by the release that frees the cell which names it.
        platform.store(cell.lock_word(), LockWord::free(Version::INITIAL), Relaxed);
        platform.store(cell.value_word(), value.raw(), Relaxed);
    }

    /// Fills an entry and puts the lock into the cell, over `word`. Without a new value the cell is held and keeps what it has.
    /// False: the cell changed in between.
    #[inline(always)]
    fn lock_at_once(
        &mut self,
        cell: CellAddress,
        word: u64,
        version: Version,
        new: Option<Value>,
    ) -> Result<bool, Stop> {
        if self.read_only && new.is_some() {
            return Err(self.fail(Stop::ReadOnly));
        }
        if let Err(full) = self.entry_room() {
            return Err(self.fail(full.into()));
        }
        let number = self.entries;
        let arena = &self.arena;
        let platform = arena.platform();
        // The old value is read after the lock word and before the compare-exchange: it is the committed one of `version`.
        let old_value = platform.load(cell.value_word(), Acquire);
        let entry = Entry::at(self.record_ring.address(self.record_start + 1 + number));
        let (kind, new_value) = match new {
            Some(value) => (EntryKind::Write, value.raw()),
            None => (EntryKind::Hold, HELD),
        };
        entry.fill(arena, kind, cell, [version.0, old_value, new_value]);
        // Release: counted before the lock is tried for, so that whoever clears up after us finds every lock that we got.
        platform.store(self.slot.entries_reserved(), number + 1, Release);
        let lock = LockWord::with_entry(self.first_lock, number);
        // AcqRel: releases the entry to whoever follows the lock, acquires what the last owner released.
        let locked = platform.compare_exchange(cell.lock_word(), word, lock, AcqRel, Relaxed).is_ok();
        if locked {
            self.entries = number + 1;
            if new.is_none() {
                self.holds_in = self.seq;
            }
        }
        Ok(locked)
    }

    /// The same, out of line: in line it is on the everyday way alone.
    #[inline(never)]
    pub(super) fn lock(
        &mut self,
        cell: CellAddress,
        word: u64,
        version: Version,
        new: Option<Value>,
    ) -> Result<bool, Stop> {
        self.lock_at_once(cell, word, version, new)
    }

    /// The cell is locked by somebody else. True: it is mine now, with the new value, if there is one.
    #[cold]
    pub(super) fn write_past_lock(
        &mut self,
        cell: CellAddress,
        word: u64,
        by: LockedBy,
        new: Option<Value>,
    ) -> Result<bool, Stop> {
        let arena = &self.arena;
        let slot =
            Slot::of(arena, by.participant).ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
        let status = status_of(arena, slot)?;
        if status.seq != by.seq || status.state == State::Idle {
            self.unless_unchanged_lock(cell, word)?;
            self.platform().spin_hint();
            return Ok(false);
        }
        match status.state {
            State::Aborted => self.steal(cell, word, by, slot, new),
            State::Committed => {
                self.meet_committed(cell, slot, by)?;
                Ok(false)
            }
            State::Prepared => {
                self.meet_prepared(slot, by)?;
                Ok(false)
            }
            State::Active | State::Waiting | State::Idle => {
                self.conflict(cell, slot, by, status.state)?;
                Ok(false)
            }
        }
    }

    /// Takes the lock of an aborted attempt over. The version to go back to is the victim's, never a newer one of ours.
    fn steal(
        &mut self,
        cell: CellAddress,
        word: u64,
        by: LockedBy,
        slot: Slot,
        new: Option<Value>,
    ) -> Result<bool, Stop> {
        let Some(entry) = foreign_entry(self.arena(), slot, by.entry, cell) else {
            self.unless_unchanged_lock(cell, word)?;
            return Ok(false);
        };
        let old_version = Version(entry.old_version(self.arena()));
        self.platform().fence(Acquire);
        if self.platform().load(cell.lock_word(), Acquire) != word {
            return Ok(false);
        }
        Ok(self.admits(old_version)? && self.lock(cell, word, old_version, new)?)
    }

    /// A lock whose attempt is over: it must be gone by now.
    fn unless_unchanged_lock(&self, cell: CellAddress, word: u64) -> Result<(), Stop> {
        // That the entry was gone may have been seen in relaxed loads of a later attempt's words: with its F1 this fence puts
        // them before the look at the cell, which the earlier attempt had freed by then.
        self.platform().fence(Acquire);
        // Acquire: pairs with whoever freed the cell.
        if self.platform().load(cell.lock_word(), Acquire) == word {
            return Err(self.corrupt("a lock word", cell.lock_word(), word));
        }
        Ok(())
    }

    /// The entry of this attempt that a lock of its own names.
    #[inline]
    pub(super) fn own_entry(&self, entry: u64, cell: CellAddress) -> Option<Entry> {
        if self.entries <= ENTRY_MASK + 1 {
            return (entry < self.entries).then(|| self.entry(entry));
        }
        self.own_entry_of_many(entry, cell)
    }

    /// The same where several entries have that number modulo 4,096. Cells are mostly looked at in the order in which they were
    /// written, so the first try is the next one behind the last that was found. Bounded by entries / 4096 + 2.
    #[inline(never)]
    fn own_entry_of_many(&self, entry: u64, cell: CellAddress) -> Option<Entry> {
        let last = self.last_own_entry.get();
        let next = last + (entry.wrapping_sub(last) & ENTRY_MASK);
        let numbers = std::iter::once(next).chain((entry..self.entries).step_by(ENTRY_MASK as usize + 1));
        for number in numbers.filter(|number| *number < self.entries) {
            let candidate = self.entry(number);
            if candidate.target(self.arena()).is_some_and(|(_, found)| found == cell) {
                self.last_own_entry.set(number);
                return Some(candidate);
            }
        }
        None
    }

    /// Starts the record of this attempt behind the last one. Every earlier record is DONE; nothing counts them yet, so the
    /// ring is free all round.
    pub(super) fn open_record(&mut self) {
        // From the second half on, too: else large records, one after the other, would each make the ring grow.
        let capacity = self.record_ring.capacity();
        if self.record_start + RECORD_ROOM > capacity || self.record_start > capacity / 2 {
            self.record_start = 0;
        }
        self.first_lock = LockWord::locked(LockedBy { participant: self.id, entry: 0, seq: self.seq });
        let header = self.record_ring.address(self.record_start);
        let platform = self.platform();
        // Relaxed: published by the lock or by the status that leads here.
        platform.store(header, self.seq, Relaxed);
        platform.store(header.offset(2), super::commit::RECORD_OPEN, Relaxed);
        platform.store(self.slot.record_start(), self.record_start, Relaxed);
        platform.store(self.slot.entries_reserved(), 0, Relaxed);
    }

    /// Notes a block of this attempt, so that the commit publishes it and an abort frees it.
    pub(super) fn note_allocation(&mut self, handle: Handle) {
        let arena = &self.arena;
        let entry = Entry::at(self.record_ring.address(self.record_start + 1 + self.entries));
        let nothing = CellAddress::new(WordAddress::new(0));
        entry.fill(arena, EntryKind::Allocation, nothing, [handle.raw(), 0, 0]);
        self.entries += 1;
        // Release: recovery that reads the count finds the entry filled.
        arena.platform().store(self.slot.entries_reserved(), self.entries, Release);
    }
}
