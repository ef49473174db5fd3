//! `pso sweep`: traces on real processes and on the simulated machine, by participants and cores.
//!
//! Each trace is generated anew for each number of participants, the same text for both worlds. Real runs are alternated: a
//! round measures every point once, and a share of the simulated points in between, so that whatever changes on this machine
//! in the meantime meets all points alike. A simulated run depends on nothing but its seed, so one of a point is enough.

mod duel;

use std::collections::BTreeSet;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use pso_sim::measure::Measurement;
use pso_sim::player::Pacing;
use pso_sim::trace::{Contention, Kind, generate};
use serde::Serialize;

pub use duel::Duel;

use crate::cli::{Pace, Sweep};
use crate::failure::Failure;
use crate::{fault, machine, output, plot, simulator, trace};

/// Transactions of a run at low, medium and high contention: think times make a low one long.
const TRANSACTIONS: [u64; 3] = [20_000, 60_000, 200_000];
const QUICK_RUNS: u32 = 3;
const QUICK_PART: u64 = 10;

#[derive(Serialize)]
struct Numbers<'a> {
    seed: u64,
    runs: u32,
    profile: &'a str,
    measurements: &'a [Measurement],
}

/// The subcommand. A run that shows a fault is drawn and told beside the others, and ends it with exit code 1.
pub fn run(options: &Sweep) -> Result<(), Failure> {
    let runs = if options.quick { QUICK_RUNS.min(options.runs) } else { options.runs };
    let traces: Vec<(Kind, Contention)> = options
        .traces
        .iter()
        .flat_map(|kind| options.contention.iter().map(|contention| (*kind, *contention)))
        .collect();
    let counts: BTreeSet<u32> = options.participants.iter().chain(&options.cores).copied().collect();
    let players = options.participants.iter().max().map_or(0, |most| *most as usize);
    for &(kind, contention) in &traces {
        trace::affordable(kind, contention, transactions(options, contention), counts.len() + players)?;
    }
    output::line(format_args!(
        "sweep: {} traces, {runs} real runs of each point, simulated on the profile {}, seed {}",
        traces.len(),
        options.profile,
        options.seed
    ))?;
    let began = Instant::now();
    let bar = progress(traces.len() as u64 * u64::from(runs));
    let mut measurements = Vec::new();
    let measured = traces.into_iter().try_for_each(|(kind, contention)| {
        bar.set_message(format!("{}-{}", kind.name(), contention.name()));
        measure(options, kind, contention, runs, &bar, &mut measurements)
    });
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let numbers = Numbers { seed: options.seed, runs, profile: &options.profile, measurements: &measurements };
    measured.map_err(|failure| machine::rescue(Some(&options.out), &numbers, failure))?;
    machine::write_results(&options.out, &numbers)?;
    output::line(format_args!("  {} runs in {seconds:.0} s", measurements.len()))?;
    plot::report(
        std::slice::from_ref(&options.out),
        options.plot.as_deref(),
        "pso: simulated and real runs of traces",
        &[],
    )?;
    fault::none_in("sweep", &measurements)
}

/// All points of one trace, into `measurements`: those before a failure, too.
fn measure(
    options: &Sweep,
    kind: Kind,
    contention: Contention,
    runs: u32,
    bar: &ProgressBar,
    measurements: &mut Vec<Measurement>,
) -> Result<(), Failure> {
    let transactions = transactions(options, contention);
    let deal = |participants: u32| {
        let mut trace = generate(kind, contention, participants, transactions, options.seed);
        // Its name is the same for all participants: they are points of one curve.
        trace.header.name = format!("{}-{}", kind.name(), contention.name());
        trace
    };
    let pace = (Pace::AsWritten, Pacing::AS_WRITTEN);
    // A shared machine does not keep its speed: `local` is measured anew beside the real runs of each trace.
    let profile = simulator::profile(&options.profile)?;
    let mut duel = Duel::new(deal, profile, options.seed, pace)?;
    duel.real(&options.participants);
    let here = machine::processors();
    duel.simulated(options.cores.iter().flat_map(|count| [(*count, *count), (here, *count)]));
    let measured = (0..runs).try_for_each(|round| {
        duel.round(round, runs)?;
        bar.inc(1);
        Ok(())
    });
    measurements.extend(duel.finish());
    measured
}

/// Of a run.
fn transactions(options: &Sweep, contention: Contention) -> u64 {
    options.transactions.unwrap_or_else(|| {
        let all = TRANSACTIONS[Contention::ALL.iter().position(|each| *each == contention).unwrap_or(0)];
        if options.quick { all / QUICK_PART } else { all }
    })
}

fn progress(length: u64) -> ProgressBar {
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  {msg} {wide_bar} {pos}/{len} rounds {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
