//! A process dies before its n-th access to memory in the middle of an operation on an object, for every n. Whoever comes
//! after it finds the object as it was before or as it is after, whole, and can go on working with it.

use pso_engine::error::Stop;
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{dict, list, queue};
use pso_engine::space::Space;
use pso_engine::word::{Handle, Value};

use super::support::{MIB, Tx, integer, space_of};
use crate::support::unless_killed;

type Contents = Vec<(i64, i64)>;

fn key(tx: &Tx, number: i64) -> Key<'static> {
    Key::new(tx.arena().hash_key(), KeyView::Int(number))
}

fn put(tx: &mut Tx, dict: Handle, number: i64) -> Result<(), Stop> {
    let key = key(tx, number);
    dict::set(tx, dict, &key, integer(number)).map(drop)
}

fn take(tx: &mut Tx, dict: Handle, number: i64) -> Result<(), Stop> {
    let key = key(tx, number);
    dict::remove(tx, dict, &key).map(drop)
}

fn dict_contents(tx: &mut Tx, dict: Handle) -> Result<Contents, Stop> {
    let (mut place, mut all) = (0, Vec::new());
    while let Some((next, stored, value)) = dict::next(tx, dict, place)? {
        let number = stored.as_int().unwrap();
        let key = key(tx, number);
        assert_eq!(dict::get(tx, dict, &key)?, Some(value));
        all.push((number, value.as_int().unwrap()));
        place = next;
    }
    assert_eq!(dict::len(tx, dict)?, all.len() as u64);
    Ok(all)
}

/// Kills at every access of `act`. `before` and `after` are told apart by `contents`; `go_on` must work in either state.
fn killed_everywhere<Contents: PartialEq + std::fmt::Debug>(
    prepare: impl Fn(&mut Tx) -> Result<Handle, Stop>,
    act: impl Fn(&mut Tx, Handle) -> Result<(), Stop>,
    contents: impl Fn(&mut Tx, Handle) -> Result<Contents, Stop>,
    go_on: impl Fn(&mut Tx, Handle) -> Result<(), Stop>,
) {
    let (mut befores, mut afters) = (0, 0);
    // Bound: the accesses of one transaction; the first that survives ends it.
    for accesses in 0.. {
        let (heap, space) = space_of(4 * MIB);
        let mut survivor = space.participant().unwrap();
        let object = survivor.run(&prepare).unwrap();
        let before = survivor.run(|tx| contents(tx, object)).unwrap();
        let process = heap.process();
        let victim_space = Space::join(process.clone(), *space.arena().layout()).unwrap();
        let mut victim = victim_space.participant().unwrap();
        process.die_after(accesses);
        let end = unless_killed(|| victim.run(|tx| act(tx, object)).unwrap());
        process.live_on();
        let died = end.is_none();
        if died {
            heap.kill_process(victim_space.process());
            space.recover_dead();
        }
        let found = survivor.run(|tx| contents(tx, object)).unwrap();
        let mut expected = None;
        if !died || found != before {
            let (_, fresh) = space_of(4 * MIB);
            let mut tx = fresh.participant().unwrap();
            let object = tx.run(&prepare).unwrap();
            tx.run(|tx| act(tx, object)).unwrap();
            expected = Some(tx.run(|tx| contents(tx, object)).unwrap());
            afters += 1;
        } else {
            befores += 1;
        }
        if let Some(expected) = expected {
            assert_eq!(found, expected, "after {accesses} accesses");
        }
        survivor.run(|tx| go_on(tx, object)).unwrap();
        survivor.run(|tx| contents(tx, object)).unwrap();
        if !died {
            break;
        }
    }
    assert!(befores > 20 && afters > 2, "{befores} {afters}");
}

fn of(keys: impl Iterator<Item = i64> + Clone) -> impl Fn(&mut Tx) -> Result<Handle, Stop> {
    move |tx| {
        let dict = dict::create(tx)?;
        keys.clone().try_for_each(|number| put(tx, dict, number))?;
        Ok(dict)
    }
}

fn fill_and_empty(tx: &mut Tx, dict: Handle) -> Result<(), Stop> {
    (100..130).try_for_each(|number| put(tx, dict, number))?;
    (90..120).try_for_each(|number| take(tx, dict, number))
}

#[test]
fn killed_while_the_first_key_goes_in() {
    killed_everywhere(of(0..0), |tx, dict| put(tx, dict, 1), dict_contents, fill_and_empty);
}

#[test]
fn killed_while_the_buckets_double_and_split() {
    killed_everywhere(
        of(0..6),
        |tx, dict| (6..9).try_for_each(|key| put(tx, dict, key)),
        dict_contents,
        fill_and_empty,
    );
}

#[test]
fn killed_while_places_are_compacted() {
    let prepare = |tx: &mut Tx| {
        let dict = of(0..40)(tx)?;
        (0..30).try_for_each(|number| take(tx, dict, number))?;
        Ok(dict)
    };
    killed_everywhere(
        prepare,
        |tx, dict| (50..53).try_for_each(|key| put(tx, dict, key)),
        dict_contents,
        fill_and_empty,
    );
}

#[test]
fn killed_while_a_key_goes() {
    killed_everywhere(of(0..6), |tx, dict| take(tx, dict, 3), dict_contents, fill_and_empty);
}

fn list_contents(tx: &mut Tx, list: Handle) -> Result<Vec<Value>, Stop> {
    (0..list::len(tx, list)?).map(|index| Ok(list::get(tx, list, index)?.unwrap())).collect()
}

#[test]
fn killed_while_a_list_grows_and_shifts() {
    let prepare = |tx: &mut Tx| {
        let list = list::create(tx)?;
        (0..8).try_for_each(|value| list::push(tx, list, integer(value)))?;
        Ok(list)
    };
    let go_on = |tx: &mut Tx, list| {
        (0..20).try_for_each(|value| list::push(tx, list, integer(value)))?;
        list::remove(tx, list, 0).map(drop)
    };
    killed_everywhere(prepare, |tx, list| list::insert(tx, list, 4, integer(99)), list_contents, go_on);
}

#[test]
fn killed_while_an_item_is_handed_over() {
    let prepare = |tx: &mut Tx| {
        let queue = queue::create(tx, 2)?;
        queue::put(tx, queue, integer(1))?;
        Ok(queue)
    };
    let act = |tx: &mut Tx, queue| {
        let item = queue::get(tx, queue)?;
        queue::put(tx, queue, item)?;
        queue::put(tx, queue, integer(2))
    };
    let contents = |tx: &mut Tx, queue| queue::len(tx, queue);
    let go_on = |tx: &mut Tx, queue| {
        assert_eq!(queue::get(tx, queue)?, integer(1));
        queue::put(tx, queue, integer(3))
    };
    killed_everywhere(prepare, act, contents, go_on);
}

/// A ring of eight whose slots are all taken is doubled, in the middle of its way round.
#[test]
fn killed_while_a_ring_is_doubled() {
    let prepare = |tx: &mut Tx| {
        let queue = queue::create(tx, 20)?;
        (0..3).try_for_each(|item| queue::put(tx, queue, integer(item)))?;
        (0..3).try_for_each(|_| queue::get(tx, queue).map(drop))?;
        (3..11).try_for_each(|item| queue::put(tx, queue, integer(item)))?;
        Ok(queue)
    };
    let act = |tx: &mut Tx, queue| queue::put(tx, queue, integer(11));
    let contents = |tx: &mut Tx, queue| queue::len(tx, queue);
    let go_on = |tx: &mut Tx, queue| {
        let length = queue::len(tx, queue)? as i64;
        (3..3 + length).try_for_each(|item| {
            assert_eq!(queue::get(tx, queue)?, integer(item));
            queue::put(tx, queue, integer(item))
        })
    };
    killed_everywhere(prepare, act, contents, go_on);
}
