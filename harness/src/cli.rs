//! The command line.

mod garbage;
mod kill;
mod numbers;
mod plot;
mod simulator;
mod trace;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use pso_engine::contention::PolicyId;

use crate::crew::Parent;

pub use garbage::*;
pub use kill::*;
pub use numbers::*;
pub use plot::*;
pub use simulator::*;
pub use trace::*;

/// Python objects in shared memory: shows, measures, torments and inspects shared spaces.
#[derive(Parser)]
#[command(name = "pso", version, arg_required_else_help = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// The main job: worker processes count and index Python's standard library in shared objects while some are killed.
    Demo(Demo),
    /// Measures the Python package against builtins and multiprocessing.Manager, and the engine by itself.
    Bench(Bench),
    /// Plays a trace on real processes and measures: throughput, attempts, latency, fairness; checks the outcome. Exit code 1 if a run shows a
    /// fault.
    Replay(Replay),
    /// Plays a trace on a simulated machine of up to 256 cores: the engine itself, in virtual time.
    Sim(Box<Simulate>),
    /// Compares the contention policies on the simulated machine. Exit code 1 if a run shows a fault, by what its policy promises.
    Policies(Box<Policies>),
    /// Measures what memory, clocks, sleeping and waking cost on this machine, as a profile for `pso sim`.
    Calibrate(Calibrate),
    /// Compares simulated runs with real ones on this machine.
    Validate(Validate),
    /// Generates, shows and merges traces of transactions.
    ///
    /// A running space is recorded from inside its processes: in Python, `space.record(path)`. Each process writes a file of
    /// its own; `pso trace merge` puts them together. (There is no `pso record`: nobody outside of a process sees its reads.)
    Trace(TraceOptions),
    /// Kills native writers at random times, or stops and continues them, and checks the space after each.
    Torture(Torture),
    /// Measures traces on real processes and on the simulated machine, alternated: participants and cores to and fro.
    Sweep(Sweep),
    /// Draws result files of replay, sim and sweep: charts as SVG and PNG, and a report as one HTML file. Charts alone of those of validate and bench garbage.
    Plot(Plot),
    /// Plays the scenes of the model under loom and shuttle and compares how far they went with what is expected.
    Check(Check),
    /// All the evidence that takes long: the models, random schedules, kills, stops. Writes its verdicts to a file.
    Verify(Verify),
    /// Walks a space and reports damage; where no other process has it open, leaks, too. Exit code 1 if there is any, 2 if it could not be looked at.
    Fsck(Fsck),
    /// Shows who takes part in a space, its memory and its rates, each second.
    Inspect(Inspect),
    /// What goes on in a space, a line a process, each second: rates, memory, collections.
    Top(Top),
    /// Lists the spaces of this machine that are yours.
    List(List),
    /// (internal) One writer of `torture`.
    #[command(hide = true)]
    TortureWorker(TortureWorker),
    /// (internal) One process of `bench native`.
    #[command(hide = true)]
    BankWorker(BankWorker),
    /// (internal) Who is killed in `bench kill`.
    #[command(hide = true)]
    KillVictim(KillVictim),
    /// (internal) One participant of `replay`.
    #[command(hide = true)]
    ReplayWorker(ReplayWorker),
}

#[derive(Args)]
pub struct Demo {
    /// Worker processes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// How many workers are killed with SIGKILL in mid-run, at seeded moments; each is replaced.
    #[arg(long, default_value_t = 3)]
    pub kills: u32,
    /// Part of the files that is read, above 0 and at most 1.
    #[arg(long, default_value_t = 1.0, value_parser = part_of_one)]
    pub sample: f64,
    /// Chooses the sample and the moments of the kills. Printed; random if absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The Python that runs the job. Default: the repository's .venv, an active virtual environment, python3.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Leaves out multiprocessing.Manager, which runs on every 20th file for comparison.
    #[arg(long)]
    pub no_manager: bool,
    /// Keeps the space afterwards, for `pso inspect`, `pso fsck` and pso.attach().
    #[arg(long)]
    pub keep: bool,
    /// Size of the space. Memory is taken only as it is used.
    #[arg(long, default_value = "4G")]
    pub size: String,
    /// Folder for the report of the replayed and simulated job: report.html, charts, trace, measurements.
    #[arg(long, default_value = "results/demo")]
    pub out: PathBuf,
    /// Machine profile of the simulation: its name, a file, or `local`, which is measured first.
    #[arg(long, default_value = "local")]
    pub profile: String,
}

impl Command {
    /// The file that its numbers go to.
    pub fn results(&self) -> Option<&Path> {
        match self {
            Self::Bench(bench) => bench.what.results(),
            Self::Replay(options) => options.out.as_deref(),
            Self::Sim(options) => options.out.as_deref(),
            Self::Policies(options) => Some(&options.out),
            Self::Calibrate(options) => Some(&options.out),
            Self::Validate(options) => options.out.as_deref(),
            Self::Torture(options) => options.out.as_deref(),
            Self::Sweep(options) => Some(&options.out),
            Self::Check(options) => options.out.as_deref(),
            Self::Verify(options) => Some(&options.out),
            Self::Demo(_) | Self::Trace(_) | Self::Plot(_) | Self::Fsck(_) | Self::Inspect(_) | Self::Top(_) => None,
            Self::List(_) | Self::TortureWorker(_) | Self::BankWorker(_) | Self::KillVictim(_) => None,
            Self::ReplayWorker(_) => None,
        }
    }
}

impl BenchKind {
    fn results(&self) -> Option<&Path> {
        let file = match self {
            Self::Bank(options) => &options.out,
            Self::Micro(options) => &options.out,
            Self::Native(options) => &options.out,
            Self::Wake(options) => &options.out,
            Self::Garbage(options) => &options.out,
            Self::Kill(options) => &options.out,
        };
        file.as_deref()
    }
}

#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    pub what: BenchKind,
}

#[derive(Subcommand)]
pub enum BenchKind {
    /// Transfers between accounts: pso with 1 and 2 processes, multiprocessing.Manager with a lock; then fairness of 4 on 4 accounts.
    Bank(BenchBank),
    /// Nanoseconds of single operations beside the builtins', with pyperf.
    Micro(BenchMicro),
    /// Transfers between accounts by native processes, without Python.
    Native(BenchNative),
    /// A message there and back between two sleeping processes: `pso.retry` beside futexes called through ctypes from Python.
    Wake(BenchWake),
    /// What collections cost those who work, and whether memory stays what it is while processes are killed, and beside one that is stopped.
    Garbage(BenchGarbage),
    /// How long whoever waits for a lock of a process that is killed waits on: in a transaction, in a commit, in a collection.
    Kill(BenchKill),
}

#[derive(Args)]
pub struct BenchBank {
    /// Accounts of the main part.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    pub accounts: u32,
    /// Seconds of each run.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// Runs of each contestant, alternated; medians are quoted.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds of the fairness part (4 processes, 4 accounts).
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub fairness_seconds: f64,
    /// Chooses the accounts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The Python that runs it.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Writes the numbers to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct BenchMicro {
    /// The Python that runs it.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Rounds, in each of which every operation is measured once beside its builtin; medians are quoted.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Shorter runs.
    #[arg(long)]
    pub fast: bool,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct BenchWake {
    /// Rounds, alternated; medians are quoted.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Round trips of a round.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(2..))]
    pub trips: u32,
    /// The Python that runs it.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct BenchNative {
    /// Accounts.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub accounts: u64,
    /// Processes; each count is a contestant of its own.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub processes: Vec<u32>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// Runs of each contestant, alternated; medians are quoted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Who yields in conflicts.
    #[arg(long, value_parser = policy, default_value_t = PolicyId::default(), help = format!("Who yields in conflicts: {}", policies()))]
    pub policy: PolicyId,
    /// Chooses the accounts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Torture {
    /// Kills. If absent 2,000, with --stops none.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub kills: Option<u32>,
    /// Stops (SIGSTOP): the stopped writer is continued after some milliseconds or a quarter of a second.
    #[arg(long, default_value_t = 0)]
    pub stops: u32,
    /// Writers that run at any time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=32))]
    pub writers: u32,
    /// Chooses victims, moments and what the writers do. Printed; random if absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The longest time that a survivor may go without a commit after a kill, or a stopped one after it goes on.
    #[arg(long, default_value_t = 2000)]
    pub patience_ms: u64,
    /// Who yields in conflicts.
    #[arg(long, value_parser = policy, default_value_t = PolicyId::default(), help = format!("Who yields in conflicts: {}", policies()))]
    pub policy: PolicyId,
    /// Says nothing but the closing line.
    #[arg(long)]
    pub quiet: bool,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Check {
    /// Only tests whose name contains this.
    pub only: Option<String>,
    /// Takes the numbers of this run over as what is expected from now on.
    #[arg(long)]
    pub bless: bool,
    /// Writes how much was explored to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Verify {
    /// Kills, spread over numbers of writers and policies. 0: that part is not run.
    #[arg(long, default_value_t = 10_000)]
    pub kills: u32,
    /// Stops. 0: that part is not run.
    #[arg(long, default_value_t = 1_000)]
    pub stops: u32,
    /// Random and as many PCT schedules of each scene under shuttle, from a seed that is not that of the tests.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub schedules: u32,
    /// Chooses schedules, victims and moments. Printed; random if absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Leaves out what cargo builds and runs: the models and the schedules.
    #[arg(long)]
    pub without_models: bool,
    /// Where the verdicts go.
    #[arg(long, default_value = "results/verify.json")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct TortureWorker {
    #[command(flatten)]
    pub parent: Parent,
    /// Folder of the round, which holds the space.
    #[arg(long)]
    pub dir: PathBuf,
    /// Which writer.
    #[arg(long)]
    pub writer: u32,
    /// What it does.
    #[arg(long)]
    pub seed: u64,
}

#[derive(Args)]
pub struct BankWorker {
    #[command(flatten)]
    pub parent: Parent,
    /// Folder of the run, which holds the space.
    #[arg(long)]
    pub dir: PathBuf,
    /// Which one.
    #[arg(long)]
    pub worker: u32,
    /// Seconds.
    #[arg(long)]
    pub seconds: f64,
    /// Which accounts.
    #[arg(long)]
    pub seed: u64,
}

/// Which space: exactly one of the two.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct SpaceChoice {
    /// Its name.
    pub name: Option<String>,
    /// Its directory.
    #[arg(long, value_name = "PATH")]
    pub dir: Option<PathBuf>,
}

#[derive(Args)]
pub struct Fsck {
    #[command(flatten)]
    pub space: SpaceChoice,
    /// Frees what nothing names, mends what has one answer, and says both; the space must be open nowhere. Exit code 0: nothing is left,
    /// 1: something is left, 2: it cannot be repaired now.
    #[arg(long)]
    pub repair: bool,
}

#[derive(Args)]
pub struct Inspect {
    #[command(flatten)]
    pub space: SpaceChoice,
    /// Shows it once, with rates over a fifth of a second, and ends.
    #[arg(long)]
    pub once: bool,
    /// Shows once what the memory is used for, by size class: a look at each block.
    #[arg(long)]
    pub classes: bool,
    /// Shows once how many objects of which kind there are, and what they take: a look at each block.
    #[arg(long)]
    pub kinds: bool,
}

#[derive(Args)]
pub struct Top {
    #[command(flatten)]
    pub space: SpaceChoice,
    /// Shows it once, with rates over a fifth of a second, and ends.
    #[arg(long)]
    pub once: bool,
}

#[derive(Args)]
pub struct List {
    /// Names only, one a line.
    #[arg(long)]
    pub names: bool,
}

fn part_of_one(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("a number above 0 and at most 1 is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_space_is_named_in_exactly_one_way() {
        assert!(Options::try_parse_from(["pso", "fsck"]).is_err());
        assert!(Options::try_parse_from(["pso", "fsck", "shop", "--dir", "state"]).is_err());
        assert!(Options::try_parse_from(["pso", "fsck", "shop"]).is_ok());
        assert!(Options::try_parse_from(["pso", "inspect", "--dir", "state"]).is_ok());
    }

    #[test]
    fn evidence_of_nothing_is_not_asked_for() {
        for words in [&["torture", "--kills"][..], &["torture", "--stops", "5", "--kills"], &["verify", "--schedules"]]
        {
            let parse = |count| Options::try_parse_from([&["pso"], words, &[count]].concat());
            assert!(parse("0").is_err() && parse("1").is_ok(), "{words:?}");
        }
    }

    #[test]
    fn what_measures_nothing_is_no_measurement() {
        let refused = [
            "bench native --processes 0",
            "bench native --processes 1,0",
            "bench native --accounts 1",
            "bench native --seconds NaN",
            "bench native --seconds 0",
            "bench native --seconds -1",
            "bench native --seconds inf",
            "bench bank --accounts 1",
            "bench bank --seconds NaN",
            "bench bank --fairness-seconds 0",
            "validate --processes 0",
        ];
        let parse = |line: &str| Options::try_parse_from(["pso"].into_iter().chain(line.split(' ')));
        for line in refused {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("bench native --accounts 2 --processes 1,64 --seconds 0.01").is_ok());
        assert!(parse("bench bank --accounts 2 --seconds 1 --fairness-seconds 0.5").is_ok());
        assert!(parse("validate --processes 1,2").is_ok());
    }

    #[test]
    fn a_sample_is_a_part_of_one() {
        for (text, good) in [("0.1", true), ("1", true), ("0", false), ("1.5", false), ("NaN", false), ("x", false)] {
            assert_eq!(Options::try_parse_from(["pso", "demo", "--sample", text]).is_ok(), good, "{text}");
        }
    }
}
