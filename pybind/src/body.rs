//! What may be the body of a transaction: what runs when it is called, and not later.

use crate::ffi::{Any, Kind, Object, Python, Raised, Result};
use crate::interpreter::Interpreter;

/// `partial`s in one another that are looked into: only those with attributes of their own are not made one.
const MOST_PARTIALS: u32 = 100;

/// Refuses what cannot be a body.
pub fn check(py: Python<'_>, interpreter: &Interpreter, function: &Any) -> Result<()> {
    refuse_coroutine(py, interpreter, function)?;
    if !function.is_callable() {
        let message = format!("a function is wanted, not '{}'", function.class_name());
        return Err(Kind::Type.raise(py, message));
    }
    Ok(())
}

/// The body of an `async def` or of a generator runs when the transaction is over: refused, also behind a `partial` and as the `__call__` of an object.
pub fn refuse_coroutine(py: Python<'_>, interpreter: &Interpreter, function: &Any) -> Result<()> {
    let mut function = function.to_object();
    for _ in 0..MOST_PARTIALS {
        if let Some(code) = code(py, &function)? {
            return refuse_later(py, &code);
        }
        if !function.is_instance(py, &interpreter.helpers(py)?.partial)? {
            break;
        }
        function = function.attribute(py, c"func")?;
    }
    let call = function.class().attribute_if_any(py, c"__call__")?;
    match call.map(|call| code(py, &call)).transpose()?.flatten() {
        Some(code) => refuse_later(py, &code),
        None => Ok(()),
    }
}

/// The code of a function. Objects that have an attribute of any name (`__getattr__`) have none for that.
fn code(py: Python<'_>, function: &Any) -> Result<Option<Object>> {
    match function.attribute_if_any(py, c"__code__")? {
        Some(code) if code.is_code(py)? => Ok(Some(code)),
        _ => Ok(None),
    }
}

/// Whether `code` runs when it is called, its flags say.
fn refuse_later(py: Python<'_>, code: &Any) -> Result<()> {
    /// `inspect.CO_COROUTINE | CO_ASYNC_GENERATOR`
    const ASYNC: isize = 0x80 | 0x200;
    /// `inspect.CO_GENERATOR`
    const GENERATOR: isize = 0x20;
    let flags = code.attribute(py, c"co_flags")?.index(py)?;
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
