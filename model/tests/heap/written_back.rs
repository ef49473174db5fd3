//! A commit that exists, and whose owner makes no step more before it is through: stopped, or at what takes long.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::arena::{Geometry, HotWord};
use pso_engine::contention::{Limits, PolicyId, Standing};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::object::{list, text};
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::transaction::{Attempt, Observer, Outcome};
use pso_engine::word::{AttemptId, CellAddress, LockWord, ParticipantId, State, Status, Value, Version};
use pso_model::alone::Alone;
use pso_model::heap::{Heap, Killed};

use crate::silence::{Meanwhile, Timed, Tx, is_now, slot_of, stage, status_now};
use crate::support::{MIB, MS, attempt_of, cells, integer};

const LONG: &str = "a text that needs a block of its own";

/// The danger: whoever meets him sleeps on what he has locked, and keeps all others from cells that nobody who is stopped has.
#[test]
fn who_waits_for_a_commit_that_does_not_go_on_holds_nothing_that_others_wait_for() {
    let (space, cells) = stage();
    let [mut owner, mut waiter, mut queued, mut bystander] = [(); 4].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    is_now(&owner, State::Committed);
    // Somebody comes to what the waiter has while that sleeps, and waits in its place.
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let (place, name) = (slot_of(&waiter).queue_to(), attempt_of(&queued).pack());
    let sleeps = Arc::new(AtomicU64::new(0));
    let (platform, wanted, count) = (space.arena().platform().clone(), cells[1], sleeps.clone());
    waiter.set_sleeper(Box::new(Meanwhile(move || {
        if count.fetch_add(1, Relaxed) == 0 {
            return platform.store(place, name, Relaxed);
        }
        let began = platform.now_ns();
        assert_eq!(bystander.run_until(Some(began + MS), |tx| tx.write(wanted, integer(2))), Ok(()));
    })));
    let deadline = space.arena().platform().now_ns() + 100 * MS;
    let wants = |tx: &mut Tx| {
        tx.write(cells[1], integer(3))?;
        tx.write(cells[0], integer(3))
    };
    assert_eq!(waiter.run_until(Some(deadline), wants), Err(Stop::TimedOut));
    assert!(sleeps.load(Relaxed) > 10, "{sleeps:?} sleeps");
    is_now(&owner, State::Active);
    assert_eq!(owner.commit(), Ok(()));
    is_now(&queued, State::Active);
    queued.abort();
    waiter.set_sleeper(Box::new(Meanwhile(|| ())));
    assert_eq!(waiter.run(wants), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: the cell is anybody's, and who has waited for it the longest sleeps until the rest is done that he does not need.
#[test]
fn who_is_in_the_place_goes_on_when_his_cell_is_free() {
    let (space, cells) = stage();
    let [mut owner, mut waiter] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let (platform, cell, id) = (space.arena().platform().clone(), cells[0], owner.id());
    let now = platform.load(space.arena().layout().hot(HotWord::VersionClock), Relaxed);
    let committed = status_now(&owner, State::Committed);
    waiter.set_sleeper(Box::new(Meanwhile(move || {
        // Written back, and at the blocks that it has discarded.
        platform.store(committed.0, committed.1, Relaxed);
        platform.store(cell.lock_word(), LockWord::free(Version::first(now, id)), Relaxed);
    })));
    let began = space.arena().platform().now_ns();
    assert_eq!(waiter.run_until(Some(began + 1000 * MS), |tx| tx.write(cell, integer(2))), Ok(()));
    let time = space.arena().platform().now_ns() - began;
    assert!(time < 10 * MS, "after {time} ns");
    is_now(&owner, State::Aborted);
    assert_eq!(owner.commit(), Err(Stop::Conflict));
    assert_eq!(fsck(&space), vec![]);
}

/// A participant that is stopped in the write-back of `cell`, before its first step.
fn stands_committed(space: &Arc<Space<Timed>>, cell: CellAddress) -> Tx {
    let mut owner = space.participant().unwrap();
    owner.begin().unwrap();
    owner.write(cell, integer(1)).unwrap();
    let arena = space.arena();
    let now = arena.platform().load(arena.layout().hot(HotWord::VersionClock), Relaxed);
    arena.platform().store(slot_of(&owner).commit_version(), Version::first(now, owner.id()).0, Relaxed);
    is_now(&owner, State::Committed);
    owner
}

/// Goes on, and all is well.
fn goes_on(mut owner: Tx) {
    is_now(&owner, State::Active);
    assert_eq!(owner.commit(), Ok(()));
    assert_eq!(fsck(owner.space()), vec![]);
}

/// Whether somebody gets to write `cell` in some sleep of `waiter`, for which `waiter` has time until `deadline`.
fn is_free_in_a_sleep(waiter: &mut Tx, cell: CellAddress) -> Arc<AtomicU64> {
    let mut bystander = waiter.space().participant().unwrap();
    let times = Arc::new(AtomicU64::new(0));
    let count = times.clone();
    waiter.set_sleeper(Box::new(Meanwhile(move || {
        let end = bystander.arena().platform().now_ns() + MS;
        let written = bystander.run_until(Some(end), |tx| tx.write(cell, integer(5)));
        count.fetch_add(u64::from(written.is_ok()), Relaxed);
    })));
    times
}

fn in_time(tx: &Tx, ms: u64) -> Option<u64> {
    Some(tx.arena().platform().now_ns() + ms * MS)
}

/// Wants two cells for so long, of which the second one is in a write-back that does not go on.
fn wants_both_in_vain(waiter: &mut Tx, cells: &[CellAddress], ms: u64) {
    let deadline = in_time(waiter, ms);
    let ended = waiter.run_until(deadline, |tx| {
        tx.write(cells[1], integer(3))?;
        tx.write(cells[0], integer(3))
    });
    assert_eq!(ended, Err(Stop::TimedOut));
}

/// The danger: who has read what is written back, and writes something else, tries in vain again and again, and has what he writes locked nearly all the time.
#[test]
fn who_has_read_what_is_written_back_waits_for_it_and_holds_nothing() {
    let (space, cells) = stage();
    let owner = stands_committed(&space, cells[0]);
    let mut reader = space.participant().unwrap();
    let free = is_free_in_a_sleep(&mut reader, cells[1]);
    let (mut attempts, deadline) = (0, in_time(&reader, 100));
    let ended = reader.run_until(deadline, |tx| {
        attempts += 1;
        let seen = tx.read(cells[0])?;
        tx.write(cells[1], seen)
    });
    assert_eq!((ended, attempts), (Err(Stop::TimedOut), 1));
    assert!(free.load(Relaxed) > 10, "{free:?} times");
    goes_on(owner);
}

/// The danger: who only reads a cell waits for the next owner of it as one who wants to lock it, however long that has it.
#[test]
fn who_has_read_what_is_written_back_waits_for_no_later_owner() {
    let (space, cells) = stage();
    let mut owner = Some(stands_committed(&space, cells[0]));
    let [mut reader, mut later, mut queued] = [(); 3].map(|()| space.participant().unwrap());
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let (name, later_slot, cell) = (attempt_of(&queued).pack(), slot_of(&later), cells[0]);
    reader.set_sleeper(Box::new(Meanwhile(move || {
        let Some(owner) = owner.take() else { return };
        goes_on(owner);
        // It has it for long.
        later.begin_irrevocable(None).unwrap();
        later.write(cell, integer(6)).unwrap();
        later.arena().platform().store(later_slot.queue_to(), name, Relaxed);
    })));
    let deadline = in_time(&reader, 20);
    let ended = reader.run_until(deadline, |tx| {
        let seen = tx.read(cells[0])?;
        tx.write(cells[1], seen)
    });
    assert_eq!(ended, Ok(()));
}

/// What is only held stays what it is.
#[test]
fn who_has_read_what_a_commit_only_holds_waits_for_nothing() {
    let (space, cells) = stage();
    let [mut owner, mut reader] = [(); 2].map(|()| space.participant().unwrap());
    owner.begin_irrevocable(None).unwrap();
    owner.read(cells[0]).unwrap();
    is_now(&owner, State::Committed);
    let mut attempts = 0;
    let deadline = in_time(&reader, 1);
    let ended = reader.run_until(deadline, |tx| {
        attempts += 1;
        let seen = tx.read(cells[0])?;
        tx.write(cells[1], seen)
    });
    assert_eq!((ended, attempts), (Ok(()), 1));
    goes_on(owner);
}

/// Whoever meets one who starves and waits leaves, and waits where that one does not see him.
#[test]
fn one_who_starves_does_not_wait_for_a_write_back_in_the_place() {
    let (space, cells) = stage();
    let [mut owner, mut waiter, mut queued] = [(); 3].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let (platform, committed, name) =
        (space.arena().platform().clone(), status_now(&owner, State::Committed), attempt_of(&queued).pack());
    let (slot, wanted, mut bystander) = (slot_of(&waiter), cells[1], space.participant().unwrap());
    platform.store(slot.starving(), Standing::Starving as u64, Relaxed);
    let free = Arc::new(AtomicU64::new(0));
    let count = free.clone();
    waiter.set_sleeper(Box::new(Meanwhile(move || {
        platform.store(committed.0, committed.1, Relaxed);
        let status = Status::unpack(platform.load(slot.status(), Relaxed)).unwrap();
        if status.state == State::Active {
            // Only then does anybody queue on it.
            platform.store(slot.queue_to(), name, Relaxed);
        }
        let end = platform.now_ns() + MS;
        let written = bystander.run_until(Some(end), |tx| tx.write(wanted, integer(5)));
        count.fetch_add(u64::from(written.is_ok()), Relaxed);
    })));
    wants_both_in_vain(&mut waiter, &cells, 100);
    assert!(free.load(Relaxed) > 10, "{free:?} times");
    goes_on(owner);
}

/// Nobody is to stop it, but it gets no further with all that it has.
#[test]
fn who_has_the_token_leaves_a_write_back_after_his_lease() {
    let (space, cells) = stage();
    let owner = stands_committed(&space, cells[0]);
    let mut holder = space.participant().unwrap();
    holder.set_limits(Limits { privileged_attempts: 1, lull_ns: 0, ..Limits::DEFAULT });
    let free = is_free_in_a_sleep(&mut holder, cells[1]);
    let (mut attempts, deadline) = (0, in_time(&holder, 5_000));
    let ended = holder.run_until(deadline, |tx| {
        attempts += 1;
        if attempts == 1 {
            return Err(Stop::Conflict);
        }
        tx.write(cells[1], integer(3))?;
        tx.write(cells[0], integer(3))
    });
    assert_eq!((ended, attempts), (Err(Stop::TimedOut), 2));
    assert!(free.load(Relaxed) > 100, "{free:?} times");
    goes_on(owner);
}

/// Under a policy by which the younger do not queue: nobody is seen to wait for him.
#[test]
fn who_waits_for_a_write_back_for_long_leaves_under_any_policy() {
    let (heap, layout) = Heap::space_with(Geometry::for_bytes(4 * MIB).unwrap(), PolicyId::WaitDie);
    let space = Space::join(heap.clone(), layout).unwrap();
    let cells = cells(&mut space.participant().unwrap(), 2);
    let space = Space::join(Alone::default().on(heap.process()), layout).unwrap();
    let owner = stands_committed(&space, cells[0]);
    let mut waiter = space.participant().unwrap();
    let free = is_free_in_a_sleep(&mut waiter, cells[1]);
    wants_both_in_vain(&mut waiter, &cells, 1_000);
    assert!(free.load(Relaxed) > 10, "{free:?} times");
    goes_on(owner);
}

/// All others would come back and lock what they have else to write, only to leave again.
#[test]
fn who_waits_in_the_second_row_stays_there_while_a_commit_does_not_go_on() {
    let (space, cells) = stage();
    let [mut owner, mut queued, mut other] = [(); 3].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let (platform, committed) = (space.arena().platform().clone(), status_now(&owner, State::Committed));
    platform.store(slot_of(&owner).queue_to(), attempt_of(&queued).pack(), Relaxed);
    other.set_sleeper(Box::new(Meanwhile(move || platform.store(committed.0, committed.1, Relaxed))));
    let (mut attempts, deadline) = (0, in_time(&other, 1_000));
    let ended = other.run_until(deadline, |tx| {
        attempts += 1;
        tx.write(cells[1], integer(3))?;
        tx.write(cells[0], integer(3))
    });
    assert_eq!((ended, attempts), (Err(Stop::TimedOut), 1));
    goes_on(owner);
}

/// Two threads of a stopped process: one keeps the cell, the other one the place at whoever wants it.
#[test]
fn nobody_who_is_stopped_stays_in_the_place_of_one_who_waits() {
    let (space, cells) = stage();
    let [mut owner, mut queued, mut other] = [(); 3].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let platform = space.arena().platform().clone();
    platform.store(slot_of(&other).queue_to(), attempt_of(&queued).pack(), Relaxed);
    let (owner_slot, id, seen) = (slot_of(&owner), other.id(), Arc::new(AtomicU64::new(0)));
    let count = seen.clone();
    other.set_sleeper(Box::new(Meanwhile(move || {
        let waiter = AttemptId::unpack(platform.load(owner_slot.queue_to(), Relaxed));
        count.fetch_add(u64::from(waiter.is_some_and(|waiter| waiter.participant == id)), Relaxed);
    })));
    let deadline = in_time(&other, 50);
    assert_eq!(other.run_until(deadline, |tx| tx.write(cells[0], integer(3))), Err(Stop::TimedOut));
    assert!(seen.load(Relaxed) > 10, "in the place at the owner in {seen:?} sleeps");
    goes_on(owner);
}

/// It is through with what nobody else may do. But who runs once would meet its cells with all that he has locked.
#[test]
fn one_who_is_stopped_in_his_commit_keeps_the_token_from_nobody_who_may_leave() {
    let (space, cells) = stage();
    let [mut owner, mut other, mut victim] = [(); 3].map(|()| space.participant().unwrap());
    let mut starving = space.participant().unwrap();
    victim.begin().unwrap();
    victim.write(cells[0], integer(4)).unwrap();
    owner.begin_irrevocable(None).unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    is_now(&owner, State::Committed);
    assert_eq!(victim.commit(), Err(Stop::Conflict));
    let deadline = in_time(&victim, 10);
    assert_eq!(victim.run_until(deadline, |tx| tx.write(cells[1], integer(4))), Ok(()));
    let deadline = in_time(&other, 10);
    assert_eq!(other.run_irrevocable(deadline, |tx| tx.write(cells[2], integer(2))), Err(Stop::TimedOut));
    starving.set_limits(Limits { privileged_attempts: 1, lull_ns: 0, ..Limits::DEFAULT });
    let mut attempts = 0;
    let ended = starving.run(|tx| {
        attempts += 1;
        let standing = tx.arena().platform().load(slot_of(tx).starving(), Relaxed);
        assert_eq!(standing == Standing::Privileged as u64, attempts == 2);
        tx.write(cells[2], integer(2))?;
        if attempts == 1 { Err(Stop::Conflict) } else { Ok(()) }
    });
    assert_eq!((ended, attempts), (Ok(()), 2));
    goes_on(owner);
    let deadline = in_time(&other, 10);
    assert_eq!(other.run_irrevocable(deadline, |tx| tx.write(cells[0], integer(2))), Ok(()));
}

/// Fails at the first commit that it is told of.
struct Fails;

impl Observer<Timed> for Fails {
    fn begins(&mut self, _: ParticipantId) {}
    fn ended(&mut self, attempt: &Attempt<'_, Timed>) {
        if matches!(attempt.outcome(), Outcome::Committed(_)) {
            panic_any(Killed);
        }
    }
}

/// The danger: whoever cleans up behind it takes back what others have read.
#[test]
fn a_commit_whose_observer_panics_is_done() {
    pso_model::heap::hide_deaths();
    let (space, cells) = stage();
    let [mut told, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let root = space.arena().root();
    told.set_observer(Some(Box::new(Fails)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        told.run(|tx| {
            let made = list::create(tx)?;
            let long = text::encode(tx, LONG)?;
            list::push(tx, made, long)?;
            tx.write(cells[0], integer(1))?;
            tx.write(root, Value::handle(made))
        })
    }));
    assert!(panicked.is_err_and(|reason| reason.is::<Killed>()));
    // Before anybody has cleaned up, too.
    let began = space.arena().platform().now_ns();
    assert_eq!(other.run_until(Some(began + 1000 * MS), |tx| tx.write(cells[0], integer(2))), Ok(()));
    told.abort();
    other
        .run(|tx| {
            assert_eq!(tx.read(cells[0])?, integer(2));
            let made = tx.read(root)?.as_handle().unwrap();
            let long = list::get(tx, made, 0)?.unwrap().as_handle().unwrap();
            text::with(tx, long, |found| assert_eq!(found, LONG))
        })
        .unwrap();
    assert_eq!(told.run(|tx| tx.write(cells[0], integer(4))), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}
