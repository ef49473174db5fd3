//! Alternatives in alternatives, that overwrite the same few cells again and again: what is undone is all of it, and nothing else.

use proptest::prelude::*;

use crate::support::{MIB, Tx, cells, contents, integer, space_of};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::word::CellAddress;

const CELLS: usize = 3;

/// What a body does.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, i64),
    /// The first alternative, whether it asks to wait in the end, and the second.
    Either(Vec<Step>, bool, Vec<Step>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..CELLS, 1_i64..1000).prop_map(|(cell, value)| Step::Write(cell, value));
    let step = write.prop_recursive(4, 64, 6, |step| {
        let some = || prop::collection::vec(step.clone(), 0..6);
        (some(), any::<bool>(), some()).prop_map(|(first, waits, second)| Step::Either(first, waits, second))
    });
    prop::collection::vec(step, 1..8)
}

fn run(tx: &mut Tx, cells: &[CellAddress], steps: &[Step]) -> Result<(), Stop> {
    for step in steps {
        match step {
            Step::Write(cell, value) => tx.write(cells[*cell], integer(*value))?,
            Step::Either(first, waits, second) => tx.or_else(
                |tx| {
                    run(tx, cells, first)?;
                    if *waits { Err(Stop::Retry) } else { Ok(()) }
                },
                |tx| run(tx, cells, second),
            )?,
        }
    }
    Ok(())
}

fn expect(values: &mut [i64; CELLS], steps: &[Step]) {
    for step in steps {
        match step {
            Step::Write(cell, value) => values[*cell] = *value,
            Step::Either(_, true, second) => expect(values, second),
            Step::Either(first, false, _) => expect(values, first),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The danger: a value that was overwritten twice comes back as what it was in between, or does not come back at all.
    #[test]
    fn what_was_overwritten_again_and_again_comes_back(steps in steps()) {
        let (_, space) = space_of(MIB);
        let mut one = space.participant().unwrap();
        let cells = cells(&mut one, CELLS as u64);
        one.run(|tx| run(tx, &cells, &steps)).unwrap();
        let mut values = [0; CELLS];
        expect(&mut values, &steps);
        prop_assert_eq!(contents(&mut one, &cells), values);
        prop_assert_eq!(fsck_at_rest(&space), vec![]);
    }
}
