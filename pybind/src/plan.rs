//! Values on their way in: everything that comes from Python is made a plan first, and the engine carries it out after.
//!
//! 1. A value that fits a word, or is a proxy, is that word.
//! 2. Longer texts, bytes and numbers are kept until they are written.
//! 3. Tuples come after what they hold; one that is met twice is shared (see `object::ownership`); plain lists and dicts are numbered
//!    where they are first met, so that cycles and shared parts stay what they are. They are made empty, then tuples are made, then they are filled.
//!
//! Carrying out a plan twice (an attempt that is run again) makes everything anew. Nothing runs Python code after the plan is
//! complete; while it is made, only `repr` for messages and the hash of odd keys do.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use pso_engine::error::Stop;
use pso_engine::object::key::Key;
use pso_engine::object::{bytes, dict, float, int, list, text, tuple};
use pso_engine::word::{Handle, Value};

use crate::ffi::natives::{Integer, Native, Text};
use crate::ffi::{Any, Instance, Kind, Object, Python, Raised, Result};
use crate::key::{self, MOST_NESTED_TUPLES, OwnedKey};
use crate::memory;
use crate::proxy;
use crate::space::{Space, Tx};

/// A value to be written.
pub enum Draft {
    /// A word.
    Ready(Value),
    /// A live object, and its proxy, which holds it.
    Shared { handle: Handle, _proxy: Object },
    /// An int outside the words.
    Int(i64),
    /// A larger one.
    Large(bool, Vec<u8>),
    /// A float outside the words.
    Float(f64),
    /// A str.
    Text(Text),
    /// Bytes.
    Bytes(Object),
    /// A tuple of the plan.
    Tuple(usize),
    /// A container of the plan.
    Container(usize),
}

enum Container {
    /// Met, its items not yet.
    Empty,
    List(Vec<Draft>),
    Dict(Vec<(OwnedKey, Draft)>),
}

/// All that a value consists of.
#[derive(Default)]
pub struct Plan {
    tuples: Vec<Vec<Draft>>,
    /// Tuples that several drafts name.
    shared: HashSet<usize>,
    containers: Vec<Container>,
}

/// The containers and tuples of a plan as they were made in one attempt.
#[derive(Default)]
pub struct Made {
    containers: Vec<Handle>,
    tuples: Vec<Value>,
}

/// The word of a value that is one.
#[inline]
pub fn quick(py: Python<'_>, object: &Any) -> Option<Value> {
    match object.native() {
        Native::Int => object.small_int().and_then(Value::int),
        Native::None => Some(Value::NONE),
        Native::Bool => Some(Value::bool(object.is_true_constant())),
        Native::Float => Value::float(object.float()),
        Native::Str => object.utf8_if_any(py).and_then(|text| Value::text(text.as_bytes())),
        Native::Bytes => Value::bytes(object.bytes()),
        _ => None,
    }
}

/// The draft of one value. `path` names the place that it goes to.
#[inline]
pub fn draft(
    py: Python<'_>,
    space: &Instance<Space>,
    object: &Any,
    path: &dyn Fn() -> String,
) -> Result<(Plan, Draft)> {
    match quick(py, object) {
        Some(value) => Ok((Plan::default(), Draft::Ready(value))),
        None => draft_slowly(py, space, object, path),
    }
}

fn draft_slowly(
    py: Python<'_>,
    space: &Instance<Space>,
    object: &Any,
    path: &dyn Fn() -> String,
) -> Result<(Plan, Draft)> {
    let mut maker = Maker::new(space, path);
    let draft = maker.add(py, object, None, 0)?;
    maker.finish(py)?;
    Ok((maker.plan, draft))
}

/// The drafts of several values; `path` names the place of the one with that number.
pub fn drafts(
    py: Python<'_>,
    space: &Instance<Space>,
    objects: &[Object],
    path: &dyn Fn(usize) -> String,
) -> Result<(Plan, Vec<Draft>)> {
    let number = Cell::new(0);
    let current = || path(number.get());
    let mut maker = Maker::new(space, &current);
    let mut drafts = memory::with_capacity(py, objects.len())?;
    for (index, object) in objects.iter().enumerate() {
        number.set(index);
        drafts.push(maker.add(py, object, None, 0)?);
        // At once, so that paths start at the right object.
        maker.finish(py)?;
    }
    Ok((maker.plan, drafts))
}

impl Plan {
    /// Makes containers and tuples, in this attempt.
    #[inline]
    pub fn carry_out(&self, py: Python<'_>, tx: &mut Tx) -> Result<Made, Stop> {
        if self.containers.is_empty() && self.tuples.is_empty() {
            return Ok(Made::default());
        }
        self.carry_out_all(py, tx)
    }

    fn carry_out_all(&self, py: Python<'_>, tx: &mut Tx) -> Result<Made, Stop> {
        let (containers, tuples) = (self.containers.len(), self.tuples.len());
        let mut made =
            Made { containers: memory::with_capacity(py, containers)?, tuples: memory::with_capacity(py, tuples)? };
        for container in &self.containers {
            made.containers.push(match container {
                Container::Dict(_) => dict::create(tx)?,
                Container::List(_) | Container::Empty => list::create(tx)?,
            });
        }
        for items in &self.tuples {
            let values = memory::collect(py, items.iter().map(|item| made.value(tx, item)))?;
            let value = tuple::encode(tx, &values)?;
            if self.shared.contains(&made.tuples.len())
                && let Some(handle) = value.as_handle()
            {
                tx.share(handle);
            }
            made.tuples.push(value);
        }
        let hash_key = tx.arena().hash_key();
        for (number, container) in self.containers.iter().enumerate() {
            let handle = made.containers[number];
            match container {
                Container::Empty => {}
                Container::List(items) => {
                    for item in items {
                        let value = made.value(tx, item)?;
                        list::push(tx, handle, value)?;
                    }
                }
                Container::Dict(items) => {
                    for (key, value) in items {
                        let value = made.value(tx, value)?;
                        dict::set(tx, handle, &Key::new(hash_key, key.view(py)?), value)?;
                    }
                }
            }
        }
        Ok(made)
    }
}

impl Made {
    /// The value of a draft of the plan.
    #[inline]
    pub fn value(&self, tx: &mut Tx, draft: &Draft) -> Result<Value, Stop> {
        match draft {
            Draft::Ready(value) => Ok(*value),
            Draft::Shared { handle, .. } => shared(tx, *handle),
            Draft::Int(value) => int::encode(tx, *value),
            Draft::Large(negative, magnitude) => int::encode_large(tx, *negative, magnitude),
            Draft::Float(value) => float::encode(tx, *value),
            Draft::Text(value) => text::encode(tx, value.as_str()),
            Draft::Bytes(value) => bytes::encode(tx, value.bytes()),
            Draft::Tuple(number) => Ok(self.tuples[*number]),
            Draft::Container(number) => Ok(Value::handle(self.containers[*number])),
        }
    }
}

/// The value of a live object: one that is there, for everybody or for this attempt.
fn shared(tx: &mut Tx, handle: Handle) -> Result<Value, Stop> {
    // First: its proxy may go before the attempt is through, or hold nothing.
    tx.name(handle)?;
    tx.check_named(handle)?;
    Ok(Value::handle(handle))
}

/// Where an object stands, for messages: in what, and how one gets there.
struct Place {
    parent: Option<usize>,
    step: Step,
}

enum Step {
    Index(usize),
    Key(Object),
}

/// A plan in the making.
struct Maker<'a> {
    space: &'a Instance<Space>,
    path: &'a dyn Fn() -> String,
    plan: Plan,
    /// Numbers of containers and tuples by address; the objects are kept so that addresses stay theirs.
    known: HashMap<usize, usize>,
    known_tuples: HashMap<usize, usize>,
    /// Of each tuple the levels of tuples from it on.
    heights: Vec<usize>,
    kept: Vec<Object>,
    places: Vec<Place>,
    /// Containers whose items were not looked at yet, with their places. A list, not a recursion: nesting may be deep.
    pending: Vec<(usize, Option<usize>, Object)>,
}

impl<'a> Maker<'a> {
    fn new(space: &'a Instance<Space>, path: &'a dyn Fn() -> String) -> Self {
        Self {
            space,
            path,
            plan: Plan::default(),
            known: HashMap::new(),
            known_tuples: HashMap::new(),
            heights: Vec::new(),
            kept: Vec::new(),
            places: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn place(&mut self, py: Python<'_>, parent: Option<usize>, step: Step) -> Result<Option<usize>> {
        memory::push(py, &mut self.places, Place { parent, step })?;
        Ok(Some(self.places.len() - 1))
    }

    /// `place`: of the object itself; `None` for one that goes where `path` says.
    fn add(&mut self, py: Python<'_>, object: &Any, place: Option<usize>, depth: usize) -> Result<Draft> {
        if let Some(value) = quick(py, object) {
            return Ok(Draft::Ready(value));
        }
        match object.native() {
            Native::Int => Ok(match object.integer(py)? {
                Integer::Small(value) => Draft::Int(value),
                Integer::Large { negative, magnitude } => Draft::Large(negative, magnitude),
            }),
            Native::Float => Ok(Draft::Float(object.float())),
            Native::Bytes => Ok(Draft::Bytes(object.to_object())),
            Native::Str => match object.to_text(py) {
                Ok(text) => Ok(Draft::Text(text)),
                Err(raised) if Kind::Unicode.is_set(py) => {
                    raised.clear(py);
                    Err(key::lone_surrogates(py, self.space, &self.path_to(py, place)))
                }
                Err(raised) => Err(raised),
            },
            Native::Tuple => self.add_tuple(py, object, place, depth),
            Native::List | Native::Dict => self.add_container(py, object, place),
            Native::None | Native::Bool | Native::Other => self.add_proxy(py, object, place),
        }
    }

    fn add_item(
        &mut self,
        py: Python<'_>,
        object: &Any,
        parent: Option<usize>,
        step: Step,
        depth: usize,
    ) -> Result<Draft> {
        if let Some(value) = quick(py, object) {
            return Ok(Draft::Ready(value));
        }
        let place = self.place(py, parent, step)?;
        self.add(py, object, place, depth)
    }

    fn add_proxy(&self, py: Python<'_>, object: &Any, place: Option<usize>) -> Result<Draft> {
        match proxy::of(self.space.interpreter(), object) {
            Some((space, handle)) if space.as_any().is(self.space.as_any()) => {
                // From before the space was closed and opened again: it may be gone, and if its memory is there that may go any time.
                proxy::hold_anew(py, self.space.interpreter(), object)?;
                Ok(Draft::Shared { handle, _proxy: object.to_object() })
            }
            Some(_) => {
                let path = self.path_to(py, place);
                let message =
                    format!("cannot share {path}: it lives in another space (x.to_python() gives plain values)");
                Err(Raised::with(py, &self.space.interpreter().errors.cross_space, message))
            }
            None => Err(proxy::not_shareable(py, self.space, object, &self.path_to(py, place), proxy::ACCEPTED)),
        }
    }

    fn add_tuple(&mut self, py: Python<'_>, object: &Any, place: Option<usize>, depth: usize) -> Result<Draft> {
        let known = self.known_tuples.get(&object.address()).copied();
        // A known one is not gone through again: the deepest in it is so much deeper.
        if depth + known.map_or(1, |known| self.heights[known]) > MOST_NESTED_TUPLES {
            return Err(Kind::Recursion.raise(py, "too many nested tuples"));
        }
        if let Some(known) = known {
            memory::insert(py, &mut self.plan.shared, known)?;
            return Ok(Draft::Tuple(known));
        }
        let mut items = Vec::new();
        for (index, item) in object.tuple_refs().enumerate() {
            memory::push(py, &mut items, self.add_item(py, item, place, Step::Index(index), depth + 1)?)?;
        }
        let height = |item: &Draft| if let Draft::Tuple(number) = item { self.heights[*number] } else { 0 };
        let height = 1 + items.iter().map(height).max().unwrap_or(0);
        let number = self.plan.tuples.len();
        memory::push(py, &mut self.plan.tuples, items)?;
        memory::push(py, &mut self.heights, height)?;
        memory::push(py, &mut self.kept, object.to_object())?;
        memory::reserve_key(py, &mut self.known_tuples)?;
        self.known_tuples.insert(object.address(), number);
        Ok(Draft::Tuple(number))
    }

    fn add_container(&mut self, py: Python<'_>, object: &Any, place: Option<usize>) -> Result<Draft> {
        if let Some(known) = self.known.get(&object.address()) {
            return Ok(Draft::Container(*known));
        }
        let number = self.plan.containers.len();
        // The kind at least, for whoever carries out a plan whose items are still to come.
        memory::push(py, &mut self.plan.containers, Container::Empty)?;
        memory::push(py, &mut self.kept, object.to_object())?;
        memory::push(py, &mut self.pending, (number, place, object.to_object()))?;
        memory::reserve_key(py, &mut self.known)?;
        self.known.insert(object.address(), number);
        Ok(Draft::Container(number))
    }

    fn finish(&mut self, py: Python<'_>) -> Result<()> {
        while let Some((number, place, object)) = self.pending.pop() {
            self.plan.containers[number] = if object.native() == Native::List {
                let mut items = Vec::new();
                for (index, item) in object.list_items(py)?.iter().enumerate() {
                    memory::push(py, &mut items, self.add_item(py, item, place, Step::Index(index), 0)?)?;
                }
                Container::List(items)
            } else {
                let mut items = Vec::new();
                for (key, value) in object.dict_items(py)? {
                    let stored = key::stored(py, self.space, &key, &|| self.path_to(py, place))?;
                    memory::push(py, &mut items, (stored, self.add_item(py, &value, place, Step::Key(key), 0)?))?;
                }
                Container::Dict(items)
            };
        }
        Ok(())
    }

    /// `root['a'][3]`
    fn path_to(&self, py: Python<'_>, place: Option<usize>) -> String {
        let mut steps = Vec::new();
        let mut next = place;
        while let Some(number) = next {
            let place = &self.places[number];
            steps.push(&place.step);
            next = place.parent;
        }
        let start = (self.path)();
        let mut path = String::new();
        for step in steps.iter().rev() {
            match step {
                Step::Index(index) => path += &format!("[{index}]"),
                Step::Key(key) => path += &format!("[{}]", key.repr_text(py)),
            }
        }
        // Words are no expression that could go on.
        match start.starts_with("item ") && !path.is_empty() {
            true => format!("{path} of {start}"),
            false => start + &path,
        }
    }
}
