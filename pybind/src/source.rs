//! What containers are made or filled from: containers of a space and views of them, read at one moment; the arguments of
//! `dict(...)` and `update(...)`.

use pso_engine::error::Stop;
use pso_engine::object::key::Key;
use pso_engine::word::Handle;

use crate::dict::{Dict, put};
use crate::ffi::{Any, Arguments, Instance, Object, Own, Python, Result};
use crate::interpreter::Interpreter;
use crate::iterate::Part;
use crate::key::{self, OwnedKey};
use crate::list::List;
use crate::memory;
use crate::plan::{self, Draft, Plan};
use crate::space::Space;

/// What can be read as a whole, at one moment.
pub enum Whole<'a> {
    /// A list.
    List(&'a Instance<List>),
    /// A dict.
    Dict(&'a Instance<Dict>),
    /// What `keys()`, `values()` or `items()` of a dict gave.
    View(Own<Dict>, Part),
}

impl<'a> Whole<'a> {
    /// `None`: it is something else, which is iterated.
    pub fn of(py: Python<'_>, interpreter: &Interpreter, object: &'a Any) -> Result<Option<Self>> {
        let types = &interpreter.types;
        if let Some(list) = types.list.cast(object) {
            return Ok(Some(Self::List(list)));
        }
        if let Some(dict) = types.dict.cast(object) {
            return Ok(Some(Self::Dict(dict)));
        }
        // A subclass may iterate in a manner of its own.
        let Some(part) = interpreter.part_of_view(object) else { return Ok(None) };
        let dict = object.attribute_if_any(py, c"_mapping")?.and_then(|dict| types.dict.cast_object(dict));
        Ok(dict.map(|dict| Self::View(dict, part)))
    }

    fn space(&self) -> &Instance<Space> {
        match self {
            Self::List(list) => list.space(),
            Self::Dict(dict) => dict.space(),
            Self::View(dict, _) => dict.space(),
        }
    }

    /// What iterating gives, live.
    pub fn objects(&self, py: Python<'_>) -> Result<Vec<Object>> {
        match self {
            Self::List(list) => list.objects(py),
            Self::Dict(dict) => dict.objects(py, Part::Keys),
            Self::View(dict, part) => dict.objects(py, *part),
        }
    }
}

/// Whether it can be read as a whole in a transaction of this space.
pub fn is_beside(py: Python<'_>, space: &Instance<Space>, object: &Any) -> Result<bool> {
    let whole = Whole::of(py, space.interpreter(), object)?;
    Ok(whole.is_some_and(|whole| whole.space().as_any().is(space.as_any())))
}

/// Pairs of Python objects.
pub struct Source {
    /// In order, each key once.
    pub pairs: Vec<(Object, Object)>,
}

/// The same, ready to be written.
pub struct Drafts {
    keys: Vec<OwnedKey>,
    values: Vec<Draft>,
    plan: Plan,
}

impl Source {
    /// Collects the arguments in a plain dict, as the builtin does, with its errors. Runs Python code.
    pub fn take(py: Python<'_>, interpreter: &Interpreter, arguments: Arguments<'_>) -> Result<Self> {
        let plain = py.dict()?;
        let mut positional = arguments.positional().to_vec();
        let whole = positional.first().map(|source| Whole::of(py, interpreter, source)).transpose()?.flatten();
        let read = match whole {
            Some(Whole::Dict(dict)) => Some(Dict::snapshot(dict, py)?),
            Some(whole) => Some(py.list(whole.objects(py)?)?),
            None => None,
        };
        if let (Some(first), Some(read)) = (positional.first_mut(), &read) {
            *first = read;
        }
        plain.attribute(py, c"update")?.call_like(py, &positional, &arguments)?;
        Ok(Self { pairs: plain.dict_items(py)? })
    }

    /// Makes keys and drafts. `path` names the value of a key.
    pub fn into_drafts(self, py: Python<'_>, space: &Instance<Space>, name: &str) -> Result<Drafts> {
        let length = self.pairs.len();
        let mut keys = memory::with_capacity(py, length)?;
        let mut objects = memory::with_capacity(py, length)?;
        let mut values = memory::with_capacity(py, length)?;
        for (key, value) in self.pairs {
            keys.push(key::stored(py, space, &key, &|| name.to_owned())?);
            objects.push(key);
            values.push(value);
        }
        let path = |number: usize| format!("{name}[{}]", objects[number].repr_text(py));
        let (plan, values) = plan::drafts(py, space, &values, &path)?;
        Ok(Drafts { keys, values, plan })
    }
}

impl Drafts {
    /// Writes all into a dict. Gives the number of keys that are new.
    pub fn write(&self, py: Python<'_>, tx: &mut crate::space::Tx, handle: Handle) -> Result<i64, Stop> {
        let made = self.plan.carry_out(py, tx)?;
        let hash_key = tx.arena().hash_key();
        let mut added = 0;
        for (key, value) in self.keys.iter().zip(&self.values) {
            let value = made.value(tx, value)?;
            added += i64::from(put(tx, handle, &Key::new(hash_key, key.view(py)?), value)?);
        }
        Ok(added)
    }
}
