//! Who loses again and again: under policies that only try again, behind one who keeps the token, and after an attempt with the token that came to nothing.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use pso_engine::arena::{Geometry, HotWord};
use pso_engine::contention::{Limits, PolicyId, Standing};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::transaction::Sleeper;
use pso_engine::word::{AttemptId, CellAddress, LockWord, LockedBy, State, Status};
use pso_model::alone::Alone;
use pso_model::heap::Heap;
use pso_model::lens::Through;

use crate::before::Before;
use crate::silence::{Meanwhile, Timed, Tx, is_now, slot_of, stage};
use crate::support::{MIB, MS, attempt_of, cells, integer, space_of};

const HUNG_NS: u64 = Limits::DEFAULT.hung_ns;

/// The same as `stage`, under a policy.
pub fn stage_under(policy: PolicyId) -> (Arc<Space<Timed>>, Vec<CellAddress>) {
    let (heap, layout) = Heap::space_with(Geometry::for_bytes(4 * MIB).unwrap(), policy);
    let space = Space::join(heap.clone(), layout).unwrap();
    let cells = cells(&mut space.participant().unwrap(), 2);
    (Space::join(Alone::default().on(heap.process()), layout).unwrap(), cells)
}

/// The danger: who only tries again never sleeps, so that he never finds out that the owner is stopped.
#[test]
fn who_only_tries_again_stops_one_who_makes_no_step() {
    for policy in [PolicyId::Immediate, PolicyId::Backoff] {
        let (space, cells) = stage_under(policy);
        let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
        owner.begin().unwrap();
        owner.write(cells[0], integer(1)).unwrap();
        // He never has the token, by which he would stop anybody.
        other.set_limits(Limits { privileged_attempts: u64::MAX, ..Limits::DEFAULT });
        let began = other.arena().platform().now_ns();
        assert_eq!(other.run_until(Some(began + 1000 * MS), |tx| tx.write(cells[0], integer(2))), Ok(()), "{policy}");
        let time = other.arena().platform().now_ns() - began;
        assert!((HUNG_NS..3 * HUNG_NS).contains(&time), "{policy}: after {time} ns");
        assert_eq!(owner.commit(), Err(Stop::Conflict));
        assert_eq!(fsck(&space), vec![]);
    }
}

/// Interrupts the third sleep.
struct Interrupts(u32);

impl Sleeper for Interrupts {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        sleep();
        self.0 += 1;
        self.0 < 3
    }
}

/// The danger: one that loses for ever keeps the GIL, and is deaf to Ctrl-C.
#[test]
fn who_only_tries_again_can_be_interrupted() {
    for policy in [PolicyId::Immediate, PolicyId::Backoff] {
        let (space, cells) = stage_under(policy);
        let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
        owner.begin().unwrap();
        owner.write(cells[0], integer(1)).unwrap();
        other.set_limits(Limits { privileged_attempts: u64::MAX, ..Limits::DEFAULT });
        other.set_sleeper(Box::new(Interrupts(0)));
        let deadline = other.arena().platform().now_ns() + 1000 * MS;
        let ended = other.run_until(Some(deadline), |tx| tx.write(cells[0], integer(2)));
        assert_eq!(ended, Err(Stop::Interrupted), "{policy}");
        assert_eq!(owner.commit(), Ok(()));
        assert_eq!(fsck(&space), vec![]);
    }
}

/// The danger: the oldest finds the place taken by one who is older yet. That one goes, a younger one comes, and the oldest sleeps on for as long as there is always one.
#[test]
fn who_could_have_the_place_of_a_younger_one_takes_it() {
    let (space, cells) = stage_under(PolicyId::WaitDie);
    let [mut oldest, mut waiter] = [(); 2].map(|()| space.participant().unwrap());
    oldest.begin().unwrap();
    is_now(&oldest, State::Waiting);
    waiter.begin().unwrap();
    let priority = space.arena().platform().load(slot_of(&waiter).priority(), Relaxed);
    let [younger, mut owner] = [1, 2].map(|after| {
        let mut one = space.participant().unwrap();
        one.begin().unwrap();
        space.arena().platform().store(slot_of(&one).priority(), priority + (after << 32), Relaxed);
        one
    });
    owner.write(cells[0], integer(1)).unwrap();
    is_now(&younger, State::Waiting);
    let place = slot_of(&owner).queue_to();
    let platform = space.arena().platform().clone();
    platform.store(place, attempt_of(&oldest).pack(), Relaxed);
    let me = waiter.id();
    let mut sleeps = 0;
    let times = Arc::new(AtomicU64::new(0));
    let count = times.clone();
    let next = attempt_of(&younger).pack();
    waiter.set_sleeper(Box::new(Meanwhile(move || {
        sleeps += 1;
        if sleeps == 1 {
            platform.store(place, next, Relaxed);
        }
        let here = AttemptId::unpack(platform.load(place, Relaxed)).map(|name| name.participant);
        count.fetch_add(u64::from(here == Some(me)), Relaxed);
    })));
    let deadline = waiter.arena().platform().now_ns() + 50 * MS;
    let ended = waiter.write(cells[0], integer(3)).and_then(|()| waiter.commit());
    assert_eq!(ended, Err(Stop::Conflict), "the place was the oldest's");
    let ended = waiter.run_until(Some(deadline), |tx| tx.write(cells[0], integer(3)));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!(times.load(Relaxed) > 2, "{times:?} sleeps in the place");
    is_now(&younger, State::Active);
    for mut one in [oldest, younger] {
        is_now(&one, State::Active);
        one.abort();
    }
    assert_eq!(owner.commit(), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}

/// An attempt is lost with the token, in its lull, and the next one cannot have it: whoever is stopped in that is waited for as long as anybody.
#[test]
fn a_lease_ends_with_the_token() {
    let (space, cells) = stage();
    let [mut one, mut other, mut holder] = [(); 3].map(|()| space.participant().unwrap());
    one.set_limits(Limits { privileged_attempts: 1, lull_reads: 0, ..Limits::DEFAULT });
    holder.begin().unwrap();
    let (token, name) = (space.arena().layout().hot(HotWord::PrivilegeToken), attempt_of(&holder).pack());
    let (platform, slot) = (space.arena().platform().clone(), slot_of(&one));
    let mut limits = vec![];
    let done = one.run(|tx| {
        limits.push(platform.load(slot.hung_limit(), Relaxed));
        tx.read(cells[0])?;
        if limits.len() < 3 {
            other.run(|tx| tx.write(cells[0], integer(2)))?;
        }
        if limits.len() == 2 {
            platform.store(token, name, Relaxed);
        }
        tx.write(cells[1], integer(1))
    });
    assert_eq!(done, Ok(()));
    assert_eq!(limits, [HUNG_NS, Limits::DEFAULT.lease_ns, HUNG_NS]);
    holder.abort();
}

/// Who waits again and again for changes, and loses nothing in between, would starve at last, by his count of what he has lost in hours. (Who loses each time does starve.)
#[test]
fn failures_are_forgotten_where_a_transaction_waits_for_a_change() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let cell = cells[0];
    one.set_sleeper(Box::new(Meanwhile(move || other.run(|tx| tx.write(cell, integer(2))).unwrap())));
    let mut failures = vec![];
    let seen = one.run(|tx| {
        failures.push(tx.failures());
        let seen = tx.read(cell)?;
        match failures.len() {
            1..=3 | 5 => Err(Stop::Conflict),
            4 | 6 | 7 => Err(Stop::Retry),
            _ => Ok(seen),
        }
    });
    assert_eq!((seen, failures), (Ok(integer(2)), vec![0, 1, 2, 3, 3, 4, 4, 0]));
}

/// Patience is granted to those who were stopped.
#[test]
fn who_was_not_stopped_is_granted_no_patience() {
    let (heap, space) = space_of(4 * MIB);
    let cells = cells(&mut space.participant().unwrap(), 1);
    let platform = Through::over(heap.process(), Before::default());
    let space = Space::join(platform.clone(), *space.arena().layout()).unwrap();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    owner.set_limits(Limits { hung_ns: MS, ..Limits::DEFAULT });
    let slot = Slot::of(space.arena(), owner.id()).unwrap();
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let commits = move || owner.commit().unwrap();
    platform.lens().runs(move |access| access.address == slot.stopped_by(), commits);
    other.run(|tx| tx.write(cells[0], integer(2))).unwrap();
    assert!(platform.lens().is_through(), "nobody was to be stopped");
    assert_eq!(heap.load(slot.hung_limit(), Relaxed), MS);
}

/// The danger: one with the token stands still in its validation, is stopped when its lease is over, and goes on beside an irrevocable one that has the token by then. It stops that one, which runs
/// once.
#[test]
fn who_goes_on_after_its_lease_leaves_the_next_one_with_the_token_alone() {
    let (heap, space) = space_of(4 * MIB);
    let cells = cells(&mut space.participant().unwrap(), 3);
    let platform = Through::over(heap.process(), Before::default());
    let space = Space::join(platform.clone(), *space.arena().layout()).unwrap();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    one.set_limits(Limits { privileged_attempts: 1, lull_reads: 0, lease_ns: MS, hung_ns: MS, ..Limits::DEFAULT });
    let irrevocable = Arc::new(Mutex::new(space.participant().unwrap()));
    let slot = Slot::of(space.arena(), irrevocable.lock().unwrap().id()).unwrap();
    let mut attempts = 0;
    let deadline = heap.now_ns() + 5 * MS;
    let ended = one.run_until(Some(deadline), |tx| {
        attempts += 1;
        let seen = tx.read(cells[0])?;
        if attempts == 1 {
            return Err(Stop::Conflict);
        }
        tx.write(cells[1], integer(1))?;
        if attempts == 2 {
            assert_eq!(
                heap.load(Slot::of(tx.arena(), tx.id()).unwrap().starving(), Relaxed),
                Standing::Privileged as u64
            );
            // So that there is something to validate.
            other.run(|tx| tx.write(cells[2], integer(1)))?;
            let (next, cell) = (irrevocable.clone(), cells[0]);
            let stands_prepared = move || {
                let mut next = next.lock().unwrap();
                next.begin_irrevocable(None).unwrap();
                next.write(cell, integer(7)).unwrap();
                let attempt = attempt_of(&*next);
                let prepared = Status { seq: attempt.seq, state: State::Prepared };
                next.arena().platform().store(slot.status(), prepared.pack(), Relaxed);
            };
            let lock = cells[0].lock_word();
            platform.lens().runs(move |access| access.address == lock, stands_prepared);
        }
        Ok(seen)
    });
    assert!(platform.lens().is_through(), "nothing was validated");
    assert_eq!(ended, Err(Stop::TimedOut));
    let mut next = irrevocable.lock().unwrap();
    let attempt = attempt_of(&*next);
    let [prepared, active] = [State::Prepared, State::Active].map(|state| Status { seq: attempt.seq, state }.pack());
    assert_eq!(heap.load(slot.status(), Relaxed), prepared);
    heap.store(slot.status(), active, Relaxed);
    assert_eq!(next.commit(), Ok(()));
    drop(next);
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: who waits in the place at one who runs once, and is stopped in that, keeps what he has locked from those who want nothing of that one's.
#[test]
fn who_waits_for_one_with_the_token_keeps_nobody_from_what_he_has() {
    for policy in [PolicyId::Damped, PolicyId::WoundWait, PolicyId::WaitDie] {
        let (space, cells) = stage_under(policy);
        let [mut owner, mut waiter, mut bystander] = [(); 3].map(|()| space.participant().unwrap());
        // Younger than the others.
        bystander.begin().unwrap();
        owner.begin_irrevocable(None).unwrap();
        owner.write(cells[0], integer(1)).unwrap();
        let (wanted, written) = (cells[1], Arc::new(AtomicU64::new(0)));
        let count = written.clone();
        waiter.set_sleeper(Box::new(Meanwhile(move || {
            let end = bystander.arena().platform().now_ns() + MS;
            let done = bystander.run_until(Some(end), |tx| tx.write(wanted, integer(5)));
            count.fetch_add(u64::from(done.is_ok()), Relaxed);
        })));
        let deadline = waiter.arena().platform().now_ns() + 500 * MS;
        let ended = waiter.run_until(Some(deadline), |tx| {
            tx.write(cells[1], integer(3))?;
            tx.write(cells[0], integer(3))
        });
        assert_eq!(ended, Err(Stop::TimedOut), "{policy}");
        assert!(written.load(Relaxed) > 10, "{policy}: {written:?} times");
        assert_eq!(owner.commit(), Ok(()));
        assert_eq!(fsck(&space), vec![]);
    }
}

/// The danger: the name of one who runs once stands in a slot, of a stop that came too late or of a transaction before, and who then loses to somebody else waits until that one is over.
#[test]
fn who_was_stopped_by_nobody_waits_for_no_name() {
    let (space, cells) = stage();
    let [mut irrevocable, mut one, mut other] = [(); 3].map(|()| space.participant().unwrap());
    irrevocable.begin_irrevocable(None).unwrap();
    irrevocable.write(cells[2], integer(1)).unwrap();
    let name = attempt_of(&irrevocable).pack();
    let (platform, stopped_by) = (space.arena().platform().clone(), slot_of(&one).stopped_by());
    platform.store(stopped_by, name, Relaxed);
    let (began, mut attempts) = (platform.now_ns(), 0);
    let done = one.run_until(Some(began + 100 * MS), |tx| {
        attempts += 1;
        tx.read(cells[0])?;
        if attempts == 1 {
            other.run(|tx| tx.write(cells[0], integer(2)))?;
        }
        tx.write(cells[1], integer(attempts))
    });
    assert_eq!((done, attempts), (Ok(()), 2));
    assert_eq!(irrevocable.commit(), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: somebody who is stopped waits in my place, for an attempt of mine that is over; and where a cell has another owner at each look, nobody takes him out.
#[test]
fn whoever_is_stopped_in_my_place_is_taken_out_beside_a_busy_cell() {
    let (space, cells) = stage();
    let [mut one, mut queued, mut owner, mut other] = [(); 4].map(|()| space.participant().unwrap());
    owner.begin().unwrap();
    one.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    queued.begin().unwrap();
    is_now(&queued, State::Waiting);
    let (platform, place) = (space.arena().platform().clone(), slot_of(&one).queue_to());
    platform.store(place, attempt_of(&queued).pack(), Relaxed);
    // A cell that is another one's at each look, and never free.
    let (cell, names) = (
        cells[0],
        [attempt_of(&owner), {
            other.begin().unwrap();
            attempt_of(&other)
        }],
    );
    let lock = platform.load(cell.lock_word(), Relaxed);
    let mut sleeps = 0_u64;
    let (memory, sleeping) = (platform.clone(), Arc::new(AtomicU64::new(0)));
    let count = sleeping.clone();
    one.set_sleeper(Box::new(Meanwhile(move || {
        sleeps += 1;
        let LockWord::Locked(by) = LockWord::unpack(lock) else { unreachable!("it is locked") };
        let next = names[sleeps as usize % 2];
        let by = LockedBy { participant: next.participant, seq: next.seq, ..by };
        memory.store(cell.lock_word(), LockWord::locked(by), Relaxed);
        count.fetch_add(u64::from(memory.load(place, Relaxed) != 0), Relaxed);
    })));
    let deadline = platform.now_ns() + 50 * MS;
    assert_eq!(one.write(cell, integer(3)), Err(Stop::Conflict), "somebody waits for it");
    assert_eq!(one.run_until(Some(deadline), |tx| tx.write(cell, integer(3))), Err(Stop::TimedOut));
    assert!(sleeping.load(Relaxed) < 3, "{sleeping:?} sleeps with somebody in the place");
    platform.store(cell.lock_word(), lock, Relaxed);
    other.abort();
    is_now(&queued, State::Active);
    queued.abort();
    assert_eq!(owner.commit(), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: who is stopped while he asks to wait begins again at once and meets his stopper in the middle of its work, and again. He has lost as others have.
#[test]
fn who_is_stopped_while_he_asks_to_wait_lets_his_stopper_finish() {
    let (space, cells) = stage();
    let [mut one, stopper] = [(); 2].map(|()| space.participant().unwrap());
    let (slot, cell, stopper) = (slot_of(&one), cells[0], Arc::new(Mutex::new(stopper)));
    let commits = stopper.clone();
    one.set_sleeper(Box::new(Meanwhile(move || {
        let mut stopper = commits.lock().unwrap();
        if stopper.in_attempt() {
            stopper.commit().unwrap();
        }
    })));
    let (platform, mut attempts) = (space.arena().platform().clone(), vec![]);
    let done = one.run(|tx| {
        let (seen, age) = (tx.read(cell)?, platform.load(slot.priority(), Relaxed));
        attempts.push((seen.as_int(), tx.failures(), age));
        tx.write(cell, integer(1))?;
        if seen == integer(7) {
            return Ok(());
        }
        // Whoever begins from here on is younger.
        platform.fetch_add(space.arena().layout().hot(HotWord::Tick), 5, Relaxed);
        let mut stopper = stopper.lock().unwrap();
        stopper.begin_irrevocable(None).unwrap();
        stopper.write(cell, integer(7)).unwrap();
        Err(Stop::Retry)
    });
    let age = attempts[0].2;
    assert_eq!((done, attempts), (Ok(()), vec![(Some(0), 0, age), (Some(7), 1, age)]));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: who finds out in his own validation that he has been stopped forgets his age and what he has lost.
#[test]
fn who_loses_while_he_validates_that_he_may_wait_has_lost() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let (slot, platform) = (slot_of(&one), space.arena().platform().clone());
    one.begin().unwrap();
    one.read(cells[0]).unwrap();
    let age = platform.load(slot.priority(), Relaxed);
    other.begin().unwrap();
    other.write(cells[0], integer(7)).unwrap();
    is_now(&other, State::Prepared);
    is_now(&one, State::Aborted);
    platform.fetch_add(space.arena().layout().hot(HotWord::Tick), 5, Relaxed);
    assert_eq!((one.wait_for_change(None), one.failures()), (Err(Stop::Conflict), 1));
    one.begin().unwrap();
    assert_eq!((one.failures(), platform.load(slot.priority(), Relaxed)), (1, age));
    one.abort();
    is_now(&other, State::Active);
    assert_eq!(other.commit(), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: a body that asks to be run again, with no one in its way, is put off for: it has the token in the end, or begins as young as on its first day.
#[test]
fn who_gives_up_by_himself_keeps_what_he_has() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let (slot, platform) = (slot_of(&one), space.arena().platform().clone());
    let age = |tx: &Tx| (tx.failures(), platform.load(slot.priority(), Relaxed));
    one.begin().unwrap();
    let first = age(&one).1;
    one.read(cells[0]).unwrap();
    other.run(|tx| tx.write(cells[0], integer(7))).unwrap();
    one.write(cells[1], integer(1)).unwrap();
    assert_eq!(one.commit(), Err(Stop::Conflict));
    for (lost, is_stopped) in [(1, false), (1, true), (2, false), (2, false), (0, false)] {
        platform.fetch_add(space.arena().layout().hot(HotWord::Tick), 5, Relaxed);
        one.begin().unwrap();
        assert_eq!(age(&one), (lost, first));
        one.write(cells[1], integer(1)).unwrap();
        if is_stopped {
            // Before it gives up: that is lost.
            is_now(&one, State::Aborted);
        }
        one.abandon();
    }
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: a wait for change skips the question for the token, and who loses before each of his waits, and has the token in no attempt that could use it, starves.
#[test]
fn who_has_lost_often_asks_for_the_token_after_a_wait_for_change_too() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let (cell, slot, platform) = (cells[0], slot_of(&one), space.arena().platform().clone());
    one.set_limits(Limits { privileged_attempts: 1, lull_reads: 0, ..Limits::DEFAULT });
    one.set_sleeper(Box::new(Meanwhile(move || other.run(|tx| tx.write(cell, integer(7))).unwrap())));
    let mut attempts = 0;
    let standing = one.run(|tx| {
        attempts += 1;
        tx.read(cell)?;
        match attempts {
            1 => {
                // Somebody older stops it.
                let stopped = Status { seq: attempt_of(tx).seq, state: State::Aborted };
                platform.store(slot.status(), stopped.pack(), Relaxed);
                tx.read(cell).map(|_| 0)
            }
            2 => Err(Stop::Retry),
            _ => Ok(platform.load(slot.starving(), Relaxed)),
        }
    });
    assert_eq!((standing, attempts), (Ok(Standing::Privileged as u64), 3));
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: who waits for seconds counts as one whose attempts take seconds, and so do all who come near him: nobody is old enough to stop anybody.
#[test]
fn a_wait_for_change_is_no_part_of_how_long_attempts_take() {
    let (space, cells) = stage();
    let [mut one, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let (cell, slot, mut sleeps) = (cells[0], slot_of(&one), 0);
    one.set_sleeper(Box::new(Meanwhile(move || {
        sleeps += 1;
        if sleeps % 20 == 0 {
            other.run(|tx| tx.write(cell, integer(sleeps))).unwrap();
        }
    })));
    let began = space.arena().platform().now_ns();
    for _ in 0..200 {
        // Three attempts each, so that sooner or later one that waits is among those that are timed.
        let mut waits = 0;
        let waited = one.run(|tx| {
            tx.read(cell)?;
            waits += 1;
            if waits < 3 { Err(Stop::Retry) } else { Ok(()) }
        });
        assert_eq!(waited, Ok(()));
    }
    assert!(space.arena().platform().now_ns() - began > 10_000 * MS, "it has not waited");
    let mean = space.arena().platform().load(slot.mean_duration(), Relaxed);
    assert!(mean < 10 * MS, "{mean} ns an attempt");
}
