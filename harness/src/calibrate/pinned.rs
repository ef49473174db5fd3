//! Threads that stay on one core, batches of which the median counts, and distributions.

use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::Failure;
use crate::machine::median;

/// Batches of a measurement.
pub const BATCHES: usize = 25;
/// Quantiles of a distribution that go into the profile.
const SAMPLES: usize = 16;

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

/// The middles of equal parts of a distribution.
pub fn quantiles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let middle = |part: usize| values[(2 * part + 1) * values.len() / (2 * SAMPLES)];
    (0..SAMPLES).map(middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_middles_of_equal_parts() {
        let values = quantiles((0..160).rev().map(f64::from).collect());
        assert_eq!(values.len(), 16);
        assert_eq!((values[0], values[15]), (5.0, 155.0));
    }
}
