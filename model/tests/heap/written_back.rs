//! A commit that exists, and whose owner makes no step more before it is through: stopped, or at what takes long.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::arena::HotWord;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::object::{list, text};
use pso_engine::platform::{Memory, System};
use pso_engine::transaction::{Attempt, Observer, Outcome};
use pso_engine::word::{LockWord, ParticipantId, State, Value, Version};
use pso_model::heap::Killed;

use crate::silence::{Meanwhile, Timed, Tx, is_now, slot_of, stage, status_now};
use crate::support::{MS, attempt_of, integer};

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
