//! `pso bench wake`: a message there and back between two sleeping processes, through `pso.retry` and through
//! futexes called through ctypes from Python: what ctypes takes is in their time.

use serde::{Deserialize, Serialize};

use crate::cli::BenchWake;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::output;
use crate::python::Python;
use crate::table::Table;

/// Microseconds of a round trip, a number for each round.
#[derive(Deserialize)]
struct Rounds {
    futex_us: Vec<f64>,
    retry_us: Vec<f64>,
}

#[derive(Serialize)]
struct Numbers {
    rounds: u32,
    trips: u32,
    futex_us: f64,
    retry_us: f64,
    /// The median of the ratios within a round.
    ratio: f64,
    ratios: Vec<f64>,
}

/// The subcommand.
pub fn run(options: &BenchWake) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    output::line(format_args!("bench wake: {} rounds of {} round trips each", options.rounds, options.trips))?;
    let arguments =
        ["wake", "--rounds", &options.rounds.to_string(), "--trips", &options.trips.to_string()].map(String::from);
    let rounds: Rounds = python.answer("pso_bench", &arguments)?;
    let numbers = numbers(options, &rounds);
    let table = table(&numbers);
    options.out.as_ref().map_or(Ok(()), |out| machine::write_results(out, &numbers))?;
    output::line(format_args!("\n{table}"))
}

/// The ratio is to what a Python program can have of futexes, and called so.
fn table(numbers: &Numbers) -> Table {
    let mut table = Table::new(["round trip", "microseconds", "over futexes through ctypes"]);
    table.row(["futexes through ctypes".into(), format!("{:.1}", numbers.futex_us), String::new()]);
    table.row(["pso.retry".into(), format!("{:.1}", numbers.retry_us), format!("{:.2}x", numbers.ratio)]);
    table
}

fn numbers(options: &BenchWake, rounds: &Rounds) -> Numbers {
    let ratios: Vec<f64> = rounds.retry_us.iter().zip(&rounds.futex_us).map(|(retry, futex)| retry / futex).collect();
    Numbers {
        rounds: options.rounds,
        trips: options.trips,
        futex_us: median(&rounds.futex_us),
        retry_us: median(&rounds.retry_us),
        ratio: median(&ratios),
        ratios,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_what_was_measured_side_by_side() {
        let options = BenchWake { rounds: 3, trips: 10, python: None, out: None };
        let rounds = Rounds { futex_us: vec![10.0, 40.0, 10.0], retry_us: vec![15.0, 44.0, 12.0] };
        let numbers = numbers(&options, &rounds);
        assert!((numbers.ratio - 1.2).abs() < 1e-9 && numbers.retry_us == 15.0 && numbers.futex_us == 10.0);
        assert!(table(&numbers).to_string().contains("over futexes through ctypes"));
    }
}
