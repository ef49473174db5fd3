//! `pso torture`: native writers on one space are killed at random times, and everything is checked after each kill.
//!
//! 1. Writers (processes of this executable) run transactions on a `World` whose invariants a reader can check, and note
//!    each commit in a file besides (`Progress`).
//! 2. One or two of them get SIGKILL at a random moment, seldom while they are still joining.
//! 3. Every survivor must commit again within a bound; a consistent read must find all invariants; the dead writer's count
//!    in the space must be what it noted, or one more (it died between commit and note); `fsck` must find nothing.
//! 4. The dead are replaced. A space that has grown is exchanged for a new one: replaced blocks are not reclaimed yet.
//! 5. At the end of each space the writers leave by themselves and all is checked once more, at rest.

mod crew;
mod progress;
mod round;
mod world;
mod writer;

pub use writer::work;

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::cli::Torture;
use crate::failure::Failure;
use crate::machine;
use round::Round;

/// What a whole run came to.
#[derive(Default, Serialize)]
struct Numbers {
    seed: u64,
    kills: u32,
    writers: u32,
    spaces: u32,
    killed_while_joining: u32,
    killed_two_at_once: u32,
    commits: u64,
    seconds: f64,
    /// From a kill until each survivor had committed again.
    survivor_ms_p50: f64,
    survivor_ms_p99: f64,
    survivor_ms_max: f64,
}

/// The subcommand.
pub fn run(options: &Torture) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    if !options.quiet {
        println!(
            "torture: {} kills among {} writers, policy {}, seed {seed}",
            options.kills, options.writers, options.policy
        );
    }
    let mut random = StdRng::seed_from_u64(seed);
    let bar = bar(options);
    let started = Instant::now();
    let mut numbers = Numbers { seed, writers: options.writers, ..Numbers::default() };
    let mut waits = Vec::new();
    while numbers.kills < options.kills {
        let mut round = Round::start(options, &mut random)?;
        while numbers.kills < options.kills && !round.is_grown() {
            let outcome = round.kill(options.kills - numbers.kills, &mut random).map_err(|failure| {
                Failure::Wrong(format!("torture: FAILED at kill {} of seed {seed}: {failure}", numbers.kills + 1))
            })?;
            numbers.kills += outcome.killed;
            numbers.killed_while_joining += u32::from(outcome.while_joining);
            numbers.killed_two_at_once += u32::from(outcome.killed == 2);
            waits.extend(outcome.waits);
            bar.set_position(numbers.kills.into());
        }
        numbers.commits += round
            .finish()
            .map_err(|failure| Failure::Wrong(format!("torture: FAILED at rest, seed {seed}: {failure}")))?;
        numbers.spaces += 1;
    }
    bar.finish_and_clear();
    numbers.seconds = started.elapsed().as_secs_f64();
    waits.sort();
    numbers.survivor_ms_p50 = milliseconds(&waits, 0.5);
    numbers.survivor_ms_p99 = milliseconds(&waits, 0.99);
    numbers.survivor_ms_max = milliseconds(&waits, 1.0);
    report(&numbers, options)
}

fn report(numbers: &Numbers, options: &Torture) -> Result<(), Failure> {
    if !options.quiet {
        println!(
            "  {} commits in {} spaces; {} killed while joining, {} times two at once\n  \
             a survivor's next commit after a kill: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            numbers.commits,
            numbers.spaces,
            numbers.killed_while_joining,
            numbers.killed_two_at_once,
            numbers.survivor_ms_p50,
            numbers.survivor_ms_p99,
            numbers.survivor_ms_max,
        );
    }
    if let Some(file) = &options.out {
        machine::write_results(file, numbers)?;
    }
    println!(
        "torture: ok, {} writers killed in {:.0} s, invariants kept, fsck clean, survivors went on after each (seed {})",
        numbers.kills, numbers.seconds, numbers.seed
    );
    Ok(())
}

/// The wait that `part` of all waits do not exceed.
fn milliseconds(sorted: &[Duration], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.max(1) - 1).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
}

fn bar(options: &Torture) -> ProgressBar {
    if options.quiet {
        return ProgressBar::hidden();
    }
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  killing {wide_bar} {pos}/{len} {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(options.kills.into()).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let waits: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(milliseconds(&waits, 0.5), 50.0);
        assert_eq!(milliseconds(&waits, 0.99), 99.0);
        assert_eq!(milliseconds(&waits, 1.0), 100.0);
        assert_eq!(milliseconds(&[], 0.5), 0.0);
    }
}
