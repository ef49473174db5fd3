//! The benchmark as a test, so that it cannot rot: all contestants and workloads for a moment, and that its checks can fail.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use pso_harness::failure::Failure;
use pso_harness::machine::Provenance;
use pso_harness::promise;
use pso_harness::smoke::{self, Test, expect};

use crate::contestant::{Actor, World};
use crate::figures::{self, Figures, Section};
use crate::run::{self, Case, Deed};
use crate::workload::{Kind, Workload};
use crate::{CONTESTANTS, ENGINE_PROCESSES, Options, STM_CRATES, chart, ledger, store, targets};

/// Long enough for every contestant to commit something.
const SECONDS: f64 = 0.05;

const TESTS: [Test; 7] = [
    ("every_contestant_does_every_workload_and_keeps_what_must_hold", everybody_everything),
    ("a_contestant_that_loses_updates_is_caught", a_loser_is_caught),
    ("a_contestant_that_does_nothing_is_caught", an_idler_is_caught),
    ("a_variable_that_holds_anything_else_is_found", other_values_are_found),
    ("a_promise_that_is_not_kept_is_said", a_broken_promise_is_said),
    ("a_sum_that_ends_too_late_is_none_and_few_have_no_p99", late_sums_and_few_sums),
    ("a_filter_that_matches_nothing_keeps_the_file", a_filter_of_nothing_is_refused),
];

/// Lists or runs the tests that `arguments` choose.
pub fn main(arguments: &[String]) -> ExitCode {
    smoke::main(&TESTS, arguments)
}

/// Two participants, or one where more make no sense. What it gave is written, read and drawn, as after any measurement.
fn everybody_everything() -> Result<(), Failure> {
    let mut sections = Vec::new();
    for workload in Workload::value_variants().iter().rev() {
        let participants = if workload.is_for(2) { 2 } else { 1 };
        let mut section = empty(*workload);
        for (name, runner) in CONTESTANTS {
            let case = Case { workload: *workload, participants, seconds: SECONDS, seed: 1 };
            section.add(name, participants, figures::of_run(&case, &runner(&case)?));
        }
        for row in &section.rows {
            let what = format!("{}, {}: nothing was done, or in no time", workload.name(), row.contestant);
            let run = row.runs[0];
            // A reader of another contestant may starve for so short a time.
            expect(run.per_second > 0.0 || row.kind == Kind::Reader, what.clone())?;
            expect(run.per_second == 0.0 || (run.longest_ns > 0 && run.attempts_per_commit >= 1.0), what)?;
        }
        store::put(&mut sections, section);
    }
    let again = sections[0].clone();
    store::put(&mut sections, again);
    let workloads: Vec<_> = sections.iter().map(|section| section.workload).collect();
    expect(workloads == Workload::value_variants(), "sections are not in order, or one stands there twice")?;
    let folder = tempfile::tempdir().map_err(Failure::system("a folder"))?;
    let file = folder.path().join("peers.json");
    store::write(&file, &sections)?;
    let sections = store::read(&file)?;
    chart::write(&sections, folder.path())?;
    let svg = std::fs::read_to_string(folder.path().join("counter.svg")).map_err(Failure::system("reading a chart"))?;
    expect(CONTESTANTS.iter().all(|(name, _)| svg.contains(name)), "a contestant is not on the chart")?;
    let promises = promise::table(&targets::targets(&sections)).to_string();
    expect(promises.contains("small transaction") && promises.contains("wake-ups"), promises)
}

/// The danger: one word that is mistyped, and sections of a file are gone.
fn a_filter_of_nothing_is_refused() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::system("a folder"))?;
    let file = folder.path().join("peers.json");
    let out = file.display().to_string();
    let bench = |workload: &str, participants: &str, contestant: &str| {
        let words = ["peers", "--seconds", "0.01", "--rounds", "1", "--out", &out, "--workload", workload];
        let more = ["--participants", participants, "--contestant", contestant];
        let options = Options::try_parse_from(words.iter().chain(&more));
        crate::bench(&options.map_err(|error| Failure::Wrong(error.to_string()))?, &[])
    };
    let text = || std::fs::read_to_string(&file).map_err(Failure::system("reading results"));
    let drawn = Options::try_parse_from(["peers", "--only-plot", "--out", &out]);
    let drawn = crate::bench(&drawn.map_err(|error| Failure::Wrong(error.to_string()))?, &[]);
    expect(matches!(drawn, Err(Failure::Refused(_))), "what does not exist was drawn")?;
    bench("small", "1", "std Mutex")?;
    let before = text()?;
    let of_nothing = [("small", "2", "std"), ("small,counter", "1", "nobody"), ("counter", "1", "std,nobody")];
    for (workload, participants, contestant) in of_nothing {
        let refused = matches!(bench(workload, participants, contestant), Err(Failure::Refused(_)));
        expect(refused, format!("{workload} of {participants} by {contestant} was not refused"))?;
        expect(text()? == before, "a run of nothing changed the file")?;
    }
    bench("small,counter", "2", "std Mutex")?;
    let sections = store::read(&file)?;
    let kept: Vec<_> = sections.iter().map(|section| (section.workload.name(), section.rows.len())).collect();
    expect(kept == [("small", 1), ("counter", 1)], format!("{kept:?}"))
}

/// A contestant that reads and writes in two steps. Between them it lets others run, so that they meet.
struct Loser(Vec<AtomicI64>);

impl World for Loser {
    type Actor<'world> = &'world Loser;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self((0..variables).map(|_| AtomicI64::new(0)).collect()))
    }
    fn actor(&self) -> Result<&Self, Failure> {
        Ok(self)
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        Ok(self.0.iter().map(|value| value.load(Relaxed)).collect())
    }
}

impl Loser {
    fn change(&self, variable: usize, amount: i64) {
        // Relaxed: it is wrong in any case.
        let value = self.0[variable].load(Relaxed);
        std::thread::yield_now();
        self.0[variable].store(value + amount, Relaxed);
    }
}

impl Actor for &Loser {
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure> {
        variables.iter().for_each(|variable| self.change(*variable, 1));
        Ok(())
    }
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        self.change(from, -1);
        self.change(to, 1);
        Ok(())
    }
    fn read(&mut self, variable: usize) -> Result<i64, Failure> {
        Ok(self.0[variable].load(Relaxed))
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        Ok(self.0.iter().map(|value| value.load(Relaxed)).sum())
    }
    fn attempts(&self) -> u64 {
        0
    }
}

/// The danger: a starved reader's only sum, which ended long after the run, is its rate and its p99.
fn late_sums_and_few_sums() -> Result<(), Failure> {
    let case = Case { workload: Workload::LongReader, participants: 2, seconds: SECONDS, seed: 1 };
    let begin = Instant::now();
    let deed = run::work(&Late, &mut case.workload.role(1, 2, 1), begin, SECONDS)?;
    let is_none = deed.operations == 0 && deed.latencies.count() == 0;
    expect(is_none && deed.longest_ns as f64 > SECONDS * 1e9, format!("{deed:?}"))?;
    let with = |sums: u64| {
        let mut deed = Deed { operations: sums, ..deed.clone() };
        (0..sums).for_each(|_| deed.latencies.record(1000));
        let reader = figures::of_run(&case, &[deed.clone(), deed]).into_iter().find(|(kind, _)| *kind == Kind::Reader);
        reader.map(|(_, figures)| (figures.timed, figures.p99_ns.is_some()))
    };
    let said = [0, 499, 500].map(with);
    let expected = [(0, false), (499, false), (500, true)].map(|(timed, has)| Some((Some(timed), has)));
    expect(said == expected, format!("{said:?}"))
}

/// Whose sums last longer than the run.
struct Late;

impl Actor for &Late {
    fn add(&mut self, _: &[usize]) -> Result<(), Failure> {
        Ok(())
    }
    fn transfer(&mut self, _: usize, _: usize) -> Result<(), Failure> {
        Ok(())
    }
    fn read(&mut self, _: usize) -> Result<i64, Failure> {
        Ok(0)
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        std::thread::sleep(Duration::from_secs_f64(2.0 * SECONDS));
        Ok(0)
    }
    fn attempts(&self) -> u64 {
        0
    }
}

/// A contestant that does nothing: the fastest of all, and all sums are as they were.
struct Idler(usize);

impl World for Idler {
    type Actor<'world> = &'world Idler;

    fn new(variables: usize) -> Result<Self, Failure> {
        Ok(Self(variables))
    }
    fn actor(&self) -> Result<&Self, Failure> {
        Ok(self)
    }
    fn values(&self) -> Result<Vec<i64>, Failure> {
        Ok(vec![0; self.0])
    }
}

impl Actor for &Idler {
    fn add(&mut self, _: &[usize]) -> Result<(), Failure> {
        Ok(())
    }
    fn transfer(&mut self, _: usize, _: usize) -> Result<(), Failure> {
        Ok(())
    }
    fn read(&mut self, _: usize) -> Result<i64, Failure> {
        Ok(0)
    }
    fn sum(&mut self) -> Result<i64, Failure> {
        Ok(0)
    }
    fn attempts(&self) -> u64 {
        0
    }
}

fn an_idler_is_caught() -> Result<(), Failure> {
    for workload in Workload::value_variants() {
        let participants = if workload.is_for(2) { 2 } else { 1 };
        let case = Case { workload: *workload, participants, seconds: SECONDS / 10.0, seed: 1 };
        let caught = matches!(run::threads::<Idler>(&case), Err(Failure::Wrong(_)));
        expect(caught, format!("{}: nobody noticed that nothing was done", workload.name()))?;
    }
    Ok(())
}

/// The danger: a broken contestant looks fast, and nobody notices.
fn a_loser_is_caught() -> Result<(), Failure> {
    for workload in [Workload::Counter, Workload::Bank4, Workload::LongReader, Workload::CrossingPairs] {
        let case = Case { workload, participants: 3, seconds: 4.0 * SECONDS, seed: 1 };
        let caught = matches!(run::threads::<Loser>(&case), Err(Failure::Wrong(_)));
        expect(caught, format!("{}: lost updates were not noticed", workload.name()))?;
    }
    Ok(())
}

/// The danger: what has done nothing, or something else, is as right as what has done all. Sums and totals are the same in each of these.
fn other_values_are_found() -> Result<(), Failure> {
    let changes = 9;
    for (workload, participants) in [(Workload::Small, 1), (Workload::Bank4, 1), (Workload::LongReader, 2)] {
        let case = Case { workload, participants, seconds: SECONDS, seed: 1 };
        let none = vec![0; workload.variables(case.participants)];
        let done = ledger::expected(&case, &[changes])?;
        expect(done != none && done.iter().sum::<i64>() == 0, format!("{}: {done:?}", workload.name()))?;
        judged(&case, &done, &[changes], true)?;
        judged(&case, &none, &[changes], false)?;
        judged(&case, &done, &[changes + 1], false)?;
        judged(&case, &done[1..], &[changes], false)?;
    }
    let of_two = |workload| Case { workload, participants: 2, seconds: SECONDS, seed: 1 };
    judged(&of_two(Workload::Counter), &[7], &[3, 4], true)?;
    judged(&of_two(Workload::Counter), &[6], &[3, 4], false)?;
    let (mut own, mut swapped) = (vec![0; 16], vec![0; 16]);
    (own[0], own[8], swapped[0], swapped[8]) = (3, 4, 4, 3);
    judged(&of_two(Workload::OwnCounter), &own, &[3, 4], true)?;
    judged(&of_two(Workload::OwnCounter), &swapped, &[3, 4], false)?;
    let mut map = ledger::expected(&of_two(Workload::Map), &[30, 40])?;
    expect(map.iter().sum::<i64>() == 70, "the map")?;
    judged(&of_two(Workload::Map), &map, &[30, 40], true)?;
    map.rotate_left(1);
    judged(&of_two(Workload::Map), &map, &[30, 40], false)?;
    let three = Case { participants: 3, ..of_two(Workload::CrossingPairs) };
    let mut pairs = [[5; 8], [2; 8]].concat();
    judged(&three, &pairs, &[2, 3, 2], true)?;
    (pairs[3], pairs[11]) = (4, 3);
    judged(&three, &pairs, &[2, 3, 2], false)
}

fn judged(case: &Case, values: &[i64], changes: &[u64], right: bool) -> Result<(), Failure> {
    let what = format!("{}: {values:?} after {changes:?}", case.workload.name());
    expect(case.check_changes(values, changes).is_ok() == right, what)
}

/// Twice as fast as the best of the crates is kept, half as fast is missed; the ratio is of runs of one round. Beside some of them only who is best is not known.
fn a_broken_promise_is_said() -> Result<(), Failure> {
    for (rates, rivals, word) in [
        ([2e6, 4e6], &STM_CRATES[..], Some("ok")),
        ([0.5e6, 1e6], &STM_CRATES, Some("MISSED")),
        ([2e6, 4e6], &STM_CRATES[1..], None),
    ] {
        let mut counter = empty(Workload::Counter);
        for (engine, peer) in rates.into_iter().zip([1e6, 2e6]) {
            counter.add(ENGINE_PROCESSES, 2, vec![(Kind::Alike, figures(engine))]);
            rivals.iter().for_each(|rival| counter.add(rival, 2, vec![(Kind::Alike, figures(peer))]));
        }
        let said = promise::table(&targets::targets(&[counter])).to_string();
        let line = said.lines().find(|line| line.contains("best STM"));
        expect(line.and_then(|line| line.split_whitespace().last()) == word, said.clone())?;
    }
    Ok(())
}

fn empty(workload: Workload) -> Section {
    let provenance = Provenance::of("smoke".into());
    Section { workload, seconds: SECONDS, rounds: 1, seed: 1, provenance, rows: Vec::new() }
}

fn figures(per_second: f64) -> Figures {
    Figures {
        per_second,
        p50_ns: Some(1),
        timed: Some(1000),
        p99_ns: Some(2),
        p999_ns: Some(3),
        longest_ns: 4,
        attempts_per_commit: 1.0,
        woken_per_commit: Some(0.0),
        slowest_over_fastest: 1.0,
    }
}
