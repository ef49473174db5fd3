//! The command line of `pso bench kill`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::crew::Parent;

/// What a victim is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KillDeed {
    /// In the middle of a transaction.
    Transaction,
    /// Writing one back.
    Commit,
    /// In a transaction, with a collection beside.
    Collection,
}

#[derive(Args)]
pub struct BenchKill {
    /// Kills in each deed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub kills: u32,
    /// Blocks that the victim has made.
    #[arg(long, default_value_t = 100_000)]
    pub blocks: u64,
    /// Objects that it holds.
    #[arg(long, default_value_t = 1000)]
    pub handles: u64,
    /// Chooses the moments.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct KillVictim {
    #[command(flatten)]
    pub parent: Parent,
    /// Directory of the space.
    #[arg(long)]
    pub dir: PathBuf,
    /// What it is killed in.
    #[arg(long)]
    pub deed: KillDeed,
    /// Blocks that it makes.
    #[arg(long)]
    pub blocks: u64,
    /// Objects that it holds.
    #[arg(long)]
    pub handles: u64,
}
