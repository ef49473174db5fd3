//! Wait buckets in the middle of several rings: who sleeps for a change is found by the commit that makes it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::participant::{Slot, WaitingFor};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::waiting::{announce, ring_cell, ring_changes, withdraw};
use pso_model::lens::{Access, Operation, Through};

use crate::before::Before;
use crate::support::{MIB, cells, space_of};

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
