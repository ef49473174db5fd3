//! `pso calibrate`: what the machine at hand costs, by micro-benchmarks.
//!
//! Each number is measured by itself ([`lines`]: what it takes to move a cache line; [`system`]: clocks, calls, sleeping and
//! waking), but one: the price of the ordinary instructions between two memory operations, which only the engine's own code
//! can tell ([`ordinary`]). It is taken from a path of the engine that is none of the workloads that the simulator is compared
//! with. Nothing is fitted to a result.
//!
//! Measurements are made in batches, and medians of batches are taken: others use the machine, too.

mod lines;
mod ordinary;
mod pinned;
mod system;

use pso_sim::machine::{Distances, Fact, Figure, Profile, Samples, Topology};

use crate::cli::Calibrate;
use crate::failure::Failure;
use crate::table::Table;
use crate::{machine, output};

/// The subcommand.
pub fn run(options: &Calibrate) -> Result<(), Failure> {
    let profile = measure()?;
    let file = &options.out;
    let text = profile.to_text().map_err(|error| Failure::Wrong(format!("writing {}: {error}", file.display())))?;
    machine::write_whole(file, &text)?;
    print(&profile)?;
    output::line(format_args!("  written to {}", file.display()))
}

/// The profile of this machine, as it is at this moment. Takes about two seconds.
pub fn measure() -> Result<Profile, Failure> {
    let lines = lines::measure()?;
    let system = system::measure()?;
    let mut profile = Profile {
        name: "local".into(),
        about: "The machine at hand, measured by `pso calibrate`".into(),
        // All cores of a small machine share a cache; nothing here tells more groups apart.
        topology: Topology { cores_per_group: 256, groups_per_socket: 1 },
        ordinary: figure(1.0, "measured last, see `ordinary`"),
        load_changed: distances(lines.load_changed, "64 lines changed by the other core, loaded in a random chain"),
        load_shared: distances(
            lines.load_shared,
            if lines.loads_migrate() {
                "64 lines changed by this core and loaded by the other, loaded again in a random chain"
            } else {
                "as load_changed; with two cores it never happens: who shares a line has it"
            },
        ),
        store: distances(
            lines.store,
            "64 lines changed by the other core, a store to each, then an exchange on an own line, which waits for stores and \
             says where the next one goes; less the same at home",
        ),
        exchange_own: figure(lines.exchange_own, "compare-exchanges of own lines in a random chain"),
        exchange: distances(
            lines.exchange,
            "64 lines changed by the other core, an exchange on each says where the next goes; less the same at home",
        ),
        loads_migrate: Some(Fact { holds: lines.loads_migrate(), from: migration(&lines) }),
        transfer_spread: Some(Samples {
            ns: lines.spread.clone(),
            from: "as load_changed, each load timed by itself, less the clock".into(),
        }),
        hold: Some(distances(
            lines.hold,
            "two cores add to one line: the additions in a row that one makes while the other's request is under way, but the first",
        )),
        fence: figure(lines.fence, "an own store and a full fence, less the store"),
        memory: figure(lines.memory, "a random chain through 128 MiB"),
        clock: figure(system.clock, "clock_gettime(CLOCK_MONOTONIC), 1,000 in a row"),
        coarse_clock: figure(system.coarse_clock, "clock_gettime(CLOCK_MONOTONIC_COARSE), 1,000 in a row"),
        coarse_step: figure(system.coarse_step, "clock_getres(CLOCK_MONOTONIC_COARSE)"),
        spin_hint: figure(system.spin_hint, "1,000 spin hints in a row"),
        spin: figure(system.spin, "what the native platform says on this machine"),
        kernel_call: figure(system.kernel_call, "FUTEX_WAKE on a word that nobody sleeps on"),
        wake_call: figure(
            system.wake_call,
            "FUTEX_WAKE of a sleeper on the other core, to the caller, less a kernel call",
        ),
        context_switch: figure(
            system.context_switch,
            "ring, sleep and switch to the rung on one core, there and back, halved; less two kernel calls",
        ),
        slice: figure(system.slice, "two threads that spin on one core: how long one runs before the other does"),
        wake_same_core: Samples {
            ns: system.wake_same_core,
            from: "a kernel call: when it is over the sleeper stands in the queue".into(),
        },
        wake_other_core: Samples {
            ns: system.wake_other_core,
            from: "from FUTEX_WAKE to the first instruction of a sleeper on the other, idle core".into(),
        },
    };
    profile.ordinary = figure(
        ordinary::measure(&profile)?,
        "transactions that read 4 of 64 private cells, on one core: that price of an operation with which the simulator, at \
         the other prices, takes as long as this machine does",
    );
    Ok(profile)
}

/// What speaks for or against it.
fn migration(lines: &lines::Prices) -> String {
    format!(
        "a load of a line that this core changed and the other has loaded since takes {:.0} ns (of one that the other changed, \
         {:.0} ns); an exchange on a line just loaded from the other core takes {:.0} ns (on one not loaded, {:.0} ns)",
        lines.reload, lines.load_changed, lines.exchange_loaded, lines.exchange
    )
}

fn figure(ns: f64, from: &str) -> Figure {
    Figure { ns, from: from.into() }
}

fn distances(ns: f64, from: &str) -> Distances {
    Distances { ns: [ns; 3], from: from.into() }
}

fn print(profile: &Profile) -> Result<(), Failure> {
    let mut rows: Vec<(&str, f64, &str)> = Vec::new();
    rows.extend(profile.figures().map(|(name, figure)| (name, figure.ns, figure.from.as_str())));
    rows.extend(
        profile.distances().into_iter().map(|(name, distances)| (name, distances.ns[0], distances.from.as_str())),
    );
    for (name, samples) in profile.samples() {
        rows.push((name, samples.ns[samples.ns.len() / 2], &samples.from));
    }
    let mut table = Table::new(["price", "ns"]);
    for (name, ns, _) in &rows {
        table.row([(*name).to_owned(), format!("{ns:.2}")]);
    }
    output::line(format_args!("\n{table}"))?;
    for (name, _, from) in rows {
        output::line(format_args!("  {name}: {from}"))?;
    }
    Ok(())
}
