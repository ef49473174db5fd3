//! Privilege: an attempt that is not stopped by anybody, because it is irrevocable, or because it has lost too often.
//!
//! One that is undecided at a time in a space, by a token: a word that names the attempt which has the privilege. What it does is locked when it is
//! *read*, too, so that nothing it has seen can change; who is in its way is stopped; and nobody stops it. So its
//! validation cannot fail, and it commits in this attempt, unless its body gives up by itself.
//!
//! **Protocol**
//!
//! 1. *Ask*, holding nothing: compare-exchange the token from nobody, from an attempt that is over or whose process is dead, or, if I can run again, from one that is
//!    COMMITTED, to (me, my next seq). Held: set my bit in the bucket of the token, fence, look again, sleep, timed; as in the second row.
//!    Who starves asks before each attempt, and runs an ordinary one where the token is taken.
//! 2. *Begin*: `starving` says so ([`Standing`]) before the status says ACTIVE, so whoever acquires that status knows (the token's
//!    word itself need not be looked at by those who are in the way).
//! 3. *Read* a cell: visibly, by a lock that holds it ([`super::visible`]). *Write*: as ever; a hold becomes a write. Owners that run, wait or are dead are stopped at once, prepared ones after their 50 us.
//! 4. The others: a policy that sees a privileged owner waits or leaves; it is not taken for hung, nor stopped for being PREPARED
//!    for long, nor outranked in validation. Only its proven death ends it. (One that has the privilege because it starved is
//!    stopped when it hangs, after [`crate::contention::Limits::lease_ns`]: it can run again.)
//! 5. *End*: IDLE with the next seq makes the token free already. It is cleared, and the bucket is rung.
//!
//! Who asks first has the token; of those who wait for it the oldest is rung first.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::silence::Watch;
use super::{Participant, Pause};
use crate::arena::HotWord;
use crate::contention::Standing;
use crate::error::Stop;
use crate::participant::{Slot, WaitingFor, is_committed, is_over, participant_is_dead};
use crate::platform::Platform;
use crate::waiting::{self, Bell};
use crate::word::{AttemptId, CellAddress, Priority};

/// The first sleep of who waits for the token.
const FIRST_SLEEP_NS: u64 = 2_000_000;
/// Sleeps double up to here.
const LONGEST_SLEEP_NS: u64 = 4_000_000;

impl<P: Platform> Participant<P> {
    /// Runs `body` once, as a transaction that nobody stops and that commits unless `body` fails. One at a time in a space: waits
    /// for the one before. Inside an attempt it joins it, and is as revocable as that.
    ///
    /// Cost: a compare-exchange on one word of the space and one on each cell that is read. Others wait for the cells that it has
    /// touched until it is over, however long that takes.
    ///
    /// # Errors
    /// What `body` stops with; `Irrevocable` instead of `Retry`: nobody could change what it has read. `TimedOut` at
    /// `deadline_ns` and `Interrupted`, from the wait for the one before, or for somebody in the middle of his commit.
    pub fn run_irrevocable<T>(
        &mut self,
        deadline_ns: Option<u64>,
        body: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if self.in_body() {
            return body(self);
        }
        let result = self.begin_irrevocable(deadline_ns).and_then(|()| {
            let value = self.work(body).map_err(|stop| if stop == Stop::Retry { Stop::Irrevocable } else { stop });
            let done = value.and_then(|value| self.commit().map(|()| value));
            // The body may have passed over what had ended its attempt.
            done.map_err(|stop| self.why_it_ended().unwrap_or(stop))
        });
        if result.is_err() {
            self.end_in_vain();
        }
        self.set_deadline(None);
        if !self.hooks.is_empty() {
            self.run_hooks(result.is_ok());
        }
        result
    }

    /// Waits for the token and begins an attempt with it, to be ended by [`Self::commit`] or [`Self::abort`]. For those whose
    /// bodies are no functions over a participant.
    ///
    /// # Errors
    /// As [`Self::begin`], and `TimedOut` at `deadline_ns`, which stays set for the waits of the attempt.
    pub fn begin_irrevocable(&mut self, deadline_ns: Option<u64>) -> Result<(), Stop> {
        self.set_deadline(deadline_ns);
        let begun = self.ask_for_token().and_then(|()| {
            self.take_standing(Standing::Irrevocable);
            self.begin()
        });
        match begun {
            Ok(()) => self.make_visible(),
            Err(_) if self.standing.has_token() && !self.is_foreign() => self.end_privilege(),
            Err(_) => self.standing = Standing::Ordinary,
        }
        begun
    }

    /// For a transaction that has lost again and again: takes the token for its next attempt if it is to be had.
    pub(super) fn ask_as_starving(&mut self) {
        if self.standing.has_token() {
            return;
        }
        if !self.take_token(Standing::Privileged) {
            self.watches.holder = self.watch_holder(self.watches.holder);
            return;
        }
        // Never shorter than what it has been granted by being stopped: a body that computes for longer than the lease would
        // not finish in any attempt.
        let granted = self.platform().load(self.slot.hung_limit(), Relaxed);
        self.watches.limit_before_ns = granted;
        self.platform().store(self.slot.hung_limit(), granted.max(self.limits.lease_ns), Relaxed);
        self.take_standing(Standing::Privileged);
    }

    /// After an attempt that was lost with the token: the next one may not have it. Who was stopped for his silence keeps what that has granted him.
    fn end_lease(&self) {
        let (word, before) = (self.slot.hung_limit(), self.watches.limit_before_ns);
        // Lost: it has been doubled.
        let _ = self.platform().compare_exchange(word, before.max(self.limits.lease_ns), before, Relaxed, Relaxed);
    }

    fn take_standing(&mut self, standing: Standing) {
        self.standing = standing;
        // Relaxed: released by the store of ACTIVE.
        self.platform().store(self.slot.starving(), standing as u64, Relaxed);
    }

    /// Whether the attempt under way is irrevocable.
    pub fn is_irrevocable(&self) -> bool {
        self.standing == Standing::Irrevocable
    }

    fn ask_for_token(&mut self) -> Result<(), Stop> {
        if self.is_foreign() {
            self.forget();
            return Err(Stop::Forked);
        }
        self.abort_attempt();
        // What the last attempt left to wait for is over with it.
        self.pause = Pause::No;
        let priority = Priority::new(self.tick(), self.id);
        self.priority = Some(priority);
        // Relaxed: read by ringers, which may err.
        self.platform().store(self.slot.priority(), priority.0, Relaxed);
        let place = self.token_place();
        let (mut sleep_ns, mut watch) = (FIRST_SLEEP_NS, None);
        // Each turn is a sleep; bounded by those who have the token, and by the deadline.
        while !self.take_token(Standing::Irrevocable) {
            let bell = Bell::look(&self.arena, self.slot);
            let arena = &self.arena;
            arena.platform().store(self.slot.waiting_for(), WaitingFor::Cell as u64, Release);
            waiting::announce(arena, place, self.id);
            // Pairs with the fence in `end_privilege`: either we see the token free, or the bucket is rung with our bit in it (W1).
            arena.platform().fence(SeqCst);
            let taken = self.take_token(Standing::Irrevocable);
            let slept = if taken { Ok(()) } else { self.sleep(bell, sleep_ns) };
            if slept == Err(Stop::Forked) {
                return slept;
            }
            let arena = &self.arena;
            arena.platform().store(self.slot.waiting_for(), WaitingFor::Nothing as u64, Release);
            if !waiting::withdraw(arena, place, self.id) {
                // The ring may have been for another of the bucket: it is owed to the next, now or when the token is free again.
                if taken {
                    self.owed_wake = Some(place);
                } else {
                    self.pass_ring_on(place);
                }
            }
            slept?;
            if taken {
                return Ok(());
            }
            watch = self.watch_holder(watch);
            sleep_ns = (sleep_ns * 2).min(LONGEST_SLEEP_NS);
        }
        Ok(())
    }

    /// Who has the token because he starved may hold nothing that anybody wants: whoever waits for the token looks how long he has been silent. (Not in the few steps between
    /// taking it and beginning.)
    fn watch_holder(&mut self, watch: Option<Watch>) -> Option<Watch> {
        let token = self.arena().layout().hot(HotWord::PrivilegeToken);
        let holder = AttemptId::unpack(self.platform().load(token, Relaxed))?;
        let slot = Slot::of(self.arena(), holder.participant)?;
        Some(self.go_on_watching(watch, slot, holder))
    }

    /// Whose wait bucket is the token's.
    fn token_place(&self) -> CellAddress {
        CellAddress::new(self.arena().layout().hot(HotWord::PrivilegeToken))
    }

    /// Takes the token from nobody, or from whoever no longer needs it. Who may leave takes it from one who is COMMITTED, too. Who runs once does not: he would meet that one's cells with all
    /// that he has locked, and wait there for as long as it is stopped; here he holds nothing, and has his time.
    fn take_token(&self, standing: Standing) -> bool {
        let arena = self.arena();
        let token = arena.layout().hot(HotWord::PrivilegeToken);
        // AcqRel: what the last holder did is seen, ours is released to the next.
        self.open_token(standing).is_some_and(|word| {
            arena.platform().compare_exchange(token, word, self.me().pack(), AcqRel, Relaxed).is_ok()
        })
    }

    /// The word of the token, if it is to be had.
    pub(super) fn open_token(&self, standing: Standing) -> Option<u64> {
        let arena = self.arena();
        // Acquire: pairs with the release that cleared it.
        let word = arena.platform().load(arena.layout().hot(HotWord::PrivilegeToken), Acquire);
        AttemptId::unpack(word).is_none_or(|holder| self.has_no_need(holder, standing)).then_some(word)
    }

    /// True for an attempt that is over, or whose process is dead; to who may leave also for one that is COMMITTED. One that has the token and has not begun is not over: its seq
    /// is the next one of its participant, which is IDLE.
    fn has_no_need(&self, holder: AttemptId, standing: Standing) -> bool {
        let arena = self.arena();
        let Some(slot) = Slot::of(arena, holder.participant) else { return true };
        let is_to_begin = crate::participant::status_of(arena, slot)
            .is_ok_and(|status| status.seq == holder.seq && status.state == crate::word::State::Idle);
        match is_to_begin {
            true => participant_is_dead(arena, holder.participant),
            false if standing == Standing::Privileged && is_committed(arena, holder) => true,
            false => self.is_done(holder),
        }
    }

    /// Whether an attempt that somebody was stopped by is irrevocable, and goes on: whoever comes back before its end is only
    /// stopped again. COMMITTED it stops nobody.
    pub(super) fn irrevocable_goes_on(&self, attempt: AttemptId) -> bool {
        let Some(slot) = Slot::of(self.arena(), attempt.participant) else { return false };
        self.contender_at(slot).irrevocable && !self.is_done(attempt) && !is_committed(self.arena(), attempt)
    }

    fn is_done(&self, holder: AttemptId) -> bool {
        is_over(self.arena(), holder) || participant_is_dead(self.arena(), holder.participant)
    }

    /// After the end of a privileged attempt: the token is nobody's, and who waits for it is rung.
    #[cold]
    #[inline(never)]
    pub(super) fn end_privilege(&mut self) {
        if self.standing == Standing::Privileged && self.failures != 0 {
            self.end_lease();
        }
        self.standing = Standing::Ordinary;
        self.end_lull();
        let place = self.token_place();
        let arena = &self.arena;
        arena.platform().store(self.slot.starving(), 0, Relaxed);
        let token = place.lock_word();
        let word = arena.platform().load(token, Relaxed);
        if AttemptId::unpack(word).is_some_and(|holder| holder.participant == self.id) {
            // AcqRel: releases what we did to the next. Lost: somebody has seen that we are over.
            let _ = arena.platform().compare_exchange(token, word, 0, AcqRel, Relaxed);
        }
        // Pairs with the fence in `ask_for_token`.
        arena.platform().fence(SeqCst);
        if self.anybody_sleeps() {
            self.note_woken(waiting::ring_cell(&self.arena, place));
        }
    }
}
