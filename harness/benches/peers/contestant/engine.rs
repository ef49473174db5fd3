//! The engine of pso: cells in shared memory, worked on by participants that are threads of one process or processes.
//!
//! Fair use: the cells are raw cells of the engine in blocks of a stage, as its containers have them, four to a cache line;
//! no container and no Python is between. A participant of its own for each thread or process. A body that fails with a
//! conflict is run again by `Participant::run`, as anybody would.

use std::sync::Arc;

use pso_engine::error::Stop;
use pso_engine::platform::native::{Choice, Native, Place};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Value};
use pso_harness::crew::space_in;
use pso_harness::failure::Failure;
use pso_harness::place::{self, Joined};
use pso_sim::stage::Stage;
use tempfile::TempDir;

use super::{Actor, World};

/// Room for the cells, the tables and the logs. Memory is taken only as it is used.
const SPACE_BYTES: u64 = 64 << 20;

/// A space with a stage of cells in a folder of its own.
pub struct Engine {
    stage: Stage,
    joined: Joined,
    // Last: removed when everything above has gone.
    folder: TempDir,
}

/// One participant.
pub struct EngineActor {
    tx: Participant<Native>,
    cells: Vec<CellAddress>,
    attempts: u64,
}

impl Engine {
    /// Where it is.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
    /// The cells, and the gate before them.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }
    /// The space.
    pub fn space(&self) -> &Arc<Space<Native>> {
        &self.joined.space
    }
}

impl World for Engine {
    type Actor<'world> = EngineActor;

    fn new(variables: usize) -> Result<Self, Failure> {
        let folder = place::folder_in_memory(&format!("pso-peers-{}-", std::process::id()))?;
        let joined = place::create(&Place::Directory(space_in(folder.path())), Choice::from(SPACE_BYTES))?;
        let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
        let stage = Stage::build(&mut tx, variables as u64).map_err(Failure::space("making the cells"))?;
        tx.leave();
        Ok(Self { stage, joined, folder })
    }
    fn actor(&self) -> Result<EngineActor, Failure> {
        let tx = self.joined.space.participant().map_err(Failure::space("joining"))?;
        Ok(EngineActor::new(tx, &self.stage))
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        let mut actor = self.actor()?;
        let values = (0..actor.cells.len()).map(|variable| actor.read(variable)).collect();
        actor.leave();
        values
    }
}

impl EngineActor {
    /// `tx` at work on the cells of `stage`.
    pub fn new(tx: Participant<Native>, stage: &Stage) -> Self {
        Self { tx, cells: (0..stage.cells()).filter_map(|number| stage.cell(number)).collect(), attempts: 0 }
    }

    #[inline(always)]
    fn run<T>(
        &mut self,
        mut body: impl FnMut(&mut Participant<Native>, &[CellAddress]) -> Result<T, Stop>,
    ) -> Result<T, Failure> {
        let Self { tx, cells, attempts } = self;
        let done = tx.run(|tx| {
            *attempts += 1;
            body(tx, cells)
        });
        match done {
            Ok(value) => Ok(value),
            Err(stop) => Err(failure(stop)),
        }
    }
}

#[cold]
fn failure(stop: Stop) -> Failure {
    Failure::space("a transaction")(stop)
}

#[inline(always)]
fn add_to(tx: &mut Participant<Native>, cell: CellAddress, amount: i64) -> Result<(), Stop> {
    let value = int(tx.read(cell)?);
    // Counts stay far below what fits in place.
    tx.write(cell, Value::int(value + amount).unwrap_or(Value::NONE))
}

/// A cell that holds no number is damage, and spoils the sum that is checked.
#[inline(always)]
fn int(value: Value) -> i64 {
    value.as_int().unwrap_or(i64::MIN / 4)
}

impl Actor for EngineActor {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        self.run(|tx, cells| variables.iter().try_for_each(|variable| add_to(tx, cells[*variable], 1)))
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.run(|tx, cells| {
            add_to(tx, cells[from], -1)?;
            add_to(tx, cells[to], 1)
        })
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        self.run(|tx, cells| Ok(int(tx.read(cells[variable])?)))
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        self.run(|tx, cells| {
            let mut sum = 0;
            for cell in cells {
                sum += int(tx.read(*cell)?);
            }
            Ok(sum)
        })
    }
    fn attempts(&self) -> u64 {
        self.attempts
    }
    fn woken(&self) -> Option<u64> {
        Some(self.tx.woken())
    }
    fn leave(self) {
        self.tx.leave();
    }
}
