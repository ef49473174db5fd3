//! What attempts saw and did, and whether that can have happened one after the other.
//!
//! [`Recorder`] hears of every attempt through the engine's `Observer` and, where a scene reads and writes through it, of each
//! single step, so that attempts which never end (their owner was killed) are known as well. [`History`] judges:
//!
//! 1. *Versions.* The engine gives each committed value of a cell a version, so the order of a cell's values is known and
//!    nothing is searched for: versions of a cell strictly rise, and each write replaced the version before it. (Versions
//!    of different cells say nothing about each other.)
//! 2. *Values.* A read has the value that was written with its version. Test values are unique, so that a right version with
//!    a wrong value shows.
//! 3. *Order.* Edges between attempts: who wrote before whom (ww), who read from whom (wr), who read what whom replaced (rw),
//!    who was over before whom began (real time). No cycle among the committed: strictly serializable (Adya, Liskov, O'Neil:
//!    *Generalized Isolation Level Definitions*, ICDE 2000; with real time as in Papadimitriou, JACM 1979). No cycle with the
//!    aborted and the unfinished as attempts that only read: opaque (Guerraoui, Kapalka, PPoPP 2008).
//!
//! What it cannot see: orders that no read tells apart, and progress.

mod anomaly;
mod graph;
mod recorder;
mod versions;

pub use anomaly::{Anomaly, Edge, Why};
pub use recorder::Recorder;

use std::collections::BTreeMap;

/// One read of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Index of the cell's first word.
    pub cell: u64,
    /// The version read; `None` where only the value is known (the reader never came to its end).
    pub version: Option<u64>,
    /// The raw value.
    pub value: u64,
}

/// One cell written, once per attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Index of the cell's first word.
    pub cell: u64,
    /// Version and raw value that it replaced; `None` where that is not known (the writer never came to its end).
    pub old: Option<(u64, u64)>,
    /// The raw value written.
    pub value: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its writes exist, with this version.
    Committed(u64),
    /// It wrote nothing and was told that it read one state.
    ReadOnly,
    /// It never happened.
    Aborted,
    /// No end was ever heard of: it is under way, or its owner was killed.
    Unfinished,
}

/// One attempt. Times are of a logical clock, no two alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who ran it.
    pub participant: u16,
    /// Before its first access to memory.
    pub begin: u64,
    /// After its outcome was decided; of one whose owner was killed, the death. `None`: not known.
    pub end: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it read of others.
    pub reads: Vec<Read>,
    /// What it wrote, or would have written.
    pub writes: Vec<Write>,
    /// What its body was told and did not find in its own log, as (cell, value, what it should have been).
    pub untrue: Vec<(u64, u64, Option<u64>)>,
}

impl Attempt {
    /// True if its writes exist.
    pub fn committed(&self) -> bool {
        matches!(self.outcome, Outcome::Committed(_))
    }

    /// True if whoever ran it was told that it happened.
    pub fn happened(&self) -> bool {
        matches!(self.outcome, Outcome::Committed(_) | Outcome::ReadOnly)
    }
}

/// All attempts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// In the order of their beginnings.
    pub attempts: Vec<Attempt>,
    /// Version and value of cells before the first attempt. Cells that are missing here have what their first readers saw.
    pub initial: BTreeMap<u64, (u64, u64)>,
}

impl History {
    /// Whether the attempts that happened are strictly serializable. Gives an order: indices into `attempts`.
    ///
    /// Cost: linear in reads and writes, plus a breadth-first search a node of the smallest cyclic component.
    ///
    /// # Errors
    /// The anomaly, with the shortest cycle.
    pub fn strictly_serializable(&self) -> Result<Vec<usize>, Anomaly> {
        self.judge(Attempt::happened)
    }

    /// Whether all attempts are opaque: as above, and what the aborted and the unfinished read was one state, too.
    ///
    /// # Errors
    /// The anomaly, with the shortest cycle.
    pub fn opaque(&self) -> Result<Vec<usize>, Anomaly> {
        self.judge(|_| true)
    }

    fn judge(&self, counts: impl Fn(&Attempt) -> bool) -> Result<Vec<usize>, Anomaly> {
        let history = self.completed();
        let counts: Vec<bool> = history.attempts.iter().map(counts).collect();
        let versions = versions::Versions::of(&history, &counts)?;
        graph::order(&history, &counts, &versions)
    }
}
