//! `pso torture`: native writers on one space are killed at random times, or stopped, and everything is checked after each.
//!
//! 1. Writers (processes of this executable) run transactions of every kind (`deeds`) on a `World` whose invariants a reader
//!    can check, and note each commit in a file besides (`Progress`).
//! 2. One or two of them get SIGKILL at a random moment, seldom while they are still joining (`kill`).
//! 3. Every survivor must commit again within a bound; who waited for the dead is told apart and timed (`watch`). A consistent
//!    read must find all invariants; the dead writer's count in the space must be what it noted, or one more (it died between
//!    commit and note); `fsck` must find nothing.
//! 4. The dead are replaced. A space that has grown is exchanged for a new one: `fsck` walks all of it after each kill.
//! 5. Or one of them gets SIGSTOP and, later, SIGCONT, while others read, write and preempt it (`stop`).
//! 6. At the end of each space the writers leave by themselves and all is checked once more, at rest.

mod crew;
mod deeds;
mod figures;
mod kill;
mod progress;
mod round;
mod stop;
mod watch;
mod world;
mod writer;

pub use figures::Latency;
pub use writer::work;

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::cli::Torture;
use crate::failure::Failure;
use crate::{machine, output};
use figures::{Kills, Stops};
use round::Round;

/// Kills, unless the command line says something else.
const KILLS: u32 = 2000;

/// What a whole run came to.
#[derive(Default, Serialize)]
struct Numbers {
    seed: u64,
    writers: u32,
    policy: String,
    spaces: u32,
    commits: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kills: Option<Kills>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<Stops>,
}

/// The subcommand.
pub fn run(options: &Torture) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let kills = options.kills.unwrap_or(if options.stops > 0 { 0 } else { KILLS });
    if !options.quiet {
        output::line(format_args!(
            "torture: {kills} kills and {} stops among {} writers, policy {}, seed {seed}",
            options.stops, options.writers, options.policy
        ))?;
    }
    let mut random = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let mut numbers =
        Numbers { seed, writers: options.writers, policy: options.policy.to_string(), ..Numbers::default() };
    if kills > 0 {
        numbers.kills = Some(kill(kills, options, &mut numbers, &mut random)?);
    }
    if options.stops > 0 {
        numbers.stops = Some(stop(options, &mut numbers, &mut random)?);
    }
    numbers.seconds = started.elapsed().as_secs_f64();
    report(&numbers, options)
}

/// All kills, in as many spaces as it takes.
fn kill(most: u32, options: &Torture, numbers: &mut Numbers, random: &mut StdRng) -> Result<Kills, Failure> {
    let bar = bar(options, "killing", most);
    let mut kills = Kills::default();
    while kills.kills < most {
        let mut round = Round::start(options, random)?;
        while kills.kills < most && !round.is_grown() {
            let outcome = round.kill(most - kills.kills, random);
            kills.add(outcome.map_err(|failure| failed(&format!("kill {}", kills.kills + 1), numbers.seed, failure))?);
            bar.set_position(kills.kills.into());
        }
        leave(round, numbers)?;
    }
    bar.finish_and_clear();
    kills.close();
    Ok(kills)
}

/// All stops, the same.
fn stop(options: &Torture, numbers: &mut Numbers, random: &mut StdRng) -> Result<Stops, Failure> {
    let bar = bar(options, "stopping", options.stops);
    let mut stops = Stops::default();
    while stops.stops < options.stops {
        let mut round = Round::start(options, random)?;
        while stops.stops < options.stops && !round.is_grown() {
            let outcome = round.stop(random);
            stops.add(outcome.map_err(|failure| failed(&format!("stop {}", stops.stops + 1), numbers.seed, failure))?);
            bar.set_position(stops.stops.into());
        }
        leave(round, numbers)?;
    }
    bar.finish_and_clear();
    stops.close();
    Ok(stops)
}

fn leave(round: Round, numbers: &mut Numbers) -> Result<(), Failure> {
    numbers.commits += round.finish().map_err(|failure| failed("rest", numbers.seed, failure))?;
    numbers.spaces += 1;
    Ok(())
}

fn failed(at: &str, seed: u64, failure: Failure) -> Failure {
    failure.of(format_args!("torture: FAILED at {at} of seed {seed}"))
}

/// Writes the numbers before it tells them: whoever was to read may have gone meanwhile.
fn report(numbers: &Numbers, options: &Torture) -> Result<(), Failure> {
    if let Some(file) = &options.out {
        machine::write_results(file, numbers)?;
    }
    let mut done = Vec::new();
    if let Some(kills) = &numbers.kills {
        done.push(format!("{} writers killed, survivors went on after each", kills.kills));
    }
    if let Some(stops) = &numbers.stops {
        done.push(format!("{} stopped and continued, nobody else waited who need not", stops.stops));
    }
    if !options.quiet {
        output::line(format_args!("  {} commits in {} spaces", numbers.commits, numbers.spaces))?;
        numbers.kills.iter().try_for_each(|kills| output::line(kills.describe()))?;
        numbers.stops.iter().try_for_each(|stops| output::line(stops.describe()))?;
    }
    output::line(format_args!(
        "torture: ok, {}, invariants kept, fsck clean, {:.0} s (seed {})",
        done.join("; "),
        numbers.seconds,
        numbers.seed
    ))
}

fn bar(options: &Torture, what: &str, count: u32) -> ProgressBar {
    if options.quiet {
        return ProgressBar::hidden();
    }
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  {prefix} {wide_bar} {pos}/{len} {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count.into()).with_style(style).with_prefix(what.to_owned())
}
