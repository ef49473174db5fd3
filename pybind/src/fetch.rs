//! Values on their way out: looked at inside the attempt, made Python objects after it.
//!
//! Inside the attempt only strs and bytes are made objects at once, straight from shared memory: that allocates, and runs
//! no Python code. Tuples could start a collection, proxies look into tables; they wait until the engine is done.

use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::{bytes, float, int, text, tuple};
use pso_engine::word::{BlockKind, Handle, InlineBytes, Unpacked, Value};

use crate::ffi::{Instance, Object, Python, Raised, Result};
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
    /// A str or bytes, or the failure to make one (its exception is set).
    Object(Result<Object, Raised>),
    /// A tuple.
    Tuple(Vec<Fetched>),
    /// A live object.
    Shared(BlockKind, Handle),
}

fn corrupt(what: &'static str, word: u64) -> Stop {
    Stop::Corrupt(Corrupt { what, byte_offset: 0, word })
}

/// Looks at a value.
#[inline]
pub fn fetch(py: Python<'_>, tx: &Tx, value: Value) -> Result<Fetched, Stop> {
    match value.unpack() {
        Some(Unpacked::Int(value)) => Ok(Fetched::Int(value)),
        _ => fetch_other(py, tx, value, 0),
    }
}

fn fetch_other(py: Python<'_>, tx: &Tx, value: Value, depth: usize) -> Result<Fetched, Stop> {
    match value.unpack() {
        Some(Unpacked::None) => Ok(Fetched::None),
        Some(Unpacked::Bool(value)) => Ok(Fetched::Bool(value)),
        Some(Unpacked::Int(value)) => Ok(Fetched::Int(value)),
        Some(Unpacked::Float(value)) => Ok(Fetched::Float(value)),
        Some(Unpacked::Text(short)) => Ok(Fetched::ShortText(short)),
        Some(Unpacked::Bytes(short)) => Ok(Fetched::ShortBytes(short)),
        Some(Unpacked::Handle(handle)) => fetch_block(py, tx, handle, depth),
        Some(Unpacked::Absent) | None => Err(corrupt("a value", value.raw())),
    }
}

fn fetch_block(py: Python<'_>, tx: &Tx, handle: Handle, depth: usize) -> Result<Fetched, Stop> {
    match tx.kind(handle)? {
        BlockKind::Text => text::with(tx, handle, |text| Fetched::Object(py.str(text))),
        BlockKind::Bytes => bytes::with(tx, handle, |bytes| Fetched::Object(py.bytes(bytes))),
        BlockKind::Int => int::with(tx, handle, |negative, magnitude| Fetched::Large(negative, magnitude.to_vec())),
        BlockKind::Float => float::decode(tx, handle).map(Fetched::Float),
        BlockKind::Tuple => {
            if depth >= MOST_NESTED_TUPLES {
                return Err(corrupt("a tuple that holds itself", handle.raw()));
            }
            let mut items = Vec::new();
            for index in 0..tuple::len(tx, handle)? {
                match tuple::item(tx, handle, index)? {
                    Some(item) => items.push(fetch_other(py, tx, item, depth + 1)?),
                    None => return Err(corrupt("a tuple", handle.raw())),
                }
            }
            Ok(Fetched::Tuple(items))
        }
        kind @ (BlockKind::Dict | BlockKind::List | BlockKind::Queue) => Ok(Fetched::Shared(kind, handle)),
        other => Err(corrupt("a value", other as u64)),
    }
}

impl Fetched {
    /// The Python object.
    #[inline]
    pub fn into_object(self, py: Python<'_>, space: &Instance<Space>) -> Result<Object> {
        match self {
            Self::Int(value) => py.int(value),
            other => other.into_object_slowly(py, space),
        }
    }

    fn into_object_slowly(self, py: Python<'_>, space: &Instance<Space>) -> Result<Object> {
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
            Self::Object(made) => made,
            Self::Tuple(items) => {
                let mut objects = Vec::with_capacity(items.len());
                for item in items {
                    objects.push(item.into_object_slowly(py, space)?);
                }
                py.tuple(objects)
            }
            Self::Shared(kind, handle) => Space::proxy(space, py, kind, handle),
        }
    }

    /// Whether it is a live object of its own.
    pub fn shared(&self) -> Option<(BlockKind, Handle)> {
        match self {
            Self::Shared(kind, handle) => Some((*kind, *handle)),
            _ => None,
        }
    }
}
