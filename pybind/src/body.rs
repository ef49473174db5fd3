//! What may be the body of a transaction: what runs when it is called, and not later.

use crate::ffi::{Any, Kind, Python, Raised, Result};

/// Refuses what cannot be a body.
pub fn check(py: Python<'_>, function: &Any) -> Result<()> {
    refuse_coroutine(py, function)?;
    if !function.is_callable() {
        let message = format!("a function is wanted, not '{}'", function.class_name());
        return Err(Kind::Type.raise(py, message));
    }
    if !function.runs_when_called(py)? {
        return Err(no_coroutines(py));
    }
    Ok(())
}

/// The body of an `async def` or of a generator runs when the transaction is over: refused.
pub fn refuse_coroutine(py: Python<'_>, function: &Any) -> Result<()> {
    /// `inspect.CO_COROUTINE | CO_ASYNC_GENERATOR`
    const ASYNC: isize = 0x80 | 0x200;
    /// `inspect.CO_GENERATOR`
    const GENERATOR: isize = 0x20;
    if !function.has_attribute(py, c"__code__")? {
        return Ok(());
    }
    let flags = function.attribute(py, c"__code__")?.attribute(py, c"co_flags")?.index(py)?;
    if flags & ASYNC != 0 {
        return Err(Kind::Type.raise(py, "an async function cannot be a transaction: its body would run after it"));
    }
    if flags & GENERATOR != 0 {
        return Err(no_coroutines(py));
    }
    Ok(())
}

#[cold]
pub fn no_coroutines(py: Python<'_>) -> Raised {
    Kind::Type
        .raise(py, "a transaction is a plain function: the body of an async def or a generator would run after it")
}
