//! What processes hold: it is written down before the attempt that found it ends, stays until it is let go, and goes with its process,
//! wherever anybody is killed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::{Tx, another};
use pso_engine::arena::Geometry;
use pso_engine::fsck::{Finding, fsck, fsck_at_rest};
use pso_engine::holding::{Hold, for_each_held};
use pso_engine::object::list;
use pso_engine::participant::{PIECES, ProcessSlot};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, Value};
use pso_model::heap::Heap;

mod beside;
mod expiring;
mod kills;
mod slots;

/// Entries of the first piece of a table.
const BASE: u64 = 8;

/// A space whose tables grow soon.
fn space() -> (Heap, Arc<Space<Heap>>) {
    let (heap, layout) = Heap::space(Geometry { log_base: BASE / 2, ..Geometry::for_bytes(4 << 20).unwrap() });
    let space = Space::join(heap.clone(), layout).unwrap();
    (heap, space)
}

fn objects(tx: &mut Tx, count: usize) -> Vec<Handle> {
    tx.run(|tx| (0..count).map(|_| list::create(tx)).collect()).unwrap()
}

fn hold(tx: &mut Tx, handle: Handle) -> Hold {
    tx.run(|tx| tx.hold(handle)).unwrap()
}

fn held(space: &Space<Heap>) -> Vec<Handle> {
    let mut held = Vec::new();
    for_each_held(space.arena(), &mut |handle| held.push(handle)).unwrap();
    held
}

/// Which of these is held by nobody.
fn missing(space: &Space<Heap>, wanted: &[Handle]) -> Vec<Handle> {
    let held = held(space);
    wanted.iter().copied().filter(|handle| !held.contains(handle)).collect()
}

fn pieces(space: &Space<Heap>) -> u64 {
    let slot = ProcessSlot::of(space.arena(), space.process()).unwrap();
    (0..PIECES).filter(|piece| space.arena().platform().load(slot.holds_piece(*piece), Relaxed) != 0).count() as u64
}

#[test]
fn what_is_held_is_visited_until_it_is_released() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let objects = objects(&mut tx, 100);
    assert_eq!(held(&space), vec![]);
    let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
    assert_eq!(missing(&space, &objects), vec![]);
    assert_eq!(held(&space).len(), 100);
    for (number, hold) in holds.iter().enumerate() {
        if number % 2 == 0 {
            space.release(*hold)
        } else {
            tx.release(*hold)
        }
        assert_eq!(missing(&space, &objects[number + 1..]), vec![]);
        assert_eq!(held(&space).len(), 99 - number);
    }
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn the_same_object_may_be_held_any_number_of_times() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    let (first, second) = (hold(&mut tx, object), hold(&mut tx, object));
    space.release(first);
    // A token is good once.
    space.release(first);
    assert_eq!(held(&space), vec![object]);
    space.release(second);
    assert_eq!(held(&space), vec![]);
}

#[test]
fn what_an_attempt_held_is_held_though_it_was_rolled_back() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    tx.begin().unwrap();
    let kept = tx.hold(object).unwrap();
    let made = list::create(&mut tx).unwrap();
    let void = tx.hold(made).unwrap();
    tx.abort();
    assert_eq!(held(&space).len(), 2);
    // An entry whose block is gone is no damage.
    assert_eq!(fsck_at_rest(&space), vec![]);
    space.release(kept);
    space.release(void);
    assert_eq!(held(&space), vec![]);
}

#[test]
fn a_table_has_room_for_what_is_held_at_once_and_not_for_all_that_ever_was() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let objects = objects(&mut tx, 1000);
    for round in 0..20 {
        let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
        assert_eq!(held(&space).len(), 1000, "round {round}");
        // Nobody notes more than a few of them.
        holds.into_iter().for_each(|hold| space.release(hold));
    }
    assert!(pieces(&space) <= 9, "{} pieces", pieces(&space));
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: a search that passes entries which stay, all side by side, takes the whole table for full.
#[test]
fn a_table_stays_as_it_is_however_often_what_is_held_beside_much_else_changes() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let objects = objects(&mut tx, 1000);
    let stays: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
    for _ in 0..200 {
        let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
        holds.into_iter().for_each(|hold| space.release(hold));
    }
    assert!(pieces(&space) <= 9, "{} pieces", pieces(&space));
    stays.into_iter().for_each(|hold| space.release(hold));
}

#[test]
fn an_export_is_held_until_somebody_has_adopted_it() {
    let (heap, space) = space();
    let other = another(&heap, &space);
    let mut tx = space.participant().unwrap();
    let mut loader = other.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    let of_proxy = hold(&mut tx, object);
    let of_pickle = hold(&mut tx, object);
    let export = space.export(of_pickle).unwrap();
    assert_eq!(space.export(of_pickle), None, "the token is void");
    space.release(of_pickle);
    space.release(of_proxy);
    assert_eq!(held(&space), vec![object]);
    let loaded = hold(&mut loader, object);
    assert!(other.adopt(export));
    assert_eq!(held(&space), vec![object]);
    assert!(!other.adopt(export), "the second who loads it");
    other.release(loaded);
    assert_eq!(held(&space), vec![]);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn who_loads_twice_does_not_take_out_the_next_export_in_the_same_entry() {
    let (heap, space) = space();
    let other = another(&heap, &space);
    let mut tx = space.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    let mut exports = Vec::new();
    // Until entries come again.
    for _ in 0..200 {
        let token = hold(&mut tx, object);
        let export = space.export(token).unwrap();
        assert!(exports.iter().all(|known| !other.adopt(*known)), "an export that was taken out");
        assert_eq!(held(&space), vec![object]);
        assert!(other.adopt(export));
        exports.push(export);
    }
    assert!(exports.iter().any(|export| export.index == exports[0].index && *export != exports[0]));
    assert!(pieces(&space) <= 2, "{} pieces", pieces(&space));
}

#[test]
fn who_leaves_holds_nothing_and_its_heir_finds_its_table() {
    let (heap, space) = space();
    let other = another(&heap, &space);
    let mut tx = other.participant().unwrap();
    let objects = objects(&mut tx, 50);
    let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
    let export = other.export(holds[0]).unwrap();
    let (slot, grown) = (other.process(), pieces(&other));
    tx.leave();
    other.leave();
    assert_eq!(held(&space), vec![]);
    assert!(!space.adopt(export));
    assert_eq!(fsck_at_rest(&space), vec![]);
    let heir = another(&heap, &space);
    assert_eq!((heir.process(), pieces(&heir)), (slot, grown));
    let mut tx = heir.participant().unwrap();
    let mine = hold(&mut tx, objects[0]);
    let exported = heir.export(mine).unwrap();
    assert!(!space.adopt(export), "of another life of the slot");
    assert!(space.adopt(exported));
}

#[test]
fn what_the_dead_held_is_let_go_by_whoever_finds_them() {
    for taken in [false, true] {
        let (heap, space) = space();
        let doomed = another(&heap, &space);
        let mut tx = doomed.participant().unwrap();
        let objects = objects(&mut tx, 50);
        objects.iter().for_each(|object| {
            hold(&mut tx, *object);
        });
        heap.kill_process(doomed.process());
        assert_eq!(held(&space).len(), 50);
        if taken {
            // All slots but the dead one's are taken: the next one to join takes that directly.
            let mut others = Vec::new();
            while others.len() + 2 < space.arena().layout().geometry().process_slots as usize {
                let slots = space.arena().layout().geometry().process_slots;
                let free = (0..slots)
                    .filter(|number| {
                        let id = pso_engine::word::ProcessSlotId(*number as u16);
                        let state = ProcessSlot::of(space.arena(), id).unwrap().state(space.arena());
                        state.phase == pso_engine::participant::ProcessPhase::Free
                    })
                    .count();
                if free == 0 {
                    break;
                }
                others.push(another(&heap, &space));
            }
            std::mem::forget(others);
            let _ = Space::join(heap.process(), *space.arena().layout());
        } else {
            space.recover_dead();
        }
        assert_eq!(held(&space), vec![]);
        assert_eq!(fsck_at_rest(&space), vec![]);
        std::mem::forget(tx);
    }
}

#[test]
fn what_a_parent_lets_go_stays_until_its_child_has_it() {
    let (heap, space) = space();
    let mut tx = space.participant().unwrap();
    let objects = objects(&mut tx, 60);
    let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
    space.before_fork();
    holds[..30].iter().for_each(|hold| tx.release(*hold));
    assert_eq!(missing(&space, &objects), vec![], "put off");
    assert_eq!(held(&space).len(), 60);
    // What `rejoin` does once the child has a slot.
    let child = another(&heap, &space);
    let noted = space.held_at_fork().expect("a note");
    assert_eq!(space.held_at_fork(), None, "one child for each note");
    assert!(child.take_over_held(space.claim(), &noted).unwrap());
    assert_eq!(held(&space).len(), 120);
    // The next release in the parent empties what was put off, and the tokens that the child has from its parent are good there.
    space.release(holds[30]);
    assert_eq!(held(&space).len(), 60 + 29);
    holds.iter().for_each(|hold| child.release(*hold));
    assert_eq!(held(&space).len(), 29);
    assert_eq!(missing(&space, &objects[31..]), vec![]);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn a_fork_that_failed_puts_nothing_off() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    let (early, late) = (hold(&mut tx, object), hold(&mut tx, object));
    space.before_fork();
    space.release(early);
    assert_eq!(held(&space).len(), 2);
    space.after_fork_failed();
    space.after_fork_failed();
    space.release(late);
    assert_eq!(held(&space), vec![]);
}

#[test]
fn a_parent_that_leaves_before_its_child_has_come_leaves_what_it_held() {
    let (heap, space) = space();
    let parent = another(&heap, &space);
    let mut tx = parent.participant().unwrap();
    let objects = objects(&mut tx, 20);
    let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
    parent.before_fork();
    tx.leave();
    let (claim, noted) = (parent.claim(), parent.held_at_fork().expect("a note"));
    parent.leave();
    assert_eq!(missing(&space, &objects), vec![]);
    let child = another(&heap, &space);
    assert!(child.take_over_held(claim, &noted).unwrap());
    holds.iter().for_each(|hold| child.release(*hold));
    assert_eq!(held(&space).len(), 20, "those of the parent, until it ends");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn a_child_whose_parent_has_let_go_holds_nothing_and_is_told() {
    for killed in [true, false] {
        let (heap, space) = space();
        let process = heap.process();
        let parent = Space::join(process.clone(), *space.arena().layout()).unwrap();
        let mut tx = parent.participant().unwrap();
        let objects = objects(&mut tx, 20);
        let holds: Vec<Hold> = objects.iter().map(|object| hold(&mut tx, *object)).collect();
        parent.before_fork();
        let (claim, noted) = (parent.claim(), parent.held_at_fork().expect("a note"));
        if killed {
            std::mem::forget(tx);
            process.kill();
            space.recover_dead();
        } else {
            // As who forks without a word to us after a child that has come: one is gone, and another is held in its place.
            parent.after_fork_failed();
            tx.release(holds[7]);
        }
        let before = held(&space).len();
        let child = another(&heap, &space);
        assert!(!child.take_over_held(claim, &noted).unwrap(), "killed: {killed}");
        assert_eq!(held(&space).len(), before, "killed: {killed}");
        assert_eq!(fsck_at_rest(&space), vec![]);
    }
}

#[test]
fn threads_of_a_process_share_its_table() {
    let (_, space) = space();
    let mut tx = space.participant().unwrap();
    let objects = objects(&mut tx, 40);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (space, mine) = (&space, &objects[thread * 10..][..10]);
            scope.spawn(move || {
                let mut tx = space.participant().unwrap();
                for round in 0..300 {
                    let holds: Vec<Hold> = mine.iter().map(|object| hold(&mut tx, *object)).collect();
                    assert_eq!(missing(space, mine), vec![]);
                    for (number, hold) in holds.into_iter().enumerate() {
                        if (number + round) % 3 == 0 { space.release(hold) } else { tx.release(hold) }
                    }
                }
                tx.leave();
            });
        }
    });
    assert_eq!(held(&space), vec![]);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn the_check_for_what_is_missing_can_fail() {
    let (heap, space) = space();
    let mut tx = space.participant().unwrap();
    let object = objects(&mut tx, 1)[0];
    hold(&mut tx, object);
    let slot = ProcessSlot::of(space.arena(), space.process()).unwrap();
    let piece = Handle::from_raw(heap.load(slot.holds_piece(0), Relaxed)).unwrap();
    let first = piece.block().offset(BLOCK_HEADER_WORDS);
    for entry in 0..BASE {
        heap.store(first.offset(2 * entry), 0, Relaxed);
    }
    assert_eq!(missing(&space, &[object]), vec![object]);
}

#[test]
fn damage_to_a_table_is_found() {
    let damaged = |damage: &dyn Fn(&Heap, ProcessSlot)| {
        let (heap, space) = space();
        let other = another(&heap, &space);
        let mut tx = other.participant().unwrap();
        let objects = objects(&mut tx, 4);
        objects.iter().for_each(|object| {
            hold(&mut tx, *object);
        });
        assert_eq!(fsck_at_rest(&space), vec![]);
        damage(&heap, ProcessSlot::of(space.arena(), other.process()).unwrap());
        (fsck(&space), fsck_at_rest(&space))
    };
    let first_entry = |heap: &Heap, slot: ProcessSlot| {
        Handle::from_raw(heap.load(slot.holds_piece(0), Relaxed)).unwrap().block().offset(BLOCK_HEADER_WORDS)
    };
    let (found, _) = damaged(&|heap, slot| heap.store(first_entry(heap, slot), 0x10f, Relaxed));
    assert!(matches!(found[..], [Finding::Held { word: 0x10f, .. }]), "{found:?}");
    // The slot is free, and somebody holds something.
    let (found, _) = damaged(&|heap, slot| {
        heap.store(first_entry(heap, slot), 0x104, Relaxed);
        let state = heap.load(slot.state_word(), Relaxed);
        heap.store(slot.state_word(), state & !0xff, Relaxed);
    });
    assert!(found.iter().any(|finding| matches!(finding, Finding::Held { .. })), "{found:?}");
    let (found, _) = damaged(&|heap, slot| heap.store(slot.holds_piece(0), 0x104, Relaxed));
    assert!(matches!(found[..], [Finding::HoldsPiece { .. }]), "{found:?}");
    let (_, found) = damaged(&|heap, slot| heap.store(slot.holds_piece(0), 0, Relaxed));
    assert!(matches!(found[..], [Finding::UnnamedHoldsPiece { .. }]), "{found:?}");
}

/// A word that says where entries stand may say anything: what stands there is not taken for entries, and above all not emptied.
#[test]
fn entries_of_the_dead_are_looked_for_in_tables_only() {
    let (heap, space) = space();
    let mut tx = space.participant().unwrap();
    let list = tx
        .run(|tx| {
            let list = list::create(tx)?;
            (0..300).try_for_each(|number| list::push(tx, list, Value::int(number).unwrap()))?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(list))?;
            Ok(list)
        })
        .unwrap();
    let mut arrays = Vec::new();
    pso_engine::allocator::for_each_block(space.arena(), |handle, state| {
        arrays.extend((state.kind == BlockKind::Cells).then_some(handle));
    });
    assert!(!arrays.is_empty());
    for array in arrays {
        let doomed = another(&heap, &space);
        let mut dead = doomed.participant().unwrap();
        hold(&mut dead, list);
        let slot = ProcessSlot::of(space.arena(), doomed.process()).unwrap();
        let piece = heap.load(slot.holds_piece(0), Relaxed);
        heap.store(slot.holds_piece(0), array.raw(), Relaxed);
        std::mem::forget(dead);
        heap.kill_process(doomed.process());
        space.recover_dead();
        heap.store(slot.holds_piece(0), piece, Relaxed);
        let items = tx.run(|tx| (0..300).map(|index| list::get(tx, list, index)).collect::<Result<Vec<_>, _>>());
        assert!(items.unwrap().iter().enumerate().all(|(index, item)| *item == Value::int(index as i64)));
    }
}
