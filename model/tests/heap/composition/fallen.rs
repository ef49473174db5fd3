//! Bodies that go on though their attempt has ended: what they begin then is a part of it, and comes to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::word::BlockKind;
use pso_model::heap::Heap;

use crate::support::{MIB, MS, Tx, attempt_of, cells, contents, integer, space_of, stop};

/// The danger: what the body does in place of what it could not do commits by itself, and stays when the body runs again.
#[test]
fn what_begins_in_a_body_whose_attempt_has_ended_does_not_commit_by_itself() {
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let slot = Slot::of(space.arena(), one.id()).unwrap();
    let cells = cells(&mut one, 3);
    type Begins = fn(&mut Tx, &mut dyn FnMut(&mut Tx) -> Result<(), Stop>) -> Result<(), Stop>;
    let ways: [Begins; 3] = [
        |tx, body| tx.run(body),
        |tx, body| tx.or_else(body, |_| panic!("nobody asks to wait")),
        |tx, body| tx.run_irrevocable(None, body),
    ];
    for (number, begins) in ways.into_iter().enumerate() {
        let (mut runs, mut hooks) = (0, 0);
        let hooked = Arc::new(AtomicU64::new(0));
        one.run(|tx| {
            runs += 1;
            let hooked = hooked.clone();
            tx.on_commit(move || {
                hooked.fetch_add(1, Relaxed);
            });
            if runs == 1 {
                stop(&heap, slot);
            }
            if tx.read(cells[0]).is_err() {
                hooks = 1;
                let nested = begins(tx, &mut |tx| tx.write(cells[1], integer(1)));
                assert_eq!(nested, Err(Stop::Conflict), "way {number}");
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((runs, hooks, hooked.load(Relaxed)), (2, 1, 1));
        assert_eq!(contents(&mut one, &cells), [0, 0, 0]);
    }
}

/// The danger: why the first could not go on is forgotten over the second, and the body runs again, for ever.
#[test]
fn a_body_that_goes_on_after_it_found_the_space_full_ends_with_that() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(heap, layout).unwrap();
    let mut one = space.participant().unwrap();
    let cell = cells(&mut one, 1)[0];
    let mut runs = 0;
    let result = one.run(|tx| {
        runs += 1;
        assert!(runs < 10);
        let _full = tx.run(|tx| tx.allocate(BlockKind::Cells, 1 << 20).map(drop));
        let _again = tx.run(|tx| tx.allocate(BlockKind::Cells, 1 << 20).map(drop));
        let _small = tx.run(|tx| tx.write(cell, integer(1)));
        Ok(())
    });
    assert!(matches!(result, Err(Stop::Full(_))), "{result:?}");
    assert_eq!(contents(&mut one, &[cell]), [0]);
}

/// It would be run again and again, for an attempt that is over cannot be committed.
#[test]
fn a_body_that_passes_over_why_it_cannot_go_on_is_told_at_its_end() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cell = cells(&mut one, 1)[0];
    let refused = one.run_read_only(None, |tx| Ok(tx.write(cell, integer(1)).is_err()));
    assert_eq!(refused, Err(Stop::ReadOnly));
    let waits = one.run_read_only(None, |tx| tx.write(cell, integer(1)).or(Err::<(), _>(Stop::Retry)));
    assert_eq!(waits, Err(Stop::ReadOnly));
    let full = one.run(|tx| Ok((0..9).any(|_| tx.allocate(BlockKind::Cells, 1 << 17).is_err())));
    assert!(matches!(full, Err(Stop::Full(_))), "{full:?}");
    one.run(|tx| tx.write(cell, integer(1))).unwrap();
    assert_eq!(contents(&mut one, &[cell]), [1]);
}

/// It is not run again, so what it wanted done without a commit is done.
#[test]
fn who_ends_in_the_pause_before_the_next_attempt_has_the_hooks_of_the_last() {
    let (heap, space) = space_of(4 * MIB);
    let mut other = space.participant().unwrap();
    let cell = cells(&mut other, 1)[0];
    other.begin_irrevocable(None).unwrap();
    other.write(cell, integer(1)).unwrap();
    let mut one = space.participant().unwrap();
    let slot = Slot::of(space.arena(), one.id()).unwrap();
    let stopper = attempt_of(&other).pack();
    let hooked = Arc::new(AtomicU64::new(0));
    let result = one.run_until(Some(heap.now_ns() + 20 * MS), |tx| {
        let hooked = Arc::clone(&hooked);
        tx.on_abort(move || {
            hooked.fetch_add(1, Relaxed);
        });
        heap.store(slot.stopped_by(), stopper, Relaxed);
        stop(&heap, slot);
        tx.read(cell)
    });
    assert_eq!((result, hooked.load(Relaxed)), (Err(Stop::TimedOut), 1));
    other.commit().unwrap();
}

/// The danger: a participant whose body has panicked takes all that comes after for a part of it.
#[test]
fn after_a_panic_in_a_body_the_next_transaction_is_one() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cell = cells(&mut one, 1)[0];
    pso_model::heap::hide_deaths();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        one.run(|_| -> Result<(), Stop> { std::panic::resume_unwind(Box::new("a body")) })
    }));
    assert!(panics.is_err());
    one.abort();
    one.run(|tx| tx.write(cell, integer(1))).unwrap();
    assert_eq!(contents(&mut one, &[cell]), [1]);
}

/// The danger: what a transaction that never was wanted done behind its commit is done behind the next one's; and who has only read is refused every write
/// from then on.
#[test]
fn after_a_panic_in_a_body_nothing_of_it_is_left() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cell = cells(&mut one, 1)[0];
    pso_model::heap::hide_deaths();
    let done = Arc::new(AtomicU64::new(0));
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        one.run_read_only(None, |tx| -> Result<(), Stop> {
            let [committed, aborted] = [(); 2].map(|()| Arc::clone(&done));
            tx.on_commit(move || committed.store(1, Relaxed));
            tx.on_abort(move || aborted.store(1, Relaxed));
            std::panic::resume_unwind(Box::new("a body"))
        })
    }));
    assert!(panics.is_err());
    one.abort();
    assert_eq!(one.run(|tx| tx.write(cell, integer(1))), Ok(()));
    assert_eq!(done.load(Relaxed), 0);
}
