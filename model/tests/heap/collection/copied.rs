//! A name that is copied: the commit locks the cell that it goes to, not the one that it was read from. Between the last look at that one and the commit another may
//! overwrite it, and a collection begin that none of the two has heard of when he read.

use std::sync::Mutex;

use super::*;
use crate::support::{MIB, Tx, unless_killed};
use pso_engine::fsck::fsck;

type Collecting = (Tx, pso_engine::collection::Collection);

/// What names the treasure, a list of 42, and is copied into a new list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A list.
    List,
    /// A tuple in a list; the tuple is taken out, too.
    Tuple,
    /// A tuple in a tuple.
    TupleInTuple,
    /// A key of a dict, which is a tuple. Two more keys share its bucket, as far as that can be had.
    Key,
}

impl Source {
    /// The first in the root is the source, the second gets the copy.
    fn found(self, tx: &mut Tx) -> Handle {
        let root = root_list(tx);
        tx.run(|tx| {
            let treasure = list_of(tx, &[integer(42)])?;
            let value = Value::handle(treasure);
            let source = match self {
                Self::List => list_of(tx, &[value])?,
                Self::Tuple => {
                    let tuple = tuple::encode(tx, &[value])?;
                    list_of(tx, &[tuple])?
                }
                Self::TupleInTuple => {
                    let inner = tuple::encode(tx, &[value])?;
                    let outer = tuple::encode(tx, &[inner])?;
                    list_of(tx, &[outer])?
                }
                Self::Key => {
                    let dict = dict::create(tx)?;
                    for view in [KeyView::Int(1), KeyView::Tuple(vec![KeyView::Identity(treasure)]), KeyView::Int(2)] {
                        let key = Key::new(tx.arena().hash_key(), view);
                        dict::set(tx, dict, &key, integer(0))?;
                    }
                    dict
                }
            };
            list::push(tx, root, Value::handle(source))?;
            let second = list_of(tx, &[])?;
            list::push(tx, root, Value::handle(second))
        })
        .unwrap();
        root
    }

    /// What is to be copied. Reads it, and locks nothing.
    fn read<P: Platform>(self, tx: &mut Participant<P>, root: Handle) -> Result<Value, Stop> {
        let first = item(tx, root, 0)?;
        match self {
            Self::Key => Ok(dict::next(tx, first, 1)?.unwrap().1),
            _ => Ok(list::get(tx, first, 0)?.unwrap()),
        }
    }

    /// Takes it out.
    fn empty(self, tx: &mut Tx, root: Handle) -> Result<(), Stop> {
        let (first, value) = (item(tx, root, 0)?, self.read(tx, root)?);
        if self == Self::Key {
            let treasure = tuple::item(tx, value.as_handle().unwrap(), 0)?.unwrap().as_handle().unwrap();
            let key = Key::new(tx.arena().hash_key(), KeyView::Tuple(vec![KeyView::Identity(treasure)]));
            let (key, _) = dict::remove(tx, first, &key)?.unwrap();
            return object::discard(tx, key);
        }
        list::truncate(tx, first, 0)?;
        object::discard(tx, value)
    }
}

/// Which of the two comes first, at an access of the copier's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The source is emptied, and then the collection begins.
    Emptied,
    /// The other way round.
    Begun,
    /// The same as the first, and another collection was under way when the copier began.
    EmptiedBesideAnother,
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

/// Before each access of the copier's commit the source is emptied and a collection begins; it goes on when the copier is through, or has died `dies_after` more accesses.
/// Gives how many of the copies exist.
fn beside_a_commit(source: Source, first: First, dies_after: Option<u64>) -> u64 {
    let mut copies = 0;
    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
        let others = Space::join(heap.clone(), layout).unwrap();
        let mut founder = others.participant().unwrap();
        let root = source.found(&mut founder);
        let process = heap.process();
        let copiers = Space::join(Interposed::new(process.clone()), layout).unwrap();
        let mut copier = copiers.participant().unwrap();
        let (mut emptier, mut collector) = (others.participant().unwrap(), others.participant().unwrap());
        if first == First::EmptiedBesideAnother {
            // It is taken over from.
            _ = founder.open_collection(Patience::IN_A_HURRY).map(|collection| founder.rest_collection(&collection));
        }
        copier.begin().unwrap();
        let value = source.read(&mut copier, root).unwrap();
        let copied = object::copy(&mut copier, value).unwrap();
        let new = list_of(&mut copier, &[copied]).unwrap();
        let second = item(&mut copier, root, 1).unwrap();
        list::push(&mut copier, second, Value::handle(new)).unwrap();
        let collecting: Arc<Mutex<Option<Collecting>>> = Arc::default();
        let (theirs, dying) = (Arc::clone(&collecting), process.clone());
        copiers.arena().platform().at(step, move || {
            let mut empty = || emptier.run(|tx| source.empty(tx, root)).unwrap();
            if first != First::Begun {
                empty();
            }
            let collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
            if first == First::Begun {
                empty();
            }
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
        let name = format!("{source:?}, {first:?}, step {step}, dies after {dies_after:?}, {end:?}");
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

const SOURCES: [Source; 4] = [Source::List, Source::Tuple, Source::TupleInTuple, Source::Key];

#[test]
fn what_is_copied_while_its_source_is_emptied_stays() {
    for source in SOURCES {
        for first in [First::Emptied, First::Begun, First::EmptiedBesideAnother] {
            let copies = beside_a_commit(source, first, None);
            assert!(copies > 10, "{source:?}, {first:?}: {copies}");
        }
    }
}

/// Who is killed in his commit: whoever finishes it does not know what he had heard of.
#[test]
fn what_somebody_copies_who_is_killed_in_it_stays() {
    for source in SOURCES {
        let copies: u64 = (0..40).map(|accesses| beside_a_commit(source, First::Emptied, Some(accesses))).sum();
        assert!(copies > 100, "{source:?}: {copies}");
    }
}
