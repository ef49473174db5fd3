//! Objects of attempts that have not committed, in the hands of somebody else: by a proxy that another thread was given, or a pickle.

use pso_engine::error::{Stale, Stop};
use pso_engine::object::list;
use pso_engine::word::Value;

use crate::support::{MIB, Tx, another, integer, space_of, stands_at};

fn push(tx: &mut Tx, list: pso_engine::word::Handle, number: i64) -> Result<(), Stop> {
    tx.run(|tx| list::push(tx, list, integer(number)))
}

/// The danger: its memory is another object's by the time the other one writes there.
#[test]
fn nobody_else_works_with_it() {
    let (_, space) = space_of(4 * MIB);
    let (mut maker, mut other) = (space.participant().unwrap(), space.participant().unwrap());
    maker.begin().unwrap();
    let made = list::create(&mut maker).unwrap();
    list::push(&mut maker, made, integer(1)).unwrap();
    assert_eq!(push(&mut other, made, 2), Err(Stale { handle: made }.into()));
    assert_eq!(other.check_named(made), Err(Stale { handle: made }.into()));
    let root = maker.arena().root();
    maker.write(root, Value::handle(made)).unwrap();
    maker.commit().unwrap();
    push(&mut other, made, 2).unwrap();
    assert_eq!(other.run(|tx| list::len(tx, made)), Ok(2));

    maker.begin().unwrap();
    let undone = list::create(&mut maker).unwrap();
    maker.abort();
    maker.begin().unwrap();
    let reuses = (0..100).any(|_| list::create(&mut maker).unwrap().block() == undone.block());
    assert!(reuses, "its memory is used again");
    assert_eq!(push(&mut other, undone, 3), Err(Stale { handle: undone }.into()));
    maker.commit().unwrap();
}

/// It is everybody's with the commit, also where the maker stands still before he has said so in each block.
#[test]
fn who_finds_it_in_a_cell_works_with_it_wherever_its_maker_stands_still() {
    let (mut found, mut early) = (0, 0);
    for step in 0.. {
        let (heap, space) = space_of(4 * MIB);
        let reader_space = another(&heap, &space);
        let root = space.arena().root();
        let make = |tx: &mut Tx| {
            tx.run(|tx| {
                let made = list::create(tx)?;
                tx.write(root, Value::handle(made))
            })
            .unwrap();
        };
        let mut founder = space.participant().unwrap();
        let before = founder.run(|tx| tx.read(root)).unwrap();
        let (through, standing) = stands_at(&heap, &space, step, |_| (), make);
        let mut reader = reader_space.participant().unwrap();
        let value = reader.run(|tx| {
            let value = tx.read(root)?;
            if value != before {
                tx.check_named(value.as_handle().unwrap())?;
                list::len(tx, value.as_handle().unwrap())?;
            }
            Ok(value)
        });
        let value = value.unwrap_or_else(|stop| panic!("step {step}: {stop}"));
        *(if value == before { &mut early } else { &mut found }) += 1;
        std::mem::forget(standing);
        if through {
            break;
        }
    }
    assert!(found > 5 && early > 5, "{found} {early}");
}
