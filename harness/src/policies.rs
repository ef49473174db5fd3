//! `pso policies`: the contention policies side by side, on the simulated machine. Every number here is a simulated one.

use indicatif::ProgressBar;
use pso_engine::contention::PolicyId;
use pso_sim::machine::Profile;
use pso_sim::measure::Measurement;
use pso_sim::player::Pacing;
use pso_sim::trace::{Kind, generate};
use pso_sim::{Setup, simulate};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::{fault, machine, output, plot, simulator, trace};

#[derive(Serialize)]
struct Numbers<'a> {
    seed: u64,
    profile: &'a str,
    measurements: &'a [Measurement],
}

/// The subcommand. Runs that end badly (livelocked, out of budget) are findings: they stand in the table, and are not drawn. One that shows a
/// fault, by what its policy promises, ends it with exit code 1.
pub fn run(options: &cli::Policies) -> Result<(), Failure> {
    for kind in &options.traces {
        trace::affordable(*kind, options.contention, options.transactions, 1)?;
    }
    let most = options.cores.iter().map(|cores| participants(options, *cores)).max().unwrap_or(0);
    simulator::has_room("policies", most, "ask for fewer --cores, or fewer --oversubscribed")?;
    let profile = simulator::profile(&options.profile)?;
    let runs = options.traces.len() * options.cores.len() * options.policies.len();
    output::line(format_args!(
        "policies: {runs} runs of {} transactions, all simulated, on {}",
        options.transactions, profile.name
    ))?;
    let bar = ProgressBar::new(runs as u64);
    let mut measurements = Vec::new();
    let measured = measure_all(options, &profile, &bar, &mut measurements);
    bar.finish_and_clear();
    let numbers = Numbers { seed: options.seed, profile: &profile.name, measurements: &measurements };
    measured.map_err(|failure| machine::rescue(Some(&options.out), &numbers, failure))?;
    machine::write_results(&options.out, &numbers)?;
    let introduction = [String::from(
        "Every run is simulated: the engine itself on a simulated machine, the same trace under each contention policy.",
    )];
    plot::report(
        std::slice::from_ref(&options.out),
        options.plot.as_deref(),
        "pso: contention policies on the simulated machine",
        &introduction,
    )?;
    fault::none_in("policies", &measurements)
}

fn measure_all(
    options: &cli::Policies,
    profile: &Profile,
    bar: &ProgressBar,
    measurements: &mut Vec<Measurement>,
) -> Result<(), Failure> {
    for kind in &options.traces {
        for cores in &options.cores {
            for policy in &options.policies {
                measurements.push(measure(options, profile, *kind, *cores, *policy)?);
                bar.inc(1);
            }
        }
    }
    Ok(())
}

/// On so many cores.
fn participants(options: &cli::Policies, cores: u32) -> u32 {
    cores * options.oversubscribed
}

fn measure(
    options: &cli::Policies,
    profile: &Profile,
    kind: Kind,
    cores: u32,
    policy: PolicyId,
) -> Result<Measurement, Failure> {
    let mut trace =
        generate(kind, options.contention, participants(options, cores), options.transactions, options.seed);
    trace.header.name = format!("{}-{}", kind.name(), options.contention.name());
    let setup = simulator::setup(profile.clone(), cores, options.seed, &trace)?;
    let setup = Setup { policy, budget: options.budget, ..setup };
    let played = simulate(&trace, setup, Pacing::AS_WRITTEN);
    let played = played.map_err(|error| Failure::Wrong(format!("{} under {policy}: {error}", trace.header.name)))?;
    Ok(Measurement { manner: simulator::manner(cli::Pace::AsWritten), ..played.measurement })
}
