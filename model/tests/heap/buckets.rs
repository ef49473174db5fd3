//! Wait buckets in the middle of several rings: who sleeps for a change is found by the commit that makes it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::participant::{Slot, WaitingFor};
use pso_engine::platform::Memory;
use pso_engine::recovery::recover_dead;
use pso_engine::space::Space;
use pso_engine::waiting::{announce, ring_cell, ring_changes, withdraw};
use pso_engine::word::CellAddress;
use pso_model::heap::Heap;
use pso_model::lens::{Access, Operation, Through};

use crate::before::Before;
use crate::support::{MIB, Tx, another, cells, space_of};

/// **A ringer takes the bit of a new wait for that of an old one, and gives it back; meanwhile another one finds the bucket empty and takes it out of the
/// summary.** The danger: the sleeper, rung, finds nothing changed and sleeps again; the commit that changes it looks at the summary and rings nobody.
#[test]
fn a_bit_that_is_given_back_is_found() {
    let (heap, space) = space_of(4 * MIB);
    let [mut sleeper, maker] = [(); 2].map(|()| space.participant().unwrap());
    let (cell, id) = (cells(&mut sleeper, 1)[0], sleeper.id());
    let slot = Slot::of(space.arena(), id).unwrap();
    let word =
        space.arena().layout().wait_bucket(space.arena().layout().wait_bucket_of(cell)).0.offset(u64::from(id.0) / 64);
    // What an old wait has left.
    announce(space.arena(), cell, id);
    let platform = Through::over(heap.process(), Before::default());
    let ringer = Space::join(platform.clone(), *space.arena().layout()).unwrap();
    let (arms, empties) = (Arc::clone(&space), Arc::clone(&space));
    let is_taken = move |access: &Access| access.address == word && matches!(access.operation, Operation::FetchAnd(..));
    platform.lens().runs(is_taken, move || {
        withdraw(arms.arena(), cell, id);
        arms.arena().platform().store(slot.waiting_for(), WaitingFor::Change as u64, Relaxed);
        announce(arms.arena(), cell, id);
    });
    let is_given_back =
        move |access: &Access| access.address == word && matches!(access.operation, Operation::FetchOr(..));
    platform.lens().runs(is_given_back, move || {
        ring_cell(empties.arena(), cell);
    });
    ring_cell(ringer.arena(), cell);
    assert!(platform.lens().is_through(), "it took a bit that was not for it");
    let before = heap.load(slot.bell(), Relaxed);
    ring_changes(maker.arena(), cell);
    assert_ne!(heap.load(slot.bell(), Relaxed), before, "the change rings");
}

fn announces(space: &Arc<Space<Heap>>, tx: &Tx, cell: CellAddress, what_for: WaitingFor) {
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    space.arena().platform().store(slot.waiting_for(), what_for as u64, Relaxed);
    announce(space.arena(), cell, tx.id());
}

/// The danger: each commit in a bucket where somebody was killed who slept for a change there wakes the next owner of his place, who waits for something else; or the ring of a free cell goes to
/// him, and nobody else has it.
#[test]
fn who_takes_the_place_of_a_killed_sleeper_is_not_called_for_what_that_waited_for() {
    let (heap, space) = space_of(4 * MIB);
    let mut maker = space.participant().unwrap();
    let all = cells(&mut maker, 40);
    let bucket = |cell: &CellAddress| space.arena().layout().wait_bucket_of(*cell);
    let (old, new) = (all[0], *all.iter().find(|cell| bucket(cell) != bucket(&all[0])).unwrap());
    let doomed = another(&heap, &space);
    let killed = doomed.participant().unwrap();
    let id = killed.id();
    announces(&doomed, &killed, old, WaitingFor::Change);
    std::mem::forget(killed);
    doomed.arena().platform().kill();
    recover_dead(&space);
    let next = space.participant().unwrap();
    assert_eq!(next.id(), id, "it has its place");
    let bell = |tx: &Tx| heap.load(Slot::of(space.arena(), tx.id()).unwrap().bell(), Relaxed);
    announces(&space, &next, new, WaitingFor::Change);
    let before = bell(&next);
    ring_changes(space.arena(), old);
    assert_eq!(bell(&next), before, "nothing has changed that it waits for");
    ring_changes(space.arena(), new);
    assert_ne!(bell(&next), before);
}

/// The danger: who is stopped in his sleep, or was killed there and not found yet, costs each commit in his bucket a system call.
#[test]
fn a_sleeper_is_woken_once() {
    let (heap, space) = space_of(4 * MIB);
    let mut sleeper = space.participant().unwrap();
    let cell = cells(&mut sleeper, 1)[0];
    let slot = Slot::of(space.arena(), sleeper.id()).unwrap();
    announces(&space, &sleeper, cell, WaitingFor::Change);
    // As `Bell::sleep` says it, before it calls the kernel.
    heap.fetch_or(slot.bell(), 1, Relaxed);
    let before = heap.load(slot.bell(), Relaxed);
    assert_eq!([(); 3].map(|()| ring_changes(space.arena(), cell)), [1, 0, 0]);
    assert_eq!(heap.load(slot.bell(), Relaxed) >> 1, (before >> 1) + 3, "it has heard of all of them");
}
