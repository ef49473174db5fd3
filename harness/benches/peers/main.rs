//! The engine beside the locks and transactional memories that Rust programs use: throughput, latency, work in vain, fairness.
//!
//! ```text
//! cargo bench -p pso-harness --bench peers -- --out results/peers.json --plot results/peers
//! ```
//! Bottom to top: `workload` what is done, `contestant` by whom, `run` one run by threads, `processes` one by processes,
//! `figures` what it gave, `store`, `chart` and `targets` what becomes of it. A contestant that loses an update fails the run.
//!
//! Rounds: each measures every contestant once with each number of participants, so that a ratio is of runs that are seconds
//! apart. Without `--bench`, which cargo adds, this is a test (see `smoke`).

mod chart;
mod contestant;
mod figures;
mod ledger;
mod processes;
mod run;
mod smoke;
mod store;
mod targets;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pso_harness::failure::Failure;
use pso_harness::interrupt;
use pso_harness::machine::{self, Provenance};
use pso_harness::promise;
use pso_harness::table::{Table, duration, thousands};

use contestant::{AsyncStm, Engine, FastStm, ParkingLotMutex, ParkingLotRwLock, StdMutex, StmCore};
use figures::{Figures, Section};
use run::{Case, Deed};
use workload::{Kind, Workload};

const ENGINE_THREADS: &str = "pso, threads";
const ENGINE_PROCESSES: &str = "pso, processes";
const STD_MUTEX: &str = "std Mutex";
const FAST_STM: &str = "fast-stm";
const STM_CRATES: [&str; 3] = ["stm-core", FAST_STM, "async-stm"];

/// How a contestant runs a case.
type Runner = fn(&Case) -> Result<Vec<Deed>, Failure>;

/// Everybody. The engine twice; the others serve the threads of one process only.
const CONTESTANTS: [(&str, Runner); 8] = [
    (ENGINE_PROCESSES, processes::measure),
    (ENGINE_THREADS, run::threads::<Engine>),
    (STD_MUTEX, run::threads::<StdMutex>),
    ("parking_lot Mutex", run::threads::<ParkingLotMutex>),
    ("parking_lot RwLock", run::threads::<ParkingLotRwLock>),
    (STM_CRATES[0], run::threads::<StmCore>),
    (FAST_STM, run::threads::<FastStm>),
    (STM_CRATES[2], run::threads::<AsyncStm>),
];

/// Measures the engine beside locks and transactional memories.
#[derive(Parser)]
#[command(name = "peers")]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Workloads; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// How many take part.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8", value_parser = clap::value_parser!(u32).range(1..=32))]
    participants: Vec<u32>,
    /// Contestants whose name contains one of these; all if none is named.
    #[arg(long, value_delimiter = ',')]
    contestant: Vec<String>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 10.0, value_parser = pso_harness::seconds)]
    seconds: f64,
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Chooses variables.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Puts the numbers into this file (JSON): workloads that it holds and that are not measured now stay.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Draws all workloads of the file, or those measured now, into this folder.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Measures nothing: draws and judges what the file holds.
    #[arg(long, requires = "out")]
    only_plot: bool,
    /// (cargo says so)
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// (internal) One process of a run.
    #[command(hide = true)]
    Worker(processes::Worker),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench" || argument == "--help");
    if !is_bench && arguments.first().is_none_or(|first| first != processes::WORKER) {
        return smoke::main(&arguments);
    }
    // cargo starts benchmarks in the folder of their crate; files are named from the repository's, as everywhere.
    let _ = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let options = Options::parse();
    pso_harness::exit_code(match &options.command {
        Some(Command::Worker(worker)) => processes::work(worker),
        None => interrupt::install().and_then(|()| bench(&options, &arguments)),
    })
}

fn bench(options: &Options, arguments: &[String]) -> Result<(), Failure> {
    let mut sections = options.out.as_deref().map_or(Ok(Vec::new()), store::read)?;
    if options.only_plot && sections.is_empty() {
        return Err(Failure::Refused("peers: --only-plot draws what --out names, and nothing is there".into()));
    }
    if !options.only_plot {
        options.out.as_deref().map_or(Ok(()), machine::can_write)?;
        // After each workload: a later one can fail, and takes long.
        measure(options, arguments, |section| {
            store::put(&mut sections, section);
            options.out.as_deref().map_or(Ok(()), |file| store::write(file, &sections))
        })?;
    }
    if let Some(folder) = &options.plot {
        chart::write(&sections, folder)?;
    }
    println!("\n{}", promise::table(&targets::targets(&sections)));
    Ok(())
}

/// All cases, in rounds. Each workload is told when it is through, and kept.
fn measure(
    options: &Options,
    arguments: &[String],
    mut keep: impl FnMut(Section) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let all = Workload::value_variants();
    let workloads = if options.workload.is_empty() { all } else { &options.workload };
    let is_chosen = |name: &str| {
        options.contestant.is_empty() || options.contestant.iter().any(|chosen| name.contains(chosen.as_str()))
    };
    let unknown =
        options.contestant.iter().find(|word| CONTESTANTS.iter().all(|(name, _)| !name.contains(word.as_str())));
    if let Some(word) = unknown {
        return Err(Failure::Refused(format!("peers: no contestant has {word:?} in its name; nothing was measured")));
    }
    let contestants: Vec<(&str, Runner)> = CONTESTANTS.into_iter().filter(|(name, _)| is_chosen(name)).collect();
    let participants =
        |workload: Workload| options.participants.iter().copied().filter(move |count| workload.is_for(*count));
    let runs: usize = workloads.iter().map(|each| participants(*each).count() * contestants.len()).sum();
    if runs == 0 {
        let none =
            "peers: no workload that was named is for so many participants (`small` is for one); nothing was measured";
        return Err(Failure::Refused(none.into()));
    }
    let bar = bar((runs as u64) * u64::from(options.rounds));
    let words = arguments.iter().filter(|argument| *argument != "--bench").cloned().collect::<Vec<_>>().join(" ");
    // Of what runs: the working copy may be another one before all is through.
    let provenance = Provenance::of(format!("cargo bench -p pso-harness --bench peers -- {words}"));
    for workload in workloads.iter().copied() {
        let mut section = Section {
            workload,
            seconds: options.seconds,
            rounds: options.rounds,
            seed: options.seed,
            provenance: provenance.clone(),
            rows: Vec::new(),
        };
        for round in 0..options.rounds {
            let seed = options.seed.wrapping_add(round.into());
            for count in participants(workload) {
                for (name, runner) in &contestants {
                    interrupt::check()?;
                    bar.set_message(format!("{}, {count}: {name}", workload.name()));
                    let case = Case { workload, participants: count, seconds: options.seconds, seed };
                    let who = format_args!("{name}, {}, {count} participants", workload.name());
                    let deeds = runner(&case).map_err(|failure| failure.of(who))?;
                    section.add(name, count, figures::of_run(&case, &deeds));
                    bar.inc(1);
                }
            }
        }
        // Of a workload that makes no sense for so many participants there is nothing new.
        if !section.rows.is_empty() {
            let told = format!("\n{}\n\n{}", title(&section), table(&section));
            keep(section)?;
            bar.suspend(|| println!("{told}"));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn bar(length: u64) -> ProgressBar {
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  {wide_bar} {pos}/{len} {elapsed_precise} (left {eta}) {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

fn title(section: &Section) -> String {
    let Section { workload, seconds, rounds, seed, .. } = section;
    format!(
        "{}: medians of {rounds} runs of {seconds} s, seed {seed}; each variable right in every run",
        workload.name()
    )
}

fn table(section: &Section) -> Table {
    let mut table = Table::new([
        "contestant",
        "participants",
        "operations/s",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "attempts/commit",
        "woken/commit",
        "slowest/fastest",
    ]);
    for row in &section.rows {
        let time = |figure: fn(&Figures) -> Option<u64>| {
            row.median_of_all(figure).map_or_else(|| "-".into(), |ns| duration(ns.round() as u64))
        };
        let woken = row.runs.first().and_then(|run| run.woken_per_commit);
        let participants = match row.kind {
            Kind::Alike => row.participants.to_string(),
            Kind::Reader => format!("readers of {}", row.participants),
            Kind::Writer => format!("writer of {}", row.participants),
        };
        table.row([
            row.contestant.clone(),
            participants,
            thousands(row.median(|run| run.per_second).round() as u64),
            time(|run| run.p50_ns),
            time(|run| run.p99_ns),
            time(|run| run.p999_ns),
            time(|run| Some(run.longest_ns)),
            format!("{:.3}", row.median(|run| run.attempts_per_commit)),
            woken.map_or_else(
                || "-".into(),
                |_| format!("{:.4}", row.median(|run| run.woken_per_commit.unwrap_or(0.0))),
            ),
            format!("{:.2}", row.median(|run| run.slowest_over_fastest)),
        ]);
    }
    table
}
