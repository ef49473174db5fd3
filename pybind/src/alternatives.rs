//! `pso.or_else`: the first function that does not ask to wait.
//!
//! An alternative that asks to wait (`pso.retry()`, a `get` of an empty queue) is undone, and the next runs in the same attempt.
//! What the last one asks, the attempt does: it waits for whatever any of them has read.

use std::rc::Rc;

use crate::body;
use crate::ffi::{Any, Instance, Kind, Object, Own, Python, Result};
use crate::interpreter::Interpreter;
use crate::proxy;
use crate::space::Space;
use crate::transaction::{self, Limits, Transaction};

/// Runs the first of `alternatives` that does not ask to wait, as a part of the thread's transaction or as one of its own.
pub fn or_else(py: Python<'_>, interpreter: &Rc<Interpreter>, alternatives: &[&Any]) -> Result<Object> {
    if alternatives.is_empty() {
        return Err(Kind::Type.raise(py, "or_else() wants at least one function"));
    }
    alternatives.iter().try_for_each(|alternative| body::check(py, interpreter, alternative))?;
    if let Some(transaction) = interpreter.current(py) {
        return match interpreter.space_of_transaction(py) {
            Some(space) => choose(py, interpreter, &transaction, &space, alternatives),
            // In a child of a fork the transaction is the parent's.
            None => Err(interpreter.errors.forked_inside(py)),
        };
    }
    let mut named = None;
    for alternative in alternatives {
        named = space_of(py, interpreter, alternative)?;
        if named.is_some() {
            break;
        }
    }
    let space = named.map_or_else(|| interpreter.default_space(py), Ok)?;
    transaction::run(py, &space, Limits::default(), |py| match interpreter.current(py) {
        Some(transaction) => choose(py, interpreter, &transaction, &space, alternatives),
        None => Err(interpreter.errors.forked_inside(py)),
    })
}

/// The space of a decorated function or method, or of the object of a bound method.
fn space_of(py: Python<'_>, interpreter: &Interpreter, function: &Any) -> Result<Option<Own<Space>>> {
    if let Some(decorated) = interpreter.types.transactional.cast(function) {
        return Ok(decorated.space().cloned());
    }
    let Some(object) = function.attribute_if_any(py, c"__self__")? else { return Ok(None) };
    let method = function.attribute_if_any(py, c"__func__")?;
    let decorated = method.as_deref().and_then(|method| interpreter.types.transactional.cast(method));
    let named = decorated.and_then(|decorated| decorated.space().cloned());
    Ok(named.or_else(|| proxy::space_of(interpreter, &object)))
}

fn choose(
    py: Python<'_>,
    interpreter: &Interpreter,
    transaction: &Transaction,
    space: &Instance<Space>,
    alternatives: &[&Any],
) -> Result<Object> {
    let Some((last, others)) = alternatives.split_last() else { return Ok(py.none()) };
    for alternative in others {
        // First the participant, as in an operation.
        drop(transaction.work(py, space)?);
        if let Some(stop) = transaction.stop() {
            return Err(transaction.raise(py, space, stop));
        }
        let mark = transaction.mark(py, space)?;
        let result = alternative.call(py, &[]);
        if !transaction.waits() {
            transaction.keep(&mark);
            return result;
        }
        if let Err(raised) = result {
            let (raised, ours) = interpreter.errors.is_of_stopped(py, raised);
            if !ours {
                transaction.keep(&mark);
                return Err(raised);
            }
            raised.clear(py);
        }
        transaction.roll_back(py, space, &mark)?;
    }
    last.call(py, &[])
}
