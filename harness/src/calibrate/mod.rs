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

use pso_sim::machine::{Distances, Figure, Profile, Samples, Topology};

use crate::cli::Calibrate;
use crate::failure::Failure;
use crate::table::Table;

/// The subcommand.
pub fn run(options: &Calibrate) -> Result<(), Failure> {
    let profile = measure()?;
    print(&profile);
    let file = &options.out;
    let what = format!("writing {}", file.display());
    let text = profile.to_text().map_err(|error| Failure::Wrong(format!("{what}: {error}")))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::system(format!("making {}", folder.display())))?;
    }
    std::fs::write(file, text).map_err(Failure::system(what))?;
    println!("  written to {}", file.display());
    Ok(())
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
        load_changed: distances(lines.load_changed, "256 lines changed by the other core, loaded in a random chain"),
        load_shared: distances(
            lines.load_changed,
            "as load_changed; with two cores it never happens: who shares a line has it",
        ),
        store: distances(
            lines.store,
            "256 lines changed by the other core, each stored to and fenced; less the same at home",
        ),
        exchange_own: figure(lines.exchange_own, "compare-exchanges of one own line after another"),
        exchange: distances(
            lines.exchange,
            "256 lines changed by the other core, an addition to each; less the same at home",
        ),
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

fn figure(ns: f64, from: &str) -> Figure {
    Figure { ns, from: from.into() }
}

fn distances(ns: f64, from: &str) -> Distances {
    Distances { ns: [ns; 3], from: from.into() }
}

fn print(profile: &Profile) {
    let mut rows: Vec<(&str, f64, &str)> = Vec::new();
    rows.extend(profile.figures().map(|(name, figure)| (name, figure.ns, figure.from.as_str())));
    rows.extend(profile.distances().map(|(name, distances)| (name, distances.ns[0], distances.from.as_str())));
    for (name, samples) in profile.samples() {
        rows.push((name, samples.ns[samples.ns.len() / 2], &samples.from));
    }
    let mut table = Table::new(["price", "ns"]);
    for (name, ns, _) in &rows {
        table.row([(*name).to_owned(), format!("{ns:.2}")]);
    }
    println!("\n{table}");
    for (name, _, from) in rows {
        println!("  {name}: {from}");
    }
}
