//! A process that leaves, or is cleared up after, and what it had exported.

use std::sync::{Arc, Mutex};

use pso_engine::arena::Geometry;
use pso_engine::collection::Patience;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::list;
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::space::Space;
use pso_engine::transaction::CollectionEnd;
use pso_engine::word::{BlockKind, Handle};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

use super::{BASE, Tx, hold};

/// Blocks of one name, in an attempt, until one lies where `object` was.
fn fill(tx: &mut Tx, object: Handle, words: u64) -> Vec<Handle> {
    tx.begin().unwrap();
    let mut made = Vec::new();
    while made.len() < 5000 && made.last().is_none_or(|last: &Handle| last.block() != object.block()) {
        made.push(tx.allocate(BlockKind::Text, words).unwrap());
    }
    made
}

/// In the middle of it, at whatever access, somebody adopts the export and lets go of it, collections free the object, and its memory becomes a text's. The danger: what a collection of
/// before is told of the object then stands in the text, which counts for one of many names: nobody frees it any more, and nobody looks behind it.
#[test]
fn what_was_exported_by_who_leaves_may_be_another_object_by_then() {
    let mut anew = 0;
    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry { log_base: BASE / 2, ..Geometry::for_bytes(4 << 20).unwrap() });
        let stays = Space::join(heap.clone(), layout).unwrap();
        let leaves = Space::join(Interposed::new(heap.process()), layout).unwrap();
        let [mut collector, mut loader] = [(); 2].map(|()| stays.participant().unwrap());
        let mut exporter = leaves.participant().unwrap();
        let object = exporter.run(list::create).unwrap();
        let words = pso_engine::allocator::payload_words(stays.arena(), object).unwrap();
        let held = exporter.run(|tx| tx.hold(object)).unwrap();
        let export = leaves.export(held).unwrap();
        exporter.leave();
        let collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
        let made = Arc::new(Mutex::new(Vec::new()));
        let made_there = Arc::clone(&made);
        let there = Arc::clone(&stays);
        leaves.arena().platform().at(step, move || {
            let held = hold(&mut loader, object);
            there.adopt(export);
            loader.release(held);
            collector.close_collection(collection);
            for _ in 0..2 {
                let end = collector.collect_objects(1_000_000).unwrap();
                assert!(matches!(end, CollectionEnd::Finished(_)), "{end:?}");
            }
            collector.collect();
            let blocks = fill(&mut loader, object, words);
            *made_there.lock().unwrap() = vec![(loader, blocks)];
        });
        leaves.leave();
        if leaves.arena().platform().forget() {
            assert!(step > 10 && anew > 5, "{anew} of {step} accesses");
            return;
        }
        let (mut loader, blocks) = made.lock().unwrap().pop().unwrap();
        anew += usize::from(blocks.last().is_some_and(|last| last.block() == object.block()));
        for block in blocks {
            assert_eq!(heap.load(block.block().offset(1), Relaxed), 0, "access {step}: a text was marked");
        }
        loader.abort();
        assert_eq!(fsck_at_rest(&stays), vec![], "access {step}");
    }
}
