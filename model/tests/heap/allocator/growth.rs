//! What is got of the system and how far the space grows: no more than is needed while what was given back serves.

use super::*;
use pso_engine::platform::System;
use pso_model::interpose::Interposed;

/// A block of so many superblocks of the tiny geometry.
fn run(cache: &mut BlockCache, arena: &Arena<Heap>, superblocks: u64) -> Result<Handle, Full> {
    cache.allocate(arena, ME, BlockKind::Bytes, superblocks * 64 - BLOCK_HEADER_WORDS)
}

/// The danger: the system has no memory, then some, just while whoever was refused looks everywhere: he gets all that the space may still grow by.
#[test]
fn who_was_refused_gets_what_he_needs_where_there_is_memory_again() {
    for step in 0.. {
        let (heap, plain) = arena(tiny());
        let watched = Arena::new(Interposed::new(heap.process()), *plain.layout());
        let before = heap.committed_words();
        heap.limit_pages(Some(before));
        let system = heap.clone();
        watched.platform().at(step, move || system.limit_pages(None));
        let made = BlockCache::default().allocate(&watched, ME, BlockKind::Text, 14);
        let through = watched.platform().forget();
        // Two hold the headers of the region, and two come with each step.
        let grown = (heap.committed_words() - before) / 64;
        assert!(grown <= 4, "step {step}: {grown} superblocks");
        assert_eq!(damage(&plain, |_| true), vec![], "step {step}");
        if through {
            assert!(matches!(made, Err(Full::System(_))), "{made:?}");
            assert!(step > 10, "only {step} accesses");
            return;
        }
    }
}

/// The danger: what is left is too little for a block, and is got of the system all the same.
#[test]
fn what_is_left_is_got_only_where_it_makes_a_block_possible() {
    let (heap, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let two_regions = [6, 6].map(|superblocks| run(&mut cache, &arena, superblocks).unwrap());
    let [first, second] = [1, 1].map(|superblocks| run(&mut cache, &arena, superblocks).unwrap());
    let before = heap.committed_words();
    assert!(before < arena.layout().tables_words() + 24 * 64);
    let full = run(&mut cache, &arena, 5).unwrap_err();
    assert!(matches!(full, Full::Space { .. }), "{full}");
    assert_eq!(heap.committed_words(), before);
    // Not beside the untouched: neither.
    assert!(cache.free(&arena, ME, first));
    assert!(run(&mut cache, &arena, 5).is_err());
    assert_eq!(heap.committed_words(), before);
    // Beside them: a run lies on both sides.
    assert!(cache.free(&arena, ME, second));
    heap.limit_pages(Some(before));
    let full = run(&mut cache, &arena, 6).unwrap_err();
    assert!(matches!(full, Full::System(_)), "{full}");
    heap.limit_pages(None);
    let both = run(&mut cache, &arena, 6).unwrap();
    assert_eq!(damage(&arena, |_| true), vec![]);
    two_regions.into_iter().chain([both]).for_each(|block| assert!(cache.free(&arena, ME, block)));
    assert_eq!(damage(&arena, |_| true), vec![]);
}

/// Takes the pages of an unused superblock away, as a sweep does.
fn punch(heap: &Heap, arena: &Arena<Heap>, number: u64) {
    let header = arena.layout().superblock_header(number);
    let state = allocator::SuperblockState::unpack(heap.load(header, Relaxed), arena.layout().geometry()).unwrap();
    assert_eq!((state.used_for, state.owner), (Use::Unused(Pages::Backed), None), "{number}");
    let punched = allocator::SuperblockState { used_for: Use::Unused(Pages::Punched), ..state };
    heap.store(header, punched.pack(), Relaxed);
    heap.punch_pages(arena.layout().superblock(number), 64);
}

/// The danger: the first run that is found lacks more pages than there are, and another one, for which there are enough, is not tried.
#[test]
fn of_the_runs_those_that_lack_little_are_tried_too() {
    // Which of the first region's superblocks 2 to 7 are in use, which have no pages, and where the block goes that needs one superblock's pages.
    let cases: [(&[u64], &[u64], u64); 3] = [(&[4, 7], &[2, 3, 6], 5), (&[5, 7], &[2, 3], 3), (&[6], &[2, 3, 4], 4)];
    for (used, punched, expected) in cases {
        let (heap, arena) = arena(tiny());
        let mut cache = BlockCache::default();
        let blocks: Vec<Handle> = (2..8).map(|_| run(&mut cache, &arena, 1).unwrap()).collect();
        let _others = [6, 6].map(|superblocks| run(&mut cache, &arena, superblocks).unwrap());
        for (number, block) in (2..).zip(&blocks).filter(|(number, _)| !used.contains(number)) {
            assert_eq!(arena.layout().superblock_of(block.block()), Some(number));
            assert!(cache.free(&arena, ME, *block));
        }
        punched.iter().for_each(|number| punch(&heap, &arena, *number));
        heap.limit_pages(Some(heap.committed_words()));
        let full = run(&mut cache, &arena, 2).unwrap_err();
        assert!(matches!(full, Full::System(_)), "{full}");
        heap.limit_pages(Some(heap.committed_words() + 64));
        let made = run(&mut cache, &arena, 2);
        let place = made.as_ref().ok().and_then(|block| arena.layout().superblock_of(block.block()));
        assert_eq!(place, Some(expected), "{punched:?} of those beside {used:?}: {made:?}");
        assert_eq!(damage(&arena, |_| true), vec![]);
    }
}

/// The danger: what is longer than a search looks far never finds its predecessor's place, and the space grows until it is full.
#[test]
fn a_long_run_is_used_again() {
    let (_, arena) = arena(Geometry::for_bytes(64 << 20).unwrap());
    let mut cache = BlockCache::default();
    let mut used = 0;
    for round in 0..3 {
        let block = cache.allocate(&arena, ME, BlockKind::Bytes, 257 * 8192 - BLOCK_HEADER_WORDS).unwrap();
        assert!(cache.free(&arena, ME, block));
        let now = allocator::superblocks_used(&arena);
        assert!(round == 0 || now == used, "round {round}: {now} superblocks after {used}");
        used = now;
    }
}

/// The danger: one superblock that is too short a run, far before all others that are free, and no search gets past what is behind it.
#[test]
fn a_lone_hole_hides_no_runs_behind_it() {
    let (_, arena) = arena(Geometry::for_bytes(64 << 20).unwrap());
    let mut cache = BlockCache::default();
    let mut make = |superblocks: u64| {
        cache.allocate(&arena, ME, BlockKind::Bytes, superblocks * 8192 - BLOCK_HEADER_WORDS).unwrap()
    };
    let [hole, _, mut last] = [1, 500, 2].map(&mut make);
    let mut other = BlockCache::default();
    assert!(other.free(&arena, OTHER, publish(&arena, hole)));
    let before = allocator::superblocks_used(&arena);
    for _ in 0..100 {
        let next = make(2);
        assert!(other.free(&arena, OTHER, publish(&arena, last)));
        last = next;
    }
    let grown = allocator::superblocks_used(&arena) - before;
    assert!(grown <= 8, "{grown} superblocks for a block of two");
}

fn publish(arena: &Arena<Heap>, block: Handle) -> Handle {
    allocator::publish(arena, block);
    block
}
