//! What each tool plays to find a fault.

use pso_model::alone::Alone;
use pso_model::heap::Heap;
use pso_model::history::Recorder;
use pso_model::lens::Through;
use pso_model::mutant::{Fault, Mutant};
use pso_model::scenario::{Setting, scene, scenes, small_geometry};
use serde::{Deserialize, Serialize};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use crate::explore::explore;
use crate::parts::Part;
use crate::stage::Stage;
use crate::{judge, preemption, shuttle_world, world};

/// A way to look for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Every schedule of one preemption of a scene.
    OnePreemption,
    /// Random and PCT schedules of a scene.
    Shuttle,
    /// Every execution of a scene within a bound, weak memory included.
    Loom,
    /// A death at every step.
    Crash,
    /// Real threads.
    Threads,
}

pub const TOOLS: [Tool; 5] = [Tool::OnePreemption, Tool::Shuttle, Tool::Loom, Tool::Crash, Tool::Threads];

/// Scenes of two actors or more that one thread can play.
const PREEMPTED: [&str; 34] = [
    "two_writers_of_one_cell",
    "write_skew",
    "reader_of_two_cells",
    "repeated_read_after_an_extension",
    "reads_its_own_write",
    "crossing_writers",
    "older_stops_younger",
    "late_extension",
    "own_commit_over_a_read",
    "retired_beside_an_end",
    "irrevocable_beside_an_older",
    "irrevocable_beside_a_reader",
    "visible_reader_beside_a_transfer",
    "visible_reader_beside_an_irrevocable",
    "collected_beside_a_move",
    "collected_beside_a_birth",
    "collected_beside_a_reader",
    "collected_beside_an_older_birth",
    "collected_beside_a_hold",
    "collected_and_taken_over",
    "collected_with_help",
    "a_new_block_is_read",
    "two_who_free",
    "two_who_adopt",
    "two_who_claim",
    "remote_free",
    "taken_out_beside_its_commit",
    "punched_beside_a_look",
    "punched_beside_an_attempt",
    "used_again_after_a_punch",
    "exported_beside_a_collection",
    "released_beside_a_child",
    "released_beside_a_collection",
    "fenced_and_alive",
];
const SHUTTLED: [&str; 45] = [
    "two_writers_of_one_cell timeouts",
    "write_skew timeouts",
    "reader_of_two_cells timeouts",
    "repeated_read_after_an_extension timeouts",
    "late_extension timeouts",
    "own_commit_over_a_read timeouts",
    "reads_its_own_write timeouts",
    "older_stops_younger timeouts",
    "crossing_writers rings",
    "three_on_one_cell rings",
    "gives_up_beside_a_waiter rings",
    "a_chain_behind_a_long_body rings",
    "an_older_one_takes_the_place rings",
    "three_in_a_chain rings",
    "retry rings",
    "queue_hand_over rings",
    "dead_owner_of_a_lock timeouts",
    "dead_committer timeouts",
    "two_who_recover timeouts",
    "one_cell_of_a_dead_commit timeouts",
    "irrevocable_beside_an_older rings",
    "retired_beside_an_end timeouts",
    "irrevocable_beside_a_reader timeouts",
    "visible_reader_beside_an_irrevocable timeouts",
    "collected_beside_a_move timeouts",
    "collected_beside_a_birth timeouts",
    "collected_beside_a_reader timeouts",
    "collected_beside_an_older_birth timeouts",
    "collected_beside_a_hold timeouts",
    "collected_and_taken_over timeouts",
    "collected_with_help timeouts",
    "a_new_block_is_read timeouts",
    "two_who_free timeouts",
    "two_who_adopt timeouts",
    "two_who_claim timeouts",
    "remote_free timeouts",
    "taken_out_beside_its_commit timeouts",
    "punched_beside_a_look timeouts",
    "punched_beside_an_attempt timeouts",
    "used_again_after_a_punch timeouts",
    "exported_beside_a_collection timeouts",
    "released_beside_a_child timeouts",
    "released_beside_a_collection timeouts",
    "fenced_and_alive timeouts",
    "retry_after_a_killed_sleeper rings",
];
/// `scene manner bound`.
const LOOMED: [&str; 31] = [
    "write_skew yields 2",
    "repeated_read_after_an_extension yields 2",
    "reader_of_two_cells yields 2",
    "reads_its_own_write hasty 1",
    "retry sleep 2",
    "two_writers_of_one_cell sleep 1",
    "a_chain_behind_a_long_body sleep 1",
    "an_older_one_takes_the_place sleep 0",
    "two_who_recover yields 1",
    "one_cell_of_a_dead_commit yields 1",
    "retired_beside_an_end yields 2",
    "followed_beside_an_end yields 2",
    "collected_beside_an_older_birth yields 2",
    "collected_beside_a_hold yields 2",
    "collected_and_taken_over yields 2",
    "collected_with_help yields 2",
    "crossing_writers sleep 1",
    "irrevocable_beside_a_reader yields 1",
    "visible_reader_beside_an_irrevocable hasty 1",
    "a_new_block_is_read yields 2",
    "two_who_free yields 2",
    "two_who_adopt yields 2",
    "two_who_claim yields 2",
    "taken_out_beside_its_commit yields 2",
    "punched_beside_a_look yields 2",
    "punched_beside_an_attempt yields 2",
    "used_again_after_a_punch yields 1",
    "exported_beside_a_collection yields 2",
    "released_beside_a_child yields 1",
    "released_beside_a_collection yields 1",
    "retry_after_a_killed_sleeper sleep 1",
];
const CRASHED: [&str; 6] = [
    "transfer survivors",
    "abandon survivors",
    "transfer recovery",
    "chain inside",
    "transfer waiter",
    "makes survivors",
];
const THREADED: [&str; 5] =
    ["write_skew", "reader_of_two_cells", "reads_its_own_write", "three_on_one_cell", "busy_bank"];

impl Tool {
    /// All its plays, the cheap ones first.
    pub fn plays(self) -> &'static [&'static str] {
        match self {
            Self::OnePreemption => &PREEMPTED,
            Self::Shuttle => &SHUTTLED,
            Self::Loom => &LOOMED,
            Self::Crash => &CRASHED,
            Self::Threads => &THREADED,
        }
    }

    /// True for one of its plays, if the scene of it is there (a crash has a part instead).
    pub fn has(self, play: &str) -> bool {
        let name = play.split(' ').next();
        let is_there = self == Self::Crash || scenes::<Heap>().iter().any(|scene| Some(scene.name) == name);
        is_there && self.plays().contains(&play)
    }

    /// One of its plays with a fault. Panics, hangs or aborts where it finds something.
    pub fn play(self, fault: Fault, play: &str) {
        let words: Vec<&str> = play.split(' ').collect();
        match (self, words.as_slice()) {
            (Self::OnePreemption, [name]) => drop(preemption::play(fault, name)),
            (Self::Shuttle, [name, manner]) => shuttled(fault, name, manner),
            (Self::Loom, [name, manner, bound]) => loomed(fault, name, manner, bound.parse().unwrap()),
            (Self::Crash, [part, pattern]) => crashed(fault, part, pattern),
            (Self::Threads, [name]) => threaded(fault, name),
            _ => panic!("{self:?} has no play {play:?}"),
        }
    }
}

/// Runs of each scheduler.
const RUNS: usize = 200;
const SEED: u64 = 20_261_126;
const DEPTH: usize = 4;

fn shuttled(fault: Fault, name: &str, manner: &str) {
    let waiting = match manner {
        "timeouts" => shuttle_world::Waiting::TimesOut,
        "rings" => shuttle_world::Waiting::RingsOnly,
        _ => panic!("there is no manner {manner:?}"),
    };
    let scene = scene(name);
    let run = move || {
        let (world, layout) = shuttle_world::Shuttle::new(waiting);
        let recorder = Recorder::default();
        let heard = recorder.clone();
        let setting = Setting::new(Through::over(world.clone(), Mutant::new(fault, layout)), layout)
            .before(Box::new(move |participant| heard.watch(participant)));
        let play = setting.play(scene);
        world.raise_curtain();
        let threads: Vec<_> = play.actors.into_iter().map(shuttle::thread::spawn).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        world.lower_curtain();
        (play.epilogue)();
        judge(&recorder);
    };
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config.max_steps = MaxSteps::FailAfter(100_000);
        config
    };
    Runner::new(RandomScheduler::new_from_seed(SEED, RUNS), config()).run(run);
    Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, RUNS), config()).run(run);
}

fn loomed(fault: Fault, name: &str, manner: &str, bound: usize) {
    use world::{Clock, Manners, Waiting};
    let patient = Manners { waiting: Waiting::Yield, clock: Clock::Patient, spin_ns: 0 };
    let manners = match manner {
        "yields" => patient,
        "hasty" => Manners { clock: Clock::Impatient, ..patient },
        "sleep" => Manners { waiting: Waiting::Sleep, ..patient },
        _ => panic!("there is no manner {manner:?}"),
    };
    let layout = pso_engine::arena::Layout::new(small_geometry()).expect("the small geometry holds its tables");
    explore(scene(name), manners, Some(bound), move |world| Through::over(world, Mutant::new(fault, layout)));
}

/// Instants of the survivors for which each death is tried.
const INSTANTS: [u64; 6] = [1_000_000, 5, 20, 40, 60, 80];
/// More steps than any part has.
const MOST_STEPS: u64 = 6_000;
/// Nothing in a run of these takes longer.
const PATIENCE_NS: u64 = 1 << 50;

fn crashed(fault: Fault, part: &str, pattern: &str) {
    let part = match part {
        "transfer" => Part::Transfer,
        "chain" => Part::Chain,
        "abandon" => Part::Abandon,
        "makes" => Part::Makes,
        _ => panic!("there is no part {part:?}"),
    };
    let mut stage = Stage::with(fault, Alone::until(PATIENCE_NS));
    for death in 0..MOST_STEPS {
        let mut survived = true;
        for instant in INSTANTS {
            let run = |run: &crate::stage::Run| match pattern {
                "survivors" => {
                    let survived = run.doomed(part, death);
                    run.survivors(instant);
                    survived
                }
                "recovery" => {
                    let recoverer = run.bystander();
                    let survived = run.doomed(part, death);
                    run.recovers(&recoverer, instant);
                    run.survivors(instant);
                    survived
                }
                "inside" => run.dies_inside(part, death, instant).0,
                "waiter" => run.waiter_dies(part, death, instant).0,
                _ => panic!("there is no pattern {pattern:?}"),
            };
            survived &= stage.run(run, (death, instant));
        }
        if survived {
            return;
        }
    }
    panic!("it goes on for ever");
}

/// Plays of a scene on real threads.
const PLAYS: u32 = 200;

fn threaded(fault: Fault, name: &str) {
    for _ in 0..PLAYS {
        let (heap, layout) = Heap::space(small_geometry());
        let play = Setting::new(Through::over(heap, Mutant::new(fault, layout)), layout).play(scene(name));
        std::thread::scope(|scope| {
            play.actors.into_iter().for_each(|actor| {
                scope.spawn(actor);
            });
        });
        (play.epilogue)();
    }
}
