//! What the system knows of a simulated thread.

use std::collections::VecDeque;

use super::scheduler::Candidate;
use super::watch::Watch;
use crate::fault::{Fault, FaultKind};
use crate::random::Random;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// In the queue of its core, since a time in ps.
    Ready(u64),
    /// On its core.
    Running,
    /// Asleep on a bell, until its place on the agenda comes.
    Sleeping(u64),
    /// Rung; on its way to a core.
    Waking,
    /// Asleep by its own will, until its place on the agenda comes.
    Resting,
    /// Standing still, until its place on the agenda comes.
    Stopped,
    /// Its body is through.
    Ended,
    /// Its process is dead.
    Killed,
}

/// One simulated thread. Times in ps.
#[derive(Debug)]
pub struct Thread {
    pub(super) process: u32,
    pub(super) activity: Activity,
    /// Its own time: what it has done is done by then.
    pub(super) time: u64,
    /// The core that it runs on, or ran on last.
    pub(super) core: usize,
    /// When its stores have arrived.
    pub(super) drained: u64,
    /// On its core since.
    pub(super) dispatched: u64,
    /// Its slice is over at.
    pub(super) slice_end: u64,
    /// Processor time so far, in the scheduler's measure.
    pub(super) ran: u64,
    /// It is to give up its core before its next step.
    pub(super) evicted: bool,
    /// Memory operations so far.
    pub(super) steps: u64,
    /// The step before which the next fault strikes.
    pub(super) fault_step: u64,
    pub(super) faults: VecDeque<Fault>,
    /// Everything takes so many times as long.
    pub(super) slowness: u64,
    /// Its wait was ended by a ring.
    pub(super) rung: bool,
    pub(super) watch: Watch,
    /// What its transfers draw from.
    pub(super) random: Random,
}

impl Thread {
    pub(super) fn new(process: u32, core: usize, time: u64, mut faults: Vec<Fault>, random: Random) -> Self {
        faults.sort_by_key(|fault| fault.step);
        let mut thread = Self {
            process,
            activity: Activity::Ready(time),
            time,
            core,
            drained: 0,
            dispatched: time,
            slice_end: 0,
            ran: 0,
            evicted: false,
            steps: 0,
            fault_step: 0,
            faults: faults.into(),
            slowness: 1,
            rung: false,
            watch: Watch::default(),
            random,
        };
        thread.note_next_fault();
        thread
    }

    /// The fault that strikes before the step to come, taken off the list.
    pub(super) fn take_fault(&mut self) -> Option<FaultKind> {
        let fault = self.faults.pop_front_if(|fault| fault.step <= self.steps + 1);
        self.note_next_fault();
        fault.map(|fault| fault.kind)
    }

    fn note_next_fault(&mut self) {
        self.fault_step = self.faults.front().map_or(u64::MAX, |fault| fault.step);
    }

    /// Over, one way or the other.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.activity, Activity::Ended | Activity::Killed)
    }

    /// As a scheduler sees it at `now`.
    pub(super) fn candidate(&self, number: usize, now: u64) -> Candidate {
        let (since, running_for) = match self.activity {
            Activity::Ready(since) => (since, 0),
            Activity::Running => (self.dispatched, now.saturating_sub(self.dispatched)),
            _ => (now, 0),
        };
        Candidate {
            thread: number,
            since,
            ran: self.ran + running_for,
            locks: self.watch.locks,
            transaction_since: self.watch.transaction_since,
        }
    }

    /// `cost` as it is for this thread.
    #[inline]
    pub(super) fn pass(&mut self, cost: u64) {
        self.time = self.time.saturating_add(cost.saturating_mul(self.slowness));
    }
}
