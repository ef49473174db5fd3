//! Visible reads: what is read is locked, so that nobody changes it before the attempt is over.
//!
//! Reads are invisible as a rule: nobody knows of them, and whoever writes what somebody else has read makes that one fail. An attempt
//! reads visibly if it has the privilege token, or if its transaction has lost [`crate::contention::Limits::visible_attempts`]
//! attempts and the token was not to be had: whoever holds that may stand still for long, and readers wait for nobody.
//!
//! **Protocol**
//!
//! 1. A free cell: its lock is taken with an entry that *holds* it (value and version stay), then the read is logged. A write makes
//!    a write of the hold.
//! 2. Somebody's lock, irrevocable: the owner is stopped, or waited for where he is COMMITTED; then as 1. Such an attempt
//!    holds everything that it has read, so its validation cannot fail.
//! 3. Somebody's lock, if the attempt can run again: an owner whom the policy has us stop is stopped (with the token: everybody who is
//!    undecided), then as 1. Any other is *passed*, as by an invisible read: a reader waits for nobody. With the token a COMMITTED
//!    one has first the time that a write-back takes, for what has been passed can still be changed.
//! 4. Versions. All that is held is the present. While nothing has been passed the snapshot is of no use, and a version that
//!    is newer is as good as any: only the clock is raised past it (I5). After the first cell that was passed a newer version
//!    extends the snapshot as ever: every read is validated.
//!
//! **Why all reads are of one state** (I2): let p be the moment at which the first cell was passed. What was held before is what it was
//! at p: nobody but us could change it, or we were stopped before, and the status is looked at after each cell. What is taken
//! afterwards has a version of the snapshot's past, which is older than p, so it stood there at p, too; or all is validated
//! and the snapshot is new.
//!
//! Such an attempt has no other snapshot, as between attempts: no cell is of its past, so the quick ways of `read` and
//! `write` do not know of any of this and pay nothing for it.

use std::sync::atomic::Ordering::Acquire;

use super::Participant;
use super::read::Look;
use super::snapshot::pass_clock;
use crate::contention::Verdict;
use crate::error::Stop;
use crate::participant::{Slot, status_of};
use crate::platform::Platform;
use crate::word::{AttemptId, CellAddress, LockWord, LockedBy, State, Status, Value, Version};

impl<P: Platform> Participant<P> {
    /// The attempt that has just begun reads visibly.
    #[cold]
    pub(super) fn make_visible(&mut self) {
        if self.reads_visibly() {
            return;
        }
        self.visible_in = self.seq;
        self.visible_snapshot = self.snapshot;
        self.passed = 0;
        self.snapshot.clear();
    }

    /// Whether the attempt under way reads visibly.
    #[inline]
    pub(super) fn reads_visibly(&self) -> bool {
        self.visible_in == self.seq
    }

    /// True if all that has been read is locked by the attempt itself: there is nothing to validate, and whoever takes a lock has
    /// stopped the attempt before.
    #[inline]
    pub(super) fn holds_all_reads(&self) -> bool {
        self.reads_visibly() && self.passed == 0
    }

    /// Whether a version may be taken as it is. False: the snapshot has been moved past it, look again.
    #[cold]
    pub(super) fn admits(&mut self, version: Version) -> Result<bool, Stop> {
        let snapshot = if self.reads_visibly() { self.visible_snapshot } else { self.snapshot };
        if snapshot.has(version) {
            return Ok(true);
        }
        if self.holds_all_reads() {
            pass_clock(self.arena(), version)?;
            return Ok(true);
        }
        self.extend(version)?;
        Ok(false)
    }

    /// Bounded as `write` is, and without a pause of its own: between the stop of an owner and the steal of its lock it would only
    /// give that owner time to come back.
    #[cold]
    #[inline(never)]
    pub(super) fn read_visibly(&mut self, cell: CellAddress) -> Result<Value, Stop> {
        loop {
            let word = self.platform().load(cell.lock_word(), Acquire);
            let value = Value::from_raw(self.platform().load(cell.value_word(), Acquire));
            if !self.still(self.active) || self.active == 0 || self.is_foreign() {
                return Err(self.lost());
            }
            let held = match LockWord::unpack(word) {
                LockWord::Free(version) => self.admits(version)? && self.lock(cell, word, version, None)?,
                LockWord::Locked(by) if self.is_mine(by) => {
                    let entry = self.own_entry(by.entry, cell);
                    let entry = entry.ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
                    return Ok(Value::from_raw(entry.own_value(self.arena())));
                }
                LockWord::Locked(by) if self.is_irrevocable() => self.write_past_lock(cell, word, by, None)?,
                LockWord::Locked(by) => {
                    if let Some(seen) = self.pass_or_stop(cell, word, by, value)? {
                        return Ok(seen);
                    }
                    false
                }
            };
            if held {
                let entry = self.entry(self.entries - 1);
                let version = Version(entry.old_version(self.arena()));
                let value = Value::from_raw(entry.old_value(self.arena()));
                self.note_read(cell, version, value)?;
                return Ok(value);
            }
        }
    }

    /// For who can run again. `None`: look again.
    fn pass_or_stop(
        &mut self,
        cell: CellAddress,
        word: u64,
        by: LockedBy,
        value: Value,
    ) -> Result<Option<Value>, Stop> {
        if self.stops_for_a_read(cell, word, by)? {
            return Ok(None);
        }
        let Look::Value(version, seen) = self.look_past_lock(cell, word, by, value)? else {
            self.platform().spin_hint();
            return Ok(None);
        };
        if !self.visible_snapshot.has(version) {
            self.extend(version)?;
            return Ok(None);
        }
        if !self.take_read(cell, word, value, (version, seen))? {
            return Ok(None);
        }
        self.passed += 1;
        Ok(Some(seen))
    }

    /// True if the owner was to be stopped, and was: its locks can be taken.
    fn stops_for_a_read(&mut self, cell: CellAddress, word: u64, by: LockedBy) -> Result<bool, Stop> {
        let arena = &self.arena;
        let slot =
            Slot::of(arena, by.participant).ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
        let status = status_of(arena, slot)?;
        if status.seq != by.seq {
            return Ok(false);
        }
        if status.state == State::Committed && self.standing.has_token() {
            self.spin_through_write_back(slot, status);
        }
        if !matches!(status.state, State::Active | State::Waiting) {
            return Ok(false);
        }
        self.raise_tick();
        let is_to_stop = self.judge(status.state, self.contender_at(slot)) == Verdict::Stop;
        if is_to_stop {
            self.stop(slot, AttemptId { participant: by.participant, seq: by.seq }, status.state);
        }
        Ok(is_to_stop)
    }

    /// Bounded by the time that a wake-up takes.
    fn spin_through_write_back(&self, slot: Slot, committed: Status) {
        let (began, spin_ns) = (self.platform().now_ns(), self.platform().spin_ns());
        while self.platform().load(slot.status(), Acquire) == committed.pack()
            && self.platform().now_ns().saturating_sub(began) < spin_ns
        {
            self.platform().spin_hint();
        }
    }
}
