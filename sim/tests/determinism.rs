//! The same seed gives the same run, bit for bit: twice, on another build, and whether threads run ahead or not.

use pso_engine::space::Space;
use pso_model::scenario::Bank;
use pso_sim::machine::Profile;
use pso_sim::measure::Verdict;
use pso_sim::{Random, Report, Setup, Simulation};

/// A bank in which `threads` make `transfers` each.
fn run(setup: Setup, threads: usize, transfers: u64) -> Report {
    let seed = setup.seed;
    let mut simulation = Simulation::new(setup);
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout).unwrap();
    let mut founder = space.participant().unwrap();
    let bank = Bank::found(&mut founder, 20).unwrap();
    for number in 0..threads {
        simulation.spawn(move |platform| {
            let space = Space::join(platform, layout).unwrap();
            let mut participant = space.participant().unwrap();
            let mut random = Random::split(seed, number as u64 + 100);
            for _ in 0..transfers {
                bank.transfer(&mut participant, random.below(20), random.below(20), 1).unwrap();
            }
            participant.leave();
            space.leave();
        });
    }
    let report = simulation.run();
    assert_eq!(bank.sum(&mut founder).unwrap(), bank.expected());
    assert_eq!(report.verdict, Verdict::Ok);
    report
}

fn setup(cores: usize, seed: u64) -> Setup {
    Setup::new(Profile::built_in("chiplet").unwrap(), cores, seed)
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let (one, again, other) = (run(setup(4, 1), 8, 200), run(setup(4, 1), 8, 200), run(setup(4, 2), 8, 200));
    assert_eq!((one.trace_hash, one.ended_ns, one.steps), (again.trace_hash, again.ended_ns, again.steps));
    assert_ne!(one.trace_hash, other.trace_hash);
    assert!(one.threads.iter().all(|thread| thread.through && thread.commits == 200));
}
