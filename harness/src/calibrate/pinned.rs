//! Threads that stay on one core, and batches of which the median counts.

use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::Failure;
use crate::machine::median;

/// Batches of a measurement.
const BATCHES: usize = 25;

/// The first two cores that this process may use; the same one twice where there is only one.
pub fn two_cores() -> Result<[usize; 2], Failure> {
    let allowed = sched_getaffinity(None).map_err(|error| Failure::system("asking for the cores")(error.into()))?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    let first = cores.next().unwrap_or(0);
    Ok([first, cores.next().unwrap_or(first)])
}

/// The calling thread stays on `core`. Where that is forbidden it runs where it runs, and the figures say so by their spread.
pub fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(None, &cores);
}

/// Runs `body` in a thread of its own on `core`.
pub fn on<R: Send>(core: usize, body: impl FnOnce() -> R + Send) -> Result<R, Failure> {
    let run = || {
        stay_on(core);
        body()
    };
    let joined = std::thread::scope(|scope| scope.spawn(run).join());
    joined.map_err(|_| Failure::Wrong("calibrate: a measuring thread panicked".into()))
}

/// Nanoseconds of one turn of `body`, which makes `turns` of them: the median of batches.
pub fn turn_ns(turns: u32, mut body: impl FnMut()) -> f64 {
    let batch = |_| {
        let began = Instant::now();
        body();
        began.elapsed().as_nanos() as f64 / f64::from(turns)
    };
    median(&(0..BATCHES).map(batch).collect::<Vec<_>>())
}
