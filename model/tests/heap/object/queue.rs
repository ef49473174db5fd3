//! Queue against `VecDeque`.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;
use pso_engine::error::Stop;
use pso_engine::object::queue;
use pso_engine::platform::Memory;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, Handle};

use super::support::{MIB, Tx, generate, integer, one, run_steps, space_of, two};

#[derive(Clone, Debug)]
enum Op {
    Put(i64),
    Get,
}

fn operation() -> impl Strategy<Value = Op> {
    prop_oneof![any::<i32>().prop_map(|value| Op::Put(i64::from(value))), Just(Op::Get)]
}

fn apply(tx: &mut Tx, queue: Handle, items: &mut VecDeque<i64>, operation: &Op) -> Result<(), Stop> {
    let capacity = queue::capacity(tx, queue)? as usize;
    match *operation {
        Op::Put(value) => {
            let fits = items.len() < capacity;
            assert_eq!(queue::try_put(tx, queue, integer(value))?, fits);
            if fits {
                items.push_back(value);
            }
        }
        Op::Get => assert_eq!(queue::try_get(tx, queue)?, items.pop_front().map(integer)),
    }
    Ok(())
}

fn compare(tx: &mut Tx, queue: Handle, items: &VecDeque<i64>) -> Result<(), Stop> {
    assert_eq!(queue::len(tx, queue)?, items.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_queue_is_a_bounded_deque(capacity in 0u64..40, steps in generate::steps(operation(), 60)) {
        let mut participants = two(MIB);
        let queue = participants[0].run(|tx| queue::create(tx, capacity)).unwrap();
        run_steps(
            &mut participants,
            &mut VecDeque::new(),
            &steps,
            |tx, items, operation| apply(tx, queue, items, operation),
            |tx, items| compare(tx, queue, items),
        );
    }
}

/// What is in a queue tells how much memory its ring takes, not what was ever put. Eight slots are 16 words and four of a header.
#[test]
fn a_large_queue_of_few_items_takes_little() {
    for (items, most_slots) in [(1, 8), (4, 8), (8, 16), (9, 32), (1000, 4096)] {
        let mut tx = one(16 * MIB);
        let queue = tx.run(|tx| queue::create(tx, 1 << 40)).unwrap();
        let fill =
            |tx: &mut Tx, from: i64| (from..from + items).try_for_each(|item| queue::put(tx, queue, integer(item)));
        tx.run(|tx| fill(tx, 0)).unwrap();
        for item in 0..20_000 {
            assert_eq!(tx.run(|tx| queue::get(tx, queue)).unwrap(), integer(item));
            tx.run(|tx| queue::put(tx, queue, integer(item + items))).unwrap();
        }
        let mut slots = 0;
        pso_engine::allocator::for_each_block(tx.arena(), |handle, state| {
            if state.kind == BlockKind::Cells && state.phase == BlockPhase::Live {
                slots += tx.arena().platform().load_plain(handle.block().offset(BLOCK_HEADER_WORDS));
            }
        });
        // The directory, and a page of 64 leaves.
        assert!(slots <= most_slots + 14 + 64 + 1022, "{items}: {slots}");
    }
}

/// Filled and emptied in waves, from any place of the ring and over any of its doublings.
#[test]
fn waves_go_through_in_their_order() {
    for capacity in [9, 16, 23, 64, 100, 1000] {
        for start in 0..20 {
            let mut tx = one(MIB);
            let queue = tx.run(|tx| queue::create(tx, capacity)).unwrap();
            let mut items = VecDeque::new();
            let mut step = |operation| {
                tx.run(|tx| apply(tx, queue, &mut items.clone(), &operation)).unwrap();
                match operation {
                    Op::Put(item) if items.len() < capacity as usize => items.push_back(item),
                    Op::Put(_) => {}
                    Op::Get => drop(items.pop_front()),
                }
                tx.run(|tx| compare(tx, queue, &items)).unwrap();
            };
            let mut item = 0;
            for (puts, gets) in [
                (start, start),
                (9, 5),
                (7, 3),
                (20, 13),
                (31, 30),
                (40, 1),
                (90, 60),
                (200, 170),
                (1100, 1200),
                (60, 60),
            ] {
                for _ in 0..puts {
                    step(Op::Put(item));
                    item += 1;
                }
                for _ in 0..gets {
                    step(Op::Get);
                }
            }
        }
    }
}

/// Damage of the ring cell, of head or tail: refused, or an answer; never outside of the ring.
#[test]
fn a_damaged_ring_is_refused_or_answers() {
    let (heap, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let queue = tx.run(|tx| queue::create(tx, 40)).unwrap();
    for item in 0..20 {
        tx.run(|tx| queue::put(tx, queue, integer(item))).unwrap();
        if item < 4 {
            tx.run(|tx| queue::get(tx, queue)).unwrap();
        }
    }
    let payload = queue.block().offset(BLOCK_HEADER_WORDS);
    let mut refused = 0;
    for cell in [2, 3, 7] {
        let word = payload.offset(2 + 2 * cell + 1);
        let good = heap.load(word, Relaxed);
        for damage in (0..60).map(|bit| good ^ 1 << bit).chain((0..40).map(|item| integer(item).raw())) {
            heap.store(word, damage, Relaxed);
            for act in 0..3 {
                tx.begin().unwrap();
                for _ in 0..30 {
                    let done = match act {
                        0 => queue::try_put(&mut tx, queue, integer(1)).map(drop),
                        1 => queue::try_get(&mut tx, queue).map(drop),
                        _ => queue::len(&mut tx, queue).and_then(|_| queue::has_room(&mut tx, queue)).map(drop),
                    };
                    match done {
                        Ok(()) => {}
                        Err(Stop::Corrupt(_)) => refused += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                tx.abort();
            }
        }
        heap.store(word, good, Relaxed);
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(tx.run(|tx| queue::get(tx, queue)).unwrap(), integer(4));
}

#[test]
fn a_capacity_of_nothing_is_one() {
    let mut tx = one(MIB);
    let queue = tx.run(|tx| queue::create(tx, 0)).unwrap();
    assert_eq!(tx.run(|tx| queue::capacity(tx, queue)).unwrap(), 1);
    assert!(tx.run(|tx| queue::try_put(tx, queue, integer(1))).unwrap());
    assert!(!tx.run(|tx| queue::try_put(tx, queue, integer(2))).unwrap());
}

/// Put and get in one transaction each, at once, on a queue that is neither full nor empty: neither stops the other.
#[test]
fn putting_and_taking_do_not_conflict() {
    for capacity in [8, 1000] {
        neither_stops_the_other(capacity);
    }
}

fn neither_stops_the_other(capacity: u64) {
    let [mut one, mut two] = two(MIB);
    let queue = one.run(|tx| queue::create(tx, capacity)).unwrap();
    one.run(|tx| queue::try_put(tx, queue, integer(0))).unwrap();
    for round in 1..50 {
        one.begin().unwrap();
        two.begin().unwrap();
        assert!(queue::try_put(&mut one, queue, integer(round)).unwrap());
        assert_eq!(queue::try_get(&mut two, queue).unwrap(), Some(integer(round - 1)));
        one.commit().unwrap();
        two.commit().unwrap();
    }
}

#[test]
fn a_full_queue_and_an_empty_one_ask_for_a_retry() {
    let mut tx = one(MIB);
    let queue = tx.run(|tx| queue::create(tx, 1)).unwrap();
    tx.begin().unwrap();
    assert_eq!(queue::get(&mut tx, queue), Err(Stop::Retry));
    tx.abort();
    tx.run(|tx| queue::put(tx, queue, integer(1))).unwrap();
    tx.begin().unwrap();
    assert_eq!(queue::put(&mut tx, queue, integer(2)), Err(Stop::Retry));
    tx.abort();
    assert_eq!(tx.run(|tx| queue::get(tx, queue)).unwrap(), integer(1));
}
