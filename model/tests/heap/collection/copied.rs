//! A name that is copied: the commit locks the cell that it goes to, not the one that it was read from. Between the last look at that one and the commit another may
//! overwrite it, and a collection begin that none of the two has heard of when he read.

use std::sync::Mutex;

use super::*;
use crate::support::{MIB, Tx, unless_killed};
use pso_engine::fsck::fsck;

type Collecting = (Tx, pso_engine::collection::Collection);

/// What the copier stores: something new that names the treasure.
type Copying = fn(&mut Participant<Interposed<Heap>>, Value) -> Result<Value, Stop>;

fn in_a_new_list(tx: &mut Participant<Interposed<Heap>>, value: Value) -> Result<Value, Stop> {
    let new = list_of(tx, &[value])?;
    Ok(Value::handle(new))
}

fn as_it_is(_: &mut Participant<Interposed<Heap>>, value: Value) -> Result<Value, Stop> {
    Ok(value)
}

/// The copy of a tuple is a block of its own; the tuple that was copied is taken out.
fn in_a_copy(tx: &mut Participant<Interposed<Heap>>, value: Value) -> Result<Value, Stop> {
    let copied = object::copy(tx, value)?;
    in_a_new_list(tx, copied)
}

/// The first list in the root names the treasure, a list of 42, by itself or in a tuple; the second gets the copy.
fn found(tx: &mut Tx, in_a_tuple: bool) -> Handle {
    let root = root_list(tx);
    tx.run(|tx| {
        let treasure = Value::handle(list_of(tx, &[integer(42)])?);
        let value = if in_a_tuple { tuple::encode(tx, &[treasure])? } else { treasure };
        for list in [list_of(tx, &[value])?, list_of(tx, &[])?] {
            list::push(tx, root, Value::handle(list))?;
        }
        Ok(root)
    })
    .unwrap()
}

/// 42, from the copy, through whatever names it.
fn treasure(tx: &mut Tx, root: Handle) -> Result<Option<Value>, Stop> {
    let second = item(tx, root, 1)?;
    let Some(mut value) = list::get(tx, second, 0)? else { return Ok(None) };
    while let Some(handle) = value.as_handle() {
        value = match tx.kind(handle)? {
            pso_engine::word::BlockKind::Tuple => tuple::item(tx, handle, 0)?.unwrap(),
            _ => list::get(tx, handle, 0)?.unwrap(),
        };
    }
    Ok(Some(value))
}

/// Before each access of the copier's commit the source is emptied, and then a collection begins; it goes on when the copier is through, or has died `dies_after` more accesses.
/// Gives how many of the copies exist.
fn beside_a_commit(in_a_tuple: bool, copy: Copying, dies_after: Option<u64>) -> u64 {
    let mut copies = 0;
    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
        let others = Space::join(heap.clone(), layout).unwrap();
        let mut founder = others.participant().unwrap();
        let root = found(&mut founder, in_a_tuple);
        let process = heap.process();
        let copiers = Space::join(Interposed::new(process.clone()), layout).unwrap();
        let mut copier = copiers.participant().unwrap();
        let (mut emptier, mut collector) = (others.participant().unwrap(), others.participant().unwrap());
        copier.begin().unwrap();
        let first = item(&mut copier, root, 0).unwrap();
        let value = list::get(&mut copier, first, 0).unwrap().unwrap();
        let copied = copy(&mut copier, value).unwrap();
        let second = item(&mut copier, root, 1).unwrap();
        list::push(&mut copier, second, copied).unwrap();
        let collecting: Arc<Mutex<Option<Collecting>>> = Arc::default();
        let (theirs, dying) = (Arc::clone(&collecting), process.clone());
        copiers.arena().platform().at(step, move || {
            emptier
                .run(|tx| {
                    let first = item(tx, root, 0)?;
                    let value = list::get(tx, first, 0)?.unwrap();
                    list::truncate(tx, first, 0)?;
                    object::discard(tx, value)
                })
                .unwrap();
            let collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
            *theirs.lock().unwrap() = Some((collector, collection));
            dies_after.into_iter().for_each(|accesses| dying.die_after(accesses));
        });
        let end = unless_killed(|| copier.commit());
        let before = copiers.arena().platform().forget();
        std::mem::forget(copier);
        process.live_on();
        if end.is_none() {
            heap.kill_process(copiers.process());
            others.recover_dead();
        }
        if let Some((mut collector, mut collection)) = collecting.lock().unwrap().take() {
            while collector.collection_step(&mut collection) == Step::Went {}
            collector.collect();
        }
        let name = format!("in a tuple: {in_a_tuple}, step {step}, dies after {dies_after:?}, {end:?}");
        assert_eq!(fsck(&others), vec![], "{name}");
        let found = founder.run(|tx| treasure(tx, root));
        copies += u64::from(found == Ok(Some(integer(42))));
        match end {
            Some(Ok(())) => assert_eq!(found, Ok(Some(integer(42))), "{name}"),
            Some(Err(_)) => assert_eq!(found, Ok(None), "{name}"),
            None => assert!(found.is_ok(), "{name}: {found:?}"),
        }
        if before {
            assert!(step > 20, "only {step} accesses");
            return copies;
        }
    }
    unreachable!()
}

#[test]
fn what_is_copied_while_its_source_is_emptied_stays() {
    for (in_a_tuple, copy) in [(false, in_a_new_list as Copying), (false, as_it_is), (true, in_a_copy)] {
        let copies = beside_a_commit(in_a_tuple, copy, None);
        assert!(copies > 10, "{copies}");
    }
}

/// Who is killed in his commit: whoever finishes it does not know what he had heard of.
#[test]
fn what_somebody_copies_who_is_killed_in_it_stays() {
    for (in_a_tuple, copy) in [(false, in_a_new_list as Copying), (true, in_a_copy)] {
        let copies: u64 = (0..40).map(|accesses| beside_a_commit(in_a_tuple, copy, Some(accesses))).sum();
        assert!(copies > 100, "{copies}");
    }
}
