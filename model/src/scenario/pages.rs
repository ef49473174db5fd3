//! Scenes of memory on its way back to the system, beside those who have a handle to what was there. In every world an access to a page
//! that has gone back is a failure.

use std::sync::atomic::Ordering::Relaxed;

use super::memory::alone_at_hand;
use super::{Actor, LARGEST_SMALL, Play, Scene, Setting, World};
use pso_engine::allocator::{self, BlockCache};
use pso_engine::arena::Arena;
use pso_engine::word::{BlockKind, Handle, ParticipantId};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 3] {
    [
        Scene { name: "punched_beside_a_look", write: punched_beside_a_look },
        Scene { name: "punched_beside_an_attempt", write: punched_beside_an_attempt },
        Scene { name: "used_again_after_a_punch", write: used_again_after_a_punch },
    ]
}

/// How often a block is used, before and after its memory has gone back.
const USES: usize = 4;

/// A superblock that is nobody's, with one block that was used several times, and is free. Gives all handles that there ever were to it.
fn left_empty<W: World>(setting: &Setting<W>) -> Vec<Handle> {
    let (stage, dead, other) = (setting.stage(), ParticipantId(3), ParticipantId(4));
    let arena = stage.arena();
    let mut cache = BlockCache::default();
    let mut handles = vec![alone_at_hand(&mut cache, arena, dead)];
    allocator::publish(arena, handles[0]);
    while handles.len() < USES {
        assert!(cache.free(arena, dead, handles[handles.len() - 1]), "it was LIVE");
        let handle = cache.allocate(arena, dead, BlockKind::Bytes, LARGEST_SMALL).expect("there is room");
        assert_eq!(handle.block(), handles[0].block(), "what is freed is used again");
        allocator::publish(arena, handle);
        handles.push(handle);
    }
    allocator::recover(arena, dead);
    // Not all of it is said to be free, as where hints were lost: the superblock stays what it is until somebody looks.
    let number = arena.layout().superblock_of(handles[0].block()).expect("blocks lie in superblocks");
    arena.platform().store(arena.layout().superblock_header(number).offset(2), 0, Relaxed);
    assert!(BlockCache::default().free(arena, other, handles[USES - 1]), "it was LIVE");
    handles
}

fn all_are_stale<W: World>(arena: &Arena<W>, handles: &[Handle]) {
    let in_use = handles.iter().find(|handle| allocator::check_fully(arena, **handle).is_ok());
    assert_eq!(in_use, None, "an old handle names a new block");
}

fn gives_back<W: World>(setting: &Setting<W>) -> Actor {
    let mut giver = setting.participant();
    Box::new(move || {
        giver.give_back_pages();
    })
}

/// **Memory goes back while somebody looks at a handle to what was there**, outside of attempts. The danger: he has found that the superblock is in
/// use, and looks at the block when its page is gone.
fn punched_beside_a_look<W: World>(setting: &Setting<W>) -> Play {
    let handles = left_empty(setting);
    let looker = setting.join();
    let actors: Vec<Actor> = vec![
        gives_back(setting),
        Box::new(move || looker.look(|| all_are_stale(looker.arena(), &handles[USES - 1..]))),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **The same beside somebody in an attempt.**
fn punched_beside_an_attempt<W: World>(setting: &Setting<W>) -> Play {
    let handles = left_empty(setting);
    let mut reader = setting.participant();
    let actors: Vec<Actor> = vec![
        gives_back(setting),
        Box::new(move || {
            reader.begin().expect("it begins");
            all_are_stale(reader.arena(), &handles[USES - 1..]);
            reader.abort();
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **The memory is used again**, by whoever gave it back. The danger: it is zero, so that the generations of its blocks begin anew, and an old handle names
/// a new block.
fn used_again_after_a_punch<W: World>(setting: &Setting<W>) -> Play {
    let handles = left_empty(setting);
    let mut giver = setting.participant();
    let (user, looker, stage) = (setting.join(), setting.join(), setting.stage());
    let me = ParticipantId(4);
    let old = handles.clone();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            giver.give_back_pages();
            let mut cache = BlockCache::default();
            let mut again = alone_at_hand(&mut cache, user.arena(), me);
            assert_eq!(again.block(), old[0].block(), "its memory is used again");
            for _ in 0..USES {
                assert!(!old.contains(&again), "an old handle names a new block");
                allocator::publish(user.arena(), again);
                assert!(cache.free(user.arena(), me, again), "it was LIVE");
                again = cache.allocate(user.arena(), me, BlockKind::Bytes, LARGEST_SMALL).expect("there is room");
            }
        }),
        Box::new(move || looker.look(|| all_are_stale(looker.arena(), &handles))),
    ];
    let epilogue = Box::new(move || {
        allocator::recover(stage.arena(), me);
    });
    Play { actors, epilogue }
}
