//! The simulated operating system: cores, run queues, slices, sleeping and waking, faults, and who is next.
//!
//! **Time.** Each thread has its own time. A step (one memory operation, one call of the kernel) is made when its thread is the
//! earliest of all, ties to the lower number; then its effect takes place and its thread's time moves on by its price. So
//! steps happen in the order of (time, thread), whoever computes them, and the whole run follows from the seed.
//!
//! **Protocol of a step.** The thread asks [`System::turn`]. It is told to go on, or to hand the operating system thread back
//! ([`Turn::Yield`]): because somebody else is earlier, because its slice is over, because a fault has struck. A thread that
//! is still the earliest after a step goes on without a switch (*running ahead*): that changes nothing, for the question it
//! is spared has only one answer.
//!
//! Invariants:
//! 1. At most one thread's place on the agenda is out of date: that of the one that runs on the operating system thread.
//! 2. A core runs at most one thread; a core is idle only if its queue is empty.
//! 3. A thread that is over makes no step: what its destructors ask for changes nothing.
//! 4. Nothing here draws from anything but the seed: no clock, no address, no order of a hash map.

mod agenda;
mod cores;
mod members;
pub mod scheduler;
mod sleep;
mod thread;
mod watch;

pub use members::Members;
pub use thread::Activity;
pub use watch::{Places, Watch};

use crate::fault::{Fault, FaultKind};
use crate::machine::{Access, Memory, Prices, Topology, Visitor};
use crate::measure::Verdict;
use crate::random::Random;
use crate::trace_hash::TraceHash;
use agenda::{Agenda, NEVER};
use scheduler::Scheduler;
use thread::Thread;

/// What a thread that wants to make a step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Make it.
    Go,
    /// Suspend, then ask again.
    Yield,
    /// It is over: whatever it asks for has no effect.
    Over,
}

/// What a system starts with.
pub struct Start {
    /// Words of memory.
    pub words: u64,
    /// Where the words are that the watch looks at.
    pub places: Places,
    /// Prices of the machine.
    pub prices: Prices,
    /// Its groups.
    pub topology: Topology,
    /// Its cores.
    pub cores: usize,
    /// Who gets them.
    pub scheduler: Box<dyn Scheduler>,
    /// For the draws.
    pub seed: u64,
    /// Steps at most.
    pub budget: u64,
    /// Without a commit for so long, in ps, the run is over.
    pub patience: u64,
    /// Whether a thread that is still the earliest goes on without a switch.
    pub runs_ahead: bool,
}

/// The state of the simulated world.
pub struct System {
    pub(crate) prices: Prices,
    topology: Topology,
    memory: Memory,
    places: Places,
    pub(crate) members: Members,
    agenda: Agenda,
    threads: Vec<Thread>,
    /// Who runs on each core.
    cores: Vec<Option<usize>>,
    scheduler: Box<dyn Scheduler>,
    hostile: bool,
    seed: u64,
    random: Random,
    pub(crate) entropy: Random,
    /// The thread that runs on the operating system thread now.
    pub(crate) current: Option<usize>,
    /// The current thread has been found to be the earliest and has not made its step yet.
    granted: bool,
    runs_ahead: bool,
    /// The time of the last event, and of what happens outside all threads. In ps.
    now: u64,
    /// When the last thread so far was through.
    ended: u64,
    steps: u64,
    budget: u64,
    patience: u64,
    patience_ends: u64,
    /// Up to when somebody has gone to rest.
    rests_until: u64,
    last_commit: u64,
    /// Processor time of those that have left their core since the last commit, from that commit on.
    busy_since_commit: u64,
    rings_since_commit: u64,
    verdict: Option<Verdict>,
    pub(crate) hash: TraceHash,
}

impl System {
    /// A world in which nothing has happened.
    pub fn new(start: Start) -> Self {
        Self {
            prices: start.prices,
            topology: start.topology,
            memory: Memory::new(start.words),
            places: start.places,
            members: Members::default(),
            agenda: Agenda::new(0),
            threads: Vec::new(),
            cores: vec![None; start.cores],
            hostile: start.scheduler.is_hostile(),
            scheduler: start.scheduler,
            seed: start.seed,
            random: Random::split(start.seed, 1),
            entropy: Random::split(start.seed, 2),
            current: None,
            granted: false,
            runs_ahead: start.runs_ahead,
            now: 0,
            ended: 0,
            steps: 0,
            budget: start.budget,
            patience: start.patience,
            patience_ends: u64::MAX,
            rests_until: 0,
            last_commit: 0,
            busy_since_commit: 0,
            rings_since_commit: 0,
            verdict: None,
            hash: TraceHash::default(),
        }
    }

    /// Adds a thread of `process`, before the run. Threads are spread over the cores in turn.
    pub fn add_thread(&mut self, process: u32, faults: &[Fault]) -> usize {
        let number = self.threads.len();
        let faults = faults.iter().filter(|fault| fault.thread == number).copied().collect();
        // Streams 1 and 2 are the system's own.
        let random = Random::split(self.seed, 3 + number as u64);
        self.threads.push(Thread::new(process, number % self.cores.len(), self.now, faults, random));
        number
    }

    /// Gives each core its first thread.
    pub fn begin(&mut self) {
        self.agenda = Agenda::new(self.threads.len());
        self.note_commit(self.now);
        for core in 0..self.cores.len() {
            self.dispatch(core, self.now);
        }
    }

    /// The thread that is to be resumed now; `None` when the run is over and the verdict stands.
    pub fn next_thread(&mut self) -> Option<usize> {
        // Bounded: each turn takes one event off the agenda.
        while self.verdict.is_none() {
            let Some((time, thread)) = self.agenda.earliest() else {
                let through = self.threads.iter().all(Thread::is_over);
                self.verdict = Some(if through { Verdict::Ok } else { Verdict::Stuck });
                break;
            };
            let activity = self.threads[thread].activity;
            // Whoever runs is asked at its turn, so that running ahead changes nothing.
            if activity != Activity::Running && time > self.patience_ends {
                self.lose_patience();
                break;
            }
            self.now = time;
            match activity {
                Activity::Running => {
                    self.agenda.start(thread);
                    self.current = Some(thread);
                    self.granted = true;
                    return Some(thread);
                }
                Activity::Sleeping(_) | Activity::Resting => self.time_out(thread, time),
                Activity::Waking | Activity::Stopped => self.become_ready(thread, time),
                Activity::Ready(_) | Activity::Ended | Activity::Killed => self.agenda.set(thread, NEVER),
            }
        }
        None
    }

    /// Without a commit for too long: nobody was rung and the cores were idle but for looks of timed-out sleepers: stuck.
    fn lose_patience(&mut self) {
        let running = self.cores.iter().flatten().map(|&thread| &self.threads[thread]);
        let running: u64 = running.map(|thread| self.since_commit(thread)).sum();
        let idle = self.busy_since_commit + running < self.patience / 20;
        let stuck = idle && self.rings_since_commit == 0;
        self.verdict = Some(if stuck { Verdict::Stuck } else { Verdict::Livelocked });
    }

    /// How long `thread`, which runs, has had its core since it got it or since the last commit.
    fn since_commit(&self, thread: &Thread) -> u64 {
        thread.time.saturating_sub(thread.dispatched.max(self.last_commit))
    }

    /// The current thread wants to make a step.
    #[inline]
    pub fn turn(&mut self) -> Turn {
        let Some(me) = self.current else { return Turn::Go };
        let thread = &self.threads[me];
        let time = thread.time;
        if thread.is_over() {
            return Turn::Over;
        }
        let earliest = self.granted || self.runs_ahead && self.agenda.comes_first(time, me);
        if !earliest {
            self.agenda.set(me, time);
            return Turn::Yield;
        }
        self.granted = false;
        let thread = &self.threads[me];
        if thread.steps + 1 >= thread.fault_step
            || thread.evicted
            || time >= thread.slice_end
            || time > self.patience_ends
            || self.hostile
            || self.steps >= self.budget
        {
            let turn = self.disturb(me);
            if turn != Turn::Go {
                return turn;
            }
        }
        self.now = time;
        self.steps += 1;
        self.threads[me].steps += 1;
        Turn::Go
    }

    /// All that may come between a thread and its step.
    #[cold]
    fn disturb(&mut self, me: usize) -> Turn {
        let time = self.threads[me].time;
        if time > self.patience_ends {
            self.lose_patience();
            return Turn::Yield;
        }
        if self.steps >= self.budget {
            self.verdict = Some(Verdict::OutOfBudget);
            return Turn::Yield;
        }
        while let Some(fault) = self.threads[me].take_fault() {
            self.hash.mix(&[u64::from(b'f'), me as u64, time]);
            match fault {
                FaultKind::Kill => {
                    self.kill(me);
                    return Turn::Yield;
                }
                FaultKind::Stop(ns) => {
                    self.stand_still(me, ns.saturating_mul(1000));
                    return Turn::Yield;
                }
                FaultKind::Slow(times) => self.threads[me].slowness = times.max(1),
            }
        }
        if self.hostile {
            let candidate = self.threads[me].candidate(me, time);
            if let Some(away) = self.scheduler.takes_away(time, &candidate, self.prices.slice) {
                self.stand_still(me, away);
                return Turn::Yield;
            }
        }
        let evicted = std::mem::take(&mut self.threads[me].evicted);
        if evicted || time >= self.threads[me].slice_end {
            if self.somebody_waits_for(self.threads[me].core) {
                self.leave_core(me, Activity::Ready(time), NEVER);
                return Turn::Yield;
            }
            self.threads[me].slice_end = time + self.prices.slice;
        }
        Turn::Go
    }

    /// One memory operation of the current thread, which has its turn; or of whoever stands outside, which costs nothing.
    #[inline]
    pub fn access<R>(&mut self, access: Access, word: u64, effect: impl FnOnce(&mut u64) -> R) -> R {
        let (value, line) = self.memory.at(word);
        let Some(me) = self.current else { return effect(value) };
        let thread = &mut self.threads[me];
        let visitor =
            Visitor { core: thread.core, now: thread.time, drained: thread.drained, random: &mut thread.random };
        let charge = line.access(access, visitor, &self.prices, &self.topology);
        let old = *value;
        let result = effect(value);
        let new = *value;
        let began = thread.time;
        thread.drained = charge.drained;
        thread.pass(charge.done - began);
        self.hash.mix(&[(me as u64) << 56 | (access as u64) << 48 ^ word, began, new]);
        match access {
            Access::Load => {}
            Access::Store => {
                if thread.watch.stored(&self.places, word, old, new, began) {
                    self.note_commit(began);
                }
            }
            Access::Exchange if new != old => thread.watch.exchanged(&self.places, word, new),
            Access::Exchange => {}
        }
        result
    }

    /// A word without its price.
    #[inline]
    pub fn word<R>(&mut self, word: u64, effect: impl FnOnce(&mut u64) -> R) -> R {
        effect(self.memory.at(word).0)
    }

    fn note_commit(&mut self, time: u64) {
        self.last_commit = time;
        self.patience_ends = time.max(self.rests_until).saturating_add(self.patience);
        self.busy_since_commit = 0;
        self.rings_since_commit = 0;
    }

    /// A full fence of the current thread: its stores arrive first.
    #[inline]
    pub fn fence(&mut self) {
        let Some(me) = self.current else { return };
        let thread = &mut self.threads[me];
        thread.time = thread.time.max(thread.drained);
        thread.pass(self.prices.fence);
    }

    /// `cost` ps of the current thread's own.
    #[inline]
    pub fn spend(&mut self, cost: u64) {
        match self.current {
            Some(me) => self.threads[me].pass(cost),
            // Outside there are no prices, but a loop that waits must end.
            None => self.now += cost,
        }
    }

    /// Time passes that is nobody's work: it does not take longer for whoever is slow.
    pub fn let_pass(&mut self, ps: u64) {
        match self.current {
            Some(me) => self.threads[me].time = self.threads[me].time.saturating_add(ps),
            None => self.now += ps,
        }
    }

    /// The time that the current thread sees, in ps.
    #[inline]
    pub fn time(&self) -> u64 {
        self.current.map_or(self.now, |me| self.threads[me].time)
    }

    /// True if the current thread is over.
    pub fn is_over(&self) -> bool {
        self.current.is_some_and(|me| self.threads[me].is_over())
    }

    /// The body of `thread` is through, or has panicked.
    pub fn ended(&mut self, thread: usize, panic: Option<String>) {
        if let Some(message) = panic {
            self.verdict.get_or_insert(Verdict::Wrong(format!("thread {thread} panicked: {message}")));
        }
        if !self.threads[thread].is_over() {
            self.ended = self.ended.max(self.threads[thread].time);
            self.leave_core(thread, Activity::Ended, NEVER);
        }
        self.current = None;
    }

    /// The current thread has handed the operating system thread back.
    pub fn suspended(&mut self) {
        self.current = None;
    }

    /// Nothing is to have an effect any more: the fibers that are left are about to be dropped.
    pub fn bury(&mut self, thread: usize) {
        self.current = Some(thread);
        self.threads[thread].activity = Activity::Killed;
    }

    fn kill(&mut self, me: usize) {
        let process = self.threads[me].process;
        self.members.kill(process);
        self.leave_core(me, Activity::Killed, NEVER);
        // A process dies whole.
        for other in 0..self.threads.len() {
            if other != me && self.threads[other].process == process && !self.threads[other].is_over() {
                self.threads[other].activity = Activity::Killed;
                self.agenda.set(other, NEVER);
                let core = self.threads[other].core;
                if self.cores[core] == Some(other) {
                    self.cores[core] = None;
                    self.dispatch(core, self.threads[me].time);
                }
            }
        }
    }

    fn stand_still(&mut self, me: usize, ps: u64) {
        let until = self.threads[me].time.saturating_add(ps);
        self.leave_core(me, Activity::Stopped, until);
    }

    /// How it ended, once it has.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }
    /// Memory operations of all threads.
    pub fn steps(&self) -> u64 {
        self.steps
    }
    /// Memory operations of one.
    pub fn steps_of(&self, thread: usize) -> u64 {
        self.threads[thread].steps
    }
    /// What a thread is doing.
    pub fn activity_of(&self, thread: usize) -> Activity {
        self.threads[thread].activity
    }
    /// What a thread's transactions did.
    pub fn watch_of(&self, thread: usize) -> &Watch {
        &self.threads[thread].watch
    }
    /// Words of memory.
    pub fn words(&self) -> u64 {
        self.memory.words()
    }
    /// The time of the last event, in ps.
    pub fn now(&self) -> u64 {
        self.now.max(self.ended)
    }
}
