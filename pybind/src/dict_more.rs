//! The operations of `pso.Dict` on whole dicts: copies, comparison, union.

use pso_engine::object::key::Key;
use pso_engine::object::{self, dict};
use pso_engine::word::BlockKind;

use crate::dict::Dict;
use crate::fetch::{Fetched, Look};
use crate::ffi::class::Receiver;
use crate::ffi::method::Signature;
use crate::ffi::natives::Native;
use crate::ffi::slot::Comparison;
use crate::ffi::{Any, Arguments, Instance, Kind, Object, Own, Python, Result};
use crate::iterate::Part;
use crate::key::{self, MOST_NESTED_TUPLES, Purpose};
use crate::memory;
use crate::snapshot;
use crate::source::{Source, Whole};
use crate::space::Space;
use crate::transaction::{self, Limits};

impl Dict {
    pub(crate) fn copy(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let (space, hash_key) = (this.space(), this.space().hash_key());
        // Keys are hashed anew from what is read, outside the engine; so the copy is a transaction of two operations.
        let copied = transaction::run(py, space, Limits::default(), |py| {
            let handle = this.proxy().object(py)?;
            let entries = space.operate(py, |tx| {
                let (mut entries, mut look) = (Vec::new(), Look::new(space));
                let mut cursor = dict::cursor(tx, handle)?;
                while let Some((key, value)) = cursor.next(tx)? {
                    let entry = (look.fetch(py, tx, key)?, value);
                    memory::push(py, &mut entries, entry)?;
                }
                Ok(entries)
            })?;
            let mut keyed = memory::with_capacity(py, entries.len())?;
            for (key, value) in entries {
                let object = key.into_object(py, space)?;
                keyed.push((key::stored(py, space, &object, &|| "dict".to_owned())?, value));
            }
            let made = space.operate(py, |tx| {
                let made = dict::create(tx)?;
                for (key, value) in &keyed {
                    let value = object::copy(tx, *value)?;
                    dict::set(tx, made, &Key::new(hash_key, key.view(py)?), value)?;
                }
                space.hold(tx, made)
            })?;
            Space::dict(space, py, made.handle(), Some(made)).map(Own::into_object)
        })?;
        Ok(copied)
    }

    pub(crate) fn fromkeys(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const FROMKEYS: Signature<2> = Signature { function: "fromkeys", names: ["", ""], required: 1, positional: 2 };
        let [keys, value] = arguments.take(py, &FROMKEYS)?;
        let none = py.none();
        let (Some(keys), value) = (keys, value.unwrap_or(&none)) else { return Ok(none) };
        let space = crate::MODULE.state_of_class(py, &class)?.default_space(py)?;
        let read = match Whole::of(py, space.interpreter(), keys)? {
            Some(whole) => Some(py.list(whole.objects(py)?)?),
            None => None,
        };
        let plain = py.dict()?;
        let iterator = read.as_deref().unwrap_or(keys).iterate(py)?;
        while let Some(key) = iterator.next(py)? {
            py.set_item(&plain, &key, value)?;
        }
        Self::make_from(py, &space, Source { pairs: plain.dict_items(py)? })
    }

    /// What iterating gives, live, of one moment.
    pub(crate) fn objects(&self, py: Python<'_>, part: Part) -> Result<Vec<Object>> {
        let (space, handle) = (self.space(), self.proxy().object(py)?);
        let entries = space.operate(py, |tx| {
            let (mut entries, mut look, mut cursor) = (Vec::new(), Look::new(space), dict::cursor(tx, handle)?);
            if part == Part::Keys {
                // Nothing is read of the values: whoever gives a key another one is no conflict.
                while let Some(key) = cursor.next_key(tx)? {
                    memory::push(py, &mut entries, (look.fetch(py, tx, key)?, Fetched::None))?;
                }
                return Ok(entries);
            }
            while let Some((key, value)) = cursor.next(tx)? {
                let key = if part == Part::Values { Fetched::None } else { look.fetch(py, tx, key)? };
                let value = look.fetch(py, tx, value)?;
                memory::push(py, &mut entries, (key, value))?;
            }
            Ok(entries)
        })?;
        memory::collect(py, entries.into_iter().map(|entry| part.of(py, space, entry)))
    }

    pub(crate) fn snapshot(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let (space, handle) = (this.space(), this.proxy().object(py)?);
        let entries = space.operate(py, |tx| snapshot::dict_entries(py, &mut Look::new(space), tx, handle))?;
        let plain = py.dict()?;
        for (key, value) in entries {
            py.set_item(&plain, &*key.into_object(py, space)?, &*value.into_object(py, space)?)?;
        }
        Ok(plain)
    }

    pub(crate) fn compare(
        this: &Instance<Self>,
        py: Python<'_>,
        other: &Any,
        comparison: Comparison,
    ) -> Result<Object> {
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            return Ok(py.not_implemented());
        }
        let space = this.space();
        let types = &space.interpreter().types;
        if let Some(other) = types.dict.cast(other) {
            let there = other.space();
            if !there.as_any().is(space.as_any()) {
                let copies = (Self::to_python(this, py)?, Self::to_python(other, py)?);
                return copies.0.compare(py, &copies.1, comparison);
            }
            let (handle, others) = (this.proxy().object(py)?, other.proxy().object(py)?);
            if space.operate(py, |tx| Ok(dict::len(tx, handle)? != dict::len(tx, others)?))? {
                return Ok(py.bool(comparison == Comparison::NotEqual));
            }
            let both = [(BlockKind::Dict, handle), (BlockKind::Dict, others)];
            let copies = snapshot::plain(py, space, &both)?;
            return copies[0].compare(py, &copies[1], comparison);
        }
        if other.native() != Native::Dict && other.native_base() != Native::Dict {
            return Ok(py.not_implemented());
        }
        // A subclass may compare in a manner of its own.
        if !other.compares_by_itself(Native::Dict) && this.length(py)? != other.dict_len() as u64 {
            return Ok(py.bool(comparison == Comparison::NotEqual));
        }
        Self::to_python(this, py)?.compare(py, other, comparison)
    }

    /// Those of the objects in a list that are among the keys (0) or the items (2), told at one moment. `None`: what is in it may have an `==`
    /// or a hash of its own, so that no look-up finds all that it equals.
    pub(crate) fn common(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const COMMON: Signature<2> = Signature { function: "_common", names: ["", ""], required: 2, positional: 2 };
        let [part, objects] = arguments.take(py, &COMMON)?;
        let (Some(part), Some(objects)) = (part, objects) else { return Ok(py.none()) };
        let items = part.index(py)? == 2;
        // Anybody may call it.
        if objects.native_base() != Native::List {
            return Err(Kind::Type.raise(py, "_common() takes a list"));
        }
        let (space, hash_key) = (this.space(), this.space().hash_key());
        // Each with its key and what its value has to be.
        let mut wanted = Vec::new();
        for object in objects.list_items(py)? {
            let (key, value) = match items {
                false => (object.clone(), None),
                true if object.native_base() != Native::Tuple => continue,
                true => match &object.tuple_items(py)?[..] {
                    [key, value] => (key.clone(), Some(value.clone())),
                    _ => continue,
                },
            };
            if !is_known_by_content(&key, 0) {
                return Ok(py.none());
            }
            // What cannot be hashed raises, as in a builtin; of what no dict can hold there is no key.
            if let Some(key) = key::owned(py, space, &key, Purpose::Lookup)? {
                memory::push(py, &mut wanted, (object, key, value))?;
            }
        }
        let handle = this.proxy().object(py)?;
        let found = space.operate(py, |tx| {
            let mut look = Look::new(space);
            let keys = wanted.iter().map(|(_, key, _)| {
                let key = Key::new(hash_key, key.view(py)?);
                if !items {
                    return Ok(dict::contains(tx, handle, &key)?.then_some(Fetched::None));
                }
                dict::get(tx, handle, &key)?.map(|value| look.fetch(py, tx, value)).transpose()
            });
            memory::collect(py, keys)
        })?;
        let mut common = Vec::new();
        for ((object, _, value), found) in wanted.into_iter().zip(found) {
            let Some(found) = found else { continue };
            if value.map_or(Ok(true), |value| found.into_object(py, space)?.equals(py, &value))? {
                memory::push(py, &mut common, object)?;
            }
        }
        py.list(common)
    }

    /// What a plain dict gives in the place of a shared one: what is not stored in a space needs no room there.
    pub(crate) fn or(left: &Any, py: Python<'_>, right: &Any) -> Result<Object> {
        let dict = |side| crate::MODULE.state_behind(py, side).and_then(|core| core.types.dict.cast(side));
        if let (Some(left), Some(right)) = (dict(left), dict(right))
            && left.space().as_any().is(right.space().as_any())
        {
            // Of one moment.
            let both = || Self::snapshot(left, py)?.or(py, &*Self::snapshot(right, py)?);
            return transaction::run(py, left.space(), Limits::default(), |_| both());
        }
        let plain = |side| dict(side).map_or_else(|| Ok(side.to_object()), |dict| Self::snapshot(dict, py));
        plain(left)?.or(py, &*plain(right)?)
    }

    pub(crate) fn inplace_or(this: &Instance<Self>, py: Python<'_>, other: &Any) -> Result<Object> {
        this.take_over(py, Arguments::one(&other))?;
        Ok(this.as_any().to_object())
    }
}

/// Whether an object is equal to what has the same content, and to nothing else.
fn is_known_by_content(object: &Any, depth: usize) -> bool {
    match object.native() {
        Native::Other => false,
        Native::Tuple => {
            depth < MOST_NESTED_TUPLES && object.tuple_refs().all(|item| is_known_by_content(item, depth + 1))
        }
        _ => true,
    }
}
