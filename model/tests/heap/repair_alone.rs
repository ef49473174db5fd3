//! Who repairs is alone in the space, from the proof on until he is through, however that comes; and touches no memory that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pso_engine::allocator::{Pages, SuperblockState, Use, usage};
use pso_engine::arena::{Arena, Geometry, HotWord, Layout};
use pso_engine::fsck::{Finding, RepairError, fsck_at_rest, repair, repair_unless};
use pso_engine::holding::for_each_held;
use pso_engine::object::list;
use pso_engine::participant::ProcessSlot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::{JoinError, Space};
use pso_engine::word::{BlockKind, Handle};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

use crate::support::{MIB, space_of, unless_killed};

fn empty() -> (Heap, Layout) {
    let (heap, space) = space_of(MIB);
    space.participant().unwrap().leave();
    space.leave();
    (heap, *space.arena().layout())
}

#[test]
fn a_repairer_that_panics_lets_others_join() {
    for step in (0..).step_by(97) {
        let (heap, layout) = empty();
        let process = heap.process();
        process.die_after(step);
        let is_through = unless_killed(|| repair(process.clone(), layout).unwrap()).is_some();
        // It lives on.
        process.die_after(u64::MAX);
        let other = Space::join(heap.process(), layout);
        assert!(other.is_ok(), "{:?} after a panic at step {step}", other.err());
        if is_through {
            assert!(step > 2000, "only {step} steps");
            return;
        }
    }
}

/// The danger: whoever takes a slot between the look at it and its byte, and loses the byte, writes beside the repairer.
#[test]
fn whoever_joins_at_any_step_of_the_proof_and_loses_his_byte_is_in_its_way() {
    for step in 0.. {
        let (heap, layout) = empty();
        let (joined, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let repairer = Interposed::new(heap.process());
        let says = (Arc::clone(&joined), Arc::clone(&refused));
        repairer.at(step, move || match Space::join(heap.process(), layout) {
            Ok(other) => {
                heap.fence_process(other.process());
                says.0.store(true, Relaxed);
                std::mem::forget(other);
            }
            Err(JoinError::Processes { .. }) => says.1.store(true, Relaxed),
            Err(other) => panic!("{other}"),
        });
        let done = repair(repairer, layout);
        assert!(
            !joined.load(Relaxed) || matches!(done, Err(RepairError::InUse { .. })),
            "joined at step {step}: {done:?}"
        );
        if refused.load(Relaxed) {
            assert!(step > 100, "only {step} steps");
            return;
        }
    }
}

/// On a full system to touch it would be SIGBUS; the heap panics.
#[test]
fn a_word_that_names_memory_that_is_gone_leads_nowhere() {
    // One that was given back; and one that was never handed out.
    for is_punched in [true, false] {
        let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
        let space = Space::join(heap.clone(), layout).unwrap();
        space.participant().unwrap().leave();
        space.leave();
        let arena = Arena::new(heap.clone(), layout);
        let number = match is_punched {
            true => usage(&arena).committed,
            false => layout.superblocks() - 1,
        };
        if is_punched {
            let state = SuperblockState { generation: 7, owner: None, used_for: Use::Unused(Pages::Punched) };
            heap.store(layout.superblock_header(number), state.pack(), Relaxed);
            heap.punch_pages(layout.superblock(number), layout.geometry().superblock_words);
        }
        let gone = Handle::new(layout.superblock(number), 3);
        heap.store(arena.root().value_word(), gone.raw(), Relaxed);
        heap.watch_pages();
        let done = repair(heap.process(), layout).unwrap();
        assert!(matches!(done.left[..], [Finding::Dangling { .. }]), "{:?}", done.left);
    }
}

/// The danger: the count of superblocks with memory says more than there is, and whoever believes it touches what is not there.
#[test]
fn a_count_that_says_too_much_is_not_believed() {
    let geometry = Geometry { region_superblocks: 16, ..Geometry::for_bytes(4 * MIB).unwrap() };
    for watched_from_the_start in [true, false] {
        let (heap, layout) = Heap::space(geometry);
        let space = Space::join(heap.clone(), layout).unwrap();
        space.participant().unwrap().leave();
        space.leave();
        if watched_from_the_start {
            heap.watch_pages();
        }
        assert!(layout.superblocks() > 2 * geometry.region_superblocks);
        heap.store(layout.hot(HotWord::CommittedSuperblocks), layout.superblocks(), Relaxed);
        assert_eq!(repair(heap.process(), layout).unwrap().left, []);
        heap.watch_pages();
        let space = Space::join(heap.process(), layout).unwrap();
        let mut tx = space.participant().unwrap();
        let mut blocks = 0;
        while tx.run(|tx| tx.allocate(BlockKind::Bytes, 1000)).is_ok() {
            blocks += 1;
        }
        assert!(blocks > 200, "the space is full with {blocks} blocks");
    }
}

/// The danger: a slot is free, and its table is not empty: whoever takes it holds what a dead one held, as long as he stays.
#[test]
fn an_interrupted_repair_leaves_no_free_slot_that_holds_anything() {
    for asked in 1.. {
        let (heap, layout) = empty();
        let dead = Space::join(heap.process(), layout).unwrap();
        let mut tx = dead.participant().unwrap();
        tx.run(|tx| {
            let made = list::create(tx)?;
            tx.hold(made)
        })
        .unwrap();
        heap.kill_process(dead.process());
        // A phase that is none: so nobody who joins clears up after it.
        let word = ProcessSlot::of(dead.arena(), dead.process()).unwrap().state_word();
        heap.store(word, heap.load(word, Relaxed) | 0xf0, Relaxed);
        let mut looks = 0;
        let outcome = repair_unless(heap.process(), layout, &mut || {
            looks += 1;
            looks == asked
        });
        let next = Space::join(heap.process(), layout).unwrap();
        let mut held = Vec::new();
        if next.process() == dead.process() {
            for_each_held(next.arena(), &mut |handle| held.push(handle)).unwrap();
        }
        assert_eq!(held, [], "interrupted at look {asked}");
        let found = fsck_at_rest(&next);
        let is_held = |finding: &Finding| matches!(finding, Finding::Held { .. });
        assert!(asked < 3 || !found.iter().any(is_held), "interrupted at look {asked}: {found:?}");
        next.leave();
        if outcome != Err(RepairError::Interrupted) {
            assert!(asked > 5, "only {asked} looks");
            return;
        }
    }
}
