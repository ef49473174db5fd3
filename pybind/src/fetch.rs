//! Values on their way out: looked at inside the attempt, made Python objects after it.
//!
//! Inside the attempt only strs and bytes are made objects at once, straight from shared memory: that allocates, and runs
//! no Python code. Tuples could start a collection, and proxies are made; they wait until the engine is done. Live objects are held
//! from inside the attempt on (see [`crate::holding`]).

use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::{View, bytes, int, text, tuple, view};
use pso_engine::word::{BlockKind, Handle, InlineBytes, Value};

use crate::ffi::{Instance, Kind, Object, Python, Result};
use crate::holding::{Keep, Shared};
use crate::key::MOST_NESTED_TUPLES;
use crate::space::{Space, Tx};

/// A value that was read.
pub enum Fetched {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An int.
    Int(i64),
    /// A larger one.
    Large(bool, Vec<u8>),
    /// A float.
    Float(f64),
    /// A short str, not yet checked.
    ShortText(InlineBytes),
    /// Short bytes.
    ShortBytes(InlineBytes),
    /// A str or bytes.
    Object(Object),
    /// One for which this process has no memory. Said later: an attempt goes on, or is run again, without an exception.
    NoMemory,
    /// A tuple.
    Tuple(Vec<Fetched>),
    /// A live object.
    Shared(Shared),
}

/// Who keeps live objects that are read.
#[derive(Clone, Copy)]
struct Keeping<'a> {
    space: &'a Space,
    /// Containers that are copied at once need nobody.
    containers: bool,
}

/// Text is UTF-8 already, so what fails is memory.
fn made(py: Python<'_>, object: Result<Object>) -> Fetched {
    match object {
        Ok(object) => Fetched::Object(object),
        Err(raised) => {
            raised.clear(py);
            Fetched::NoMemory
        }
    }
}

fn corrupt(what: &'static str, word: u64) -> Stop {
    Corrupt { what, byte_offset: 0, word }.into()
}

/// Looks at a value.
#[inline]
pub fn fetch(py: Python<'_>, space: &Space, tx: &mut Tx, value: Value) -> Result<Fetched, Stop> {
    match value.as_int() {
        Some(value) => Ok(Fetched::Int(value)),
        None => fetch_other(py, Keeping { space, containers: true }, tx, value, 0),
    }
}

/// The same for whoever needs lists and dicts only as long as the attempt runs.
pub fn fetch_in_passing(py: Python<'_>, space: &Space, tx: &mut Tx, value: Value) -> Result<Fetched, Stop> {
    fetch_other(py, Keeping { space, containers: false }, tx, value, 0)
}

fn fetch_other(py: Python<'_>, keeping: Keeping<'_>, tx: &mut Tx, value: Value, depth: usize) -> Result<Fetched, Stop> {
    Ok(match view(tx, value)? {
        View::None => Fetched::None,
        View::Bool(value) => Fetched::Bool(value),
        View::Int(value) => Fetched::Int(value),
        View::Float(value) => Fetched::Float(value),
        View::ShortText(short) => Fetched::ShortText(short),
        View::ShortBytes(short) => Fetched::ShortBytes(short),
        View::Text(handle) => text::with(tx, handle, |text| made(py, py.str(text)))?,
        View::Bytes(handle) => bytes::with(tx, handle, |bytes| made(py, py.bytes(bytes)))?,
        View::LargeInt(handle) => {
            int::with(tx, handle, |negative, magnitude| Fetched::Large(negative, magnitude.to_vec()))?
        }
        View::Tuple(_) if depth >= MOST_NESTED_TUPLES => return Err(corrupt("a tuple that holds itself", value.raw())),
        View::Tuple(handle) => {
            let mut items = Vec::new();
            for index in 0..tuple::len(tx, handle)? {
                match tuple::item(tx, handle, index)? {
                    Some(item) => items.push(fetch_other(py, keeping, tx, item, depth + 1)?),
                    None => return Err(corrupt("a tuple", value.raw())),
                }
            }
            Fetched::Tuple(items)
        }
        View::Shared(kind, handle) => {
            let keep = match kind {
                BlockKind::List | BlockKind::Dict if !keeping.containers => Keep::Nothing,
                _ => keeping.space.keep(py, tx, kind, handle)?,
            };
            Fetched::Shared(Shared { kind, handle, keep })
        }
    })
}

impl Fetched {
    /// The Python object.
    #[inline]
    pub fn into_object(self, py: Python<'_>, space: &Instance<Space>) -> Result<Object> {
        match self {
            Self::Int(value) => py.int(value),
            other => other.into_object_with(py, space, &mut |shared| Space::proxy(space, py, shared)),
        }
    }

    /// The Python object, where `shared` gives those of live objects.
    pub fn into_object_with(
        self,
        py: Python<'_>,
        space: &Instance<Space>,
        shared: &mut dyn FnMut(Shared) -> Result<Object>,
    ) -> Result<Object> {
        match self {
            Self::None => Ok(py.none()),
            Self::Bool(value) => Ok(py.bool(value)),
            Self::Int(value) => py.int(value),
            Self::Large(negative, magnitude) => py.large_int(negative, &magnitude),
            Self::Float(value) => py.float(value),
            Self::ShortText(short) => match std::str::from_utf8(short.as_slice()) {
                Ok(text) => py.str(text),
                Err(_) => Err(space.stopped(py, corrupt("a short text that is not UTF-8", 0))),
            },
            Self::ShortBytes(short) => py.bytes(short.as_slice()),
            Self::Object(made) => Ok(made),
            Self::NoMemory => Err(Kind::Memory.raise(py, "no memory for a value that was read")),
            Self::Tuple(items) => {
                let mut objects = Vec::with_capacity(items.len());
                for item in items {
                    objects.push(item.into_object_with(py, space, shared)?);
                }
                py.tuple(objects)
            }
            Self::Shared(object) => shared(object),
        }
    }

    /// Calls `visit` with every live object in it, those in tuples included.
    pub fn each_shared(&self, visit: &mut impl FnMut(BlockKind, Handle)) {
        match self {
            Self::Shared(object) => visit(object.kind, object.handle),
            Self::Tuple(items) => items.iter().for_each(|item| item.each_shared(visit)),
            _ => {}
        }
    }
}

/// What a look-up found.
pub enum Found {
    /// Nothing.
    Missing,
    /// An int.
    Int(i64),
    /// Anything else.
    Other(Fetched),
}

impl Found {
    /// Looks at a value.
    #[inline]
    pub fn look(py: Python<'_>, space: &Space, tx: &mut Tx, value: Value) -> Result<Self, Stop> {
        match value.as_int() {
            Some(value) => Ok(Self::Int(value)),
            None => fetch(py, space, tx, value).map(Self::Other),
        }
    }

    /// The Python object; `None` for nothing.
    #[inline(always)]
    pub fn into_object(self, py: Python<'_>, space: &Instance<Space>) -> Result<Option<Object>> {
        // Looked at where it is: a move would wait for the stores that made it.
        if let Self::Int(value) = &self {
            return py.int(*value).map(Some);
        }
        self.into_other_object(py, space)
    }

    #[inline(never)]
    fn into_other_object(self, py: Python<'_>, space: &Instance<Space>) -> Result<Option<Object>> {
        match self {
            Self::Missing => Ok(None),
            Self::Int(value) => py.int(value).map(Some),
            Self::Other(fetched) => fetched.into_object(py, space).map(Some),
        }
    }
}
