//! A small bank on the simulated machine, in a space of 4 MiB, for tests that simulate it thousands of times.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use pso_engine::arena::Geometry;
use pso_engine::contention::Limits;
use pso_engine::fsck::fsck;
use pso_engine::platform::Platform;
use pso_engine::space::Space;
use pso_model::scenario;
use pso_sim::machine::Profile;
use pso_sim::measure::Verdict;
use pso_sim::{Random, Report, Setup, Simulated, Simulation};

/// So many cores of the machine of chiplets, and a small space.
pub fn chiplet(cores: usize, seed: u64) -> Setup {
    let geometry = Geometry::for_bytes(4 << 20).unwrap();
    Setup { geometry, ..Setup::new(Profile::built_in("chiplet").unwrap(), cores, seed) }
}

/// A bank and who works in it.
#[derive(Clone, Copy)]
pub struct Bank {
    pub threads: usize,
    pub accounts: u64,
    /// Of each thread.
    pub transfers: u64,
}

impl Bank {
    /// Runs it as it is.
    pub fn run(self, setup: Setup) -> Report {
        self.run_on(setup, |platform| platform)
    }

    /// Runs it with each thread's platform behind an adapter. The verdict is `Wrong` if the sum is, or if fsck finds anything
    /// after the dead have been cleared up.
    pub fn run_on<P: Platform>(self, setup: Setup, adapt: impl Fn(Simulated) -> P + Copy + 'static) -> Report {
        self.run_within(setup, Limits::default(), adapt)
    }

    /// The same with limits of their own for all threads.
    pub fn run_within<P: Platform>(
        self,
        setup: Setup,
        limits: Limits,
        adapt: impl Fn(Simulated) -> P + Copy + 'static,
    ) -> Report {
        let seed = setup.seed;
        let mut simulation = Simulation::new(setup);
        let layout = *simulation.layout();
        let space = Space::join(simulation.outside(), layout).unwrap();
        let mut judge = space.participant().unwrap();
        let bank = scenario::Bank::found(&mut judge, self.accounts).unwrap();
        for number in 0..self.threads {
            simulation.spawn(move |platform| {
                let space = Space::join(adapt(platform), layout).unwrap();
                let mut participant = space.participant().unwrap();
                participant.set_limits(limits);
                let mut random = Random::split(seed, number as u64 + 100);
                for _ in 0..self.transfers {
                    let (from, to) = (random.below(self.accounts), random.below(self.accounts));
                    bank.transfer(&mut participant, from, to, 1).unwrap();
                }
                participant.leave();
                space.leave();
            });
        }
        let mut report = simulation.run();
        space.recover_dead();
        let wrong = match bank.sum(&mut judge) {
            Ok(sum) => wrong(&space, sum, bank.expected()),
            Err(stop) => Some(format!("the sum cannot be read: {stop}")),
        };
        if let Some(wrong) = wrong {
            report.verdict = Verdict::Wrong(wrong);
        }
        report
    }
}

fn wrong(space: &Arc<Space<Simulated>>, sum: i64, expected: i64) -> Option<String> {
    if sum != expected {
        return Some(format!("the sum is {sum}, not {expected}"));
    }
    fsck(space).first().map(|finding| format!("fsck: {finding}"))
}
