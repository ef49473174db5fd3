//! A superblock whose header damage has made that of one which nobody has ever claimed. The danger: such a one is taken to be all zero, so who claims it carves
//! it as it is, and the old blocks of it are blocks again, in generations that were over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::allocator::{self, Damage as Wrong, Mend};
use pso_engine::fsck::{Finding, Mended, fsck, fsck_at_rest, repair};
use pso_engine::object::{list, text};
use pso_engine::participant::Slot;
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{Handle, ParticipantId, Value};
use pso_model::heap::Heap;

use crate::support::{MIB, space_of};

fn is_told(findings: &[Finding], number: u64) -> bool {
    findings.contains(&Finding::Memory(Wrong::Forgotten { superblock: number }))
}

/// All that was in a superblock.
fn content(space: &Arc<Space<Heap>>, number: u64) -> Vec<u64> {
    let layout = space.arena().layout();
    let first = layout.superblock(number);
    (0..layout.geometry().superblock_words)
        .map(|word| space.arena().platform().load(first.offset(word), Relaxed))
        .collect()
}

/// Fills the space, and empties it, and gives back what it can; what was in the superblock stays there.
fn fill(space: &Arc<Space<Heap>>, number: u64) {
    let before = content(space, number);
    let mut tx = space.participant().unwrap();
    for length in [100, 3000, 100_000] {
        let filled = tx.run(|tx| {
            let all = list::create(tx)?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(all))
        });
        filled.unwrap();
        let root = space.arena().root();
        while tx
            .run(|tx| {
                let all = tx.read(root)?.as_handle().unwrap();
                let item = text::encode(tx, &"x".repeat(length))?;
                list::push(tx, all, item)
            })
            .is_ok()
        {}
        tx.run(|tx| tx.write(root, Value::NONE)).unwrap();
        let _ = tx.collect_objects(0);
        tx.collect();
        tx.give_back_pages();
    }
    tx.leave();
    assert!(content(space, number) == before, "superblock {number} was used by others");
}

#[test]
fn logs_in_it_are_written_over_by_nobody() {
    let (heap, space) = space_of(4 * MIB);
    let tx = space.participant().unwrap();
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    tx.leave();
    let piece = Handle::from_raw(heap.load(slot.read_log_piece(0), Relaxed)).unwrap();
    let number = space.arena().layout().superblock_of(piece.block()).unwrap();
    assert_eq!(fsck_at_rest(&space), []);
    heap.store(space.arena().layout().superblock_header(number), 0, Relaxed);
    assert!(is_told(&fsck(&space), number));
    // Whoever takes the slot forgets what is not there.
    let next = space.participant().unwrap();
    assert_eq!(next.id(), ParticipantId(0));
    next.leave();
    assert!(is_told(&fsck(&space), number));
    assert!(is_told(&fsck_at_rest(&space), number));
    fill(&space, number);
    assert!(is_told(&fsck(&space), number));
    space.leave();
    let layout = *space.arena().layout();
    let done = repair(heap.process(), layout).unwrap();
    assert_eq!(done.left, []);
    let aside = Mended::Memory(Mend::Quarantined { superblock: number, word: 0 });
    assert!(done.mended.contains(&aside), "{:?}", done.mended);
}

/// A block of several superblocks, the first of which has never held small ones: no other word of the header says anything.
#[test]
fn a_large_block_that_begins_in_it_is_written_over_by_nobody() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let long = tx.run(|tx| {
        let long = text::encode(tx, &"y".repeat(200_000))?;
        let root = tx.arena().root();
        tx.write(root, long).map(|()| long.as_handle().unwrap())
    });
    let (long, root) = (long.unwrap(), space.arena().root());
    tx.leave();
    assert!(allocator::check_fully(space.arena(), long).is_ok());
    let number = space.arena().layout().superblock_of(long.block()).unwrap();
    heap.store(space.arena().layout().superblock_header(number), 0, Relaxed);
    // Nothing names it, as far as others go.
    heap.store(root.value_word(), Value::NONE.raw(), Relaxed);
    assert!(is_told(&fsck(&space), number));
    fill(&space, number);
    assert!(is_told(&fsck(&space), number));
}
