//! A fork while a participant sleeps, whose child goes on from there: what is shared belongs to the parent, who sleeps on. (In Python: a signal
//! handler that forks.)

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pso_engine::arena::Geometry;
use pso_engine::contention::PolicyId;
use pso_engine::error::Stop;
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::{JoinError, Space};
use pso_engine::transaction::{Participant, Sleeper};
use pso_engine::word::{CellAddress, State, Status, WordAddress};
use pso_model::heap::Heap;
use pso_model::lens::{Access, Lens, Operation, Through};

use crate::support::{MIB, Tx, attempt_of, cells, contents, integer, stop};

/// A platform that is a child's from some moment on, and writes down what is changed then.
#[derive(Default)]
struct Forking {
    is_child: AtomicBool,
    changes: Mutex<Vec<String>>,
}

impl Forking {
    fn note(&self, what: String) {
        if self.is_child.load(Relaxed) {
            self.changes.lock().unwrap().push(what);
        }
    }
}

impl Lens<Heap> for Forking {
    fn access(&self, inner: &Heap, access: Access) -> Result<u64, u64> {
        let is_harmless = match access.operation {
            Operation::Load(_) | Operation::LoadPlain | Operation::LoadOptimistic => true,
            _ => !access.touches_memory(),
        };
        if !is_harmless {
            self.note(format!("{:?} of {:?} at {}", access.operation, access.address, access.site));
        }
        access.on(inner)
    }
    fn wake(&self, inner: &Heap, bell: WordAddress) {
        self.note(format!("a ring at {bell:?}"));
        inner.wake(bell);
    }
    fn forked(&self, _: &Heap) -> bool {
        self.is_child.load(Relaxed)
    }
}

type Seen = Through<Heap, Forking>;
type Forked = Participant<Seen>;

/// Forks in its first sleep, and is the child then.
struct ForksAsleep(Arc<Forking>);

impl Sleeper for ForksAsleep {
    fn sleep(&mut self, _: &mut dyn FnMut()) -> bool {
        assert!(!self.0.is_child.swap(true, Relaxed), "the child sleeps");
        true
    }
}

/// A space, an owner of cells, and the participant that will fork.
struct Stage {
    heap: Heap,
    space: Arc<Space<Heap>>,
    owner: Tx,
    cell: CellAddress,
    forking: Arc<Forking>,
    sleeper: Forked,
}

fn stage(policy: PolicyId) -> Stage {
    let (heap, layout) = Heap::space_with(Geometry::for_bytes(4 * MIB).unwrap(), policy);
    let space = Space::join(heap.clone(), layout).unwrap();
    let mut owner = space.participant().unwrap();
    let cell = cells(&mut owner, 1)[0];
    let seen = Seen::over(heap.process(), Forking::default());
    let forking = Arc::clone(seen.lens());
    let mut sleeper = Space::join(seen, layout).unwrap().participant().unwrap();
    sleeper.set_sleeper(Box::new(ForksAsleep(Arc::clone(&forking))));
    Stage { heap, space, owner, cell, forking, sleeper }
}

impl Stage {
    fn own_the_cell(&mut self) {
        self.owner.begin().unwrap();
        self.owner.write(self.cell, integer(1)).unwrap();
    }

    fn slot_of_owner(&self) -> Slot {
        Slot::of(self.space.arena(), self.owner.id()).unwrap()
    }

    /// `operation` sleeps, and ends in the child without a trace; so does the child's participant. The parent's slot is as it was in its sleep.
    fn expect<T: std::fmt::Debug + PartialEq>(mut self, operation: impl FnOnce(&mut Forked) -> Result<T, Stop>) {
        let slot = Slot::of(self.space.arena(), self.sleeper.id()).unwrap();
        assert_eq!(operation(&mut self.sleeper), Err(Stop::Forked));
        assert!(self.forking.is_child.load(Relaxed), "it has slept");
        assert!(!self.sleeper.in_attempt());
        assert_eq!(self.sleeper.run(|_| Ok(())), Err(Stop::Forked));
        assert_eq!(self.sleeper.space().participant().map(drop), Err(JoinError::Forked));
        assert_eq!(self.sleeper.space().recover_dead(), 0);
        self.sleeper.leave();
        assert_eq!(*self.forking.changes.lock().unwrap(), Vec::<String>::new());
        assert_ne!(self.heap.load(slot.claim(), Relaxed), 0, "the parent is a member");
        self.owner.abort();
        self.owner.run(|tx| tx.write(self.cell, integer(3))).unwrap();
        assert_eq!(contents(&mut self.owner, &[self.cell]), [3]);
    }
}

#[test]
fn in_the_place_at_an_owner() {
    let mut stage = stage(PolicyId::Damped);
    stage.own_the_cell();
    let cell = stage.cell;
    stage.expect(|tx| tx.run(|tx| tx.write(cell, integer(2))));
}

#[test]
fn in_the_second_row() {
    let mut stage = stage(PolicyId::Damped);
    stage.own_the_cell();
    // Who has the place at the owner.
    let mut first = stage.space.participant().unwrap();
    first.begin().unwrap();
    stage.heap.store(stage.slot_of_owner().queue_to(), attempt_of(&first).pack(), Relaxed);
    let cell = stage.cell;
    stage.expect(|tx| tx.run(|tx| tx.write(cell, integer(2))));
    first.abort();
}

#[test]
fn behind_who_has_stopped_it() {
    let mut stage = stage(PolicyId::Damped);
    stage.own_the_cell();
    let owner = attempt_of(&stage.owner).pack();
    let (heap, slot) = (stage.heap.clone(), Slot::of(stage.space.arena(), stage.sleeper.id()).unwrap());
    let root = stage.space.arena().root();
    stage.expect(|tx| {
        tx.run(|tx| {
            heap.store(slot.stopped_by(), owner, Relaxed);
            assert_eq!(stop(&heap, slot), State::Active);
            tx.read(root).map(drop)
        })
    });
}

#[test]
fn in_the_pause_of_a_policy() {
    let mut stage = stage(PolicyId::Backoff);
    stage.own_the_cell();
    let cell = stage.cell;
    stage.expect(|tx| tx.run(|tx| tx.write(cell, integer(2))));
}

#[test]
fn beside_a_write_back_that_stands_still() {
    let mut stage = stage(PolicyId::Damped);
    stage.own_the_cell();
    let slot = stage.slot_of_owner();
    let active = stage.heap.load(slot.status(), Relaxed);
    let Status { seq, .. } = Status::unpack(active).unwrap();
    let (heap, cell) = (stage.heap.clone(), stage.cell);
    stage.expect(|tx| {
        heap.store(slot.status(), Status { seq, state: State::Committed }.pack(), Relaxed);
        let stopped = tx.run(|tx| tx.write(cell, integer(2)));
        heap.store(slot.status(), active, Relaxed);
        stopped
    });
}

#[test]
fn waiting_for_the_token() {
    let mut stage = stage(PolicyId::Damped);
    stage.owner.begin_irrevocable(None).unwrap();
    let cell = stage.cell;
    stage.expect(|tx| tx.run_irrevocable(None, |tx| tx.write(cell, integer(2))));
}

#[test]
fn waiting_for_a_change() {
    let stage = stage(PolicyId::Damped);
    let cell = stage.cell;
    stage.expect(|tx| tx.run(|tx| tx.read(cell).and(Err::<(), _>(Stop::Retry))));
}

/// The danger: it goes on in the parent, which runs them, too.
#[test]
fn hooks_of_what_goes_on_in_the_parent_are_not_run() {
    let mut stage = stage(PolicyId::Damped);
    stage.own_the_cell();
    let (cell, done) = (stage.cell, Arc::new(AtomicBool::new(false)));
    let hooked = Arc::clone(&done);
    stage.expect(|tx| {
        tx.run(|tx| {
            let hook = Arc::clone(&hooked);
            tx.on_abort(move || hook.store(true, Relaxed));
            tx.write(cell, integer(2))
        })
    });
    assert!(!done.load(Relaxed));
}
