//! What a transaction has left to be done after it: functions that it was given by `on_commit` and `on_abort`.
//!
//! They run when the thread is in no transaction any more. What is decided stays so: an exception of theirs is reported, as
//! one of a `__del__` is, and does not pass for a transaction that failed. What is no `Exception` (Ctrl-C, an exit) passes, when all have run.

use std::cell::Cell;

use crate::ffi::error::taken;
use crate::ffi::{Object, Python, Raised, Result};
use crate::interpreter::Interpreter;

/// Levels that have to be left for a hook in a hook: what it raises is reported by a function of Python's, which calls others.
const ROOM: u32 = 50;

thread_local! {
    /// Hooks of this thread under way, one in the other.
    static UNDER_WAY: Cell<u32> = const { Cell::new(0) };
}

/// One of them.
struct UnderWay;

impl UnderWay {
    /// Gives also whether it is in another one.
    fn begin() -> (Self, bool) {
        let others = UNDER_WAY.get();
        UNDER_WAY.set(others + 1);
        (Self, others != 0)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get().saturating_sub(1));
    }
}

/// Runs all hooks of a transaction that ended with `result`, and gives it on.
#[cold]
pub fn run(
    py: Python<'_>,
    interpreter: &Interpreter,
    hooks: Vec<Object>,
    mut result: Result<Object>,
) -> Result<Object> {
    for hook in hooks {
        result = match result {
            Ok(value) => call(py, interpreter, &hook).map(|()| value),
            Err(raised) => Err(call_after(py, interpreter, raised, &hook)),
        };
    }
    result
}

/// The same after something was raised, which waits aside. What is no `Exception` goes before what is one; else the first, and the other is reported.
fn call_after(py: Python<'_>, interpreter: &Interpreter, raised: Raised, hook: &Object) -> Raised {
    let gives_way = raised.matches(py, &interpreter.errors.exception);
    let (raised, other) = raised.aside(py, || match call(py, interpreter, hook) {
        Ok(()) => None,
        Err(other) if gives_way => other.take(py),
        Err(other) => {
            other.write_unraisable_of(py, hook);
            None
        }
    });
    match other {
        Some(other) => raised.give_way_to(py, &other),
        None => raised,
    }
}

/// Runs those of a transaction that somebody else has ended who is in the middle of anything, but in no transaction: as finalizers run, so all
/// that they raise is reported.
#[cold]
pub fn run_anywhere(py: Python<'_>, hooks: Vec<Object>) {
    let run = || {
        for hook in hooks {
            if let Err(raised) = enter(py, &hook) {
                raised.write_unraisable_of(py, &hook);
            }
        }
    };
    match taken(py) {
        Some(raised) => drop(raised.aside(py, run)),
        None => run(),
    }
}

fn call(py: Python<'_>, interpreter: &Interpreter, hook: &Object) -> Result<()> {
    match enter(py, hook) {
        Err(raised) if raised.matches(py, &interpreter.errors.exception) => {
            raised.write_unraisable_of(py, hook);
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Counted: a hook may be a decorated function, which runs a transaction that has it as a hook, and so on, without a frame of Python's. One by itself needs
/// no more than any call: its transaction has committed, and it is not called again.
fn enter(py: Python<'_>, hook: &Object) -> Result<Object> {
    let (_under_way, is_inner) = UnderWay::begin();
    let room = if is_inner { ROOM } else { 0 };
    py.deeper_with_room(c" in a hook of a transaction", room, || hook.call(py, &[]))
}
