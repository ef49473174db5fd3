//! What memory costs: the allocator beside mimalloc and Boost.Interprocess, references beside atomic counts, reads beside loads.
//!
//! ```text
//! cargo bench -p pso-harness --bench memory -- --out results/allocator.json
//! ```
//! Bottom to top: `heap` who allocates, `work` what is done with a heap by one thread, `remote` by two, `moving` references and
//! what is made garbage, `reading` cells, `figures` what it gave, `targets` what was promised of it.
//!
//! Rounds: each runs every contestant of every workload once, so that a ratio is of runs that are seconds apart. What one thread does
//! is measured in its processor time, what two do together in time. Without `--bench`, which cargo adds, this is a test (see `smoke`).

mod figures;
mod heap;
mod moving;
mod reading;
mod remote;
mod smoke;
mod targets;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pso_harness::failure::Failure;
use pso_harness::machine::{Provenance, read_results, write_results_of};
use pso_harness::{interrupt, machine, promise};

use figures::{Numbers, Row};
use heap::boost::{self, Boost};
use heap::{mimalloc, pso};

const PSO: &str = "pso";
const MIMALLOC: &str = "mimalloc";
const BOOST: &str = "Boost";

const PAIR: &str = "alloc+free, 16 to 256 B";
const FEW: &str = "random replacement, 4,096 live";
const MANY: &str = "random replacement, 262,144 live";
const REMOTE: &str = "frees by another";
const LIVE: &str = "alloc+publish+free, 16 to 256 B";
const TEXT: &str = "text stored over another, in transactions of 64";

const MOVE: &str = "reference moved";
const COUNTS: &str = "atomic increment and decrement";
const MOVED: &str = "pso, a handle";
const MOVED_INT: &str = "pso, an int";
const MOVED_AGAIN: &str = "pso, a handle, each cell 64 times in a transaction";
const GARBAGE: &str = "reference moved over the last one to a text";
const GARBAGE_TEXT: &str = "pso, writer and collector";
const GARBAGE_INT: &str = "pso, ints";
const LISTS: &str = "list that nothing names any more";

const READ: &str = "read, 1,000 cells";
const READ_FAR: &str = "read, 262,144 cells in random order";
const PLAIN: &str = "plain loads";
const READ_INT: &str = "pso, ints";
const READ_HANDLE: &str = "pso, handles";

/// What all runs have in common.
pub struct Bench {
    /// Of one run, about.
    pub seconds: f64,
    /// Chooses sizes and places.
    pub seed: u64,
    /// Where it can be compiled.
    pub boost: Option<Boost>,
}

/// A run: ns of one operation. `None`: it cannot be run here.
type Runner = fn(&Bench) -> Result<Option<f64>, Failure>;

/// All that is measured: workload, contestant, how.
const RUNS: [(&str, &str, Runner); 27] = [
    (PAIR, PSO, |bench| pso::alone(bench, &work::PAIR, false)),
    (PAIR, MIMALLOC, |bench| mimalloc::alone(bench, &work::PAIR)),
    (PAIR, BOOST, |bench| boost::run(bench, "0")),
    (FEW, PSO, |bench| pso::alone(bench, &work::FEW, false)),
    (FEW, MIMALLOC, |bench| mimalloc::alone(bench, &work::FEW)),
    (FEW, BOOST, |bench| boost::run(bench, "4096")),
    (MANY, PSO, |bench| pso::alone(bench, &work::MANY, false)),
    (MANY, MIMALLOC, |bench| mimalloc::alone(bench, &work::MANY)),
    (MANY, BOOST, |bench| boost::run(bench, "262144")),
    (REMOTE, PSO, remote::by_process),
    (REMOTE, MIMALLOC, remote::by_thread),
    (REMOTE, BOOST, |bench| boost::run(bench, "remote")),
    (LIVE, PSO, |bench| pso::alone(bench, &work::PAIR, true)),
    (TEXT, PSO, moving::texts_stored),
    (MOVE, COUNTS, moving::counted),
    (MOVE, MOVED, moving::handles),
    (MOVE, MOVED_INT, moving::ints),
    (MOVE, MOVED_AGAIN, moving::handles_again),
    (GARBAGE, GARBAGE_TEXT, moving::over_texts),
    (GARBAGE, GARBAGE_INT, moving::over_ints),
    (LISTS, PSO, moving::lists_collected),
    (READ, PLAIN, reading::near_plain),
    (READ, READ_INT, reading::near_ints),
    (READ, READ_HANDLE, reading::near_handles),
    (READ_FAR, PLAIN, reading::far_plain),
    (READ_FAR, READ_INT, reading::far_ints),
    (READ_FAR, READ_HANDLE, reading::far_handles),
];

/// Measures the allocator and what references cost.
#[derive(Parser)]
#[command(name = "memory")]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Workloads whose name contains one of these; all if none is named.
    #[arg(long, value_delimiter = ';')]
    workload: Vec<String>,
    /// Seconds of each run, about.
    #[arg(long, default_value_t = 0.5, value_parser = pso_harness::seconds)]
    seconds: f64,
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Chooses sizes and places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Puts the numbers into this file (JSON).
    #[arg(long)]
    out: Option<PathBuf>,
    /// (cargo says so)
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// (internal) The process that frees what another one allocates.
    #[command(hide = true)]
    Worker(remote::Worker),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench" || argument == "--help");
    if !is_bench && arguments.first().is_none_or(|first| first != remote::WORKER) {
        return smoke::main(&arguments);
    }
    // cargo starts benchmarks in the folder of their crate; files are named from the repository's, as everywhere.
    let _ = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let options = Options::parse();
    pso_harness::exit_code(match &options.command {
        Some(Command::Worker(worker)) => remote::work(worker),
        None => interrupt::install().and_then(|()| bench(&options, &arguments)),
    })
}

fn bench(options: &Options, arguments: &[String]) -> Result<(), Failure> {
    let words = arguments.iter().filter(|argument| *argument != "--bench").cloned().collect::<Vec<_>>().join(" ");
    let provenance = Provenance::of(format!("cargo bench -p pso-harness --bench memory -- {words}"));
    options.out.as_deref().map_or(Ok(()), machine::can_write)?;
    refuse(options)?;
    let (numbers, measured) = measure(options)?;
    if let Err(failure) = measured {
        return Err(machine::rescue_of(provenance, options.out.as_deref(), &numbers, failure));
    }
    options.out.as_ref().map_or(Ok(()), |file| write_results_of(provenance, file, &numbers))?;
    println!("\n{}\n{}", figures::table(&numbers.rows), promise::table(&numbers.promises));
    numbers.not_run.iter().for_each(|line| println!("  NOT RUN: {line}"));
    Ok(())
}

/// What measures nothing, and what would put fewer workloads in the place of more: a file has one provenance for all of it.
fn refuse(options: &Options) -> Result<(), Failure> {
    let unknown = options.workload.iter().find(|word| RUNS.iter().all(|(name, _, _)| !name.contains(word.as_str())));
    if let Some(word) = unknown {
        return Err(Failure::Refused(format!("memory: no workload has {word:?} in its name; nothing was measured")));
    }
    let Some(file) = options.out.as_ref().filter(|file| file.exists()) else { return Ok(()) };
    let kept = read_results::<Numbers>(file)?.map_or(Vec::new(), |numbers| numbers.rows);
    let lost = kept.iter().find(|row| !is_chosen(options, &row.workload));
    lost.map_or(Ok(()), |row| {
        let file = file.display();
        Err(Failure::Refused(format!(
            "memory: {file} holds {:?}, which is not measured now; name another file",
            row.workload
        )))
    })
}

fn is_chosen(options: &Options, name: &str) -> bool {
    options.workload.is_empty() || options.workload.iter().any(|chosen| name.contains(chosen.as_str()))
}

/// The numbers, and whether all could be measured.
fn measure(options: &Options) -> Result<(Numbers, Result<(), Failure>), Failure> {
    let runs: Vec<_> = RUNS.into_iter().filter(|(workload, _, _)| is_chosen(options, workload)).collect();
    let mut not_run = Vec::new();
    let boost = match boost::compile()? {
        Ok(boost) => Some(boost),
        Err(reason) => {
            let line = format!("Boost.Interprocess: {reason}");
            println!("NOT RUN: {line}");
            not_run.push(line);
            None
        }
    };
    let mut bench = Bench { seconds: options.seconds, seed: options.seed, boost };
    let mut rows: Vec<Row> = runs.iter().map(|(workload, contestant, _)| Row::new(workload, contestant)).collect();
    let bar = bar(runs.len() as u64 * u64::from(options.rounds));
    let measured = (0..options.rounds).try_for_each(|round| {
        bench.seed = options.seed.wrapping_add(round.into());
        runs.iter().zip(&mut rows).try_for_each(|((workload, contestant, runner), row)| {
            interrupt::check()?;
            bar.set_message(format!("{workload}: {contestant}"));
            let ran = runner(&bench);
            row.ns.extend(ran.map_err(|failure| failure.of(format_args!("{contestant}, {workload}")))?);
            bar.inc(1);
            Ok(())
        })
    });
    bar.finish_and_clear();
    rows.retain(|row| !row.ns.is_empty());
    let promises = targets::promises(&rows);
    let (seconds, rounds, seed) = (options.seconds, options.rounds, options.seed);
    Ok((Numbers { seconds, rounds, seed, rows, promises, not_run }, measured))
}

fn bar(length: u64) -> ProgressBar {
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  {wide_bar} {pos}/{len} {elapsed_precise} (left {eta}) {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
