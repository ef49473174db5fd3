//! `pso bench`: measures, prints tables, writes numbers with their provenance.
//!
//! Rates on shared machines are noisy: contestants alternate within one run, medians and ratios are quoted.

mod bank;
pub mod garbage;
pub mod kill;
mod micro;
pub mod native;
mod wake;

use crate::cli::{Bench, BenchKind};
use crate::failure::Failure;

/// The subcommand.
pub fn run(options: &Bench) -> Result<(), Failure> {
    match &options.what {
        BenchKind::Bank(options) => bank::run(options),
        BenchKind::Garbage(options) => garbage::run(options),
        BenchKind::Kill(options) => kill::run(options),
        BenchKind::Micro(options) => micro::run(options),
        BenchKind::Native(options) => native::run(options),
        BenchKind::Wake(options) => wake::run(options),
    }
}
