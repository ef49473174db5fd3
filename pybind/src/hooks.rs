//! What a transaction has left to be done after it: functions that it was given by `on_commit` and `on_abort`.
//!
//! They run when the thread is in no transaction any more. What is decided stays so: an exception of theirs is reported, as
//! one of a `__del__` is, and does not pass for a transaction that failed. What is no `Exception` (Ctrl-C, an exit) passes.

use crate::ffi::{Object, Python, Result};
use crate::interpreter::Interpreter;

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
            // It waits aside; what else is raised then is reported.
            Err(raised) => Err(raised.aside(py, || call(py, interpreter, &hook)).0),
        };
    }
    result
}

fn call(py: Python<'_>, interpreter: &Interpreter, hook: &Object) -> Result<()> {
    match hook.call(py, &[]) {
        Err(raised) if raised.matches(py, &interpreter.errors.exception) => {
            raised.write_unraisable_of(py, hook);
            Ok(())
        }
        result => result.map(drop),
    }
}
