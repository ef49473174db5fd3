//! What a dict is made or updated from: the arguments of `dict(...)` and `update(...)`.

use pso_engine::error::Stop;
use pso_engine::object::key::Key;
use pso_engine::word::Handle;

use crate::dict::put;
use crate::ffi::{Arguments, Instance, Object, Python, Result};
use crate::interpreter::Interpreter;
use crate::key::{self, OwnedKey};
use crate::memory;
use crate::plan::{self, Draft, Plan};
use crate::space::Space;

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
        let snapshot = match positional.first() {
            Some(source) if interpreter.types.dict.is_instance(source) => {
                Some(source.call_method(py, c"_snapshot", &[])?)
            }
            _ => None,
        };
        if let (Some(first), Some(snapshot)) = (positional.first_mut(), &snapshot) {
            *first = snapshot;
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
