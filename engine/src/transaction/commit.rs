//! The end that makes the writes exist.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::{Outcome, Participant, SAMPLE};
use crate::allocator;
use crate::arena::HotWord;
use crate::collection;
use crate::error::Stop;
use crate::participant::{EntryKind, is_over};
use crate::platform::Platform;
use crate::waiting;
use crate::word::{AttemptId, Handle, LockWord, State, Status, Version};

/// State of a record that is being written.
pub(crate) const RECORD_OPEN: u64 = 0;
/// State of a record whose values stand in their cells.
pub(crate) const RECORD_DONE: u64 = 1;

impl<P: Platform> Participant<P> {
    /// Commits. An attempt that wrote nothing has nothing to do: its snapshot was consistent all along.
    ///
    /// # Errors
    /// `Conflict`: somebody else went first; run the body again. Where there is one processor it may sleep for who asks for a lull, and end
    /// there as any wait: `Interrupted`, `TimedOut`, `Forked`. Not who is irrevocable.
    #[inline(always)]
    pub fn commit(&mut self) -> Result<(), Stop> {
        // There is no snapshot between attempts, and none of one that reads visibly.
        if self.snapshot.is_none() || !self.is_surely_at_home() {
            return self.commit_slowly();
        }
        if self.entries != 0 {
            return self.commit_writes();
        }
        self.commit_reads();
        Ok(())
    }

    #[inline(always)]
    fn commit_reads(&mut self) {
        self.observe_end(Outcome::ReadOnly);
        self.rest();
        self.succeeded();
    }

    #[cold]
    #[inline(never)]
    fn commit_slowly(&mut self) -> Result<(), Stop> {
        if self.active == 0 || self.is_foreign() {
            return Err(self.lost());
        }
        if self.entries != 0 {
            return self.commit_writes();
        }
        if !self.snapshot.is_none() {
            self.commit_reads();
            return Ok(());
        }
        // It reads visibly, and holds nothing. What is written back, by whoever it is, is its own record and not the last one's.
        self.open_record();
        self.commit_writes()
    }

    #[inline(never)]
    fn commit_writes(&mut self) -> Result<(), Stop> {
        let version = self.decide()?;
        self.observe_decision(version);
        self.write_back(version);
        if self.discards != 0 {
            self.retire_discarded();
        }
        // Whatever takes long there, or goes wrong, all cells are free; but whoever sleeps beside the write-back finds it out at his next look: he is rung behind this.
        self.observe_end(Outcome::Committed(version));
        self.rest();
        self.ring_after_commit();
        if self.standing.has_token() {
            self.end_privilege();
        }
        self.succeeded();
        if self.discards != 0 {
            self.collect_if_due();
        }
        Ok(())
    }

    /// ACTIVE to PREPARED to COMMITTED. Gives the version of the commit.
    #[inline(always)]
    fn decide(&mut self) -> Result<Version, Stop> {
        loop {
            let Some(version) = self.prepare()? else {
                self.keep_lull()?;
                continue;
            };
            let (prepared, committed) = (self.status(State::Prepared), self.status(State::Committed));
            // Relaxed: released by the compare-exchange that follows.
            self.platform().store(self.slot.commit_version(), version.0, Relaxed);
            // The moment at which the writes exist. AcqRel: releases record and version to whoever reads through the lock.
            if self.platform().compare_exchange(self.slot.status(), prepared, committed, AcqRel, Relaxed).is_ok() {
                // Whoever begins a collection either finds us COMMITTED, and our record, or we find its number.
                if !P::EXCHANGE_IS_FENCE {
                    self.platform().fence(SeqCst);
                }
                self.stamps.use_up(version);
                return Ok(version);
            }
            // Bounded by how often it loses the processor in between: for less than 50 us nobody pushes it back, and without a validation
            // it takes less. And by the lulls that others ask for, each with the token, and each for one attempt.
            if !self.is_pushed_back() {
                return Err(self.lost());
            }
        }
    }

    /// With privilege, and put to sleep while it was PREPARED: it is ACTIVE again, and nothing is lost. Who has to validate much may be
    /// PREPARED for so long each time, and be pushed back for ever: it loses this attempt instead, and holds what it reads in the next.
    #[cold]
    fn is_pushed_back(&self) -> bool {
        self.standing.has_token() && self.holds_all_reads() && self.still(self.active)
    }

    /// ACTIVE to PREPARED, and all reads still hold. Gives the version of the commit; `None`: somebody asks for a lull.
    fn prepare(&mut self) -> Result<Option<Version>, Stop> {
        let prepared = self.status(State::Prepared);
        let validates = !self.reads_are_settled() && !self.holds_all_reads();
        // Before F2: if one is under way here, whoever commits over what we have read and see unchanged behind F2 knows of it.
        self.collection_known = validates.then(|| collection::under_way(self.arena()));
        if self.platform().compare_exchange(self.slot.status(), self.active, prepared, AcqRel, Relaxed).is_err() {
            return Err(self.lost());
        }
        // F2: everybody sees us PREPARED before we load the clock and look at what we read. Pairs with F1 in `begin` and
        // `extend`, and with the F2 of another committer (a Dekker handshake between two that read what the other writes).
        if !P::EXCHANGE_IS_FENCE {
            self.platform().fence(SeqCst);
        }
        let clock = self.arena().layout().hot(HotWord::VersionClock);
        let now = self.platform().load(clock, Acquire);
        let version = self.stamps.next(now).ok_or_else(|| self.corrupt("the version clock", clock, now))?;
        if self.is_asked_for_lull() {
            return Ok(None);
        }
        if validates && !self.validate(true)? {
            return Err(self.lost());
        }
        Ok(Some(version))
    }

    /// Values and blocks, then DONE, then locks; before all that, a collection under way learns of what is overwritten. The
    /// order of values and locks is what readers and recovery count on; DONE is read by nobody yet. A block is LIVE before any cell is free: whoever overwrites its name at
    /// once has to be able to retire it.
    fn write_back(&mut self, version: Version) {
        let arena = &self.arena;
        let platform = arena.platform();
        if collection::is_under_way(arena) {
            self.note_commit();
        }
        self.for_each_entry(|arena, entry| {
            if let Some(cell) = entry.written(arena) {
                // Release: whoever reads a handle from the cell sees the block behind it.
                arena.platform().store(cell.value_word(), entry.new_value(arena), Release);
            } else if let Some((EntryKind::Allocation, _)) = entry.target(arena)
                && let Some(handle) = Handle::from_raw(entry.old_version(arena))
            {
                allocator::publish(arena, handle);
            }
        });
        let header = self.record_ring.address(self.record_start);
        platform.store(header.offset(1), version.0, Relaxed);
        // Release: a record that is DONE is whole, and its values stand in their cells.
        platform.store(header.offset(2), RECORD_DONE, Release);
        let free = LockWord::free(version);
        self.for_each_entry(|arena, entry| {
            if let Some(cell) = entry.written(arena) {
                // Release: pairs with the acquire in `read`. Whoever sees the free word sees the value stored before it.
                arena.platform().store(cell.lock_word(), free, Release);
            } else if let Some((EntryKind::Hold, cell)) = entry.target(arena) {
                let free = LockWord::free(Version(entry.old_version(arena)));
                // Release: passes on what the last committer released.
                arena.platform().store(cell.lock_word(), free, Release);
            }
            // What is discarded is retired when all cells are free: until then a cell still names the block.
        });
    }

    #[cold]
    #[inline(never)]
    fn note_commit(&self) {
        let (known, read) = (self.collection_known, self.logged());
        collection::note_commit(&self.arena, known, self.overwritten(), read, self.made());
    }

    /// The values that the commit overwrites.
    fn overwritten(&self) -> impl Iterator<Item = u64> {
        let entries = (0..self.entries).map(|number| self.entry(number));
        entries.filter_map(|entry| match entry.target(&self.arena) {
            Some((EntryKind::Write, _)) => Some(entry.old_value(&self.arena)),
            _ => None,
        })
    }

    /// What the attempt has read and named: cells and values.
    fn logged(&self) -> impl Iterator<Item = (u64, u64)> {
        let reads = (0..self.reads).map(|read| self.read_log.address(read));
        // Relaxed: this participant wrote them.
        reads.map(|entry| [entry, entry.offset(2)].map(|word| self.platform().load(word, Relaxed)).into())
    }

    /// The blocks that it has made.
    pub(super) fn made(&self) -> impl Iterator<Item = Handle> {
        let entries = (0..self.entries).map(|number| self.entry(number));
        entries.filter_map(|entry| match entry.target(&self.arena) {
            Some((EntryKind::Allocation, _)) => Handle::from_raw(entry.old_version(&self.arena)),
            _ => None,
        })
    }

    /// The attempt is decided and holds nothing any more: IDLE with the next seq.
    #[inline(always)]
    pub(super) fn rest(&mut self) {
        let platform = self.arena.platform();
        if self.reads != 0 {
            // Release: the log is cleared after the last use of what it protects, and after DONE.
            platform.store(self.slot.read_log_length(), 0, Release);
        }
        platform.store(self.slot.start(), 0, Release);
        let seq = (self.seq + 1) & ((1 << 40) - 1);
        // Release: whoever sees this seq gone sees the cells as we left them.
        platform.store(self.slot.status(), Status { seq, state: State::Idle }.pack(), Release);
        self.seq = seq;
        self.active = 0;
        self.snapshot.clear();
        self.reads = 0;
        self.settled = 0;
    }

    /// Wakes whoever waits for this attempt or for its cells. After IDLE: a waiter that looks too early waits again.
    fn ring_after_commit(&mut self) {
        let arena = &self.arena;
        // Pairs with F3 in `conflict` and with the fences after `announce`: either they see us over, or we see them.
        arena.platform().fence(SeqCst);
        self.ring_queue();
        if self.anybody_sleeps() {
            self.for_each_locked(|arena, kind, cell| {
                self.note_woken(match kind {
                    EntryKind::Write => waiting::ring_changes(arena, cell),
                    _ => waiting::ring_cell(arena, cell),
                });
            });
        }
        self.pay_owed_wake();
        self.ring_victims();
        self.record_start += 1 + self.entries;
        self.entries = 0;
    }

    /// A few loads of one shared line, and none of the buckets' lines, where nobody sleeps.
    pub(super) fn anybody_sleeps(&self) -> bool {
        let (summary, words) = self.arena().layout().wait_summary();
        // Relaxed: after the fence of the caller.
        let load = |word| self.platform().load(summary.offset(word), Relaxed);
        // As nearly all spaces have it: no branch between four loads.
        if words == 4 { load(0) | load(1) | load(2) | load(3) != 0 } else { (0..words).any(|word| load(word) != 0) }
    }

    /// Rings whoever queues on this participant. A name that is over is taken out, so that nobody is rung for ever.
    pub(super) fn ring_queue(&self) {
        let arena = self.arena();
        let word = arena.platform().load(self.slot.queue_to(), Acquire);
        if word != 0 {
            self.ring_in_queue(word);
        }
    }

    #[cold]
    #[inline(never)]
    fn ring_in_queue(&self, word: u64) {
        let arena = &self.arena;
        let Some(waiter) = AttemptId::unpack(word) else { return };
        if is_over(arena, waiter) {
            let _ = arena.platform().compare_exchange(self.slot.queue_to(), word, 0, AcqRel, Relaxed);
        } else if let Some(slot) = crate::participant::Slot::of(arena, waiter.participant) {
            let woken = waiting::ring(arena, slot);
            self.note_woken(woken);
            // The dead sleep whoever rings: now and then somebody has to ask.
            if woken != 0 && self.counters.attempts.is_multiple_of(SAMPLE) {
                self.forget_dead_waiter(self.slot);
            }
        }
    }

    pub(super) fn pay_owed_wake(&mut self) {
        if let Some(cell) = self.owed_wake {
            self.owed_wake = None;
            self.note_woken(waiting::ring_cell(&self.arena, cell));
        }
    }

    /// The transaction is through: its age ends.
    #[inline(always)]
    pub(super) fn succeeded(&mut self) {
        self.counters.commits += 1;
        self.priority = None;
        let has_stopped = !self.victims.is_empty();
        if self.failures != 0 || self.counters.began_ns.is_some() || self.has_large_logs || has_stopped {
            self.take_stock();
        }
    }

    /// The transaction is over, and what its lost attempts brought it.
    #[cold]
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        self.watches.lost_before_wait = 0;
        self.had_lull = false;
        self.most_reads = 0;
        self.platform().store(self.slot.starving(), 0, Relaxed);
        self.platform().store(self.slot.hung_limit(), self.limits.hung_ns, Relaxed);
    }

    /// What an attempt leaves that was not the first of its transaction, or was timed.
    #[cold]
    #[inline(never)]
    fn take_stock(&mut self) {
        if self.failures != 0 {
            self.forget_failures();
            // Of an attempt that wrote nothing and had the token for a lull.
            if self.standing.has_token() {
                self.end_privilege();
            }
        }
        // Of one that wrote nothing, too. Without a fence: what is owed is a ring that was heard, by whose ringer's fence all are found that it may be meant for; and who was
        // stopped is rung by an exchange of the word that he sleeps on, behind IDLE.
        self.pay_owed_wake();
        self.ring_victims();
        if let Some(began) = self.counters.began_ns.take() {
            let duration = self.platform().now_ns().saturating_sub(began);
            let mean = self.counters.mean_duration_ns;
            self.counters.mean_duration_ns = mean - mean / 8 + duration / 8;
        }
        if self.has_large_logs {
            self.shrink_logs();
        }
    }
}
