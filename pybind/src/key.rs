//! Dict keys on their way in. Short ones reach the engine without allocation.
//!
//! Lookups take what the builtin takes: an object that hashes but cannot be stored is in no dict of ours, unless it is an
//! instance of a subclass of a native type (`IntEnum`), which stands for its base value where its own hash and `==` say so. Stores take natives only.

use std::cell::{Cell, RefCell};

use pso_engine::object::key::{Key, KeyView};
use pso_engine::word::Value;

use crate::ffi::natives::{Integer, Native, Text};
use crate::ffi::{Any, Kind, Object, Python, Raised, Result};
use crate::memory::{self, NoMemory};
use crate::proxy;
use crate::space::Space;

/// Tuples in tuples, in keys and values: what a damaged space may not exceed either.
pub const MOST_NESTED_TUPLES: usize = 200;
/// Items of a key, with those of the tuples in it, as often as they are there: tuples that share parts have more of them than memory has room for.
const MOST_ITEMS: usize = 1 << 22;

/// What a key is wanted for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// Looking up or deleting.
    Lookup,
    /// Storing; gives the name of the container, for messages.
    Store(&'a dyn Fn() -> String),
}

/// Hashes of strs that were keys before, by identity: literals and names come again and again as the same object.
pub struct Hashes {
    /// Address, hash and in-place form, by the bits of the address that differ.
    places: [Cell<(usize, u64, Value)>; Self::PLACES],
    /// What stands there, kept so that no other object gets the address.
    objects: RefCell<Vec<Option<Object>>>,
}

impl Hashes {
    const PLACES: usize = 256;
    /// Objects are 16 bytes apart, and a str is at least 48 long.
    const SHIFT: u32 = 4;

    /// No hash is known.
    pub fn new() -> Self {
        let objects = (0..Self::PLACES).map(|_| None).collect();
        Self { places: [const { Cell::new((0, 0, Value::ABSENT)) }; Self::PLACES], objects: RefCell::new(objects) }
    }

    /// Hash and in-place form of the key that the str `object` with this text is.
    #[inline(always)]
    pub fn of_text(&self, hash_key: (u64, u64), object: &Any, text: &str) -> (u64, Value) {
        let number = Self::number(object.address());
        let (address, hash, word) = self.places[number].get();
        if address == object.address() {
            return (hash, word);
        }
        self.of_new_text(number, hash_key, object, text)
    }

    #[inline(never)]
    fn of_new_text(&self, number: usize, hash_key: (u64, u64), object: &Any, text: &str) -> (u64, Value) {
        let key = Key::new(hash_key, KeyView::Text(text));
        if object.is_interned() {
            self.keep(number, object, &key);
        }
        (key.hash(), key.word())
    }

    #[inline]
    fn number(address: usize) -> usize {
        let bits = address >> Self::SHIFT;
        (bits ^ bits >> 8) % Self::PLACES
    }

    fn keep(&self, number: usize, object: &Any, key: &Key<'_>) {
        // The one that goes is a str: dropping it runs nothing.
        if let Some(place) = self.objects.borrow_mut().get_mut(number) {
            *place = Some(object.to_object());
            self.places[number].set((object.address(), key.hash(), key.word()));
        }
    }
}

/// A key that lives by itself.
pub enum OwnedKey {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An int of 64 bits.
    Int(i64),
    /// A larger one: sign and magnitude.
    Large(bool, Vec<u8>),
    /// A float.
    Float(f64),
    /// A str.
    Text(Text),
    /// Bytes.
    Bytes(Object),
    /// A tuple.
    Tuple(Vec<OwnedKey>),
}

/// Runs `body` with the key that `object` is; with none for one that no dict of ours can hold.
#[inline(always)]
pub fn with_key<R>(
    py: Python<'_>,
    space: &Space,
    object: &Any,
    purpose: Purpose<'_>,
    body: impl FnOnce(Option<&Key<'_>>) -> Result<R>,
) -> Result<R> {
    let kept;
    // One call of `body` for all that are keys, so that the everyday look-up is in line, and once.
    let key;
    let native = object.native();
    // Keys are made where they stay: to move one costs as much as half the look-up.
    if native == Native::Str
        && let Some(text) = object.utf8_if_any(py)
    {
        let (hash, word) = space.hashes().of_text(space.hash_key(), object, text);
        key = Key::known_text(hash, word, text);
    } else if native == Native::Int
        && let Some(value) = object.small_int()
    {
        key = Key::new(space.hash_key(), KeyView::Int(value));
    } else {
        match owned(py, space, object, purpose)? {
            Some(owned) => {
                kept = owned;
                key = Key::new(space.hash_key(), kept.view(py)?);
            }
            None => return body(None),
        }
    }
    body(Some(&key))
}

/// The key that `object` is; none for one that no dict of ours can hold.
#[cold]
pub fn owned(py: Python<'_>, space: &Space, object: &Any, purpose: Purpose<'_>) -> Result<Option<OwnedKey>> {
    Making { space, purpose, whole: object, items: 0 }.key(py, object, 0)
}

/// The key to store.
pub fn stored(py: Python<'_>, space: &Space, object: &Any, container: &dyn Fn() -> String) -> Result<OwnedKey> {
    match owned(py, space, object, Purpose::Store(container))? {
        Some(key) => Ok(key),
        None => Err(refused(py, space, object, object, container)),
    }
}

/// A key that is being made.
struct Making<'a> {
    space: &'a Space,
    purpose: Purpose<'a>,
    /// Messages name it.
    whole: &'a Any,
    items: usize,
}

impl Making<'_> {
    /// The key that `object` is, which is the whole or in it.
    fn key(&mut self, py: Python<'_>, object: &Any, depth: usize) -> Result<Option<OwnedKey>> {
        let native = match (object.native(), self.purpose) {
            (Native::Other, Purpose::Lookup) => object.native_base(),
            (native, _) => return self.of_native(py, object, native, depth),
        };
        // First: what is not hashable finds nothing, whatever it is made of.
        let own = !matches!(native, Native::List | Native::Dict) && object.compares_by_itself(native);
        let hash = if own { object.hash(py)? } else { 0 };
        let key = self.of_native(py, object, native, depth)?;
        match &key {
            Some(like) if own => {
                let base = like.to_object(py)?;
                let finds = hash == base.hash(py)? && object.equals(py, &base)?;
                Ok(key.filter(|_| finds))
            }
            _ => Ok(key),
        }
    }

    fn of_native(&mut self, py: Python<'_>, object: &Any, native: Native, depth: usize) -> Result<Option<OwnedKey>> {
        Ok(Some(match native {
            Native::None => OwnedKey::None,
            Native::Bool => OwnedKey::Bool(object.is_true_constant()),
            Native::Float => OwnedKey::Float(object.float()),
            Native::Bytes => OwnedKey::Bytes(object.to_object()),
            Native::Int => match object.integer(py)? {
                Integer::Small(value) => OwnedKey::Int(value),
                Integer::Large { negative, magnitude } => OwnedKey::Large(negative, magnitude),
            },
            Native::Str => match object.to_text(py) {
                Ok(text) => OwnedKey::Text(text),
                Err(raised) if Kind::Unicode.is_set(py) => {
                    raised.clear(py);
                    return match self.purpose {
                        Purpose::Lookup => Ok(None),
                        Purpose::Store(container) => {
                            Err(lone_surrogates(py, self.space, &path_of(py, self.whole, container)))
                        }
                    };
                }
                Err(raised) => return Err(raised),
            },
            Native::Tuple if depth >= MOST_NESTED_TUPLES => {
                return Err(Kind::Recursion.raise(py, "a key of too many nested tuples"));
            }
            Native::Tuple => return self.tuple(py, object, depth),
            Native::List | Native::Dict | Native::Other => {
                object.check_hashable(py)?;
                return match self.purpose {
                    Purpose::Lookup => like_int(py, object),
                    Purpose::Store(container) => Err(refused(py, self.space, object, self.whole, container)),
                };
            }
        }))
    }

    fn tuple(&mut self, py: Python<'_>, tuple: &Any, depth: usize) -> Result<Option<OwnedKey>> {
        let given = tuple.tuple_items(py)?;
        self.items += given.len();
        if self.items > MOST_ITEMS {
            let message = format!("a key of more than {MOST_ITEMS} items, with those of the tuples in it");
            return Err(Raised::with(py, &self.space.interpreter().errors.too_large, message));
        }
        let mut items = memory::with_capacity(py, given.len())?;
        let mut known = true;
        for item in given {
            // All are looked at, so that an unhashable one raises as it does in a builtin.
            match self.key(py, &item, depth + 1)? {
                Some(item) => memory::push(py, &mut items, item)?,
                None => known = false,
            }
        }
        Ok(known.then_some(OwnedKey::Tuple(items)))
    }
}

/// What is no int but says which one it stands for (of an array library, say), and equals it, finds what that finds.
#[cold]
fn like_int(py: Python<'_>, object: &Any) -> Result<Option<OwnedKey>> {
    if !object.is_index() {
        return Ok(None);
    }
    let number = object.to_int(py)?;
    if !object.equals(py, &number)? {
        return Ok(None);
    }
    Ok(Some(match number.integer(py)? {
        Integer::Small(value) => OwnedKey::Int(value),
        Integer::Large { negative, magnitude } => OwnedKey::Large(negative, magnitude),
    }))
}

impl OwnedKey {
    /// The key as a plain value.
    fn to_object(&self, py: Python<'_>) -> Result<Object> {
        match self {
            Self::None => Ok(py.none()),
            Self::Bool(value) => Ok(py.bool(*value)),
            Self::Int(value) => py.int(*value),
            Self::Large(negative, magnitude) => py.large_int(*negative, magnitude),
            Self::Float(value) => py.float(*value),
            Self::Text(text) => py.str(text.as_str()),
            Self::Bytes(bytes) => py.bytes(bytes.bytes()),
            Self::Tuple(items) => {
                let mut objects = memory::with_capacity(py, items.len())?;
                for item in items {
                    objects.push(item.to_object(py)?);
                }
                py.tuple(objects)
            }
        }
    }

    /// The key as the engine wants it.
    pub fn view<'py>(&self, py: Python<'py>) -> Result<KeyView<'_>, NoMemory<'py>> {
        Ok(match self {
            Self::None => KeyView::None,
            Self::Bool(value) => KeyView::Bool(*value),
            Self::Int(value) => KeyView::Int(*value),
            Self::Large(negative, magnitude) => KeyView::LargeInt { negative: *negative, magnitude },
            Self::Float(value) => KeyView::Float(*value),
            Self::Text(text) => KeyView::Text(text.as_str()),
            Self::Bytes(bytes) => KeyView::Bytes(bytes.bytes()),
            Self::Tuple(items) => KeyView::Tuple(memory::collect(py, items.iter().map(|item| item.view(py)))?),
        })
    }
}

fn path_of(py: Python<'_>, object: &Any, container: &dyn Fn() -> String) -> String {
    format!("the key {} of {}", object.repr_text(py), container())
}

#[cold]
fn refused(py: Python<'_>, space: &Space, object: &Any, whole: &Any, container: &dyn Fn() -> String) -> Raised {
    let path = path_of(py, whole, container);
    if proxy::of(space.interpreter(), object).is_some() {
        let message = format!("cannot share {path}: a shared '{}' cannot be a key", object.class_name());
        return Raised::with(py, &space.interpreter().errors.not_shareable, message);
    }
    proxy::not_shareable(py, space, object, &path, "int, float, bool, None, str, bytes and tuples of these can be keys")
}

/// Raises that a str cannot be shared.
#[cold]
pub fn lone_surrogates(py: Python<'_>, space: &Space, path: &str) -> Raised {
    let message = format!("cannot share {path}: a str with lone surrogates has no UTF-8");
    Raised::with(py, &space.interpreter().errors.not_shareable, message)
}
