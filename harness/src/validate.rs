//! `pso validate`: does the simulator say what this machine does?
//!
//! Each round calibrates, then plays every case on real processes and, with that profile, on the simulated machine: close
//! together, because a shared machine does not keep its speed. The same trace file is played in both worlds, flat out. The
//! figure of a case is the median of the simulated throughputs over the median of the real ones.

use std::path::Path;

use pso_sim::measure::Verdict;
use pso_sim::player::Pacing;
use pso_sim::simulate;
use pso_sim::trace::{Contention, Kind, Trace, generate};
use serde::Serialize;

use crate::cli::Validate;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::table::{Table, thousands};
use crate::{calibrate, replay, simulator};

/// How far the simulated median may be from the real one.
const TOLERANCE: f64 = 0.25;
const KINDS: [Kind; 2] = [Kind::Bank1000, Kind::Counter];

#[derive(Serialize)]
struct Numbers {
    rounds: u32,
    transactions: u64,
    seed: u64,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    workload: &'static str,
    processes: u32,
    /// Commits a second, each round.
    real: Vec<f64>,
    simulated: Vec<f64>,
    real_attempts_per_commit: Vec<f64>,
    simulated_attempts_per_commit: Vec<f64>,
    /// Of the medians: simulated over real, less 1.
    error: f64,
}

/// The subcommand.
pub fn run(options: &Validate) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::system("a folder for the traces"))?;
    let mut cases = cases(options);
    let traces: Vec<Trace> = cases.iter().map(|case| trace(options, case)).collect();
    println!(
        "validate: {} rounds of calibration, real run and simulated run, {} transactions each, seed {}",
        options.rounds,
        thousands(options.transactions),
        options.seed
    );
    for round in 0..options.rounds {
        let profile = calibrate::measure()?;
        for (number, case) in cases.iter_mut().enumerate() {
            let file = folder.path().join(format!("{number}.gz"));
            let real = real(&traces[number], &file)?;
            let setup = simulator::setup(profile.clone(), machine::processors(), options.seed + u64::from(round));
            let played = simulate(&traces[number], setup, Pacing::FLAT_OUT);
            let simulated = played.map_err(|error| Failure::Wrong(format!("sim: {error}")))?.measurement;
            for each in [&real, &simulated] {
                if each.verdict != Verdict::Ok {
                    return Err(Failure::Wrong(format!("{}: {:?}", case.workload, each.verdict)));
                }
            }
            case.real.push(real.throughput());
            case.simulated.push(simulated.throughput());
            case.real_attempts_per_commit.push(real.attempts_per_commit());
            case.simulated_attempts_per_commit.push(simulated.attempts_per_commit());
        }
    }
    for case in &mut cases {
        case.error = median(&case.simulated) / median(&case.real) - 1.0;
    }
    print(&cases);
    let numbers = Numbers { rounds: options.rounds, transactions: options.transactions, seed: options.seed, cases };
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))
}

fn cases(options: &Validate) -> Vec<Case> {
    let case = |kind: Kind, processes| Case {
        workload: kind.name(),
        processes,
        real: Vec::new(),
        simulated: Vec::new(),
        real_attempts_per_commit: Vec::new(),
        simulated_attempts_per_commit: Vec::new(),
        error: 0.0,
    };
    KINDS.iter().flat_map(|kind| options.processes.iter().map(move |processes| case(*kind, *processes))).collect()
}

fn trace(options: &Validate, case: &Case) -> Trace {
    let kind = KINDS.into_iter().find(|kind| kind.name() == case.workload).unwrap_or(Kind::Counter);
    generate(kind, Contention::High, case.processes, options.transactions, options.seed)
}

fn real(trace: &Trace, file: &Path) -> Result<pso_sim::measure::Measurement, Failure> {
    if !file.exists() {
        trace.save(file).map_err(|error| Failure::Wrong(error.to_string()))?;
    }
    replay::flat_out(trace, file)
}

fn print(cases: &[Case]) {
    let mut table = Table::new([
        "workload",
        "processes",
        "real commits/s",
        "quartiles",
        "simulated commits/s",
        "quartiles",
        "error",
        "attempts real",
        "simulated",
    ]);
    let rate = |rate: f64| thousands(rate.round() as u64);
    for case in cases {
        let quartiles = |runs: &[f64]| format!("{}..{}", rate(quantile(runs, 0.25)), rate(quantile(runs, 0.75)));
        table.row([
            case.workload.to_owned(),
            case.processes.to_string(),
            rate(median(&case.real)),
            quartiles(&case.real),
            rate(median(&case.simulated)),
            quartiles(&case.simulated),
            format!("{:+.0} %", case.error * 100.0),
            format!("{:.2}", median(&case.real_attempts_per_commit)),
            format!("{:.2}", median(&case.simulated_attempts_per_commit)),
        ]);
    }
    println!("\n{table}");
    let within = cases.iter().filter(|case| case.error.abs() <= TOLERANCE).count();
    println!("  {within} of {} cases within {:.0} % of the real median", cases.len(), TOLERANCE * 100.0);
}

/// The value below which a part of `runs` lies.
fn quantile(runs: &[f64], part: f64) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len() as f64 - 1.0) * part).round() as usize).copied().unwrap_or(0.0)
}
