//! Reading a cell.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::Participant;
use super::repeats::MANY;
use crate::error::{Full, Stop};
use crate::participant::{HELD, Slot, foreign_entry, participant_is_dead, status_of};
use crate::platform::Platform;
use crate::word::{CellAddress, Handle, LockWord, LockedBy, State, Value, Version, WordAddress};

/// What one look at a cell gave.
pub(super) enum Look {
    Value(Version, Value),
    /// The cell changed under our eyes, or somebody's lock was cleared: look again.
    Again,
}

impl<P: Platform> Participant<P> {
    /// Reads a cell. All reads of an attempt come from one state, its own writes included.
    ///
    /// Cost: writes three words of the participant's own read log; nothing that others write or read in passing.
    ///
    /// # Errors
    /// `Conflict` if the attempt is over; then so are all further calls until `begin`.
    #[inline(always)]
    pub fn read(&mut self, cell: CellAddress) -> Result<Value, Stop> {
        match self.read_at_once(cell) {
            Some(value) => Ok(value),
            None => self.read_slowly(cell),
        }
    }

    /// The everyday case. `None`: it is not that, and nothing is noted; [`Self::read_slowly`] looks again and says why.
    #[inline(always)]
    fn read_at_once(&mut self, cell: CellAddress) -> Option<Value> {
        let platform = self.arena.platform();
        // Acquire: pairs with the release that freed the cell; the value stored before it is seen.
        let word = platform.load(cell.lock_word(), Acquire);
        // Acquire: the status check below must not move before it.
        let value = Value::from_raw(platform.load(cell.value_word(), Acquire));
        // The check of the status comes after the loads: whoever stole a lock of ours stopped us before, so a value that
        // the thief committed is never returned to an attempt that thinks it owns the cell. Between attempts there is no past.
        if !self.snapshot.has(Version(word))
            || platform.load(self.slot.status(), Acquire) != self.active
            || !platform.is_surely(self.incarnation)
        {
            return None;
        }
        let Some(entry) = self.read_log.address_at_once(self.reads) else {
            return self.read_late(cell, word, value);
        };
        self.log_read(entry, cell, Version(word), value);
        if self.arena.platform().load(cell.lock_word(), Relaxed) == word {
            self.count_read();
            return Some(value);
        }
        None
    }

    /// Reads a cell that is written once (absent, then one handle for ever). Once it is there it is not logged: it cannot
    /// change, and the block that holds it keeps it alive. Before that it is read as any other.
    #[inline(always)]
    pub fn read_stable(&mut self, cell: CellAddress) -> Result<Value, Stop> {
        let platform = self.arena.platform();
        // Acquire: what the committer wrote into the block behind the handle is seen.
        let word = platform.load(cell.lock_word(), Acquire);
        let value = Value::from_raw(platform.load(cell.value_word(), Acquire));
        if matches!(LockWord::unpack(word), LockWord::Free(_)) && !value.is_absent() {
            return Ok(value);
        }
        self.read(cell)
    }

    /// What stands in a cell just now: of no state, and not logged. For estimates, which may be wrong. `None`: the attempt has written there itself.
    #[inline]
    pub fn glance(&self, cell: CellAddress) -> Option<Value> {
        // Relaxed: nothing is followed.
        let load = |word| self.platform().load(word, Relaxed);
        let is_ours = matches!(LockWord::unpack(load(cell.lock_word())), LockWord::Locked(by) if self.is_mine(by));
        (!is_ours).then(|| Value::from_raw(load(cell.value_word())))
    }

    /// The rest of it where the log goes on in another piece, or is long. `None`: it cannot grow, or as above.
    #[inline(never)]
    fn read_late(&mut self, cell: CellAddress, word: u64, value: Value) -> Option<Value> {
        let is_noted = self.reads >= MANY && self.repeats.has(self.seq, cell, word);
        if is_noted {
            // Acquire: as in `log_read`.
            self.platform().fence(Acquire);
        } else {
            let entry = self.read_entry().ok()?;
            self.log_read(entry, cell, Version(word), value);
        }
        if self.platform().load(cell.lock_word(), Relaxed) != word {
            return None;
        }
        if !is_noted {
            self.count_read();
            self.note_repeat(cell, word);
        }
        Some(value)
    }

    #[inline]
    fn read_entry(&mut self) -> Result<WordAddress, Full> {
        if self.reads == self.read_log.capacity() {
            self.grow_read_log()?;
        }
        let entry = self.read_log.look_at(self.reads);
        if self.reads >= MANY {
            // Each of the next ones is to be looked up.
            self.read_log.look_away();
        }
        Ok(entry)
    }

    /// The last entry of a long log, which is not looked at.
    #[cold]
    pub(super) fn last_of_many(&self) -> Option<WordAddress> {
        (self.reads > MANY).then(|| self.read_log.address(self.reads - 1))
    }

    /// What was just counted, in a long log.
    #[inline]
    fn note_repeat(&mut self, cell: CellAddress, what: u64) {
        if self.reads > MANY {
            self.repeats.note(self.seq, cell, what);
        }
    }

    /// All that is not the everyday case. Bounded: every turn means that somebody else has made a step.
    #[cold]
    #[inline(never)]
    fn read_slowly(&mut self, cell: CellAddress) -> Result<Value, Stop> {
        if self.reads_visibly() {
            return self.read_visibly(cell);
        }
        loop {
            let platform = self.arena.platform();
            let word = platform.load(cell.lock_word(), Acquire);
            let value = Value::from_raw(platform.load(cell.value_word(), Acquire));
            if !self.still(self.active) || self.active == 0 || self.is_foreign() {
                return Err(self.lost());
            }
            let look = match LockWord::unpack(word) {
                LockWord::Free(version) => Look::Value(version, value),
                LockWord::Locked(by) if self.is_mine(by) => {
                    let entry = self.own_entry(by.entry, cell);
                    let entry = entry.ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
                    return Ok(Value::from_raw(entry.own_value(self.arena())));
                }
                LockWord::Locked(by) => self.look_past_lock(cell, word, by, value)?,
            };
            let Look::Value(version, seen) = look else {
                self.platform().spin_hint();
                continue;
            };
            if !self.snapshot.has(version) {
                self.extend(version)?;
                continue;
            }
            if self.take_read(cell, word, value, (version, seen))? {
                return Ok(seen);
            }
        }
    }

    /// Notes what a look at a cell gave, `word` and `value` standing in it. False: the cell has changed since, and nothing is noted.
    pub(super) fn take_read(
        &mut self,
        cell: CellAddress,
        word: u64,
        value: Value,
        (version, seen): (Version, Value),
    ) -> Result<bool, Stop> {
        let entry = self.read_entry().map_err(|full| self.fail(full.into()))?;
        self.log_read(entry, cell, version, seen);
        let platform = self.arena.platform();
        // The old value, taken under a lock, may have been replaced by a write-back while the lock still stands.
        let took_cell = seen == value;
        let stands = platform.load(cell.lock_word(), Relaxed) == word
            && (!took_cell || platform.load(cell.value_word(), Relaxed) == value.raw());
        if stands {
            self.count_read();
        }
        Ok(stands)
    }

    /// The cell is locked by somebody else: whose value counts is a matter of his status.
    #[inline(never)]
    pub(super) fn look_past_lock(
        &mut self,
        cell: CellAddress,
        word: u64,
        by: LockedBy,
        value: Value,
    ) -> Result<Look, Stop> {
        let arena = &self.arena;
        let slot =
            Slot::of(arena, by.participant).ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
        let Some(entry) = foreign_entry(arena, slot, by.entry, cell) else {
            return self.unless_unchanged(cell, word);
        };
        let old_version = Version(entry.old_version(arena));
        let status = status_of(arena, slot)?;
        if status.seq != by.seq || status.state == State::Idle {
            return self.unless_unchanged(cell, word);
        }
        let look = match status.state {
            State::Active | State::Waiting | State::Idle => Look::Value(old_version, value),
            State::Committed => {
                // Read after the status: only then are they final.
                let version = arena.platform().load(slot.commit_version(), Relaxed);
                match entry.new_value(arena) {
                    HELD => Look::Value(old_version, value),
                    new => Look::Value(Version(version), Value::from_raw(new)),
                }
            }
            State::Aborted => {
                // AcqRel: passes on what the cell's last committer released.
                let free = LockWord::free(old_version);
                let _ = arena.platform().compare_exchange(cell.lock_word(), word, free, AcqRel, Relaxed);
                return Ok(Look::Again);
            }
            // Whatever becomes of it, what it only holds stays.
            State::Prepared if entry.new_value(arena) == HELD => Look::Value(old_version, value),
            State::Prepared => {
                self.meet_prepared(slot, by)?;
                return Ok(Look::Again);
            }
        };
        // Where the lock has gone the words may be of its owner's next attempt, and the version later than the clock is seen to be: no damage.
        // Acquire: pairs with that attempt's F1, which stands before its entries, and its F2, which stands before its version.
        arena.platform().fence(Acquire);
        let stands = arena.platform().load(cell.lock_word(), Relaxed) == word;
        Ok(if stands { look } else { Look::Again })
    }

    /// No entry was found for a lock, or its attempt is over: if it still stands, and nobody is left who could take it away, the space is damaged. Else the
    /// owner goes on, and meets the damage himself.
    pub(super) fn unless_unchanged(&self, cell: CellAddress, word: u64) -> Result<Look, Stop> {
        let LockWord::Locked(by) = LockWord::unpack(word) else { return Ok(Look::Again) };
        let arena = self.arena();
        let platform = arena.platform();
        platform.fence(Acquire);
        let stands = platform.load(cell.lock_word(), Acquire) == word;
        if stands && (self.is_orphan(by) || participant_is_dead(arena, by.participant)) {
            return Err(self.corrupt("a lock word", cell.lock_word(), word));
        }
        Ok(Look::Again)
    }

    /// True for a lock whose attempt is long over: nothing of ours leaves one behind.
    fn is_orphan(&self, by: LockedBy) -> bool {
        let arena = self.arena();
        match Slot::of(arena, by.participant).map(|slot| status_of(arena, slot)) {
            Some(Ok(status)) => status.seq != by.seq || status.state == State::Idle,
            _ => true,
        }
    }

    /// Notes a read of a cell that the attempt has locked. Whoever has taken the lock since has stopped it before.
    pub(super) fn note_read(&mut self, cell: CellAddress, version: Version, value: Value) -> Result<(), Stop> {
        let entry = self.read_entry().map_err(|full| self.fail(full.into()))?;
        self.log_read(entry, cell, version, value);
        if !self.still(self.active) {
            return Err(self.lost());
        }
        self.count_read();
        Ok(())
    }

    /// This attempt works with the object behind `handle`, which its process holds just now: it stays as long as the attempt goes on, and
    /// until its writes exist, even if the process lets go of it. Where an object is opened it is done by itself.
    ///
    /// Cost: an entry of the own read log, unless it was the last one named.
    ///
    /// # Errors
    /// `Full` if the log cannot grow.
    #[inline]
    pub fn name(&mut self, handle: Handle) -> Result<(), Stop> {
        if self.named == (self.seq, handle.raw()) || self.active == 0 || self.is_foreign() {
            return Ok(());
        }
        let constant = self.arena.constant();
        if self.reads >= MANY && self.repeats.has(self.seq, constant, handle.raw()) {
            return Ok(());
        }
        let entry = match self.read_log.address_at_once(self.reads) {
            Some(entry) => entry,
            None => self.read_entry().map_err(|full| self.fail(full.into()))?,
        };
        let platform = self.arena.platform();
        // Relaxed: counted with a release.
        platform.store(entry, constant.index(), Relaxed);
        platform.store(entry.offset(1), 0, Relaxed);
        platform.store(entry.offset(2), Value::handle(handle).raw(), Relaxed);
        self.count_read();
        self.settled += 1;
        self.named = (self.seq, handle.raw());
        self.note_repeat(constant, handle.raw());
        // The hazard rule: who finds the object in use behind this is found by whoever would free it, though the process may hold it no more.
        self.platform().light_fence();
        Ok(())
    }

    /// Writes the entry of a read that is not counted yet. It protects what the value names from being reclaimed, which is why a handle is
    /// looked at once more after a fence (the hazard rule), and is counted only then: whoever looks at the log may follow what is counted.
    #[inline(always)]
    fn log_read(&mut self, entry: WordAddress, cell: CellAddress, version: Version, value: Value) {
        let platform = self.arena.platform();
        platform.store(entry, cell.index(), Relaxed);
        platform.store(entry.offset(1), version.0, Relaxed);
        platform.store(entry.offset(2), value.raw(), Relaxed);
        if value.as_handle().is_some() {
            platform.light_fence();
        }
        // Acquire: the second look at the cell comes after the first look's loads.
        platform.fence(Acquire);
    }

    #[inline(always)]
    fn count_read(&mut self) {
        self.reads += 1;
        // Release: whoever scans this log sees the entry whole.
        self.platform().store(self.slot.read_log_length(), self.reads, Release);
    }
}
