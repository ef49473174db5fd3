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

/// What they contend for: in which space, and blocks of how many payload words.
struct Prize {
    geometry: fn() -> Geometry,
    /// Of the dead. All are published; the two kept, by place, nobody frees; every other one both free.
    of_the_dead: &'static [u64],
    kept: [usize; 2],
    /// Payload words, and how many of them each takes before he frees, and behind that.
    before: &'static [(u64, usize)],
    behind: &'static [(u64, usize)],
    /// Of these each takes what is left.
    rest: &'static [u64],
}

const SMALL: Prize = Prize {
    geometry: tiny,
    of_the_dead: &[2, 14, 14, 100, 2, 2, 14, 30, 14, 62],
    kept: [1, 5],
    before: &[(14, 6), (100, 1)],
    behind: &[(14, 9), (62, 2), (2, 10), (200, 1)],
    rest: &[14, 2],
};

/// Of each superblock of halves that the dead had one half is freed by both, the other kept or lost.
const SHARES: Prize = Prize {
    geometry: native,
    of_the_dead: &[HALF, HALF, HALF, HALF, THIRD, THIRD, THIRD, THIRD],
    kept: [1, 5],
    before: &[(HALF, 2), (THIRD, 1)],
    behind: &[(THIRD, 4), (HALF, 3), (9000, 1)],
    rest: &[THIRD, HALF],
};

/// Frees what both free and recovers the dead, and takes all memory that is left: orphans, superblocks given back,
/// untouched ones, runs of them.
fn contend<P: Platform>(arena: &Arena<P>, me: ParticipantId, prize: &Prize, contended: &[Handle]) -> Outcome {
    let mut cache = BlockCache::default();
    let mut outcome = Outcome::default();
    for (words, count) in prize.before {
        outcome.take(arena, me, &mut cache, *words, *count);
    }
    outcome.freed = contended.iter().map(|block| cache.free(arena, me, *block)).collect();
    allocator::recover(arena, DEAD);
    for (words, count) in prize.behind {
        outcome.take(arena, me, &mut cache, *words, *count);
    }
    // Every third goes back, and what is left is taken again.
    let given: Vec<Handle> = outcome.held.iter().copied().step_by(3).collect();
    outcome.held.retain(|block| !given.contains(block));
    assert!(given.iter().all(|block| cache.free(arena, me, *block)), "a block of ours was not ours");
    for words in prize.rest {
        outcome.take(arena, me, &mut cache, *words, usize::MAX);
    }
    outcome
}

/// Runs the scene with the other one's whole work before access `step`. True if the first one was through before.
fn contend_at(step: u64, prize: &'static Prize, full: usize) -> bool {
    let (heap, plain) = arena((prize.geometry)());
    let mut dead = BlockCache::default();
    let blocks: Vec<Handle> =
        prize.of_the_dead.iter().map(|words| dead.allocate(&plain, DEAD, BlockKind::Text, *words).unwrap()).collect();
    // Two that nobody frees keep their superblocks from being given back: those are orphaned, and adopted by one.
    let kept = prize.kept.map(|place| blocks[place]);
    let contended: Vec<Handle> = blocks.into_iter().step_by(2).collect();
    contended.iter().chain(&kept).for_each(|block| allocator::publish(&plain, *block));

    let watched = Arena::new(Interposed::new(heap.process()), *plain.layout());
    let (_, others) = another(&heap, &plain);
    let theirs = Arc::new(Mutex::new(Outcome::default()));
    let (result, to_free) = (theirs.clone(), contended.clone());
    watched.platform().at(step, move || *result.lock().unwrap() = contend(&others, OTHER, prize, &to_free));
    let mine = contend(&watched, ME, prize, &contended);
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
    assert_eq!(capacity(&plain, ME, prize.rest[0]), full, "step {step}: memory is lost");
    through
}

#[test]
fn two_who_contend_for_everything_share_it_without_overlap() {
    for prize in [&SMALL, &SHARES] {
        let full = capacity(&arena((prize.geometry)()).1, ME, prize.rest[0]);
        let steps = (0..).find(|step| contend_at(*step, prize, full)).unwrap();
        assert!(steps > 500, "only {steps} accesses");
    }
}
