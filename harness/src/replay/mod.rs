//! `pso replay`: a trace on real processes.
//!
//! Each run has a space of its own, in a folder that goes with the run. One process a participant (processes of this
//! executable) compiles its lines and stands at the gate of the stage; when all are there they start together. What each
//! did comes back through a file; then the cells are compared with what the committed transactions must have left. A
//! process that dies, a wrong cell, a run that does not end: exit code 1.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use pso_engine::contention::PolicyId;
use pso_engine::platform::System;
use pso_engine::platform::native::{Choice, Native, Place};
use pso_sim::measure::{Manner, Measurement, Verdict, World};
use pso_sim::player::{self, Pacing, Part, Run, Script};
use pso_sim::stage::Stage;
use pso_sim::trace::{Operation, Trace};
use serde::Serialize;

use crate::cli::{Pace, Replay, ReplayWorker};
use crate::crew::{self, Crew, space_in};
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::table::{Table, duration, thousands};
use crate::{fault, output, place, trace};

/// A space for any trace: logs, tables, blocks of the stage. Memory is taken only as it is used.
pub const SPACE_BYTES: u64 = 256 << 20;
/// What a cell or an allocated word takes at most: twice what it is, for size classes; allocations of aborted attempts are
/// used again.
const BYTES_PER_CELL: u64 = 64;
const BYTES_PER_WORD: u64 = 16;
const BYTES_PER_BLOCK: u64 = 128;

#[derive(Serialize)]
struct Numbers {
    file: String,
    pace: &'static str,
    measurements: Vec<Measurement>,
}

/// The subcommand.
pub fn run(options: &Replay) -> Result<(), Failure> {
    let trace = trace::dealt(&options.file, options.participants)?;
    let participants = trace.participants();
    if participants > crate::cli::REPLAY_PROCESSES_MAX as u32 {
        let most = crate::cli::REPLAY_PROCESSES_MAX;
        return Err(Failure::Wrong(format!("a space has room for {most} players: deal the lines with --participants")));
    }
    output::line(format_args!(
        "replay {}: {} transactions by {participants} processes, {} runs, real time",
        trace.header.name,
        thousands(trace.transactions.len() as u64),
        options.runs
    ))?;
    let mut measurements = Vec::new();
    let measured = measure(options, &trace, &mut measurements);
    let numbers = Numbers { file: trace.header.name, pace: name(options.pace), measurements };
    measured.map_err(|failure| machine::rescue(options.out.as_deref(), &numbers, failure))?;
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    print(&numbers.measurements)?;
    fault::none_in("replay", &numbers.measurements)
}

/// All runs, those before a failure, too.
fn measure(options: &Replay, trace: &Trace, measurements: &mut Vec<Measurement>) -> Result<(), Failure> {
    for _ in 0..options.runs {
        measurements.push(play(options, trace)?);
        // Told at the end: more runs would say no more.
        if matches!(measurements.last(), Some(Measurement { verdict: Verdict::Wrong(_), .. })) {
            break;
        }
    }
    Ok(())
}

/// One run of the trace in `file`, all its participants as fast as they can.
pub fn flat_out(trace: &Trace, file: &Path) -> Result<Measurement, Failure> {
    const PATIENCE_S: u64 = 120;
    let (runs, pace, patience_s) = (1, Pace::FlatOut, PATIENCE_S);
    let options = Replay {
        file: file.into(),
        runs,
        participants: None,
        pace,
        policy: PolicyId::default(),
        patience_s,
        out: None,
    };
    play(&options, trace)
}

/// One run of `trace`, which is the content of `options.file`, dense and dealt to the participants of its header.
pub fn play(options: &Replay, trace: &Trace) -> Result<Measurement, Failure> {
    let folder = place::folder_in_memory(&format!("pso-replay-{}-", std::process::id()))?;
    let choice = Choice { bytes: space_bytes(trace), policy: options.policy };
    let joined = place::create(&Place::Directory(space_in(folder.path())), choice)?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::build(&mut tx, trace.cells()).map_err(Failure::space("building the stage"))?;
    let players = trace.participants();
    let arguments = |player| arguments(options, folder.path(), player, players);
    let mut crew = Crew::start(folder.path(), "player", players, options.patience_s, arguments)?;
    crew.open(&mut tx, &stage)?;
    let parts: Vec<Part> = crew.finish()?;
    let verdict = player::verify(&mut tx, &stage, trace, &parts).map_err(Failure::space("reading the cells"))?;
    tx.leave();
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let seed = trace.header.seed;
    let run = Run { world: World::Real, policy: options.policy.name(), machine: "this machine", cores, seed };
    Ok(Measurement { manner: manner(options.pace), ..player::measurement(trace, run, &parts, verdict) })
}

/// The command line of one player.
fn arguments(options: &Replay, folder: &Path, player: u32, players: u32) -> Vec<OsString> {
    let pace = options.pace.to_possible_value().map(|pace| pace.get_name().to_owned()).unwrap_or_default();
    let (player, players) = (player.to_string(), players.to_string());
    let mut arguments: Vec<OsString> =
        ["replay-worker", "--pace", &pace, "--participants", &players, "--participant", &player, "--dir"]
            .map(OsString::from)
            .into();
    arguments.extend([folder.into(), "--file".into(), options.file.clone().into()]);
    arguments
}

/// The hidden subcommand `replay-worker`.
pub fn work(options: &ReplayWorker) -> Result<(), Failure> {
    options.parent.end_with()?;
    let trace = Trace::load(&options.file).map_err(|error| Failure::Wrong(error.to_string()))?;
    let trace = trace.dense().folded(options.participants.max(1));
    let joined = place::attach(&Place::Directory(space_in(&options.dir)))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::find(&mut tx).map_err(Failure::space("looking for the stage"))?;
    let stage = stage.ok_or_else(|| Failure::Wrong("there is no stage".into()))?;
    let script = Script::new(&trace, options.participant, &stage);
    let script = script.ok_or_else(|| Failure::Wrong("the stage lacks cells of the trace".into()))?;
    // As many of them are at work as there are players.
    drop(trace);
    let mut part = Part::new(options.participant);
    let start_ns = stage.arrive(&mut tx, None).map_err(Failure::space("at the gate"))?;
    let played = script.play(&mut tx, start_ns, pacing(options.pace), &mut Rest, &mut part);
    played.map_err(Failure::space("playing"))?;
    tx.leave();
    crew::leave_part(&options.dir, options.participant, &part)
}

/// Computing is spun; rests are slept, for others want the processor meanwhile.
struct Rest;

impl player::Pace<Native> for Rest {
    fn compute(&mut self, platform: &Native, ns: u64) {
        player::Pace::compute(&mut player::Spin, platform, ns);
    }
    fn rest(&mut self, platform: &Native, until_ns: u64) {
        if let Some(sleep_ns) = until_ns.saturating_sub(platform.now_ns()).checked_sub(player::SPIN_NS) {
            std::thread::sleep(Duration::from_nanos(sleep_ns));
        }
        player::Pace::rest(&mut player::Spin, platform, until_ns);
    }
}

/// Which times of a trace are kept.
pub fn pacing(pace: Pace) -> Pacing {
    match pace {
        Pace::AsWritten => Pacing::AS_WRITTEN,
        Pace::Think => Pacing { arrivals: false, think: true },
        Pace::FlatOut => Pacing::FLAT_OUT,
    }
}

/// That of a real run.
pub fn manner(pace: Pace) -> Manner {
    Manner { pace: Some(name(pace).into()), ..Manner::default() }
}

/// As on the command line.
fn name(pace: Pace) -> &'static str {
    match pace {
        Pace::AsWritten => "as-written",
        Pace::Think => "think",
        Pace::FlatOut => "flat-out",
    }
}

/// Room for all that the trace allocates, which stays allocated.
pub fn space_bytes(trace: &Trace) -> u64 {
    let allocations = trace.transactions.iter().flat_map(|line| &line.operations).map(|operation| match operation {
        Operation::Allocate { words } => words.saturating_mul(BYTES_PER_WORD).saturating_add(BYTES_PER_BLOCK),
        _ => 0,
    });
    let cells = trace.cells().saturating_mul(BYTES_PER_CELL);
    allocations.fold(SPACE_BYTES.saturating_add(cells), u64::saturating_add)
}

fn print(measurements: &[Measurement]) -> Result<(), Failure> {
    let headings =
        ["run", "commits/s", "attempts/commit", "p50", "p99", "p99.9", "longest", "Jain", "slowest/fastest", "verdict"];
    let mut table = Table::new(headings);
    for (number, each) in measurements.iter().enumerate() {
        let Measurement { latency, verdict, .. } = each;
        table.row([
            (number + 1).to_string(),
            thousands(each.throughput().round() as u64),
            format!("{:.3}", each.attempts_per_commit()),
            duration(latency.p50),
            duration(latency.p99),
            duration(latency.p999),
            duration(latency.max),
            format!("{:.3}", each.jain()),
            format!("{:.2}", each.slowest_over_fastest()),
            word(verdict).to_owned(),
        ]);
    }
    let middle = |figure: fn(&Measurement) -> f64| median(&measurements.iter().map(figure).collect::<Vec<_>>());
    let time = |figure: fn(&Measurement) -> f64| duration(middle(figure).round() as u64);
    table.row([
        "median".to_owned(),
        thousands(middle(Measurement::throughput).round() as u64),
        format!("{:.3}", middle(Measurement::attempts_per_commit)),
        time(|each| each.latency.p50 as f64),
        time(|each| each.latency.p99 as f64),
        time(|each| each.latency.p999 as f64),
        time(|each| each.latency.max as f64),
        format!("{:.3}", middle(Measurement::jain)),
        format!("{:.2}", middle(Measurement::slowest_over_fastest)),
        String::new(),
    ]);
    output::line(format_args!("\n{table}"))
}

/// A verdict in a word.
pub fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Stuck => "stuck",
        Verdict::Livelocked => "livelocked",
        Verdict::Wrong(_) => "WRONG",
        Verdict::OutOfBudget => "not through",
    }
}
