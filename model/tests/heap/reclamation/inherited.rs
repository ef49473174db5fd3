//! What somebody had retired who is gone, and whom nobody follows: anybody may free it.

use super::*;
use crate::support::unless_killed;

/// Somebody dies who has replaced `count` texts that a reader of before holds. Gives the reader.
fn left(heap: &Heap, space: &Arc<Space<Heap>>, count: u64) -> Tx {
    let mut reader = space.participant().unwrap();
    let list = texts(&mut reader, count);
    reader.begin().unwrap();
    (0..count).for_each(|index| assert_eq!(item(&mut reader, list, index), Ok(long(index))));
    let doomed = another(heap, space);
    let mut victim = doomed.participant().unwrap();
    victim.run(|tx| (0..count).try_for_each(|index| replace(tx, list, index, 7))).unwrap();
    victim.collect();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    space.recover_dead();
    reader
}

#[test]
fn what_the_dead_had_retired_goes_once_nobody_holds_it() {
    let (heap, space) = space_of(4 * MIB);
    let mut reader = left(&heap, &space, 10);
    let retired = || in_phase(&space, BlockPhase::Retired);
    assert_eq!((space.inherit(), retired()), (0, 10), "the reader holds it");
    reader.abort();
    assert!(space.inherit() >= 10 * LENGTH as u64 / 8);
    assert_eq!((space.inherit(), retired()), (0, 0));
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Whoever is killed in it is one of the gone.
#[test]
fn who_dies_of_it_leaves_no_more_than_he_found() {
    for step in 0.. {
        let (heap, space) = space_of(4 * MIB);
        left(&heap, &space, 3).abort();
        let process = heap.process();
        let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
        process.die_after(step);
        let through = unless_killed(|| doomed.inherit()).is_some() && process.live_on() > 0;
        heap.kill_process(doomed.process());
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        space.inherit();
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "step {step}");
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        if through {
            assert!(step > 50, "{step}");
            return;
        }
    }
}
