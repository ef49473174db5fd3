//! What can be wrong with a history, in words.

use std::fmt;

use super::{Attempt, History, Outcome};

/// What a history cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Anomaly {
    /// Two commits gave one cell the same version.
    #[error("cell {cell} has version {version} from two commits: {first} and {second}")]
    SameVersion {
        /// The cell.
        cell: u64,
        /// The version.
        version: u64,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A write did not replace the version before its own: what came in between is lost.
    #[error("{writer} replaced version {replaced} of cell {cell}, but the version before its own is {before:?}")]
    LostUpdate {
        /// The cell.
        cell: u64,
        /// What the writer thought to replace.
        replaced: u64,
        /// What was there.
        before: Option<u64>,
        /// Who.
        writer: String,
    },
    /// A version that nobody committed was read or replaced.
    #[error("{reader} saw version {version:?} of cell {cell} with value {value:#x}, which nobody committed")]
    Dirty {
        /// The cell.
        cell: u64,
        /// The version; `None`: only the value is known.
        version: Option<u64>,
        /// The value.
        value: u64,
        /// Who.
        reader: String,
    },
    /// The right version with another value than was written.
    #[error("{reader} saw version {version} of cell {cell} as {seen:#x}; it was written as {written:#x}")]
    WrongValue {
        /// The cell.
        cell: u64,
        /// The version.
        version: u64,
        /// What was seen.
        seen: u64,
        /// What had been written.
        written: u64,
        /// Who.
        reader: String,
    },
    /// The body was told something else than its own write, or than its log says.
    #[error("the body of {reader} was told {told:#x} for cell {cell} and should have been told {expected:x?}")]
    Untrue {
        /// The cell.
        cell: u64,
        /// What `read` returned.
        told: u64,
        /// Its own write; `None`: what stands in its log, which has no such read.
        expected: Option<u64>,
        /// Who.
        reader: String,
    },
    /// Attempts that cannot have happened one after the other. The shortest such cycle.
    #[error("{}", in_words(.0))]
    Cycle(Vec<Edge>),
}

impl Anomaly {
    /// The edges of the cycle, if it is one.
    pub fn cycle(&self) -> Option<&[Edge]> {
        match self {
            Self::Cycle(edges) => Some(edges),
            _ => None,
        }
    }
}

/// One must come before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Index of the earlier attempt.
    pub before: usize,
    /// Index of the later attempt.
    pub after: usize,
    /// Why.
    pub why: Why,
    /// The sentence.
    pub words: String,
}

/// Why one attempt must come before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The later one replaced what the earlier one wrote.
    WriteWrite,
    /// The later one read what the earlier one wrote.
    WriteRead,
    /// The later one replaced what the earlier one read.
    ReadWrite,
    /// The earlier one was over before the later one began.
    RealTime,
}

impl Why {
    pub(super) fn sentence(self, history: &History, before: usize, after: usize, cell: u64) -> String {
        let (one, other) = (name(history, before), name(history, after));
        match self {
            Self::WriteWrite => format!("{other} replaced in cell {cell} what {one} wrote"),
            Self::WriteRead => format!("{other} read in cell {cell} what {one} wrote"),
            Self::ReadWrite => format!("{other} replaced in cell {cell} what {one} read"),
            Self::RealTime => format!("{one} was over before {other} began"),
        }
    }
}

/// An attempt as people are told of it.
pub(super) fn name(history: &History, index: usize) -> String {
    let Attempt { participant, outcome, .. } = &history.attempts[index];
    let end = match outcome {
        Outcome::Committed(version) => format!("committed at {version}"),
        Outcome::ReadOnly => "read only".to_owned(),
        Outcome::Aborted => "aborted".to_owned(),
        Outcome::Unfinished => "unfinished".to_owned(),
    };
    format!("attempt {index} (participant {participant}, {end})")
}

fn in_words(cycle: &[Edge]) -> String {
    struct Sentences<'a>(&'a [Edge]);
    impl fmt::Display for Sentences<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "no order of these attempts explains what they saw:")?;
            self.0.iter().try_for_each(|edge| write!(f, "\n  {}", edge.words))
        }
    }
    Sentences(cycle).to_string()
}
