//! Who is in no attempt may still have to do with memory that goes back to the system: with what he waits for, or what he holds in vain.
//! The heap panics at an access to a page that has no memory.

use std::sync::atomic::{AtomicU64, Ordering::Release};

use super::pages::{push, space_with_pages_watched};
use super::*;
use pso_engine::collection::Patience;
use pso_engine::transaction::Sleeper;
use pso_model::interpose::Interposed;

/// Instead of sleeping takes everything out of the space and gives its memory back.
struct Removes {
    tx: Tx,
    /// Those whose attempts hold it.
    busy: Vec<Tx>,
}

impl Sleeper for Removes {
    fn sleep(&mut self, _: &mut dyn FnMut()) -> bool {
        self.busy.drain(..).for_each(|mut tx| tx.abort());
        let Self { tx, .. } = self;
        tx.run(|tx| {
            let root = tx.arena().root();
            let old = tx.read(root)?.as_handle().unwrap();
            if allocator::check(tx.arena(), old)?.kind == BlockKind::Cells {
                tx.discard(old)?;
            }
            tx.write(root, Value::int(0).unwrap())
        })
        .unwrap();
        tx.collect_objects(0).unwrap();
        tx.collect();
        assert!(tx.give_back_pages());
        true
    }
}

/// The list in the root, if there is one.
fn in_root(tx: &mut Tx) -> Result<Option<Handle>, Stop> {
    let root = tx.arena().root();
    Ok(tx.read(root)?.as_handle())
}

#[test]
fn who_sleeps_until_something_changes_looks_at_no_page_that_is_gone() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 0);
    push(&mut tx, list, 0..1500);
    let mut waiter = another(&heap, &space).participant().unwrap();
    waiter.set_sleeper(Box::new(Removes { tx, busy: vec![] }));
    let before = heap.committed_words();
    let found = waiter.run(|tx| match in_root(tx)? {
        None => Ok(true),
        Some(list) => {
            (0..1500).try_for_each(|index| list::get(tx, list, index).map(drop))?;
            Err(Stop::Retry)
        }
    });
    assert_eq!(found, Ok(true));
    assert!(heap.committed_words() < before / 2);
}

#[test]
fn who_sleeps_in_the_second_row_looks_at_no_page_that_is_gone() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let last = *crate::support::cells(&mut tx, 50_000).last().unwrap();
    let write = |tx: &mut Tx| tx.write(last, Value::int(1).unwrap());
    // The owner of the cell, and somebody in the place at him.
    let mut owner = another(&heap, &space).participant().unwrap();
    owner.begin().unwrap();
    write(&mut owner).unwrap();
    let mut first = another(&heap, &space).participant().unwrap();
    first.begin().unwrap();
    let place = Slot::of(space.arena(), owner.id()).unwrap().queue_to();
    heap.store(place, crate::support::attempt_of(&first).pack(), Release);
    let mut waiter = another(&heap, &space).participant().unwrap();
    waiter.set_sleeper(Box::new(Removes { tx, busy: vec![first, owner] }));
    let before = heap.committed_words();
    let found = waiter.run(|tx| match in_root(tx)? {
        None => Ok(true),
        Some(_) => write(tx).map(|()| false),
    });
    assert_eq!(found, Ok(true), "it has slept in the second row");
    assert!(heap.committed_words() < before);
}

fn make_lists(tx: &mut Tx) -> Vec<Handle> {
    (0..20_000).map(|_| list::create(tx).unwrap()).collect()
}

/// What an attempt made and its process took hold of is held though the attempt was rolled back. Whoever follows the guard finds that it is gone, and no
/// page without memory; those go when the guards do.
#[test]
fn what_is_held_in_vain_stays_backed() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    tx.begin().unwrap();
    let made = make_lists(&mut tx);
    let holds: Vec<_> = made.iter().map(|list| tx.hold(*list).unwrap()).collect();
    tx.abort();
    let full = heap.committed_words();
    for tx in [&mut tx, &mut other] {
        assert!(tx.give_back_pages());
        for list in &made {
            let gone = tx.run(|tx| list::len(tx, *list)).unwrap_err();
            assert!(matches!(gone, Stop::Stale(_)), "{gone:?}");
        }
    }
    holds.into_iter().for_each(|hold| space.release(hold));
    assert!(tx.give_back_pages());
    let now = heap.committed_words();
    assert!(now + 8 * 8192 < full, "{full} words before, {now} now");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// An entry may come after the pages have gone: the child of a fork copies what its parent held in vain. Collections pass it by.
#[test]
fn what_is_held_in_vain_is_not_looked_at() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    tx.begin().unwrap();
    let made = make_lists(&mut tx);
    tx.abort();
    assert!(tx.give_back_pages());
    tx.begin().unwrap();
    let holds: Vec<_> = made.iter().map(|list| tx.hold(*list).unwrap()).collect();
    tx.abort();
    let gone = made.iter().filter(|list| allocator::check_fully(space.arena(), **list).is_err()).count();
    assert_eq!(gone, made.len());
    other.collect_objects(0).unwrap();
    let collection = other.open_collection(Patience::IN_A_HURRY).unwrap();
    holds.into_iter().for_each(|hold| space.release(hold));
    other.close_collection(collection);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Whoever adopts what a process has exported may let go of it while that process leaves.
#[test]
fn who_leaves_looks_at_no_page_that_is_gone() {
    let mut gone = 0;
    for step in 0.. {
        let (heap, space) = space_with_pages_watched();
        let leaver = Interposed::new(heap.process());
        let leaving = Space::join(leaver.clone(), *space.arena().layout()).unwrap();
        let mut its = leaving.participant().unwrap();
        let made: Vec<Handle> = its.run(|tx| (0..5000).map(|_| list::create(tx)).collect()).unwrap();
        let hold = its.run(|tx| tx.hold(made[2500])).unwrap();
        let export = leaving.export(hold).unwrap();
        its.leave();
        let mut tx = space.participant().unwrap();
        let mut other = another(&heap, &space).participant().unwrap();
        let collection = other.open_collection(Patience::IN_A_HURRY).unwrap();
        let (there, freed) = (Arc::clone(&space), Arc::new(AtomicU64::new(0)));
        let freed_there = Arc::clone(&freed);
        leaver.at(step, move || {
            let is_adopted = there.adopt(export);
            other.close_collection(collection);
            tx.collect_objects(0).unwrap();
            tx.collect();
            let all = tx.give_back_pages();
            freed_there.store(u64::from(is_adopted && all), Relaxed);
        });
        leaving.leave();
        gone += freed.load(Relaxed);
        if leaver.forget() {
            break;
        }
    }
    assert!(gone > 0, "nothing was ever adopted and given back");
}

/// Who is killed in the last steps of an attempt has no lock any more, and nobody waits for him: what he wrote may be taken out, freed and given back before
/// anybody recovers him. The danger: who recovers looks at the cells for his locks.
#[test]
fn who_recovers_looks_at_no_page_that_is_gone() {
    for commits in [true, false] {
        let mut given_back = 0;
        for step in 0.. {
            let (heap, space) = space_with_pages_watched();
            let mut survivor = space.participant().unwrap();
            let cell = *crate::support::cells(&mut survivor, 50_000).last().unwrap();
            let before = heap.committed_words();
            let work = |tx: &mut Tx| {
                tx.begin().unwrap();
                tx.write(cell, Value::int(1).unwrap()).unwrap();
                if commits { tx.commit().unwrap() } else { tx.abort() }
            };
            let through = crate::support::dies_at(&heap, &space, step, |_| (), work);
            survivor
                .run(|tx| {
                    let root = tx.arena().root();
                    let old = tx.read(root)?.as_handle().unwrap();
                    tx.discard(old)?;
                    tx.write(root, Value::int(0).unwrap())
                })
                .unwrap();
            survivor.collect();
            survivor.give_back_pages();
            given_back += u64::from(heap.committed_words() < before);
            space.recover_dead();
            assert_eq!(fsck_at_rest(&space), vec![], "killed at step {step}");
            if through {
                break;
            }
        }
        assert!(given_back > 1, "nothing was given back before he was recovered");
    }
}

/// A process may name what it held once, was away, and holds no more: all of it may be gone. Who says so is told, and goes on.
#[test]
fn who_names_what_it_held_once_looks_at_no_page_that_is_gone() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let there = texts(&mut tx, 1);
    let full = heap.committed_words();
    tx.begin().unwrap();
    let made = make_lists(&mut tx);
    tx.abort();
    assert!(tx.give_back_pages());
    assert!(heap.committed_words() < full + 8 * 8192);
    tx.set_names_in_doubt(true);
    for list in &made {
        let asked = [
            tx.run(|tx| list::len(tx, *list).map(drop)),
            tx.run(|tx| object::dict::len(tx, *list).map(drop)),
            tx.run(|tx| object::queue::len(tx, *list).map(drop)),
            tx.run(|tx| tx.check_named(*list).map(drop)),
        ];
        assert!(asked.iter().all(|told| matches!(told, Err(Stop::Stale(_)))), "{asked:?}");
    }
    assert_eq!(tx.run(|tx| list::len(tx, there)), Ok(1));
    let (wanted, found) = (BlockKind::Dict, BlockKind::List);
    assert_eq!(tx.run(|tx| object::dict::len(tx, there)), Err(Stop::WrongKind { wanted, found }));
    assert_eq!(fsck_at_rest(&space), vec![]);
}
