//! An attempt that stands still holds back what its read log leads to, and nothing else; what is freed around it is lost to no kill.

use std::sync::{Arc, Mutex};

use super::{in_phase, live_after_a_kill, long, replace, texts};
use crate::support::{MIB, Tx, another, dies_at, space_of, unless_killed};
use pso_engine::allocator;
use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::fsck::{fsck, fsck_at_rest};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{self, dict, list, text, tuple};
use pso_engine::space::Space;
use pso_engine::word::{BlockKind, BlockPhase, Handle, Value};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

#[test]
fn one_name_is_held_and_what_came_after_it_is_freed() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer, 1);
    reader.begin().unwrap();
    let value = list::get(&mut reader, list, 0).unwrap().unwrap();
    for number in 1..=20 {
        writer.run(|tx| replace(tx, list, 0, number)).unwrap();
    }
    assert_eq!(writer.collect(), 19);
    assert_eq!(text::with(&reader, value.as_handle().unwrap(), str::to_owned).unwrap(), long(0));
    // Sixty times what the space could hold.
    for number in 0..100_000 {
        writer.run(|tx| replace(tx, list, 0, number)).unwrap();
    }
    writer.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 1);
    assert_eq!(text::with(&reader, value.as_handle().unwrap(), str::to_owned).unwrap(), long(0));
    reader.abort();
    assert_eq!(writer.collect(), 1);
    assert!(text::with(&reader, value.as_handle().unwrap(), str::to_owned).is_err(), "the handle is stale");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn who_has_read_nothing_holds_nothing() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer, 1);
    reader.begin().unwrap();
    writer.run(|tx| replace(tx, list, 0, 1)).unwrap();
    assert_eq!(writer.collect(), 1);
    reader.abort();
}

#[test]
fn the_dead_hold_back_nothing_once_somebody_looks() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let list = texts(&mut writer, 1);
    let doomed = another(&heap, &space);
    let mut reader = doomed.participant().unwrap();
    reader.begin().unwrap();
    list::get(&mut reader, list, 0).unwrap();
    writer.run(|tx| replace(tx, list, 0, 1)).unwrap();
    assert_eq!(writer.collect(), 0);
    std::mem::forget(reader);
    heap.kill_process(doomed.process());
    assert_eq!(writer.collect(), 1);
}

/// A tuple in a tuple: the reader has noted the outer one only, and goes on into the inner one, and its text.
#[test]
fn what_a_tuple_leads_to_is_held_with_it() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer, 2);
    writer
        .run(|tx| {
            let text = text::encode(tx, &long(7))?;
            let inner = tuple::encode(tx, &[text])?;
            let outer = tuple::encode(tx, &[Value::NONE, inner])?;
            list::set(tx, list, 0, outer).map(drop)
        })
        .unwrap();
    writer.collect();
    reader.begin().unwrap();
    let outer = list::get(&mut reader, list, 0).unwrap().and_then(Value::as_handle).unwrap();
    for number in 0..10 {
        writer.run(|tx| replace(tx, list, 0, number)).unwrap();
        writer.run(|tx| replace(tx, list, 1, number)).unwrap();
    }
    assert_eq!(writer.collect(), 19);
    assert_eq!(in_phase(&space, BlockPhase::Retired), 3);
    let inner = tuple::item(&reader, outer, 1).unwrap().and_then(Value::as_handle).unwrap();
    let text = tuple::item(&reader, inner, 0).unwrap().and_then(Value::as_handle).unwrap();
    assert_eq!(text::with(&reader, text, str::to_owned).unwrap(), long(7));
    reader.abort();
    assert_eq!(writer.collect(), 3);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: the look at what a tuple leads to ends at a number of blocks, and a name is none. What is taken out stands first, and is looked at last.
#[test]
fn of_a_tuple_with_more_names_than_a_space_has_blocks_each_is_held() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer, 1);
    let names = space.arena().layout().geometry().space_words as usize / 4 + 100;
    writer
        .run(|tx| {
            let shared = text::encode(tx, &long(1))?;
            tx.share(shared.as_handle().unwrap());
            let mut items = vec![shared; names];
            items[0] = text::encode(tx, &long(7))?;
            let tuple = tuple::encode(tx, &items)?;
            list::set(tx, list, 0, tuple).map(drop)
        })
        .unwrap();
    reader.begin().unwrap();
    let tuple = list::get(&mut reader, list, 0).unwrap().and_then(Value::as_handle).unwrap();
    writer.run(|tx| replace(tx, list, 0, 0)).unwrap();
    writer.collect();
    let text = tuple::item(&reader, tuple, 0).unwrap().and_then(Value::as_handle).unwrap();
    assert_eq!(text::with(&reader, text, str::to_owned), Ok(long(7)));
    reader.abort();
    assert_eq!(writer.collect(), 2);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

fn key<'a>(tx: &Tx, name: &'a str) -> Key<'a> {
    Key::new(tx.arena().hash_key(), KeyView::Text(name))
}

/// Enough keys that some share a bucket.
const KEYS: u64 = 60;

fn filled(tx: &mut Tx) -> Handle {
    tx.run(|tx| {
        let dict = dict::create(tx)?;
        for number in 0..KEYS {
            let name = long(number);
            let value = text::encode(tx, &name)?;
            let key = key(tx, &name);
            dict::set(tx, dict, &key, value)?;
        }
        let root = tx.arena().root();
        tx.write(root, Value::handle(dict))?;
        Ok(dict)
    })
    .unwrap()
}

/// Takes a key out. The value moves to a list, and is replaced there by another participant, who frees it if he may.
fn take_apart(taker: &mut Tx, other: &mut Tx, dict: Handle, name: &str) {
    let list = taker
        .run(|tx| {
            let key = key(tx, name);
            let (taken, value) = dict::remove(tx, dict, &key)?.unwrap();
            let list = list::create(tx)?;
            list::push(tx, list, value)?;
            list::push(tx, list, taken)?;
            dict::set(tx, dict, &self::key(tx, "moved"), Value::handle(list))?;
            Ok(list)
        })
        .unwrap();
    other
        .run(|tx| {
            assert!(list::set(tx, list, 0, Value::NONE)?);
            assert!(list::set(tx, list, 1, Value::NONE)?);
            Ok(())
        })
        .unwrap();
    other.collect();
    taker.collect();
}

/// The reader has come to an entry, through its place or its bucket, and has not read its value yet when the key goes, and key and value
/// are moved, and replaced by somebody else: what it would still come to stays.
#[test]
fn what_an_entry_leads_to_is_held_whoever_takes_it_out() {
    let (heap, space) = space_of(4 * MIB);
    let mut taker = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let dict = filled(&mut taker);
    let mut buckets = 0;
    allocator::for_each_block(space.arena(), |_, state| buckets += u64::from(state.kind == BlockKind::DictBucket));
    assert!(buckets > 2, "no two keys share a place");
    for number in 0..KEYS {
        let name = long(number);
        let live = in_phase(&space, BlockPhase::Live);
        reader.begin().unwrap();
        let wanted = key(&reader, &name);
        assert!(dict::contains(&mut reader, dict, &wanted).unwrap());
        take_apart(&mut taker, &mut other, dict, &name);
        let held = in_phase(&space, BlockPhase::Retired);
        assert!((3..=6).contains(&held), "{held} blocks for entry, key, value and a bucket of key {number}");
        reader.abort();
        other.collect();
        taker.collect();
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "key {number}");
        assert!(in_phase(&space, BlockPhase::Live) <= live + 4);
    }
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// A part is undone, and its own blocks with it, while others look at the log.
#[test]
fn what_an_undone_part_had_noted_is_no_name_any_more() {
    let (heap, space) = space_of(MIB);
    let mut writer = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer, 2);
    reader.begin().unwrap();
    reader
        .or_else(
            |tx| {
                let mine = list::create(tx)?;
                let text = text::encode(tx, &long(9))?;
                list::push(tx, mine, text)?;
                list::get(tx, mine, 0)?;
                Err(Stop::Retry)
            },
            |tx| list::get(tx, list, 0).map(drop),
        )
        .unwrap();
    writer.run(|tx| replace(tx, list, 0, 1)).unwrap();
    writer.run(|tx| replace(tx, list, 1, 1)).unwrap();
    assert_eq!(writer.collect(), 1);
    reader.abort();
    assert_eq!(writer.collect(), 1);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Items of the list that the readers below have read: what is replaced there has to stay, and lies between what may go.
const READ: [u64; 3] = [1, 2, 5];

/// The collector dies at every step, while somebody holds blocks in the middle of its list.
#[test]
fn killed_while_it_frees_around_what_is_held_it_forgets_nothing() {
    let (heap, space) = space_of(2 * MIB);
    let mut survivor = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut survivor, 8);
    let mut at_rest = None;
    for step in 0.. {
        reader.begin().unwrap();
        let values: Vec<Value> =
            READ.iter().map(|&item| list::get(&mut reader, list, item).unwrap().unwrap()).collect();
        let prepare = |victim: &mut Tx| {
            for number in 0..8 {
                victim.run(|tx| replace(tx, list, number, step)).unwrap();
            }
            victim
                .run(|tx| {
                    let taken = list::remove(tx, list, 7)?.unwrap();
                    object::discard(tx, taken)?;
                    let value = text::encode(tx, &long(step))?;
                    list::push(tx, list, value)
                })
                .unwrap();
        };
        let through = dies_at(&heap, &space, step, prepare, |victim| {
            victim.collect();
        });
        space.recover_dead();
        assert_eq!(fsck(&space), vec![], "after a kill at step {step}");
        let mut heir = space.participant().unwrap();
        heir.collect();
        assert!(in_phase(&space, BlockPhase::Retired) <= READ.len(), "step {step}");
        for value in values {
            text::with(&reader, value.as_handle().unwrap(), str::to_owned).unwrap();
        }
        heir.leave();
        reader.abort();
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "after a kill at step {step}");
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 60, "only {step} steps");
            return;
        }
    }
}

/// The heir of a list out of which something was being taken dies at every step of taking it over.
#[test]
fn an_heir_killed_while_it_takes_over_forgets_nothing() {
    let (heap, space) = space_of(2 * MIB);
    let mut survivor = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut survivor, 8);
    let mut hung = 0;
    // Steps of the collection at which a run hangs in one list, in two, and in the other.
    for first in (10..120).step_by(3) {
        for second in 0.. {
            reader.begin().unwrap();
            READ.iter().for_each(|&item| assert!(list::get(&mut reader, list, item).unwrap().is_some()));
            let prepare = |victim: &mut Tx| {
                (0..8).for_each(|number| victim.run(|tx| replace(tx, list, number, second)).unwrap());
            };
            dies_at(&heap, &space, first, prepare, |victim| {
                victim.collect();
            });
            space.recover_dead();
            hung += u64::from(in_phase(&space, BlockPhase::Retired) > 0);
            let through = joins_and_dies_at(&heap, &space, second);
            space.recover_dead();
            reader.abort();
            assert_eq!(fsck_at_rest(&space), vec![], "after kills at steps {first} and {second}");
            live_after_a_kill(&space, &mut survivor, second);
            assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "after kills at steps {first} and {second}");
            if through {
                break;
            }
        }
    }
    assert!(hung > 100, "there was something to take over {hung} times");
}

/// A process that dies at its access number `step` while it takes a slot.
fn joins_and_dies_at(heap: &Heap, space: &Arc<Space<Heap>>, step: u64) -> bool {
    let process = heap.process();
    let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
    process.die_after(step);
    let outcome = unless_killed(|| std::mem::forget(doomed.participant().unwrap()));
    let through = process.live_on() > 0 && outcome.is_some();
    heap.kill_process(doomed.process());
    through
}

/// Somebody stands still in the middle of a look at the logs: others free all but what the attempt holds that he was looking at, and it goes on to hold that.
#[test]
fn who_stands_still_in_a_look_keeps_nobody_from_freeing() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(2 * MIB).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    let watched = Space::join(Interposed::new(heap.process()), layout).unwrap();
    let mut looker = watched.participant().unwrap();
    let writer = Arc::new(Mutex::new(space.participant().unwrap()));
    let mut reader = another(&heap, &space).participant().unwrap();
    let list = texts(&mut writer.lock().unwrap(), 3);
    for step in 0.. {
        reader.begin().unwrap();
        let value = list::get(&mut reader, list, 0).unwrap().and_then(Value::as_handle).unwrap();
        // Both have taken out what the reader does not hold.
        writer.lock().unwrap().run(|tx| replace(tx, list, 0, step)).unwrap();
        let taken = looker.run(|tx| {
            let value = text::encode(tx, &long(step))?;
            list::set(tx, list, 1, value)
        });
        assert_eq!(taken, Ok(true));
        let writer_of = Arc::clone(&writer);
        watched.arena().platform().at(step, move || {
            let mut writer = writer_of.lock().unwrap();
            (0..3).for_each(|turn| writer.run(|tx| replace(tx, list, 2, step + turn)).unwrap());
            let before = writer.freed_words();
            writer.collect();
            assert!(writer.freed_words() > before, "step {step}");
        });
        looker.collect();
        let through = watched.arena().platform().forget();
        assert_eq!(looker.retired_words(), 0, "step {step}");
        let state = allocator::check(space.arena(), value).map(|state| state.phase);
        assert!(matches!(state, Ok(BlockPhase::Retired)), "step {step}: {state:?}");
        reader.abort();
        writer.lock().unwrap().collect();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "step {step}");
        if through {
            assert!(step > 20, "only {step} steps");
            return;
        }
    }
}
