//! Whether what a word of the space says equals something else, told inside an attempt: where no Python code may run.
//!
//! Of builtins their content tells it, as CPython would: `1 == 1.0 == True`, and a NaN that was read is a new one. Containers, instances of
//! subclasses and whatever else may have an `==` of its own are left to whoever asks: he compares them as objects, after the attempt.

use std::cell::Cell;

use pso_engine::error::Stop;
use pso_engine::object::{View, bytes, text, tuple, view};
use pso_engine::word::{BlockKind, Handle, Value};

use crate::fetch::fetch;
use crate::ffi::natives::Native;
use crate::ffi::{Any, Instance, Object, Python, Result};
use crate::key::MOST_NESTED_TUPLES;
use crate::proxy;
use crate::space::{Space, Tx};
use crate::transaction::{self, Limits};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are equal.
    Equal,
    /// They are not.
    Differs,
    /// Only `==` of the objects can tell.
    Unknown,
}

impl From<bool> for Verdict {
    fn from(equal: bool) -> Self {
        if equal { Self::Equal } else { Self::Differs }
    }
}

/// Of a value and an object.
#[inline]
pub fn with_object(
    py: Python<'_>,
    space: &Instance<Space>,
    tx: &mut Tx,
    value: Value,
    object: &Any,
) -> Result<Verdict, Stop> {
    if let Some(value) = value.as_int()
        && object.native() == Native::Int
    {
        return Ok((object.small_int() == Some(value)).into());
    }
    Comparer { py, space }.with_object(tx, value, object, 0)
}

/// Of two values of the space.
#[inline]
pub fn of_values(
    py: Python<'_>,
    space: &Instance<Space>,
    tx: &mut Tx,
    value: Value,
    other: Value,
) -> Result<Verdict, Stop> {
    if let (Some(value), Some(other)) = (value.as_int(), other.as_int()) {
        return Ok((value == other).into());
    }
    Comparer { py, space }.of_values(tx, value, other, 0)
}

/// Of a value and the proxy of an object of this space, where the value would be the very same proxy.
pub fn with_proxy(tx: &Tx, value: Value, (kind, handle): (BlockKind, Handle)) -> Result<Verdict, Stop> {
    Ok(match view(tx, value)? {
        View::Shared(_, other) if other == handle => Verdict::Equal,
        View::Shared(other, _) if other == kind && kind != BlockKind::Queue => Verdict::Unknown,
        _ => Verdict::Differs,
    })
}

/// Whether `==` with a value may read objects of a space: it is one, or holds some.
pub fn may_read(space: &Instance<Space>, value: &Any) -> bool {
    let is_container = matches!(value.native_base(), Native::List | Native::Dict | Native::Tuple);
    is_container || proxy::of(space.interpreter(), value).is_some()
}

/// What `compare` says, which reads objects of the space one after the other, as `==` of what is [`Verdict::Unknown`] does: all of one moment, in a
/// transaction. With an object of another space there is no such moment: then each is read by itself.
pub fn of_one_moment<T>(
    py: Python<'_>,
    space: &Instance<Space>,
    compare: impl Fn(Python<'_>) -> Result<T>,
) -> Result<T> {
    if space.interpreter().current(py).is_some() {
        return compare(py);
    }
    let told = Cell::new(None);
    let ended = transaction::run(py, space, Limits::default(), |py| {
        told.set(Some(compare(py)?));
        Ok(py.none())
    });
    match (ended, told.take()) {
        (Ok(_), Some(told)) => Ok(told),
        (Ok(_), None) => compare(py),
        (Err(raised), _) if raised.matches(py, &space.interpreter().errors.cross_space) => {
            raised.clear(py);
            compare(py)
        }
        (Err(raised), _) => Err(raised),
    }
}

/// The object of this space that a proxy names, if it holds that, so that nobody else has the name.
pub fn held_object(space: &Instance<Space>, object: &Any) -> Option<(BlockKind, Handle)> {
    let interpreter = space.interpreter();
    let (there, handle) = proxy::of(interpreter, object)?;
    if !there.as_any().is(space.as_any()) || !proxy::is_held(interpreter, object) {
        return None;
    }
    let types = &interpreter.types;
    let kind = match () {
        () if types.list.is_instance(object) => BlockKind::List,
        () if types.dict.is_instance(object) => BlockKind::Dict,
        () => BlockKind::Queue,
    };
    Some((kind, handle))
}

#[derive(Clone, Copy)]
struct Comparer<'a> {
    py: Python<'a>,
    space: &'a Instance<Space>,
}

impl Comparer<'_> {
    fn with_object(self, tx: &mut Tx, value: Value, object: &Any, depth: usize) -> Result<Verdict, Stop> {
        let native = object.native();
        if native == Native::Other {
            return Ok(Verdict::Unknown);
        }
        Ok(match (view(tx, value)?, native) {
            (View::Shared(BlockKind::List, _), Native::List) | (View::Shared(BlockKind::Dict, _), Native::Dict) => {
                Verdict::Unknown
            }
            (View::None, Native::None) => Verdict::Equal,
            (View::Bool(value), Native::Bool) => (value == object.is_true_constant()).into(),
            (View::Bool(value), Native::Int) => (object.small_int() == Some(value.into())).into(),
            (View::Bool(value), Native::Float) => (object.float() == f64::from(u8::from(value))).into(),
            (View::Int(value), Native::Bool) => (value == i64::from(object.is_true_constant())).into(),
            (View::Int(value), Native::Int) => (object.small_int() == Some(value)).into(),
            (View::Int(value), Native::Float) => is_same_number(value, object.float()).into(),
            (View::Float(value), Native::Bool) => (value == f64::from(u8::from(object.is_true_constant()))).into(),
            (View::Float(value), Native::Float) => (value == object.float()).into(),
            (View::Float(float), Native::Int) => match object.small_int() {
                Some(int) => is_same_number(int, float).into(),
                None => Verdict::Unknown,
            },
            // CPython compares integers again for these, and a recursion that is too deep by then raises.
            (View::LargeInt(_), Native::Float) => Verdict::Unknown,
            (View::LargeInt(_), Native::Int) => self.as_objects(tx, value, object)?,
            (View::ShortText(short), Native::Str) => match object.ascii() {
                Some(other) => (other.as_bytes() == short.as_slice()).into(),
                None => self.as_objects(tx, value, object)?,
            },
            (View::Text(handle), Native::Str) => match object.ascii() {
                Some(other) => text::with(tx, handle, |text| text == other)?.into(),
                None => self.as_objects(tx, value, object)?,
            },
            (View::ShortBytes(short), Native::Bytes) => (object.bytes() == short.as_slice()).into(),
            (View::Bytes(handle), Native::Bytes) => bytes::with(tx, handle, |bytes| bytes == object.bytes())?.into(),
            (View::Tuple(handle), Native::Tuple) => {
                // Tuples that name each other twice would be compared in a time that doubles with each level.
                if tx.is_shared(handle) || depth >= MOST_NESTED_TUPLES {
                    return Ok(Verdict::Unknown);
                }
                let mut items = object.tuple_refs();
                let length = tuple::len(tx, handle)?;
                for index in 0..length {
                    let (Some(item), Some(other)) = (tuple::item(tx, handle, index)?, items.next()) else {
                        return Ok(Verdict::Differs);
                    };
                    let verdict = self.with_object(tx, item, other, depth + 1)?;
                    if verdict != Verdict::Equal {
                        return Ok(verdict);
                    }
                }
                items.next().is_none().into()
            }
            _ => Verdict::Differs,
        })
    }

    fn of_values(self, tx: &mut Tx, value: Value, other: Value, depth: usize) -> Result<Verdict, Stop> {
        // One word is one thing: no NaN fits a word, and a block that several name is one object when it is read.
        if value == other {
            return Ok(Verdict::Equal);
        }
        Ok(match (view(tx, value)?, view(tx, other)?) {
            (View::Shared(kind, _), View::Shared(other, _)) if kind == other && kind != BlockKind::Queue => {
                Verdict::Unknown
            }
            (View::Shared(..), _) | (_, View::Shared(..)) => Verdict::Differs,
            (View::Tuple(one), View::Tuple(two)) => {
                if tx.is_shared(one) || tx.is_shared(two) || depth >= MOST_NESTED_TUPLES {
                    return Ok(Verdict::Unknown);
                }
                let (length, others) = (tuple::len(tx, one)?, tuple::len(tx, two)?);
                for index in 0..length.min(others) {
                    let (Some(item), Some(other)) = (tuple::item(tx, one, index)?, tuple::item(tx, two, index)?) else {
                        return Ok(Verdict::Unknown);
                    };
                    let verdict = self.of_values(tx, item, other, depth + 1)?;
                    if verdict != Verdict::Equal {
                        return Ok(verdict);
                    }
                }
                (length == others).into()
            }
            (View::Tuple(_), _) | (_, View::Tuple(_)) => Verdict::Differs,
            _ => {
                let object = self.object(tx, other)?;
                self.with_object(tx, value, &object, depth)?
            }
        })
    }

    /// By objects, two strs or two ints: making and comparing these runs nobody's code. (To ask a str for its UTF-8 may raise, and so does `==` in a
    /// recursion that is too deep; an exception that is made may set off a collection, which runs anybody's.)
    fn as_objects(self, tx: &mut Tx, value: Value, object: &Any) -> Result<Verdict, Stop> {
        let value = self.object(tx, value)?;
        Ok(value.equals_plainly(self.py, object).map_or(Verdict::Unknown, Verdict::from))
    }

    /// What is no tuple and no container.
    fn object(self, tx: &mut Tx, value: Value) -> Result<Object, Stop> {
        let fetched = fetch(self.py, self.space, tx, value)?;
        fetched.into_object(self.py, self.space).map_err(|_raised| Stop::Interrupted)
    }
}

/// `int == float`, exactly.
fn is_same_number(int: i64, float: f64) -> bool {
    int as f64 == float && float as i128 == i128::from(int)
}
