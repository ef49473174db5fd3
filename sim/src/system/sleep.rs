//! Sleeping on a bell, and being rung.

use super::System;
use super::thread::Activity;
use crate::machine::Access;

impl System {
    /// The current thread, which has its turn, goes to sleep if the low half of `bell` still is `expected`. False: it is not,
    /// or nobody could ever wake whoever stands outside.
    pub fn fall_asleep(&mut self, bell: u64, expected: u32, timeout_ps: u64) -> bool {
        self.spend(self.prices.kernel_call);
        let value = self.access(Access::Load, bell, |word| *word);
        let Some(me) = self.current else {
            // Outside, time passes.
            self.now = self.now.saturating_add(timeout_ps);
            return false;
        };
        if value as u32 != expected {
            return false;
        }
        let thread = &mut self.threads[me];
        thread.rung = false;
        let until = thread.time.saturating_add(timeout_ps);
        self.leave_core(me, Activity::Sleeping(bell), until);
        true
    }

    /// The current thread, which has its turn, sleeps for a time of its own. Whoever waits for a commit waits that much longer: it has nothing to
    /// do meanwhile. False: whoever stands outside does not sleep.
    pub fn rest(&mut self, ps: u64) -> bool {
        self.spend(self.prices.kernel_call);
        let Some(me) = self.current else {
            // Outside, time passes.
            self.now = self.now.saturating_add(ps);
            return false;
        };
        let until = self.threads[me].time.saturating_add(ps);
        self.rests_until = self.rests_until.max(until);
        self.patience_ends = self.patience_ends.max(until.saturating_add(self.patience));
        self.leave_core(me, Activity::Resting, until);
        true
    }

    /// The sleep of the current thread is over. True: it was rung.
    pub fn was_rung(&self) -> bool {
        self.current.is_none_or(|me| self.threads[me].rung)
    }

    /// The current thread, which has its turn, wakes whoever sleeps on `bell`.
    pub fn ring(&mut self, bell: u64) {
        let sleepers: Vec<usize> = (0..self.threads.len())
            .filter(|&number| self.threads[number].activity == Activity::Sleeping(bell))
            .collect();
        self.spend(self.prices.kernel_call);
        for sleeper in sleepers {
            self.rings_since_commit += 1;
            self.threads[sleeper].rung = true;
            self.wake_up(sleeper, self.time());
        }
    }

    pub(super) fn time_out(&mut self, sleeper: usize, time: u64) {
        self.threads[sleeper].rung = false;
        // The clock's interrupt comes on the core that the sleeper ran on.
        let latency = self.draw_latency(true);
        self.threads[sleeper].activity = Activity::Waking;
        self.agenda.set(sleeper, time + latency);
    }

    /// Chooses a core for `sleeper` and draws how long it takes until it is there.
    fn wake_up(&mut self, sleeper: usize, time: u64) {
        let last = self.threads[sleeper].core;
        let ringer = self.current.map(|me| self.threads[me].core);
        let core = if self.cores[last].is_none() { last } else { self.idle_core_near(last).unwrap_or(last) };
        if ringer != Some(core) {
            // The ringer pays for reaching into another core.
            self.spend(self.prices.wake_call);
        }
        let latency = self.draw_latency(ringer == Some(core));
        self.hash.mix(&[u64::from(b'w'), sleeper as u64, time + latency]);
        let thread = &mut self.threads[sleeper];
        thread.core = core;
        thread.activity = Activity::Waking;
        self.agenda.set(sleeper, time + latency);
    }

    fn draw_latency(&mut self, same_core: bool) -> u64 {
        let samples = if same_core { &self.prices.wake_same_core } else { &self.prices.wake_other_core };
        // Profiles have at least one sample.
        samples[self.random.below(samples.len() as u64) as usize]
    }
}
