//! One run: participants begin together, work for some time, and say what they did; what they left is checked.
//!
//! A sum that ends after the time of the run is not counted: the time does not hold it. It may be the only one.
//!
//! An operation in sixteen is timed by itself, long ones all: looking at the clock takes as long as some of them. What is
//! between is timed as a whole, so that no operation that took long is missed: the longest is at most that.

use std::time::{Duration, Instant};

use pso_harness::crew::START_DELAY;
use pso_harness::failure::Failure;
use pso_sim::measure::Latencies;
use serde::{Deserialize, Serialize};

use crate::contestant::{Actor, World};
use crate::ledger;
use crate::workload::{Role, Workload};

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is done.
    pub workload: Workload,
    /// By how many.
    pub participants: u32,
    /// For how long.
    pub seconds: f64,
    /// Chooses variables.
    pub seed: u64,
}

/// What one participant did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deed {
    /// Operations.
    pub operations: u64,
    /// Those that changed something.
    pub changes: u64,
    /// How often their bodies ran.
    pub attempts: u64,
    /// Sleepers that it woke.
    pub woken: Option<u64>,
    /// From the common start to its last operation.
    pub duration_ns: u64,
    /// How long operations took.
    pub latencies: Latencies,
    /// No operation took longer.
    pub longest_ns: u64,
}

impl Case {
    /// Whether `values` are what `deeds` must have left: each of them, for a sum would not tell transfers from none.
    pub fn check(&self, values: &[i64], deeds: &[Deed]) -> Result<(), Failure> {
        let changes: Vec<u64> = deeds.iter().map(|deed| deed.changes).collect();
        self.check_changes(values, &changes)
    }

    /// The same by the number of changes of each participant.
    pub fn check_changes(&self, values: &[i64], changes: &[u64]) -> Result<(), Failure> {
        let expected = ledger::expected(self, changes)?;
        match values.iter().zip(&expected).position(|(found, expected)| found != expected) {
            _ if values.len() != expected.len() => {
                Err(Failure::Wrong(format!("there are {} variables, not {}", values.len(), expected.len())))
            }
            None => Ok(()),
            Some(variable) => {
                let (found, committed) = (values[variable], expected[variable]);
                Err(Failure::Wrong(format!("variable {variable} is {found}, and {committed} is what was committed")))
            }
        }
    }
}

/// A run by threads of this process.
pub fn threads<W: World>(case: &Case) -> Result<Vec<Deed>, Failure> {
    let world = W::new(case.workload.variables(case.participants))?;
    let start = Instant::now() + START_DELAY;
    let participant = |number: u32| -> Result<Deed, Failure> {
        let mut role = case.workload.role(number, case.participants, case.seed);
        work(world.actor()?, &mut role, start, case.seconds)
    };
    let deeds = std::thread::scope(|scope| {
        let participant = &participant;
        let threads: Vec<_> = (0..case.participants).map(|number| scope.spawn(move || participant(number))).collect();
        let panicked = |_| Err(Failure::Wrong("a participant panicked".into()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect::<Result<Vec<_>, _>>()
    })?;
    case.check(&world.values()?, &deeds)?;
    Ok(deeds)
}

/// Works from `start` on.
pub fn work<A: Actor>(mut actor: A, role: &mut Role, start: Instant, seconds: f64) -> Result<Deed, Failure> {
    let untimed = role.untimed();
    let mut deed = Deed {
        operations: 0,
        changes: 0,
        attempts: 0,
        woken: None,
        duration_ns: 0,
        latencies: Latencies::new(),
        longest_ns: 0,
    };
    std::thread::sleep(start.saturating_duration_since(Instant::now()));
    let end = start + Duration::from_secs_f64(seconds);
    let mut now = Instant::now();
    // At least one, but of sums: whoever begins late on a busy machine has done something, too.
    loop {
        role.step(&mut actor)?;
        let done = Instant::now();
        let took_ns = nanoseconds(done - now);
        deed.longest_ns = deed.longest_ns.max(took_ns);
        if untimed == 0 && done > end {
            now = end;
            break;
        }
        deed.latencies.record(took_ns);
        now = done;
        if untimed != 0 {
            for _ in 0..untimed {
                role.step(&mut actor)?;
            }
            now = Instant::now();
            deed.longest_ns = deed.longest_ns.max(nanoseconds(now - done));
        }
        deed.operations += 1 + untimed;
        if now >= end {
            break;
        }
    }
    deed.duration_ns = nanoseconds(now - start);
    deed.changes = role.changes;
    (deed.attempts, deed.woken) = (actor.attempts(), actor.woken());
    actor.leave();
    Ok(deed)
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
