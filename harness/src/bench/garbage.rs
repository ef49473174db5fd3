//! `pso bench garbage`: a ring of many objects is dropped and collected while others work; values are replaced while processes are killed.

use serde::{Deserialize, Serialize};

use crate::cli::BenchGarbage;
use crate::failure::Failure;
use crate::machine;
use crate::python::Python;
use crate::table::Table;

/// What the busy processes did.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Work {
    operations_per_s: f64,
    operations_per_cpu_s: f64,
    longest_cpu_ms: f64,
}

#[derive(Deserialize, Serialize)]
struct Ring {
    objects: u64,
    freed_bytes: u64,
    collector_s: f64,
    collector_cpu_s: f64,
    used_before: u64,
    used_after: u64,
    before: Work,
    meanwhile: Work,
}

#[derive(Deserialize, Serialize)]
struct Churn {
    seconds: u64,
    /// Whether one of the four was stopped in the second half.
    stopped: bool,
    /// Bytes in use at the end of each second.
    used: Vec<u64>,
    used_live: u64,
    findings: u64,
}

#[derive(Deserialize, Serialize)]
struct Numbers {
    ring: Ring,
    churn: Churn,
    churn_stopped: Churn,
}

/// The subcommand.
pub fn run(options: &BenchGarbage) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    println!(
        "bench garbage: a ring of {} lists; twice {} s of replacing under kills",
        options.objects, options.seconds
    );
    let arguments = ["garbage", "--objects", &options.objects.to_string(), "--seconds", &options.seconds.to_string()];
    let numbers: Numbers = python.answer("pso_bench", &arguments.map(String::from))?;
    let Ring { before, meanwhile, .. } = numbers.ring;
    let mut table = Table::new(["two who move money", "1/s", "1/s of processor time", "longest, ms of it"]);
    for (name, work) in [("before", before), ("while the ring is collected", meanwhile)] {
        table.row([
            name.into(),
            format!("{:.0}", work.operations_per_s),
            format!("{:.0}", work.operations_per_cpu_s),
            format!("{:.2}", work.longest_cpu_ms),
        ]);
    }
    println!("\n{table}");
    let ring = &numbers.ring;
    println!(
        "{} MB freed in {:.2} s ({:.2} s of processor time)\n",
        ring.freed_bytes / 1_000_000,
        ring.collector_s,
        ring.collector_cpu_s
    );
    let mut table =
        Table::new(["values replaced, a kill a second", "MiB in use: first half", "second half", "findings"]);
    for churn in [&numbers.churn, &numbers.churn_stopped] {
        let [first, second] = halves(&churn.used).map(|bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)));
        let name = if churn.stopped { "one stopped in the second half" } else { "nobody stopped" };
        table.row([name.into(), first, second, churn.findings.to_string()]);
    }
    println!("{table}");
    options.out.as_ref().map_or(Ok(()), |out| machine::write_results(out, &numbers))
}

/// The most that was in use in each half.
fn halves(used: &[u64]) -> [u64; 2] {
    let (first, second) = used.split_at(used.len() / 2);
    [first, second].map(|half| half.iter().copied().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_what_was_in_use_at_its_worst() {
        assert_eq!(halves(&[1, 9, 2, 5, 4]), [9, 5]);
        assert_eq!(halves(&[]), [0, 0]);
    }
}
