//! The command line of charts: `pso sweep` and `pso plot`.

use std::path::PathBuf;

use clap::Args;
use pso_sim::trace::{Contention, Kind};

use super::trace::{contention, kind_of_trace};

#[derive(Args)]
pub struct Plot {
    /// Result files (JSON).
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder for the charts and report.html.
    #[arg(short, long)]
    pub out: PathBuf,
    /// Title of the report.
    #[arg(long)]
    pub title: Option<String>,
}

#[derive(Args)]
pub struct Sweep {
    /// What the transactions of the traces do (see `pso trace generate`).
    #[arg(long, value_delimiter = ',', value_parser = kind_of_trace, default_value = "counter,bank-1000,bank-4,long-reader,crossing-pairs,queue")]
    pub traces: Vec<Kind>,
    /// How many meet how often.
    #[arg(long, value_delimiter = ',', value_parser = contention, default_value = "low,medium,high")]
    pub contention: Vec<Contention>,
    /// Participants of real runs, processes of this machine.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64), default_value = "1,2,4,8")]
    pub participants: Vec<u32>,
    /// Cores and participants of simulated runs: a core for each, and all of them on as many cores as this machine has.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=256), default_value = "1,2,4,8,16,32,64")]
    pub cores: Vec<u32>,
    /// Real runs of each point; medians are quoted.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Transactions of a run, of all participants together. Default: by contention, so that a run takes a moment.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub transactions: Option<u64>,
    /// Chooses cells and think times of the traces, and what the simulator draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Machine profile of the simulation: its name, a file, or `local`, which is measured first.
    #[arg(long, default_value = "local")]
    pub profile: String,
    /// Three runs of a tenth of the transactions.
    #[arg(long)]
    pub quick: bool,
    /// Writes the measurements to this file (JSON), with command, seed, commit and machine class.
    #[arg(long)]
    pub out: PathBuf,
    /// Folder for charts and a report of them.
    #[arg(long)]
    pub plot: Option<PathBuf>,
}
