//! Somebody else holds the cell: stop him, wait for him, or leave.
//!
//! The one-step queue of the seed: an owner has one place (`queue_to`), taken by whoever waits for it. A participant on
//! which somebody waits does not itself wait: it leaves. So waits form no chains longer than one, and no cycles (I7):
//! two that place themselves on each other at once each find, after the fence, that the other is WAITING, and rank decides.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

use super::{Participant, Pause, Want};
use crate::contention::{Contender, Standing, Verdict};
use crate::error::{Corrupt, Stop};
use crate::participant::{Slot, is_committed, is_over, participant_is_dead, status_of};
use crate::platform::Platform;
use crate::recovery;
use crate::waiting::{self, Bell};
use crate::word::{AttemptId, CellAddress, LockWord, LockedBy, ParticipantId, State, Status};

/// Each sleep; death of the owner is looked for after it. Whoever has waited for long for an owner that runs goes on no later after its
/// death than whoever has just come: what is left of a sleep is most of what a kill costs a waiter. A look costs some microseconds.
const SLEEP_NS: u64 = 1_500_000;
/// The first sleep beside a write-back, which is short unless its owner is dead, or stands still.
pub(super) const FIRST_SLEEP_OF_WRITE_BACK_NS: u64 = SLEEP_NS / 8;
/// So long an owner is waited for in the open, as one who runs. Then the wait is announced, and two that wait for each other find
/// it out at once: a spin as long as a wake-up takes, before that, cost two that cross 20 us each time.
const OPEN_SPIN_NS: u64 = 300;
/// Cells of one attempt of the dead that are finished one by one: whoever wants more of them has it finished as a whole.
const CELLS_OF_ONE: u32 = 4;
/// Said of one whose attempt nobody can end.
const UNREADABLE: u32 = u32::MAX;
/// Turns of a spin between two looks at the clock, and at more than one word.
pub(super) const SPINS_TO_A_LOOK: u32 = 16;
/// Attempts lost to a policy that retries after which the owner's life is looked at: a system call.
pub(super) const RETRIES_TO_A_LOOK: u64 = 16;

impl<P: Platform> Participant<P> {
    /// Flips somebody's attempt to ABORTED if it still is in `state`: all its locks are void from here on. False: it no longer is.
    pub(super) fn stop(&mut self, slot: Slot, victim: AttemptId, state: State) -> bool {
        self.stop_as(self.me().pack(), slot, victim, state)
    }

    /// The same by the name of the attempt that the victim lets finish first; 0: none.
    pub(super) fn stop_as(&mut self, name: u64, slot: Slot, victim: AttemptId, state: State) -> bool {
        let platform = self.platform();
        let from = Status { seq: victim.seq, state }.pack();
        let to = Status { seq: victim.seq, state: State::Aborted }.pack();
        // Before the status: a victim that finds itself stopped finds its stopper. If the exchange fails the name goes again: whoever comes back from another
        // loss would wait for us, and for an irrevocable one as long as that lives.
        platform.store(slot.stopped_by(), name, Relaxed);
        let is_stopped = platform.compare_exchange(slot.status(), from, to, AcqRel, Relaxed).is_ok();
        if is_stopped {
            self.note_woken(waiting::ring(self.arena(), slot));
            self.note_victim(victim.participant);
        } else {
            // Lost: somebody else's name stands there.
            let _ = platform.compare_exchange(slot.stopped_by(), name, 0, Relaxed, Relaxed);
        }
        is_stopped
    }

    /// Whoever was stopped waits until this attempt is over, and is rung then.
    fn note_victim(&mut self, victim: ParticipantId) {
        if self.victims_of != self.seq {
            self.victims_of = self.seq;
            self.victims.clear();
        }
        if !self.victims.contains(&victim) {
            self.victims.push(victim);
        }
    }

    /// At the end of an attempt, after IDLE.
    pub(super) fn ring_victims(&mut self) {
        while let Some(victim) = self.victims.pop() {
            if let Some(slot) = Slot::of(&self.arena, victim) {
                self.note_woken(waiting::ring(&self.arena, slot));
            }
        }
    }

    /// PREPARED code is decided within nanoseconds. If it was put to sleep there, it is stopped: always safe, its commit's
    /// compare-exchange then fails. The privileged is pushed back to ACTIVE. Bounded by `prepared_ns`.
    #[cold]
    pub(super) fn meet_prepared(&mut self, slot: Slot, by: LockedBy) -> Result<(), Stop> {
        let prepared = Status { seq: by.seq, state: State::Prepared }.pack();
        let began = self.platform().now_ns();
        loop {
            if self.platform().load(slot.status(), Acquire) != prepared {
                return Ok(());
            }
            if self.active != 0 && self.platform().load(self.slot.status(), Acquire) == self.status(State::Aborted) {
                return Err(self.lost());
            }
            if self.platform().now_ns().saturating_sub(began) >= self.limits.prepared_ns {
                let owner = AttemptId { participant: by.participant, seq: by.seq };
                if self.contender_at(slot).privileged {
                    self.push_back(slot, owner);
                } else {
                    self.stop(slot, owner, State::Prepared);
                }
                return Ok(());
            }
            self.platform().spin_hint();
        }
    }

    /// PREPARED to ACTIVE: whoever must not be stopped keeps all that it has, and takes its last step again. Until then it is as
    /// undecided as before, and readers pass it. It makes its commit's version anew: that is why nobody else moves it on.
    pub(super) fn push_back(&self, slot: Slot, owner: AttemptId) {
        let [from, to] = [State::Prepared, State::Active].map(|state| Status { seq: owner.seq, state }.pack());
        // AcqRel, as all changes of a status. Lost: it has moved on by itself.
        let _ = self.platform().compare_exchange(slot.status(), from, to, AcqRel, Relaxed);
    }

    /// COMMITTED: the owner writes back. If it is dead, the one recoverer does. `Ok`: look at the cell again. Whoever is waited for, or has waited for
    /// long, leaves for the second row, where he holds nothing. Bounded by that, but for an irrevocable one, which cannot, by the life of the owner.
    #[cold]
    pub(super) fn meet_committed(&mut self, cell: CellAddress, slot: Slot, by: LockedBy) -> Result<(), Stop> {
        let committed = Status { seq: by.seq, state: State::Committed }.pack();
        let owner = AttemptId { participant: by.participant, seq: by.seq };
        let began = self.platform().now_ns();
        let spin_ns = self.platform().spin_ns();
        let (mut sleep_ns, mut has_slept) = (FIRST_SLEEP_OF_WRITE_BACK_NS, false);
        if self.has_met_dead(owner) {
            self.finish_dead(cell, owner).map_err(|corrupt| self.fail(corrupt.into()))?;
            if self.platform().load(cell.lock_word(), Relaxed) != LockWord::locked(by) {
                return Ok(());
            }
            // Somebody else is just at it: to be waited for as below.
        }
        while self.platform().load(slot.status(), Acquire) == committed {
            if !self.still(self.active) {
                return Err(self.lost());
            }
            let waited_ns = self.platform().now_ns().saturating_sub(began);
            if waited_ns < spin_ns {
                self.platform().spin_hint();
                continue;
            }
            if has_slept && self.leaves_write_back(slot, owner, waited_ns) {
                return Err(self.leave_for(cell, owner));
            }
            // Nobody rings for this: the owner is in the middle of its write-back, or it has no processor, or is dead.
            let bell = Bell::look(self.arena(), self.slot);
            if let Err(stop) = self.sleep(bell, sleep_ns) {
                return Err(self.fail(stop));
            }
            (sleep_ns, has_slept) = ((sleep_ns * 2).min(SLEEP_NS / 2), true);
            if participant_is_dead(self.arena(), by.participant) {
                // It may stay COMMITTED; and if another one is at it, the cell may stay locked.
                self.finish_dead(cell, owner).map_err(|corrupt| self.fail(corrupt.into()))?;
            }
            // It may have much to do yet that nobody waits for. Relaxed: the caller looks at it again.
            if self.platform().load(cell.lock_word(), Relaxed) != LockWord::locked(by) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether who has slept beside a write-back gives up his attempt: he has what others want, or may have it and cannot be seen to be waited for, since they
    /// leave, too. Who has the token gets no further by that, but all who want it do.
    fn leaves_write_back(&self, slot: Slot, owner: AttemptId, waited_ns: u64) -> bool {
        match self.standing {
            Standing::Irrevocable => false,
            Standing::Privileged => waited_ns >= self.limits.lease_ns,
            Standing::Ordinary | Standing::Starving => {
                waited_ns >= self.limits.hung_ns || self.is_waited_for(slot, owner)
            }
        }
    }

    /// An undecided owner is in the way. `Ok`: look at the cell again.
    #[cold]
    pub(super) fn conflict(&mut self, cell: CellAddress, slot: Slot, by: LockedBy, state: State) -> Result<(), Stop> {
        self.raise_tick();
        match self.judge(state, self.contender_at(slot)) {
            Verdict::Stop => {
                self.stop(slot, AttemptId { participant: by.participant, seq: by.seq }, state);
                Ok(())
            }
            Verdict::Leave => Err(self.leave_for(cell, AttemptId { participant: by.participant, seq: by.seq })),
            Verdict::Wait => self.wait_for(cell, slot, by),
            Verdict::Retry => Err(self.retry_later(cell, slot, by)),
        }
    }

    /// What the policy says about an owner that runs or waits. Nobody sleeps on a sleeper, whatever it says.
    pub(super) fn judge(&self, state: State, owner: Contender) -> Verdict {
        if let Some(verdict) = self.contender().privilege_over(&owner) {
            return verdict;
        }
        let policy = self.arena.policy().policy();
        match state {
            State::Waiting => match policy.meet_waiting(&self.contender(), &owner) {
                Verdict::Wait => Verdict::Leave,
                verdict => verdict,
            },
            _ => policy.meet_running(&self.contender(), &owner),
        }
    }

    /// Ends the attempt; the next one begins after the policy's pause. Nobody who only tries again would ever find out that the
    /// owner is dead, or silent, so every few attempts it is asked for.
    fn retry_later(&mut self, cell: CellAddress, slot: Slot, by: LockedBy) -> Stop {
        self.counters.stops += 1;
        self.failures += 1;
        self.abort_attempt();
        if self.failures.is_multiple_of(RETRIES_TO_A_LOOK) {
            let owner = AttemptId { participant: by.participant, seq: by.seq };
            if participant_is_dead(self.arena(), by.participant) {
                self.stop_dead_outside(cell, slot, owner);
            } else {
                self.watches.retried = Some(self.go_on_watching(self.watches.retried, slot, owner));
            }
        }
        // Fibonacci hashing: neighbours in time and in number pause differently.
        let random = (self.counters.attempts << 11 | u64::from(self.id.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        self.pause = Pause::For(self.arena.policy().policy().pause_ns(self.failures, random));
        Stop::Conflict
    }

    /// Ends the attempt and waits for the cell, which is `owner`'s, in the second row before the next.
    #[inline(never)]
    fn leave_for(&mut self, cell: CellAddress, owner: AttemptId) -> Stop {
        self.counters.stops += 1;
        self.failures += 1;
        // What is owed for this very cell: the next owner rings when it is free, so only the younger need to hear of it now.
        let owed = self.owed_wake.take_if(|owed| *owed == cell);
        self.abort_attempt();
        if owed.is_some() {
            self.pass_ring_on(cell);
        }
        let want = if is_committed(&self.arena, owner) { Want::LockAfterWriteBack } else { Want::Lock };
        self.pause = Pause::Row(cell, want);
        Stop::Conflict
    }

    fn wait_for(&mut self, cell: CellAddress, slot: Slot, by: LockedBy) -> Result<(), Stop> {
        let owner = AttemptId { participant: by.participant, seq: by.seq };
        if self.spin_for(slot, owner)? {
            return Ok(());
        }
        if self.is_waited_for(slot, owner) || !self.take_place(slot) {
            return Err(self.leave_for(cell, owner));
        }
        let waited = self.wait_in_place(cell, slot, by);
        if waited == Err(Stop::Forked) {
            return waited.map(drop);
        }
        // Out of the queue, unless somebody older has taken the place.
        let me = self.me().pack();
        let _ = self.platform().compare_exchange(slot.queue_to(), me, 0, AcqRel, Relaxed);
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.leave_for(cell, owner)),
            Err(Stop::Conflict) => Err(self.lost()),
            Err(stop) => Err(self.fail(stop)),
        }
    }

    /// Spins for a moment: most owners are over by then. True: this one is over, or no longer running.
    fn spin_for(&mut self, slot: Slot, owner: AttemptId) -> Result<bool, Stop> {
        let running = Status { seq: owner.seq, state: State::Active }.pack();
        let spin_ns = self.platform().spin_ns().min(OPEN_SPIN_NS);
        let began = self.platform().now_ns();
        while self.platform().now_ns().saturating_sub(began) < spin_ns {
            // Bounded: some turns between two looks at the clock.
            for _ in 0..SPINS_TO_A_LOOK {
                if self.platform().load(slot.status(), Acquire) != running {
                    return Ok(true);
                }
                self.platform().spin_hint();
            }
            if !self.still(self.active) {
                return Err(self.lost());
            }
        }
        Ok(false)
    }

    /// Whether somebody waits for me, so that I must not wait for `owner`. Of two that wait for each other one is enough to leave:
    /// the lower.
    fn is_waited_for(&self, slot: Slot, owner: AttemptId) -> bool {
        let waiter = AttemptId::unpack(self.platform().load(self.slot.queue_to(), Acquire));
        waiter.is_some_and(|waiter| {
            !is_over(self.arena(), waiter)
                && (waiter != owner || !self.contender().ranks_above(&self.contender_at(slot)))
        })
    }

    /// The place at an owner, if I may have it: free, or held by somebody who is over, or by somebody younger by the threshold. Its word, and who goes.
    pub(super) fn open_place(&self, slot: Slot) -> Option<(u64, Option<Slot>)> {
        let word = self.platform().load(slot.queue_to(), Acquire);
        let holder = AttemptId::unpack(word).filter(|&holder| !is_over(self.arena(), holder));
        let holder = holder.and_then(|holder| Slot::of(self.arena(), holder.participant));
        let policy = self.arena.policy().policy();
        let is_open = holder.is_none_or(|holder| policy.displaces(&self.contender(), &self.contender_at(holder)));
        is_open.then_some((word, holder))
    }

    fn take_place(&self, slot: Slot) -> bool {
        const TRIES: u32 = 8;
        let me = self.me().pack();
        // A lost exchange means that somebody else has just come: after a few of those there is no place.
        for _ in 0..TRIES {
            let Some((word, holder_slot)) = self.open_place(slot) else { return false };
            // AcqRel: releases our priority and status to whoever looks at the queue.
            if self.platform().compare_exchange(slot.queue_to(), word, me, AcqRel, Relaxed).is_ok() {
                if let Some(holder_slot) = holder_slot {
                    self.note_woken(waiting::ring(self.arena(), holder_slot));
                }
                return true;
            }
        }
        false
    }

    /// WAITING, until the owner is over. `Ok(true)`: look at the cell again; `Ok(false)`: leave; `Err(Conflict)`: stopped.
    fn wait_in_place(&mut self, cell: CellAddress, slot: Slot, by: LockedBy) -> Result<bool, Stop> {
        let waiting = self.status(State::Waiting);
        self.platform().store(self.slot.want(), cell.index(), Relaxed);
        if self.platform().compare_exchange(self.slot.status(), self.active, waiting, AcqRel, Relaxed).is_err() {
            return Err(Stop::Conflict);
        }
        // F3. With the fence after IDLE in `commit` and `abort`: either we see the owner over, or it sees us in its queue. With
        // the F3 of somebody who places himself on us: one of us sees the other.
        self.platform().fence(SeqCst);
        let go_on = self.sleep_until_over(cell, slot, by, waiting);
        if go_on == Err(Stop::Forked) {
            return go_on;
        }
        let active = self.active;
        match self.platform().compare_exchange(self.slot.status(), waiting, active, AcqRel, Relaxed) {
            Ok(_) => go_on,
            // Stopped; but an interruption is to be told whatever else has happened, for it is told once.
            Err(_) if go_on == Err(Stop::Interrupted) => go_on,
            Err(_) => Err(Stop::Conflict),
        }
    }

    fn sleep_until_over(&mut self, cell: CellAddress, slot: Slot, by: LockedBy, waiting: u64) -> Result<bool, Stop> {
        let owner = AttemptId { participant: by.participant, seq: by.seq };
        let mut watch = self.watch(slot, owner);
        let began = self.platform().now_ns();
        loop {
            let bell = Bell::look(self.arena(), self.slot);
            if self.platform().load(self.slot.status(), Acquire) != waiting {
                return Err(Stop::Conflict);
            }
            if self.is_waited_for(slot, owner) {
                return Ok(false);
            }
            let status = status_of(self.arena(), slot)?;
            if status.seq != owner.seq || matches!(status.state, State::Idle | State::Aborted) {
                return Ok(true);
            }
            // It may have much to do yet that nobody waits for. The cell is there as long as this attempt. Relaxed: the
            // caller looks at it again.
            if status.state == State::Committed
                && self.platform().load(cell.lock_word(), Relaxed) != LockWord::locked(by)
            {
                return Ok(true);
            }
            if status.state == State::Waiting {
                // Nobody sleeps on a sleeper: the higher stops him, the lower leaves.
                if !self.contender().ranks_above(&self.contender_at(slot)) {
                    return Ok(false);
                }
                self.stop(slot, owner, State::Waiting);
                continue;
            }
            if self.platform().load(slot.queue_to(), Acquire) != self.me().pack() {
                return Ok(false);
            }
            // As long as a wake-up would cost, spinning is cheaper.
            if self.platform().now_ns().saturating_sub(began) < self.platform().spin_ns() {
                (0..SPINS_TO_A_LOOK).for_each(|_| self.platform().spin_hint());
                continue;
            }
            self.sleep(bell, SLEEP_NS)?;
            if participant_is_dead(self.arena(), owner.participant) {
                self.stop_dead(cell, slot, owner);
                return Ok(true);
            }
            // Relaxed: it is only compared with what was seen before the sleep.
            if matches!(status.state, State::Prepared | State::Committed)
                && self.platform().load(slot.status(), Relaxed) == status.pack()
            {
                // Decided, or through, within nanoseconds, if it runs: whoever meets it at the cell knows what to do. Who stays WAITING here keeps those
                // away who would leave him what he has, and he would not know of them.
                return Ok(true);
            }
            if self.contender_at(slot).privileged {
                // He stops me where I am in his way, and I him never: for as long as he lives all that I have would be kept from others, who are not in his way.
                return Ok(false);
            }
            self.stop_if_silent(&mut watch, slot);
        }
    }

    /// The dead owner's attempt: undecided it is stopped, committed it is finished, or as much of it as `cell` needs.
    pub(super) fn stop_dead(&mut self, cell: CellAddress, slot: Slot, owner: AttemptId) {
        for state in [State::Active, State::Waiting, State::Prepared] {
            self.stop(slot, owner, state);
        }
        // If it cannot be ended, whoever meets its lock hears of it.
        let _ = self.finish_dead(cell, owner);
    }

    /// Whether the owner of a lock was found dead before. Its attempt is not begun again: the slot is somebody else's after its next seq.
    fn has_met_dead(&self, owner: AttemptId) -> bool {
        self.met_dead.0 == owner
    }

    /// Whether it was found that nobody can end it: there is nothing to wait for.
    pub(super) fn is_unreadable(&self, owner: AttemptId) -> bool {
        self.met_dead == (owner, UNREADABLE)
    }

    /// Sees to as much of a dead one's attempt as `cell` needs, and to all of it once it has met more than a few of its cells.
    pub(super) fn finish_dead(&mut self, cell: CellAddress, owner: AttemptId) -> Result<(), Corrupt> {
        let cells = if self.has_met_dead(owner) { self.met_dead.1.saturating_add(1) } else { 1 };
        self.met_dead = (owner, cells);
        let most = if cells > CELLS_OF_ONE { u64::MAX } else { self.limits.cleared_entries };
        recovery::finish_attempt(&self.space, owner.participant, most, cell)
            .inspect_err(|_| self.met_dead = (owner, UNREADABLE))
    }
}
