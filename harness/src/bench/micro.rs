//! `pso bench micro`: single operations through pyperf, each as a ratio to the builtin's.

use serde::Serialize;
use serde_json::Value;

use crate::cli::BenchMicro;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::output;
use crate::python::{Python, run_to_end};
use crate::table::Table;

/// Processes of a round: pyperf's usual 20 in all, spread over the rounds.
const PROCESSES: u32 = 3;

/// Medians over the rounds.
#[derive(Serialize)]
struct Operation {
    name: String,
    builtin_ns: f64,
    pso_ns: f64,
    ratio: f64,
    /// Of each round.
    ratios: Vec<f64>,
}

/// What one round of pyperf measured of an operation.
#[derive(Debug)]
struct Pair {
    name: String,
    builtin_ns: f64,
    pso_ns: f64,
}

/// The subcommand. Rounds, for a machine may change its speed within minutes: a ratio compares what was measured within seconds.
pub fn run(options: &BenchMicro) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    output::line(format_args!("bench micro: {} rounds of about a minute", options.rounds))?;
    let mut rounds = Vec::new();
    let measured = (0..options.rounds).try_for_each(|_| {
        rounds.push(round(&python, options.fast)?);
        Ok(())
    });
    let operations = over_rounds(&rounds);
    measured.map_err(|failure| machine::rescue(options.out.as_deref(), &operations, failure))?;
    let mut table = Table::new(["operation", "builtin", "pso", "ratio", "of the rounds"]);
    for each in &operations {
        let (least, most) =
            each.ratios.iter().fold((f64::MAX, 0.0), |(least, most), ratio| (ratio.min(least), ratio.max(most)));
        table.row([
            each.name.clone(),
            format!("{:.1} ns", each.builtin_ns),
            format!("{:.1} ns", each.pso_ns),
            format!("{:.2}x", each.ratio),
            format!("{least:.2}..{most:.2}"),
        ]);
    }
    options.out.as_ref().map_or(Ok(()), |out| machine::write_results(out, &operations))?;
    output::line(format_args!("\n{table}"))
}

/// Each operation of both sides once, next to each other.
fn round(python: &Python, fast: bool) -> Result<Vec<Pair>, Failure> {
    let file = python.folder().join("micro.json");
    // pyperf does not write over a file.
    let _ = std::fs::remove_file(&file);
    let mut command = python.command();
    command.args(["-m", "pso_bench", "micro", "--quiet", "--inherit-environ", "PYTHONPATH", "-o"]).arg(&file);
    if fast {
        command.arg("--fast");
    }
    command.args(["--processes", &PROCESSES.to_string()]);
    run_to_end(command, "pyperf")?;
    let text = std::fs::read_to_string(&file).map_err(Failure::system("reading what pyperf measured"))?;
    pairs(&text).ok_or_else(|| Failure::Nonsense { who: "pyperf".into(), line: file.display().to_string() })
}

/// The operations, in the order of the first round.
fn over_rounds(rounds: &[Vec<Pair>]) -> Vec<Operation> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let operation = |number: usize, pair: &Pair| {
        let of_rounds = |number_of: fn(&Pair) -> f64| -> Vec<f64> {
            rounds.iter().filter_map(|round| round.get(number)).map(number_of).collect()
        };
        let ratios = of_rounds(|pair| pair.pso_ns / pair.builtin_ns);
        Operation {
            name: pair.name.clone(),
            builtin_ns: median(&of_rounds(|pair| pair.builtin_ns)),
            pso_ns: median(&of_rounds(|pair| pair.pso_ns)),
            ratio: median(&ratios),
            ratios,
        }
    };
    first.iter().enumerate().map(|(number, pair)| operation(number, pair)).collect()
}

/// Medians out of pyperf's file, which holds the seconds of each value of each run of each benchmark.
fn pairs(text: &str) -> Option<Vec<Pair>> {
    let file: Value = serde_json::from_str(text).ok()?;
    let mut medians = Vec::new();
    for benchmark in file.get("benchmarks")?.as_array()? {
        // pyperf moves what all benchmarks share to the top; a name is never shared, but of a single one.
        let name = benchmark.pointer("/metadata/name").or_else(|| file.pointer("/metadata/name"))?.as_str()?;
        let runs = benchmark.get("runs")?.as_array()?.iter();
        let values: Vec<f64> =
            runs.filter_map(|run| run.get("values")?.as_array()).flatten().filter_map(Value::as_f64).collect();
        medians.push((name.to_owned(), median(&values) * 1e9));
    }
    let builtin_of = |name: &str| medians.iter().find(|(other, _)| other.strip_prefix("builtin: ") == Some(name));
    medians
        .iter()
        .filter_map(|(name, pso_ns)| Some((name.strip_prefix("pso: ")?, *pso_ns)))
        .map(|(name, pso_ns)| {
            let builtin_ns = builtin_of(name)?.1;
            Some(Pair { name: name.to_owned(), builtin_ns, pso_ns })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_set_beside_the_builtin_of_its_name() {
        let text = r#"{"benchmarks": [
            {"metadata": {"name": "builtin: len(d)"}, "runs": [{"values": [2e-8, 4e-8]}, {"warmups": []}]},
            {"metadata": {"name": "pso: len(d)"}, "runs": [{"values": [6e-8]}]}]}"#;
        let found = pairs(text).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "len(d)"));
        assert!((found[0].builtin_ns - 30.0).abs() < 1e-9 && (found[0].pso_ns - 60.0).abs() < 1e-9);
    }

    /// The danger: the machine changes its speed between two rounds, and the ratio is of a slow pso and a fast builtin.
    #[test]
    fn a_ratio_is_the_median_of_those_within_a_round() {
        let round = |builtin_ns, pso_ns| vec![Pair { name: "len(d)".into(), builtin_ns, pso_ns }];
        let found = over_rounds(&[round(10.0, 20.0), round(50.0, 150.0), round(10.0, 40.0)]);
        assert_eq!((found[0].ratio, found[0].pso_ns, found[0].builtin_ns), (3.0, 40.0, 10.0));
    }

    #[test]
    fn an_operation_without_its_builtin_is_nonsense() {
        let text = r#"{"benchmarks": [{"metadata": {"name": "pso: len(d)"}, "runs": []}]}"#;
        assert!(pairs(text).is_none());
    }
}
