//! The command line of the simulator: `pso sim`, `pso calibrate`, `pso validate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pso_engine::contention::{PolicyId, UnknownPolicy};
use pso_sim::trace::{Contention, Kind};

use super::trace::{Pace, contention, kind_of_trace, kinds_of_trace};

#[derive(Args)]
pub struct Simulate {
    /// The trace. Without one, a trace is generated.
    pub file: Option<PathBuf>,
    /// What the generated transactions do.
    #[arg(long, value_parser = kind_of_trace, default_value = "bank-1000", conflicts_with = "file", help = format!("What the generated transactions do: {}", kinds_of_trace()))]
    pub kind: Kind,
    /// How many meet how often: low, medium or high.
    #[arg(long, value_parser = contention, default_value = "high", conflicts_with = "file")]
    pub contention: Contention,
    /// Transactions that are generated.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with = "file")]
    pub transactions: u64,
    /// Participants: of a generated trace, or to whom the lines of a file are dealt. Default: those of the trace, or one a core.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub participants: Option<u32>,
    /// Which times of the trace are kept.
    #[arg(long, value_enum, default_value_t = Pace::AsWritten)]
    pub pace: Pace,
    /// The machine: chiplet, mesh, local (this one, measured first), or a file as `pso calibrate` writes it.
    #[arg(long, default_value = "chiplet")]
    pub profile: String,
    /// Its cores.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub cores: u32,
    /// Who gets them.
    #[arg(long, value_enum, default_value_t = SchedulerName::Fair)]
    pub scheduler: SchedulerName,
    /// Who yields in conflicts.
    #[arg(long, value_parser = policy, default_value_t = PolicyId::default(), help = format!("Who yields in conflicts: {}", policies()))]
    pub policy: PolicyId,
    /// Everything that is drawn follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Memory operations at most.
    #[arg(long, default_value_t = 20_000_000_000)]
    pub budget: u64,
    /// Without a commit for so many ms of virtual time, and for what the longest transaction computes, the run is stuck or livelocked: exit code 1, unless somebody is killed, stopped or
    /// made slow, or the policy promises no better.
    #[arg(long, default_value_t = 2_000)]
    pub patience_ms: u64,
    /// Kills a participant before one of its memory operations: PARTICIPANT:STEP. May be given more than once.
    #[arg(long, value_name = "WHO:STEP")]
    pub kill: Vec<String>,
    /// Stops a participant before one of its memory operations, for some ms: PARTICIPANT:STEP:MS.
    #[arg(long, value_name = "WHO:STEP:MS")]
    pub stop: Vec<String>,
    /// Makes a participant slow from one of its memory operations on: PARTICIPANT:STEP:TIMES.
    #[arg(long, value_name = "WHO:STEP:TIMES")]
    pub slow: Vec<String>,
    /// Writes the measurement to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// A contention policy by its name.
pub fn policy(name: &str) -> Result<PolicyId, UnknownPolicy> {
    name.parse()
}

/// The names of all policies.
pub fn policies() -> String {
    PolicyId::ALL.map(PolicyId::name).join(", ")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchedulerName {
    /// Who has run least goes first.
    Fair,
    /// Who has waited longest goes first.
    RoundRobin,
    /// Takes the core from whoever has just locked a cell, and delays the oldest transaction.
    Adversary,
}

#[derive(Args)]
pub struct Policies {
    /// What the transactions do.
    #[arg(long, value_delimiter = ',', value_parser = kind_of_trace, default_value = "counter,bank-4,bank-1000,crossing-pairs,long-reader", help = format!("What the transactions do: {}", kinds_of_trace()))]
    pub traces: Vec<Kind>,
    /// How many meet how often: low, medium or high.
    #[arg(long, value_parser = contention, default_value = "high")]
    pub contention: Contention,
    /// The policies that are compared. Default: all.
    #[arg(long, value_delimiter = ',', value_parser = policy, default_values_t = PolicyId::ALL, help = format!("The policies that are compared: {}", policies()))]
    pub policies: Vec<PolicyId>,
    /// Simulated cores, with a participant each.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=256), default_value = "1,2,4,8,16,32")]
    pub cores: Vec<u32>,
    /// So many participants for each core.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub oversubscribed: u32,
    /// Transactions of a run, of all participants together.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub transactions: u64,
    /// The machine: chiplet, mesh, local (this one, measured first), or a file as `pso calibrate` writes it.
    #[arg(long, default_value = "chiplet")]
    pub profile: String,
    /// Everything that is drawn follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Memory operations of a run at most.
    #[arg(long, default_value_t = 400_000_000)]
    pub budget: u64,
    /// Writes the measurements to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: PathBuf,
    /// Folder for charts and a report of them.
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

#[derive(Args)]
pub struct Calibrate {
    /// The profile.
    #[arg(long, default_value = "results/local/profile.toml")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct Validate {
    /// Runs of each workload and number of processes; calibration, simulation and real run alternate.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Transactions of a run.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub transactions: u64,
    /// Processes; each count is a case of its own.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub processes: Vec<u32>,
    /// Chooses the cells.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Writes the numbers to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Draws them into this folder: validate.svg and validate.png. (`pso plot` draws such a file, too.)
    #[arg(long)]
    pub plot: Option<PathBuf>,
}
