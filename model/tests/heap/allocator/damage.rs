//! Damage that must be found, and the sizes that ship.

use super::*;

/// A checker that cannot fail is a defect: each kind of damage is made and must be found.
#[test]
fn every_kind_of_damage_is_found() {
    type Inject = fn(&Arena<Heap>, Handle, Handle);
    fn state_of(arena: &Arena<Heap>, block: Handle) -> WordAddress {
        let number = arena.layout().superblock_of(block.block()).unwrap();
        arena.layout().superblock_header(number)
    }
    fn set(arena: &Arena<Heap>, word: WordAddress, value: u64) {
        arena.platform().store(word, value, Relaxed);
    }
    fn change(arena: &Arena<Heap>, block: Handle, change: impl FnOnce(&mut allocator::SuperblockState)) {
        let word = state_of(arena, block);
        let raw = arena.platform().load(word, Relaxed);
        let mut state = allocator::SuperblockState::unpack(raw, arena.layout().geometry()).unwrap();
        change(&mut state);
        set(arena, word, state.pack());
    }
    let cases: Vec<(&str, Inject)> = vec![
        ("contradict", |arena, _, _| set(arena, arena.layout().hot(HotWord::SuperblockFrontier), 20)),
        ("contradict", |arena, _, _| set(arena, arena.layout().hot(HotWord::FreeSuperblockHint), 1 << 20)),
        ("the header holds", |arena, small, _| set(arena, state_of(arena, small), 0xff << 2 | 1)),
        ("never handed out", |arena, _, large| {
            let number = arena.layout().superblock_of(large.block()).unwrap();
            set(arena, arena.layout().hot(HotWord::SuperblockFrontier), number);
        }),
        ("belongs to participant 5", |arena, small, _| {
            change(arena, small, |state| state.owner = Some(ParticipantId(5)))
        }),
        ("half made", |arena, _, large| change(arena, large, |state| state.owner = Some(ME))),
        ("half made", |arena, _, large| {
            change(arena, large, |state| state.used_for = Use::LargeHead { superblocks: 3 })
        }),
        ("half made", |arena, _, large| {
            change(arena, large, |state| state.used_for = Use::LargeHead { superblocks: 1 })
        }),
        ("half made", |arena, _, large| set(arena, large.block(), (large.generation() + 1) << 40)),
        ("half made", |arena, _, large| {
            change(arena, large, |state| (state.used_for, state.owner) = (Use::Unused(Pages::Backed), Some(ME)))
        }),
        ("are said to be unused", |arena, small, _| set(arena, state_of(arena, small).offset(1), 0)),
        ("are said to be unused", |arena, small, _| set(arena, state_of(arena, small).offset(1), 1 << 30)),
        ("has the state", |arena, small, _| set(arena, small.block(), 7)),
        ("has the state", |arena, small, _| set(arena, small.block(), 1 << 40 | 2)),
        ("has the state", |arena, small, _| set(arena, small.block(), 1 << 40 | 1 << 8)),
        ("is private to participant 5, who is gone", |arena, small, _| {
            let state = BlockState {
                generation: 0,
                owner: ParticipantId(5),
                kind: BlockKind::Text,
                phase: BlockPhase::Private,
            };
            set(arena, small.block(), state.pack());
        }),
        ("a superblock of another", |arena, small, _| {
            let state = BlockState { generation: 0, owner: OTHER, kind: BlockKind::Text, phase: BlockPhase::Private };
            set(arena, small.block(), state.pack());
        }),
    ];
    for (expected, inject) in cases {
        let (_, arena) = arena(tiny());
        let mut cache = BlockCache::default();
        let small = cache.allocate(&arena, ME, BlockKind::Text, 2).unwrap();
        let large = cache.allocate(&arena, ME, BlockKind::Text, 100).unwrap();
        allocator::publish(&arena, large);
        assert_eq!(damage(&arena, |id| id.0 < 2), vec![]);
        inject(&arena, small, large);
        let mut sentences = Vec::new();
        allocator::fsck(&arena, |id| id.0 < 2, |sentence| sentences.push(sentence));
        assert!(sentences.iter().any(|sentence| sentence.contains(expected)), "{expected}: {sentences:?}");
    }
}

/// Who leaves, or is recovered, may have built a run long ago. The danger: one damaged word, and what the run's owner can still reach without it is given to others.
#[test]
fn a_run_whose_head_cannot_be_read_keeps_its_tails() {
    let (_, arena) = arena(tiny());
    let large = BlockCache::default().allocate(&arena, OTHER, BlockKind::Cells, 170).unwrap();
    allocator::publish(&arena, large);
    let head = arena.layout().superblock_of(large.block()).unwrap();
    let word = |number: u64| arena.platform().load(arena.layout().superblock_header(head + number), Relaxed);
    let tails = [1, 2].map(word);
    arena.platform().store(arena.layout().superblock_header(head), 0xff << 2 | 1, Relaxed);
    allocator::recover(&arena, OTHER);
    assert_eq!([1, 2].map(word), tails);
}
