//! What nothing names any more goes, rings and all; what something names stays: whoever moves it meanwhile, whoever dies.

use std::sync::{Arc, Mutex};

use crate::support::{MIB, MS, Tx, another, dies_at, integer, space_of};
use pso_engine::allocator;
use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{self, dict, list, queue, text, tuple};
use pso_engine::platform::Platform;
use pso_engine::space::Space;
use pso_engine::transaction::{CollectionEnd, Participant};
use pso_engine::word::{BlockPhase, Handle, Value};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

/// Nobody else is at work: nothing is waited for.
const NO_PATIENCE: u64 = 0;
/// More than fits a word.
const LONG: &str = "a text that needs a block of its own";

/// A list at the root of the space.
fn root_list<P: Platform>(tx: &mut Participant<P>) -> Handle {
    tx.run(|tx| {
        let list = list::create(tx)?;
        let root = tx.arena().root();
        tx.write(root, Value::handle(list))?;
        Ok(list)
    })
    .unwrap()
}

/// A list of `items` that nothing names yet.
fn list_of<P: Platform>(tx: &mut Participant<P>, items: &[Value]) -> Result<Handle, Stop> {
    let list = list::create(tx)?;
    items.iter().try_for_each(|item| list::push(tx, list, *item))?;
    Ok(list)
}

fn item<P: Platform>(tx: &mut Participant<P>, list: Handle, index: u64) -> Result<Handle, Stop> {
    Ok(list::get(tx, list, index)?.unwrap().as_handle().unwrap())
}

fn text_key<'a, P: Platform>(tx: &Participant<P>, name: &'a str) -> Key<'a> {
    Key::new(tx.arena().hash_key(), KeyView::Text(name))
}

/// Objects that a collection with nobody at work frees.
fn collected<P: Platform>(tx: &mut Participant<P>) -> u64 {
    match tx.collect_objects(NO_PATIENCE).unwrap() {
        CollectionEnd::Finished(collected) => collected.objects,
        other => panic!("nobody is at work: {other:?}"),
    }
}

fn live<P: Platform>(space: &Space<P>) -> usize {
    let mut count = 0;
    allocator::for_each_block(space.arena(), |_, state| count += usize::from(state.phase == BlockPhase::Live));
    count
}

fn nothing_waits<P: Platform>(space: &Space<P>) {
    allocator::for_each_block(space.arena(), |handle, state| {
        assert!(matches!(state.phase, BlockPhase::Live), "{handle:?} {state:?}");
    });
    assert_eq!(fsck_at_rest(space), vec![]);
}

/// One of everything: a dict that names a list, a queue, a dict and a tuple with a list in it; and texts wherever they may stand.
fn menagerie<P: Platform>(tx: &mut Participant<P>) -> Result<Handle, Stop> {
    let all = dict::create(tx)?;
    let long = text::encode(tx, LONG)?;
    let inner = list_of(tx, &[integer(1), long])?;
    let long = text::encode(tx, LONG)?;
    let in_tuple = list_of(tx, &[long])?;
    let waiting = queue::create(tx, 4)?;
    queue::put(tx, waiting, Value::handle(inner))?;
    let long = text::encode(tx, LONG)?;
    let pair = tuple::encode(tx, &[Value::handle(in_tuple), long])?;
    let outer = tuple::encode(tx, &[pair, integer(2)])?;
    for (number, value) in [Value::handle(inner), Value::handle(waiting), outer].into_iter().enumerate() {
        let name = format!("{LONG} {number}");
        let key = text_key(tx, &name);
        dict::set(tx, all, &key, value)?;
    }
    // More than eight, so that there are segments; removed again, so that places are empty and buckets have been replaced.
    for number in 0..40 {
        let name = format!("number {number}");
        let key = text_key(tx, &name);
        let value = text::encode(tx, LONG)?;
        if let Some(old) = dict::set(tx, all, &key, value)? {
            object::discard(tx, old)?;
        }
    }
    let own = text_key(tx, "itself");
    dict::set(tx, all, &own, Value::handle(all))?;
    Ok(all)
}

#[test]
fn what_nothing_names_goes_with_all_that_it_owns() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    tx.run(|tx| list::push(tx, root, integer(0))).unwrap();
    // The first time makes the logs as large as they have to be.
    tx.run(|tx| menagerie(tx).map(drop)).unwrap();
    assert_eq!(collected(&mut tx), 4);
    let before = live(&space);
    for round in 0..20 {
        tx.run(|tx| menagerie(tx).map(drop)).unwrap();
        assert!(live(&space) > before + 100);
        assert_eq!(collected(&mut tx), 4, "round {round}: two lists, a queue, the dict that names itself");
        assert_eq!(live(&space), before);
        nothing_waits(&space);
    }
}

#[test]
fn what_is_named_stays_as_it_was() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    let all = tx
        .run(|tx| {
            let all = menagerie(tx)?;
            list::push(tx, root, Value::handle(all))?;
            Ok(all)
        })
        .unwrap();
    let before = live(&space);
    (0..3).for_each(|_| assert_eq!(collected(&mut tx), 0));
    assert_eq!(live(&space), before);
    tx.run(|tx| {
        assert_eq!(dict::len(tx, all)?, 44);
        let name = format!("{LONG} 1");
        let key = text_key(tx, &name);
        let waiting = dict::get(tx, all, &key)?.unwrap().as_handle().unwrap();
        let inner = queue::get(tx, waiting)?.as_handle().unwrap();
        let long = item(tx, inner, 1)?;
        assert_eq!(text::with(tx, long, str::to_owned)?, LONG);
        Ok(())
    })
    .unwrap();
    // The list is still in the dict.
    assert_eq!(collected(&mut tx), 0);
    nothing_waits(&space);
}

#[test]
fn a_ring_goes_when_the_last_name_from_outside_does() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    const RING: u64 = 1000;
    tx.run(|tx| {
        let first = list::create(tx)?;
        let mut last = first;
        for _ in 1..RING {
            last = list_of(tx, &[Value::handle(last)])?;
        }
        list::push(tx, first, Value::handle(last))?;
        list::push(tx, root, Value::handle(last))
    })
    .unwrap();
    assert_eq!(collected(&mut tx), 0);
    tx.run(|tx| list::truncate(tx, root, 0)).unwrap();
    assert_eq!(collected(&mut tx), RING);
    nothing_waits(&space);
}

#[test]
fn a_shared_tuple_goes_with_its_last_name() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    tx.run(|tx| list::push(tx, root, integer(0))).unwrap();
    let before = live(&space);
    tx.run(|tx| {
        let long = text::encode(tx, LONG)?;
        let shared = tuple::encode(tx, &[long])?;
        tx.share(shared.as_handle().unwrap());
        list::push(tx, root, shared)?;
        list::push(tx, root, shared)
    })
    .unwrap();
    tx.run(|tx| list::truncate(tx, root, 2)).unwrap();
    assert_eq!(collected(&mut tx), 0);
    assert_eq!(live(&space), before + 2);
    tx.run(|tx| list::truncate(tx, root, 1)).unwrap();
    assert_eq!(collected(&mut tx), 1);
    assert_eq!(live(&space), before);
    nothing_waits(&space);
}

#[test]
fn who_began_before_is_waited_for_and_reads_on() {
    let (heap, space) = space_of(4 * MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut writer);
    writer
        .run(|tx| {
            let inner = list_of(tx, &[integer(42)])?;
            list::push(tx, root, Value::handle(inner))
        })
        .unwrap();
    reader.begin().unwrap();
    let inner = item(&mut reader, root, 0).unwrap();
    writer.run(|tx| list::truncate(tx, root, 0)).unwrap();
    assert_eq!(writer.collect_objects(MS).unwrap(), CollectionEnd::Unfinished);
    assert_eq!(list::get(&mut reader, inner, 0).unwrap(), Some(integer(42)));
    reader.abort();
    assert_eq!(collected(&mut writer), 1);
    nothing_waits(&space);
}

#[test]
fn one_collects_at_a_time_and_the_dead_do_not_count() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    root_list(&mut tx);
    let mut other = another(&heap, &space).participant().unwrap();
    let collection = other.open_collection(true).unwrap();
    assert_eq!(tx.collect_objects(MS).unwrap(), CollectionEnd::Busy);
    other.close_collection(collection);
    assert_eq!(collected(&mut tx), 0);
    let _left = other.open_collection(true).unwrap();
    heap.kill_process(other.space().process());
    std::mem::forget(other);
    assert_eq!(collected(&mut tx), 0);
    space.recover_dead();
    nothing_waits(&space);
}

/// The collector dies at every step: nothing that is named is lost, and the next one finds all that is not.
#[test]
fn a_collector_killed_at_any_step_loses_and_keeps_nothing() {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = root_list(&mut survivor);
    let kept = survivor
        .run(|tx| {
            let kept = menagerie(tx)?;
            list::push(tx, root, Value::handle(kept))?;
            Ok(kept)
        })
        .unwrap();
    let mut at_rest = None;
    // Each step a kill, and there are thousands of them: every one where blocks change, a part of the looks.
    for step in (0..).step_by(7) {
        let garbage = |tx: &mut Tx| {
            tx.run(|tx| {
                let ring = list::create(tx)?;
                let long = text::encode(tx, LONG)?;
                let pair = tuple::encode(tx, &[Value::handle(ring), long])?;
                tx.share(pair.as_handle().unwrap());
                let other = list_of(tx, &[Value::handle(ring), pair, pair])?;
                list::push(tx, ring, Value::handle(other))
            })
            .unwrap();
        };
        let through = dies_at(&heap, &space, step, garbage, |victim| {
            victim.collect_objects(NO_PATIENCE).unwrap();
        });
        // Work goes on beside what was left.
        survivor.run(|tx| list::push(tx, root, integer(1))).unwrap();
        survivor.run(|tx| list::truncate(tx, root, 1)).unwrap();
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}");
        let mut heir = space.participant().unwrap();
        heir.collect();
        heir.leave();
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}, and its heir");
        survivor.collect_objects(NO_PATIENCE).unwrap();
        nothing_waits(&space);
        let live = live(&space);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        assert_eq!(survivor.run(|tx| dict::len(tx, kept)).unwrap(), 44);
        if through {
            assert!(step > 1000, "only {step} steps");
            return;
        }
    }
}

/// Somebody who changes who names what, in one transaction or more.
type Mover = fn(&mut Tx, Handle) -> Result<(), Stop>;

/// At every step of a collection `mover` does its work. The root names three lists; the first names a fourth, which holds 42.
fn beside(mover: Mover, whole: u64) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut collector = space.participant().unwrap();
    let mut founder = others.participant().unwrap();
    let root = root_list(&mut founder);
    let other = Arc::new(Mutex::new(others.participant().unwrap()));
    for step in (0..).step_by(3) {
        founder
            .run(|tx| {
                let treasure = list_of(tx, &[integer(42)])?;
                let lists = [list_of(tx, &[Value::handle(treasure)])?, list_of(tx, &[])?, list_of(tx, &[])?];
                list::truncate(tx, root, 0)?;
                lists.into_iter().try_for_each(|list| list::push(tx, root, Value::handle(list)))
            })
            .unwrap();
        let mover_of = Arc::clone(&other);
        space.arena().platform().at(step, move || {
            mover(&mut mover_of.lock().unwrap(), root).unwrap();
        });
        let end = collector.collect_objects(NO_PATIENCE).unwrap();
        assert!(matches!(end, CollectionEnd::Finished(_)), "step {step}: {end:?}");
        let before = space.arena().platform().forget();
        if before {
            mover(&mut other.lock().unwrap(), root).unwrap();
        }
        assert_eq!(fsck_at_rest(&others), vec![], "step {step}");
        let treasure = founder.run(|tx| {
            let last = item(tx, root, 2)?;
            let treasure = item(tx, last, 0)?;
            list::get(tx, treasure, 0)
        });
        assert_eq!(treasure, Ok(Some(integer(42))), "step {step}");
        founder.run(|tx| list::truncate(tx, root, 0)).unwrap();
        founder.collect();
        assert!(collected(&mut founder) <= whole, "step {step}");
        assert_eq!(live(&others), live(&others));
        if before {
            assert!(step > 1000, "only {step} accesses");
            return;
        }
    }
}

/// Takes the treasure out of the list at `from`, to be put elsewhere.
fn take(tx: &mut Tx, root: Handle, from: u64) -> Result<Value, Stop> {
    let list = item(tx, root, from)?;
    let treasure = list::get(tx, list, 0)?.unwrap();
    list::truncate(tx, list, 0)?;
    Ok(treasure)
}

fn put(tx: &mut Tx, root: Handle, to: u64, treasure: Value) -> Result<(), Stop> {
    let list = item(tx, root, to)?;
    list::push(tx, list, treasure)
}

#[test]
fn what_moves_while_it_is_looked_for_stays() {
    beside(
        |tx, root| {
            tx.run(|tx| {
                let treasure = take(tx, root, 0)?;
                put(tx, root, 2, treasure)
            })
        },
        4,
    );
}

/// Over a place that the tracer may have passed, and out of it again.
#[test]
fn what_moves_twice_stays() {
    beside(
        |tx, root| {
            for (from, to) in [(0, 1), (1, 2)] {
                tx.run(|tx| {
                    let treasure = take(tx, root, from)?;
                    put(tx, root, to, treasure)
                })?;
            }
            Ok(())
        },
        4,
    );
}

/// The new list is made in the middle of the collection, and the treasure put into it by its first values.
#[test]
fn what_moves_into_something_new_stays() {
    beside(
        |tx, root| {
            tx.run(|tx| {
                let treasure = take(tx, root, 0)?;
                let treasure = treasure.as_handle().unwrap();
                let held = list::get(tx, treasure, 0)?.unwrap();
                let new = list_of(tx, &[held])?;
                let pair = tuple::encode(tx, &[Value::handle(treasure), Value::handle(new)])?;
                let last = item(tx, root, 2)?;
                list::push(tx, last, Value::handle(new))?;
                list::push(tx, last, pair)
            })
        },
        6,
    );
}

/// The list that named it goes, all of it; it stays.
#[test]
fn what_is_saved_from_something_that_goes_stays() {
    beside(
        |tx, root| {
            tx.run(|tx| {
                let first = item(tx, root, 0)?;
                let treasure = list::get(tx, first, 0)?.unwrap();
                put(tx, root, 2, treasure)?;
                list::set(tx, root, 0, Value::NONE).map(drop)
            })
        },
        4,
    );
}
