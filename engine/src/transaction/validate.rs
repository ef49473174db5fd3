//! Whether what was read still holds.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{Participant, Pause, Want};
use crate::error::{Corrupt, Stop};
use crate::participant::{EntryKind, HELD, READ_WORDS, Slot, foreign_entry, participant_is_dead, status_of};
use crate::platform::Platform;
use crate::word::{AttemptId, CellAddress, LockWord, LockedBy, State, Version, WordAddress};

/// What validation finds about one read.
enum Finding {
    Holds,
    Changed,
    /// Somebody made a step: look again.
    Again,
}

impl<P: Platform> Participant<P> {
    /// True if every cell of the read log still has the version that was read and nobody is about to change one. `prepared`:
    /// my own status is PREPARED, so I decide by rank instead of waiting (two that read what the other writes: one sees the
    /// other PREPARED, because each fences between its status and its validation).
    ///
    /// `Err` only for damage and interrupted waits. Cost: one load a read, nothing where all are settled.
    pub(super) fn validate(&mut self, prepared: bool) -> Result<bool, Stop> {
        if self.reads_are_settled() {
            return Ok(true);
        }
        if let Some(start) = self.read_log.early_run(0, self.reads) {
            return self.run_holds(start, self.reads, prepared);
        }
        let mut read = 0;
        while read < self.reads {
            let (start, room) = self.read_log.run(read);
            let run = room.min(self.reads - read);
            if !self.run_holds(start, run, prepared)? {
                return Ok(false);
            }
            read += run;
        }
        Ok(true)
    }

    /// A cell has just been locked over `version`. If it is the one that was read last, and had that version, the read is settled: whoever
    /// takes the lock away has stopped the attempt before, and a lock is never given back before its end. At most one lock for each
    /// entry of the log: a cell is locked once, and read for the log no more.
    #[inline(always)]
    pub(super) fn settle_last_read(&mut self, cell: CellAddress, version: Version) {
        let platform = self.arena.platform();
        // Without a read there is none before it: no such one is in the log.
        let last = self.read_log.address_at_once(self.reads.wrapping_sub(1)).or_else(|| self.last_of_many());
        // Relaxed: this participant wrote them.
        let is_of_it = |read: WordAddress| {
            platform.load(read, Relaxed) == cell.index() && platform.load(read.offset(1), Relaxed) == version.0
        };
        self.settled += u64::from(last.is_some_and(is_of_it));
    }

    /// True if there is nothing to validate: each read is of a cell that was locked right behind it, or of the one that never changes.
    #[inline(always)]
    pub(super) fn reads_are_settled(&self) -> bool {
        self.settled == self.reads
    }

    /// The same for `reads` of the log side by side.
    #[inline(always)]
    fn run_holds(&mut self, start: WordAddress, reads: u64, prepared: bool) -> Result<bool, Stop> {
        for read in 0..reads {
            if !self.holds(start.offset(read * READ_WORDS), prepared)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[inline(always)]
    fn holds(&mut self, entry: WordAddress, prepared: bool) -> Result<bool, Stop> {
        let platform = self.arena.platform();
        // Relaxed: this participant wrote them.
        let index = platform.load(entry, Relaxed);
        // The log lies where others can write by accident.
        if index >= self.arena.layout().geometry().space_words - 1 {
            return Err(self.corrupt("a read log", entry, index));
        }
        let cell = CellAddress::new(WordAddress::new(index));
        let version = Version(platform.load(entry.offset(1), Relaxed));
        let word = platform.load(cell.lock_word(), Acquire);
        if word == LockWord::free(version) {
            return Ok(true);
        }
        // An attempt without entries holds no lock, and none of its earlier ones' is left.
        match LockWord::entry_beside(word, self.first_lock) {
            Some(entry) => self.own_read_holds(cell, version, word, entry),
            None => self.changed_read_holds(cell, version, word, prepared),
        }
    }

    /// The lock word of a read cell is not what it was: `word` was found.
    #[inline(never)]
    fn changed_read_holds(
        &mut self,
        cell: CellAddress,
        version: Version,
        word: u64,
        prepared: bool,
    ) -> Result<bool, Stop> {
        match LockWord::unpack(word) {
            LockWord::Free(now) => Ok(now == version),
            LockWord::Locked(_) => self.locked_read_holds(cell, version, prepared),
        }
    }

    /// A cell that this attempt has read and written.
    #[inline]
    fn own_read_holds(&self, cell: CellAddress, version: Version, word: u64, entry: u64) -> Result<bool, Stop> {
        match self.own_entry(entry, cell) {
            Some(entry) => Ok(entry.old_version(self.arena()) == version.0),
            None => Err(self.corrupt("a lock word", cell.lock_word(), word)),
        }
    }

    #[cold]
    fn locked_read_holds(&mut self, cell: CellAddress, version: Version, prepared: bool) -> Result<bool, Stop> {
        loop {
            let word = self.platform().load(cell.lock_word(), Acquire);
            let finding = match LockWord::unpack(word) {
                LockWord::Free(now) if now == version => Finding::Holds,
                LockWord::Free(_) => Finding::Changed,
                LockWord::Locked(by) if self.is_mine(by) => {
                    return self.own_read_holds(cell, version, word, by.entry);
                }
                LockWord::Locked(by) => self.foreign_read_holds(cell, word, by, version, prepared)?,
            };
            match finding {
                Finding::Holds => return Ok(true),
                Finding::Changed => return Ok(false),
                Finding::Again => self.platform().spin_hint(),
            }
            if self.active != 0 && !self.still_undecided() {
                return Ok(false);
            }
        }
    }

    fn foreign_read_holds(
        &mut self,
        cell: CellAddress,
        word: u64,
        by: LockedBy,
        version: Version,
        prepared: bool,
    ) -> Result<Finding, Stop> {
        let arena = &self.arena;
        let slot =
            Slot::of(arena, by.participant).ok_or_else(|| self.corrupt("a lock word", cell.lock_word(), word))?;
        let Some(entry) = foreign_entry(arena, slot, by.entry, cell) else {
            return self.unless_unchanged(cell, word).map(|_| Finding::Again);
        };
        let old_version = entry.old_version(arena);
        let status = status_of(arena, slot)?;
        if status.seq != by.seq || status.state == State::Idle {
            return self.unless_unchanged(cell, word).map(|_| Finding::Again);
        }
        // What counts of a COMMITTED one is what it leaves, and that was read through its lock, if it was read since. Versions rise
        // (I5), so what it leaves is never taken for what it found. Read after the status: final, if the lock still stands.
        let decided = matches!(status.state, State::Committed | State::Prepared);
        let is_held = decided && entry.new_value(arena) == HELD;
        let present = match status.state {
            State::Committed if !is_held => arena.platform().load(slot.commit_version(), Relaxed),
            _ => old_version,
        };
        arena.platform().fence(Acquire);
        if arena.platform().load(cell.lock_word(), Acquire) != word {
            return Ok(Finding::Again);
        }
        if present != version.0 {
            return Ok(Finding::Changed);
        }
        if status.state == State::Committed && !is_held && prepared && self.changes_anything() {
            self.note_write_back(cell, word, by)?;
            return Ok(Finding::Changed);
        }
        if status.state != State::Prepared || is_held {
            return Ok(Finding::Holds);
        }
        if !prepared {
            self.meet_prepared(slot, by)?;
            return Ok(Finding::Again);
        }
        // Both prepared: the higher stops the lower, the lower gives way. Nobody waits.
        if self.contender().ranks_above(&self.contender_at(slot)) {
            self.stop(slot, AttemptId { participant: by.participant, seq: by.seq }, State::Prepared);
            return Ok(Finding::Again);
        }
        Ok(Finding::Changed)
    }

    /// Whether the attempt does more than hold what it has read.
    #[cold]
    fn changes_anything(&self) -> bool {
        (0..self.entries).any(|number| {
            let target = self.entry(number).target(&self.arena);
            target.is_some_and(|(kind, _)| kind != EntryKind::Hold)
        })
    }

    /// Whoever has read from a COMMITTED one, and changes something, commits after its write-back: until then its new blocks are
    /// PRIVATE, and no other may discard one. The dead one's is finished here, or as much of it as `cell` needs, whose lock is `word`; for the
    /// living the next attempt waits in the second row, and holds nothing meanwhile.
    fn note_write_back(&mut self, cell: CellAddress, word: u64, by: LockedBy) -> Result<(), Corrupt> {
        let owner = AttemptId { participant: by.participant, seq: by.seq };
        if participant_is_dead(&self.arena, by.participant) {
            self.finish_dead(cell, owner)?;
            if self.platform().load(cell.lock_word(), Relaxed) != word {
                return Ok(());
            }
        }
        self.pause = Pause::Row(cell, Want::WriteBack(word));
        Ok(())
    }

    pub(super) fn still_undecided(&self) -> bool {
        let word = self.platform().load(self.slot.status(), Acquire);
        word == self.active || word == self.status(State::Prepared)
    }
}
