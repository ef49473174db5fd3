//! The end that leaves no trace.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};

use super::{Hooks, Outcome, Participant, Pause};
use crate::contention::Standing;
use crate::error::Stop;
use crate::participant::EntryKind;
use crate::platform::Platform;
use crate::waiting;
use crate::word::{ENTRY_MASK, Handle, LockWord, LockedBy, State, Version};

impl<P: Platform> Participant<P> {
    /// Ends the attempt for good: nothing that it wrote exists, and the transaction's age ends. Between attempts it
    /// forgets that age, and gives back what the logs of a large one have grown by. Hooks that a panic has left are dropped.
    pub fn abort(&mut self) {
        self.end_in_vain();
        self.hooks = Hooks::default();
    }

    /// What [`Self::abort`] has to do still where the last attempt has committed, and nobody's hooks are here: nearly nothing.
    #[inline]
    pub fn abort_committed(&mut self) {
        if self.was_refused || self.has_been_granted_patience() {
            self.end_in_vain();
        }
    }

    /// The same for whoever runs the hooks.
    pub(super) fn end_in_vain(&mut self) {
        self.abort_attempt();
        self.priority = None;
        self.pause = Pause::No;
        // In the child of a fork the slot is the parent's.
        if !self.is_foreign() && (self.failures != 0 || self.has_been_granted_patience()) {
            self.forget_failures();
        }
        self.failures = 0;
        self.ended_by = None;
        self.counters.began_ns = None;
        // What one has grown by that has found the space full others need more.
        if std::mem::take(&mut self.was_refused) {
            self.trim_logs();
            self.collect();
        } else if self.has_large_logs && !self.is_foreign() {
            self.shrink_logs();
        }
    }

    /// By whoever stopped an attempt that has failed by itself before it heard of that.
    fn has_been_granted_patience(&self) -> bool {
        self.platform().load(self.slot.hung_limit(), Relaxed) != self.limits.hung_ns
    }

    /// Ends the attempt by the word of its body, which is to be run again: nothing that it wrote exists. The transaction keeps its age and what it has lost, which is no more than before, unless
    /// somebody has stopped the attempt already. Who has lost nothing since he last gave up is in nobody's way, and nobody is put off for him.
    pub fn abandon(&mut self) {
        let (stops, failures) = (self.counters.stops, self.failures);
        let is_stopped = !self.still_undecided();
        self.lost();
        if !is_stopped {
            (self.counters.stops, self.failures) = (stops, failures);
            self.forget_if_nothing_was_lost();
        }
    }

    /// Somebody stopped the attempt, or it lost: clear up, come back with the same age.
    #[cold]
    #[inline(never)]
    pub(super) fn lost(&mut self) -> Stop {
        if self.is_foreign() {
            self.forget();
            return Stop::Forked;
        }
        if self.active != 0 {
            self.counters.stops += 1;
            // Who has lost by himself waits for nobody: what stands there is the name of one who came too late, or stopped another attempt.
            if self.platform().load(self.slot.status(), Relaxed) != self.status(State::Aborted) {
                self.platform().store(self.slot.stopped_by(), 0, Relaxed);
            }
            // Unless it has met a write-back in its validation.
            if self.pause == Pause::No {
                self.pause = Pause::Stopped;
            }
            self.failures += 1;
            self.most_reads = self.most_reads.max(self.reads);
            self.abort_attempt();
        }
        Stop::Conflict
    }

    /// The attempt cannot go on: clear up, pass the reason on.
    pub(crate) fn fail(&mut self, reason: Stop) -> Stop {
        self.abort_attempt();
        if reason.wants_room() {
            self.was_refused = true;
            // The next try begins its record at the beginning of the ring, where most fits.
            self.record_start = 0;
        }
        if !matches!(reason, Stop::Conflict | Stop::Retry) {
            self.ended_by = Some((self.seq, reason.clone()));
        }
        reason
    }

    /// Why the last attempt could not go on, if it has not just lost: for a body that went on all the same, and cannot be told from one that lost.
    pub(super) fn why_it_ended(&mut self) -> Option<Stop> {
        // The number is the next attempt's by then.
        self.ended_by.take().filter(|(seq, _)| *seq == self.seq).map(|(_, reason)| reason)
    }

    /// ABORTED, locks back, blocks back, IDLE, bells. A crash at any step leaves what recovery of an aborted attempt finds.
    pub(super) fn abort_attempt(&mut self) {
        if self.active == 0 {
            return;
        }
        if self.is_foreign() {
            return self.forget();
        }
        let arena = &self.arena;
        let platform = arena.platform();
        let [aborted, committed] = [State::Aborted, State::Committed].map(|state| self.status(state));
        let mut is_committed = false;
        for state in [State::Active, State::Prepared, State::Waiting] {
            // AcqRel: takes all own locks at once. At most one of the three succeeds; none if somebody was faster.
            match platform.compare_exchange(self.slot.status(), self.status(state), aborted, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => is_committed = now == committed,
            }
        }
        // An observer has panicked, behind the write-back: what is done is done.
        if !is_committed {
            self.observe_end(Outcome::Aborted);
            for number in 0..self.entries {
                self.undo(number);
            }
        }
        let held = self.entries != 0;
        self.rest();
        // Pairs with F3 in `conflict` and the fence of the second row.
        self.platform().fence(SeqCst);
        self.ring_queue();
        if held && self.anybody_sleeps() {
            self.for_each_locked(|arena, _, cell| self.note_woken(waiting::ring_cell(arena, cell)));
        }
        self.pay_owed_wake();
        self.ring_victims();
        self.entries = 0;
        self.discards = 0;
        if self.standing.has_token() {
            self.end_privilege();
        }
    }

    /// In the child of a fork: the attempt goes on in the parent, nothing shared is touched here.
    pub(super) fn forget(&mut self) {
        self.active = 0;
        self.snapshot.clear();
        self.reads = 0;
        self.settled = 0;
        self.entries = 0;
        self.discards = 0;
        self.owed_wake = None;
        self.standing = Standing::Ordinary;
        self.pause = Pause::No;
    }

    fn undo(&mut self, number: u64) {
        let arena = &self.arena;
        let entry = self.entry(number);
        match entry.target(arena) {
            Some((EntryKind::Write | EntryKind::Hold, cell)) => {
                let by = LockedBy { participant: self.id, entry: number & ENTRY_MASK, seq: self.seq };
                let free = LockWord::free(Version(entry.old_version(arena)));
                // AcqRel: only while the lock is ours; a thief may have it. Passes on what the last committer released.
                let _ =
                    arena.platform().compare_exchange(cell.lock_word(), LockWord::locked(by), free, AcqRel, Relaxed);
            }
            Some((EntryKind::Allocation, _)) => {
                if let Some(handle) = Handle::from_raw(entry.old_version(arena)) {
                    self.cache.free(arena, self.id, handle);
                }
            }
            Some((EntryKind::Discard, _)) | None => {}
        }
    }
}
