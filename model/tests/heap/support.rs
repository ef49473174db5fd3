//! A space, some cells, and what is in them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::arena::Geometry;
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::{Memory, Platform};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{AttemptId, BLOCK_HEADER_WORDS, BlockKind, CELL_WORDS, CellAddress, State, Status, Value};
use pso_model::heap::{Heap, Killed, hide_deaths};

pub const MIB: u64 = 1 << 20;
pub const MS: u64 = 1_000_000;

pub type Tx = Participant<Heap>;

pub fn space_of(bytes: u64) -> (Heap, Arc<Space<Heap>>) {
    joined(Geometry::for_bytes(bytes).unwrap())
}

fn joined(geometry: Geometry) -> (Heap, Arc<Space<Heap>>) {
    let (heap, layout) = Heap::space(geometry);
    let space = Space::join(heap.clone(), layout).unwrap();
    (heap, space)
}

/// The same for few participants: the logs of each keep all that these tests make them grow by.
pub fn space_of_few(bytes: u64) -> (Heap, Arc<Space<Heap>>) {
    joined(Geometry { participants: 8, ..Geometry::for_bytes(bytes).unwrap() })
}

/// Another process of the same space.
pub fn another(heap: &Heap, space: &Arc<Space<Heap>>) -> Arc<Space<Heap>> {
    Space::join(heap.process(), *space.arena().layout()).unwrap()
}

/// What `act` gives. `None`: its process died in it, as [`Heap::die_after`] had planned it. Any other panic is nobody's plan, and goes on.
pub fn unless_killed<T>(act: impl FnOnce() -> T) -> Option<T> {
    hide_deaths();
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => Some(result),
        Err(reason) if reason.is::<Killed>() => None,
        Err(reason) => resume_unwind(reason),
    }
}

/// A process that does `prepare` and then dies at its access number `step` while it does `body`. True: it got through before.
pub fn dies_at(
    heap: &Heap,
    space: &Arc<Space<Heap>>,
    step: u64,
    prepare: impl FnOnce(&mut Tx),
    body: impl FnOnce(&mut Tx),
) -> bool {
    let process = heap.process();
    let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
    let mut victim = doomed.participant().unwrap();
    prepare(&mut victim);
    process.die_after(step);
    let outcome = unless_killed(|| body(&mut victim));
    let survived = process.live_on() > 0 && outcome.is_some();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    survived
}

/// A process that does `prepare` and then stands still at its access number `step` while it does `body`: it lives, and makes no step more. True: it
/// got through before.
pub fn stands_at(
    heap: &Heap,
    space: &Arc<Space<Heap>>,
    step: u64,
    prepare: impl FnOnce(&mut Tx),
    body: impl FnOnce(&mut Tx),
) -> (bool, Tx) {
    let process = heap.process();
    let standing = Space::join(process.clone(), *space.arena().layout()).unwrap();
    let mut participant = standing.participant().unwrap();
    prepare(&mut participant);
    process.die_after(step);
    let outcome = unless_killed(|| body(&mut participant));
    let through = process.live_on() > 0 && outcome.is_some();
    (through, participant)
}

/// Payload words before the cells of a `Cells` block: their number, and a word that is not used.
const PREFIX_WORDS: u64 = 2;

pub fn cells(participant: &mut Tx, count: u64) -> Vec<CellAddress> {
    participant
        .run(|tx| {
            let handle = tx.allocate(BlockKind::Cells, PREFIX_WORDS + count * CELL_WORDS)?;
            let payload = handle.block().offset(BLOCK_HEADER_WORDS);
            tx.arena().platform().store_plain(payload, count);
            let first = CellAddress::new(payload.offset(PREFIX_WORDS));
            for cell in 0..count {
                tx.initialize(first.offset(cell), integer(0));
            }
            let root = tx.arena().root();
            tx.write(root, Value::handle(handle))?;
            Ok((0..count).map(|cell| first.offset(cell)).collect())
        })
        .unwrap()
}

pub fn integer(value: i64) -> Value {
    Value::int(value).unwrap()
}

pub fn contents(participant: &mut Tx, cells: &[CellAddress]) -> Vec<i64> {
    participant.run(|tx| cells.iter().map(|&cell| Ok(tx.read(cell)?.as_int().unwrap())).collect()).unwrap()
}

pub fn version(heap: &Heap, cell: CellAddress) -> u64 {
    heap.load(cell.lock_word(), Relaxed)
}

/// The attempt that somebody is in.
pub fn attempt_of<P: Platform>(tx: &Participant<P>) -> AttemptId {
    let slot = Slot::of(tx.arena(), tx.id()).unwrap();
    AttemptId { participant: tx.id(), seq: status_of(tx.arena(), slot).unwrap().seq }
}

/// Stops the attempt in `slot`, as whoever ranks above it and wants a cell of it does. Gives what it was in.
pub fn stop(heap: &Heap, slot: Slot) -> State {
    let Status { seq, state } = Status::unpack(heap.load(slot.status(), Relaxed)).unwrap();
    heap.store(slot.status(), Status { seq, state: State::Aborted }.pack(), Relaxed);
    state
}

/// The danger: a checker of the engine's fails, or one of the test's own, and it counts as the death that the test is about.
#[test]
fn who_panics_where_he_is_to_die_makes_the_test_fail() {
    let (heap, space) = space_of(4 * MIB);
    let panics = |play: &dyn Fn()| {
        let reason = catch_unwind(AssertUnwindSafe(play)).expect_err("it goes on");
        assert_eq!(reason.downcast_ref(), Some(&"a finding"));
    };
    let finding = || resume_unwind(Box::new("a finding"));
    panics(&|| _ = unless_killed(finding));
    panics(&|| _ = dies_at(&heap, &space, u64::MAX - 1, |_| (), |_| finding()));
    panics(&|| _ = stands_at(&heap, &space, u64::MAX - 1, |_| (), |_| finding()));
    assert_eq!(unless_killed(|| 1), Some(1));
    assert_eq!(unless_killed(|| std::panic::panic_any(Killed)), None::<u64>);
}
