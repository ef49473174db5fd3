//! List against `Vec`.

use proptest::prelude::*;
use pso_engine::error::Stop;
use pso_engine::object::list;
use pso_engine::word::Handle;

use super::support::{MIB, Tx, aborted, generate, integer, one, run_steps, two};

#[derive(Clone, Debug)]
enum Op {
    Push(i64),
    Extend(u64),
    Set(u64, i64),
    Get(u64),
    Insert(u64, i64),
    Remove(u64),
    Truncate(u64),
}

fn operation() -> impl Strategy<Value = Op> {
    let index = || prop_oneof![0u64..20, 0u64..200];
    prop_oneof![
        6 => any::<i32>().prop_map(|value| Op::Push(i64::from(value))),
        1 => (0u64..40).prop_map(Op::Extend),
        2 => (index(), any::<i32>()).prop_map(|(index, value)| Op::Set(index, i64::from(value))),
        2 => index().prop_map(Op::Get),
        2 => (index(), any::<i32>()).prop_map(|(index, value)| Op::Insert(index, i64::from(value))),
        2 => index().prop_map(Op::Remove),
        1 => index().prop_map(Op::Truncate),
    ]
}

fn apply(tx: &mut Tx, list: Handle, values: &mut Vec<i64>, operation: &Op) -> Result<(), Stop> {
    let there = |index: u64| (index < values.len() as u64).then_some(index as usize);
    match *operation {
        Op::Push(value) => {
            list::push(tx, list, integer(value))?;
            values.push(value);
        }
        Op::Extend(count) => {
            for value in 0..count as i64 {
                list::push(tx, list, integer(value))?;
                values.push(value);
            }
        }
        Op::Set(index, value) => {
            assert_eq!(list::set(tx, list, index, integer(value))?, there(index).is_some());
            if let Some(index) = there(index) {
                values[index] = value;
            }
        }
        Op::Get(index) => {
            assert_eq!(list::get(tx, list, index)?, there(index).map(|index| integer(values[index])));
        }
        Op::Insert(index, value) => {
            list::insert(tx, list, index, integer(value))?;
            values.insert(values.len().min(index as usize), value);
        }
        Op::Remove(index) => {
            let expected = there(index).map(|index| integer(values.remove(index)));
            assert_eq!(list::remove(tx, list, index)?, expected);
        }
        Op::Truncate(length) => {
            list::truncate(tx, list, length)?;
            values.truncate(length as usize);
        }
    }
    Ok(())
}

fn compare(tx: &mut Tx, list: Handle, values: &[i64]) -> Result<(), Stop> {
    assert_eq!(list::len(tx, list)?, values.len() as u64);
    for (index, value) in values.iter().enumerate() {
        assert_eq!(list::get(tx, list, index as u64)?, Some(integer(*value)));
    }
    for start in [0, values.len() / 2, values.len(), values.len() + 3] {
        let mut cursor = list::cursor(tx, list, start as u64)?;
        for value in values.iter().skip(start) {
            assert_eq!(cursor.next(tx)?, Some(integer(*value)));
        }
        assert_eq!((cursor.next(tx)?, cursor.next(tx)?), (None, None));
    }
    for behind in [0, 1, 7, 1000, u64::MAX / 2] {
        assert_eq!(list::get(tx, list, values.len() as u64 + behind)?, None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_list_is_a_vec(steps in generate::steps(operation(), 30)) {
        let mut participants = two(4 * MIB);
        let list = participants[0].run(list::create).unwrap();
        run_steps(
            &mut participants,
            &mut Vec::new(),
            &steps,
            |tx, values, operation| apply(tx, list, values, operation),
            |tx, values| compare(tx, list, values),
        );
    }
}

/// Growth goes through all kinds of places: first, segments, leaves of the first and of the second page.
#[test]
fn a_large_list_keeps_everything() {
    const VALUES: i64 = 100_000;
    let mut tx = one(64 * MIB);
    let list = tx.run(list::create).unwrap();
    for thousand in 0..VALUES / 1000 {
        tx.run(|tx| {
            (thousand * 1000..(thousand + 1) * 1000).try_for_each(|value| list::push(tx, list, integer(value)))
        })
        .unwrap();
    }
    tx.run(|tx| {
        assert_eq!(list::len(tx, list)?, VALUES as u64);
        (0..VALUES).try_for_each(|value| {
            assert_eq!(list::get(tx, list, value as u64)?, Some(integer(value)));
            Ok(())
        })
    })
    .unwrap();
    tx.run(|tx| list::truncate(tx, list, 3)).unwrap();
    tx.run(|tx| compare(tx, list, &[0, 1, 2])).unwrap();
    tx.run(|tx| list::push(tx, list, integer(9))).unwrap();
    tx.run(|tx| compare(tx, list, &[0, 1, 2, 9])).unwrap();
}

/// One appends while another sets an index that was there: no conflict, for an index does not look at the length.
#[test]
fn setting_an_index_does_not_conflict_with_appending() {
    let [mut one, mut two] = two(MIB);
    let list = one.run(list::create).unwrap();
    one.run(|tx| (0..20).try_for_each(|value| list::push(tx, list, integer(value)))).unwrap();
    one.begin().unwrap();
    two.begin().unwrap();
    list::push(&mut one, list, integer(20)).unwrap();
    assert!(list::set(&mut two, list, 3, integer(30)).unwrap());
    assert_eq!(list::get(&mut two, list, 4).unwrap(), Some(integer(4)));
    one.commit().unwrap();
    two.commit().unwrap();
    let expected: Vec<i64> = (0..21).map(|value| if value == 3 { 30 } else { value }).collect();
    one.run(|tx| compare(tx, list, &expected)).unwrap();
}

#[test]
fn what_was_aborted_never_was() {
    let mut tx = one(4 * MIB);
    let list = tx.run(list::create).unwrap();
    tx.run(|tx| list::push(tx, list, integer(1))).unwrap();
    aborted(&mut tx, |tx| {
        (0..3000).try_for_each(|value| list::push(tx, list, integer(value)))?;
        list::remove(tx, list, 0)
    });
    tx.run(|tx| compare(tx, list, &[1])).unwrap();
}
