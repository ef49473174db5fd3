//! `pso bench bank`: transfers a second through Python, on pso and on `multiprocessing.Manager`, and fairness among few accounts.

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::cli::BenchBank;
use crate::failure::Failure;
use crate::machine::{self, median, ratio};
use crate::output;
use crate::python::Python;
use crate::table::{Table, thousands};

/// Who is measured: name, kind of script, processes.
const CONTESTANTS: [(&str, &str, u32); 4] = [
    ("pso, 1 process", "bank", 1),
    ("pso, 2 processes", "bank", 2),
    ("Manager with a lock, 1 process", "manager", 1),
    ("Manager with a lock, 2 processes", "manager", 2),
];
const PSO_1: usize = 0;
const PSO_2: usize = 1;
const MANAGER_2: usize = 3;
const FAIRNESS_PROCESSES: u32 = 4;
const FAIRNESS_ACCOUNTS: u32 = 4;

/// One run of the script.
#[derive(Deserialize)]
struct Run {
    rates: Vec<f64>,
    /// Which account does not hold what the transfers come to that were counted. Empty: none.
    lost: String,
}

#[derive(Serialize)]
struct Numbers {
    seed: u64,
    accounts: u32,
    rounds: u32,
    seconds: f64,
    /// Transfers a second, each run.
    transfers_per_second: Vec<Contestant>,
    /// Medians of the ratios within a round.
    two_processes_over_manager: f64,
    two_processes_over_one: f64,
    /// None: it was not measured any more.
    fairness: Option<Fairness>,
}

#[derive(Serialize)]
struct Contestant {
    name: &'static str,
    median: f64,
    runs: Vec<f64>,
}

#[derive(Serialize)]
struct Fairness {
    processes: u32,
    accounts: u32,
    seconds: f64,
    rates: Vec<f64>,
    slowest_over_fastest: f64,
}

/// The subcommand.
pub fn run(options: &BenchBank) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    output::line(format_args!(
        "bench bank: {} accounts, {} rounds of {} s, seed {}",
        options.accounts, options.rounds, options.seconds, options.seed
    ))?;
    let mut runs = vec![Vec::new(); CONTESTANTS.len()];
    let measured = measure_all(&python, options, &mut runs).and_then(|()| fairness(&python, options));
    let (fairness, failure) = match measured {
        Ok(fairness) => (Some(fairness), None),
        Err(failure) => (None, Some(failure)),
    };
    let numbers = numbers(options, runs, fairness);
    if let Some(failure) = failure {
        return Err(machine::rescue(options.out.as_deref(), &numbers, failure));
    }
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    print(&numbers)
}

/// Transfers a second of each run of each contestant, of those before a failure, too.
fn measure_all(python: &Python, options: &BenchBank, runs: &mut [Vec<f64>]) -> Result<(), Failure> {
    let bar = bar(u64::from(options.rounds) * CONTESTANTS.len() as u64);
    for round in 0..options.rounds {
        let seed = options.seed.wrapping_mul(100).wrapping_add(round.into());
        for ((name, kind, processes), runs) in CONTESTANTS.into_iter().zip(runs.iter_mut()) {
            let run = measure(python, name, kind, options.accounts, processes, options.seconds, seed)?;
            runs.push(run.rates.iter().sum());
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn numbers(options: &BenchBank, runs: Vec<Vec<f64>>, fairness: Option<Fairness>) -> Numbers {
    let medians: Vec<f64> = runs.iter().map(|rates| median(rates)).collect();
    Numbers {
        seed: options.seed,
        accounts: options.accounts,
        rounds: options.rounds,
        seconds: options.seconds,
        two_processes_over_manager: ratio(&runs[PSO_2], &runs[MANAGER_2]),
        two_processes_over_one: ratio(&runs[PSO_2], &runs[PSO_1]),
        transfers_per_second: CONTESTANTS
            .iter()
            .zip(medians)
            .zip(runs)
            .map(|(((name, _, _), median), runs)| Contestant { name, median, runs })
            .collect(),
        fairness,
    }
}

fn fairness(python: &Python, options: &BenchBank) -> Result<Fairness, Failure> {
    let (processes, accounts) = (FAIRNESS_PROCESSES, FAIRNESS_ACCOUNTS);
    let seconds = options.fairness_seconds;
    let run = measure(python, "fairness", "bank", accounts, processes, seconds, options.seed)?;
    let slowest = run.rates.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = run.rates.iter().copied().fold(0.0, f64::max);
    Ok(Fairness { processes, accounts, seconds, rates: run.rates, slowest_over_fastest: slowest / fastest })
}

fn measure(
    python: &Python,
    name: &str,
    kind: &str,
    accounts: u32,
    processes: u32,
    seconds: f64,
    seed: u64,
) -> Result<Run, Failure> {
    let pairs = [
        ("--accounts", accounts.to_string()),
        ("--processes", processes.to_string()),
        ("--seconds", seconds.to_string()),
        ("--seed", seed.to_string()),
    ];
    let options = pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
    let arguments: Vec<String> = std::iter::once(kind.to_owned()).chain(options).collect();
    check(name, python.answer("pso_bench", &arguments)?)
}

fn check(name: &str, run: Run) -> Result<Run, Failure> {
    if run.lost.is_empty() {
        return Ok(run);
    }
    Err(Failure::Wrong(format!("bench: {name}: {}: transfers are lost", run.lost)))
}

fn print(numbers: &Numbers) -> Result<(), Failure> {
    let mut table = Table::new(["", "transfers/s", "least", "most"]);
    let rate = |rate: f64| thousands(rate.round() as u64);
    for contestant in &numbers.transfers_per_second {
        let least = contestant.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = contestant.runs.iter().copied().fold(0.0, f64::max);
        table.row([contestant.name.to_owned(), rate(contestant.median), rate(least), rate(most)]);
    }
    output::line(format_args!("\n{table}"))?;
    output::line(format_args!("  pso over Manager, 2 processes each: {:.0}x", numbers.two_processes_over_manager))?;
    output::line(format_args!("  pso, 2 processes over 1: {:.2}x", numbers.two_processes_over_one))?;
    let Some(fairness) = &numbers.fairness else { return Ok(()) };
    let rates: Vec<String> = fairness.rates.iter().map(|each| rate(*each)).collect();
    output::line(format_args!(
        "  {} processes on {} accounts for {} s: {} transfers/s, slowest over fastest {:.2}",
        fairness.processes,
        fairness.accounts,
        fairness.seconds,
        rates.join(", "),
        fairness.slowest_over_fastest
    ))?;
    output::line("  every transfer found in the accounts, in every run")
}

fn bar(length: u64) -> ProgressBar {
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  measuring {wide_bar} {pos}/{len} {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_that_are_lost_fail_the_run() {
        let run = |lost: &str| Run { rates: vec![1.0], lost: lost.into() };
        assert!(check("pso", run("")).is_ok());
        let failure = check("pso", run("account 0 holds 1000, not 998")).err().unwrap();
        assert_eq!(failure.to_string(), "bench: pso: account 0 holds 1000, not 998: transfers are lost");
    }
}
