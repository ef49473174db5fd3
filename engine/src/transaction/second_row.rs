//! The second row: those who found no place at the owner of a cell, or wait for the end of a write-back. They hold nothing and sleep until an
//! attempt may get further than the last one.
//!
//! 1. Say what I wait for, set my bit in the cell's bucket, fence, look at the cell: still blocked, then sleep, timed.
//! 2. Awake, by a ring or by the time: take the bit back and look again. Not blocked any more: an attempt. If somebody rang,
//!    the ring was for one of the bucket, and I owe it to the next when my attempt is over. (Who waits only for the end of what he has read passes it on at once.)
//! 3. Still blocked: sleep on, twice as long. A ring that came meanwhile was for another cell of the bucket, or came too late:
//!    it goes on to the oldest of those *younger* than me. So it ends with the youngest, however many sleep here, and
//!    whoever it was for has heard it. (Passed to the oldest of all, it never ended: with 8 processes on 2 processors, each of
//!    which changed a thousand cells at once, it cost 170 attempts a commit.)
//!
//! 4. Starving, and passed by as many attempts of younger ones as are lost before the token is asked for: an attempt with the token, if it is to be had.
//!
//! Sleeps are timed because a ringer may be killed. After each the owner's life is looked at, and how long it has been silent: nobody else may be there.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::Participant;
use super::conflict::{FIRST_SLEEP_OF_WRITE_BACK_NS, SPINS_TO_A_LOOK};
use super::silence::Watch;
use crate::contention::{Standing, Verdict};
use crate::error::Stop;
use crate::participant::{Slot, WaitingFor, is_committed, is_over, participant_is_dead, status_of};
use crate::platform::Platform;
use crate::waiting::{self, Bell};
use crate::word::{AttemptId, CellAddress, LockWord, Priority, State};

/// The first sleep: so long a kill may go unnoticed.
const FIRST_SLEEP_NS: u64 = 2_000_000;
/// Sleeps double up to here: a look is a few loads and no attempt, and a killed ringer is missed for no longer than this.
const LONGEST_SLEEP_NS: u64 = 4_000_000;

/// What somebody in the second row wants of the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// To lock it.
    Lock,
    /// The same, and its owner was found COMMITTED, and is not met again in that.
    LockAfterWriteBack,
    /// That the owner with this lock word is through with it: it was read, and later owners are in nobody's way.
    WriteBack(u64),
}

/// By how many attempts somebody in the second row was passed, and by which last.
#[derive(Default)]
struct Passed {
    times: u64,
    by: Option<AttemptId>,
}

impl Want {
    fn is_of_the_lock(self) -> bool {
        !matches!(self, Self::WriteBack(_))
    }
}

impl<P: Platform> Participant<P> {
    /// Waits for the end of a write-back: most are over within a spin.
    pub(super) fn wait_for_write_back(&mut self, cell: CellAddress, want: Want) -> Result<(), Stop> {
        let spin_ns = self.platform().spin_ns();
        let began = self.platform().now_ns();
        while self.platform().now_ns().saturating_sub(began) < spin_ns {
            if !self.is_blocked(cell, want) {
                return Ok(());
            }
            (0..SPINS_TO_A_LOOK).for_each(|_| self.platform().spin_hint());
        }
        self.wait_in_second_row(cell, want)
    }

    /// Waits, holding nothing, until an attempt that wants `cell` may get further. Bounded by the owners' attempts, and by
    /// the deadline.
    #[inline(never)]
    pub(super) fn wait_in_second_row(&mut self, cell: CellAddress, mut want: Want) -> Result<(), Stop> {
        let mut sleep_ns = if want == Want::Lock { FIRST_SLEEP_NS } else { FIRST_SLEEP_OF_WRITE_BACK_NS };
        let (mut watch, mut passed) = (None, Passed::default());
        loop {
            let arena = &self.arena;
            let bell = Bell::look(arena, self.slot);
            let word = self.look_at_lock(cell);
            arena.platform().store(self.slot.waiting_for(), WaitingFor::Cell as u64, Release);
            waiting::announce(arena, cell, self.id);
            // Pairs with the fence after IDLE in `commit` and `abort`: either we see the cell free, or they see our bit (W1).
            arena.platform().fence(SeqCst);
            let slept = if self.is_blocked(cell, want) { self.sleep(bell, sleep_ns) } else { Ok(()) };
            if slept == Err(Stop::Forked) {
                return slept;
            }
            let arena = &self.arena;
            arena.platform().store(self.slot.waiting_for(), WaitingFor::Nothing as u64, Release);
            let rung = !waiting::withdraw(arena, cell, self.id);
            self.clear_own_place();
            let now = self.look_at_lock(cell);
            if slept.is_ok() && now == word {
                watch = self.look_after_owner(cell, word, watch);
                // It has become that meanwhile, and stands still in it, or is about to ring.
                if want == Want::Lock && watch.is_some_and(|watch| is_committed(&self.arena, watch.owner())) {
                    want = Want::LockAfterWriteBack;
                }
            }
            if slept.is_err() || !self.is_blocked(cell, want) {
                match slept {
                    Ok(()) if rung && want.is_of_the_lock() => self.owed_wake = Some(cell),
                    // There is no attempt at whose end it could be paid, or none that wants what was rung for.
                    _ if rung => self.pass_ring_on(cell),
                    _ => {}
                }
                return slept;
            }
            if rung {
                self.pass_ring_on(cell);
                if want.is_of_the_lock() && self.is_passed_for_long(now, &mut passed) {
                    return Ok(());
                }
            }
            sleep_ns = (sleep_ns * 2).min(LONGEST_SLEEP_NS);
        }
    }

    /// Whether who starves and was rung so often, each time behind another who had come later than himself, is to go on to an attempt with the token, if it is to be had. Sleeping he
    /// loses no attempt, and where the policy does not go by age those who come may be faster for ever.
    fn is_passed_for_long(&mut self, word: Option<u64>, passed: &mut Passed) -> bool {
        let by = self.later_owner(word);
        if by.is_none() || by == passed.by {
            return false;
        }
        *passed = Passed { times: passed.times + 1, by };
        let most = self.limits.privileged_attempts;
        let is_due = passed.times >= most && self.starves() && self.open_token(Standing::Privileged).is_some();
        if is_due {
            self.failures = self.failures.max(most);
        }
        is_due
    }

    /// The attempt that has a lock, if its transaction is younger than mine and runs without the token.
    fn later_owner(&self, word: Option<u64>) -> Option<AttemptId> {
        let LockWord::Locked(by) = LockWord::unpack(word?) else { return None };
        let owner = self.contender_at(Slot::of(self.arena(), by.participant)?);
        let is_later = !owner.privileged && self.contender().ranks_above(&owner);
        is_later.then_some(AttemptId { participant: by.participant, seq: by.seq })
    }

    /// The lock word of a cell, if there still is one. Who waits here is in no attempt, so what he waits for may go.
    fn look_at_lock(&self, cell: CellAddress) -> Option<u64> {
        self.space.look(|| self.lock_outside(cell))
    }

    /// Rings the oldest of those in the bucket of `cell` who are younger than this transaction.
    pub(super) fn pass_ring_on(&self, cell: CellAddress) {
        self.note_woken(waiting::ring_younger(self.arena(), cell, self.priority.unwrap_or(Priority(0))));
    }

    /// Ends the attempt of a lock's owner if its process is dead, or as much of it as `cell` needs; or if it has been silent for too long: who is in the place at it may
    /// be stopped, too. A dead one in the place at him goes from there.
    fn look_after_owner(&mut self, cell: CellAddress, word: Option<u64>, watch: Option<Watch>) -> Option<Watch> {
        let Some(LockWord::Locked(by)) = word.map(LockWord::unpack) else { return None };
        let slot = Slot::of(self.arena(), by.participant)?;
        let owner = AttemptId { participant: by.participant, seq: by.seq };
        if participant_is_dead(self.arena(), by.participant) {
            self.stop_dead_outside(cell, slot, owner);
            return None;
        }
        self.forget_dead_waiter(slot);
        Some(self.go_on_watching(watch, slot, owner))
    }

    /// Sees to a dead one's attempt, for whoever is in none himself: the cell may be gone.
    pub(super) fn stop_dead_outside(&mut self, cell: CellAddress, slot: Slot, owner: AttemptId) {
        let space = Arc::clone(&self.space);
        space.look(|| {
            if self.lock_outside(cell).is_some() {
                self.stop_dead(cell, slot, owner);
            }
        });
    }

    /// Whoever is in the place of one who is in no attempt waits for what is over, and was rung: he is stopped, or dead, or about to go. He is rung again, and keeps nobody away.
    fn clear_own_place(&self) {
        let word = self.platform().load(self.slot.queue_to(), Acquire);
        if word != 0 {
            self.ring_queue();
            // AcqRel: as where a name goes that is over. Lost: it has gone.
            let _ = self.platform().compare_exchange(self.slot.queue_to(), word, 0, AcqRel, Relaxed);
        }
    }

    /// Who was killed while he waited in somebody's one place keeps it from others until somebody looks: here, or in a recovery of all.
    pub(super) fn forget_dead_waiter(&self, slot: Slot) {
        let word = self.platform().load(slot.queue_to(), Acquire);
        if AttemptId::unpack(word).is_some_and(|waiter| participant_is_dead(self.arena(), waiter.participant)) {
            // AcqRel: as where a name goes that is over. Lost: somebody else has the place by now.
            let _ = self.platform().compare_exchange(slot.queue_to(), word, 0, AcqRel, Relaxed);
        }
    }

    /// True while the place at me is taken.
    fn is_queued(&self) -> bool {
        let queued = AttemptId::unpack(self.platform().load(self.slot.queue_to(), Acquire));
        queued.is_some_and(|waiter| !is_over(self.arena(), waiter))
    }

    /// True while an attempt of mine would end at `cell` again: a living attempt holds it, the policy would not have me stop
    /// it, and the one place at it is not to be had, or the one at me is taken: on whom somebody waits does not wait. (The latter is the owner
    /// itself, perhaps: about to sleep on an attempt of mine that is over. Trying at once would keep it from the processor.)
    fn is_blocked(&self, cell: CellAddress, want: Want) -> bool {
        let word = self.look_at_lock(cell);
        let Some(LockWord::Locked(by)) = word.map(LockWord::unpack) else { return false };
        let Some(slot) = Slot::of(self.arena(), by.participant) else { return false };
        let Ok(status) = status_of(self.arena(), slot) else { return false };
        // Of whom nobody can end the next attempt hears.
        if status.seq != by.seq || self.is_unreadable(AttemptId { participant: by.participant, seq: by.seq }) {
            return false;
        }
        if let Want::WriteBack(read) = want {
            return word == Some(read) && status.state == State::Committed;
        }
        let owner = self.contender_at(slot);
        match status.state {
            // Over, or decided within nanoseconds: the attempt waits for that, and knows what to do if it takes longer.
            State::Idle | State::Aborted | State::Prepared => false,
            State::Committed => want == Want::LockAfterWriteBack,
            State::Active | State::Waiting => match self.judge(status.state, owner) {
                Verdict::Stop | Verdict::Retry => false,
                Verdict::Leave => true,
                // Beside one with the token nobody waits in the place for long.
                Verdict::Wait => owner.privileged || self.open_place(slot).is_none() || self.is_queued(),
            },
        }
    }
}
