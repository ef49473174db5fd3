//! Memory that becomes something else while a collector looks at it.

use pso_engine::platform::Memory;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, BlockState, ParticipantId};

use super::*;

/// As many blocks as there is room for, thirty at most, with these words in them.
fn fill(user: &mut Tx, words: u64, value: impl Fn(u64) -> u64) -> Vec<Handle> {
    user.begin().unwrap();
    let mut made = Vec::new();
    while made.len() < 30
        && let Ok(handle) = user.allocate(BlockKind::Bytes, words)
    {
        for word in 0..words {
            user.arena().platform().store_plain(handle.block().offset(BLOCK_HEADER_WORDS + word), value(word));
        }
        made.push(handle);
    }
    made
}

/// While a collector goes through the blocks of a superblock, that becomes empty and is made into another one, whose payload looks like objects that nothing
/// names. Before whatever access of his that comes: not a word of it is marked.
#[test]
fn a_superblock_that_is_used_anew_under_a_collectors_eyes_is_not_marked() {
    const WORDS: u64 = 1000;
    let trap = BlockState { generation: 3, owner: ParticipantId(0), kind: BlockKind::Dict, phase: BlockPhase::Live };
    let mut anew = 0;
    for step in (0..).step_by(3) {
        let (heap, layout) = Heap::space(Geometry::for_bytes(MIB).unwrap());
        let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
        let mut collector = space.participant().unwrap();
        let other = Space::join(heap.process(), layout).unwrap();
        // A superblock of dicts, in which none is left; and free memory is scarce, so that it is what is used next.
        let mut maker = other.participant().unwrap();
        let dicts = maker.run(|tx| (0..20).map(|_| dict::create(tx)).collect::<Result<Vec<_>, _>>()).unwrap();
        maker.collect_objects(NO_PATIENCE).unwrap();
        let superblock = layout.superblock_of(dicts[0].block()).unwrap();
        let mut user = other.participant().unwrap();
        let (maker, used) = (Mutex::new(Some(maker)), Arc::new(Mutex::new(None)));
        let taken = Arc::clone(&used);
        space.arena().platform().at(step, move || {
            // All its superblocks are empty, and go back.
            maker.lock().unwrap().take().unwrap().leave();
            let made = fill(&mut user, WORDS, |word| if word % 2 == 0 { trap.pack() } else { 0 });
            *taken.lock().unwrap() = Some((user, made));
        });
        let _ = collector.collect_objects(NO_PATIENCE);
        if space.arena().platform().forget() {
            break;
        }
        let (user, made) = used.lock().unwrap().take().unwrap();
        for handle in &made {
            anew += usize::from(layout.superblock_of(handle.block()) == Some(superblock));
            for word in (1..WORDS).step_by(2) {
                let value = heap.load_plain(handle.block().offset(BLOCK_HEADER_WORDS + word));
                assert_eq!(value, 0, "step {step}: a word of {handle:?} was marked");
            }
        }
        assert!(allocator::check_fully(user.arena(), made[0]).is_ok());
    }
    assert!(anew > 10, "the superblock was used anew in {anew} blocks only");
}

/// What a process holds of an attempt that was rolled back, in a superblock that becomes another one while a collector looks at it. The danger: what lies there by then, a small number, has
/// the generation of what was held, and is taken for damage.
#[test]
fn what_is_held_of_a_rolled_back_attempt_is_no_damage_whatever_lies_there() {
    const WORDS: u64 = 1000;
    const NO_STATE: u64 = 0x51;
    let mut anew = 0;
    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry::for_bytes(MIB).unwrap());
        let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
        let mut collector = space.participant().unwrap();
        let other = Space::join(heap.process(), layout).unwrap();
        let [mut maker, mut user] = [(); 2].map(|()| other.participant().unwrap());
        maker.begin().unwrap();
        // Not where the next block begins, too.
        let dicts: Vec<Handle> = (0..5).map(|_| dict::create(&mut maker).unwrap()).collect();
        let held = dicts[3];
        maker.hold(held).unwrap();
        maker.abort();
        assert_eq!(held.generation(), 0, "the memory was never used before");
        let (maker, used) = (Mutex::new(Some(maker)), Arc::new(Mutex::new(None)));
        let taken = Arc::clone(&used);
        space.arena().platform().at(step, move || {
            maker.lock().unwrap().take().unwrap().leave();
            let made = fill(&mut user, WORDS, |_| NO_STATE);
            *taken.lock().unwrap() = Some((user, made));
        });
        let end = collector.collect_objects(NO_PATIENCE).unwrap();
        if space.arena().platform().forget() {
            break;
        }
        assert!(matches!(&end, CollectionEnd::Finished(found) if found.damage.is_none()), "step {step}: {end:?}");
        let (_, made) = used.lock().unwrap().take().unwrap();
        anew += usize::from(made.iter().any(|block| {
            let payload = block.block().index() + BLOCK_HEADER_WORDS;
            (payload..payload + WORDS).contains(&held.block().index())
        }));
    }
    assert!(anew > 10, "the superblock was used anew {anew} times only");
}
