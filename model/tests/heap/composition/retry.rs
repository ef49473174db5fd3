//! Who gives up until something changes: not what has changed already.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::Memory;
use pso_engine::transaction::Sleeper;
use pso_engine::word::{State, Status};

/// Nobody rings any more: who sleeps now, sleeps to the end of his time.
struct Sleepless;

impl Sleeper for Sleepless {
    fn sleep(&mut self, _: &mut dyn FnMut()) -> bool {
        panic!("it sleeps through a change");
    }
}

/// The danger: a read of a cell that was locked right behind it is not validated, since whoever takes the lock away stops the attempt before. He may
/// have changed the cell, and rung, before the one that he has stopped says that it waits.
#[test]
fn who_was_stopped_before_he_waits_sleeps_through_nothing() {
    let (heap, space) = space_of(4 * MIB);
    let mut writer = space.participant().unwrap();
    let mut waiter = space.participant().unwrap();
    let cell = cells(&mut writer, 1)[0];
    waiter.set_sleeper(Box::new(Sleepless));
    waiter.begin().unwrap();
    assert_eq!(waiter.read(cell), Ok(integer(0)));
    waiter.write(cell, integer(1)).unwrap();
    let slot = Slot::of(space.arena(), waiter.id()).unwrap();
    let Status { seq, state } = status_of(space.arena(), slot).unwrap();
    assert_eq!(state, State::Active);
    // What an older one does to it.
    heap.store(slot.status(), Status { seq, state: State::Aborted }.pack(), Relaxed);
    writer.run(|tx| tx.write(cell, integer(7))).unwrap();
    assert_eq!((waiter.wait_for_change(None), waiter.failures()), (Err(Stop::Conflict), 1));
    assert_eq!(contents(&mut waiter, &[cell]), [7]);
}
