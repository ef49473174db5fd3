//! The scenes under loom: every interleaving within a bound of preemptions, and every value that the memory model lets a load
//! return.
//!
//! Each scene is played in manners that hide different faults (see `world`):
//! - `yield` with a patient clock: races, torn states; nobody is ever stopped for being slow;
//! - `hasty`: the same with an impatient clock, so that PREPARED owners are stopped and stoppers are not waited for;
//! - `spins`: as on more than one processor, where who is put off by a lull spins;
//! - `sleep`: waits end by a ring only, so that a lost wake-up is a deadlock. loom then aborts the process: run these with
//!   nextest, which gives each test one;
//! - `fitful`: the same, and each sleep may also end for no reason, as by a time-out or a spurious return.
//!
//! Bounds: 2 preemptions where two threads are in each other's way, 3 where that is cheap, 1 where there are three threads or
//! where stops and steals multiply the executions. The shuttle tests go deeper, without the memory model.

mod beds;
mod explore;
mod manners;
mod touched;
mod weaken;
mod world;

use std::collections::BTreeSet;

use explore::explore;
use pso_model::report::{Coverage, Played, blesses, expected_of};
use pso_model::scenario::scene;
use world::{Clock, Manners, Waiting};

const YIELD: Manners = Manners { waiting: Waiting::Yield, clock: Clock::Patient, spin_ns: 0 };
const HASTY: Manners = Manners { clock: Clock::Impatient, ..YIELD };
/// As `yield`, on a machine of more than one processor: waits begin with a spin.
const SPIN: Manners = Manners { spin_ns: 60_000, ..YIELD };
const SLEEP: Manners = Manners { waiting: Waiting::Sleep, ..YIELD };
const FITFUL: Manners = Manners { waiting: Waiting::Fitful, ..YIELD };

/// The manners by name.
fn manners(name: &str) -> Manners {
    match name {
        "yields" => YIELD,
        "hasty" => HASTY,
        "sleep" => SLEEP,
        "spins" => SPIN,
        "fitful" => FITFUL,
        _ => panic!("there is no manner {name:?}"),
    }
}

fn play(name: &str, manner: &str, manners: Manners, preemptions: usize) {
    let executions = explore(scene(name), manners, Some(preemptions), |world| world);
    if manners.waiting == Waiting::Fitful {
        let shaken = beds::SHAKEN.load(std::sync::atomic::Ordering::Relaxed);
        assert!(shaken > 0, "nobody was shaken in its sleep");
        println!("{shaken} sleeps ended without a ring");
    }
    let [scene, tool, manner] = [name, "loom", manner].map(String::from);
    Played { scene, tool, manner, coverage: Coverage::BoundedBy(preemptions), executions }.write();
}

/// One test a scene: `name: bound`. `SCENES`: their names.
macro_rules! plays {
    ($module:ident, $manners:expr, { $($scene:ident: $preemptions:literal,)* }) => {
        mod $module {
            use super::*;
            pub const SCENES: &[&str] = &[$(stringify!($scene)),*];
            $(
                #[test]
                fn $scene() {
                    play(stringify!($scene), stringify!($module), $manners, $preemptions);
                }
            )*
        }
    };
}

plays!(yields, YIELD, {
    two_writers_of_one_cell: 2,
    write_skew: 2,
    reader_of_two_cells: 2,
    repeated_read: 3,
    repeated_read_after_an_extension: 2,
    a_snapshot_begins_beside_a_commit: 1,
    late_extension: 1,
    own_commit_over_a_read: 2,
    reads_beside_two_commits: 2,
    crossing_writers: 1,
    older_stops_younger: 1,
    a_lock_comes_between: 2,
    reads_its_own_write: 1,
    three_on_one_cell: 1,
    dead_owner_of_a_lock: 2,
    dead_committer: 1,
    dead_in_write_back: 1,
    two_who_recover: 1,
    one_cell_of_a_dead_commit: 2,
    two_who_finish_a_cell_each: 2,
    two_who_finish_one_cell: 3,
    retry: 2,
    queue_hand_over: 1,
    or_else_waits_for_the_first: 2,
    or_else_undoes_the_first: 1,
    irrevocable_beside_an_older: 1,
    irrevocable_beside_a_reader: 1,
    two_irrevocable: 1,
    visible_reader_beside_a_transfer: 1,
    visible_reader_beside_an_irrevocable: 1,
    a_lull_beside_a_transfer: 2,
    read_past_a_reused_entry: 2,
    validated_past_a_reused_entry: 2,
    read_past_a_lock_that_is_gone: 2,
    a_record_is_used_again: 1,
    a_victim_begins_anew: 2,
    retired_beside_a_beginning: 3,
    retired_beside_a_reading: 2,
    retired_beside_an_end: 3,
    two_who_collect: 1,
    followed_beside_an_end: 2,
    collected_beside_a_move: 2,
    collected_beside_a_birth: 2,
    collected_beside_a_reader: 2,
    collected_beside_an_older_birth: 2,
    collected_beside_a_hold: 2,
    collected_and_taken_over: 2,
    collected_with_help: 2,
    a_new_block_is_read: 3,
    a_stable_cell_is_read: 2,
    remote_free: 3,
    two_who_allocate: 3,
    adopted_beside_a_leave: 2,
    two_who_free: 3,
    two_who_adopt: 3,
    two_who_claim: 2,
    taken_out_beside_its_commit: 2,
    punched_beside_a_look: 3,
    punched_beside_an_attempt: 3,
    used_again_after_a_punch: 1,
    exported_beside_a_collection: 3,
    released_beside_a_child: 1,
    released_beside_a_fork: 3,
    released_beside_a_collection: 2,
    two_who_join: 0,
    leave_and_claim: 3,
    read_leave_and_claim: 2,
    dead_slots_are_cleared_once: 1,
});

plays!(hasty, HASTY, {
    two_writers_of_one_cell: 1,
    write_skew: 2,
    reader_of_two_cells: 2,
    crossing_writers: 1,
    older_stops_younger: 1,
    reads_its_own_write: 1,
    irrevocable_beside_an_older: 1,
    visible_reader_beside_a_transfer: 1,
    visible_reader_beside_an_irrevocable: 1,
    a_lull_beside_a_transfer: 1,
});

plays!(spins, SPIN, {
    a_lull_beside_a_transfer: 3,
});

plays!(sleep, SLEEP, {
    a_chain_behind_a_long_body: 1,
    an_older_one_takes_the_place: 0,
    gives_up_beside_a_waiter: 2,
    two_writers_of_one_cell: 1,
    crossing_writers: 1,
    three_on_one_cell: 1,
    the_second_row: 2,
    the_second_row_one_by_one: 1,
    retry: 2,
    retry_after_a_killed_sleeper: 2,
    two_who_retry: 1,
    retry_and_writers: 1,
    queue_hand_over: 1,
    recovered_beside_a_waiter: 2,
    arms_beside_a_ring_nearby: 3,
    arms_again_beside_a_ring_nearby: 2,
    commits_beside_a_ring_nearby: 2,
    or_else_waits_for_the_first: 2,
    or_else_waits_for_both: 1,
    two_irrevocable: 1,
});

plays!(fitful, FITFUL, {
    two_writers_of_one_cell: 2,
    gives_up_beside_a_waiter: 2,
    the_second_row: 1,
    retry: 1,
});

/// The danger: a play that is struck from the tables here goes unnoticed until somebody asks for all of them at once.
#[test]
fn what_is_played_is_what_is_expected() {
    let tables = [
        ("yields", yields::SCENES),
        ("hasty", hasty::SCENES),
        ("spins", spins::SCENES),
        ("sleep", sleep::SCENES),
        ("fitful", fitful::SCENES),
    ];
    let keys = |(manner, scenes): (&'static str, &[&'static str])| {
        scenes.iter().map(|scene| format!("{scene} loom {manner}")).collect::<Vec<_>>()
    };
    if !blesses("plays") {
        assert_eq!(tables.into_iter().flat_map(keys).collect::<BTreeSet<_>>(), expected_of("loom"));
    }
}
