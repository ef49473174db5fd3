//! What a participant's slot says of it to those who meet it: how long its attempts take, how long it may be silent, whether it starves. The danger: it says so
//! for longer than it is so, and all who come near it wait for nothing.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use pso_engine::arena::HotWord;
use pso_engine::contention::Limits;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::object::list;
use pso_engine::platform::{Memory, System};

use crate::silence::{Meanwhile, slot_of, stage, time_to_write};
use crate::support::{MS, integer};

const HUNG_NS: u64 = Limits::DEFAULT.hung_ns;

/// The danger: who has waited for seconds counts as one whose attempts take seconds.
#[test]
fn sleeps_are_no_part_of_how_long_attempts_take() {
    let (space, cells) = stage();
    let mut one = space.participant().unwrap();
    let (cell, platform) = (cells[0], space.arena().platform().clone());
    let owner = Arc::new(Mutex::new((space.participant().unwrap(), 0)));
    let (owns, clock) = (Arc::clone(&owner), platform.clone());
    one.set_sleeper(Box::new(Meanwhile(move || {
        let (owner, sleeps) = &mut *owns.lock().unwrap();
        // It lives, and goes on with something else.
        clock.fetch_add(slot_of(owner).sleeps(), 1, Relaxed);
        *sleeps += 1;
        if *sleeps % 50 == 0 {
            owner.commit().unwrap();
        }
    })));
    let began = platform.now_ns();
    for _ in 0..200 {
        owner.lock().unwrap().0.begin().unwrap();
        owner.lock().unwrap().0.write(cell, integer(1)).unwrap();
        one.run(|tx| tx.write(cell, integer(2))).unwrap();
    }
    assert!(platform.now_ns() - began > 10_000 * MS, "it has not waited");
    let mean = platform.load(slot_of(&one).mean_duration(), Relaxed);
    assert!(mean < MS, "{mean} ns an attempt");
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: each transaction of a process that is stopped for a call that takes long, and then fails, may be silent for twice as long as the one before; when the process stands still all wait for a minute.
#[test]
fn patience_ends_with_a_transaction_that_gives_up() {
    let (space, cells) = stage();
    let [mut owner, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let platform = space.arena().platform();
    for _ in 0..3 {
        owner.begin().unwrap();
        owner.write(cells[0], integer(1)).unwrap();
        assert!((HUNG_NS..2 * HUNG_NS).contains(&time_to_write(&mut other, cells[0])));
        assert_eq!(platform.load(slot_of(&owner).hung_limit(), Relaxed), 2 * HUNG_NS, "it was stopped");
        owner.abort();
        assert_eq!(platform.load(slot_of(&owner).hung_limit(), Relaxed), HUNG_NS);
    }
    // It may fail at something that does not ask first whether it was stopped.
    let list = owner.run(list::create).unwrap();
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    time_to_write(&mut other, cells[0]);
    owner.set_read_only(true);
    assert_eq!(owner.discard(list), Err(Stop::ReadOnly));
    owner.abort();
    assert_eq!(platform.load(slot_of(&owner).hung_limit(), Relaxed), HUNG_NS);
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: patience that came too late for an attempt, which has committed, is left to all that follow.
#[test]
fn patience_ends_with_a_transaction_that_commits() {
    let (space, cells) = stage();
    let mut one = space.participant().unwrap();
    let platform = space.arena().platform();
    one.run(|tx| tx.write(cells[0], integer(1))).unwrap();
    platform.store(slot_of(&one).hung_limit(), 2 * HUNG_NS, Relaxed);
    one.abort_committed();
    assert_eq!(platform.load(slot_of(&one).hung_limit(), Relaxed), HUNG_NS);
}

/// The danger: a body that asks to be run again until something outside is there counts as one who starves, and so do all of its later transactions.
#[test]
fn who_has_lost_nothing_does_not_starve() {
    let (space, cells) = stage();
    let mut one = space.participant().unwrap();
    let (platform, slot) = (space.arena().platform().clone(), slot_of(&one));
    one.begin().unwrap();
    one.write(cells[0], integer(1)).unwrap();
    for _ in 0..3 {
        platform.fetch_add(space.arena().layout().hot(HotWord::Tick), 2 * Limits::DEFAULT.starving_ticks, Relaxed);
        one.abandon();
        one.begin().unwrap();
        one.write(cells[0], integer(1)).unwrap();
    }
    one.commit().unwrap();
    assert_eq!(platform.load(slot.starving(), Relaxed), 0);
    // Who has lost does.
    let mut lost = 0;
    let starving = one.run(|tx| {
        tx.write(cells[0], integer(2))?;
        lost += 1;
        if lost <= Limits::DEFAULT.starving_attempts {
            Err(Stop::Conflict)
        } else {
            Ok(platform.load(slot.starving(), Relaxed))
        }
    });
    assert_ne!(starving, Ok(0));
    assert_eq!(platform.load(slot.starving(), Relaxed), 0);
}
