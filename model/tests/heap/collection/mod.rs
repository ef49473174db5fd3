//! What nothing names any more goes, rings and all; what something names stays: whoever moves it meanwhile, whoever dies.

mod anew;
mod by_turns;
mod copied;
mod damaged;
mod heard_of;
mod helped;
mod moves;
mod pieces;
mod taken;
mod trees;

use std::sync::{Arc, Mutex};

use crate::support::{MIB, MS, Tx, another, dies_at, integer, space_of, space_of_few, stands_at};
use pso_engine::allocator;
use pso_engine::arena::Geometry;
use pso_engine::collection::{Patience, Step};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{self, dict, list, queue, text, tuple};
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::{Memory, Ordering::Relaxed, Platform};
use pso_engine::space::Space;
use pso_engine::transaction::{CollectionEnd, Participant};
use pso_engine::word::{BlockPhase, Handle, State, Value};
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
        CollectionEnd::Finished(collected) => {
            assert_eq!(collected.damage, None);
            collected.objects
        }
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

/// What the dead left is finished, by whoever finds it, by an heir and by a collection. Gives the number of LIVE blocks.
fn live_after_a_kill(space: &Arc<Space<Heap>>, survivor: &mut Tx, step: u64) -> usize {
    space.recover_dead();
    assert_eq!(fsck_at_rest(space), vec![], "after a kill at step {step}");
    let mut heir = space.participant().unwrap();
    heir.collect();
    heir.leave();
    assert_eq!(fsck_at_rest(space), vec![], "after a kill at step {step}, and its heir");
    collected(survivor);
    nothing_waits(space);
    live(space)
}

/// A ring that nothing names, with a shared tuple in it.
fn garbage<P: Platform>(tx: &mut Participant<P>) {
    tx.run(|tx| {
        let ring = list::create(tx)?;
        let long = text::encode(tx, LONG)?;
        let pair = tuple::encode(tx, &[Value::handle(ring), long])?;
        tx.share(pair.as_handle().unwrap());
        let other = list_of(tx, &[Value::handle(ring), pair, pair])?;
        list::push(tx, ring, Value::handle(other))
    })
    .unwrap();
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

/// A reader stands still with the name of an object that has no other: it is not freed, and all else is.
#[test]
fn who_stands_still_keeps_what_it_has_read_and_nothing_else() {
    let (heap, space) = space_of(4 * MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut writer);
    writer
        .run(|tx| {
            let inner = list_of(tx, &[integer(42)])?;
            let in_tuple = list_of(tx, &[integer(43)])?;
            let pair = tuple::encode(tx, &[Value::handle(in_tuple), integer(1)])?;
            let outer = list_of(tx, &[Value::handle(inner)])?;
            let other = list_of(tx, &[Value::handle(inner)])?;
            for value in [Value::handle(outer), Value::handle(other), pair] {
                list::push(tx, root, value)?;
            }
            Ok(())
        })
        .unwrap();
    reader.begin().unwrap();
    let outer = item(&mut reader, root, 0).unwrap();
    let pair = item(&mut reader, root, 2).unwrap();
    writer
        .run(|tx| {
            let pair = list::get(tx, root, 2)?.unwrap();
            object::discard(tx, pair)?;
            list::truncate(tx, root, 0)
        })
        .unwrap();
    assert_eq!(collected(&mut writer), 1, "but for the two that it has read, and what they name");
    // What was taken out holds it, and only the reader holds that.
    let in_tuple = tuple::item(&reader, pair, 0).unwrap().unwrap().as_handle().unwrap();
    assert_eq!(list::get(&mut reader, in_tuple, 0).unwrap(), Some(integer(43)));
    let inner = item(&mut reader, outer, 0).unwrap();
    assert_eq!(list::get(&mut reader, inner, 0).unwrap(), Some(integer(42)));
    reader.abort();
    assert_eq!(collected(&mut writer), 3);
    nothing_waits(&space);
}

/// Whoever has collected, and is in an attempt now, holds what that attempt has read: not the block that its collection looked at last.
#[test]
fn who_has_collected_holds_nothing_of_that_in_a_later_attempt() {
    let (heap, space) = space_of(4 * MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut writer);
    let last = writer.run(|tx| {
        let last = list_of(tx, &[integer(42)])?;
        list::push(tx, root, Value::handle(last))?;
        Ok(last)
    });
    assert_eq!(collected(&mut reader), 0);
    let slot = Slot::of(space.arena(), reader.id()).unwrap();
    let hazard = heap.load(slot.hazard(), Relaxed);
    assert_eq!(Some(hazard), last.ok().map(Handle::raw), "else this shows nothing");
    reader.begin().unwrap();
    writer.run(|tx| list::truncate(tx, root, 0)).unwrap();
    assert_eq!(collected(&mut writer), 1);
    reader.abort();
    nothing_waits(&space);
}

/// The last name goes, and the process lets go of the object, while an attempt of that process works with it: it stays, and its commit is good.
#[test]
fn what_an_attempt_works_with_stays_though_nothing_names_it() {
    let (heap, space) = space_of(4 * MIB);
    let mut writer = space.participant().unwrap();
    let mut worker = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut writer);
    let inner = writer
        .run(|tx| {
            let inner = list_of(tx, &[integer(42)])?;
            list::push(tx, root, Value::handle(inner))?;
            Ok(inner)
        })
        .unwrap();
    worker.begin().unwrap();
    let hold = worker.hold(inner).unwrap();
    worker.abort();
    writer.run(|tx| list::truncate(tx, root, 0)).unwrap();
    worker.begin().unwrap();
    list::push(&mut worker, inner, integer(43)).unwrap();
    worker.release(hold);
    assert_eq!(collected(&mut writer), 0);
    list::push(&mut worker, inner, integer(44)).unwrap();
    worker.commit().unwrap();
    assert_eq!(collected(&mut writer), 1);
    nothing_waits(&space);
}

/// A participant stands still at every step of a commit while others collect: they wait for nothing, and free nothing that it names; and it is killed there.
#[test]
fn a_commit_that_stands_still_is_not_waited_for() {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = root_list(&mut survivor);
    survivor.run(|tx| list::push(tx, root, Value::NONE)).unwrap();
    let mut committed = 0;
    for step in 0.. {
        let moves = |victim: &mut Tx| {
            let moved = victim.run(|tx| {
                let treasure = list_of(tx, &[integer(42)])?;
                let made = list_of(tx, &[Value::handle(treasure)])?;
                list::set(tx, root, 0, Value::handle(made)).map(drop)
            });
            moved.unwrap();
        };
        let (through, stands) = stands_at(&heap, &space, step, moves, |victim| {
            let moved = victim.run(|tx| {
                let old = item(tx, root, 0)?;
                let treasure = list::get(tx, old, 0)?.unwrap();
                let made = list_of(tx, &[treasure])?;
                list::set(tx, root, 0, Value::handle(made)).map(drop)
            });
            moved.unwrap();
        });
        let end = survivor.collect_objects(MS).unwrap();
        let slot = Slot::of(space.arena(), stands.id()).unwrap();
        let commits = status_of(space.arena(), slot).unwrap().state == State::Committed;
        assert!(matches!(end, CollectionEnd::Finished(_)), "step {step}: {end:?}");
        committed += u64::from(commits);
        let process = stands.space().process();
        std::mem::forget(stands);
        heap.kill_process(process);
        space.recover_dead();
        survivor.collect_objects(NO_PATIENCE).unwrap();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        let treasure = survivor.run(|tx| {
            let made = item(tx, root, 0)?;
            let treasure = item(tx, made, 0)?;
            list::get(tx, treasure, 0)
        });
        assert_eq!(treasure, Ok(Some(integer(42))), "step {step}");
        if through {
            assert!(step > 50 && committed > 5, "only {step} steps, {committed} of them in the write-back");
            return;
        }
    }
}

#[test]
fn one_collects_at_a_time_and_the_dead_do_not_count() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    root_list(&mut tx);
    let mut other = another(&heap, &space).participant().unwrap();
    let collection = other.open_collection(Patience::IN_A_HURRY).unwrap();
    assert_eq!(tx.collect_objects(MS).unwrap(), CollectionEnd::Busy);
    other.close_collection(collection);
    assert_eq!(collected(&mut tx), 0);
    let _left = other.open_collection(Patience::IN_A_HURRY).unwrap();
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
        let through = dies_at(&heap, &space, step, garbage, |victim| {
            victim.collect_objects(NO_PATIENCE).unwrap();
        });
        // Work goes on beside what was left.
        survivor.run(|tx| list::push(tx, root, integer(1))).unwrap();
        survivor.run(|tx| list::truncate(tx, root, 1)).unwrap();
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        assert_eq!(survivor.run(|tx| dict::len(tx, kept)).unwrap(), 44);
        if through {
            assert!(step > 1000, "only {step} steps");
            return;
        }
    }
}

/// Somebody who lets go of an object loses the processor after he has looked which collection is under way: that one ends, and the next has
/// found the object when he goes on. (Found by processes that move lists between boxes: what the next one had made black he made grey of the
/// one before, and that is white. It was freed in their hands.)
#[test]
fn who_shades_late_takes_nothing_back() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    let others = Space::join(Interposed::new(heap.process()), layout).unwrap();
    let collector = Arc::new(Mutex::new(space.participant().unwrap()));
    let root = root_list(&mut collector.lock().unwrap());
    let mut holder = others.participant().unwrap();
    let mut late = 0;
    for first in 0.. {
        let mut through = false;
        for steps in 0.. {
            let treasure = collector.lock().unwrap().run(|tx| {
                list::truncate(tx, root, 0)?;
                let treasure = list_of(tx, &[integer(42)])?;
                list::push(tx, root, Value::handle(treasure))?;
                Ok(treasure)
            });
            let treasure = treasure.unwrap();
            holder.begin().unwrap();
            let hold = holder.hold(treasure).unwrap();
            holder.abort();
            let before = collector.lock().unwrap().open_collection(Patience::IN_A_HURRY).unwrap();
            let next = Arc::new(Mutex::new((Some(before), false)));
            let (collector_of, next_of) = (Arc::clone(&collector), Arc::clone(&next));
            others.arena().platform().at(first, move || {
                let (mut tx, mut place) = (collector_of.lock().unwrap(), next_of.lock().unwrap());
                while !matches!(tx.collection_step(place.0.as_mut().unwrap()), Step::Over(_)) {}
                let mut next = tx.open_collection(Patience::IN_A_HURRY).unwrap();
                let over = (0..steps).any(|_| matches!(tx.collection_step(&mut next), Step::Over(_)));
                *place = (Some(next), over);
            });
            holder.release(hold);
            through = others.arena().platform().forget();
            let (last, over) = std::mem::take(&mut *next.lock().unwrap());
            let (mut tx, mut last) = (collector.lock().unwrap(), last.unwrap());
            while !over && !matches!(tx.collection_step(&mut last), Step::Over(_)) {}
            tx.collect();
            let found = tx.run(|tx| {
                let treasure = item(tx, root, 0)?;
                list::get(tx, treasure, 0)
            });
            assert_eq!(found, Ok(Some(integer(42))), "access {first}, {steps} steps of the next collection");
            late += u64::from(!through && !over);
            if through || over {
                break;
            }
        }
        if through {
            assert!(late > 50, "only {late} times");
            return;
        }
    }
}
