//! Traces of cells: the text in which transactions are written down, to be run again elsewhere.
//!
//! It stands in the engine, below all that writes traces (recorders here and in the Python binding, generators in the
//! simulator). It only makes text: files, compression and reading are the business of others (`pso_sim::trace` reads).
//!
//! # Grammar, version 1
//!
//! ```text
//! trace       = "pso-trace 1" NL { key " " value NL } "--" NL { transaction NL } [ "end " count NL ]
//! key         = "name" | "from"         free text, one line; `from` says where the trace comes from
//!             | "participants"          how many, or "?": as many as the lines name
//!             | "cells"                 how many, or "?": cells are named by any numbers, not counted from 0
//!             | "seed"                  what it was generated with; 0 for recorded ones
//!             | "start"                 clock at arrival 0 in ns, by which parts of one recording are put together; else 0
//! transaction = participant " " arrival " " think { " " operation }
//! operation   = "r" cell                reads the cell
//!             | "w" cell [ sign n ]     adds n (1 if absent) to the cell
//!             | "u" cell "=" value      waits, by retry, until the cell holds the value: a hand-over
//!             | "a" words               allocates a block of so many payload words
//!             | "c" ns                  computes
//! sign        = "+" | "-"
//! ```
//!
//! Numbers are decimal. Every key appears once, in any order. `arrival` is when the transaction may begin at the earliest,
//! in ns from the start (0: at once), `think` what its participant waits before it. Lines of one participant run in their
//! order. Every cell holds 0 at first, so what it holds at the end is the sum of what committed transactions added: a run
//! can be checked. The line `end`, with the number of transactions, tells a whole trace from one that was cut.
//! A reader refuses a newer version: it cannot know what it would miss.
//!
//! Hand-overs: who writes a cell that anybody waits for waits for it first, in the same transaction, and adds more than 0;
//! in the order of the lines every wait is satisfied. So the values of such a cell come in the order of the lines, and
//! lines dealt to any number of participants, each keeping their order, never wait for each other in a ring.

mod recorder;

pub use recorder::Recorder;

use std::fmt::{self, Display, Formatter};

/// Of the format that is written here.
pub const VERSION: u32 = 1;
/// How every trace begins; the version follows.
pub const MAGIC: &str = "pso-trace";
/// The line between header and transactions.
pub const SEPARATOR: &str = "--";

/// What stands before the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name, one line.
    pub name: String,
    /// Where it comes from, one line.
    pub from: String,
    /// How many; `None`: as many as the lines name.
    pub participants: Option<u32>,
    /// How many, numbered from 0; `None`: named by any numbers.
    pub cells: Option<u64>,
    /// Of the generator.
    pub seed: u64,
    /// Clock at arrival 0, ns.
    pub start_ns: u64,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who runs it.
    pub participant: u32,
    /// When it may begin at the earliest, ns from the start; 0: at once.
    pub arrival_ns: u64,
    /// What the participant waits before it, ns.
    pub think_ns: u64,
    /// In their order.
    pub operations: Vec<Operation>,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads a cell.
    Read {
        /// Which.
        cell: u64,
    },
    /// Adds to a cell.
    Write {
        /// Which.
        cell: u64,
        /// What.
        add: i64,
    },
    /// Waits by retry until the cell holds `value`.
    Await {
        /// Which.
        cell: u64,
        /// For what.
        value: i64,
    },
    /// Allocates a block.
    Allocate {
        /// Of its payload.
        words: u64,
    },
    /// Computes.
    Compute {
        /// For so long, ns.
        ns: u64,
    },
}

impl Operation {
    /// The cell that it is about.
    pub fn cell(&self) -> Option<u64> {
        match *self {
            Self::Read { cell } | Self::Write { cell, .. } | Self::Await { cell, .. } => Some(cell),
            Self::Allocate { .. } | Self::Compute { .. } => None,
        }
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Read { cell } => write!(f, "r{cell}"),
            Self::Write { cell, add: 1 } => write!(f, "w{cell}"),
            Self::Write { cell, add } => write!(f, "w{cell}{add:+}"),
            Self::Await { cell, value } => write!(f, "u{cell}={value}"),
            Self::Allocate { words } => write!(f, "a{words}"),
            Self::Compute { ns } => write!(f, "c{ns}"),
        }
    }
}

/// The line, without its end.
impl Display for Transaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.participant, self.arrival_ns, self.think_ns)?;
        self.operations.iter().try_for_each(|operation| write!(f, " {operation}"))
    }
}

/// All lines up to the first transaction, with their ends. Line ends within a text become blanks.
impl Display for Header {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(f, "{MAGIC} {VERSION}")?;
        writeln!(f, "name {}", one_line(&self.name))?;
        writeln!(f, "from {}", one_line(&self.from))?;
        writeln!(f, "participants {}", count(self.participants.map(u64::from)))?;
        writeln!(f, "cells {}", count(self.cells))?;
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "start {}", self.start_ns)?;
        writeln!(f, "{SEPARATOR}")
    }
}

/// The last line of a whole trace, with its end.
pub fn ending(transactions: u64) -> String {
    format!("end {transactions}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_text_that_people_read() {
        let header = Header {
            name: "two\nlines".into(),
            from: "a test".into(),
            participants: Some(2),
            cells: None,
            seed: 7,
            start_ns: 0,
        };
        let expected = "pso-trace 1\nname two lines\nfrom a test\nparticipants 2\ncells ?\nseed 7\nstart 0\n--\n";
        assert_eq!(header.to_string(), expected);
        let operations = vec![
            Operation::Read { cell: 4 },
            Operation::Compute { ns: 250 },
            Operation::Write { cell: 4, add: 1 },
            Operation::Write { cell: 5, add: -1 },
            Operation::Write { cell: 5, add: 20 },
            Operation::Await { cell: 6, value: 3 },
            Operation::Allocate { words: 8 },
        ];
        let transaction = Transaction { participant: 1, arrival_ns: 0, think_ns: 30, operations };
        assert_eq!(transaction.to_string(), "1 0 30 r4 c250 w4 w5-1 w5+20 u6=3 a8");
        assert_eq!(ending(1), "end 1\n");
    }
}
