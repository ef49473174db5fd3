//! The command line of `pso bench garbage`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub struct BenchGarbage {
    /// Lists of the ring that is dropped.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub objects: u32,
    /// The share of one processor that is spent on collecting it.
    #[arg(long, default_value_t = 0.25, value_parser = share)]
    pub share: f64,
    /// MiB that are filled, and deleted.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..))]
    pub deleted: u32,
    /// Seconds of each part in which values are replaced, with a process killed in every second.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..))]
    pub seconds: u32,
    /// So often one of four who replace values is stopped for a second (SIGSTOP), at a random moment. 0: never.
    #[arg(long, default_value_t = 20)]
    pub stops: u32,
    /// Chooses who is stopped, and when.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The Python that runs it.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Writes the numbers to this file (JSON).
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Folder for the chart of memory over time, `garbage.svg` and `garbage.png`. `pso plot FILE -o FOLDER` draws it of a file.
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.01..=1.0).contains(share));
    share.ok_or_else(|| "a share of a processor is from 0.01 to 1".into())
}
