//! What is large is traced, and freed, in pieces: between two of them others go on, and anybody may die.

use super::*;
use pso_engine::fsck::fsck;
use pso_engine::transaction::{Progress, WholeCollection};

/// Steps of freeing at a time.
const PIECE: u64 = 20;
const ITEMS: u64 = 2500;

/// A dict and a list with some hundreds of blocks each, which nothing names.
fn large_garbage<P: Platform>(tx: &mut Participant<P>) {
    tx.run(|tx| {
        let names = dict::create(tx)?;
        let items = list::create(tx)?;
        for number in 0..200 {
            let name = format!("{LONG} {number}");
            let key = text_key(tx, &name);
            let long = text::encode(tx, LONG)?;
            let value = tuple::encode(tx, &[long, integer(number)])?;
            dict::set(tx, names, &key, value)?;
            let long = text::encode(tx, LONG)?;
            list::push(tx, items, long)?;
        }
        let own = text_key(tx, "the other one");
        dict::set(tx, names, &own, Value::handle(items)).map(drop)
    })
    .unwrap();
}

/// A whole collection, but that what it has found waits.
fn find<P: Platform>(tx: &mut Participant<P>) {
    let mut collection = tx.open_collection(Patience::IN_A_HURRY).unwrap();
    while !matches!(tx.collection_step(&mut collection), Step::Over(_)) {}
}

#[test]
fn what_owns_much_is_freed_in_pieces_and_others_go_on() {
    let (heap, space) = space_of_few(4 * MIB);
    let mut tx = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut tx);
    other.run(|tx| list::push(tx, root, integer(0))).unwrap();
    // The first time makes the logs as large as they have to be.
    large_garbage(&mut tx);
    assert_eq!(collected(&mut tx), 2);
    let before = live(&space);
    large_garbage(&mut tx);
    find(&mut tx);
    let mut pieces = 0;
    while tx.retired_words() != 0 {
        let freed = tx.freed_words();
        tx.collect_at_most(PIECE);
        pieces += u64::from(tx.is_in_the_middle_of_freeing());
        // No block of these has more words.
        assert!(tx.freed_words() - freed < PIECE * 600, "piece {pieces}");
        assert_eq!(fsck(&space), vec![], "piece {pieces}");
        other
            .run(|tx| {
                let long = text::encode(tx, LONG)?;
                list::set(tx, root, 0, long).map(drop)
            })
            .unwrap();
    }
    assert!(pieces > 50, "only {pieces} pieces");
    other.run(|tx| list::set(tx, root, 0, integer(0))).unwrap();
    other.collect();
    assert_eq!(live(&space), before);
    nothing_waits(&space);
}

#[test]
fn who_dies_between_or_in_pieces_loses_and_keeps_nothing() {
    let (heap, space) = space_of_few(4 * MIB);
    let mut survivor = space.participant().unwrap();
    root_list(&mut survivor);
    let mut at_rest = None;
    for step in (0..).step_by(97) {
        let through = dies_at(&heap, &space, step, large_garbage, |victim| {
            find(victim);
            while victim.retired_words() != 0 {
                victim.collect_at_most(PIECE);
            }
        });
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 5000, "only {step} steps");
            return;
        }
    }
}

/// Between any two steps of a collection the one name of a list goes from one end of a long list to the other, where the tracer has been, or comes to.
#[test]
fn what_moves_within_an_array_that_is_traced_in_pieces_stays() {
    let (_, space) = space_of_few(8 * MIB);
    let mut collector = space.participant().unwrap();
    let mut mover = space.participant().unwrap();
    let root = root_list(&mut mover);
    mover.run(|tx| (0..ITEMS).try_for_each(|_| list::push(tx, root, Value::NONE))).unwrap();
    for (from, to) in [(0, ITEMS - 1), (ITEMS - 1, 0)] {
        for steps in 0.. {
            mover
                .run(|tx| {
                    let treasure = list_of(tx, &[integer(42)])?;
                    list::set(tx, root, to, Value::NONE)?;
                    list::set(tx, root, from, Value::handle(treasure)).map(drop)
                })
                .unwrap();
            let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
            let over = (0..steps).any(|_| matches!(collector.collection_step(&mut collection), Step::Over(_)));
            mover
                .run(|tx| {
                    let treasure = list::get(tx, root, from)?.unwrap();
                    list::set(tx, root, from, Value::NONE)?;
                    list::set(tx, root, to, treasure).map(drop)
                })
                .unwrap();
            while !over && !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
            collector.collect();
            let found = mover.run(|tx| {
                let treasure = item(tx, root, to)?;
                list::get(tx, treasure, 0)
            });
            assert_eq!(found, Ok(Some(integer(42))), "{steps} steps");
            if over {
                assert!(steps > 8, "only {steps} steps");
                break;
            }
        }
    }
}

/// An attempt with a long log has read, last of all, a name that goes before a collection begins: between any two steps of that it finds what was there.
#[test]
fn what_stands_at_the_end_of_a_long_log_stays() {
    let (heap, space) = space_of_few(8 * MIB);
    let mut collector = space.participant().unwrap();
    let mut mover = space.participant().unwrap();
    let mut reader = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut mover);
    mover.run(|tx| (0..ITEMS).try_for_each(|_| list::push(tx, root, integer(0)))).unwrap();
    for steps in 0.. {
        mover
            .run(|tx| {
                let treasure = list_of(tx, &[integer(42)])?;
                list::set(tx, root, 0, Value::handle(treasure)).map(drop)
            })
            .unwrap();
        reader.begin().unwrap();
        (1..ITEMS).for_each(|index| assert_eq!(list::get(&mut reader, root, index), Ok(Some(integer(0)))));
        let treasure = item(&mut reader, root, 0).unwrap();
        mover.run(|tx| list::set(tx, root, 0, Value::NONE)).unwrap();
        let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
        let over = (0..steps).any(|_| matches!(collector.collection_step(&mut collection), Step::Over(_)));
        assert_eq!(list::get(&mut reader, treasure, 0), Ok(Some(integer(42))), "{steps} steps");
        while !over && !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
        collector.collect();
        assert_eq!(list::get(&mut reader, treasure, 0), Ok(Some(integer(42))), "{steps} steps");
        reader.abort();
        assert_eq!(collected(&mut collector), 1, "{steps} steps");
        if over {
            assert!(steps > 8, "only {steps} steps");
            return;
        }
    }
}

/// What is retired only its owner frees: whoever is stopped in the middle is not to have kept it all from everybody.
#[test]
fn little_is_retired_at_a_time() {
    const MOST_WORDS: u64 = (1 << 17) + (1 << 15);
    let (_, space) = space_of(64 * MIB);
    let mut tx = space.participant().unwrap();
    for _ in 0..200 {
        tx.run(|tx| (0..200).try_for_each(|_| dict::create(tx).map(drop))).unwrap();
    }
    let mut words = 0;
    allocator::for_each_block(space.arena(), |handle, _| {
        words += allocator::payload_words(space.arena(), handle).unwrap();
    });
    assert!(words > 4 * MOST_WORDS, "{words} words are too few to tell");
    let mut whole = WholeCollection::default();
    let mut most = 0;
    // Bound: steps of a collection.
    loop {
        match tx.go_on_with(&mut whole, 1) {
            Progress::Over(collected) => break assert_eq!(collected.objects, 40_000),
            progress => assert_eq!(progress, Progress::Went),
        }
        most = most.max(tx.retired_words());
    }
    assert!(most <= MOST_WORDS, "{most} words of {words} were retired at a time");
}
