//! Keys of dicts: hashed and compared as Python's, without allocation where the key is short.
//!
//! 1. Equal keys have equal hashes, whatever their types: `1 == 1.0 == True`, also where an int has more than 64 bits.
//!    A str never equals bytes; NaN equals nothing, not even itself.
//! 2. Hashes are SipHash-1-3 under the key of the space: equal in all processes, not to be guessed from outside it
//!    (Aumasson and Bernstein, 2012; the reduced rounds as in Rust's and Python's tables).
//! 3. A key that has an in-place form carries it: comparing it with a stored key of the same form compares words.

mod compare;
mod hash;
mod number;

use self::hash::{HashKey, hash_view};
pub(super) use self::number::{small, trimmed};
use crate::error::Stop;
use crate::object::{bytes, float, int, memory, text, tuple};
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{Handle, Value};

/// What a key is, borrowed from whoever looks it up.
#[derive(Clone, Debug)]
pub enum KeyView<'a> {
    /// Python's None.
    None,
    /// True or False.
    Bool(bool),
    /// An int of up to 64 bits.
    Int(i64),
    /// Any larger int (a smaller one in this form is understood, too).
    LargeInt {
        /// Below zero.
        negative: bool,
        /// Little-endian.
        magnitude: &'a [u8],
    },
    /// A float.
    Float(f64),
    /// A str.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A tuple of keys.
    Tuple(Vec<KeyView<'a>>),
    /// A shared object that is equal to itself only.
    Identity(Handle),
}

/// A key, its hash, and its in-place form if it has one.
#[derive(Clone, Debug)]
pub struct Key<'a> {
    hash: u64,
    word: Value,
    view: KeyView<'a>,
}

impl<'a> Key<'a> {
    /// Hashes `view` under the key of the space (`Arena::hash_key`).
    #[inline]
    pub fn new(hash_key: (u64, u64), view: KeyView<'a>) -> Self {
        let hash_key = HashKey::new(hash_key);
        let (hash, word) = match &view {
            KeyView::Text(text) => match Value::text(text.as_bytes()) {
                Some(word) => (hash_key.short_bytes(word, text.len()), Some(word)),
                None => (hash_key.bytes(text.as_bytes()), None),
            },
            KeyView::Int(value) => (hash_key.int(*value), Value::int(*value)),
            other => (hash_view(hash_key, other), word_of(other)),
        };
        Self { hash, word: word.unwrap_or(Value::ABSENT), view }
    }

    /// A str whose hash and in-place form are known: what [`Key::new`] found for the same text in the same space.
    #[inline]
    pub fn known_text(hash: u64, word: Value, text: &'a str) -> Self {
        Self { hash, word, view: KeyView::Text(text) }
    }

    /// The hash.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Its in-place form; absent where it has none.
    #[inline]
    pub fn word(&self) -> Value {
        self.word
    }

    /// What was hashed.
    #[inline]
    pub fn view(&self) -> &KeyView<'a> {
        &self.view
    }

    /// Whether this is the key that a dict stored as `stored`. The hashes are equal, or it is not asked.
    #[inline]
    pub(super) fn matches<P: Platform>(&self, tx: &Participant<P>, stored: Value) -> Result<bool, Stop> {
        if stored == self.word && !stored.is_absent() {
            return Ok(true);
        }
        compare::equals(tx, &self.view, stored)
    }

    /// The key as a value to store.
    #[inline]
    pub(super) fn encode<P: Platform>(&self, tx: &mut Participant<P>) -> Result<Value, Stop> {
        match &self.view {
            _ if !self.word.is_absent() => Ok(self.word),
            KeyView::Text(text) => text::encode_hashed(tx, text, self.hash),
            KeyView::Bytes(bytes) => bytes::encode_hashed(tx, bytes, self.hash),
            other => encode_view(tx, other),
        }
    }
}

fn encode_view<P: Platform>(tx: &mut Participant<P>, view: &KeyView) -> Result<Value, Stop> {
    match view {
        KeyView::None => Ok(Value::NONE),
        KeyView::Bool(value) => Ok(Value::bool(*value)),
        KeyView::Int(value) => int::encode(tx, *value),
        KeyView::LargeInt { negative, magnitude } => int::encode_large(tx, *negative, magnitude),
        KeyView::Float(value) => float::encode(tx, *value),
        KeyView::Text(text) => text::encode(tx, text),
        KeyView::Bytes(bytes) => bytes::encode(tx, bytes),
        KeyView::Identity(handle) => Ok(Value::handle(*handle)),
        KeyView::Tuple(items) => {
            let mut values = Vec::new();
            memory::reserve(tx, &mut values, items.len())?;
            for item in items {
                values.push(encode_view(tx, item)?);
            }
            tuple::encode(tx, &values)
        }
    }
}

fn word_of(view: &KeyView) -> Option<Value> {
    match view {
        KeyView::None => Some(Value::NONE),
        KeyView::Bool(value) => Some(Value::bool(*value)),
        KeyView::Int(value) => Value::int(*value),
        KeyView::Float(value) => Value::float(*value),
        KeyView::Text(text) => Value::text(text.as_bytes()),
        KeyView::Bytes(bytes) => Value::bytes(bytes),
        KeyView::Identity(handle) => Some(Value::handle(*handle)),
        KeyView::LargeInt { .. } | KeyView::Tuple(_) => None,
    }
}

#[cfg(test)]
mod tests;
