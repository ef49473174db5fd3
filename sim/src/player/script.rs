//! The lines of one participant, compiled and played.

use std::collections::HashMap;

use pso_engine::error::Stop;
use pso_engine::object::bytes;
use pso_engine::platform::Platform;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Value};

use super::{Pace, Part};
use crate::stage::Stage;
use crate::trace::{Operation, Trace, Transaction};

/// Which of the times of a trace are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Nobody begins before the arrival.
    pub arrivals: bool,
    /// Participants think.
    pub think: bool,
}

impl Pacing {
    /// As it was written.
    pub const AS_WRITTEN: Self = Self { arrivals: true, think: true };
    /// As fast as it goes.
    pub const FLAT_OUT: Self = Self { arrivals: false, think: false };
}

/// What one participant plays.
#[derive(Clone, Debug)]
pub struct Script {
    participant: u32,
    steps: Vec<Step>,
    /// The most different cells of a transaction.
    slots: usize,
    longest_allocation_bytes: usize,
}

#[derive(Clone, Debug)]
struct Step {
    arrival_ns: u64,
    think_ns: u64,
    acts: Vec<Act>,
    /// It reads all cells of a trace whose transactions keep their sum.
    sums_up: bool,
}

/// An operation. `slot` is where the attempt remembers the cell's value; `known`: it has been there already.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read { cell: CellAddress, slot: usize, known: bool },
    Write { cell: CellAddress, slot: usize, known: bool, add: i64 },
    Await { cell: CellAddress, slot: usize, known: bool, value: i64 },
    Allocate { bytes: usize },
    Compute { ns: u64 },
}

impl Script {
    /// Compiles what `participant` does in the dense trace. `None` if the stage lacks cells of the trace.
    pub fn new(trace: &Trace, participant: u32, stage: &Stage) -> Option<Self> {
        let keeps_sum = trace.transactions.iter().all(keeps_sum);
        let mut script = Self { participant, steps: Vec::new(), slots: 0, longest_allocation_bytes: 0 };
        for line in trace.lines_of(participant) {
            let (step, slots) = compile(line, stage, keeps_sum.then_some(trace.cells()))?;
            script.slots = script.slots.max(slots);
            let longest =
                |most: usize, act: &Act| if let Act::Allocate { bytes } = act { most.max(*bytes) } else { most };
            script.longest_allocation_bytes = step.acts.iter().fold(script.longest_allocation_bytes, longest);
            script.steps.push(step);
        }
        Some(script)
    }

    /// How many transactions.
    pub fn len(&self) -> usize {
        self.steps.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Plays all from `start_ns` of the platform's clock on. `part` (see [`Part::new`]) is kept up to date all the time, so
    /// that it is right whenever this is cut short.
    ///
    /// # Errors
    /// Whatever ends a transaction for good.
    pub fn play<P: Platform>(
        &self,
        participant: &mut Participant<P>,
        start_ns: u64,
        pacing: Pacing,
        pace: &mut impl Pace<P>,
        part: &mut Part,
    ) -> Result<(), Stop> {
        debug_assert_eq!(part.participant, self.participant);
        let mut values = vec![0; self.slots];
        let filling = vec![0x5a; self.longest_allocation_bytes];
        pace.rest(participant.arena().platform(), start_ns);
        let mut now_ns = participant.arena().platform().now_ns();
        for step in &self.steps {
            let think_ns = if pacing.think { step.think_ns } else { 0 };
            let arrival_ns = if pacing.arrivals { start_ns.saturating_add(step.arrival_ns) } else { 0 };
            let due_ns = now_ns.saturating_add(think_ns).max(arrival_ns);
            if due_ns > now_ns {
                pace.rest(participant.arena().platform(), due_ns);
                now_ns = participant.arena().platform().now_ns();
            }
            part.begin(now_ns);
            participant.run(|tx| {
                part.attempts += 1;
                let result = step.attempt(tx, &mut values, &filling, pace, part);
                if result == Err(Stop::Retry) {
                    part.attempts -= 1;
                    part.waits += 1;
                }
                result
            })?;
            // One look at the clock for the end of one and the beginning of the next.
            let ended_ns = participant.arena().platform().now_ns();
            part.commit(now_ns, ended_ns);
            now_ns = ended_ns;
        }
        part.through = true;
        Ok(())
    }
}

impl Step {
    fn attempt<P: Platform>(
        &self,
        tx: &mut Participant<P>,
        values: &mut [i64],
        filling: &[u8],
        pace: &mut impl Pace<P>,
        part: &mut Part,
    ) -> Result<(), Stop> {
        for act in &self.acts {
            match *act {
                Act::Read { cell, slot, known } => look(tx, cell, &mut values[slot], known, part)?,
                Act::Write { cell, slot, known, add } => {
                    if !known {
                        look(tx, cell, &mut values[slot], false, part)?;
                    }
                    values[slot] = values[slot].wrapping_add(add);
                    match Value::int(values[slot]) {
                        Some(value) => tx.write(cell, value)?,
                        None => part.note_wrong(|| format!("a cell would hold {}", values[slot])),
                    }
                }
                Act::Await { cell, slot, known, value } => {
                    look(tx, cell, &mut values[slot], known, part)?;
                    if values[slot] != value {
                        return Err(Stop::Retry);
                    }
                }
                Act::Allocate { bytes } => {
                    bytes::encode(tx, &filling[..bytes])?;
                }
                Act::Compute { ns } => pace.compute(tx.arena().platform(), ns),
            }
        }
        if self.sums_up {
            let sum: i128 = self.slots_read(values).iter().map(|value| i128::from(*value)).sum();
            if sum != 0 {
                part.note_wrong(|| format!("an attempt that read all cells saw the sum {sum}, not 0"));
            }
        }
        Ok(())
    }

    /// A step that sums up has a slot for every cell, in the order met.
    fn slots_read<'a>(&self, values: &'a [i64]) -> &'a [i64] {
        let slots = self.acts.iter().filter_map(|act| match act {
            Act::Read { slot, .. } | Act::Write { slot, .. } | Act::Await { slot, .. } => Some(slot + 1),
            Act::Allocate { .. } | Act::Compute { .. } => None,
        });
        &values[..slots.max().unwrap_or(0)]
    }
}

/// Reads a cell into its slot; what was there before, by this attempt, has to be the same.
fn look<P: Platform>(
    tx: &mut Participant<P>,
    cell: CellAddress,
    slot: &mut i64,
    known: bool,
    part: &mut Part,
) -> Result<(), Stop> {
    let read = tx.read(cell)?;
    match read.as_int() {
        Some(value) if known && value != *slot => {
            let before = *slot;
            part.note_wrong(|| format!("an attempt read {before} and then {value} from one cell"));
        }
        Some(value) => *slot = value,
        None => part.note_wrong(|| format!("a cell holds the word {:#x}, which is no count", read.raw())),
    }
    Ok(())
}

/// Compiles a line. Gives the number of its different cells, too.
fn compile(line: &Transaction, stage: &Stage, cells_of_sum: Option<u64>) -> Option<(Step, usize)> {
    let mut slots: HashMap<u64, usize> = HashMap::new();
    let mut place = |number: u64| {
        let next = slots.len();
        let slot = *slots.entry(number).or_insert(next);
        Some((stage.cell(number)?, slot, slot != next))
    };
    let mut acts = Vec::with_capacity(line.operations.len());
    for operation in &line.operations {
        acts.push(match *operation {
            Operation::Read { cell } => {
                let (cell, slot, known) = place(cell)?;
                Act::Read { cell, slot, known }
            }
            Operation::Write { cell, add } => {
                let (cell, slot, known) = place(cell)?;
                Act::Write { cell, slot, known, add }
            }
            Operation::Await { cell, value } => {
                let (cell, slot, known) = place(cell)?;
                Act::Await { cell, slot, known, value }
            }
            Operation::Allocate { words } => Act::Allocate { bytes: allocation_bytes(words) },
            Operation::Compute { ns } => Act::Compute { ns },
        });
    }
    let sums_up = cells_of_sum.is_some_and(|cells| slots.len() as u64 == cells);
    Some((Step { arrival_ns: line.arrival_ns, think_ns: line.think_ns, acts, sums_up }, slots.len()))
}

/// Bytes whose block has about `words` payload words: two of them are its length and hash, and what fits in place has none.
fn allocation_bytes(words: u64) -> usize {
    (words.saturating_sub(2).max(1) * 8) as usize
}

/// Whether a transaction leaves the sum of all cells as it is.
fn keeps_sum(line: &Transaction) -> bool {
    let adds = line.operations.iter().map(|operation| match operation {
        Operation::Write { add, .. } => i128::from(*add),
        _ => 0,
    });
    adds.sum::<i128>() == 0
}
