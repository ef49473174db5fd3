//! Owners that make no step more, though they live: stopped (SIGSTOP), wherever they are. Whoever waits for one, and wherever he waits, goes on after a while; and nobody waits
//! for one who is not in his way, or beyond his own time.
//!
//! Time is the test's own: who sleeps, sleeps in vain.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::arena::Geometry;
use pso_engine::contention::{Limits, PolicyId, Standing};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::transaction::{Participant, Sleeper};
use pso_engine::word::{BlockKind, CellAddress, State, Status, WordAddress};
use pso_model::alone::Alone;
use pso_model::heap::Heap;
use pso_model::lens::{Access, Operation, Through};

use crate::before::Before;
use crate::support::{MIB, MS, attempt_of, cells, integer, space_of};

pub type Timed = Through<Heap, Alone>;
pub type Tx = Participant<Timed>;

const HUNG_NS: u64 = Limits::DEFAULT.hung_ns;

/// A space in which time is our own, and cells in it.
pub fn stage() -> (Arc<Space<Timed>>, Vec<CellAddress>) {
    let (heap, space) = space_of(4 * MIB);
    let cells = cells(&mut space.participant().unwrap(), 3);
    (Space::join(Alone::default().on(heap.process()), *space.arena().layout()).unwrap(), cells)
}

pub fn slot_of(tx: &Tx) -> Slot {
    Slot::of(tx.arena(), tx.id()).unwrap()
}

/// What somebody who makes no step more has come to.
pub fn is_now(tx: &Tx, state: State) {
    let (at, word) = status_now(tx, state);
    tx.arena().platform().store(at, word, Relaxed);
}

/// Where that stands, and the word.
pub fn status_now(tx: &Tx, state: State) -> (WordAddress, u64) {
    (slot_of(tx).status(), Status { seq: attempt_of(tx).seq, state }.pack())
}

/// How long somebody needs to write a cell, in ns.
pub fn time_to_write(tx: &mut Tx, cell: CellAddress) -> u64 {
    let began = tx.arena().platform().now_ns();
    assert_eq!(tx.run_until(Some(began + 1000 * MS), |tx| tx.write(cell, integer(2))), Ok(()));
    tx.arena().platform().now_ns() - began
}

/// The attempt is over, nothing is damaged, and its owner goes on with the next one.
fn goes_on(mut stopped: Tx, cell: CellAddress) {
    assert_eq!(stopped.commit(), Err(Stop::Conflict));
    assert_eq!(stopped.run(|tx| tx.write(cell, integer(3))), Ok(()));
    assert_eq!(fsck(stopped.space()), vec![]);
}

/// Two threads of a stopped process: the second one would have found the first one silent, and keeps its place from all others.
#[test]
fn the_place_at_a_stopped_owner_is_taken_by_one_who_is_stopped_too() {
    let (space, cells) = stage();
    let [mut owner, mut queued, mut other] = [(); 3].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    queued.begin().unwrap();
    queued.write(cells[1], integer(1)).unwrap();
    is_now(&queued, State::Waiting);
    space.arena().platform().store(slot_of(&owner).queue_to(), attempt_of(&queued).pack(), Relaxed);
    let time = time_to_write(&mut other, cells[0]);
    assert!((HUNG_NS..2 * HUNG_NS).contains(&time), "after {time} ns");
    goes_on(owner, cells[0]);
    // Whose place it was at is over: who waits there is waited for by nobody, and in nobody's way but at its cell, where it loses at once.
    assert!(time_to_write(&mut other, cells[1]) < HUNG_NS);
    goes_on(queued, cells[1]);
}

/// Those who are younger leave one who starves, and hold nothing: none of them ever has an attempt that it could lose.
#[test]
fn a_starving_owner_is_stopped_while_it_waits() {
    let (space, cells) = stage();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    space.arena().platform().store(slot_of(&owner).starving(), Standing::Starving as u64, Relaxed);
    is_now(&owner, State::Waiting);
    let time = time_to_write(&mut other, cells[0]);
    assert!((HUNG_NS..2 * HUNG_NS).contains(&time), "after {time} ns");
    goes_on(owner, cells[0]);
}

/// Not one who sleeps again and again, as all who wait do.
#[test]
fn a_starving_owner_that_waits_and_lives_is_left_alone() {
    let (space, cells) = stage();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let slot = slot_of(&owner);
    space.arena().platform().store(slot.starving(), Standing::Starving as u64, Relaxed);
    is_now(&owner, State::Waiting);
    let platform = space.arena().platform().clone();
    other.set_sleeper(Box::new(Meanwhile(move || {
        platform.fetch_add(slot.sleeps(), 1, Relaxed);
    })));
    let end = other.arena().platform().now_ns() + 10 * HUNG_NS;
    assert_eq!(other.run_until(Some(end), |tx| tx.write(cells[0], integer(2))), Err(Stop::TimedOut));
    is_now(&owner, State::Active);
    assert_eq!(owner.commit(), Ok(()));
}

/// Under a policy that never has the younger wait in a place.
#[test]
fn who_only_leaves_a_stopped_owner_goes_on_too() {
    let (heap, layout) = Heap::space_with(Geometry::for_bytes(4 * MIB).unwrap(), PolicyId::WaitDie);
    let space = Space::join(heap.clone(), layout).unwrap();
    let cells = cells(&mut space.participant().unwrap(), 1);
    let space = Space::join(Alone::default().on(heap.process()), layout).unwrap();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let time = time_to_write(&mut other, cells[0]);
    assert!((HUNG_NS..2 * HUNG_NS).contains(&time), "after {time} ns");
    goes_on(owner, cells[0]);
}

/// Does something in each sleep.
pub struct Meanwhile<F>(pub F);

impl<F: FnMut()> Sleeper for Meanwhile<F> {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        (self.0)();
        sleep();
        true
    }
}

/// Who has come later finds it PREPARED and stops it after 50 us; who is in the place by then must not wait for somebody who comes later.
#[test]
fn an_owner_that_is_stopped_prepared_keeps_nobody_in_its_place() {
    let (space, cells) = stage();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let (slot, seq, platform) = (slot_of(&owner), attempt_of(&owner).seq, space.arena().platform().clone());
    let [active, prepared] = [State::Active, State::Prepared].map(|state| Status { seq, state }.pack());
    other.set_sleeper(Box::new(Meanwhile(move || {
        let _ = platform.compare_exchange(slot.status(), active, prepared, Relaxed, Relaxed);
    })));
    let time = time_to_write(&mut other, cells[0]);
    assert!(time < HUNG_NS / 10, "after {time} ns");
    goes_on(owner, cells[0]);
}

/// In a lull it reads invisibly, so that nobody meets it at a cell.
#[test]
fn whoever_is_stopped_with_the_token_is_waited_for_until_its_lease_is_over() {
    let (space, cells) = stage();
    let [mut holder, mut other] = [(); 2].map(|()| space.participant().unwrap());
    holder.set_limits(Limits { privileged_attempts: 1, lull_reads: 0, ..Limits::DEFAULT });
    let mut attempts = 0;
    let sum = holder.run(|tx| {
        attempts += 1;
        let seen = tx.read(cells[0])?;
        if attempts == 1 {
            return Err(Stop::Conflict);
        }
        if attempts == 2 {
            let began = tx.arena().platform().now_ns();
            let done = other.run_irrevocable(Some(began + 10_000 * MS), |tx| tx.write(cells[0], integer(2)));
            assert_eq!(done, Ok(()));
            let time = tx.arena().platform().now_ns() - began;
            let lease = Limits::DEFAULT.lease_ns;
            assert!((lease..2 * lease).contains(&time), "after {time} ns");
        }
        tx.write(cells[1], integer(1))?;
        Ok(seen)
    });
    assert_eq!((sum, attempts), (Ok(integer(2)), 3));
}

/// Whoever has lost comes back when whoever has stopped it is through. Who would have stopped it and came too late is not that one.
#[test]
fn a_stop_that_failed_leaves_no_name_behind() {
    let (heap, space) = space_of(4 * MIB);
    let cells = cells(&mut space.participant().unwrap(), 1);
    let platform = Through::over(heap.process(), Before::default());
    let space = Space::join(platform.clone(), *space.arena().layout()).unwrap();
    let [mut owner, mut irrevocable] = [(); 2].map(|()| space.participant().unwrap());
    let stopped_by = Slot::of(space.arena(), owner.id()).unwrap().stopped_by();
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let commits = move || owner.commit().unwrap();
    let is_named =
        move |access: &Access| access.address == stopped_by && matches!(access.operation, Operation::Store(..));
    platform.lens().runs(is_named, commits);
    irrevocable.run_irrevocable(None, |tx| tx.write(cells[0], integer(2))).unwrap();
    assert!(platform.lens().is_through(), "nobody was to be stopped");
    assert_eq!(heap.load(stopped_by, Relaxed), 0);
}

/// Where somebody is always faster nobody sleeps, and every change is one.
#[test]
fn whoever_asks_for_changes_and_finds_them_ends_in_time() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let end = one.arena().platform().now_ns() + MS / 10;
    let mut attempts = 0;
    let ended = one.run_until(Some(end), |tx| {
        attempts += 1;
        assert!(attempts < 10_000, "without an end");
        tx.read(cells[0])?;
        other.run(|tx| tx.write(cells[0], integer(attempts)))?;
        Err::<(), _>(Stop::Retry)
    });
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!(attempts > 1);
}

#[test]
fn an_irrevocable_body_that_passes_over_its_end_is_told_why() {
    let (space, cells) = stage();
    let mut one = space.participant().unwrap();
    let ended = one.run_irrevocable(None, |tx| {
        tx.write(cells[0], integer(1))?;
        assert!(tx.allocate(BlockKind::Text, 1 << 40).is_err());
        Ok(())
    });
    assert!(matches!(ended, Err(Stop::Full(_))), "{ended:?}");
    assert_eq!(one.run(|tx| tx.read(cells[0])), Ok(integer(0)));
}
