//! The benchmark as a test, so that it cannot rot: everybody at every workload for a moment, and that its checks can fail.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use pso_harness::failure::Failure;
use pso_harness::promise;
use pso_harness::smoke::{self, Test, expect};

use crate::figures::{self, Numbers, Row};
use crate::heap::Heap;
use crate::heap::boost;
use crate::work::{FEW, PAIR, Tally, Work};
use crate::{BOOST, Bench, COUNTS, MIMALLOC, MOVE, MOVED, MOVED_INT, Options, PSO, RUNS, remote, targets};

/// Long enough for a batch of everybody.
const SECONDS: f64 = 0.002;

const TESTS: [Test; 6] = [
    ("everybody_does_every_workload_and_keeps_what_must_hold", everybody_everything),
    ("as_many_blocks_live_as_the_workload_says", as_many_live),
    ("a_heap_that_gives_a_block_twice_is_caught", a_careless_heap_is_caught),
    ("who_frees_no_more_is_not_waited_for", the_dead_are_not_waited_for),
    ("a_promise_that_is_not_kept_is_said", a_broken_promise_is_said),
    ("a_filter_that_loses_results_is_refused", a_filter_that_loses_results_is_refused),
];

/// Lists or runs the tests that `arguments` choose.
pub fn main(arguments: &[String]) -> ExitCode {
    smoke::main(&TESTS, arguments)
}

/// Everybody checks what he did: blocks that hold what was written, cells that hold what was moved, lists that were found. Boost
/// where it is.
fn everybody_everything() -> Result<(), Failure> {
    let bench = Bench { seconds: SECONDS, seed: 1, boost: boost::compile()?.ok() };
    let mut rows = Vec::new();
    for (workload, contestant, runner) in RUNS {
        let mut row = Row::new(workload, contestant);
        let ran = runner(&bench);
        row.ns.extend(ran.map_err(|failure| failure.of(format_args!("{contestant}, {workload}")))?);
        let is_absent = contestant == BOOST && bench.boost.is_none();
        expect(row.ns.len() == 1 || is_absent, format!("{contestant}, {workload}: nothing was measured"))?;
        expect(row.ns.iter().all(|ns| ns.is_finite() && *ns > 0.0), format!("{contestant}, {workload}: {:?}", row.ns))?;
        rows.push(row);
    }
    rows.retain(|row| !row.ns.is_empty());
    let promises = targets::promises(&rows);
    expect(promises.len() >= 10, "promises are missing")?;
    let (seconds, rounds, seed) = (SECONDS, 1, 1);
    let numbers = Numbers { seconds, rounds, seed, rows, promises, not_run: Vec::new() };
    let text = serde_json::to_string(&numbers).map_err(|error| Failure::Wrong(error.to_string()))?;
    let read: Numbers = serde_json::from_str(&text).map_err(|error| Failure::Wrong(error.to_string()))?;
    let table = figures::table(&read.rows).to_string();
    expect(RUNS.iter().all(|(workload, _, _)| table.contains(workload)), table)
}

/// The danger: one word that is mistyped, and the results of all workloads are gone.
fn a_filter_that_loses_results_is_refused() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::system("a folder"))?;
    let file = folder.path().join("allocator.json");
    let out = file.display().to_string();
    let bench = |workload: &str| {
        let words = ["memory", "--seconds", "0.001", "--rounds", "1", "--workload", workload, "--out", &out];
        let options = Options::try_parse_from(words).map_err(|error| Failure::Wrong(error.to_string()))?;
        crate::bench(&options, &[])
    };
    let text = || std::fs::read_to_string(&file).map_err(Failure::system("reading results"));
    expect(matches!(bench("no such"), Err(Failure::Refused(_))) && !file.exists(), "a run of nothing was not refused")?;
    bench("read, 1,000")?;
    let before = text()?;
    for words in ["no such", "read, 1,000;no such", "read, 262,144"] {
        expect(matches!(bench(words), Err(Failure::Refused(_))), format!("{words} was not refused"))?;
        expect(text()? == before, format!("{words} changed the file"))?;
    }
    bench("read")?;
    expect(text()?.contains("read, 262,144"), "more workloads did not take the place of fewer")
}

/// The danger: a minute of spinning for a process that is gone, deaf to Ctrl-C.
fn the_dead_are_not_waited_for() -> Result<(), Failure> {
    let began = Instant::now();
    let told = remote::alone(|| Err(Failure::Interrupted));
    expect(matches!(told, Err(Failure::Interrupted)), "whoever makes blocks was not told")?;
    expect(began.elapsed() < Duration::from_secs(30), "whoever makes blocks waited for one who was gone")
}

/// A heap of a vector, which counts what lives.
#[derive(Default)]
struct Counting {
    blocks: Vec<Option<u64>>,
    live: u64,
    most: u64,
    sizes: Option<(u64, u64)>,
    /// Every so many blocks it gives the one before once more.
    gives_twice: Option<usize>,
}

impl Heap for Counting {
    fn allocate(&mut self, bytes: u64, stamp: u64) -> Option<u64> {
        let (least, most) = self.sizes.unwrap_or((bytes, bytes));
        self.sizes = Some((least.min(bytes), most.max(bytes)));
        self.live += 1;
        self.most = self.most.max(self.live);
        if self.gives_twice.is_some_and(|every| self.blocks.len() % every == every - 1) {
            *self.blocks.last_mut()? = Some(stamp);
        } else {
            self.blocks.push(Some(stamp));
        }
        Some(self.blocks.len() as u64 - 1)
    }
    fn free(&mut self, block: u64) -> bool {
        self.live -= 1;
        self.blocks[block as usize].take().is_some()
    }
    fn stamp(&self, block: u64) -> u64 {
        self.blocks[block as usize].unwrap_or(u64::MAX)
    }
}

fn as_many_live() -> Result<(), Failure> {
    for (work, most) in [(&PAIR, 1), (&FEW, 4096), (&Work { live: 100 }, 100)] {
        let mut heap = Counting::default();
        let Tally { operations, ns, live } = work.run(&mut heap, SECONDS, 1)?;
        expect(operations > 0 && ns > 0.0 && live == work.live, format!("{operations} in {ns} ns, {live} live"))?;
        expect((heap.most, heap.live) == (most, 0), format!("{} lived at most, {} at the end", heap.most, heap.live))?;
        expect(heap.sizes == Some((16, 256)), format!("sizes {:?}", heap.sizes))?;
    }
    Ok(())
}

/// The danger: a heap whose blocks overlap looks fast, and nobody notices.
fn a_careless_heap_is_caught() -> Result<(), Failure> {
    let mut heap = Counting { gives_twice: Some(50), ..Counting::default() };
    expect(Work { live: 1000 }.run(&mut heap, SECONDS, 1).is_err(), "a block that two have was not noticed")
}

/// Half as fast again is kept, three times is missed; a reference is judged by what it costs more than an int.
fn a_broken_promise_is_said() -> Result<(), Failure> {
    let row = |workload: &str, contestant: &str, ns: f64| Row { ns: vec![ns, ns], ..Row::new(workload, contestant) };
    for (pso, word) in [(7.0, "ok"), (15.0, "MISSED")] {
        let rows = [
            row(crate::PAIR, PSO, pso),
            row(crate::PAIR, MIMALLOC, 5.0),
            row(MOVE, COUNTS, 10.0),
            row(MOVE, MOVED, 24.0 + pso),
            row(MOVE, MOVED_INT, 30.0),
        ];
        let said = promise::table(&targets::promises(&rows)).to_string();
        for promise in ["mimalloc", "more than an int"] {
            let line = said.lines().find(|line| line.contains(promise)).unwrap_or_default();
            expect(line.ends_with(word), said.clone())?;
        }
    }
    Ok(())
}
