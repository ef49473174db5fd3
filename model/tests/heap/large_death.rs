//! A large attempt of the dead: whoever waits for it clears a part, or finishes a cell, and goes on, and the rest is no less right for it.
//!
//! The danger: a lock that is left standing under a number that is gone (nobody could ever take it), or one that is taken from
//! somebody who came after. So the attempt stays ABORTED, or COMMITTED, as long as a lock of it may stand, whoever is killed meanwhile.

use std::sync::Arc;

use pso_engine::contention::Limits;
use pso_engine::fsck::fsck;
use pso_engine::object;
use pso_engine::participant::{Slot, status_of};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, LockWord, LockedBy, ParticipantId, State, Value};
use pso_model::heap::Heap;

use crate::support::{MIB, Tx, another, cells, contents, integer, space_of, unless_killed, version};

/// A process that dies with locks on all of the cells.
fn dead_owner(heap: &Heap, space: &Arc<Space<Heap>>, cells: &[CellAddress]) -> ParticipantId {
    let doomed = another(heap, space);
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    cells.iter().for_each(|&cell| victim.write(cell, integer(-1)).unwrap());
    let id = victim.id();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    id
}

fn state(space: &Arc<Space<Heap>>, id: ParticipantId) -> State {
    let arena = space.arena();
    status_of(arena, Slot::of(arena, id).unwrap()).unwrap().state
}

/// How many of the cells carry a lock of this participant.
fn locked(heap: &Heap, cells: &[CellAddress], by: ParticipantId) -> usize {
    let is_locked =
        |word| matches!(LockWord::unpack(word), LockWord::Locked(LockedBy { participant, .. }) if participant == by);
    cells.iter().filter(|&&cell| is_locked(version(heap, cell))).count()
}

#[test]
fn who_waits_for_a_large_attempt_of_the_dead_clears_a_part_and_goes_on() {
    let (heap, space) = space_of(8 * MIB);
    let mut survivor = space.participant().unwrap();
    let cells = cells(&mut survivor, 3000);
    let dead = dead_owner(&heap, &space, &cells);
    assert_eq!(locked(&heap, &cells, dead), 3000);
    survivor.run(|tx| tx.write(cells[2000], integer(5))).unwrap();
    assert_eq!(state(&space, dead), State::Aborted, "it stays what it is while its locks stand");
    let left = 3000 - Limits::DEFAULT.cleared_entries as usize - 1;
    assert_eq!(locked(&heap, &cells, dead), left);
    // The rest is in nobody's way: taken by who writes, freed by who reads.
    survivor.run(|tx| tx.write(cells[2999], integer(6))).unwrap();
    assert_eq!(locked(&heap, &cells, dead), left - 1);
    assert_eq!(contents(&mut survivor, &cells[..2500]).iter().sum::<i64>(), 5);
    assert_eq!(locked(&heap, &cells, dead), 499);
    space.recover_dead();
    assert_eq!(locked(&heap, &cells, dead), 0);
    assert_eq!(contents(&mut survivor, &cells).iter().sum::<i64>(), 11);
    assert_eq!(fsck(&space), vec![]);
}

/// A survivor, and a waiter in a process that may die: to both an attempt of more than two entries is large.
struct Waiting {
    heap: Heap,
    space: Arc<Space<Heap>>,
    survivor: Tx,
    cells: Vec<CellAddress>,
    process: Heap,
    waiters: Arc<Space<Heap>>,
    waiter: Tx,
}

impl Waiting {
    fn new() -> Self {
        let thrifty = Limits { cleared_entries: 2, ..Limits::DEFAULT };
        let (heap, space) = space_of(4 * MIB);
        let mut survivor = space.participant().unwrap();
        survivor.set_limits(thrifty);
        let cells = cells(&mut survivor, 6);
        // Joined before there are dead, or it would recover them: that one is left to those who wait.
        let process = heap.process();
        let waiters = Space::join(process.clone(), *space.arena().layout()).unwrap();
        let mut waiter = waiters.participant().unwrap();
        waiter.set_limits(thrifty);
        Self { heap, space, survivor, cells, process, waiters, waiter }
    }
}

#[test]
fn a_waiter_that_dies_while_it_clears_a_part_leaves_the_rest_to_others() {
    for step in 0.. {
        let Waiting { heap, space, mut survivor, cells, process, waiters, mut waiter } = Waiting::new();
        let dead = dead_owner(&heap, &space, &cells);
        process.die_after(step);
        let waited = unless_killed(|| waiter.run(|tx| tx.write(cells[4], integer(7))).unwrap());
        let through = process.live_on() > 0 && waited.is_some();
        std::mem::forget(waiter);
        heap.kill_process(waiters.process());
        survivor.run(|tx| tx.write(cells[5], integer(8))).unwrap();
        let seen = contents(&mut survivor, &cells);
        assert!(
            seen[..4] == [0; 4] && [0, 7].contains(&seen[4]) && seen[5] == 8,
            "{seen:?} after a kill at step {step}"
        );
        space.recover_dead();
        assert_eq!(locked(&heap, &cells, dead), 0, "after a kill at step {step}");
        assert_eq!(contents(&mut survivor, &cells), seen, "after a kill at step {step}");
        assert_eq!(fsck(&space), vec![], "after a kill at step {step}");
        if through {
            assert!(step > 20, "{step} steps: it has met nobody");
            return;
        }
    }
}

/// A process that dies `step` steps after its commit has begun, which writes `value` to all of the cells. `None`: it is through before that.
fn dead_committer(
    heap: &Heap,
    space: &Arc<Space<Heap>>,
    cells: &[CellAddress],
    value: impl Fn(&mut Participant<Heap>) -> Value,
    step: u64,
) -> Option<ParticipantId> {
    let process = heap.process();
    let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    let value = value(&mut victim);
    cells.iter().for_each(|&cell| victim.write(cell, value).unwrap());
    let id = victim.id();
    process.die_after(step);
    let died = unless_killed(|| victim.commit().unwrap()).is_none();
    process.live_on();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    died.then_some(id)
}

/// The first step of such a commit at which a kill leaves it COMMITTED, and all of its locks in their cells.
fn first_committed_step(value: fn(&mut Participant<Heap>) -> Value) -> u64 {
    (0..)
        .find(|&step| {
            let (heap, space) = space_of(4 * MIB);
            let mut survivor = space.participant().unwrap();
            let cells = cells(&mut survivor, 6);
            let dead = dead_committer(&heap, &space, &cells, value, step).expect("it commits at some step");
            state(&space, dead) == State::Committed
        })
        .unwrap()
}

fn seven(_: &mut Participant<Heap>) -> Value {
    integer(7)
}

/// A block that the attempt has made.
fn text(tx: &mut Participant<Heap>) -> Value {
    object::text::encode(tx, "a text that needs a block of its own").unwrap()
}

#[test]
fn who_waits_for_a_cell_of_a_large_commit_of_the_dead_has_that_cell_and_goes_on() {
    let step = first_committed_step(seven);
    let (heap, space) = space_of(8 * MIB);
    let mut survivor = space.participant().unwrap();
    let cells = cells(&mut survivor, 3000);
    let dead = dead_committer(&heap, &space, &cells, seven, step).unwrap();
    survivor.run(|tx| tx.write(cells[2000], integer(5))).unwrap();
    assert_eq!(state(&space, dead), State::Committed, "it stays what it is while its locks stand");
    assert_eq!(locked(&heap, &cells, dead), 2999);
    // Who has read changes as well.
    let add = |tx: &mut Participant<Heap>| {
        let before = tx.read(cells[100])?.as_int().unwrap();
        tx.write(cells[101], integer(before + 1))
    };
    survivor.run(add).unwrap();
    assert_eq!(locked(&heap, &cells, dead), 2997);
    // Who only reads needs nothing done.
    assert_eq!(contents(&mut survivor, &cells).iter().sum::<i64>(), 7 * 2998 + 5 + 8);
    assert_eq!(locked(&heap, &cells, dead), 2997);
    space.recover_dead();
    assert_eq!(locked(&heap, &cells, dead), 0);
    assert_eq!(contents(&mut survivor, &cells).iter().sum::<i64>(), 7 * 2998 + 5 + 8);
    assert_eq!(fsck(&space), vec![]);
}

#[test]
fn a_cell_that_is_to_name_a_block_is_finished_with_all_others() {
    let step = first_committed_step(text);
    let (heap, space) = space_of(8 * MIB);
    let mut survivor = space.participant().unwrap();
    let cells = cells(&mut survivor, 3000);
    let dead = dead_committer(&heap, &space, &cells, text, step).unwrap();
    survivor.run(|tx| tx.write(cells[2000], integer(5))).unwrap();
    assert_ne!(state(&space, dead), State::Committed);
    assert_eq!(locked(&heap, &cells, dead), 0);
    survivor.run(|tx| tx.read(cells[0]).map(|value| assert!(value.as_handle().is_some()))).unwrap();
}

#[test]
fn all_of_a_large_commit_is_there_whoever_dies_over_a_part_of_it() {
    let first = first_committed_step(seven);
    let (mut met, mut commits) = (0, 0);
    for victim_step in first.. {
        let mut steps = 0;
        for step in (victim_step % 3..).step_by(3) {
            let Waiting { heap, space, mut survivor, cells, process, waiters, mut waiter } = Waiting::new();
            let Some(dead) = dead_committer(&heap, &space, &cells, seven, victim_step) else {
                assert!(commits > 15 && met > 200, "{commits} steps of a commit, {met} waits for one");
                return;
            };
            let is_committed = state(&space, dead) == State::Committed;
            process.die_after(step);
            let waited = unless_killed(|| waiter.run(|tx| tx.write(cells[4], integer(8))).unwrap());
            let through = process.live_on() > 0 && waited.is_some();
            std::mem::forget(waiter);
            heap.kill_process(waiters.process());
            met += u64::from(is_committed);
            let at = format!("kills at steps {victim_step} and {step}");
            survivor.run(|tx| tx.write(cells[5], integer(9))).unwrap();
            let seen = contents(&mut survivor, &cells);
            assert!(seen[..4] == [7; 4] && [7, 8].contains(&seen[4]) && seen[5] == 9, "{seen:?} after {at}");
            space.recover_dead();
            assert_eq!(locked(&heap, &cells, dead), 0, "after {at}");
            assert_eq!(contents(&mut survivor, &cells), seen, "after {at}");
            assert_eq!(fsck(&space), vec![], "after {at}");
            steps = step;
            if through {
                break;
            }
        }
        assert!(steps > 20, "{steps} steps of a waiter");
        commits += 1;
    }
}

/// What many cells of it cost: a few lost attempts, not one for each.
#[test]
fn who_reads_or_writes_many_cells_of_a_large_commit_of_the_dead_has_it_finished() {
    let step = first_committed_step(seven);
    for writes in [false, true] {
        let (heap, space) = space_of(8 * MIB);
        let mut survivor = space.participant().unwrap();
        let cells = cells(&mut survivor, 3000);
        let dead = dead_committer(&heap, &space, &cells, seven, step).unwrap();
        let mut attempts = 0;
        let done = survivor.run(|tx| {
            attempts += 1;
            for &cell in &cells[..500] {
                match writes {
                    true => tx.write(cell, integer(8))?,
                    false => assert_eq!(tx.read(cell)?, integer(7)),
                }
            }
            tx.write(cells[2999], integer(8))
        });
        assert_eq!(done, Ok(()));
        assert!(attempts < 8, "{attempts} attempts");
        assert_ne!(state(&space, dead), State::Committed);
        assert_eq!(locked(&heap, &cells, dead), 0);
    }
}
