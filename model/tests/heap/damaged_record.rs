//! A lock whose record was damaged, and whose owner is dead: nobody is left who could take it away. The danger: a reader looks at it again and again, for
//! ever.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::error::Stop;
use pso_engine::participant::{Entry, Slot, status_of};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{CellAddress, LockWord, LockedBy, State, Status};
use pso_model::heap::Heap;

use crate::support::{MIB, Tx, another, cells, contents, integer, space_of};

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

/// It would meet the damage itself: who reads waits for that.
#[test]
fn beside_a_living_owner_the_reader_goes_on_when_the_lock_goes() {
    let Stage { heap, space, cell, mut reader, slot, .. } = stage();
    let reserved = heap.load(slot.entries_reserved(), Relaxed);
    heap.store(slot.entries_reserved(), 0, Relaxed);
    reader.abort();
    let mended = std::thread::spawn({
        let heap = heap.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            heap.store(slot.entries_reserved(), reserved, Relaxed);
        }
    });
    assert_eq!(contents(&mut reader, &[cell]), [0]);
    mended.join().unwrap();
    let LockWord::Locked(LockedBy { entry, .. }) = LockWord::unpack(heap.load(cell.lock_word(), Relaxed)) else {
        panic!("it is locked all the time")
    };
    let found = pso_engine::participant::foreign_entry(space.arena(), slot, entry, cell);
    assert!(found.map(|entry: Entry| entry.target(space.arena())).is_some());
}
