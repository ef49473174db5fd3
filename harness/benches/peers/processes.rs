//! The engine as it is meant to be used: a process for each participant. They are processes of this executable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pso_engine::platform::System;
use pso_engine::platform::native::Place;
use pso_harness::crew::{self, Crew, Parent, space_in};
use pso_harness::failure::Failure;
use pso_harness::place;
use pso_sim::stage::Stage;

use crate::contestant::{Engine, EngineActor, World};
use crate::run::{self, Case, Deed};
use crate::workload::Workload;

/// Beyond the time of a run, the processes have so long to start and to end.
const PATIENCE_S: u64 = 60;

/// One process of a run.
#[derive(Args)]
pub struct Worker {
    #[command(flatten)]
    parent: Parent,
    /// Folder of the run, which holds the space.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, value_enum)]
    workload: Workload,
    #[arg(long)]
    participant: u32,
    #[arg(long)]
    participants: u32,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    seed: u64,
}

/// A run by processes.
pub fn measure(case: &Case) -> Result<Vec<Deed>, Failure> {
    let world = Engine::new(case.workload.variables(case.participants))?;
    let mut tx = world.space().participant().map_err(Failure::space("joining"))?;
    let patience_s = PATIENCE_S + case.seconds.ceil() as u64;
    let arguments = |number| arguments(case, &world, number);
    let mut crew = Crew::start(world.folder(), "participant", case.participants, patience_s, arguments)?;
    crew.open(&mut tx, world.stage())?;
    // Whoever looks on must not be one of those who are measured.
    tx.leave();
    let deeds: Vec<Deed> = crew.finish()?;
    case.check(&world.values()?, &deeds)?;
    Ok(deeds)
}

fn arguments(case: &Case, world: &Engine, number: u32) -> Vec<OsString> {
    let workload = case.workload.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let options = [
        ("--workload", workload),
        ("--participant", number.to_string()),
        ("--participants", case.participants.to_string()),
        ("--seconds", case.seconds.to_string()),
        ("--seed", case.seed.to_string()),
    ];
    let mut arguments: Vec<OsString> = vec![WORKER.into(), "--dir".into(), world.folder().into()];
    arguments.extend(options.into_iter().flat_map(|(name, value)| [name.into(), value.into()]));
    arguments
}

/// The hidden subcommand.
pub const WORKER: &str = "worker";

/// What a process of a run does.
pub fn work(options: &Worker) -> Result<(), Failure> {
    options.parent.end_with()?;
    let joined = place::attach(&Place::Directory(space_in(&options.dir)))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::find(&mut tx).map_err(Failure::space("looking for the stage"))?;
    let stage = stage.ok_or_else(|| Failure::Wrong("there is no stage".into()))?;
    let mut role = options.workload.role(options.participant, options.participants, options.seed);
    let start_ns = stage.arrive(&mut tx, None).map_err(Failure::space("at the gate"))?;
    let before_ns = start_ns.saturating_sub(tx.arena().platform().now_ns());
    let start = Instant::now() + Duration::from_nanos(before_ns);
    let woken = tx.woken();
    let mut deed = run::work(EngineActor::new(tx, &stage), &mut role, start, options.seconds)?;
    // Not those at the gate.
    deed.woken = deed.woken.map(|all| all - woken);
    crew::leave_part(&options.dir, options.participant, &deed)
}
