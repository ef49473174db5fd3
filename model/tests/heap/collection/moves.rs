//! Moves of the one name of something beside a collection, at its every third step: by attempts that begin there, and by such as have begun before.

use std::sync::{Arc, Mutex};

use super::{NO_PATIENCE, collected, item, list_of, root_list};
use crate::support::{MIB, Tx, integer};
use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::{list, tuple};
use pso_engine::space::Space;
use pso_engine::transaction::CollectionEnd;
use pso_engine::word::{Handle, Value};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

/// Somebody who changes who names what, in one transaction or more.
type Mover = fn(&mut Tx, Handle) -> Result<(), Stop>;

fn nothing(_: &mut Tx, _: Handle) -> Result<(), Stop> {
    Ok(())
}

/// At every step of a collection `mover` does its work. The root names three lists; the first names a fourth, which holds 42.
fn beside(mover: Mover, whole: u64) {
    beside_an_older(nothing, mover, whole);
}

/// The same for somebody who has begun before the collection has.
fn beside_an_older(beginning: Mover, mover: Mover, whole: u64) {
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
        beginning(&mut other.lock().unwrap(), root).unwrap();
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

/// The name is in the log of an attempt that began before, and goes where the tracer has been.
#[test]
fn what_an_older_attempt_moves_stays() {
    beside_an_older(
        |tx, root| {
            tx.begin()?;
            let treasure = take(tx, root, 0)?;
            put(tx, root, 2, treasure)
        },
        |tx, _| tx.commit(),
        4,
    );
}

/// All but the commit is done before the collection begins: a new list, and a tuple in it, name the treasure, and were made when nobody
/// collected.
#[test]
fn what_an_older_attempt_has_put_into_something_new_stays() {
    beside_an_older(
        |tx, root| {
            tx.begin()?;
            let treasure = take(tx, root, 0)?.as_handle().unwrap();
            let held = list::get(tx, treasure, 0)?.unwrap();
            let new = list_of(tx, &[held])?;
            let pair = tuple::encode(tx, &[Value::handle(treasure), Value::handle(new)])?;
            let last = item(tx, root, 2)?;
            list::push(tx, last, Value::handle(new))?;
            list::push(tx, last, pair)
        },
        |tx, _| tx.commit(),
        6,
    );
}

/// The older attempt has only begun, and reads and moves beside the collection.
#[test]
fn what_an_attempt_moves_that_had_only_begun_stays() {
    beside_an_older(
        |tx, _| tx.begin(),
        |tx, root| {
            let treasure = take(tx, root, 0)?;
            put(tx, root, 2, treasure)?;
            tx.commit()
        },
        4,
    );
}

/// Nothing but the older attempt's process names the treasure any more; it begins to hold it, ends, and puts it back later.
#[test]
fn what_an_older_attempt_begins_to_hold_stays() {
    beside_an_older(
        |tx, root| {
            tx.begin()?;
            let first = item(tx, root, 0)?;
            item(tx, first, 0).map(drop)
        },
        |tx, root| {
            let first = item(tx, root, 0)?;
            let treasure = item(tx, first, 0)?;
            let hold = tx.hold(treasure)?;
            tx.abort();
            tx.run(|tx| list::set(tx, root, 0, Value::NONE).map(drop))?;
            tx.run(|tx| put(tx, root, 2, Value::handle(treasure)))?;
            tx.release(hold);
            Ok(())
        },
        4,
    );
}

/// Random numbers that are the same each time (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

const BOXES: u64 = 4;
const EACH: u64 = 4;

/// One transaction of somebody who moves items between boxes, in every way that changes who names what.
fn shuffle(tx: &mut Tx, boxes: Handle, state: &mut u64) {
    let (first, second, way) = (next(state) % BOXES, next(state) % BOXES, next(state) % 4);
    tx.run(|tx| {
        let from = item(tx, boxes, first)?;
        let length = list::len(tx, from)?;
        if length == 0 {
            return Ok(());
        }
        let taken = list::remove(tx, from, length - 1)?.unwrap();
        let to = item(tx, boxes, second)?;
        match way {
            0 => list::push(tx, to, taken),
            1 => list::insert(tx, to, 0, taken),
            2 => {
                let number = list::get(tx, taken.as_handle().unwrap(), 0)?.unwrap();
                let copy = list_of(tx, &[number])?;
                list::insert(tx, to, 0, Value::handle(copy))
            }
            _ => {
                list::push(tx, to, taken)?;
                let mut items = Vec::new();
                for index in 0..list::len(tx, to)? {
                    items.push(list::get(tx, to, index)?.unwrap());
                }
                let new = list_of(tx, &items)?;
                list::set(tx, boxes, second, Value::handle(new)).map(drop)
            }
        }
    })
    .unwrap();
}

/// Somebody moves items all the time while others collect.
#[test]
fn what_moves_all_the_time_stays() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(64 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut collector = space.participant().unwrap();
    let mut founder = others.participant().unwrap();
    let root = root_list(&mut founder);
    founder
        .run(|tx| {
            for number in 0..BOXES {
                let items: Vec<Value> = (0..EACH)
                    .map(|each| Ok(Value::handle(list_of(tx, &[integer((number * EACH + each) as i64)])?)))
                    .collect::<Result<_, Stop>>()?;
                let all = list_of(tx, &items)?;
                list::push(tx, root, Value::handle(all))?;
            }
            Ok(())
        })
        .unwrap();
    let mover = Arc::new(Mutex::new((others.participant().unwrap(), 88_172_645_463_325_252u64)));
    for round in 0..2_000u64 {
        fn again(space: Arc<Space<Interposed<Heap>>>, mover: Arc<Mutex<(Tx, u64)>>, root: Handle, gap: u64) {
            let platform_of = Arc::clone(&space);
            let distance = next(&mut mover.lock().unwrap().1) % gap;
            space.arena().platform().at(distance, move || {
                {
                    let (tx, state) = &mut *mover.lock().unwrap();
                    for _ in 0..1 + next(state) % 2 {
                        shuffle(tx, root, state);
                    }
                }
                again(platform_of, mover, root, gap);
            });
        }
        again(Arc::clone(&space), Arc::clone(&mover), root, 200 + round % 1700);
        collector.collect_objects(NO_PATIENCE).unwrap();
        space.arena().platform().forget();
        let mut numbers = founder
            .run(|tx| {
                let mut numbers = Vec::new();
                for number in 0..BOXES {
                    let all = item(tx, root, number)?;
                    for index in 0..list::len(tx, all)? {
                        let one = item(tx, all, index)?;
                        numbers.push(list::get(tx, one, 0)?.unwrap().as_int().unwrap());
                    }
                }
                Ok(numbers)
            })
            .unwrap_or_else(|stop| panic!("round {round}: {stop}"));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..(BOXES * EACH) as i64).collect::<Vec<_>>(), "round {round}");
    }
    assert_eq!(fsck_at_rest(&others), vec![]);
}
