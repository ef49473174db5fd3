//! The same seed gives the same run, bit for bit: twice, on another build, and whether threads run ahead or not.

mod support;

use pso_sim::machine::{Distances, Fact, Profile, Samples};
use pso_sim::measure::Verdict;
use pso_sim::player::Pacing;
use pso_sim::system::scheduler;
use pso_sim::trace::{Contention, Kind, generate};
use pso_sim::{Setup, simulate};

use support::{Bank, chiplet};

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| Bank { threads: 8, accounts: 20, transfers: 200 }.run(chiplet(4, seed));
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!((one.trace_hash, one.ended_ns, one.steps), (again.trace_hash, again.ended_ns, again.steps));
    assert_ne!(one.trace_hash, other.trace_hash);
    assert!(one.threads.iter().all(|thread| thread.through && thread.commits == 200));
}

/// Running ahead spares a switch when the answer is known. Were the answer ever another, the order of steps would differ.
#[test]
fn running_ahead_changes_nothing_under_any_scheduler() {
    for (machine, setup) in [("chiplet", chiplet as fn(usize, u64) -> Setup), ("calibrated", calibrated)] {
        for name in scheduler::NAMES {
            let run = |runs_ahead| {
                let scheduler = scheduler::by_name(name, 3).unwrap();
                Bank { threads: 6, accounts: 3, transfers: 150 }.run(Setup { runs_ahead, scheduler, ..setup(4, 3) })
            };
            let (ahead, by_turns) = (run(true), run(false));
            assert_eq!(ahead.steps, by_turns.steps, "{machine}, {name}");
            assert_eq!(ahead.trace_hash, by_turns.trace_hash, "{machine}, {name}");
        }
    }
}

/// The machine of chiplets with all that only a calibrated profile has: transfers that differ, loads that take a changed line
/// along, holders that keep a line for a while after another core's request.
fn calibrated(cores: usize, seed: u64) -> Setup {
    let from = || String::from("made up for this test");
    let mut profile = Profile::built_in("chiplet").unwrap();
    profile.loads_migrate = Some(Fact { holds: true, from: from() });
    profile.transfer_spread = Some(Samples { ns: vec![80.0, 95.0, 100.0, 104.0, 121.0], from: from() });
    profile.hold = Some(Distances { ns: [9.0, 30.0, 50.0], from: from() });
    let profile = Profile::parse(&profile.to_text().unwrap()).unwrap();
    Setup { geometry: chiplet(cores, seed).geometry, ..Setup::new(profile, cores, seed) }
}

/// What another build must compute, too. A change of the engine's steps, of the prices or of the system changes these
/// numbers, and whoever makes it commits the new ones; a change of the compiler or its options does not.
#[test]
fn every_build_gives_the_golden_runs() {
    let run = |kind, setup| {
        let trace = generate(kind, Contention::Medium, 6, 300, 11);
        let played = simulate(&trace, setup, Pacing::AS_WRITTEN).unwrap();
        assert_eq!(played.measurement.verdict, Verdict::Ok, "{}", kind.name());
        format!("{} {} {:016x}", kind.name(), played.report.steps, played.report.trace_hash)
    };
    assert_eq!(Kind::ALL.map(|kind| run(kind, chiplet(4, 11))), GOLDEN);
    assert_eq!(Kind::ALL.map(|kind| run(kind, calibrated(4, 11))), GOLDEN_CALIBRATED);
}

/// Kind of trace, memory operations, fingerprint of all of them in their order.
const GOLDEN: [&str; 6] = [
    "counter 17355 57f4ec34096d9ee9",
    "bank-1000 22433 ac05f66ff5778a3a",
    "bank-4 24383 6ce9f52441d5762b",
    "long-reader 85975 3ede55b44ab86ed8",
    "crossing-pairs 71791 5fd867a3f80dccf7",
    "queue 21492 7f080dc0319b3941",
];

/// The same on the machine with differing transfers.
const GOLDEN_CALIBRATED: [&str; 6] = [
    "counter 17369 851c8381143091d8",
    "bank-1000 22433 8cb193840691f94b",
    "bank-4 24689 b8ef6e555c530a9d",
    "long-reader 80244 f8cc6491997dac86",
    "crossing-pairs 71025 bc018f21df73bc52",
    "queue 21155 af2351672f3a0e3d",
];
