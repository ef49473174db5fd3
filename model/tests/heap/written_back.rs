//! A commit that exists and is written back, and whose observer goes wrong.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use pso_engine::fsck::fsck;
use pso_engine::object::{list, text};
use pso_engine::platform::System;
use pso_engine::transaction::{Attempt, Observer, Outcome};
use pso_engine::word::{ParticipantId, Value};
use pso_model::heap::Killed;

use crate::silence::{Timed, stage};
use crate::support::{MS, integer};

const LONG: &str = "a text that needs a block of its own";

/// Fails at the first commit that it is told of.
struct Fails;

impl Observer<Timed> for Fails {
    fn begins(&mut self, _: ParticipantId) {}
    fn ended(&mut self, attempt: &Attempt<'_, Timed>) {
        if matches!(attempt.outcome(), Outcome::Committed(_)) {
            panic_any(Killed);
        }
    }
}

/// The danger: whoever cleans up behind it takes back what others have read.
#[test]
fn a_commit_whose_observer_panics_is_done() {
    pso_model::heap::hide_deaths();
    let (space, cells) = stage();
    let [mut told, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let root = space.arena().root();
    told.set_observer(Some(Box::new(Fails)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        told.run(|tx| {
            let made = list::create(tx)?;
            let long = text::encode(tx, LONG)?;
            list::push(tx, made, long)?;
            tx.write(cells[0], integer(1))?;
            tx.write(root, Value::handle(made))
        })
    }));
    assert!(panicked.is_err_and(|reason| reason.is::<Killed>()));
    // Before anybody has cleaned up, too.
    let began = space.arena().platform().now_ns();
    assert_eq!(other.run_until(Some(began + 1000 * MS), |tx| tx.write(cells[0], integer(2))), Ok(()));
    told.abort();
    other
        .run(|tx| {
            assert_eq!(tx.read(cells[0])?, integer(2));
            let made = tx.read(root)?.as_handle().unwrap();
            let long = list::get(tx, made, 0)?.unwrap().as_handle().unwrap();
            text::with(tx, long, |found| assert_eq!(found, LONG))
        })
        .unwrap();
    assert_eq!(told.run(|tx| tx.write(cells[0], integer(4))), Ok(()));
    assert_eq!(fsck(&space), vec![]);
}
