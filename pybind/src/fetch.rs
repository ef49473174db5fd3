//! Values on their way out: looked at inside the attempt, made Python objects after it.
//!
//! Inside the attempt only strs, bytes and large ints are made objects at once, straight from shared memory: that allocates, and runs
//! no Python code. Tuples could start a collection, and proxies are made; they wait until the engine is done. (What is taken out is made before it is
//! gone, see [`fetch_to_remove`].) Live objects are held from inside the attempt on (see [`crate::holding`]).
//!
//! A tuple that several name is looked at once in an operation, and is one object outside, too: a long one that stands in a list a thousand times is not read a thousand
//! times, and tuples of tuples that name each other twice are not read in a time that doubles with each level.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::{View, bytes, int, text, tuple, view};
use pso_engine::word::{BlockKind, Handle, InlineBytes, Value};

use crate::ffi::{Instance, Kind, Object, Python, Raised, Result, gc};
use crate::holding::{Keep, Shared};
use crate::key::MOST_NESTED_TUPLES;
use crate::memory;
use crate::space::{Space, Tx};

/// A value that was read.
pub enum Fetched {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An int.
    Int(i64),
    /// A float.
    Float(f64),
    /// A short str, not yet checked.
    ShortText(InlineBytes),
    /// Short bytes.
    ShortBytes(InlineBytes),
    /// A str, bytes, or a large int.
    Object(Object),
    /// One for which this process has no memory. Said later: an attempt goes on, or is run again, without an exception.
    NoMemory,
    /// A tuple.
    Tuple(Vec<Fetched>),
    /// A tuple that several name.
    Many(Rc<Many>),
    /// A live object.
    Shared(Shared),
}

/// A tuple that several name: its items until the first of them wants the object, then that.
pub struct Many {
    /// Levels of tuples from here on: whoever names it stands that much less deep. Who drops what was read goes down one call for each.
    height: usize,
    items: RefCell<Vec<Fetched>>,
    object: RefCell<Option<Object>>,
    was_visited: Cell<bool>,
    lacks_memory: bool,
    names_live_object: bool,
}

/// One look at values of a space, and what is in them, in one attempt. What several name the first of them makes: so all that it gives is made by one thread, which ends with the first that
/// cannot be made. (An iterator, which goes on after, and is everybody's, looks at each value by itself.)
pub struct Look<'a> {
    space: &'a Space,
    /// Whether live containers are to be kept. Those that are copied at once need nobody.
    keeps_containers: bool,
    /// Tuples that several name, by their handles. Nearly never any.
    many: Option<HashMap<u64, Rc<Many>>>,
}

/// Text is UTF-8 already, and an int has any size, so what fails is memory.
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

/// Looks at a value that is the only one of its operation.
#[inline]
pub fn fetch(py: Python<'_>, space: &Space, tx: &mut Tx, value: Value) -> Result<Fetched, Stop> {
    Look::new(space).fetch(py, tx, value)
}

/// The same for whoever takes the value out: if there is no memory for it, it stays, and a `MemoryError` is raised. So all but live objects is made at
/// once, tuples too, with the collector asleep.
pub fn fetch_to_remove(py: Python<'_>, space: &Instance<Space>, tx: &mut Tx, value: Value) -> Result<Fetched, Stop> {
    let fetched = fetch(py, space, tx, value)?;
    if fetched.lacks_memory() {
        let _raised = no_memory(py);
        return Err(Stop::Interrupted);
    }
    if fetched.names_live_object() {
        return Ok(fetched);
    }
    let made = gc::asleep(py, || fetched.into_object(py, space));
    made.map(Fetched::Object).map_err(|_raised| Stop::Interrupted)
}

#[cold]
fn no_memory(py: Python<'_>) -> Raised {
    Kind::Memory.raise(py, "no memory for a value that was read")
}

impl<'a> Look<'a> {
    /// For an attempt.
    #[inline]
    pub fn new(space: &'a Space) -> Self {
        Self { space, keeps_containers: true, many: None }
    }

    /// The same for whoever needs lists and dicts only as long as the attempt runs.
    pub fn in_passing(space: &'a Space) -> Self {
        Self { space, keeps_containers: false, many: None }
    }

    /// Looks at a value.
    #[inline]
    pub fn fetch(&mut self, py: Python<'_>, tx: &mut Tx, value: Value) -> Result<Fetched, Stop> {
        match value.as_int() {
            Some(value) => Ok(Fetched::Int(value)),
            None => self.fetch_at(py, tx, value, 0),
        }
    }

    fn fetch_at(&mut self, py: Python<'_>, tx: &mut Tx, value: Value, depth: usize) -> Result<Fetched, Stop> {
        let too_deep = || corrupt("tuples that are nested deeper than any were stored", value.raw());
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
                int::with(tx, handle, |negative, magnitude| made(py, py.large_int(negative, magnitude)))?
            }
            View::Tuple(_) if depth >= MOST_NESTED_TUPLES => return Err(too_deep()),
            View::Tuple(handle) if tx.is_shared(handle) => {
                if let Some(known) = self.many.as_ref().and_then(|many| many.get(&handle.raw())) {
                    let fits = depth + known.height <= MOST_NESTED_TUPLES;
                    return if fits { Ok(Fetched::Many(Rc::clone(known))) } else { Err(too_deep()) };
                }
                let Some(items) = self.items(py, tx, handle, depth)? else { return Ok(Fetched::NoMemory) };
                let height = 1 + items.iter().map(Fetched::height).max().unwrap_or(0);
                let lacks_memory = items.iter().any(Fetched::lacks_memory);
                let names_live_object = items.iter().any(Fetched::names_live_object);
                let (object, was_visited) = (RefCell::new(None), Cell::new(false));
                let items = RefCell::new(items);
                let many = Many { height, items, object, was_visited, lacks_memory, names_live_object };
                let many = Rc::new(many);
                let known = self.many.get_or_insert_default();
                memory::reserve_key(py, known)?;
                known.insert(handle.raw(), Rc::clone(&many));
                Fetched::Many(many)
            }
            View::Tuple(handle) => self.items(py, tx, handle, depth)?.map_or(Fetched::NoMemory, Fetched::Tuple),
            View::Shared(kind, handle) => {
                let keep = match kind {
                    BlockKind::List | BlockKind::Dict if !self.keeps_containers => Keep::Nothing,
                    _ => self.space.keep(py, tx, kind, handle)?,
                };
                Fetched::Shared(Shared { kind, handle, keep })
            }
        })
    }

    /// `None`: there is no memory for so many.
    fn items(
        &mut self,
        py: Python<'_>,
        tx: &mut Tx,
        tuple: Handle,
        depth: usize,
    ) -> Result<Option<Vec<Fetched>>, Stop> {
        let mut items = Vec::new();
        for index in 0..tuple::len(tx, tuple)? {
            if items.try_reserve(1).is_err() {
                return Ok(None);
            }
            match tuple::item(tx, tuple, index)? {
                Some(item) => items.push(self.fetch_at(py, tx, item, depth + 1)?),
                None => return Err(corrupt("a tuple", tuple.raw())),
            }
        }
        Ok(Some(items))
    }
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
            Self::Float(value) => py.float(value),
            Self::ShortText(short) => match std::str::from_utf8(short.as_slice()) {
                Ok(text) => py.str(text),
                Err(_) => Err(space.stopped(py, corrupt("a short text that is not UTF-8", 0))),
            },
            Self::ShortBytes(short) => py.bytes(short.as_slice()),
            Self::Object(made) => Ok(made),
            Self::NoMemory => Err(no_memory(py)),
            Self::Tuple(items) => tuple_of(py, items, space, shared),
            Self::Many(many) => {
                let made = many.object.borrow().clone();
                if let Some(made) = made {
                    return Ok(made);
                }
                let object = tuple_of(py, many.items.take(), space, shared)?;
                many.object.replace(Some(object.clone()));
                Ok(object)
            }
            Self::Shared(object) => shared(object),
        }
    }

    /// Levels of tuples.
    fn height(&self) -> usize {
        match self {
            Self::Tuple(items) => 1 + items.iter().map(Self::height).max().unwrap_or(0),
            Self::Many(many) => many.height,
            _ => 0,
        }
    }

    /// Whether it was read and cannot be had.
    fn lacks_memory(&self) -> bool {
        match self {
            Self::NoMemory => true,
            Self::Tuple(items) => items.iter().any(Self::lacks_memory),
            Self::Many(many) => many.lacks_memory,
            _ => false,
        }
    }

    /// Whether it is a live object, or holds one.
    pub fn names_live_object(&self) -> bool {
        match self {
            Self::Shared(_) => true,
            Self::Tuple(items) => items.iter().any(Self::names_live_object),
            Self::Many(many) => many.names_live_object,
            _ => false,
        }
    }

    /// Calls `visit` with every live object in it, those in tuples included; of a tuple that several name the first time only.
    pub fn each_shared(&self, visit: &mut impl FnMut(BlockKind, Handle)) {
        match self {
            Self::Shared(object) => visit(object.kind, object.handle),
            Self::Tuple(items) => items.iter().for_each(|item| item.each_shared(visit)),
            Self::Many(many) if !many.was_visited.replace(true) => {
                many.items.borrow().iter().for_each(|item| item.each_shared(visit));
            }
            _ => {}
        }
    }
}

fn tuple_of(
    py: Python<'_>,
    items: Vec<Fetched>,
    space: &Instance<Space>,
    shared: &mut dyn FnMut(Shared) -> Result<Object>,
) -> Result<Object> {
    let mut objects = memory::with_capacity(py, items.len())?;
    for item in items {
        objects.push(item.into_object_with(py, space, shared)?);
    }
    py.tuple(objects)
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
