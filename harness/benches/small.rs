//! The small transaction with criterion: two reads and two writes, nobody else there; the engine beside all its peers.
//!
//! ```text
//! cargo bench -p pso-harness --bench small
//! ```
//! Criterion measures one contestant after the other, with a distribution of each. Ratios of runs that alternate are those of
//! the benchmark `peers`, workload `small`, which does the same.

#[path = "peers/contestant/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the other operations and the processes are for the benchmark `peers`")]
mod contestant;

use std::process::ExitCode;

use contestant::{Actor, AsyncStm, Engine, FastStm, ParkingLotMutex, ParkingLotRwLock, StdMutex, StmCore, World};
use criterion::Criterion;
use pso_harness::failure::Failure;

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let result = all(&mut criterion);
    criterion.final_summary();
    pso_harness::exit_code(result)
}

fn all(criterion: &mut Criterion) -> Result<(), Failure> {
    small::<Engine>(criterion, "pso")?;
    small::<StdMutex>(criterion, "std Mutex")?;
    small::<ParkingLotMutex>(criterion, "parking_lot Mutex")?;
    small::<ParkingLotRwLock>(criterion, "parking_lot RwLock")?;
    small::<StmCore>(criterion, "stm-core")?;
    small::<FastStm>(criterion, "fast-stm")?;
    small::<AsyncStm>(criterion, "async-stm")
}

/// To and fro between two variables. They end on the far side, for there it shows what a transfer that does nothing, or loses both halves, has not done.
fn small<W: World>(criterion: &mut Criterion, name: &str) -> Result<(), Failure> {
    let world = W::new(2)?;
    let mut actor = world.actor()?;
    let mut failed = None;
    let mut from = 0;
    criterion.benchmark_group("small transaction").bench_function(name, |bencher| {
        bencher.iter(|| {
            from = 1 - from;
            if let Err(failure) = actor.transfer(from, 1 - from) {
                failed = Some(failure);
            }
        });
    });
    if failed.is_none() && from == 0 {
        failed = actor.transfer(1, 0).err();
    }
    actor.leave();
    if let Some(failure) = failed {
        return Err(failure);
    }
    let values = world.values()?;
    if values == [1, -1] { Ok(()) } else { Err(Failure::Wrong(format!("{name}: the two hold {values:?}"))) }
}
