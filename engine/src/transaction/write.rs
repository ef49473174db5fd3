//! Writing a cell: entry first, lock second.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::Participant;
use crate::error::Stop;
use crate::participant::{Entry, EntryKind, HELD, Slot, foreign_entry, status_of};
use crate::platform::{Platform, WordKind};
use crate::word::{CellAddress, LockWord, LockedBy, State, Value, Version};

impl<P: Platform> Participant<P> {
    /// Gives a cell a new value, seen by others when the attempt commits. Takes the cell's lock at the first write.
    ///
    /// Cost: four words of the participant's own record, one compare-exchange on the cell.
    ///
    /// # Errors
    /// `Conflict` if the attempt is over, `Full` if its record cannot grow, `ReadOnly`, `Interrupted` and `TimedOut` from waiting.
    #[inline(always)]
    pub fn write(&mut self, cell: CellAddress, value: Value) -> Result<(), Stop> {
        if self.write_at_once(cell, value) { Ok(()) } else { self.write_slowly(cell, value) }
    }

    /// The everyday case. False: it is not that, and nothing is locked; [`Self::write_slowly`] looks again and says why. Calls nothing, so
    /// that it has no registers to save.
    #[inline(never)]
    fn write_at_once(&mut self, cell: CellAddress, value: Value) -> bool {
        let word = self.platform().load(cell.lock_word(), Acquire);
        // Between attempts there is no past.
        let may_lock =
            self.snapshot.has(Version(word)) && self.still(self.active) && self.is_surely_at_home() && !self.read_only;
        may_lock
            && self
                .entry_at_once()
                .is_some_and(|entry| self.lock_at_once(entry, cell, word, Version(word), Some(value)))
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
                    self.note_overwritten(entry, cell)?;
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

    /// Fills `entry`, the next one, and puts the lock into the cell, over `word`. Without a new value the cell is held and
    /// keeps what it has. False: the cell changed in between.
    #[inline(always)]
    fn lock_at_once(
        &mut self,
        entry: Entry,
        cell: CellAddress,
        word: u64,
        version: Version,
        new: Option<Value>,
    ) -> bool {
        let number = self.entries;
        let arena = &self.arena;
        let platform = arena.platform();
        // The old value is read after the lock word and before the compare-exchange: it is the committed one of `version`.
        let old_value = platform.load(cell.value_word(), Acquire);
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
            self.settle_last_read(cell, version);
            if new.is_none() {
                self.holds_in = self.seq;
            }
        }
        locked
    }

    /// [Locks](Self::lock_at_once) a cell, and makes room before.
    #[inline(never)]
    pub(super) fn lock(
        &mut self,
        cell: CellAddress,
        word: u64,
        version: Version,
        new: Option<Value>,
    ) -> Result<bool, Stop> {
        if self.read_only && new.is_some() {
            return Err(self.fail(Stop::ReadOnly));
        }
        match self.entry_room() {
            Ok(()) => Ok(self.lock_at_once(self.entry(self.entries), cell, word, version, new)),
            Err(full) => Err(self.fail(full.into())),
        }
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
}
