//! Where a trace is played: its cells in a space, and the gate at which its players start together.
//!
//! ```text
//! root -> directory (a block of cells): [players at the gate][start time in ns, 0 while it is shut][block 0][block 1] ...
//! block: up to 1,024 cells of the trace, each 0 at first; the first payload word is their number
//! ```
//! Four cells share a cache line, as those of any container do.

use pso_engine::error::Stop;
use pso_engine::platform::Platform;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, CELL_WORDS, CellAddress, Handle, Value, WordAddress};

/// Cells of a block: 16 KiB, a block of the allocator's ordinary classes.
const BLOCK_CELLS: u64 = 1024;
/// A `Cells` block begins with the number of its cells, in two words so that cells stay at even ones.
const PREFIX_WORDS: u64 = 2;
const PLAYERS: u64 = 0;
const START: u64 = 1;
const FIRST_BLOCK: u64 = 2;

/// The cells of a trace in one space.
#[derive(Clone, Debug)]
pub struct Stage {
    directory: CellAddress,
    /// First cell of each block.
    blocks: Vec<CellAddress>,
    cells: u64,
}

impl Stage {
    /// Makes `cells` cells and puts them into the root. One transaction a block, one for the directory.
    pub fn build<P: Platform>(participant: &mut Participant<P>, cells: u64) -> Result<Self, Stop> {
        let mut handles = Vec::new();
        for first in (0..cells).step_by(BLOCK_CELLS as usize) {
            let own = BLOCK_CELLS.min(cells - first);
            handles.push(participant.run(|tx| block(tx, own, |_| integer(0)))?);
        }
        let values = |number: u64| match number.checked_sub(FIRST_BLOCK) {
            Some(block) => Value::handle(handles[block as usize]),
            None => integer(0),
        };
        let directory = participant.run(|tx| {
            let directory = block(tx, FIRST_BLOCK + handles.len() as u64, values)?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(directory))?;
            Ok(directory)
        })?;
        Ok(Self { directory: first(directory), blocks: handles.iter().map(|block| first(*block)).collect(), cells })
    }

    /// The stage that somebody has built in this space; `None` while there is none.
    pub fn find<P: Platform>(participant: &mut Participant<P>) -> Result<Option<Self>, Stop> {
        participant.run(|tx| {
            let root = tx.arena().root();
            let Some(handle) = tx.read(root)?.as_handle() else { return Ok(None) };
            let count = length(tx, handle)?;
            let mut stage = Self { directory: first(handle), blocks: Vec::new(), cells: 0 };
            for number in FIRST_BLOCK..count {
                let Some(block) = tx.read(stage.directory.offset(number))?.as_handle() else { return Ok(None) };
                stage.cells += length(tx, block)?;
                stage.blocks.push(first(block));
            }
            Ok(Some(stage))
        })
    }

    /// How many cells.
    pub fn cells(&self) -> u64 {
        self.cells
    }

    /// A cell of the trace. `None` for one that the stage does not have.
    pub fn cell(&self, number: u64) -> Option<CellAddress> {
        let block = self.blocks.get((number / BLOCK_CELLS) as usize)?;
        (number < self.cells).then(|| block.offset(number % BLOCK_CELLS))
    }

    /// A player is ready: counts it and waits, by retry, until the gate opens. Gives the start time, ns of the clock.
    ///
    /// # Errors
    /// `TimedOut` if it does not open by `deadline_ns`.
    pub fn arrive<P: Platform>(&self, participant: &mut Participant<P>, deadline_ns: Option<u64>) -> Result<u64, Stop> {
        let (players, start) = (self.directory.offset(PLAYERS), self.directory.offset(START));
        participant.run(|tx| {
            let ready = tx.read(players)?.as_int().unwrap_or(0);
            tx.write(players, integer(ready + 1))
        })?;
        participant.run_until(deadline_ns, |tx| match tx.read(start)?.as_int() {
            Some(0) | None => Err(Stop::Retry),
            Some(start) => Ok(start as u64),
        })
    }

    /// Opens the gate once `expected` players stand there; they start `delay_ns` later. Gives the start time.
    ///
    /// # Errors
    /// `TimedOut` if they are not there by `deadline_ns`.
    pub fn open<P: Platform>(
        &self,
        participant: &mut Participant<P>,
        expected: u32,
        delay_ns: u64,
        deadline_ns: Option<u64>,
    ) -> Result<u64, Stop> {
        let (players, start) = (self.directory.offset(PLAYERS), self.directory.offset(START));
        participant.run_until(deadline_ns, |tx| {
            if tx.read(players)?.as_int() != Some(i64::from(expected)) {
                return Err(Stop::Retry);
            }
            let start_ns = tx.arena().platform().now_ns() + delay_ns;
            tx.write(start, integer(start_ns as i64))?;
            Ok(start_ns)
        })
    }
}

/// A block of `cells` cells with their first values.
fn block<P: Platform>(tx: &mut Participant<P>, cells: u64, value: impl Fn(u64) -> Value) -> Result<Handle, Stop> {
    let handle = tx.allocate(BlockKind::Cells, PREFIX_WORDS + cells * CELL_WORDS)?;
    tx.arena().platform().store_plain(payload(handle), cells);
    for number in 0..cells {
        tx.initialize(first(handle).offset(number), value(number));
    }
    Ok(handle)
}

/// Cells of a block.
fn length<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<u64, Stop> {
    Ok(tx.arena().platform().load_plain(tx.open(handle, BlockKind::Cells)?))
}

fn payload(handle: Handle) -> WordAddress {
    handle.block().offset(BLOCK_HEADER_WORDS)
}

fn first(handle: Handle) -> CellAddress {
    CellAddress::new(payload(handle).offset(PREFIX_WORDS))
}

/// Values of traces and clocks in ns stay far below what fits in place.
fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}
