//! The scenes under shuttle: random schedules, and PCT's (Burckhardt et al., ASPLOS 2010), which find a fault that needs d
//! ordered steps with a probability of at least 1/(n k^(d-1)) a run.
//!
//! Deeper than loom and with more threads, and blind to orderings: shuttle is sequentially consistent. The seed is fixed, so that
//! every run is the same run. `PSO_SHUTTLE_SEED` and `PSO_SHUTTLE_RUNS` draw others; a failing schedule is printed and played
//! again by `PSO_SHUTTLE_REPLAY=<schedule> cargo nextest run -p pso-model --test shuttle <test>`.

mod world;

use pso_model::report::{Coverage, Played, blesses, expected_of};
use pso_model::scenario::{Scene, Setting, scene};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use world::{Shuttle, Waiting};

/// Runs of each scene, scheduler and manner: about a second.
const RUNS: usize = 1_000;
const SEED: u64 = 20_261_126;
/// Ordered steps that PCT looks for: two preemptions between two threads have been enough for every fault found so far.
const DEPTH: usize = 4;
/// Steps of one run at most; a livelock reaches it.
const MOST_STEPS: usize = 300_000;
/// The quiet part of a scene runs the engine on the main task's stack.
const STACK_BYTES: usize = 1 << 18;

/// Who waits for a dead owner learns of the death from the kernel when its sleep has timed out: nobody rings for the dead.
const NEEDS_TIME: [&str; 1] = ["dead_owner_of_a_lock"];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run<S: Scheduler + 'static>(scheduler: S, scene: Scene<Shuttle>, waiting: Waiting) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    Runner::new(scheduler, config).run(move || {
        let (world, layout) = Shuttle::new(waiting);
        let play = Setting::new(world.clone(), layout).play(scene);
        world.raise_curtain();
        let threads: Vec<_> = play.actors.into_iter().map(shuttle::thread::spawn).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        world.lower_curtain();
        (play.epilogue)();
    })
}

/// Both models of waiting, if both suit the scene.
fn manners_of(name: &str) -> impl Iterator<Item = (Waiting, &'static str)> {
    let needs_time = NEEDS_TIME.contains(&name);
    let all = [(Waiting::TimesOut, "timeouts"), (Waiting::RingsOnly, "rings")];
    all.into_iter().filter(move |(waiting, _)| !(needs_time && *waiting == Waiting::RingsOnly))
}

/// Plays the scene in both models of waiting, if both suit it, with both schedulers.
fn play(name: &str) {
    let seed = number("PSO_SHUTTLE_SEED").unwrap_or(SEED);
    let runs = number("PSO_SHUTTLE_RUNS").map_or(RUNS, |runs| runs as usize);
    for (waiting, manner) in manners_of(name) {
        if let Ok(schedule) = std::env::var("PSO_SHUTTLE_REPLAY") {
            run(ReplayScheduler::new_from_encoded(&schedule), scene(name), waiting);
            continue;
        }
        println!("{name}: seed {seed}, {manner}");
        let random = run(RandomScheduler::new_from_seed(seed, runs), scene(name), waiting);
        let pct = run(PctScheduler::new_from_seed(seed, DEPTH, runs), scene(name), waiting);
        let executions = (random + pct) as u64;
        let [scene, tool, manner] = [name, "shuttle", manner].map(String::from);
        let played = Played { scene, tool, manner, coverage: Coverage::Random { seed }, executions };
        if number("PSO_SHUTTLE_SEED").is_none() && number("PSO_SHUTTLE_RUNS").is_none() {
            played.write();
        }
    }
}

macro_rules! plays {
    ($($scene:ident,)*) => {
        $(
            #[test]
            fn $scene() {
                play(stringify!($scene));
            }
        )*
        /// The danger: a scene is written and nobody plays it.
        #[test]
        fn every_scene_is_played() {
            let played = [$(stringify!($scene)),*];
            for scene in pso_model::scenario::scenes::<Shuttle>() {
                assert!(played.contains(&scene.name), "{} is not played", scene.name);
            }
        }
        /// The danger: a play that is struck from the table here goes unnoticed until somebody asks for all of them at once.
        #[test]
        fn what_is_played_is_what_is_expected() {
            let keys = [$(stringify!($scene)),*].into_iter().flat_map(|scene| {
                manners_of(scene).map(move |(_, manner)| format!("{scene} shuttle {manner}"))
            });
            if !blesses("plays") {
                assert_eq!(keys.collect::<std::collections::BTreeSet<_>>(), expected_of("shuttle"));
            }
        }
    };
}

plays! {
    two_writers_of_one_cell,
    write_skew,
    reader_of_two_cells,
    repeated_read,
    repeated_read_after_an_extension,
    a_snapshot_begins_beside_a_commit,
    late_extension,
    own_commit_over_a_read,
    reads_beside_two_commits,
    crossing_writers,
    older_stops_younger,
    a_lock_comes_between,
    reads_its_own_write,
    three_in_a_chain,
    three_on_one_cell,
    the_second_row,
    the_second_row_one_by_one,
    dead_owner_of_a_lock,
    dead_committer,
    dead_in_write_back,
    two_who_recover,
    one_cell_of_a_dead_commit,
    two_who_finish_a_cell_each,
    two_who_finish_one_cell,
    recovered_beside_a_waiter,
    retired_beside_a_beginning,
    retired_beside_a_reading,
    retired_beside_an_end,
    two_who_collect,
    followed_beside_an_end,
    collected_beside_a_move,
    collected_beside_a_birth,
    collected_beside_a_reader,
    collected_beside_an_older_birth,
    collected_beside_a_hold,
    collected_and_taken_over,
    collected_with_help,
    retry,
    retry_after_a_killed_sleeper,
    two_who_retry,
    retry_and_writers,
    queue_hand_over,
    arms_beside_a_ring_nearby,
    arms_again_beside_a_ring_nearby,
    commits_beside_a_ring_nearby,
    or_else_waits_for_the_first,
    or_else_waits_for_both,
    or_else_undoes_the_first,
    irrevocable_beside_an_older,
    irrevocable_beside_a_reader,
    two_irrevocable,
    visible_reader_beside_a_transfer,
    visible_reader_beside_an_irrevocable,
    a_lull_beside_a_transfer,
    read_past_a_reused_entry,
    validated_past_a_reused_entry,
    read_past_a_lock_that_is_gone,
    a_record_is_used_again,
    a_victim_begins_anew,
    gives_up_beside_a_waiter,
    a_chain_behind_a_long_body,
    an_older_one_takes_the_place,
    busy_bank,
    a_new_block_is_read,
    a_stable_cell_is_read,
    remote_free,
    two_who_allocate,
    adopted_beside_a_leave,
    two_who_free,
    two_who_adopt,
    two_who_claim,
    taken_out_beside_its_commit,
    punched_beside_a_look,
    punched_beside_an_attempt,
    used_again_after_a_punch,
    exported_beside_a_collection,
    released_beside_a_child,
    released_beside_a_fork,
    released_beside_a_collection,
    fenced_and_alive,
    two_who_join,
    leave_and_claim,
    read_leave_and_claim,
    dead_slots_are_cleared_once,
}
