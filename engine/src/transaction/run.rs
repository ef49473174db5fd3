//! A body run until it commits, and the wait of one that asked for a change.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::alternatives::Ranges;
use super::{Hooks, Participant, Pause};
use crate::allocator;
use crate::error::Stop;
use crate::participant::WaitingFor;
use crate::platform::Platform;
use crate::waiting::{self, Bell};
use crate::word::{CellAddress, LockWord, LockedBy, WordAddress};

/// What surrounds a sleep of a participant.
pub trait Sleeper {
    /// Runs `sleep` (which blocks in the kernel for at most 50 ms) and says whether to go on. False: the wait is interrupted.
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool;
}

/// Sleeps and goes on.
pub(super) struct JustSleep;

impl Sleeper for JustSleep {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        sleep();
        true
    }
}

/// A body at work, until it is through or a panic has passed.
struct Working<'a, P: Platform>(&'a mut Participant<P>);

impl<P: Platform> Drop for Working<'_, P> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.works = false;
    }
}

/// Whoever only reads, until it is through or a panic has passed; and whether it did so before.
struct ReadingOnly<'a, P: Platform>(&'a mut Participant<P>, bool);

impl<P: Platform> Drop for ReadingOnly<'_, P> {
    fn drop(&mut self) {
        self.0.set_read_only(self.1);
    }
}

impl<P: Platform> Participant<P> {
    /// Runs `body` as one transaction, as often as it takes. Inside an attempt it joins it.
    ///
    /// A panic in `body` leaves the attempt under way, as a kill would: whoever catches it calls [`Self::abort`], or drops the participant.
    #[inline(always)]
    pub fn run<T>(&mut self, body: impl FnMut(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.run_until(None, body)
    }

    /// The same with an end to its patience, at `deadline_ns` of `System::now_ns`.
    ///
    /// # Errors
    /// Whatever `body` stops with, but `Conflict` (run again) and `Retry` (run again after a change); `TimedOut`: nothing of it
    /// exists, and nothing is locked. A body that computes is not interrupted: time is looked at in waits and between attempts.
    #[inline(always)]
    pub fn run_until<T>(
        &mut self,
        deadline_ns: Option<u64>,
        mut body: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if self.in_body() {
            return self.join(&mut body);
        }
        self.deadline_ns = deadline_ns;
        let result = match self.attempt(&mut body) {
            Ok(value) => Ok(value),
            Err(stop) => self.attempts_after(stop, deadline_ns, &mut body),
        };
        self.deadline_ns = None;
        if !self.hooks.is_empty() {
            self.run_hooks(result.is_ok());
        }
        result
    }

    /// Runs `body` as a transaction that only reads, or as such a part of the attempt under way. Attempts that write nothing have
    /// no record, lock nothing and need no validation at their end, whoever runs them; this makes a promise of it.
    ///
    /// # Errors
    /// As [`Self::run_until`]; `ReadOnly` if something in it writes or allocates.
    pub fn run_read_only<T>(
        &mut self,
        deadline_ns: Option<u64>,
        body: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let before = self.set_read_only(true);
        ReadingOnly(self, before).0.run_until(deadline_ns, body)
    }

    /// A part of the attempt under way. Through a pointer, as below: so bodies are in line once, on the everyday way.
    #[cold]
    #[inline(never)]
    fn join<T>(&mut self, body: &mut dyn FnMut(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        body(self)
    }

    #[inline(always)]
    fn attempt<T, B>(&mut self, body: &mut B) -> Result<T, Stop>
    where
        B: FnMut(&mut Self) -> Result<T, Stop> + ?Sized,
    {
        self.begin()?;
        self.go_through(body)
    }

    #[inline(always)]
    fn go_through<T, B>(&mut self, body: &mut B) -> Result<T, Stop>
    where
        B: FnMut(&mut Self) -> Result<T, Stop> + ?Sized,
    {
        let value = self.work(body)?;
        self.commit()?;
        Ok(value)
    }

    /// Runs a body in the attempt that has begun.
    #[inline(always)]
    pub(super) fn work<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.works = true;
        let working = Working(self);
        body(&mut *working.0)
    }

    /// Whether what begins now is a part of a transaction: of an attempt under way, or of a body that goes on though its attempt has ended. What that
    /// one does then comes to nothing; as a transaction of its own it would stay, though nothing around it does.
    #[inline(always)]
    pub(super) fn in_body(&self) -> bool {
        self.in_attempt() || self.works
    }

    /// The attempts after the first, which ended with `stop`.
    #[cold]
    #[inline(never)]
    fn attempts_after<T>(
        &mut self,
        mut stop: Stop,
        deadline_ns: Option<u64>,
        body: &mut dyn FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        // Each turn is an attempt of the protocol, which bounds them.
        loop {
            // A body may have gone on after what ends it for good.
            if let Some(reason) = self.why_it_ended() {
                stop = reason;
            }
            match stop {
                Stop::Conflict => {
                    // Does nothing if the engine said so; ends the attempt if the body did.
                    self.lost();
                }
                Stop::Retry => match self.wait_for_change(deadline_ns) {
                    Ok(()) | Err(Stop::Conflict) => self.deadline_ns = deadline_ns,
                    Err(stop) => return Err(stop),
                },
                stop => {
                    self.end_in_vain();
                    return Err(stop);
                }
            }
            // Behind a change, too: where somebody is always faster there is no sleep that would end.
            if deadline_ns.is_some_and(|deadline| self.platform().now_ns() >= deadline) {
                self.end_in_vain();
                return Err(Stop::TimedOut);
            }
            let begun = self.begin().and_then(|()| {
                // Those of the attempt before: it is run again from here on.
                self.hooks = Hooks::default();
                self.go_through(body)
            });
            match begun {
                Ok(value) => return Ok(value),
                Err(next) => stop = next,
            }
        }
    }

    /// Whether the attempt has read anything that somebody else could change. If not, [`Self::wait_for_change`] waits for nothing.
    pub fn has_read(&self) -> bool {
        let constant = self.arena.constant();
        // What it only names stands under that cell; and what it has made is nobody else's yet.
        let own = Ranges::of(&self.arena, &self.made().collect::<Vec<_>>());
        self.reads().any(|(cell, _)| cell != constant && !own.contain(cell.index()))
    }

    /// After [`Stop::Retry`]: ends the attempt and sleeps until a cell that it has read changes, or until `deadline_ns`. Then
    /// the body is to be run again.
    ///
    /// # Errors
    /// `TimedOut`, `Interrupted`; the attempt is over all the same. `Conflict`: somebody has stopped it, so that it has lost and does not
    /// wait here; the body is to be run again, with its age.
    pub fn wait_for_change(&mut self, deadline_ns: Option<u64>) -> Result<(), Stop> {
        if self.active == 0 {
            return Ok(());
        }
        if self.is_foreign() {
            self.forget();
            return Err(Stop::Forked);
        }
        if self.is_irrevocable() {
            return Err(self.fail(Stop::Irrevocable));
        }
        self.set_deadline(deadline_ns);
        let bell = Bell::look(self.arena(), self.slot);
        self.platform().store(self.slot.waiting_for(), WaitingFor::Change as u64, Release);
        waiting::announce_all(self.arena(), self.reads().map(|(cell, _)| cell), self.id);
        // F4. With the fence after IDLE in `commit`: either we see the change, or the committer sees our bit (W1).
        self.platform().fence(SeqCst);
        // The locks must go before the sleep, the log must stay: it says what to wait for.
        let reads = self.reads;
        let waited = match self.may_wait() {
            Ok(true) => self.sleep_until_changed(reads, bell),
            Ok(false) => Ok(()),
            Err(stop) => Err(stop),
        };
        if waited == Err(Stop::Forked) {
            self.set_deadline(None);
            return waited;
        }
        self.platform().store(self.slot.waiting_for(), WaitingFor::Nothing as u64, Release);
        self.reads = reads;
        self.reads().for_each(|(cell, _)| {
            waiting::withdraw(self.arena(), cell, self.id);
        });
        self.reads = 0;
        self.set_deadline(None);
        if waited.as_ref().is_err_and(|stop| *stop != Stop::Conflict) {
            self.end_in_vain();
        }
        waited
    }

    /// Ends an attempt that asks to wait. False: what it has read has changed since, so that there is nothing to wait for.
    ///
    /// `Conflict`: it was stopped, before that or while it validated, and has lost as others have. Whoever has stopped it may have changed what it had
    /// locked, which was read for settled by that, and has rung already; he is let finish, and its age stays.
    fn may_wait(&mut self) -> Result<bool, Stop> {
        let holds = self.validate(false);
        if holds.is_ok() && !self.still_undecided() {
            return Err(self.lost());
        }
        self.abort_attempt();
        if holds == Err(Stop::Conflict) {
            return holds;
        }
        // It waits by its own will: that is no part of how long its attempts take.
        self.priority = None;
        self.counters.began_ns = None;
        if holds == Ok(true) {
            self.forget_if_nothing_was_lost();
        }
        if self.failures != 0 {
            // Before the next attempt, too, it asks for the token, if it has lost often enough.
            self.pause = Pause::For(0);
        }
        holds
    }

    /// Of who gives way by his own will. Who has lost nothing since he last did starves no more, whatever he has lost before; who loses each time does.
    pub(super) fn forget_if_nothing_was_lost(&mut self) {
        if self.failures != 0 {
            if self.failures == self.watches.lost_before_wait {
                self.forget_failures();
            }
            self.watches.lost_before_wait = self.failures;
        }
    }

    /// Nothing had changed when the attempt was validated, after the announcement and its fence: whoever has committed since rings. Sleeps are
    /// timed and doubled, so that a committer killed between its commit and its rings strands nobody.
    fn sleep_until_changed(&mut self, reads: u64, mut bell: Bell) -> Result<(), Stop> {
        const FIRST_SLEEP_NS: u64 = 2_000_000;
        const LONGEST_SLEEP_NS: u64 = 50_000_000;
        let mut sleep_ns = FIRST_SLEEP_NS;
        loop {
            self.sleep(bell, sleep_ns)?;
            sleep_ns = (sleep_ns * 2).min(LONGEST_SLEEP_NS);
            bell = Bell::look(self.arena(), self.slot);
            self.reads = reads;
            // A ringer that was killed or stopped may have taken a bit for good. F4, as before the first sleep.
            waiting::announce_all(self.arena(), self.reads().map(|(cell, _)| cell), self.id);
            self.platform().fence(SeqCst);
            let changed = self.any_read_changed();
            self.reads = 0;
            if changed {
                return Ok(());
            }
        }
    }

    /// True once a cell of the log has another version, or one is being committed. The log is private history by now: it
    /// protects nothing, only versions are compared.
    fn any_read_changed(&self) -> bool {
        let has_changed = |(cell, version)| match self.lock_outside(cell) {
            None => true,
            Some(word) => match LockWord::unpack(word) {
                LockWord::Free(now) => now.0 != version,
                LockWord::Locked(by) => self.lock_means_change(by, cell, version),
            },
        };
        self.space.look(|| self.reads().any(has_changed))
    }

    /// The lock word of a cell, for whoever is in no attempt, but in a look. `None`: nobody has the memory any more, so that there is no such cell.
    pub(super) fn lock_outside(&self, cell: CellAddress) -> Option<u64> {
        let word = cell.lock_word();
        // Acquire: pairs with whoever freed or locked the cell.
        allocator::is_memory_in_use(self.arena(), word).then(|| self.platform().load(word, Acquire))
    }

    /// A lock of an attempt that has committed, or over another version, means that the cell changes.
    fn lock_means_change(&self, by: LockedBy, cell: CellAddress, version: u64) -> bool {
        use crate::participant::{HELD, Slot, foreign_entry, status_of};
        use crate::word::State;
        let Some(slot) = Slot::of(self.arena(), by.participant) else { return true };
        let Some(entry) = foreign_entry(self.arena(), slot, by.entry, cell) else { return true };
        match status_of(self.arena(), slot) {
            // What a COMMITTED one has only held it leaves as it was.
            Ok(status)
                if status.seq == by.seq
                    && status.state == State::Committed
                    && entry.new_value(self.arena()) != HELD =>
            {
                self.platform().load(slot.commit_version(), Relaxed) != version
            }
            Ok(status) if status.seq == by.seq => entry.old_version(self.arena()) != version,
            _ => true,
        }
    }

    /// What the log says was read: cells, and their versions.
    fn reads(&self) -> impl Iterator<Item = (CellAddress, u64)> {
        (0..self.reads).map(|read| {
            let entry: WordAddress = self.read_log.address(read);
            // Relaxed: this participant wrote them.
            let word = |at| self.platform().load(at, Relaxed);
            (CellAddress::new(WordAddress::new(word(entry))), word(entry.offset(1)))
        })
    }
}
