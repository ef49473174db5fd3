//! Spaces, participants and transactions for the tests.

use std::sync::Arc;

use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::Value;
use pso_model::heap::Heap;

pub type Tx = Participant<Heap>;

pub const MIB: u64 = 1 << 20;

pub fn integer(value: i64) -> Value {
    Value::int(value).unwrap()
}

pub fn space_of(bytes: u64) -> (Heap, Arc<Space<Heap>>) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(bytes).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    (heap, space)
}

/// One participant of each of two processes.
pub fn two(bytes: u64) -> [Tx; 2] {
    let (heap, space) = space_of(bytes);
    let other = Space::join(heap.process(), *space.arena().layout()).unwrap();
    [space.participant().unwrap(), other.participant().unwrap()]
}

pub fn one(bytes: u64) -> Tx {
    space_of(bytes).1.participant().unwrap()
}

/// Runs `body` in one attempt and aborts it; gives what the body saw.
pub fn aborted<T>(tx: &mut Tx, body: impl FnOnce(&mut Tx) -> Result<T, Stop>) -> T {
    tx.begin().unwrap();
    let seen = body(tx).unwrap();
    tx.abort();
    seen
}

/// A transaction of a generated run: who, whether it is aborted, what it does.
#[derive(Clone, Debug)]
pub struct Step<Op> {
    pub by: usize,
    pub aborts: bool,
    pub operations: Vec<Op>,
}

/// Runs the steps. `apply` does one operation on the object and on the expected state and compares what it saw; `compare`
/// looks at the whole object.
pub fn run_steps<Op, State: Clone>(
    participants: &mut [Tx; 2],
    state: &mut State,
    steps: &[Step<Op>],
    apply: impl Fn(&mut Tx, &mut State, &Op) -> Result<(), Stop>,
    compare: impl Fn(&mut Tx, &State) -> Result<(), Stop>,
) {
    for step in steps {
        let tx = &mut participants[step.by];
        let mut expected = state.clone();
        tx.begin().unwrap();
        for operation in &step.operations {
            apply(tx, &mut expected, operation).unwrap();
        }
        compare(tx, &expected).unwrap();
        if step.aborts {
            tx.abort();
        } else {
            tx.commit().unwrap();
            *state = expected;
        }
        participants[1 - step.by].run(|tx| compare(tx, state)).unwrap();
    }
}

pub mod generate {
    use super::Step;
    use proptest::prelude::*;

    pub fn steps<Op: std::fmt::Debug + Clone + 'static>(
        operation: impl Strategy<Value = Op> + 'static,
        most: usize,
    ) -> impl Strategy<Value = Vec<Step<Op>>> {
        let operations = proptest::collection::vec(operation, 1..12);
        let step = (0..2usize, proptest::bool::weighted(0.2), operations);
        let step = step.prop_map(|(by, aborts, operations)| Step { by, aborts, operations });
        proptest::collection::vec(step, 1..most)
    }
}
