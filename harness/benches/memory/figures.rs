//! What runs gave: ns of one operation, by workload and contestant, a number a round.

use pso_harness::machine::median;
use pso_harness::promise::Promise;
use pso_harness::table::Table;
use serde::{Deserialize, Serialize};

/// All of a measurement.
#[derive(Serialize, Deserialize)]
pub struct Numbers {
    /// Of each run, about.
    pub seconds: f64,
    /// In each of which every contestant of every workload has one run.
    pub rounds: u32,
    /// Of the first round.
    pub seed: u64,
    /// All that was measured.
    pub rows: Vec<Row>,
    /// What was promised of it.
    pub promises: Vec<Promise>,
    /// Who could not be run, and why.
    pub not_run: Vec<String>,
}

/// The runs of one contestant at one workload.
#[derive(Clone, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub workload: String,
    /// By whom.
    pub contestant: String,
    /// How long one operation took, by rounds.
    pub ns: Vec<f64>,
}

impl Row {
    /// One without runs.
    pub fn new(workload: &str, contestant: &str) -> Self {
        Self { workload: workload.into(), contestant: contestant.into(), ns: Vec::new() }
    }
}

/// The runs of a contestant, if there are any.
pub fn find<'a>(rows: &'a [Row], workload: &str, contestant: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.workload == workload && row.contestant == contestant && !row.ns.is_empty())
}

/// The median of a ratio that is taken in each round.
pub fn ratio(own: &Row, other: &Row) -> f64 {
    median(&own.ns.iter().zip(&other.ns).map(|(own, other)| own / other).collect::<Vec<_>>())
}

/// The medians, beside those of the first contestant of each workload.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["workload", "contestant", "ns", "from", "to", "over the first"]);
    for row in rows {
        let first = rows.iter().find(|first| first.workload == row.workload).unwrap_or(row);
        let (from, to) = row.ns.iter().fold((f64::INFINITY, 0.0), |(from, to), ns| (ns.min(from), ns.max(to)));
        let number = |ns: f64| format!("{ns:.2}");
        let over = format!("{:.2}", ratio(row, first));
        table.row([
            row.workload.clone(),
            row.contestant.clone(),
            number(median(&row.ns)),
            number(from),
            number(to),
            over,
        ]);
    }
    table
}
