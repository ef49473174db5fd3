//! Who is on which core: leaving it, queueing for it, taking the next one from a queue.

use super::System;
use super::agenda::NEVER;
use super::scheduler::Candidate;
use super::thread::{Activity, Thread};

impl System {
    /// `me`, which runs, gives its core to whoever is next there and is `activity` until `until`.
    pub(super) fn leave_core(&mut self, me: usize, activity: Activity, until: u64) {
        self.busy_since_commit += self.since_commit(&self.threads[me]);
        let thread = &mut self.threads[me];
        let time = thread.time;
        thread.ran += time.saturating_sub(thread.dispatched);
        thread.activity = activity;
        thread.evicted = false;
        let core = thread.core;
        self.agenda.set(me, until);
        self.cores[core] = None;
        self.dispatch(core, time);
    }

    /// True if somebody is ready on `core`. If nobody is, one from the longest queue comes over, so that in the long run all
    /// threads share all cores.
    pub(super) fn somebody_waits_for(&mut self, core: usize) -> bool {
        if self.ready_on(core).next().is_some() {
            return true;
        }
        let Some(longest) = self.longest_queue() else { return false };
        let time = self.now;
        let first =
            self.ready_on(longest).min_by_key(|&number| (self.threads[number].candidate(number, time).since, number));
        if let Some(first) = first {
            self.threads[first].core = core;
        }
        first.is_some()
    }

    /// Numbers of the threads that are ready on `core`.
    pub(super) fn ready_on(&self, core: usize) -> impl Iterator<Item = usize> + '_ {
        let ready = move |thread: &Thread| thread.core == core && matches!(thread.activity, Activity::Ready(_));
        self.threads.iter().enumerate().filter(move |(_, thread)| ready(thread)).map(|(number, _)| number)
    }

    /// The idle `core` takes the next thread: of its own queue, else of the longest.
    pub(super) fn dispatch(&mut self, core: usize, time: u64) {
        let mut from = core;
        if self.ready_on(core).next().is_none() {
            let Some(longest) = self.longest_queue() else { return };
            from = longest;
        }
        let ready: Vec<Candidate> =
            self.ready_on(from).map(|number| self.threads[number].candidate(number, time)).collect();
        if ready.is_empty() {
            return;
        }
        let chosen = self.scheduler.choose(time, &ready);
        let thread = &mut self.threads[chosen];
        let start = time.max(thread.time);
        thread.core = core;
        self.run_on(chosen, start + self.prices.context_switch);
    }

    /// The core with the most ready threads, the lowest of several.
    pub(super) fn longest_queue(&self) -> Option<usize> {
        let mut lengths = vec![0u32; self.cores.len()];
        for thread in &self.threads {
            if matches!(thread.activity, Activity::Ready(_)) {
                lengths[thread.core] += 1;
            }
        }
        let longest = (0..lengths.len()).rev().max_by_key(|&core| lengths[core])?;
        (lengths[longest] > 0).then_some(longest)
    }

    /// `thread` is on its core, which is free, from `time` on.
    pub(super) fn run_on(&mut self, chosen: usize, time: u64) {
        let thread = &mut self.threads[chosen];
        self.hash.mix(&[u64::from(b'd') << 32 | thread.core as u64, chosen as u64, time]);
        thread.activity = Activity::Running;
        thread.time = time;
        thread.dispatched = time;
        thread.slice_end = time + self.prices.slice;
        self.cores[thread.core] = Some(chosen);
        self.agenda.set(chosen, time);
    }

    /// `thread` wants a core from `time` on: its own if that is idle, else another idle one, else it queues.
    pub(super) fn become_ready(&mut self, number: usize, time: u64) {
        let core = self.threads[number].core;
        let core = if self.cores[core].is_none() { core } else { self.idle_core_near(core).unwrap_or(core) };
        let least = self.least_ran(core, time);
        let thread = &mut self.threads[number];
        thread.core = core;
        thread.ran = self.scheduler.credit_of_sleeper(thread.ran, least, self.prices.slice);
        let Some(running) = self.cores[core] else { return self.run_on(number, time) };
        let thread = &mut self.threads[number];
        thread.activity = Activity::Ready(time);
        thread.time = time;
        self.agenda.set(number, NEVER);
        let woken = self.threads[number].candidate(number, time);
        let current = self.threads[running].candidate(running, time);
        if self.scheduler.preempts(&woken, &current, self.prices.slice) {
            self.threads[running].evicted = true;
        }
    }

    /// What the one on `core` who has run least has run.
    pub(super) fn least_ran(&self, core: usize, time: u64) -> u64 {
        let running = self.cores[core].into_iter();
        let all = running.chain(self.ready_on(core));
        all.map(|number| self.threads[number].candidate(number, time).ran).min().unwrap_or(0)
    }

    /// The idle core that is nearest to `core`, the lowest of several.
    pub(super) fn idle_core_near(&self, core: usize) -> Option<usize> {
        let idle = (0..self.cores.len()).filter(|&other| self.cores[other].is_none());
        idle.min_by_key(|&other| self.topology.distance(core, other))
    }
}
