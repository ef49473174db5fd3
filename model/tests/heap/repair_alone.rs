//! Who repairs is alone in the space, from the proof on until he is through, however that comes; and touches no memory that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pso_engine::allocator::{Pages, SuperblockState, Use, usage};
use pso_engine::arena::{Arena, Geometry, Layout};
use pso_engine::fsck::{Finding, RepairError, repair};
use pso_engine::platform::{Memory, System};
use pso_engine::space::{JoinError, Space};
use pso_engine::word::Handle;
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
