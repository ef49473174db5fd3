//! Objects under real concurrency: threads of several processes at once. Sums and sets must come out right whatever the
//! schedule was.

use std::collections::BTreeSet;
use std::sync::Arc;

use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{dict, list, queue};
use pso_engine::space::Space;
use pso_model::heap::Heap;

use super::support::{MIB, Tx, integer, space_of};

fn processes(heap: &Heap, space: &Arc<Space<Heap>>, count: usize) -> Vec<Tx> {
    let join = |_| Space::join(heap.process(), *space.arena().layout()).unwrap().participant().unwrap();
    (0..count).map(join).collect()
}

fn word_key(tx: &Tx, word: &str) -> u64 {
    Key::new(tx.arena().hash_key(), KeyView::Text(word)).hash()
}

/// The main job in small: each counts words of its own and common ones; growth, splitting and conflicts meet.
#[test]
fn counted_words_add_up() {
    const EACH: u64 = 1500;
    let (heap, space) = space_of(64 * MIB);
    let mut first = space.participant().unwrap();
    let dict = first.run(dict::create).unwrap();
    std::thread::scope(|scope| {
        for (number, mut tx) in processes(&heap, &space, 4).into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..EACH {
                    let own = format!("word {number} of {round}");
                    let common = format!("word {}", round % 50);
                    for word in [own, common] {
                        let key = Key::new(tx.arena().hash_key(), KeyView::Text(&word));
                        tx.run(|tx| {
                            let old = dict::get(tx, dict, &key)?.map_or(0, |value| value.as_int().unwrap());
                            dict::set(tx, dict, &key, integer(old + 1))
                        })
                        .unwrap();
                    }
                }
            });
        }
    });
    let (mut place, mut keys, mut sum) = (0, BTreeSet::new(), 0);
    first
        .run(|tx| {
            (place, sum) = (0, 0);
            keys.clear();
            while let Some((next, key, value)) = dict::next(tx, dict, place)? {
                let super::keys::TestKey::Text(word) = super::keys::decode(tx, key) else { panic!() };
                assert!(keys.insert(word_key(tx, &word)), "{word} twice");
                let found = Key::new(tx.arena().hash_key(), KeyView::Text(&word));
                assert_eq!(dict::get(tx, dict, &found)?, Some(value));
                sum += value.as_int().unwrap() as u64;
                place = next;
            }
            assert_eq!(dict::len(tx, dict)?, keys.len() as u64);
            Ok(())
        })
        .unwrap();
    assert_eq!((keys.len() as u64, sum), (4 * EACH + 50, 4 * EACH * 2));
}

/// Keys come and go under four hands; at the end the dict holds exactly what each left.
#[test]
fn keys_that_come_and_go_are_not_mixed_up() {
    let (heap, space) = space_of(64 * MIB);
    let mut first = space.participant().unwrap();
    let dict = first.run(dict::create).unwrap();
    std::thread::scope(|scope| {
        for (number, mut tx) in processes(&heap, &space, 4).into_iter().enumerate() {
            scope.spawn(move || {
                let hash_key = tx.arena().hash_key();
                let key = |round: i64| Key::new(hash_key, KeyView::Int(round * 4 + number as i64));
                for round in 0..1500 {
                    tx.run(|tx| dict::set(tx, dict, &key(round), integer(round))).unwrap();
                    if round >= 20 {
                        let removed = tx.run(|tx| dict::remove(tx, dict, &key(round - 20))).unwrap();
                        assert_eq!(removed.map(|(_, value)| value), Some(integer(round - 20)));
                    }
                }
            });
        }
    });
    let mut left = Vec::new();
    first
        .run(|tx| {
            left.clear();
            let mut place = 0;
            while let Some((next, key, _)) = dict::next(tx, dict, place)? {
                left.push(key.as_int().unwrap());
                place = next;
            }
            Ok(())
        })
        .unwrap();
    left.sort_unstable();
    assert_eq!(left, (1480 * 4..1500 * 4).collect::<Vec<_>>());
}

/// Two put, two take, through four slots or a ring that grows: every item arrives once, and those of one producer in their order.
#[test]
fn a_queue_hands_every_item_over_once() {
    for capacity in [4, 50, 1 << 30] {
        hands_over(capacity);
    }
}

fn hands_over(capacity: u64) {
    const EACH: i64 = 3000;
    let (heap, space) = space_of(16 * MIB);
    let mut first = space.participant().unwrap();
    let (queue, taken) = first.run(|tx| Ok((queue::create(tx, capacity)?, list::create(tx)?))).unwrap();
    std::thread::scope(|scope| {
        for (number, mut tx) in processes(&heap, &space, 4).into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..EACH {
                    if number < 2 {
                        let item = integer(round * 2 + number as i64);
                        tx.run(|tx| queue::put(tx, queue, item)).unwrap();
                    } else {
                        tx.run(|tx| {
                            let item = queue::get(tx, queue)?;
                            list::push(tx, taken, item)
                        })
                        .unwrap();
                    }
                }
            });
        }
    });
    let items = first
        .run(|tx| (0..list::len(tx, taken)?).map(|index| Ok(list::get(tx, taken, index)?.unwrap())).collect())
        .map(|items: Vec<_>| items.iter().map(|item| item.as_int().unwrap()).collect::<Vec<_>>())
        .unwrap();
    for producer in 0..2 {
        let of_one: Vec<i64> = items.iter().copied().filter(|item| item % 2 == producer).collect();
        assert_eq!(of_one, (0..EACH).map(|round| round * 2 + producer).collect::<Vec<_>>());
    }
}
