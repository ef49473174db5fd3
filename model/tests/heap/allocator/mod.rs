//! The allocator on a heap in this process: what several participants allocate never overlaps, whatever they free,
//! leave behind or die in the middle of; and nothing is lost when they do.

mod damage;
mod growth;
mod killed;
mod preemption;
mod sizes;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;

use proptest::prelude::*;
use pso_engine::allocator::{self, BlockCache, Damage, Pages, Sweep, Use};
use pso_engine::arena::{Arena, Geometry, HotWord, Layout};
use pso_engine::error::{Full, Stop};
use pso_engine::platform::Memory;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, ParticipantId, WordAddress};
use pso_model::heap::Heap;

/// Small superblocks and regions, so that every border is met soon: 24 superblocks of 64 words in regions of 8, of which
/// two hold headers; the largest class is 16 words.
fn tiny() -> Geometry {
    let geometry = Geometry {
        space_words: 0,
        process_slots: 4,
        participants: 8,
        wait_buckets: 4,
        superblock_words: 64,
        region_superblocks: 8,
        commit_superblocks: 2,
        log_base: 4,
    };
    // The tables take what they take.
    let tables = Layout::new(Geometry { space_words: 1 << 20, ..geometry }).unwrap().tables_words();
    Geometry { space_words: tables + 24 * 64, ..geometry }
}

/// Superblocks as they are natively, of which a few blocks have a half or a third: so many payload words.
fn native() -> Geometry {
    Geometry { participants: 8, process_slots: 4, wait_buckets: 4, ..Geometry::for_bytes(2 << 20).unwrap() }
}
const HALF: u64 = 4094;
const THIRD: u64 = 2700;

fn arena(geometry: Geometry) -> (Heap, Arena<Heap>) {
    let (heap, layout) = Heap::space(geometry);
    heap.watch_pages();
    (heap.clone(), Arena::new(heap, layout))
}

/// The same memory as another process sees it.
fn another(heap: &Heap, arena: &Arena<Heap>) -> (Heap, Arena<Heap>) {
    let process = heap.process();
    (process.clone(), Arena::new(process, *arena.layout()))
}

fn damage(arena: &Arena<Heap>, lives: impl Fn(ParticipantId) -> bool) -> Vec<Damage> {
    let mut found = Vec::new();
    allocator::audit(arena, true, lives, |damage| found.push(damage));
    found
}

/// Bytes that can be allocated until the space is full, from nothing to everything freed again.
fn capacity(arena: &Arena<Heap>, owner: ParticipantId, payload_words: u64) -> usize {
    let mut cache = BlockCache::default();
    let mut blocks = Vec::new();
    while let Ok(block) = cache.allocate(arena, owner, BlockKind::Cells, payload_words) {
        blocks.push(block);
    }
    assert!(blocks.iter().all(|block| cache.free(arena, owner, *block)));
    allocator::recover(arena, owner);
    blocks.len()
}

/// Gives all memory back that is empty. Nobody else is at work.
fn give_back(arena: &Arena<Heap>, owner: ParticipantId, cache: &mut BlockCache) {
    let mut sweep = Sweep::default();
    while !sweep.go_on(arena, owner, cache, 3) {}
    while !sweep.punch(arena, owner, 2) {}
}

const ME: ParticipantId = ParticipantId(0);
const OTHER: ParticipantId = ParticipantId(1);

#[derive(Clone, Debug)]
enum Step {
    Allocate { who: u16, words: u64 },
    Free { who: u16, which: usize },
    Publish { which: usize },
    Retire { who: u16, which: usize },
    Leave { who: u16 },
    GiveBack { who: u16 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u16..3, prop_oneof![8 => 0u64..15, 2 => 15u64..400]).prop_map(|(who, words)| Step::Allocate { who, words }),
        5 => (0u16..3, any::<usize>()).prop_map(|(who, which)| Step::Free { who, which }),
        4 => any::<usize>().prop_map(|which| Step::Publish { which }),
        4 => (0u16..3, any::<usize>()).prop_map(|(who, which)| Step::Retire { who, which }),
        1 => (0u16..3).prop_map(|who| Step::Leave { who }),
        1 => (0u16..3).prop_map(|who| Step::GiveBack { who }),
    ];
    proptest::collection::vec(step, 1..400)
}

/// What the test knows of a block.
struct Known {
    owner: ParticipantId,
    words: u64,
    phase: BlockPhase,
}

impl Known {
    /// Whether `who` has made it and not published it, or has retired it.
    fn is_of(&self, phase: BlockPhase, who: u16) -> bool {
        self.phase == phase && self.owner == ParticipantId(who)
    }
}

/// What a commit of `who` does to a block that it takes out, without what makes others find it.
fn retire(arena: &Arena<Heap>, who: u16, block: Handle) {
    let state = BlockState::unpack(arena.platform().load(block.block(), Relaxed)).unwrap();
    let retired = BlockState { phase: BlockPhase::Retired, owner: ParticipantId(who), ..state };
    arena.platform().store(block.block(), retired.pack(), Relaxed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any sequence of allocations, frees by anybody, publications, retirements and departures behaves as a map of disjoint blocks.
    #[test]
    fn blocks_never_overlap_and_no_handle_comes_back(steps in steps()) {
        let (_, arena) = arena(tiny());
        let mut caches: Vec<BlockCache> = (0..3).map(|_| BlockCache::default()).collect();
        let mut blocks: BTreeMap<u64, (Handle, Known)> = BTreeMap::new();
        let mut gone: Vec<Handle> = Vec::new();
        for step in steps {
            match step {
                Step::Allocate { who, words } => {
                    let owner = ParticipantId(who);
                    let Ok(handle) = caches[who as usize].allocate(&arena, owner, BlockKind::Text, words) else { continue };
                    let room = allocator::payload_words(&arena, handle).unwrap();
                    prop_assert!(room >= words);
                    let (start, end) = (handle.block().index(), handle.block().index() + BLOCK_HEADER_WORDS + room);
                    let before = blocks.range(..end).next_back();
                    if let Some((other, (_, known))) = before {
                        prop_assert!(other + BLOCK_HEADER_WORDS + known.words <= start, "overlap");
                    }
                    prop_assert!(end <= arena.layout().geometry().space_words);
                    prop_assert!(!gone.contains(&handle), "a freed handle is valid again");
                    (0..room).for_each(|word| arena.platform().store_plain(handle.block().offset(2 + word), u64::MAX));
                    blocks.insert(start, (handle, Known { owner, words: room, phase: BlockPhase::Private }));
                }
                Step::Free { who, which } => {
                    let Some(start) = pick(&blocks, which) else { continue };
                    let (handle, known) = &blocks[&start];
                    let may = known.phase == BlockPhase::Live || known.owner == ParticipantId(who);
                    prop_assert_eq!(caches[who as usize].free(&arena, ParticipantId(who), *handle), may);
                    if may {
                        prop_assert!(!caches[who as usize].free(&arena, ParticipantId(who), *handle), "freed twice");
                        gone.push(*handle);
                        blocks.remove(&start);
                    }
                }
                Step::Publish { which } => {
                    let Some(start) = pick(&blocks, which) else { continue };
                    let (handle, known) = blocks.get_mut(&start).unwrap();
                    allocator::publish(&arena, *handle);
                    if known.phase == BlockPhase::Private {
                        known.phase = BlockPhase::Live;
                    }
                }
                Step::Retire { who, which } => {
                    let Some(start) = pick(&blocks, which) else { continue };
                    let (handle, known) = blocks.get_mut(&start).unwrap();
                    if known.phase == BlockPhase::Live {
                        retire(&arena, who, *handle);
                        (known.phase, known.owner) = (BlockPhase::Retired, ParticipantId(who));
                    }
                }
                Step::Leave { who } => {
                    for (handle, _) in blocks.values().filter(|(_, known)| known.is_of(BlockPhase::Retired, who)) {
                        prop_assert!(caches[who as usize].free(&arena, ParticipantId(who), *handle));
                    }
                    allocator::recover(&arena, ParticipantId(who));
                    caches[who as usize] = BlockCache::default();
                    let theirs = |known: &Known| {
                        known.is_of(BlockPhase::Private, who) || known.is_of(BlockPhase::Retired, who)
                    };
                    gone.extend(blocks.values().filter(|(_, known)| theirs(known)).map(|(handle, _)| *handle));
                    blocks.retain(|_, (_, known)| !theirs(known));
                }
                Step::GiveBack { who } => give_back(&arena, ParticipantId(who), &mut caches[who as usize]),
            }
            for (handle, known) in blocks.values() {
                let state = allocator::check_fully(&arena, *handle).unwrap();
                prop_assert_eq!((state.phase, state.owner, state.kind), (known.phase, known.owner, BlockKind::Text));
                prop_assert_eq!(allocator::check(&arena, *handle).unwrap(), state);
            }
            for handle in &gone {
                prop_assert!(matches!(allocator::check_fully(&arena, *handle), Err(Stop::Stale(_))));
            }
        }
        let mut seen = Vec::new();
        allocator::for_each_block(&arena, |handle, _| seen.push(handle));
        prop_assert_eq!(seen, blocks.values().map(|(handle, _)| *handle).collect::<Vec<_>>());
        prop_assert_eq!(damage(&arena, |_| true), vec![]);
    }

    /// A handle made of any word is refused or names a block, and reading up to the end of its payload stays inside.
    #[test]
    fn no_handle_leads_outside(words in proptest::collection::vec(0u64..60, 1..30), raw: u64, low in 0u64..1 << 12) {
        let (_, arena) = arena(tiny());
        let mut cache = BlockCache::default();
        for words in words {
            let _ = cache.allocate(&arena, ME, BlockKind::Text, words);
        }
        for word in [raw, low << 4, raw & !(u64::MAX >> 24) | low << 4] {
            let handle = Handle::from_raw(word & !15 | Handle::TAG).unwrap();
            if allocator::check_fully(&arena, handle).is_ok() {
                let room = allocator::payload_words(&arena, handle).unwrap();
                prop_assert!(handle.block().index() + BLOCK_HEADER_WORDS + room <= arena.layout().geometry().space_words);
            } else {
                prop_assert!(!cache.free(&arena, ME, handle));
            }
            let _ = allocator::payload_words(&arena, handle);
        }
        prop_assert_eq!(damage(&arena, |_| true), vec![]);
    }

    /// Any damage to headers and states costs an error at most: no panic, no access outside (the heap would panic).
    #[test]
    fn damaged_words_cost_errors_only(
        hits in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..20),
        words in proptest::collection::vec(0u64..100, 1..60),
    ) {
        let (_, arena) = arena(tiny());
        let mut cache = BlockCache::default();
        let mut blocks = Vec::new();
        for (index, words) in words.iter().enumerate() {
            blocks.extend(cache.allocate(&arena, ME, BlockKind::Text, *words));
            if let Some((place, value, flip)) = hits.get(index) {
                let first = arena.layout().tables_words();
                let committed = arena.platform().load(arena.layout().hot(HotWord::CommittedSuperblocks), Relaxed).min(24);
                let place = WordAddress::new(first + place % (committed * 64).max(1));
                let value = if *flip { arena.platform().load(place, Relaxed) ^ 1 << (value % 64) } else { *value };
                arena.platform().store(place, value, Relaxed);
            }
        }
        for block in &blocks {
            let _ = (allocator::check(&arena, *block), allocator::check_fully(&arena, *block));
            let _ = allocator::payload_words(&arena, *block);
            allocator::publish(&arena, *block);
            cache.free(&arena, ME, *block);
        }
        allocator::recover(&arena, ME);
        allocator::for_each_block(&arena, |_, _| {});
        damage(&arena, |_| false);
        allocator::usage(&arena);
    }
}

fn pick(blocks: &BTreeMap<u64, (Handle, Known)>, which: usize) -> Option<u64> {
    let at = which.checked_rem(blocks.len())?;
    blocks.keys().nth(at).copied()
}

/// Two recoverers clear up after the same dead, one step of each in turn is what threads on two cores do: nothing is
/// freed twice, and what was LIVE stays.
#[test]
fn two_recoverers_at_once_lose_nothing() {
    for _ in 0..30 {
        let (heap, arena) = arena(tiny());
        let mut cache = BlockCache::default();
        let mut live = Vec::new();
        for round in 0..24u64 {
            let block = cache.allocate(&arena, OTHER, BlockKind::Text, [2, 6, 14, 100][round as usize % 4]);
            if let (Ok(block), true) = (block, round % 3 == 0) {
                allocator::publish(&arena, block);
                live.push(block);
            }
        }
        let (_, second) = another(&heap, &arena);
        std::thread::scope(|scope| {
            scope.spawn(|| allocator::recover(&arena, OTHER));
            scope.spawn(|| allocator::recover(&second, OTHER));
        });
        assert_eq!(damage(&arena, |id| id != OTHER), vec![]);
        let mut left = Vec::new();
        allocator::for_each_block(&arena, |handle, _| left.push(handle));
        live.sort_by_key(|block| block.block());
        assert_eq!(left, live);
    }
}

/// One allocates, others free: the memory must come back to the one who owns it, without bound in time.
#[test]
fn blocks_freed_by_others_are_allocated_again() {
    let (heap, arena) = arena(tiny());
    let (sender, receiver) = mpsc::sync_channel::<Handle>(20);
    std::thread::scope(|scope| {
        let (_, theirs) = another(&heap, &arena);
        scope.spawn(move || {
            let mut cache = BlockCache::default();
            for block in receiver {
                let value = theirs.platform().load_plain(block.block().offset(2));
                assert_eq!(value, block.raw(), "the block was given to somebody else");
                assert!(cache.free(&theirs, OTHER, block));
            }
        });
        let mut cache = BlockCache::default();
        // The space holds 72 blocks of the larger class, the channel and two hands 22: 30,000 pass only if all return.
        for round in 0..30_000u64 {
            let block = cache.allocate(&arena, ME, BlockKind::Text, if round % 2 == 0 { 14 } else { 2 }).unwrap();
            arena.platform().store_plain(block.block().offset(2), block.raw());
            allocator::publish(&arena, block);
            sender.send(block).unwrap();
        }
        drop(sender);
    });
    assert_eq!(damage(&arena, |_| true), vec![]);
}

/// All allocate and free at once, come and go, in a space that is nearly full.
#[test]
fn participants_that_come_and_go_keep_their_blocks_apart() {
    let (heap, arena) = arena(tiny());
    std::thread::scope(|scope| {
        for who in 0..4 {
            let (_, arena) = another(&heap, &arena);
            scope.spawn(move || churn(&arena, ParticipantId(who), 4_000));
        }
    });
    assert_eq!(damage(&arena, |_| false), vec![]);
    let mut left = 0;
    allocator::for_each_block(&arena, |_, _| left += 1);
    assert_eq!(left, 0);
    assert_eq!(capacity(&arena, ME, 382), 3, "every superblock is free again");
}

fn churn(arena: &Arena<Heap>, me: ParticipantId, rounds: u64) {
    let mut cache = BlockCache::default();
    let mut held: Vec<Handle> = Vec::new();
    let mut random = u64::from(me.0) + 1;
    for _ in 0..rounds {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let draw = random >> 40;
        if draw % 64 == 0 {
            allocator::recover(arena, me);
            held.clear();
            cache = BlockCache::default();
        } else if draw % 2 == 0 && held.len() < 20 {
            let words = [2, 2, 6, 14, 30, 100][(draw / 64 % 6) as usize];
            if let Ok(block) = cache.allocate(arena, me, BlockKind::Text, words) {
                arena.platform().store_plain(block.block().offset(2), block.raw() ^ u64::from(me.0));
                held.push(block);
            }
        } else if !held.is_empty() {
            let block = held.swap_remove((draw / 2) as usize % held.len());
            let mark = arena.platform().load_plain(block.block().offset(2));
            assert_eq!(mark, block.raw() ^ u64::from(me.0), "somebody else wrote to the block");
            assert!(cache.free(arena, me, block));
        }
    }
    allocator::recover(arena, me);
}

/// The danger: a superblock changes its owner so often while a block of it stays, or a block is used so often, that the one cannot be told from what is behind the other. The next
/// blocks there begin with generations that were given out before, and a handle of long ago names one of them.
#[test]
fn generations_rise_over_millions_of_owners_and_of_uses() {
    let (heap, arena) = arena(tiny());
    for (owners, uses) in [(0, 0), (100_000, 0), (0, 100_000), (5_000_000, 8_000_000), (8_000_000, 5_000_000)] {
        let mut cache = BlockCache::default();
        let block = cache.allocate(&arena, ME, BlockKind::Text, 4).unwrap();
        let header = arena.layout().superblock_header(arena.layout().superblock_of(block.block()).unwrap());
        let later = |word: u64, steps: u64| {
            let generation = ((word >> 40) + steps) & Handle::GENERATION_MASK;
            generation << 40 | word & ((1 << 40) - 1)
        };
        let changed = later(heap.load(header, Relaxed), owners);
        heap.store(header, changed, Relaxed);
        let used = later(heap.load(block.block(), Relaxed), uses);
        heap.store(block.block(), used, Relaxed);
        assert!(cache.free(&arena, ME, Handle::new(block.block(), used >> 40)));
        allocator::recover(&arena, ME);
        let state = allocator::SuperblockState::unpack(heap.load(header, Relaxed), arena.layout().geometry()).unwrap();
        assert!(state.is_unclaimed(), "{state:?}");
        for before in [changed, used] {
            let risen = state.generation.wrapping_sub(before >> 40) & Handle::GENERATION_MASK;
            assert!((1..4_000_000).contains(&risen), "{owners} owners, {uses} uses: {risen} above");
        }
    }
}

/// The danger: a bit of the header has changed, and the generation that follows is one of long ago.
#[test]
fn a_superblock_whose_generation_lies_before_its_blocks_is_not_given_back() {
    let (heap, arena) = arena(tiny());
    let mut cache = BlockCache::default();
    for _ in 0..20 {
        let block = cache.allocate(&arena, ME, BlockKind::Text, 4).unwrap();
        assert!(cache.free(&arena, ME, block));
        allocator::recover(&arena, ME);
        cache = BlockCache::default();
    }
    let block = cache.allocate(&arena, ME, BlockKind::Text, 4).unwrap();
    assert!(block.generation() > 16);
    let header = arena.layout().superblock_header(arena.layout().superblock_of(block.block()).unwrap());
    heap.store(header, heap.load(header, Relaxed) & !(16 << 40), Relaxed);
    assert!(cache.free(&arena, ME, block));
    allocator::recover(&arena, ME);
    let state = allocator::SuperblockState::unpack(heap.load(header, Relaxed), arena.layout().geometry()).unwrap();
    assert!(matches!(state.used_for, Use::Small(_)), "{state:?}");
    let next = cache.allocate(&arena, ME, BlockKind::Text, 4).unwrap();
    assert!(next.block() != block.block() || next.generation() > block.generation(), "{next:?}");
}
