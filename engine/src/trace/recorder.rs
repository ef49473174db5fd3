//! Writes down the committed transactions of a participant, as an observer.
//!
//! What it knows is what the logs of an attempt hold, so a recorded transaction is: its logged reads in their order, its
//! allocations, the time that the successful attempt took as computing, then its writes. Not recorded: the order of reads
//! among writes, values, waits for a change (they are part of the think time) and attempts that failed. Cells are named by
//! their place in the space, so that the recordings of several processes fit together.
//!
//! Computing is what the clock says between begin and commit. It contains what the engine itself took, a few hundred ns, and
//! the time in which the process did not get a processor: on a crowded machine a few computations are many ms long, and a
//! replay makes them again.

use std::sync::Arc;

use super::{Operation, Transaction};
use crate::allocator;
use crate::platform::Platform;
use crate::space::Space;
use crate::transaction::{Attempt, Observer, Outcome};
use crate::word::ParticipantId;

/// Where the lines go. Called between two attempts of the participant, on its thread.
pub type Sink = Box<dyn FnMut(&Transaction) + Send>;

/// An observer that hands each committed transaction of one participant to its sink.
pub struct Recorder<P: Platform> {
    space: Arc<Space<P>>,
    participant: u32,
    start_ns: u64,
    sink: Sink,
    /// When the first attempt of the last transaction that lost one began.
    arrived_ns: u64,
    /// Of the attempt under way.
    began_ns: u64,
    /// When the transaction before was written down.
    ended_ns: u64,
    line: Transaction,
}

impl<P: Platform> Recorder<P> {
    /// Records as participant number `participant` of the trace; arrivals count from `start_ns` of the space's clock.
    pub fn new(space: Arc<Space<P>>, participant: u32, start_ns: u64, sink: Sink) -> Self {
        let line = Transaction { participant, arrival_ns: 0, think_ns: 0, operations: Vec::new() };
        Self { space, participant, start_ns, sink, arrived_ns: 0, began_ns: 0, ended_ns: start_ns, line }
    }

    fn now_ns(&self) -> u64 {
        self.space.arena().platform().now_ns()
    }

    fn note(&mut self, attempt: &Attempt<'_, P>, ended_ns: u64) {
        let arrived_ns = if attempt.failures() == 0 { self.began_ns } else { self.arrived_ns };
        self.line.participant = self.participant;
        self.line.arrival_ns = arrived_ns.saturating_sub(self.start_ns);
        self.line.think_ns = arrived_ns.saturating_sub(self.ended_ns);
        let operations = &mut self.line.operations;
        operations.clear();
        attempt.for_each_read(|cell, _, _| operations.push(Operation::Read { cell: cell.index() }));
        attempt.for_each_allocation(|handle| {
            // A block that this attempt made has a size, unless the space is damaged.
            let words = allocator::payload_words(self.space.arena(), handle).unwrap_or(0);
            operations.push(Operation::Allocate { words });
        });
        operations.push(Operation::Compute { ns: ended_ns.saturating_sub(self.began_ns) });
        attempt.for_each_write(|cell, _, _, _| operations.push(Operation::Write { cell: cell.index(), add: 1 }));
        (self.sink)(&self.line);
    }
}

impl<P: Platform> Observer<P> for Recorder<P> {
    fn begins(&mut self, _participant: ParticipantId) {
        self.began_ns = self.now_ns();
    }

    fn ended(&mut self, attempt: &Attempt<'_, P>) {
        if attempt.outcome() == Outcome::Aborted {
            // The first that this transaction has lost, itself included.
            if attempt.failures() == 1 {
                self.arrived_ns = self.began_ns;
            }
            return;
        }
        let ended_ns = self.now_ns();
        self.note(attempt, ended_ns);
        // Once more: what the sink took is nobody's thinking.
        self.ended_ns = self.now_ns();
    }
}
