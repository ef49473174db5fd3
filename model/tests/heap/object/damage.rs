//! Anybody who may write to a space may write nonsense. Whatever the words say, an operation ends, with a result or with
//! an error, and touches nothing outside the space (the heap platform panics there).

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;
use pso_engine::allocator;
use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{View, bytes, dict, int, list, queue, text, tuple, view};
use pso_engine::platform::Memory;
use pso_engine::shape::{Reference, references};
use pso_engine::transaction::Participant;
use pso_engine::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, ParticipantId, Value, WordAddress,
};
use pso_model::heap::Heap;

use super::support::{MIB, Tx, integer, space_of};

/// One object of each kind.
struct World {
    dict: Handle,
    list: Handle,
    queue: Handle,
    text: Handle,
    bytes: Handle,
    int: Handle,
    tuple: Handle,
}

fn key(hash_key: (u64, u64), number: i64) -> Key<'static> {
    Key::new(hash_key, KeyView::Int(number))
}

fn populated() -> (Heap, Tx, World) {
    let (heap, space) = space_of(2 * MIB);
    let mut tx = space.participant().unwrap();
    let world = tx
        .run(|tx| {
            let hash_key = tx.arena().hash_key();
            let handle = |value: Value| value.as_handle().unwrap();
            let (dict, list, queue) = (dict::create(tx)?, list::create(tx)?, queue::create(tx, 20)?);
            let text = text::encode(tx, "a text that is too long for a word")?;
            for number in 0..60 {
                dict::set(tx, dict, &key(hash_key, number), text)?;
                list::push(tx, list, integer(number))?;
                queue::try_put(tx, queue, integer(number))?;
            }
            (0..50).try_for_each(|number| dict::remove(tx, dict, &key(hash_key, number)).map(drop))?;
            (60..70).try_for_each(|number| dict::set(tx, dict, &key(hash_key, number), text).map(drop))?;
            Ok(World {
                dict,
                list,
                queue,
                text: handle(text),
                bytes: handle(bytes::encode(tx, &[7; 100])?),
                int: handle(int::encode_large(tx, true, &[255; 100])?),
                tuple: handle(tuple::encode(tx, &[text, integer(1), Value::NONE])?),
            })
        })
        .unwrap();
    (heap, tx, world)
}

/// All that can be asked of the world, each in an attempt of its own. Results are whatever they are.
fn exercise(tx: &mut Tx, world: &World) {
    let hash_key = tx.arena().hash_key();
    type Act<'a> = Box<dyn Fn(&mut Tx) -> Result<(), Stop> + 'a>;
    let (dict, list, queue) = (world.dict, world.list, world.queue);
    let acts: Vec<Act> = vec![
        Box::new(|tx| (0..80).try_for_each(|number| dict::get(tx, dict, &key(hash_key, number)).map(drop))),
        Box::new(|tx| (0..80).try_for_each(|number| dict::set(tx, dict, &key(hash_key, number), integer(0)).map(drop))),
        Box::new(|tx| (0..80).try_for_each(|number| dict::remove(tx, dict, &key(hash_key, number)).map(drop))),
        Box::new(|tx| {
            let mut place = 0;
            while let Some((next, key, value)) = dict::next(tx, dict, place)? {
                view(tx, key)?;
                view(tx, value)?;
                place = next;
            }
            dict::len(tx, dict).map(drop)
        }),
        Box::new(|tx| {
            let mut place = u64::MAX;
            while let Some((next, _, _)) = dict::previous(tx, dict, place)? {
                place = next;
            }
            Ok(())
        }),
        Box::new(|tx| (0..9).try_for_each(|_| dict::pop_last(tx, dict).map(drop))),
        Box::new(|tx| dict::clear(tx, dict)),
        Box::new(|tx| (0..70).try_for_each(|index| list::get(tx, list, index).map(drop))),
        Box::new(|tx| (0..70).try_for_each(|index| list::set(tx, list, index, integer(1)).map(drop))),
        Box::new(|tx| list::push(tx, list, integer(1))),
        Box::new(|tx| list::insert(tx, list, 3, integer(1))),
        Box::new(|tx| list::remove(tx, list, 3).map(drop)),
        Box::new(|tx| list::truncate(tx, list, 1)),
        Box::new(|tx| (0..30).try_for_each(|_| queue::try_get(tx, queue).map(drop))),
        Box::new(|tx| (0..30).try_for_each(|number| queue::try_put(tx, queue, integer(number)).map(drop))),
        Box::new(|tx| queue::len(tx, queue).map(drop)),
        Box::new(|tx| text::with(tx, world.text, drop_text)),
        Box::new(|tx| bytes::with(tx, world.bytes, |_| ())),
        Box::new(|tx| int::with(tx, world.int, |_, _| ())),
        Box::new(|tx| {
            (0..5).try_for_each(|index| match tuple::item(tx, world.tuple, index)? {
                Some(item) => view(tx, item).map(drop),
                None => Ok(()),
            })
        }),
    ];
    for act in acts {
        if tx.begin().is_err() {
            return;
        }
        let _ = act(tx);
        tx.abort();
    }
}

fn drop_text(_: &str) {}

/// All payload words of blocks of objects.
fn words_of_objects(tx: &Tx) -> Vec<WordAddress> {
    let mut words = Vec::new();
    allocator::for_each_block(tx.arena(), |handle, state| {
        if !matches!(state.kind, BlockKind::Log | BlockKind::Holds) {
            let room = allocator::payload_words(tx.arena(), handle).unwrap();
            words.extend((0..room).map(|word| handle.block().offset(BLOCK_HEADER_WORDS + word)));
        }
    });
    words
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Words of objects are overwritten by words that decode to much: large numbers, other handles, bits flipped. Lock
    /// words are damaged as free words only here: a lock of nobody is what the transactions' own tests are about.
    #[test]
    fn damaged_objects_answer_or_refuse(damage in proptest::collection::vec((any::<usize>(), 0u8..6, any::<u64>()), 1..8)) {
        let (heap, mut tx, world) = populated();
        let words = words_of_objects(&tx);
        let handles: Vec<Handle> = {
            let mut all = Vec::new();
            allocator::for_each_block(tx.arena(), |handle, _| all.push(handle));
            all
        };
        for (at, how, random) in damage {
            let address = words[at % words.len()];
            let before = heap.load(address, Relaxed);
            let word = match how {
                0 => random & !(1 << 63),
                1 => handles[random as usize % handles.len()].raw(),
                2 => before ^ 1 << (random % 63),
                3 => (random % (1 << 40)) << 4 | 1,
                4 => 0,
                _ => before.wrapping_add(random % 64),
            };
            // A locked word sends whoever waits for its owner after nobody: not what is tested here.
            heap.store(address, word & !(1 << 63), Relaxed);
        }
        exercise(&mut tx, &world);
    }

    /// Lengths that reach just into the neighbours, and lengths that reach anywhere.
    #[test]
    fn a_length_that_does_not_fit_is_corrupt(length in prop_oneof![201u64..4096, 201..=u64::MAX]) {
        let (heap, mut tx, world) = populated();
        for block in [world.text, world.bytes, world.int, world.tuple] {
            heap.store(block.block().offset(BLOCK_HEADER_WORDS), length, Relaxed);
        }
        tx.begin().unwrap();
        prop_assert!(matches!(text::with(&tx, world.text, drop_text), Err(Stop::Corrupt(_))));
        prop_assert!(matches!(bytes::with(&tx, world.bytes, |_| ()), Err(Stop::Corrupt(_))));
        prop_assert!(matches!(tuple::len(&tx, world.tuple), Err(Stop::Corrupt(_))));
        if length & u64::MAX >> 1 > 200 {
            prop_assert!(matches!(int::with(&tx, world.int, |_, _| ()), Err(Stop::Corrupt(_))));
        }
        tx.abort();
    }
}

#[test]
fn text_that_is_not_utf8_is_corrupt() {
    let (heap, mut tx, world) = populated();
    heap.store(world.text.block().offset(BLOCK_HEADER_WORDS + 2), u64::MAX, Relaxed);
    tx.begin().unwrap();
    assert!(matches!(text::with(&tx, world.text, drop_text), Err(Stop::Corrupt(_))));
    tx.abort();
}

/// A segment that says it has fewer cells than its place asks for is not looked into.
#[test]
fn an_array_of_cells_that_is_too_short_is_corrupt() {
    let (heap, mut tx, world) = populated();
    allocator::for_each_block(tx.arena(), |handle, state| {
        if state.kind == BlockKind::Cells {
            heap.store(handle.block().offset(BLOCK_HEADER_WORDS), 3, Relaxed);
        }
    });
    tx.begin().unwrap();
    assert_eq!(list::get(&mut tx, world.list, 2), Ok(Some(integer(2))));
    assert!(matches!(list::get(&mut tx, world.list, 3), Err(Stop::Corrupt(_))));
    tx.abort();
}

/// A forged block at the very end of the space: its header is inside, what belongs behind it is not.
#[test]
fn a_block_that_the_end_cuts_off_is_corrupt() {
    let (heap, mut tx, _) = populated();
    let end = tx.arena().layout().geometry().space_words;
    for words in [2, 4, 6] {
        for kind in [BlockKind::Dict, BlockKind::List, BlockKind::Queue, BlockKind::Text, BlockKind::Tuple] {
            let block = WordAddress::new(end - words);
            let state = BlockState { generation: 0, owner: ParticipantId(0), kind, phase: BlockPhase::Live };
            heap.store(block, state.pack(), Relaxed);
            let handle = Handle::new(block, 0);
            if words > 2 {
                heap.store(block.offset(BLOCK_HEADER_WORDS), 1 << 10, Relaxed);
            }
            tx.begin().unwrap();
            let seen = match kind {
                BlockKind::Dict => dict::len(&mut tx, handle).map(drop),
                BlockKind::List => list::len(&mut tx, handle).map(drop),
                BlockKind::Queue => queue::len(&mut tx, handle).map(drop),
                BlockKind::Text => text::with(&tx, handle, drop_text),
                _ => tuple::len(&tx, handle).map(drop),
            };
            assert!(matches!(seen, Err(Stop::Corrupt(_))), "{kind:?} {words}: {seen:?}");
            tx.abort();
        }
    }
}

fn references_of(tx: &Participant<Heap>, handle: Handle) -> Result<Vec<Reference>, Corrupt> {
    let kind = allocator::check(tx.arena(), handle).unwrap().kind;
    let room = allocator::payload_words(tx.arena(), handle).unwrap();
    let mut all = Vec::new();
    references(tx.arena(), handle, kind, room, &mut |reference| all.push(reference))?;
    Ok(all)
}

/// Following references from the containers reaches every block that they made and still use, and every value decodes.
#[test]
fn references_reach_what_an_object_is_made_of() {
    let (heap, tx, world) = populated();
    let mut waiting = vec![world.dict, world.list, world.queue, world.tuple];
    let mut seen: HashSet<u64> = waiting.iter().map(|handle| handle.raw()).collect();
    let (mut entries, mut texts) = (0, 0);
    while let Some(handle) = waiting.pop() {
        match allocator::check(tx.arena(), handle).unwrap().kind {
            BlockKind::DictEntry => entries += 1,
            BlockKind::Text => texts += 1,
            _ => {}
        }
        for reference in references_of(&tx, handle).unwrap() {
            let word = match reference {
                Reference::Cell(cell) => heap.load(cell.value_word(), Relaxed),
                Reference::Value(address) => heap.load_plain(address),
            };
            assert!(Value::from_raw(word).unpack().is_some());
            if let Some(child) = Value::from_raw(word).as_handle()
                && seen.insert(child.raw())
            {
                waiting.push(child);
            }
        }
    }
    assert_eq!((entries, texts), (20, 1));
}

#[test]
fn references_of_a_damaged_block_are_corrupt() {
    let (heap, mut tx, world) = populated();
    let mut counted = vec![world.text, world.bytes, world.int, world.tuple];
    allocator::for_each_block(tx.arena(), |handle, state| {
        if matches!(state.kind, BlockKind::Cells | BlockKind::DictBucket) {
            counted.push(handle);
        }
    });
    for handle in counted {
        for count in [1 << 20, u64::MAX, u64::MAX / 2, u64::MAX / 16 + 1] {
            heap.store(handle.block().offset(BLOCK_HEADER_WORDS), count, Relaxed);
            assert!(references_of(&tx, handle).is_err());
        }
    }
    // All the more must reading refuse.
    tx.begin().unwrap();
    let value = view(&tx, Value::handle(world.int));
    assert!(matches!(value, Err(Stop::Corrupt(_)) | Ok(View::LargeInt(_))));
    tx.abort();
}
