//! `pso validate`: does the simulator say what this machine does?
//!
//! In each round every case is calibrated, played on real processes and, with that profile, on the simulated machine: close
//! together, because a shared machine does not keep its speed, nor the distance between its cores. The same trace file is played in both worlds, flat out. The
//! figure of a case is the median of the simulated throughputs over the median of the real ones.

pub mod case;

use std::path::Path;

use pso_sim::measure::Verdict;
use pso_sim::player::Pacing;
use pso_sim::simulate;
use pso_sim::trace::{Contention, Kind, Trace, generate};

use case::{Case, Numbers, TOLERANCE, quantile};

use crate::cli::Validate;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::table::{Table, thousands};
use crate::{calibrate, interrupt, output, plot, replay, simulator, trace};

const KINDS: [Kind; 2] = [Kind::Bank1000, Kind::Counter];

/// The subcommand.
pub fn run(options: &Validate) -> Result<(), Failure> {
    let players = options.processes.iter().max().map_or(0, |most| *most as usize);
    let at_once = KINDS.len() * options.processes.len() + players;
    for kind in KINDS {
        trace::affordable(kind, Contention::High, options.transactions, at_once)?;
    }
    let folder = tempfile::tempdir().map_err(Failure::system("a folder for the traces"))?;
    let mut cases = cases(options);
    let traces: Vec<Trace> = cases.iter().map(|case| trace_of(options, case)).collect();
    output::line(format_args!(
        "validate: {} rounds of calibration, real run and simulated run, {} transactions each, seed {}",
        options.rounds,
        thousands(options.transactions),
        options.seed
    ))?;
    let measured = (0..options.rounds).try_for_each(|round| {
        let of_cases = cases.iter_mut().zip(&traces).enumerate();
        let mut of_cases = of_cases.map(|(number, of)| (folder.path().join(format!("{number}.gz")), of));
        let seed = options.seed.wrapping_add(u64::from(round));
        of_cases.try_for_each(|(file, (case, trace))| measure(case, trace, &file, seed))
    });
    cases.iter_mut().for_each(Case::settle);
    let numbers = Numbers { rounds: options.rounds, transactions: options.transactions, seed: options.seed, cases };
    measured.map_err(|failure| machine::rescue(options.out.as_deref(), &numbers, failure))?;
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    print(&numbers.cases)?;
    options.plot.as_ref().map_or(Ok(()), |folder| plot::validation::write(&numbers, folder))
}

/// One round of one case: calibration, the trace in `file` on real processes, and on the simulated machine.
fn measure(case: &mut Case, trace: &Trace, file: &Path, seed: u64) -> Result<(), Failure> {
    interrupt::check()?;
    let profile = calibrate::measure()?;
    let transfer_ns = profile.load_changed.ns[0];
    let real = real(trace, file)?;
    interrupt::check()?;
    let setup = simulator::setup(profile, machine::processors(), seed, trace)?;
    let played = simulate(trace, setup, Pacing::FLAT_OUT);
    let simulated = played.map_err(|error| Failure::Wrong(format!("sim: {error}")))?.measurement;
    for each in [&real, &simulated] {
        if each.verdict != Verdict::Ok {
            return Err(Failure::Wrong(format!("{}: {:?}", case.workload, each.verdict)));
        }
    }
    case.transfer_ns.push(transfer_ns);
    case.real.push(real.throughput());
    case.simulated.push(simulated.throughput());
    case.real_attempts_per_commit.push(real.attempts_per_commit());
    case.simulated_attempts_per_commit.push(simulated.attempts_per_commit());
    Ok(())
}

fn cases(options: &Validate) -> Vec<Case> {
    KINDS.iter().flat_map(|kind| options.processes.iter().map(|processes| Case::new(kind.name(), *processes))).collect()
}

fn trace_of(options: &Validate, case: &Case) -> Trace {
    let kind = KINDS.into_iter().find(|kind| kind.name() == case.workload).unwrap_or(Kind::Counter);
    generate(kind, Contention::High, case.processes, options.transactions, options.seed)
}

fn real(trace: &Trace, file: &Path) -> Result<pso_sim::measure::Measurement, Failure> {
    if !file.exists() {
        trace.save(file).map_err(|error| Failure::Wrong(error.to_string()))?;
    }
    replay::flat_out(trace, file)
}

fn print(cases: &[Case]) -> Result<(), Failure> {
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
            case.workload.clone(),
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
    output::line(format_args!("\n{table}"))?;
    let within = cases.iter().filter(|case| case.holds()).count();
    output::line(format_args!(
        "  {within} of {} cases within {:.0} % of the real median",
        cases.len(),
        TOLERANCE * 100.0
    ))?;
    Ok(())
}
