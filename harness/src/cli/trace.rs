//! The command line of traces: `pso trace` and `pso replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use pso_engine::contention::PolicyId;
use pso_sim::trace::{Contention, Kind};

use super::simulator::{policies, policy};
use crate::crew::Parent;

#[derive(Args)]
pub struct Replay {
    /// The trace.
    pub file: PathBuf,
    /// How often; medians are quoted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Deals the lines to so many processes, at most as many as the trace has participants. Default: those.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=REPLAY_PROCESSES_MAX))]
    pub participants: Option<u32>,
    /// Which times of the trace are kept.
    #[arg(long, value_enum, default_value_t = Pace::AsWritten)]
    pub pace: Pace,
    /// Who yields in conflicts.
    #[arg(long, value_parser = policy, default_value_t = PolicyId::default(), help = format!("Who yields in conflicts: {}", policies()))]
    pub policy: PolicyId,
    /// A run that takes longer is stuck.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience_s: u64,
    /// Writes the measurements to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What a space has process slots for, without the one who watches.
pub const REPLAY_PROCESSES_MAX: i64 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// Arrivals and think times.
    AsWritten,
    /// Think times only.
    Think,
    /// None: as fast as it goes.
    FlatOut,
}

#[derive(Args)]
pub struct ReplayWorker {
    #[command(flatten)]
    pub parent: Parent,
    /// Folder of the run, which holds the space.
    #[arg(long)]
    pub dir: PathBuf,
    /// The trace.
    #[arg(long)]
    pub file: PathBuf,
    /// How many processes.
    #[arg(long)]
    pub participants: u32,
    /// Which one.
    #[arg(long)]
    pub participant: u32,
    /// Which times are kept.
    #[arg(long, value_enum)]
    pub pace: Pace,
}

#[derive(Args)]
pub struct TraceOptions {
    #[command(subcommand)]
    pub what: TraceKind,
}

#[derive(Subcommand)]
pub enum TraceKind {
    /// Makes a trace by rule; the same seed makes the same trace.
    Generate(TraceGenerate),
    /// Says what a trace holds. `zcat FILE` shows the trace itself.
    Show(TraceShow),
    /// Puts the recordings of several processes of one space together, in the order of arrival.
    Merge(TraceMerge),
}

#[derive(Args)]
pub struct TraceGenerate {
    /// What its transactions do.
    #[arg(value_parser = kind_of_trace, help = format!("What its transactions do: {}", kinds_of_trace()))]
    pub kind: Kind,
    /// How many meet how often.
    #[arg(long, value_parser = contention, default_value = "medium", help = "How many meet how often: low, medium or high")]
    pub contention: Contention,
    /// Participants. Default: 2, 4 or 8 at low, medium or high contention.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2046))]
    pub participants: Option<u32>,
    /// Transactions of all participants together.
    #[arg(long, default_value_t = 1600, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub transactions: u64,
    /// Chooses cells and think times.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The file, gzipped.
    #[arg(short, long)]
    pub output: PathBuf,
}

#[derive(Args)]
pub struct TraceShow {
    /// The trace.
    pub file: PathBuf,
}

#[derive(Args)]
pub struct TraceMerge {
    /// Recordings of one space.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The file, gzipped.
    #[arg(short, long)]
    pub output: PathBuf,
}

pub(super) fn kind_of_trace(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("there are {}", kinds_of_trace()))
}

pub(super) fn kinds_of_trace() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

pub(super) fn contention(text: &str) -> Result<Contention, String> {
    let found = Contention::ALL.into_iter().find(|contention| contention.name() == text);
    found.ok_or_else(|| format!("there are {}", Contention::ALL.map(Contention::name).join(", ")))
}
