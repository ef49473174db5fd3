//! `pso bench garbage`: a ring of many objects is dropped and collected while others work; values are replaced while processes are killed, and while
//! one is stopped now and then.

use serde::{Deserialize, Serialize};

use crate::cli::BenchGarbage;
use crate::failure::Failure;
use crate::machine::{self, median};
use crate::output;
use crate::plot;
use crate::python::Python;
use crate::table::Table;

/// What the busy processes did.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Work {
    operations_per_s: f64,
    operations_per_cpu_s: f64,
    /// No operation took longer: that of the longest 64 in a row, of which nobody knows more. In files from before these were timed together that of
    /// the longest operation, and the rates are those of a loop that drew and asked the clocks in each.
    longest_cpu_ms: f64,
    /// The same by the clock: with whatever else had the processor. None in files from before it was measured, as are the ring's findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_wall_ms: Option<f64>,
}

#[derive(Deserialize, Serialize)]
struct Ring {
    objects: u64,
    /// Of one processor, for whoever collected. All of it in files from before there was a choice.
    #[serde(default = "all")]
    share: f64,
    freed_bytes: u64,
    collector_s: f64,
    collector_cpu_s: f64,
    /// Bytes in use with the ring, and without it. In older files the second holds the empty superblocks that nobody had given back.
    used_before: u64,
    used_after: u64,
    before: Work,
    meanwhile: Work,
    /// None in files from before it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    touched: Option<Touched>,
    #[serde(default)]
    findings: u64,
}

/// What a page of as much other memory costs a process that does nothing but touch them, in processor time: touched just now, and not for a while. A peer, in which no
/// engine has a part.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Touched {
    bytes: u64,
    again_ns: f64,
    rested_s: f64,
    rested_ns: f64,
}

fn all() -> f64 {
    1.0
}

/// Much is filled, and deleted.
#[derive(Deserialize, Serialize)]
struct Deleted {
    entries: u64,
    /// Bytes of memory behind the space before that, beyond what an empty one has; and after it.
    backed: u64,
    left: u64,
    collected_s: f64,
    waited_s: f64,
    findings: u64,
}

/// Values are replaced, and each second a process is killed.
#[derive(Deserialize, Serialize)]
pub struct Churn {
    seconds: u64,
    /// Whether one of the four was stopped in the second half.
    pub stopped: bool,
    /// Bytes in use at the end of each second.
    pub used: Vec<u64>,
    used_live: u64,
    /// What was committed in each second. None in files from before it was counted, as is the next.
    #[serde(default)]
    commits: Vec<u64>,
    /// How many ended by themselves. The scripts fail of it, and of findings.
    #[serde(default)]
    ended: u64,
    findings: u64,
}

/// Values are replaced, and now and then one of the four is stopped for a second.
#[derive(Deserialize, Serialize)]
struct Stops {
    seed: u64,
    stops: Vec<Stop>,
    /// How many of the four ended by themselves: for want of memory, for instance.
    ended: u64,
    findings: u64,
}

#[derive(Deserialize, Serialize)]
struct Stop {
    /// Which of the four.
    worker: u32,
    /// How long all of them had gone on before.
    wait_s: f64,
    stopped_s: f64,
    used_before: u64,
    used_after: u64,
    /// Of the others, meanwhile.
    commits: u64,
}

/// What the command writes.
#[derive(Deserialize, Serialize)]
pub struct Numbers {
    ring: Ring,
    /// None in files from before it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<Deleted>,
    /// Nobody is stopped.
    pub churn: Churn,
    /// One is, in the second half.
    pub churn_stopped: Churn,
    /// None if there were to be none, and in files from before there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<Stops>,
}

/// Bytes as MiB.
pub fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

impl Churn {
    /// How many seconds it had gone on when the second half began, and with it the stop.
    pub fn half(&self) -> usize {
        self.used.len() / 2
    }

    /// The most that was in use in each half, MiB.
    pub fn halves(&self) -> [f64; 2] {
        let (first, second) = self.used.split_at(self.half());
        [first, second].map(|half| mebibytes(half.iter().copied().max().unwrap_or(0) as f64))
    }

    /// Commits a second: the fewest and the median.
    fn rates(&self) -> [f64; 2] {
        let rates: Vec<f64> = self.commits.iter().map(|count| *count as f64).collect();
        [rates.iter().copied().reduce(f64::min).unwrap_or(0.0), median(&rates)]
    }

    /// What sets it apart from the other one.
    pub fn name(&self) -> &'static str {
        if self.stopped { "one stopped in the second half" } else { "nobody stopped" }
    }
}

impl Stops {
    /// The most that a stop added to what is in use, MiB. Below 0 if there was less at the end of each.
    fn most_growth(&self) -> f64 {
        let growth = |stop: &Stop| mebibytes(stop.used_after as f64 - stop.used_before as f64);
        self.stops.iter().map(growth).reduce(f64::max).unwrap_or(0.0)
    }

    /// Commits of the others per second, the fewest and the median of all stops.
    fn commits(&self) -> [f64; 2] {
        let rates: Vec<f64> = self.stops.iter().map(|stop| stop.commits as f64 / stop.stopped_s).collect();
        [rates.iter().copied().reduce(f64::min).unwrap_or(0.0), median(&rates)]
    }
}

/// The subcommand.
pub fn run(options: &BenchGarbage) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    output::line(format_args!(
        "bench garbage: a ring of {} lists; twice {} s of replacing under kills; {} stops of a second",
        options.objects, options.seconds, options.stops
    ))?;
    let [objects, seconds, stops, seed] =
        [options.objects.into(), options.seconds.into(), options.stops.into(), options.seed]
            .map(|number: u64| number.to_string());
    let (share, deleted) = (options.share.to_string(), options.deleted.to_string());
    let arguments = [
        ["garbage", "--objects", &objects, "--share", &share, "--deleted", &deleted].as_slice(),
        &["--seconds", &seconds, "--stops", &stops, "--seed", &seed],
    ]
    .concat()
    .into_iter()
    .map(String::from)
    .collect::<Vec<_>>();
    let (numbers, verdict) = python.judged_answer::<Numbers>("pso_bench", &arguments)?;
    if let Some(out) = &options.out {
        machine::write_results(out, &numbers)?;
    }
    numbers.print()?;
    options.plot.as_ref().map_or(Ok(()), |folder| plot::garbage::write(&numbers, folder))?;
    verdict
}

impl Numbers {
    fn print(&self) -> Result<(), Failure> {
        let ring = &self.ring;
        let mut table = Table::new([
            "two who move money",
            "1/s",
            "1/s of processor time",
            "none longer than, ms of it",
            "none longer than, ms by the clock",
        ]);
        for (name, work) in [("before", ring.before), ("while the ring is collected", ring.meanwhile)] {
            table.row([
                name.into(),
                format!("{:.0}", work.operations_per_s),
                format!("{:.0}", work.operations_per_cpu_s),
                format!("{:.2}", work.longest_cpu_ms),
                work.longest_wall_ms.map_or_else(|| "-".into(), |longest| format!("{longest:.2}")),
            ]);
        }
        output::line(format_args!("\n{table}"))?;
        output::line(format_args!("{ring}\n"))?;
        if let Some(deleted) = &self.deleted {
            output::line(format_args!("{deleted}\n"))?;
        }
        let headings = [
            "values replaced, a kill a second",
            "MiB in use: first half",
            "second half",
            "fewest commits/s",
            "median",
            "findings",
        ];
        let mut table = Table::new(headings);
        for churn in [&self.churn, &self.churn_stopped] {
            let [first, second] = churn.halves().map(|most| format!("{most:.1}"));
            let [fewest, middle] = churn.rates().map(|rate| format!("{rate:.0}"));
            table.row([churn.name().into(), first, second, fewest, middle, churn.findings.to_string()]);
        }
        output::line(&table)?;
        if let Some(stops) = &self.stops {
            output::line(format_args!("{}", stops.table()))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [before, after] = [self.used_before, self.used_after].map(|bytes| mebibytes(bytes as f64));
        write!(
            formatter,
            "{} MB freed in {:.2} s ({:.2} s of processor time, {} of a processor at most); {before:.1} MiB in use before, {after:.1} after; the two kept {:.2} of their rate",
            self.freed_bytes / 1_000_000,
            self.collector_s,
            self.collector_cpu_s,
            self.share,
            self.meanwhile.operations_per_s / self.before.operations_per_s
        )?;
        self.touched.map_or(Ok(()), |touched| {
            let Touched { bytes, again_ns, rested_s, rested_ns } = touched;
            let megabytes = bytes / 1_000_000;
            write!(
                formatter,
                "; to touch a page of other {megabytes} MB takes {again_ns:.0} ns of processor time, {rested_ns:.0} after {rested_s} s"
            )
        })
    }
}

impl std::fmt::Display for Deleted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [backed, left] = [self.backed, self.left].map(|bytes| mebibytes(bytes as f64));
        write!(
            formatter,
            "{} entries, {backed:.0} MiB, deleted: collected in {:.2} s, and {:.1} % went back to the system within {:.2} s; {} findings",
            self.entries,
            self.collected_s,
            100.0 * (1.0 - left / backed),
            self.waited_s,
            self.findings
        )
    }
}

impl Stops {
    fn table(&self) -> Table {
        let headings = [
            "values replaced, one stopped now and then",
            "most growth, MiB",
            "fewest commits/s of the others",
            "median",
            "ended",
            "findings",
        ];
        let mut table = Table::new(headings);
        let [fewest, middle] = self.commits().map(|rate| format!("{rate:.0}"));
        table.row([
            format!("stops of a second: {}", self.stops.len()),
            format!("{:.1}", self.most_growth()),
            fewest,
            middle,
            self.ended.to_string(),
            self.findings.to_string(),
        ]);
        table
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn churn(stopped: bool, mebibytes: &[u64]) -> Churn {
        let used = mebibytes.iter().map(|number| number * MIB).collect();
        let (seconds, commits) = (mebibytes.len() as u64, Vec::new());
        Churn { seconds, stopped, used, used_live: 0, commits, ended: 0, findings: 0 }
    }

    fn ring() -> Ring {
        let work =
            Work { operations_per_s: 1.0, operations_per_cpu_s: 1.0, longest_cpu_ms: 1.0, longest_wall_ms: Some(1.0) };
        Ring {
            objects: 1,
            share: all(),
            freed_bytes: 1,
            collector_s: 1.0,
            collector_cpu_s: 1.0,
            used_before: 1,
            used_after: 1,
            before: work,
            meanwhile: work,
            touched: None,
            findings: 0,
        }
    }

    /// Made by hand, for tests only: the two churns, MiB by seconds, and no stops.
    pub fn numbers(nobody: &[u64], one: &[u64]) -> Numbers {
        Numbers {
            ring: ring(),
            deleted: None,
            churn: churn(false, nobody),
            churn_stopped: churn(true, one),
            stops: None,
        }
    }

    fn stops(rows: &[(u64, u64, u64, f64)]) -> Stops {
        let stop = |&(before, after, commits, stopped_s): &_| Stop {
            worker: 0,
            wait_s: 0.1,
            stopped_s,
            used_before: before * MIB,
            used_after: after * MIB,
            commits,
        };
        Stops { seed: 1, stops: rows.iter().map(stop).collect(), ended: 0, findings: 2 }
    }

    #[test]
    fn a_half_is_what_was_in_use_at_its_worst() {
        assert_eq!(churn(true, &[1, 9, 2, 5, 4]).halves(), [9.0, 5.0]);
        assert_eq!(churn(true, &[1, 9, 2, 5, 4]).half(), 2);
        assert_eq!(churn(true, &[]).halves(), [0.0, 0.0]);
    }

    #[test]
    fn commits_of_a_churn_are_the_fewest_and_the_median_and_none_of_an_old_file() {
        let counted = Churn { commits: vec![300, 100, 200], ..churn(false, &[1, 2, 3]) };
        assert_eq!(counted.rates(), [100.0, 200.0]);
        let older = r#"{"seconds": 1, "stopped": false, "used": [5], "used_live": 1, "findings": 0}"#;
        let older: Churn = serde_json::from_str(older).unwrap();
        assert_eq!((older.rates(), older.ended), ([0.0, 0.0], 0));
    }

    #[test]
    fn growth_is_that_of_the_worst_stop_and_may_be_less_than_nothing() {
        assert_eq!(stops(&[(10, 12, 1, 1.0), (20, 25, 1, 1.0), (30, 10, 1, 1.0)]).most_growth(), 5.0);
        assert_eq!(stops(&[(10, 8, 1, 1.0), (10, 7, 1, 1.0)]).most_growth(), -2.0);
        assert_eq!(stops(&[]).most_growth(), 0.0);
    }

    #[test]
    fn commits_are_counted_by_the_time_that_the_stop_took() {
        assert_eq!(stops(&[(1, 1, 100, 1.0), (1, 1, 300, 2.0), (1, 1, 90, 0.5)]).commits(), [100.0, 150.0]);
        assert_eq!(stops(&[]).commits(), [0.0, 0.0]);
    }

    #[test]
    fn what_went_back_is_a_part_of_what_was_there() {
        let (backed, left) = (200 * MIB, 10 * MIB);
        let deleted = Deleted { entries: 7, backed, left, collected_s: 0.5, waited_s: 1.25, findings: 0 };
        let expected = "7 entries, 200 MiB, deleted: collected in 0.50 s, and 95.0 % went back to the system within 1.25 s; 0 findings";
        assert_eq!(deleted.to_string(), expected);
    }

    #[test]
    fn a_ring_says_what_was_in_use_and_an_old_one_does_not_know_the_clock() {
        let said = Ring { used_before: 200 * MIB, used_after: 5 * MIB, ..ring() }.to_string();
        assert!(said.contains("200.0 MiB in use before, 5.0 after") && !said.contains("page"), "{said}");
        let touched = Touched { bytes: 7_500_000, again_ns: 50.2, rested_s: 1.0, rested_ns: 9000.0 };
        let said = Ring { touched: Some(touched), ..ring() }.to_string();
        assert!(said.contains("a page of other 7 MB takes 50 ns of processor time, 9000 after 1 s"), "{said}");
        let older = r#"{"operations_per_s": 1.0, "operations_per_cpu_s": 1.0, "longest_cpu_ms": 1.0}"#;
        assert!(serde_json::from_str::<Work>(older).unwrap().longest_wall_ms.is_none());
    }

    #[test]
    fn numbers_without_stops_are_read_and_written() {
        let mut numbers = numbers(&[1, 2], &[3, 4]);
        let older = serde_json::to_string(&numbers).unwrap();
        assert!(!older.contains("stops"), "{older}");
        assert!(serde_json::from_str::<Numbers>(&older).unwrap().stops.is_none());
        numbers.stops = Some(stops(&[(1, 2, 3, 1.0)]));
        let again: Numbers = serde_json::from_str(&serde_json::to_string(&numbers).unwrap()).unwrap();
        let table = again.stops.unwrap().table().to_string();
        assert!(table.contains("stops of a second: 1") && table.trim_end().ends_with('2'), "{table}");
    }
}
