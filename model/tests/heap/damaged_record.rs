//! A lock whose record was damaged, and whose owner is dead: nobody is left who could take it away. The danger: a reader looks at it again and again, for
//! ever.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::error::Stop;
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{CellAddress, State, Status};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

use crate::support::{MIB, Tx, another, cells, integer, space_of};

struct Stage {
    heap: Heap,
    space: Arc<Space<Heap>>,
    cell: CellAddress,
    /// Has read the cell before it was locked.
    reader: Tx,
    slot: Slot,
    doomed: Arc<Space<Heap>>,
}

/// A cell that somebody has locked, who will be killed.
fn stage() -> Stage {
    let (heap, space) = space_of(4 * MIB);
    let mut reader = space.participant().unwrap();
    let cells = cells(&mut reader, 2);
    reader.begin().unwrap();
    reader.read(cells[0]).unwrap();
    let doomed = another(&heap, &space);
    let mut owner = doomed.participant().unwrap();
    owner.begin().unwrap();
    owner.write(cells[0], integer(7)).unwrap();
    let slot = Slot::of(space.arena(), owner.id()).unwrap();
    std::mem::forget(owner);
    Stage { heap, space, cell: cells[0], reader, slot, doomed }
}

impl Stage {
    fn kill(&self) {
        self.heap.kill_process(self.doomed.process());
    }

    /// Neither who reads the cell now nor who has read it finds more than damage there.
    fn expect_damage(mut self) {
        let is_damage = |stop: &Stop| matches!(stop, Stop::Corrupt(corrupt) if corrupt.what == "a lock word");
        let mut other = self.space.participant().unwrap();
        let read = other.run(|tx| tx.read(self.cell));
        assert!(read.as_ref().is_err_and(is_damage), "{read:?}");
        // The clock has moved on: what it has read is looked at again.
        let stood = self.reader.write(self.cell.offset(1), integer(1)).and_then(|()| self.reader.commit());
        assert!(stood.as_ref().is_err_and(is_damage), "{stood:?}");
    }
}

#[test]
fn beside_a_dead_owner_it_is_damage() {
    let stage = stage();
    stage.heap.store(stage.slot.entries_reserved(), 0, Relaxed);
    stage.kill();
    stage.expect_damage();
}

#[test]
fn beside_an_attempt_that_is_over_it_is_damage_even_if_the_record_names_the_cell() {
    let stage = stage();
    let Status { seq, .. } = status_of(stage.space.arena(), stage.slot).unwrap();
    stage.heap.store(stage.slot.status(), Status { seq, state: State::Idle }.pack(), Relaxed);
    stage.kill();
    stage.expect_damage();
}

/// It would meet the damage itself: who reads waits for that, here for its record to be whole again.
#[test]
fn beside_a_living_owner_the_reader_looks_again() {
    let Stage { heap, space, cell, slot, .. } = stage();
    let reserved = heap.load(slot.entries_reserved(), Relaxed);
    heap.store(slot.entries_reserved(), 0, Relaxed);
    let watched = Space::join(Interposed::new(heap.process()), *space.arena().layout()).unwrap();
    let mut reader = watched.participant().unwrap();
    // Some ten accesses are a read that finds what it wants: it has looked many times by then.
    watched.arena().platform().at(1000, move || heap.store(slot.entries_reserved(), reserved, Relaxed));
    assert_eq!(reader.run(|tx| tx.read(cell)), Ok(integer(0)));
    assert!(!watched.arena().platform().forget(), "it was not mended before");
}
