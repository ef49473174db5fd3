//! `pso bench micro`: single operations through pyperf, each as a ratio to the builtin's.

use serde::Serialize;
use serde_json::Value;

use crate::cli::BenchMicro;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::python::{Python, last_lines};
use crate::table::Table;

#[derive(Serialize)]
struct Operation {
    name: String,
    builtin_ns: f64,
    pso_ns: f64,
    ratio: f64,
}

/// The subcommand.
pub fn run(options: &BenchMicro) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    let file = python.folder().join("micro.json");
    println!("bench micro: a few minutes");
    let mut command = python.command();
    command.args(["-m", "pso_bench", "micro", "--quiet", "--inherit-environ", "PYTHONPATH", "-o"]).arg(&file);
    if options.fast {
        command.arg("--fast");
    }
    let output = command.output().map_err(Failure::system("starting pyperf"))?;
    if !output.status.success() {
        let last_words = last_lines(&output.stderr, 25);
        return Err(Failure::Child { who: "pyperf".into(), status: output.status.to_string(), last_words });
    }
    let text = std::fs::read_to_string(&file).map_err(Failure::system("reading what pyperf measured"))?;
    let operations = operations(&text)
        .ok_or_else(|| Failure::Nonsense { who: "pyperf".into(), line: file.display().to_string() })?;
    let mut table = Table::new(["operation", "builtin", "pso", "ratio"]);
    for each in &operations {
        table.row([
            each.name.clone(),
            format!("{:.1} ns", each.builtin_ns),
            format!("{:.1} ns", each.pso_ns),
            format!("{:.1}x", each.ratio),
        ]);
    }
    println!("\n{table}");
    options.out.as_ref().map_or(Ok(()), |out| machine::write_results(out, &operations))
}

/// Medians out of pyperf's file, which holds the seconds of each value of each run of each benchmark.
fn operations(text: &str) -> Option<Vec<Operation>> {
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
            Some(Operation { name: name.to_owned(), builtin_ns, pso_ns, ratio: pso_ns / builtin_ns })
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
        let found = operations(text).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "len(d)"));
        assert!((found[0].ratio - 2.0).abs() < 1e-9 && (found[0].pso_ns - 60.0).abs() < 1e-9);
    }

    #[test]
    fn an_operation_without_its_builtin_is_nonsense() {
        let text = r#"{"benchmarks": [{"metadata": {"name": "pso: len(d)"}, "runs": []}]}"#;
        assert!(operations(text).is_none());
    }
}
