//! One run: a machine, a system, a space, threads, faults; and what came of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pso_engine::arena::{self, Geometry, Layout};
use pso_engine::contention::PolicyId;

use crate::fault::Fault;
use crate::fiber::{Bound, Fiber, Turn};
use crate::machine::{CORES_MAX, Prices, Profile};
use crate::measure::Verdict;
use crate::simulated::{Simulated, World};
use crate::system::scheduler::{self, Scheduler};
use crate::system::{Places, Start, System};

/// What is simulated.
pub struct Setup {
    /// Sizes of the space.
    pub geometry: Geometry,
    /// The machine.
    pub profile: Profile,
    /// Who yields in conflicts.
    pub policy: PolicyId,
    /// Its cores, at least 1 and at most 256.
    pub cores: usize,
    /// Who gets them.
    pub scheduler: Box<dyn Scheduler>,
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// What is done to whom.
    pub faults: Vec<Fault>,
    /// Memory operations at most.
    pub budget: u64,
    /// After so long without a commit, in ns of virtual time, the run is stuck or livelocked.
    pub patience_ns: u64,
    /// A thread that is still the earliest goes on without a switch. Off only to show that it changes nothing.
    pub runs_ahead: bool,
}

impl Setup {
    /// `cores` of the machine of `profile`, a space of 64 MiB with the default policy, fair slices, no faults.
    pub fn new(profile: Profile, cores: usize, seed: u64) -> Self {
        Self {
            geometry: Geometry::for_bytes(64 << 20).unwrap_or_else(|| unreachable!("64 MiB is a size of a space")),
            profile,
            policy: PolicyId::default(),
            cores: cores.clamp(1, CORES_MAX),
            scheduler: Box::new(scheduler::Fair),
            seed,
            faults: Vec::new(),
            budget: u64::MAX,
            patience_ns: 2_000_000_000,
            runs_ahead: true,
        }
    }

    /// With a process slot for each of `participants` and for whoever judges them, as far as the space has room for that. Where there are enough
    /// already all stays as it is: where words lie, and how many slots are looked through, is part of every run.
    pub(crate) fn with_slots_for(self, participants: u32) -> Self {
        let wanted = (u64::from(participants) + 1).min(self.geometry.participants);
        if wanted <= self.geometry.process_slots {
            return self;
        }
        let geometry = Geometry { process_slots: wanted.next_power_of_two(), ..self.geometry };
        if Layout::new(geometry).is_some() { Self { geometry, ..self } } else { self }
    }
}

/// A simulation, before its run and after it.
pub struct Simulation {
    world: World,
    layout: Layout,
    faults: Vec<Fault>,
    fibers: Vec<Option<Fiber>>,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended. What must hold of the data is for the caller to add.
    pub verdict: Verdict,
    /// Memory operations of all threads.
    pub steps: u64,
    /// What each thread did.
    pub threads: Vec<ThreadReport>,
    /// The fingerprint of all steps in their order.
    pub trace_hash: u64,
    /// When the last event took place, in ns of virtual time.
    pub ended_ns: u64,
    /// Real time that the run took.
    pub wall: Duration,
}

/// What a thread did, as its own words in the space told.
#[derive(Clone, Debug)]
pub struct ThreadReport {
    /// Memory operations.
    pub steps: u64,
    /// Attempts.
    pub attempts: u64,
    /// Commits.
    pub commits: u64,
    /// Its first attempt, in ns of virtual time.
    pub began_ns: u64,
    /// Its last commit.
    pub committed_ns: u64,
    /// From the first attempt to the commit of each transaction, in ns.
    pub latencies_ns: Vec<u64>,
    /// Whether its body was through.
    pub through: bool,
}

impl Simulation {
    /// A formatted space on the machine of `setup`. Panics where its geometry makes no layout.
    pub fn new(setup: Setup) -> Self {
        let layout = Layout::new(setup.geometry).expect("the geometry holds its own tables");
        let system = System::new(Start {
            words: setup.geometry.space_words,
            places: Places::of(&layout),
            prices: Prices::from(&setup.profile),
            topology: setup.profile.topology,
            cores: setup.cores.clamp(1, CORES_MAX),
            scheduler: setup.scheduler,
            seed: setup.seed,
            budget: setup.budget,
            patience: setup.patience_ns.saturating_mul(1000),
            runs_ahead: setup.runs_ahead,
        });
        let world = Arc::new(Bound::new(RefCell::new(system)));
        arena::format(&Simulated::new(world.clone()), &layout, setup.policy);
        Self { world, layout, faults: setup.faults, fibers: Vec::new() }
    }

    /// A process that stands outside all threads: founds the data before the run, judges it afterwards.
    pub fn outside(&self) -> Simulated {
        Simulated::new(self.world.clone())
    }

    /// The places of the space.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Adds a thread that is a process of its own and runs `body`. Returns its number.
    pub fn spawn(&mut self, body: impl FnOnce(Simulated) + 'static) -> usize {
        let platform = self.outside();
        self.spawn_in(&platform.clone(), move || body(platform))
    }

    /// Adds a thread of `process`, which was founded outside, so that what it did there took no time.
    pub fn spawn_in(&mut self, process: &Simulated, body: impl FnOnce() + 'static) -> usize {
        let number = self.world.get().borrow_mut().add_thread(process.process_number(), &self.faults);
        let fiber = Fiber::new(body).expect("the system has memory for a stack");
        self.fibers.push(Some(fiber));
        number
    }

    /// Runs all threads until they are through, or until it is clear that they never will be.
    pub fn run(&mut self) -> Report {
        let began = Instant::now();
        let world = self.world.clone();
        let system = world.get();
        system.borrow_mut().begin();
        // Bounded by the budget and the patience of the system.
        loop {
            // The world is not held while a thread runs.
            let next = system.borrow_mut().next_thread();
            let Some(thread) = next else { break };
            let Some(fiber) = self.fibers[thread].as_mut() else { break };
            match fiber.resume() {
                Turn::Suspended => system.borrow_mut().suspended(),
                Turn::Ended => system.borrow_mut().ended(thread, None),
                Turn::Panicked(message) => system.borrow_mut().ended(thread, Some(message)),
            }
        }
        let report = self.report(began.elapsed());
        self.bury();
        report
    }

    /// Unwinds what is left of the threads, without effect on the world.
    fn bury(&mut self) {
        for (number, fiber) in self.fibers.iter_mut().enumerate() {
            if let Some(fiber) = fiber.take() {
                self.world.get().borrow_mut().bury(number);
                drop(fiber);
                self.world.get().borrow_mut().suspended();
            }
        }
    }

    fn report(&self, wall: Duration) -> Report {
        let system = self.world.get().borrow();
        let thread = |number| {
            let watch = system.watch_of(number);
            ThreadReport {
                steps: system.steps_of(number),
                attempts: watch.attempts,
                commits: watch.commits,
                began_ns: watch.began.unwrap_or(0) / 1000,
                committed_ns: watch.committed / 1000,
                latencies_ns: watch.latencies.clone(),
                through: system.activity_of(number) == crate::system::Activity::Ended,
            }
        };
        Report {
            verdict: system.verdict().cloned().unwrap_or(Verdict::OutOfBudget),
            steps: system.steps(),
            threads: (0..self.fibers.len()).map(thread).collect(),
            trace_hash: system.hash.value(),
            ended_ns: system.now() / 1000,
            wall,
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.bury();
    }
}
