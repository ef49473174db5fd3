//! Scenes of blocks: what is published is seen whole, what is freed is not used again under somebody's eyes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::{Actor, LARGEST_SMALL, Play, Scene, Setting, World};
use pso_engine::allocator::{self, BlockCache};
use pso_engine::arena::Arena;
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, CellAddress, Handle, ParticipantId, Value, WordAddress};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 8] {
    [
        Scene { name: "a_new_block_is_read", write: a_new_block_is_read },
        Scene { name: "a_stable_cell_is_read", write: a_stable_cell_is_read },
        Scene { name: "remote_free", write: remote_free },
        Scene { name: "two_who_allocate", write: two_who_allocate },
        Scene { name: "adopted_beside_a_leave", write: adopted_beside_a_leave },
        Scene { name: "two_who_free", write: two_who_free },
        Scene { name: "two_who_adopt", write: two_who_adopt },
        Scene { name: "two_who_claim", write: two_who_claim },
    ]
}

/// Payload words of the blocks here.
const WORDS: u64 = 2;

fn payload(block: Handle) -> WordAddress {
    block.block().offset(BLOCK_HEADER_WORDS)
}

/// **A block is made, filled and named by a cell**; another follows the handle. The danger: it reads the payload, which is
/// plain memory, before it was written. Both words must be there.
fn a_new_block_is_read<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let mut maker = setting.participant();
    let mut reader = setting.participant();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let made = maker.run(|tx| {
                let block = tx.allocate(BlockKind::Bytes, WORDS)?;
                fill(tx, block)?;
                tx.write(cell, Value::handle(block))
            });
            made.expect("it commits");
        }),
        Box::new(move || {
            let seen = reader.run(|tx| {
                let value = tx.read(cell)?;
                sum(tx, value)
            });
            assert!([Ok(None), Ok(Some(3))].contains(&seen), "{seen:?}");
        }),
    ];
    Play { actors, epilogue: empties(setting, cell) }
}

/// **The same with a cell that is written once**, read without a snapshot and without a second look. The danger is the same;
/// here only what orders the two loads of the cell stands between. What comes before the fill is played before.
fn a_stable_cell_is_read<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let mut maker = setting.participant();
    let mut reader = setting.participant();
    maker.run(|tx| tx.write(cell, Value::ABSENT)).expect("nobody is in the way");
    maker.begin().expect("it begins");
    let block = maker.allocate(BlockKind::Bytes, WORDS).expect("there is room");
    reader.begin().expect("it begins");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            fill(&mut maker, block).expect("the block is its own");
            maker.write(cell, Value::handle(block)).expect("nobody is in the way");
            maker.commit().expect("nobody is in the way");
        }),
        Box::new(move || {
            let value = reader.read_stable(cell).expect("one read is always of one state");
            let seen = sum(&mut reader, value);
            assert!([Ok(None), Ok(Some(3))].contains(&seen), "{seen:?}");
            reader.abort();
        }),
    ];
    Play { actors, epilogue: empties(setting, cell) }
}

fn fill<W: World>(tx: &mut Participant<W>, block: Handle) -> Result<(), Stop> {
    let first = tx.open(block, BlockKind::Bytes)?;
    (0..WORDS).for_each(|word| tx.arena().platform().store_plain(first.offset(word), word + 1));
    Ok(())
}

/// What is in the block that `value` names, if it names one.
fn sum<W: World>(tx: &mut Participant<W>, value: Value) -> Result<Option<u64>, Stop> {
    let Some(block) = value.as_handle() else { return Ok(None) };
    let first = tx.open(block, BlockKind::Bytes)?;
    Ok(Some((0..WORDS).map(|word| tx.arena().platform().load_plain(first.offset(word))).sum::<u64>()))
}

/// The bytes here are words, which fsck does not take for the text of a Bytes block: the cell is emptied at the end.
fn empties<W: World>(setting: &Setting<W>, cell: CellAddress) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        let block = last.run(|tx| {
            let block = tx.read(cell)?.as_handle();
            tx.write(cell, Value::NONE)?;
            Ok(block)
        });
        let block = block.expect("it commits").expect("the maker committed");
        assert!(BlockCache::default().free(stage.arena(), last.id(), block), "it was LIVE");
        last.leave();
    })
}

/// **Freed by another, allocated again by its owner.** The danger: the owner writes the block anew while the one who frees
/// it still reads, or gets it twice. The reader frees after its last look; the owner allocates until it has it back or the
/// superblock gives another.
fn remote_free<W: World>(setting: &Setting<W>) -> Play {
    let (owner, other) = (setting.join(), setting.join());
    let (me, him) = (ParticipantId(3), ParticipantId(4));
    let mut cache = BlockCache::default();
    let mut allocate = {
        let owner = Arc::clone(&owner);
        move || cache.allocate(owner.arena(), me, BlockKind::Bytes, WORDS).expect("there is room")
    };
    let block = allocate();
    owner.arena().platform().store_plain(payload(block), 7);
    allocator::publish(owner.arena(), block);
    // The superblock is used up, so that the next allocation finds what others have freed there, or nothing: blocks never used go first.
    let superblock = |block: Handle| owner.arena().layout().superblock_of(block.block());
    let blocks = owner.arena().layout().geometry().superblock_words / (BLOCK_HEADER_WORDS + WORDS);
    let held: Vec<Handle> = (1..blocks).map(|_| allocate()).collect();
    assert!(held.iter().all(|other| superblock(*other) == superblock(block)));
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            assert_eq!(other.arena().platform().load_plain(payload(block)), 7, "the block is another one already");
            assert!(BlockCache::default().free(other.arena(), him, block), "it was LIVE");
        }),
        Box::new({
            let owner = Arc::clone(&owner);
            move || {
                let again = allocate();
                assert!(!held.contains(&again) && again != block, "a block has two users");
                owner.arena().platform().store_plain(payload(again), 8);
            }
        }),
    ];
    let epilogue = Box::new(move || {
        allocator::recover(owner.arena(), me);
    });
    Play { actors, epilogue }
}

/// **Two who allocate at once** from a space in which neither has a superblock. The danger: both get the same one. One block
/// each, written before and read after.
fn two_who_allocate<W: World>(setting: &Setting<W>) -> Play {
    two_allocate(setting, || {})
}

/// Two who allocate one block each, and free it; then what is to be done at the end.
fn two_allocate<W: World>(setting: &Setting<W>, last: impl FnOnce() + Send + 'static) -> Play {
    let mut actors: Vec<Actor> = Vec::new();
    for number in [3, 4] {
        let space = setting.join();
        actors.push(Box::new(move || {
            let (me, arena) = (ParticipantId(number), space.arena());
            let mut cache = BlockCache::default();
            let block = cache.allocate(arena, me, BlockKind::Bytes, WORDS).expect("there is room");
            arena.platform().store_plain(payload(block), u64::from(number));
            allocator::publish(arena, block);
            assert_eq!(arena.platform().load_plain(payload(block)), u64::from(number), "a block has two users");
            assert!(cache.free(arena, me, block), "it was LIVE");
            assert!(!cache.free(arena, me, block), "freed twice");
        }));
    }
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        for number in [3, 4] {
            allocator::recover(stage.arena(), ParticipantId(number));
        }
        last();
    });
    Play { actors, epilogue }
}

/// **One leaves a superblock, another adopts it.** The danger: the heir does not see what the last owner has taken there at last, and gives that block away
/// once more. The owner's magazine is empty when the actors start, so that it moves the index of what was never used.
fn adopted_beside_a_leave<W: World>(setting: &Setting<W>) -> Play {
    let (owner, other) = (setting.join(), setting.join());
    let (me, him) = (ParticipantId(3), ParticipantId(4));
    let mut cache = BlockCache::default();
    let mut allocate = {
        let owner = Arc::clone(&owner);
        move || {
            let block = cache.allocate(owner.arena(), me, BlockKind::Bytes, WORDS).expect("there is room");
            allocator::publish(owner.arena(), block);
            block
        }
    };
    let mut held: Vec<Handle> = (0..32).map(|_| allocate()).collect();
    let last = Arc::new(Mutex::new(None));
    let (given, taken) = (Arc::clone(&last), Arc::new(Mutex::new(None)));
    let got = Arc::clone(&taken);
    let stage = setting.stage();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let block = allocate();
            owner.arena().platform().store_plain(payload(block), 7);
            *given.lock().unwrap() = Some(block);
            allocator::recover(owner.arena(), me);
        }),
        Box::new(move || {
            let mut cache = BlockCache::default();
            let block = cache.allocate(other.arena(), him, BlockKind::Bytes, WORDS).expect("there is room");
            other.arena().platform().store_plain(payload(block), 8);
            *got.lock().unwrap() = Some(block);
        }),
    ];
    let epilogue = Box::new(move || {
        let (last, taken) = (last.lock().unwrap().unwrap(), taken.lock().unwrap().unwrap());
        assert_ne!(last.block(), taken.block(), "a block has two users");
        held.push(last);
        for block in held {
            assert!(BlockCache::default().free(stage.arena(), me, block), "it was LIVE");
        }
        allocator::recover(stage.arena(), him);
    });
    Play { actors, epilogue }
}

/// A large block, with no other one of its size at hand: what is freed next is allocated next. The others that were are PRIVATE.
pub(super) fn alone_at_hand<W: World>(cache: &mut BlockCache, arena: &Arena<W>, owner: ParticipantId) -> Handle {
    let mut allocate = || cache.allocate(arena, owner, BlockKind::Bytes, LARGEST_SMALL).expect("there is room");
    let block = allocate();
    // Four share a superblock.
    for _ in 1..4 {
        allocate();
    }
    block
}

/// **Two who free the same block**, one of whom owns its superblock and allocates again at once. The danger: both free it, and the
/// second time it is somebody else's block.
fn two_who_free<W: World>(setting: &Setting<W>) -> Play {
    let (owner, other) = (setting.join(), setting.join());
    let (me, him) = (ParticipantId(3), ParticipantId(4));
    let mut cache = BlockCache::default();
    let block = alone_at_hand(&mut cache, owner.arena(), me);
    allocator::publish(owner.arena(), block);
    let freed = Arc::new(AtomicU64::new(0));
    let (mine, his) = (Arc::clone(&freed), Arc::clone(&freed));
    let stage = setting.stage();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let arena = owner.arena();
            let is_mine = cache.free(arena, me, block);
            mine.fetch_add(u64::from(is_mine), Relaxed);
            let again = cache.allocate(arena, me, BlockKind::Bytes, LARGEST_SMALL).expect("there is room");
            assert!(!is_mine || again.block() == block.block(), "what is freed is used again");
            assert_ne!(again, block, "an old handle names a new block");
            allocator::publish(arena, again);
            assert!(allocator::check_fully(arena, again).is_ok(), "freed by somebody who has an old handle");
            assert!(cache.free(arena, me, again), "freed by somebody who has an old handle");
        }),
        Box::new(move || {
            his.fetch_add(u64::from(BlockCache::default().free(other.arena(), him, block)), Relaxed);
        }),
    ];
    let epilogue = Box::new(move || {
        assert_eq!(freed.load(Relaxed), 1, "a block is freed once");
        allocator::recover(stage.arena(), me);
    });
    Play { actors, epilogue }
}

/// **Two who find the same superblock without an owner**, with a block in use that the dead one made. The danger: both adopt it, and
/// allocate the same block.
fn two_who_adopt<W: World>(setting: &Setting<W>) -> Play {
    let (stage, dead) = (setting.stage(), ParticipantId(2));
    let block = BlockCache::default().allocate(stage.arena(), dead, BlockKind::Bytes, WORDS).expect("there is room");
    allocator::publish(stage.arena(), block);
    allocator::recover(stage.arena(), dead);
    two_allocate(setting, move || {
        assert!(BlockCache::default().free(stage.arena(), dead, block), "it was LIVE");
    })
}

/// **Two who find the same superblock empty**, given back by its owner. The danger: both claim it.
fn two_who_claim<W: World>(setting: &Setting<W>) -> Play {
    let (stage, owner) = (setting.stage(), ParticipantId(2));
    BlockCache::default().allocate(stage.arena(), owner, BlockKind::Bytes, WORDS).expect("there is room");
    allocator::recover(stage.arena(), owner);
    two_allocate(setting, || {})
}
