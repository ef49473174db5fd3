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
