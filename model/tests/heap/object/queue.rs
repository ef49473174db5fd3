//! Queue against `VecDeque`.

use std::collections::VecDeque;

use proptest::prelude::*;
use pso_engine::error::Stop;
use pso_engine::object::queue;
use pso_engine::word::Handle;

use super::support::{MIB, Tx, generate, integer, one, run_steps, two};

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
    fn a_queue_is_a_bounded_deque(capacity in 0u64..40, steps in generate::steps(operation(), 40)) {
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
    let [mut one, mut two] = two(MIB);
    let queue = one.run(|tx| queue::create(tx, 8)).unwrap();
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
