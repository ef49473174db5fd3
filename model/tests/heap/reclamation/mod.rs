//! What is taken out of a space is used again: not before its last reader is through, whoever dies, and nothing is forgotten.

mod full;
mod inherited;
mod judged;
mod pages;
mod pages_gone;
mod standing;
mod trees;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::{MIB, Tx, another, dies_at, space_of};
use pso_engine::allocator;
use pso_engine::error::Stop;
use pso_engine::fsck::{Finding, fsck, fsck_at_rest};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{self, View, dict, list, text, tuple, view};
use pso_engine::participant::Slot;
use pso_engine::platform::Memory;
use pso_engine::reclamation::for_each_retired;
use pso_engine::space::{JoinError, Space};
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, CELL_WORDS, CellAddress, Handle, Value};
use pso_model::heap::Heap;

const LENGTH: usize = 300;

/// Payload words of the logs that are in use.
fn log_words(space: &Space<Heap>) -> u64 {
    let mut words = 0;
    allocator::for_each_block(space.arena(), |handle, state| {
        let is_log = state.kind == BlockKind::Log && state.phase == BlockPhase::Live;
        words += if is_log { allocator::payload_words(space.arena(), handle).unwrap() } else { 0 };
    });
    words
}

fn long(number: u64) -> String {
    format!("{number:0LENGTH$}")
}

/// A list of `count` long texts in the root.
fn texts(tx: &mut Tx, count: u64) -> Handle {
    tx.run(|tx| {
        let handle = list::create(tx)?;
        for number in 0..count {
            let value = text::encode(tx, &long(number))?;
            list::push(tx, handle, value)?;
        }
        let root = tx.arena().root();
        tx.write(root, Value::handle(handle))?;
        Ok(handle)
    })
    .unwrap()
}

fn replace(tx: &mut Tx, list: Handle, index: u64, number: u64) -> Result<(), Stop> {
    let value = text::encode(tx, &long(number))?;
    assert!(list::set(tx, list, index, value)?);
    Ok(())
}

fn item(tx: &mut Tx, list: Handle, index: u64) -> Result<String, Stop> {
    let value = list::get(tx, list, index)?.unwrap();
    match view(tx, value)? {
        View::Text(handle) => text::with(tx, handle, str::to_owned),
        other => panic!("{other:?}"),
    }
}

fn in_phase(space: &Space<Heap>, phase: BlockPhase) -> usize {
    let mut count = 0;
    allocator::for_each_block(space.arena(), |_, state| count += usize::from(state.phase == phase));
    count
}

/// Blocks in use when everybody has cleared up after a kill.
fn live_after_a_kill(space: &Arc<Space<Heap>>, survivor: &mut Tx, step: u64) -> usize {
    space.recover_dead();
    let mut heir = space.participant().unwrap();
    heir.collect();
    heir.leave();
    survivor.collect();
    assert_eq!(fsck_at_rest(space), vec![], "after a kill at step {step}");
    in_phase(space, BlockPhase::Live)
}

#[test]
fn values_that_are_replaced_for_ever_fit_a_small_space() {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 4);
    // Sixty times what the space could hold.
    for number in 0..200_000 {
        tx.run(|tx| replace(tx, list, number % 4, number)).unwrap();
    }
    assert_eq!(tx.run(|tx| item(tx, list, 3)).unwrap(), long(199_999));
    tx.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn keys_that_come_and_go_for_ever_fit_a_small_space() {
    // A superblock for each of the sizes that a dict has, and then some.
    let (_, space) = space_of(2 * MIB);
    let mut tx = space.participant().unwrap();
    let hash_key = tx.arena().hash_key();
    let dict = tx
        .run(|tx| {
            let handle = dict::create(tx)?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(handle))?;
            Ok(handle)
        })
        .unwrap();
    for number in 0..30_000u64 {
        tx.run(|tx| {
            let name = long(number);
            let value = text::encode(tx, &name)?;
            assert_eq!(dict::set(tx, dict, &Key::new(hash_key, KeyView::Text(&name)), value)?, None);
            let old = long(number.wrapping_sub(50));
            if let Some((key, value)) = dict::remove(tx, dict, &Key::new(hash_key, KeyView::Text(&old)))? {
                object::discard(tx, key)?;
                object::discard(tx, value)?;
            }
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(tx.run(|tx| dict::len(tx, dict)).unwrap(), 50);
    tx.run(|tx| dict::clear(tx, dict)).unwrap();
    tx.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn tuples_go_with_what_is_in_them_but_for_what_is_shared() {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 1);
    let live = in_phase(&space, BlockPhase::Live);
    let common = tx
        .run(|tx| {
            let text = text::encode(tx, &long(1))?;
            let common = tuple::encode(tx, &[text])?;
            tx.share(common.as_handle().unwrap());
            list::push(tx, list, common)?;
            Ok(common)
        })
        .unwrap();
    for round in 0..1000 {
        tx.run(|tx| {
            let text = text::encode(tx, &long(round))?;
            let inner = tuple::encode(tx, &[text, Value::NONE, common])?;
            let copied = object::copy(tx, inner)?;
            let outer = tuple::encode(tx, &[inner, copied])?;
            assert!(list::set(tx, list, 0, outer)?);
            Ok(())
        })
        .unwrap();
    }
    tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
    tx.collect();
    // The text of the list is gone, the common tuple and its text stay.
    assert_eq!(in_phase(&space, BlockPhase::Live), live - 1 + 2);
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn an_attempt_that_does_not_commit_takes_nothing_out() {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 2);
    tx.begin().unwrap();
    replace(&mut tx, list, 0, 7).unwrap();
    tx.abort();
    tx.run(|tx| {
        tx.or_else(
            |tx| {
                replace(tx, list, 0, 8)?;
                Err(Stop::Retry)
            },
            |tx| replace(tx, list, 1, 9),
        )
    })
    .unwrap();
    assert_eq!(tx.collect(), 1);
    assert_eq!(tx.run(|tx| Ok((item(tx, list, 0)?, item(tx, list, 1)?))).unwrap(), (long(0), long(9)));
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn who_takes_the_slot_next_frees_what_the_last_owner_left() {
    let (heap, space) = space_of(MIB);
    let doomed = another(&heap, &space);
    let mut victim = doomed.participant().unwrap();
    let list = texts(&mut victim, 1);
    for number in 1..=20 {
        victim.run(|tx| replace(tx, list, 0, number)).unwrap();
    }
    let id = victim.id();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    space.recover_dead();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 20);
    assert_eq!(fsck_at_rest(&space), vec![]);
    let mut next = space.participant().unwrap();
    assert_eq!(next.id(), id);
    assert_eq!(next.collect(), 20);
    next.leave();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: whoever finishes the commit of the dead takes out what an attempt before it had wanted to, whose record still stands there.
#[test]
fn what_an_aborted_attempt_had_taken_out_stays_whoever_dies_after_it() {
    for step in 0.. {
        let (heap, space) = space_of(MIB);
        let mut survivor = space.participant().unwrap();
        let list = texts(&mut survivor, 1);
        let live = in_phase(&space, BlockPhase::Live);
        let give_up = |tx: &mut Tx| {
            let gives_up = tx.run(|tx| replace(tx, list, 0, 1).and(Err::<(), _>(Stop::Interrupted)));
            assert_eq!(gives_up, Err(Stop::Interrupted));
        };
        let through = dies_at(&heap, &space, step, give_up, |victim| victim.run_irrevocable(None, |_| Ok(())).unwrap());
        live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(survivor.run(|tx| item(tx, list, 0)).unwrap(), long(0), "after a kill at step {step}");
        assert!(in_phase(&space, BlockPhase::Live) >= live, "after a kill at step {step}");
        if through {
            assert!(step > 10, "an irrevocable transaction of {step} accesses");
            break;
        }
    }
}

/// The danger: each who finds no room for its logs costs a place for ever.
#[test]
fn who_cannot_join_a_full_space_leaves_no_place_taken() {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 0);
    while tx.run(|tx| text::encode(tx, &long(0)).and_then(|value| list::push(tx, list, value))).is_ok() {}
    let (mut refused, mut joined) = (0, Vec::new());
    while refused < 2 * space.arena().layout().geometry().participants {
        match space.participant() {
            Ok(participant) => joined.push(participant),
            Err(JoinError::Full(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    joined.into_iter().for_each(Participant::leave);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn a_retired_block_in_no_list_and_one_that_is_named_are_findings() {
    let (heap, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 1);
    tx.run(|tx| replace(tx, list, 0, 1)).unwrap();
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    let head = heap.load(slot.retired(), Relaxed);
    heap.store(slot.retired(), 0, Relaxed);
    assert!(matches!(fsck_at_rest(&space)[..], [Finding::Unlisted { .. }]));
    assert_eq!(fsck(&space), vec![], "who works may be in the middle of it");
    heap.store(slot.retired(), head, Relaxed);
    assert_eq!(fsck_at_rest(&space), vec![]);
    // A discarded value that stays where it is: what an operation must never do.
    tx.run(|tx| {
        let value = list::get(tx, list, 0)?.unwrap();
        object::discard(tx, value)
    })
    .unwrap();
    assert!(fsck(&space).iter().any(|finding| matches!(finding, Finding::Dangling { .. })));
}

/// Damage: the oldest of the list names the youngest. Whoever walks the list comes to an end, and nobody is given a block twice.
#[test]
fn a_list_that_damage_has_closed_to_a_ring_has_an_end() {
    let (heap, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 1);
    tx.run(|tx| replace(tx, list, 0, 1)).unwrap();
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    let oldest = Handle::from_raw(heap.load(slot.retired(), Relaxed)).unwrap();
    for number in 2..=20 {
        tx.run(|tx| replace(tx, list, 0, number)).unwrap();
    }
    heap.store(oldest.block().offset(1), heap.load(slot.retired(), Relaxed), Relaxed);
    let mut steps = 0;
    for_each_retired(space.arena(), slot, tx.id(), |_, _| steps += 1);
    assert!((20..100).contains(&steps), "{steps} steps in a ring of 20");
    assert_eq!(fsck_at_rest(&space), vec![]);
    assert_eq!(tx.collect(), 20);
}

/// What the doomed does: every kind of thing that takes blocks out, and a collection.
fn work(tx: &mut Tx, list: Handle, number: u64) -> Result<(), Stop> {
    tx.run(|tx| {
        replace(tx, list, 0, number)?;
        replace(tx, list, 1, number)?;
        let taken = list::remove(tx, list, 2)?.unwrap();
        object::discard(tx, taken)?;
        let value = text::encode(tx, &long(number))?;
        list::push(tx, list, value)
    })?;
    tx.collect();
    Ok(())
}

/// Found by `pso torture --kills 600 --writers 3 --seed 7` at kill 79, as a bucket of a dict that was in use and named an entry that
/// was not. The danger: a cell is locked, then a block is made, then its name is written into the cell. If that lock is
/// given back before the block is LIVE, and the owner dies or loses the processor there, whoever replaces the value finds a
/// block that it cannot retire, and that becomes LIVE later, with no name and for ever.
#[test]
fn what_was_committed_a_moment_ago_can_be_taken_out() {
    let (heap, space) = space_of(2 * MIB);
    let mut survivor = space.participant().unwrap();
    let list = texts(&mut survivor, 1);
    let mut at_rest = None;
    for step in 0.. {
        // First it finds memory to allocate from, which takes as long as it takes.
        let prepare = |victim: &mut Tx| victim.run(|tx| replace(tx, list, 0, step)).unwrap();
        let through = dies_at(&heap, &space, step, prepare, |victim| {
            let done = victim.run(|tx| {
                assert!(list::set(tx, list, 0, Value::NONE)?);
                replace(tx, list, 0, step)
            });
            done.unwrap();
        });
        // Before anybody clears up, unless it has to.
        survivor.run(|tx| replace(tx, list, 0, step)).unwrap();
        let live = live_after_a_kill(&space, &mut survivor, step);
        // The first time makes the logs of the slot.
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 50, "only {step} steps");
            return;
        }
    }
}

/// The same for what is reached through a COMMITTED lock: a block of the attempt that stands there has cells that were never locked,
/// and what they name is PRIVATE until that attempt is through.
#[test]
fn what_is_reached_through_a_committed_lock_can_be_taken_out() {
    let (heap, space) = space_of(2 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = space.arena().root();
    let first = |block: Handle| CellAddress::new(block.block().offset(BLOCK_HEADER_WORDS + 2));
    let mut at_rest = None;
    for step in 0.. {
        let make = |tx: &mut Tx| {
            let block = tx.allocate(BlockKind::Cells, 2 + CELL_WORDS)?;
            tx.arena().platform().store_plain(block.block().offset(BLOCK_HEADER_WORDS), 1);
            let text = text::encode(tx, &long(step))?;
            tx.initialize(first(block), text);
            tx.write(root, Value::handle(block))
        };
        let take_out = |tx: &mut Tx| {
            let Some(block) = tx.read(root)?.as_handle() else { return Ok(()) };
            let text = tx.read(first(block))?.as_handle().unwrap();
            tx.write(first(block), Value::NONE)?;
            tx.discard(text)
        };
        let clear = |tx: &mut Tx| {
            let Some(block) = tx.read(root)?.as_handle() else { return Ok(()) };
            tx.discard(block)?;
            tx.write(root, Value::NONE)
        };
        let prepare = |victim: &mut Tx| {
            victim.run(make).unwrap();
            victim.run(|tx| take_out(tx).and_then(|()| clear(tx))).unwrap();
            victim.collect();
        };
        let through = dies_at(&heap, &space, step, prepare, |victim| victim.run(make).unwrap());
        survivor.run(take_out).unwrap();
        survivor.run(clear).unwrap();
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 50, "only {step} steps");
            return;
        }
    }
}

#[test]
fn killed_at_every_step_nothing_is_torn_and_nothing_is_forgotten() {
    let (heap, space) = space_of(2 * MIB);
    let mut survivor = space.participant().unwrap();
    let list = texts(&mut survivor, 3);
    let at_rest = in_phase(&space, BlockPhase::Live);
    for step in 1.. {
        let works = |number: u64| move |victim: &mut Tx| work(victim, list, number).unwrap();
        let through = dies_at(&heap, &space, step, works(step), works(step + 1_000_000));
        // Whoever reads meets what is left before anybody clears up.
        let items = survivor.run(|tx| Ok([item(tx, list, 0)?, item(tx, list, 1)?, item(tx, list, 2)?])).unwrap();
        assert!(items.iter().all(|item| *item == items[0]), "torn by a kill at step {step}: {items:?}");
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}");
        let mut heir = space.participant().unwrap();
        heir.collect();
        heir.leave();
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "after a kill at step {step}");
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}");
        let live = in_phase(&space, BlockPhase::Live);
        assert!(live <= at_rest + 4, "{live} blocks after a kill at step {step}, {at_rest} before");
        if through {
            assert!(step > 200, "only {step} steps");
            return;
        }
    }
}
