//! What fits, what is said when it does not, and what serves again.

use super::*;

#[test]
fn a_full_space_says_so_and_has_room_again_after_a_free() {
    let (_, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let mut blocks = Vec::new();
    let full = loop {
        match cache.allocate(&arena, ME, BlockKind::Text, 14) {
            Ok(block) => blocks.push(block),
            Err(full) => break full,
        }
    };
    // Six superblocks a region hold blocks, four each.
    assert_eq!(blocks.len(), 3 * 6 * 4);
    let space_bytes = arena.layout().geometry().space_words * 8;
    assert!(matches!(full, Full::Space { space_bytes: said, .. } if said == space_bytes), "{full}");
    assert!(cache.allocate(&arena, ME, BlockKind::Text, 1).is_err(), "no other class has room either");
    assert!(cache.free(&arena, ME, blocks[17]));
    let again = cache.allocate(&arena, ME, BlockKind::Text, 14).unwrap();
    assert_eq!(again.block(), blocks[17].block());
    assert_ne!(again, blocks[17]);
    assert!(cache.allocate(&arena, ME, BlockKind::Text, u64::MAX).is_err());
    assert!(cache.allocate(&arena, ME, BlockKind::Text, u64::MAX / 8).is_err());
}

/// The memory of one class must not be lost for the others: empty superblocks are carved anew, and no handle of the
/// former blocks becomes valid again.
#[test]
fn what_was_freed_serves_every_size() {
    let (_, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let mut gone: Vec<Handle> = Vec::new();
    for round in 0..20 {
        for payload in [2, 14, 200, 6, 62, 63, 382] {
            let mut blocks = Vec::new();
            while let Ok(block) = cache.allocate(&arena, ME, BlockKind::Text, payload) {
                for word in 0..allocator::payload_words(&arena, block).unwrap() {
                    // What looks like a state word: LIVE text in the generation of the block.
                    let forged = BlockState {
                        generation: block.generation(),
                        owner: ME,
                        kind: BlockKind::Text,
                        phase: BlockPhase::Live,
                    };
                    arena.platform().store_plain(block.block().offset(2 + word), forged.pack());
                }
                blocks.push(block);
            }
            assert!(
                blocks.len() as u64 * (payload + 2) > 3 * 6 * 64 / 2,
                "round {round}, {payload} words: {}",
                blocks.len()
            );
            for block in &gone {
                assert!(matches!(allocator::check_fully(&arena, *block), Err(Stop::Stale(_))));
            }
            assert_eq!(damage(&arena, |_| true), vec![]);
            assert!(blocks.iter().all(|block| cache.free(&arena, ME, *block)));
            gone = blocks;
        }
    }
}

/// A run never covers the headers of a region, and the largest is a region without them.
#[test]
fn large_blocks_stay_within_a_region() {
    let (_, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let largest = 6 * 64 - BLOCK_HEADER_WORDS;
    assert!(cache.allocate(&arena, ME, BlockKind::DictTable, largest + 1).is_err());
    let small = cache.allocate(&arena, ME, BlockKind::Text, 2).unwrap();
    let large = cache.allocate(&arena, ME, BlockKind::DictTable, largest).unwrap();
    assert_eq!(allocator::payload_words(&arena, large).unwrap(), largest);
    let second = cache.allocate(&arena, ME, BlockKind::DictTable, largest).unwrap();
    assert!(cache.allocate(&arena, ME, BlockKind::DictTable, largest).is_err());
    // What the frontier has skipped in the first region is found.
    let rest = cache.allocate(&arena, ME, BlockKind::DictTable, 5 * 64 - BLOCK_HEADER_WORDS).unwrap();
    assert_eq!(damage(&arena, |_| true), vec![]);
    for block in [small, large, second, rest] {
        assert!(cache.free(&arena, ME, block));
    }
    assert_eq!(allocator::usage(&arena).large, 0);
}

/// A system without memory is an error of the allocation that needed the page; what is committed goes on serving.
#[test]
fn out_of_pages_is_an_error_and_no_more() {
    let (heap, arena) = arena(tiny());
    heap.limit_pages(Some(arena.layout().tables_words() + 5 * 64));
    let mut cache = BlockCache::default();
    let mut blocks = Vec::new();
    let full = loop {
        match cache.allocate(&arena, ME, BlockKind::Text, 14) {
            Ok(block) => blocks.push(block),
            Err(full) => break full,
        }
    };
    assert!(matches!(full, Full::System(_)), "{full}");
    // Two of the five superblocks hold headers; the last one fits although a whole step does not.
    assert_eq!(blocks.len(), 3 * 4);
    assert!(cache.allocate(&arena, ME, BlockKind::Text, 100).is_err());
    assert!(cache.free(&arena, ME, blocks[3]));
    assert!(cache.allocate(&arena, ME, BlockKind::Text, 14).is_ok());
    heap.limit_pages(None);
    assert!(cache.allocate(&arena, ME, BlockKind::Text, 100).is_ok());
    assert_eq!(damage(&arena, |_| true), vec![]);
}

/// Whoever adopts an orphan finds the blocks that its former owner had not used and those that were freed meanwhile.
#[test]
fn orphans_are_adopted_with_all_that_is_free_in_them() {
    let (_, arena) = arena(tiny());
    let (mut mine, mut theirs) = (BlockCache::default(), BlockCache::default());
    let blocks: Vec<Handle> = (0..10).map(|_| theirs.allocate(&arena, OTHER, BlockKind::Text, 2).unwrap()).collect();
    blocks.iter().for_each(|block| allocator::publish(&arena, *block));
    allocator::recover(&arena, OTHER);
    assert_eq!(allocator::usage(&arena).orphaned, 1);
    assert!(mine.free(&arena, ME, blocks[4]));
    let again: Vec<Handle> = (0..7).map(|_| mine.allocate(&arena, ME, BlockKind::Text, 2).unwrap()).collect();
    assert_eq!(allocator::usage(&arena).orphaned, 0);
    assert_eq!(allocator::usage(&arena).small, 1, "7 blocks fit into the orphan of 16");
    assert!(again.iter().any(|block| block.block() == blocks[4].block()));
    assert_eq!(damage(&arena, |id| id == ME), vec![]);
}

/// The danger: whoever looks for a block takes all that the dead left, full as it is, and stands still; when others have emptied it, it is his alone.
#[test]
fn orphans_that_are_full_stay_nobodys() {
    const FULL: u64 = 10;
    for words in [2, 14] {
        let (_, arena) = arena(tiny());
        let (mut mine, mut theirs) = (BlockCache::default(), BlockCache::default());
        let blocks: Vec<Handle> = (0..FULL * (64 / (words + 2)))
            .map(|_| theirs.allocate(&arena, OTHER, BlockKind::Text, words).unwrap())
            .collect();
        blocks.iter().for_each(|block| allocator::publish(&arena, *block));
        allocator::recover(&arena, OTHER);
        let orphaned = || (allocator::usage(&arena).orphaned, allocator::usage(&arena).small);
        assert_eq!(orphaned(), (FULL, FULL));
        assert!(mine.allocate(&arena, ME, BlockKind::Text, words).is_ok());
        assert_eq!(orphaned(), (FULL, FULL + 1), "{words} words");
        // Neither where there is no room for what is asked, and all headers are looked at.
        while mine.allocate(&arena, ME, BlockKind::Text, words).is_ok() {}
        assert_eq!(orphaned().0, FULL, "{words} words");
        // I do nothing from here on. What others free serves whatever they need next.
        let mut third = BlockCache::default();
        assert!(blocks.iter().all(|block| third.free(&arena, ParticipantId(3), *block)));
        let run = third.allocate(&arena, ParticipantId(3), BlockKind::Bytes, 5 * 64 - BLOCK_HEADER_WORDS);
        assert!(run.is_ok(), "{run:?}");
        assert_eq!(damage(&arena, |id| id != OTHER), vec![]);
    }
}

/// The danger: what the magazine of the dead knew to be free is found by nobody before the space is full.
#[test]
fn what_the_dead_had_at_hand_is_found() {
    let (_, arena) = arena(tiny());
    let (mut mine, mut theirs) = (BlockCache::default(), BlockCache::default());
    // A superblock of 16 in use, of which he has freed some himself.
    let blocks: Vec<Handle> = (0..16).map(|_| theirs.allocate(&arena, OTHER, BlockKind::Text, 2).unwrap()).collect();
    blocks.iter().for_each(|block| allocator::publish(&arena, *block));
    assert!(blocks[3..6].iter().all(|block| theirs.free(&arena, OTHER, *block)));
    allocator::recover(&arena, OTHER);
    for block in blocks[3..6].iter().rev() {
        assert_eq!(mine.allocate(&arena, ME, BlockKind::Text, 2).unwrap().block(), block.block());
    }
    assert_eq!((allocator::usage(&arena).orphaned, allocator::usage(&arena).small), (0, 1));
}

/// The danger: hints name groups in which nothing is free, and whoever believes them keeps what he finds full.
#[test]
fn an_orphan_whose_hints_are_wrong_is_left_again() {
    let (heap, arena) = arena(tiny());
    let (mut mine, mut theirs) = (BlockCache::default(), BlockCache::default());
    let blocks: Vec<Handle> = (0..16).map(|_| theirs.allocate(&arena, OTHER, BlockKind::Text, 2).unwrap()).collect();
    blocks.iter().for_each(|block| allocator::publish(&arena, *block));
    allocator::recover(&arena, OTHER);
    let header = arena.layout().superblock_header(arena.layout().superblock_of(blocks[0].block()).unwrap());
    heap.store(header.offset(2), u64::MAX, Relaxed);
    assert!(mine.allocate(&arena, ME, BlockKind::Text, 2).is_ok());
    assert_eq!((allocator::usage(&arena).orphaned, allocator::usage(&arena).small), (1, 2));
    assert_eq!(heap.load(header.offset(2), Relaxed), 0, "nobody tries again");
    assert!(BlockCache::default().free(&arena, ParticipantId(3), blocks[7]));
    let next: Vec<Handle> = (0..16).map(|_| mine.allocate(&arena, ME, BlockKind::Text, 2).unwrap()).collect();
    assert!(next.iter().any(|block| block.block() == blocks[7].block()), "what is freed since is found");
    assert_eq!(damage(&arena, |id| id == ME), vec![]);
}

/// The sizes that ship: 64 KiB superblocks, classes up to 32 KiB, runs above.
#[test]
fn native_sizes_work() {
    let (_, arena) = arena(Geometry::for_bytes(8 << 20).unwrap());
    let mut cache = BlockCache::default();
    let mut blocks = Vec::new();
    for payload in (0..2046).step_by(13).chain([2046, 2047, 2728, 2729, 4094, 4095, 8190, 8191, 100_000]) {
        let block = cache.allocate(&arena, ME, BlockKind::Text, payload).unwrap();
        let room = allocator::payload_words(&arena, block).unwrap();
        let fits = match payload {
            ..=2046 => room <= payload + payload / 4 + 4,
            2047..=4094 => room <= payload + payload / 2 + 2,
            _ => room < payload + 8192,
        };
        assert!(room >= payload && fits, "{payload} words in {room}");
        blocks.push(block);
    }
    assert!(blocks.iter().all(|block| cache.free(&arena, ME, *block)));
    assert_eq!(damage(&arena, |_| true), vec![]);
}

/// Values of 17 to 32 KiB share superblocks: three and two to each. (Each had one to itself, and three quarters of a space were lost.)
#[test]
fn blocks_of_a_third_and_of_a_half_share_superblocks() {
    let (_, arena) = arena(Geometry::for_bytes(8 << 20).unwrap());
    let mut cache = BlockCache::default();
    for (payload, each) in [(17 << 7, 3), (4094, 2)] {
        let before = allocator::usage(&arena).small;
        let blocks: Vec<Handle> =
            (0..30).map(|_| cache.allocate(&arena, ME, BlockKind::Text, payload).unwrap()).collect();
        assert_eq!(allocator::usage(&arena).small - before, 30 / each, "{payload} words");
        assert_eq!(damage(&arena, |_| true), vec![]);
        assert!(blocks.iter().all(|block| cache.free(&arena, ME, *block)));
    }
    give_back(&arena, ME, &mut cache);
    assert_eq!(damage(&arena, |_| true), vec![]);
    assert_eq!(allocator::usage(&arena).large, 0);
}

/// The danger: who has freed them and stands still keeps up to 32 of them at hand, a megabyte that nobody else gets. One superblock stays
/// his, the one that he allocates from.
#[test]
fn blocks_of_a_third_and_of_a_half_go_back_at_once() {
    for payload in [17 << 7, 4094] {
        let (_, arena) = arena(Geometry::for_bytes(4 << 20).unwrap());
        let whole_superblocks = 8190;
        let all = capacity(&arena, OTHER, whole_superblocks);
        let mut cache = BlockCache::default();
        let blocks: Vec<Handle> =
            (0..30).map(|_| cache.allocate(&arena, ME, BlockKind::Text, payload).unwrap()).collect();
        assert!(capacity(&arena, OTHER, whole_superblocks) + 10 <= all);
        assert!(blocks.iter().all(|block| cache.free(&arena, ME, *block)));
        assert_eq!(damage(&arena, |_| true), vec![]);
        assert_eq!(capacity(&arena, OTHER, whole_superblocks) + 1, all, "{payload} words");
        assert!(cache.allocate(&arena, ME, BlockKind::Text, payload).is_ok());
    }
}

/// Blocks freed by others must come back before new superblocks are taken: a space that one fills and another empties
/// would else grow until it is full. 20,000 blocks of 64 bytes are 20 superblocks.
#[test]
fn memory_that_others_freed_is_used_before_new_memory() {
    let (_, arena) = arena(Geometry::for_bytes(16 << 20).unwrap());
    let (mut mine, mut theirs) = (BlockCache::default(), BlockCache::default());
    let mut used = 0;
    for round in 0..10 {
        let blocks: Vec<Handle> = (0..20_000).map(|_| mine.allocate(&arena, ME, BlockKind::Text, 6).unwrap()).collect();
        let mut places: Vec<u64> = blocks.iter().map(|block| block.block().index()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), blocks.len(), "a block was given out twice");
        assert_eq!(damage(&arena, |_| true), vec![]);
        blocks.iter().for_each(|block| allocator::publish(&arena, *block));
        assert!(blocks.iter().all(|block| theirs.free(&arena, OTHER, *block)));
        let now = allocator::usage(&arena).small;
        assert!(round == 0 || now <= used + 1, "round {round}: {now} superblocks after {used}");
        used = now;
    }
}

/// The magazine holds hints. A block of it that is not FREE, which only damage can do, is not given out.
#[test]
fn a_block_that_is_not_free_is_not_given_out() {
    let (_, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let first = cache.allocate(&arena, ME, BlockKind::Text, 2).unwrap();
    let next = first.block().offset(4);
    arena.platform().store(next, 7, Relaxed);
    let second = cache.allocate(&arena, ME, BlockKind::Text, 2).unwrap();
    assert_eq!(second.block(), next.offset(4));
}

/// What is empty goes back to the system, but for what is kept; what is used next gets its pages first (the heap panics at a word that has
/// none), and its handles are new ones.
#[test]
fn empty_memory_goes_back_and_is_got_again() {
    let (heap, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let tables = arena.layout().tables_words();
    let mut gone: Vec<Handle> = Vec::new();
    let mut most = 0;
    for round in 0..50 {
        let sizes = [2, 6, 14, 100, 200].map(|words| words + round % 3);
        let blocks: Vec<Handle> =
            sizes.iter().map(|words| cache.allocate(&arena, ME, BlockKind::Text, *words).unwrap()).collect();
        assert!(blocks.iter().all(|block| !gone.contains(block)), "a handle has come back");
        most = most.max(heap.committed_words());
        blocks.iter().for_each(|block| assert!(cache.free(&arena, ME, *block)));
        gone.extend(blocks);
        give_back(&arena, ME, &mut cache);
        gone.iter().for_each(|block| assert!(allocator::check_fully(&arena, *block).is_err()));
        assert_eq!(damage(&arena, |_| true), vec![]);
        // Each class keeps the superblock that it allocates from; headers are no superblocks to give back.
        let left = (heap.committed_words() - tables) / 64;
        let small = allocator::usage(&arena).small;
        assert!(left <= small + 3 * 2 + 2, "round {round}: {left} superblocks have pages, {small} are in use");
    }
    assert!(most > heap.committed_words());
    assert!(allocator::usage(&arena).punched > 0);
}

/// A system that has no memory for what was given back once: the allocation says so, and nothing is lost.
#[test]
fn pages_that_cannot_be_got_again_are_an_error_and_no_more() {
    let (heap, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    let before = capacity(&arena, ME, 100);
    give_back(&arena, ME, &mut cache);
    heap.limit_pages(Some(heap.committed_words()));
    let full = cache.allocate(&arena, ME, BlockKind::Text, 200).unwrap_err();
    assert!(matches!(full, Full::System(_)), "{full}");
    assert_eq!(damage(&arena, |_| true), vec![]);
    heap.limit_pages(None);
    assert_eq!(capacity(&arena, ME, 100), before);
    assert_eq!(damage(&arena, |_| true), vec![]);
}

/// What was made and not freed, of whatever size and by whomever it is freed, is known without a count at each block: but for what each has at hand.
#[test]
fn growth_is_what_was_made_and_is_not_freed() {
    let (_, arena) = arena(Geometry::for_bytes(64 << 20).unwrap());
    let mut caches = [BlockCache::default(), BlockCache::default()];
    let payloads = [2, 6, 14, 30, 100, 1000, 5000, 20_000];
    let words = |block: Handle| (allocator::payload_words(&arena, block).unwrap() + BLOCK_HEADER_WORDS) as i64;
    // 32 of each size that shares superblocks, each of the two participants.
    let at_hand: i64 = payloads[..6].iter().map(|payload| 2 * 32 * (payload + 2) * 5 / 4).sum();
    let (mut blocks, mut in_use) = (Vec::new(), 0);
    for round in 0..40 {
        for payload in payloads {
            for _ in 0..10 {
                let block = caches[0].allocate(&arena, ME, BlockKind::Text, payload as u64).unwrap();
                allocator::publish(&arena, block);
                in_use += words(block);
                blocks.push(block);
            }
        }
        // Every other round there is less afterwards than before.
        for number in 0..if round % 2 == 0 { 60 } else { 95 } {
            let block = blocks.swap_remove(number * 7919 % blocks.len());
            in_use -= words(block);
            let who = number % 2;
            assert!(caches[who].free(&arena, [ME, OTHER][who], block));
        }
        let grown: i64 = caches.iter().map(BlockCache::grown_words).sum();
        assert!((in_use..=in_use + at_hand).contains(&grown), "round {round}: {grown} for {in_use} in use");
    }
    assert!(caches[1].grown_words() < 0, "who frees what others have made");
    for block in blocks {
        assert!(caches[0].free(&arena, ME, block));
    }
    give_back(&arena, ME, &mut caches[0]);
    let grown: i64 = caches.iter().map(BlockCache::grown_words).sum();
    assert!((0..=at_hand).contains(&grown), "{grown} with nothing in use");
}
