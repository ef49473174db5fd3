//! The start of an attempt, and the pauses before it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::conflict::RETRIES_TO_A_LOOK;
use super::{Participant, Pause, SAMPLE, TIMED, Want};
use crate::arena::HotWord;
use crate::contention::{Standing, TICK_NS};
use crate::error::Stop;
use crate::participant::is_over;
use crate::platform::Platform;
use crate::waiting::Bell;
use crate::word::{AttemptId, Priority, State, Tick};

impl<P: Platform> Participant<P> {
    /// Begins an attempt. Waits first if the last one was stopped or left a queue.
    ///
    /// Cost: three stores to the participant's own lines (two where the transaction is run again), one fence, one load of the version clock; a compare-exchange of it after each 16 commits at
    /// which nobody else moved it.
    ///
    /// # Errors
    /// `Forked` in the child of a fork, `Corrupt` if damage was found before, `Interrupted` and `TimedOut` from the pause.
    #[inline(always)]
    pub fn begin(&mut self) -> Result<(), Stop> {
        let poison = self.arena().layout().hot(HotWord::Poison);
        if !self.is_surely_at_home()
            || self.active != 0
            || self.pause != Pause::No
            || self.observer.is_some()
            || self.platform().load(poison, Relaxed) != 0
        {
            return self.begin_slowly();
        }
        self.begin_now();
        Ok(())
    }

    /// Where something stands before the attempt.
    #[cold]
    #[inline(never)]
    fn begin_slowly(&mut self) -> Result<(), Stop> {
        self.clear_the_way()?;
        // Last, for with the token in hand nothing may fail before the attempt begins.
        if self.failures >= self.limits.privileged_attempts {
            self.ask_as_starving();
        }
        let asks_for_lull = self.wants_lull();
        if asks_for_lull {
            self.ask_for_lull();
        }
        self.begin_now();
        let is_last_resort = self.standing.has_token() || self.failures >= self.limits.visible_attempts;
        if is_last_resort && !asks_for_lull {
            self.make_visible();
        }
        Ok(())
    }

    #[inline(always)]
    fn begin_now(&mut self) {
        self.counters.attempts += 1;
        if self.counters.attempts.is_multiple_of(SAMPLE) {
            self.sample();
        }
        if self.priority.is_none() {
            let priority = Priority::new(self.tick(), self.id);
            self.priority = Some(priority);
            // Relaxed, here and below: read by policies, which may err.
            self.platform().store(self.slot.priority(), priority.0, Relaxed);
        }
        let layout = self.arena.layout();
        let platform = self.arena.platform();
        self.active = self.status(State::Active);
        let batch = platform.load(layout.hot(HotWord::Batch), Relaxed);
        // Release: whoever waits for older attempts before he frees finds what the last one stored in the past.
        platform.store(self.slot.start(), batch, Release);
        // Release: whoever sees this attempt ACTIVE sees that the last one is at rest.
        platform.store(self.slot.status(), self.active, Release);
        let mut clock = platform.load(layout.hot(HotWord::VersionClock), Acquire);
        if !self.stamps.are_left(clock) {
            clock = self.move_clock_on(clock);
        }
        self.snapshot.move_to(clock);
        // F1. With F2 in `commit`: if a writer's clock load saw less than ours, F2 comes before F1, and we see that writer at
        // least PREPARED, never "ACTIVE with the old value" of a version that we count as the past. It also puts the store of
        // `start` before every load of a cell, for whoever looks at the starts (`reclamation`).
        self.arena.platform().fence(SeqCst);
    }

    /// All that seldom stands before an attempt.
    fn clear_the_way(&mut self) -> Result<(), Stop> {
        if self.is_foreign() {
            self.forget();
            return Err(Stop::Forked);
        }
        if self.active != 0 {
            self.abort();
        }
        if self.pause != Pause::No {
            self.pause()?;
        }
        self.observe_begin();
        let at = self.arena().layout().hot(HotWord::Poison);
        let poison = self.platform().load(at, Relaxed);
        if poison != 0 { Err(self.corrupt("the poison word", at, poison)) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn sample(&mut self) {
        self.raise_tick();
        self.write_counters();
        if self.counters.attempts.is_multiple_of(TIMED) || self.counters.attempts < TIMED {
            self.counters.began_ns = Some(self.platform().now_ns());
        }
    }

    pub(super) fn tick(&self) -> Tick {
        Tick(self.platform().load(self.arena().layout().hot(HotWord::Tick), Relaxed))
    }
    /// Raises the shared tick to the clock. Compare-exchange: it never goes back, whatever clock this process sees.
    pub(super) fn raise_tick(&self) {
        let word = self.arena().layout().hot(HotWord::Tick);
        let now = self.platform().coarse_ns() / TICK_NS;
        let seen = self.platform().load(word, Relaxed);
        if now > seen {
            // A lost race means that somebody else raised it.
            let _ = self.platform().compare_exchange(word, seen, now, Relaxed, Relaxed);
        }
    }

    /// Waits, holding nothing, for what ended the last attempt.
    #[cold]
    fn pause(&mut self) -> Result<(), Stop> {
        self.raise_tick();
        // Who has only been at it for long has lost nothing, and nothing would take it back at its end.
        let starves = self.failures != 0 && self.starves();
        let standing = if starves { Standing::Starving } else { Standing::Ordinary };
        self.platform().store(self.slot.starving(), standing as u64, Relaxed);
        let pause = std::mem::replace(&mut self.pause, Pause::No);
        if pause != Pause::Stopped {
            // Who has stopped it as well, perhaps, is in its way no more: it waits for something else.
            self.platform().store(self.slot.stopped_by(), 0, Relaxed);
        }
        match pause {
            Pause::No => Ok(()),
            Pause::Stopped => self.wait_for_stopper(),
            Pause::Row(cell, Want::Lock) => self.wait_in_second_row(cell, Want::Lock),
            Pause::Row(cell, want) => self.wait_for_write_back(cell, want),
            Pause::For(ns) => self.pause_for(ns),
        }
    }

    /// Short pauses are spun away, longer ones slept; a ring ends them early. Bounded by `ns`. Now and then a short one is slept, too, however short: what
    /// surrounds a sleep (a GIL that others wait for, Ctrl-C) would have no turn where somebody loses for ever.
    pub(super) fn pause_for(&mut self, ns: u64) -> Result<(), Stop> {
        let is_turn_of_others = self.failures.is_multiple_of(RETRIES_TO_A_LOOK);
        if is_turn_of_others || ns >= self.platform().spin_ns() && ns > 0 {
            let bell = Bell::look(self.arena(), self.slot);
            return self.sleep(bell, ns.max(1));
        }
        let began = self.platform().now_ns();
        while self.platform().now_ns().saturating_sub(began) < ns {
            self.platform().spin_hint();
        }
        Ok(())
    }

    /// Whoever was stopped does not come back before its stopper is done, or `restart_ns` has passed.
    fn wait_for_stopper(&mut self) -> Result<(), Stop> {
        let word = self.platform().swap(self.slot.stopped_by(), 0, Relaxed);
        let Some(stopper) = AttemptId::unpack(word) else { return Ok(()) };
        let began = self.platform().now_ns();
        let spin_ns = self.platform().spin_ns();
        // Bounded by `restart_ns`, but for an irrevocable stopper by its life, until that has cost too many attempts. It rings when
        // it is over.
        loop {
            let bell = Bell::look(self.arena(), self.slot);
            if is_over(self.arena(), stopper) {
                return Ok(());
            }
            let waited = self.platform().now_ns().saturating_sub(began);
            if waited >= self.limits.restart_ns {
                // A silent one may go on for ever, and who reads visibly gets past it.
                if self.failures >= self.limits.visible_attempts || !self.irrevocable_goes_on(stopper) {
                    return Ok(());
                }
                self.sleep(bell, self.limits.restart_ns)?;
                continue;
            }
            if waited < spin_ns {
                self.platform().spin_hint();
            } else {
                self.sleep(bell, self.limits.restart_ns - waited)?;
            }
        }
    }
}
