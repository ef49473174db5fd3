//! Who sleeps in the second row while others have the cell one after the other: he comes through in the end, and stops nobody for rings that say nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::arena::HotWord;
use pso_engine::contention::{Limits, PolicyId};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::waiting;
use pso_engine::word::{CellAddress, State};

use crate::patience::stage_under;
use crate::silence::{Meanwhile, Timed, is_now, slot_of};
use crate::support::{MS, attempt_of, integer};

const HUNG_NS: u64 = Limits::DEFAULT.hung_ns;

/// Two who have a cell by turns, each with the other in the place at it: a turn a call.
fn by_turns(space: &Arc<Space<Timed>>, cell: CellAddress) -> impl FnMut() + Send + use<> {
    let mut both = [(); 2].map(|()| space.participant().unwrap());
    move || {
        if both[0].in_attempt() {
            is_now(&both[1], State::Active);
            // One with the token has stopped it, perhaps.
            let _ = both[0].commit();
            both.swap(0, 1);
        } else {
            both[0].begin().unwrap();
        }
        let _ = both[0].write(cell, integer(2));
        both[1].begin().unwrap();
        is_now(&both[1], State::Waiting);
        let (platform, place) = (both[0].arena().platform(), slot_of(&both[0]).queue_to());
        platform.store(place, attempt_of(&both[1]).pack(), Relaxed);
    }
}

/// Writes a cell, for so long at most, with `meanwhile` in each sleep. How that ended, after how many attempts and sleeps.
fn writes_beside(
    space: &Arc<Space<Timed>>,
    cell: CellAddress,
    within_ns: u64,
    mut meanwhile: impl FnMut() + Send + 'static,
) -> (Result<(), Stop>, u64, u64) {
    let mut one = space.participant().unwrap();
    let (sleeps, mut attempts) = (Arc::new(AtomicU64::new(0)), 0);
    let count = sleeps.clone();
    one.set_sleeper(Box::new(Meanwhile(move || {
        count.fetch_add(1, Relaxed);
        meanwhile();
    })));
    let deadline = one.arena().platform().now_ns() + within_ns;
    let ended = one.run_until(Some(deadline), |tx| {
        attempts += 1;
        tx.write(cell, integer(3))
    });
    (ended, attempts, sleeps.load(Relaxed))
}

/// The danger: who sleeps in the second row makes no attempt, so that he loses none. Where a policy does not go by age and somebody is always faster he would have the token never.
#[test]
fn who_is_passed_again_and_again_in_the_second_row_comes_through() {
    let (space, cells) = stage_under(PolicyId::OneStep);
    let mut turn = by_turns(&space, cells[0]);
    turn();
    let (ended, _, sleeps) = writes_beside(&space, cells[0], 1000 * MS, turn);
    let most = Limits::DEFAULT.privileged_attempts;
    assert!(ended == Ok(()) && (most..2 * most).contains(&sleeps), "{ended:?} after {sleeps} sleeps");
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: many rings are for other cells of the bucket, and say nothing of whoever has this one: he would be stopped for them.
#[test]
fn who_is_rung_for_other_cells_stops_nobody() {
    for policy in [PolicyId::OneStep, PolicyId::Damped] {
        let (space, cells) = stage_under(policy);
        let mut owner_and_queued = by_turns(&space, cells[0]);
        owner_and_queued();
        let (arena, cell) = (space.arena().clone(), cells[0]);
        let rings = move || {
            waiting::ring_cell(&arena, cell);
        };
        // Less than the owner may be silent.
        let (ended, attempts, sleeps) = writes_beside(&space, cell, HUNG_NS * 8 / 10, rings);
        assert_eq!((ended, attempts), (Err(Stop::TimedOut), 1), "{policy}");
        assert!(sleeps > Limits::DEFAULT.privileged_attempts + 5, "{policy}: {sleeps} sleeps");
    }
}

/// The danger: where somebody else has the token an attempt comes to nothing, and each locks what it writes.
#[test]
fn who_is_passed_beside_somebody_with_the_token_sleeps_on() {
    let (space, cells) = stage_under(PolicyId::OneStep);
    let mut holder = space.participant().unwrap();
    holder.begin().unwrap();
    let token = space.arena().layout().hot(HotWord::PrivilegeToken);
    space.arena().platform().store(token, attempt_of(&holder).pack(), Relaxed);
    let mut turn = by_turns(&space, cells[0]);
    turn();
    let (ended, attempts, sleeps) = writes_beside(&space, cells[0], 200 * MS, turn);
    assert_eq!((ended, attempts), (Err(Stop::TimedOut), 1));
    assert!(sleeps > 2 * Limits::DEFAULT.privileged_attempts, "{sleeps} sleeps");
}
