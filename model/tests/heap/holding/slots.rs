//! Slots of processes: whoever takes the one of a dead process has it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{MS, Tx, another, attempt_of, cells, integer, unless_killed};
use pso_engine::arena::HotWord;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::participant::{ProcessPhase, ProcessSlot, Slot, Taking};
use pso_engine::platform::{Liveness, Memory, Ordering::Relaxed, System};
use pso_engine::space::Space;
use pso_engine::word::{ProcessSlotId, State, Status, Version};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

use super::{hold, objects, space};

/// Of the steps in which the byte of the slot is had and its state is not changed yet: there the dead one counts as living.
const FEW: u64 = 10;

/// Joins until all slots are taken.
fn fill(heap: &Heap, space: &Arc<Space<Heap>>) {
    let state = |number| ProcessSlot::of(space.arena(), ProcessSlotId(number)).unwrap().state(space.arena());
    let slots = space.arena().layout().geometry().process_slots as u16;
    while (0..slots).any(|number| state(number).phase == ProcessPhase::Free) {
        std::mem::forget(another(heap, space));
    }
}

/// The danger: he has the byte of one who died in his commit, so all take that one for alive, and wait for its cells as long as he stands still.
#[test]
fn who_stands_still_where_he_takes_the_slot_of_a_dead_one_keeps_nobody_waiting() {
    let mut waits = 0;
    for step in 0.. {
        let (heap, space) = space();
        let mut tx: Tx = space.participant().unwrap();
        let cells = cells(&mut tx, 1);
        let doomed = another(&heap, &space);
        let mut dead = doomed.participant().unwrap();
        let objects = objects(&mut dead, 20);
        objects.iter().for_each(|object| _ = hold(&mut dead, *object));
        fill(&heap, &space);
        dead.begin().unwrap();
        dead.write(cells[0], integer(1)).unwrap();
        let slot = Slot::of(space.arena(), dead.id()).unwrap();
        let committed = Status { seq: attempt_of(&dead).seq, state: State::Committed }.pack();
        let now = heap.load(space.arena().layout().hot(HotWord::VersionClock), Relaxed);
        heap.store(slot.commit_version(), Version::first(now, dead.id()).0, Relaxed);
        heap.store(slot.status(), committed, Relaxed);
        heap.kill_process(doomed.process());
        std::mem::forget(dead);
        let joiner = heap.process();
        joiner.die_after(step);
        let joined = unless_killed(|| Space::join(joiner.clone(), *space.arena().layout()));
        let through = joiner.live_on() > 0 && joined.is_some();
        // It lives, and makes no step more.
        let deadline = heap.now_ns() + 20 * MS;
        let waited = tx.run_until(Some(deadline), |tx| tx.write(cells[0], integer(2))).is_err();
        // Where it is at the recovery of the dead one, which it has joined for, that is known: only one at a time can be.
        waits += u64::from(waited && heap.load(slot.recoverer(), Relaxed) == 0);
        if through {
            space.recover_dead();
            assert_eq!(fsck_at_rest(&space), vec![]);
            break;
        }
        std::mem::forget(joined);
    }
    assert!(waits < FEW, "at {waits} steps");
}

/// The danger: he leaves his name in the slot of who was faster (who had the byte, and has lost it since), gives the byte back, and calls that one dead, whose
/// name is his own; or he writes over what that one has counted.
#[test]
fn who_comes_too_late_for_a_slot_keeps_its_byte_and_leaves_its_counts() {
    let mut names = 0;
    for step in 0.. {
        let (heap, space) = space();
        let id = ProcessSlotId(1);
        let slot = ProcessSlot::of(space.arena(), id).unwrap();
        let (faster, late) = (heap.process(), Interposed::new(heap.process()));
        let has_won = Arc::new(AtomicBool::new(false));
        let (there, won) = (Arc::clone(&space), Arc::clone(&has_won));
        late.at(step, move || {
            let state = slot.state(there.arena());
            if state.phase == ProcessPhase::Free
                && matches!(slot.take(there.arena(), faster.identity(), state), Taking::Taken(_))
            {
                there.arena().platform().fetch_add(slot.copies(), 1, Relaxed);
                won.store(true, Ordering::Relaxed);
            }
        });
        let joined = Space::join(late.clone(), *space.arena().layout()).unwrap();
        if !has_won.load(Ordering::Relaxed) {
            assert_eq!(joined.process(), id);
            break;
        }
        assert_ne!(joined.process(), id, "step {step}");
        assert_eq!(heap.load(slot.copies(), Relaxed) & 0xff_ffff, 1, "step {step}");
        let name = slot.identity(space.arena());
        if name.pid == late.identity().pid {
            names += 1;
            assert_eq!(late.liveness(id, name), Liveness::Alive, "step {step}");
        }
    }
    assert!(names > 0, "the exchange was never lost");
}
