//! All schedules of one preemption: one stops between any two of its accesses, and another does all that it can in that
//! instant: takes what the first is about to take, frees what it is about to free, recovers whom it recovers.

use std::sync::{Arc, Mutex};

use pso_engine::platform::Platform;
use pso_model::interpose::Interposed;

use super::*;

const DEAD: ParticipantId = ParticipantId(2);

/// What one of the two got.
#[derive(Default)]
struct Outcome {
    held: Vec<Handle>,
    /// For each contended block: whether the free was ours.
    freed: Vec<bool>,
}

impl Outcome {
    /// Takes up to `count` blocks and marks them.
    fn take<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        me: ParticipantId,
        cache: &mut BlockCache,
        words: u64,
        count: usize,
    ) {
        for _ in 0..count {
            let Ok(block) = cache.allocate(arena, me, BlockKind::Text, words) else { return };
            arena.platform().store_plain(block.block().offset(BLOCK_HEADER_WORDS), mark(block, me));
            self.held.push(block);
        }
    }
}

fn mark(block: Handle, owner: ParticipantId) -> u64 {
    block.raw() ^ u64::from(owner.0)
}

/// Frees what both free and recovers the dead, and takes all memory that is left: orphans, superblocks given back,
/// untouched ones, runs of them.
fn contend<P: Platform>(arena: &Arena<P>, me: ParticipantId, contended: &[Handle]) -> Outcome {
    let mut cache = BlockCache::default();
    let mut outcome = Outcome::default();
    outcome.take(arena, me, &mut cache, 14, 6);
    outcome.take(arena, me, &mut cache, 100, 1);
    outcome.freed = contended.iter().map(|block| cache.free(arena, me, *block)).collect();
    allocator::recover(arena, DEAD);
    for (words, count) in [(14, 9), (62, 2), (2, 10), (200, 1)] {
        outcome.take(arena, me, &mut cache, words, count);
    }
    // Every third goes back, and what is left is taken again.
    let given: Vec<Handle> = outcome.held.iter().copied().step_by(3).collect();
    outcome.held.retain(|block| !given.contains(block));
    assert!(given.iter().all(|block| cache.free(arena, me, *block)), "a block of ours was not ours");
    for words in [14, 2] {
        outcome.take(arena, me, &mut cache, words, usize::MAX);
    }
    outcome
}

/// Runs the scene with the other one's whole work before access `step`. True if the first one was through before.
fn contend_at(step: u64, full: usize) -> bool {
    let (heap, plain) = arena(tiny());
    let mut dead = BlockCache::default();
    let blocks = [2, 14, 14, 100, 2, 2, 14, 30, 14, 62]
        .map(|words| dead.allocate(&plain, DEAD, BlockKind::Text, words).unwrap());
    // Two that nobody frees keep their superblocks from being given back: those are orphaned, and adopted by one.
    let kept = [blocks[1], blocks[5]];
    let contended: Vec<Handle> = blocks.into_iter().step_by(2).collect();
    contended.iter().chain(&kept).for_each(|block| allocator::publish(&plain, *block));

    let watched = Arena::new(Interposed::new(heap.process()), *plain.layout());
    let (_, others) = another(&heap, &plain);
    let theirs = Arc::new(Mutex::new(Outcome::default()));
    let (result, to_free) = (theirs.clone(), contended.clone());
    watched.platform().at(step, move || *result.lock().unwrap() = contend(&others, OTHER, &to_free));
    let mine = contend(&watched, ME, &contended);
    let through = watched.platform().forget();
    let theirs = theirs.lock().unwrap();

    for (owner, outcome) in [(ME, &mine), (OTHER, &*theirs)] {
        for block in &outcome.held {
            assert!(allocator::check_fully(&plain, *block).is_ok(), "step {step}: {block:?} is lost");
            let found = plain.platform().load_plain(block.block().offset(BLOCK_HEADER_WORDS));
            assert_eq!(found, mark(*block, owner), "step {step}: {block:?} has two owners");
        }
    }
    if !through {
        let freed_once = |index: usize| mine.freed[index] != theirs.freed[index];
        assert!((0..contended.len()).all(freed_once), "step {step}: {:?} {:?}", mine.freed, theirs.freed);
    }
    assert_eq!(damage(&plain, |id| id == ME || id == OTHER), vec![], "step {step}");
    allocator::recover(&plain, OTHER);
    allocator::recover(&plain, ME);
    assert_eq!(damage(&plain, |_| false), vec![], "step {step}");
    assert!(kept.iter().all(|block| BlockCache::default().free(&plain, ME, *block)));
    // Gives back the orphans that became empty.
    assert_eq!(capacity(&plain, ME, 14), full, "step {step}: memory is lost");
    through
}

#[test]
fn two_who_contend_for_everything_share_it_without_overlap() {
    let full = capacity(&arena(tiny()).1, ME, 14);
    let steps = (0..).find(|step| contend_at(*step, full)).unwrap();
    assert!(steps > 500, "only {steps} accesses");
}
