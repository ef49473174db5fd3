//! One entry of a read log may lead to very many blocks: a look at them goes in pieces, and comes no sooner than what was taken out is worth it.

use super::{in_phase, long, replace, texts};
use crate::support::{MIB, Tx, another, space_of_few, unless_killed};
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::{list, text, tuple};
use pso_engine::word::{BlockPhase, Handle, Value};
use pso_model::heap::Heap;

const PARTS: u64 = 30_000;
const TEXTS: u64 = 100;

/// A list of texts whose last item is a tuple of very many.
fn texts_and_a_tree(tx: &mut Tx) -> Handle {
    let list = texts(tx, TEXTS);
    tx.run(|tx| {
        let parts = (0..PARTS).map(|number| text::encode(tx, &long(number))).collect::<Result<Vec<_>, _>>()?;
        let tree = tuple::encode(tx, &parts)?;
        list::push(tx, list, tree)
    })
    .unwrap();
    list
}

/// In an attempt, with the tree's name in the log.
fn reader_of(tx: &mut Tx, list: Handle) -> Handle {
    tx.begin().unwrap();
    list::get(tx, list, TEXTS).unwrap().and_then(Value::as_handle).unwrap()
}

fn is_whole(tx: &Tx, tree: Handle) {
    for number in (0..PARTS).step_by(997).chain([PARTS - 1]) {
        let part = tuple::item(tx, tree, number).unwrap().and_then(Value::as_handle).unwrap();
        assert_eq!(text::with(tx, part, str::to_owned).unwrap(), long(number));
    }
}

/// Accesses to memory that `act` makes.
fn accesses(heap: &Heap, act: impl FnOnce()) -> u64 {
    const MANY: u64 = 1 << 40;
    heap.die_after(MANY);
    unless_killed(act).unwrap();
    MANY - heap.live_on()
}

#[test]
fn who_replaces_beside_a_reader_of_a_tree_pays_for_it_in_pieces_and_seldom() {
    const REPLACED: u64 = 20_000;
    let (heap, space) = space_of_few(64 * MIB);
    let mut writer = space.participant().unwrap();
    let list = texts_and_a_tree(&mut writer);
    let mut reader = another(&heap, &space).participant().unwrap();
    let tree = reader_of(&mut reader, list);
    let alone = accesses(&heap, || writer.run(|tx| replace(tx, list, 0, 1)).unwrap());
    let (mut all, mut dearest, mut waiting) = (0, 0, 0);
    for number in 0..REPLACED {
        let one = accesses(&heap, || writer.run(|tx| replace(tx, list, number % TEXTS, number)).unwrap());
        (all, dearest) = (all + one, dearest.max(one));
        if number % 100 == 0 {
            waiting = waiting.max(in_phase(&space, BlockPhase::Retired) as u64);
        }
    }
    println!(
        "{} accesses for each, {alone} of them its own; {dearest} at most; {waiting} blocks waited",
        all / REPLACED
    );
    assert!(dearest < 50_000, "{dearest} accesses in one commit");
    assert!(all / REPLACED < alone + 300, "{} accesses for each", all / REPLACED);
    // An eighth of what the log leads to, until twice as much waits, and what comes while it is looked at.
    assert!(waiting < PARTS / 2, "{waiting} blocks wait");
    is_whole(&reader, tree);
    reader.abort();
    writer.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The tree is taken out at each of the pieces of a look, by him who looks or by somebody else: it stays, whole, as long as the reader is in his attempt.
#[test]
fn a_tree_that_goes_in_the_middle_of_a_look_stays_for_its_reader() {
    let (heap, space) = space_of_few(64 * MIB);
    let mut other = another(&heap, &space).participant().unwrap();
    let list = texts_and_a_tree(&mut other);
    for turn in 0..24 {
        let mut writer = space.participant().unwrap();
        let mut reader = another(&heap, &space).participant().unwrap();
        let tree = reader_of(&mut reader, list);
        (0..130).for_each(|number| writer.run(|tx| replace(tx, list, number % TEXTS, number)).unwrap());
        assert!(writer.is_finding_out(), "else this shows nothing");
        for _ in 0..turn / 2 {
            writer.collect_at_most(256);
        }
        let taker = if turn % 2 == 0 { &mut writer } else { &mut other };
        taker.run(|tx| list::set(tx, list, TEXTS, Value::NONE).map(drop)).unwrap();
        for _ in 0..40 {
            taker.collect_at_most(256);
        }
        is_whole(&reader, tree);
        taker.collect();
        writer.collect();
        is_whole(&reader, tree);
        reader.abort();
        reader.leave();
        writer.collect();
        other.collect();
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "turn {turn}");
        writer
            .run(|tx| {
                let parts = (0..PARTS).map(|number| text::encode(tx, &long(number))).collect::<Result<Vec<_>, _>>()?;
                let tree = tuple::encode(tx, &parts)?;
                list::set(tx, list, TEXTS, tree).map(drop)
            })
            .unwrap();
        writer.leave();
    }
    assert_eq!(fsck_at_rest(&space), vec![]);
}
