//! Traces: transactions as text, read, checked, generated and merged. What a line may say is told in [`pso_engine::trace`].
//!
//! A trace is *dense* when its participants and cells are counted from 0, which players need, and *named* when its cells
//! are the places of a recorded space. [`Trace::dense`] numbers them as met.

mod check;
pub mod generate;
mod merge;
mod read;
mod write;

use std::collections::HashMap;

pub use check::Unplayable;
pub use generate::{Contention, Kind, generate};
pub use merge::{MergeError, merge};
pub use pso_engine::trace::{Header, Operation, Transaction, VERSION};
pub use read::TraceError;

/// The most participants of a trace: what a space has room for.
pub const PARTICIPANTS_MAX: u32 = 2046;
/// The most cells of a dense trace.
pub const CELLS_MAX: u64 = 1 << 24;
/// Bytes that a transaction takes in memory, and each of its operations, what the allocator adds included.
pub const MEMORY_BYTES: [u64; 2] = [64, 24];
/// What traces may take in memory.
pub const MEMORY_BYTES_MAX: u64 = 8 << 30;

/// A trace in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What is known of all of it.
    pub header: Header,
    /// In the order of the file.
    pub transactions: Vec<Transaction>,
    /// False: the file ends without its last line. Whoever wrote it was killed, or it was cut; all lines are whole.
    pub whole: bool,
}

impl Trace {
    /// How many participants: what the header says, or as many as the lines name.
    pub fn participants(&self) -> u32 {
        let named = || self.transactions.iter().map(|line| line.participant + 1).max().unwrap_or(0);
        self.header.participants.unwrap_or_else(named)
    }

    /// How many cells: what the header says, or as many as the lines name.
    pub fn cells(&self) -> u64 {
        self.header.cells.unwrap_or_else(|| {
            let cells = self.transactions.iter().flat_map(|line| &line.operations).filter_map(Operation::cell);
            cells.collect::<std::collections::HashSet<_>>().len() as u64
        })
    }

    /// The same with participants and cells counted from 0: named cells are numbered as met.
    pub fn dense(mut self) -> Self {
        if self.header.cells.is_none() {
            let mut numbers = HashMap::new();
            for operation in self.transactions.iter_mut().flat_map(|line| &mut line.operations) {
                if let Some(cell) = operation.cell_mut() {
                    let next = numbers.len() as u64;
                    *cell = *numbers.entry(*cell).or_insert(next);
                }
            }
            self.header.cells = Some(numbers.len() as u64);
        }
        self.header.participants = Some(self.participants());
        self
    }

    /// Its lines dealt to `participants` by number modulo `participants`, each in their order.
    pub fn folded(mut self, participants: u32) -> Self {
        for line in &mut self.transactions {
            line.participant %= participants;
        }
        self.header.participants = Some(participants);
        self
    }

    /// Whether anybody waits for anybody by retry.
    pub fn hands_over(&self) -> bool {
        let mut operations = self.transactions.iter().flat_map(|line| &line.operations);
        operations.any(|operation| matches!(operation, Operation::Await { .. }))
    }

    /// The lines of one participant, in their order.
    pub fn lines_of(&self, participant: u32) -> impl Iterator<Item = &Transaction> {
        self.transactions.iter().filter(move |line| line.participant == participant)
    }
}

/// What renumbering needs.
trait CellMut {
    fn cell_mut(&mut self) -> Option<&mut u64>;
}

impl CellMut for Operation {
    fn cell_mut(&mut self) -> Option<&mut u64> {
        match self {
            Self::Read { cell } | Self::Write { cell, .. } | Self::Await { cell, .. } => Some(cell),
            Self::Allocate { .. } | Self::Compute { .. } => None,
        }
    }
}
