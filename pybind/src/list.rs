//! `pso.List`: the proxy of a shared list. Each operation is atomic by itself. What is longer stands in `list_more` and `list_search`.

use pso_engine::object::{self, list};
use pso_engine::word::{BlockKind, Handle};

use crate::fetch::{Found, fetch_to_remove};
use crate::ffi::class::{Receiver, SEQUENCE};
use crate::ffi::method::Signature;
use crate::ffi::natives::Native;
use crate::ffi::slot::Slot;
use crate::ffi::weak::Identity;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Method, Object, Own, Python, Raised, Result, Type, WeakExtra};
use crate::holding::Held;
use crate::iterate::ListIterator;
use crate::plan;
use crate::proxy::{self, Proxy};
use crate::snapshot;
use crate::space::Space;

/// A shared list.
pub struct List(Proxy<List>);

impl Class for List {
    type Extra = WeakExtra;
}

static METHODS: [Method<List>; 21] = [
    Method::slotted(c"__getitem__", List::subscript, c"__getitem__($self, index, /)\n--\n\nReturn self[index]."),
    Method::one(c"append", List::append, c"append($self, object, /)\n--\n\nAppend object to the end of the list."),
    Method::one(c"extend", List::extend, c"extend($self, iterable, /)\n--\n\nExtend list by appending elements from the iterable, in one transaction."),
    Method::positional(c"insert", List::insert, c"insert($self, index, object, /)\n--\n\nInsert object before index. Moves all that is behind."),
    Method::positional(c"pop", List::pop, c"pop($self, index=-1, /)\n--\n\nRemove and return item at index (default last).\n\nRaises IndexError if list is empty or index is out of range."),
    Method::one(c"remove", List::remove, c"remove($self, value, /)\n--\n\nRemove first occurrence of value.\n\nRaises ValueError if the value is not present."),
    Method::positional(c"index", List::index, c"index($self, value, start=0, stop=9223372036854775807, /)\n--\n\nReturn first index of value.\n\nRaises ValueError if the value is not present."),
    Method::one(c"count", List::count, c"count($self, value, /)\n--\n\nReturn number of occurrences of value."),
    Method::plain(c"reverse", List::reverse, c"reverse($self, /)\n--\n\nReverse *IN PLACE*."),
    Method::many(c"sort", List::sort, c"sort($self, /, *, key=None, reverse=False)\n--\n\nSort the list in ascending order and return None, in one transaction. Stable, as the builtin."),
    Method::plain(c"clear", List::clear, c"clear($self, /)\n--\n\nRemove all items from list."),
    Method::plain(c"copy", List::copy, c"copy($self, /)\n--\n\nA new shared list in the same space with the same items."),
    Method::plain(c"to_python", List::to_python, c"to_python($self, /)\n--\n\nA plain list, deeply, all of one moment. Cycles and shared parts are kept; queues stay what they are."),
    Method::plain(c"__reversed__", List::reversed, c"__reversed__($self, /)\n--\n\nReturn a reverse iterator over the list."),
    Method::plain(c"__copy__", List::copy, c"__copy__($self, /)\n--\n\nA new shared list in the same space with the same items."),
    Method::one(c"__deepcopy__", List::deepcopy, c"__deepcopy__($self, memo, /)\n--\n\nA new shared list in the same space with copies of everything in it."),
    Method::plain(c"__reduce__", List::reduce, c"__reduce__($self, /)\n--\n\nPickled as a handle: see the documentation of pso."),
    Method::many(c"__reduce_ex__", List::reduce_ex, c"__reduce_ex__($self, protocol, /)\n--\n\nPickled as a handle."),
    Method::plain(c"__sizeof__", List::sizeof, c"__sizeof__($self, /)\n--\n\nBytes of the proxy in this process."),
    Method::class(c"__class_getitem__", List::class_getitem, c"__class_getitem__($type, item, /)\n--\n\nSee PEP 585"),
    Method::END,
];

/// Where a negative index leads in a list of a length; `None` outside.
#[inline]
pub fn place_of(index: isize, length: u64) -> Option<u64> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = if index < 0 { index as i64 + length } else { index as i64 };
    (0..length).contains(&place).then_some(place as u64)
}

impl List {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(
                c"List(iterable=(), /)\n--\n\nA list in shared memory, in the default space (`space.List(...)` names one).\n\nBehaves as the builtin. Plain containers are copied in and come back live; slices, + and * give\nplain lists of live values.",
            ),
            Slot::constructor(Self::construct),
            Slot::methods(&METHODS),
            Slot::subscript(Self::subscript),
            Slot::assign_subscript(Self::assign),
            Slot::mapping_len(Self::len),
            Slot::sequence_len(Self::len),
            Slot::item(Self::item_from_start),
            Slot::contains(Self::contains),
            Slot::concat(Self::concat),
            Slot::inplace_concat(Self::inplace_concat),
            Slot::repeat(Self::repeat),
            Slot::inplace_repeat(Self::inplace_repeat),
            Slot::iter(Self::iter),
            Slot::repr(Self::repr),
            Slot::compare(Self::compare),
            Slot::unhashable(),
        ];
        Type::new(py, module, c"pso.List", SEQUENCE, slots)
    }

    /// A proxy, for the space that makes it.
    pub fn new(space: Own<Space>, identity: Identity<u64, Self>, handle: Handle, held: Option<Held>) -> Self {
        Self(Proxy::new(BlockKind::List, space, identity, handle, held))
    }
    /// The common part.
    #[inline]
    pub fn proxy(&self) -> &Proxy<Self> {
        &self.0
    }
    #[inline]
    pub(crate) fn space(&self) -> &Instance<Space> {
        self.0.space()
    }
    #[inline]
    pub(crate) fn object(&self, py: Python<'_>) -> Result<Handle> {
        self.0.object(py)
    }

    fn construct(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let space = crate::MODULE.state_of_class(py, &class)?.default_space(py)?;
        Self::make(py, &space, arguments)
    }

    /// A new shared list.
    pub fn make(py: Python<'_>, space: &Instance<Space>, arguments: Arguments<'_>) -> Result<Object> {
        if arguments.named_len() > 0 {
            return Err(Kind::Type.raise(py, "List() takes no keyword arguments"));
        }
        const MAKE: Signature<1> = Signature { function: "List", names: [""], required: 0, positional: 1 };
        let [source] = arguments.take(py, &MAKE)?;
        let items = match source {
            Some(source) => Self::collect(py, space, source)?,
            None => Vec::new(),
        };
        Self::make_from(py, space, &items)
    }

    /// Item `index`, for positive and negative ones. Reads the length only for the latter.
    #[inline]
    fn find_at(&self, py: Python<'_>, index: isize, found: &mut Found) -> Result<()> {
        let handle = self.object(py)?;
        self.space().operate(py, |tx| {
            let place = if index >= 0 {
                index as u64
            } else {
                match place_of(index, list::len(tx, handle)?) {
                    Some(place) => place,
                    // An attempt before may have found something.
                    None => {
                        *found = Found::Missing;
                        return Ok(());
                    }
                }
            };
            *found = match list::get(tx, handle, place)? {
                Some(value) => Found::look(py, self.space(), tx, value)?,
                None => Found::Missing,
            };
            Ok(())
        })
    }

    fn subscript(this: &Instance<Self>, py: Python<'_>, index: &Any) -> Result<Object> {
        // An int before all, without a call: the everyday index.
        if index.native() == Native::Int
            && let Some(index) = index.small_int()
        {
            return Self::item(this, py, index as isize);
        }
        if index.is_slice() {
            return Self::get_slice(this, py, index);
        }
        if !index.is_index() {
            return Err(not_an_index(py, index));
        }
        Self::item(this, py, index.index(py)?)
    }

    /// For C code: CPython has added the length to a negative index already.
    fn item_from_start(this: &Instance<Self>, py: Python<'_>, index: isize) -> Result<Object> {
        if index < 0 {
            return Err(Kind::Index.raise(py, "list index out of range"));
        }
        Self::item(this, py, index)
    }

    fn item(this: &Instance<Self>, py: Python<'_>, index: isize) -> Result<Object> {
        let mut found = Found::Missing;
        this.find_at(py, index, &mut found)?;
        match found.into_object(py, this.space())? {
            Some(item) => Ok(item),
            None => Err(Kind::Index.raise(py, "list index out of range")),
        }
    }

    fn assign(this: &Instance<Self>, py: Python<'_>, index: &Any, value: Option<&Any>) -> Result<()> {
        // The everyday case: an int that fits a word, at an int that is not negative.
        if index.native() == Native::Int
            && let Some(place) = index.small_int().and_then(|index| u64::try_from(index).ok())
            && let Some(value) = value.and_then(|value| plan::quick(py, value))
        {
            let handle = this.object(py)?;
            let done = this.space().operate(py, |tx| list::set(tx, handle, place, value))?;
            return this.assigned(py, done);
        }
        if index.is_slice() {
            return match value {
                Some(value) => this.set_slice(py, index, value),
                None => this.delete_slice(py, index),
            };
        }
        if !index.is_index() {
            return Err(not_an_index(py, index));
        }
        let index = index.index(py)?;
        let Some(value) = value else { return this.delete(py, index) };
        let (plan, draft) = plan::draft(py, this.space(), value, &|| this.path(index))?;
        let handle = this.object(py)?;
        let done = this.space().operate(py, |tx| {
            let place = if index >= 0 {
                index as u64
            } else {
                match place_of(index, list::len(tx, handle)?) {
                    Some(place) => place,
                    None => return Ok(false),
                }
            };
            // First: what is made for a place that is not there would be garbage.
            if list::get(tx, handle, place)?.is_none() {
                return Ok(false);
            }
            let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
            list::set(tx, handle, place, value)
        })?;
        this.assigned(py, done)
    }

    fn assigned(&self, py: Python<'_>, done: bool) -> Result<()> {
        if !done {
            return Err(Kind::Index.raise(py, "list assignment index out of range"));
        }
        self.0.wrote(py, 0);
        Ok(())
    }

    /// What an item is called in messages.
    pub(crate) fn path(&self, index: impl std::fmt::Display) -> String {
        format!("{}[{index}]", self.0.name("list"))
    }

    fn delete(&self, py: Python<'_>, index: isize) -> Result<()> {
        let handle = self.object(py)?;
        let removed = self.space().operate(py, |tx| match place_of(index, list::len(tx, handle)?) {
            Some(place) => match list::remove(tx, handle, place)? {
                Some(item) => object::discard(tx, item).map(|()| true),
                None => Ok(false),
            },
            None => Ok(false),
        })?;
        if !removed {
            return Err(Kind::Index.raise(py, "list assignment index out of range"));
        }
        self.0.wrote(py, -1);
        Ok(())
    }

    /// Number of items.
    pub fn length(&self, py: Python<'_>) -> Result<u64> {
        let handle = self.object(py)?;
        self.space().operate(py, |tx| list::len(tx, handle))
    }
    fn len(this: &Instance<Self>, py: Python<'_>) -> Result<usize> {
        Ok(this.length(py)? as usize)
    }

    fn append(this: &Instance<Self>, py: Python<'_>, object: &Any) -> Result<Object> {
        let (plan, draft) = plan::draft(py, this.space(), object, &|| this.path("-1"))?;
        let handle = this.object(py)?;
        this.space().operate(py, |tx| {
            let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
            list::push(tx, handle, value)
        })?;
        this.0.wrote(py, 1);
        Ok(py.none())
    }

    fn insert(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const INSERT: Signature<2> = Signature { function: "insert", names: ["", ""], required: 2, positional: 2 };
        let [index, object] = arguments.take(py, &INSERT)?;
        let (Some(index), Some(object)) = (index, object) else { return Ok(py.none()) };
        let index = index.machine_int(py)?;
        let (plan, draft) = plan::draft(py, this.space(), object, &|| this.path(index))?;
        let handle = this.object(py)?;
        this.space().operate(py, |tx| {
            let length = list::len(tx, handle)?;
            let place = place_of(index, length).unwrap_or(if index < 0 { 0 } else { length });
            let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
            list::insert(tx, handle, place, value)
        })?;
        this.0.wrote(py, 1);
        Ok(py.none())
    }

    fn pop(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const POP: Signature<1> = Signature { function: "pop", names: [""], required: 0, positional: 1 };
        let [index] = arguments.take(py, &POP)?;
        let index = index.map(|index| index.machine_int(py)).transpose()?.unwrap_or(-1);
        let handle = this.object(py)?;
        let (empty, popped) = this.space().operate(py, |tx| {
            let length = list::len(tx, handle)?;
            let Some(place) = place_of(index, length) else { return Ok((length == 0, None)) };
            match list::remove(tx, handle, place)? {
                Some(value) => {
                    let fetched = fetch_to_remove(py, this.space(), tx, value)?;
                    object::discard(tx, value)?;
                    Ok((false, Some(fetched)))
                }
                None => Ok((true, None)),
            }
        })?;
        match popped {
            Some(popped) => {
                this.0.wrote(py, -1);
                popped.into_object(py, this.space())
            }
            None if empty => Err(Kind::Index.raise(py, "pop from empty list")),
            None => Err(Kind::Index.raise(py, "pop index out of range")),
        }
    }

    fn clear(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let handle = this.object(py)?;
        this.space().operate(py, |tx| list::truncate(tx, handle, 0))?;
        this.0.wrote(py, 0);
        Ok(py.none())
    }

    fn to_python(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        snapshot::plain_one(py, this.space(), BlockKind::List, this.object(py)?)
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let shown = Self::to_python(this, py).and_then(|plain| plain.repr(py));
        this.0.repr(py, "List", shown)
    }
    fn iter(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.length(py)?;
        ListIterator::start(py, this, false)
    }
    fn reversed(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        ListIterator::start(py, this, true)
    }
    fn deepcopy(this: &Instance<Self>, py: Python<'_>, memo: &Any) -> Result<Object> {
        proxy::deepcopy(py, this.space(), &*Self::to_python(this, py)?, this.as_any(), memo)
    }
    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.0.reduce(py, this.as_any(), BlockKind::List)
    }
    fn reduce_ex(this: &Instance<Self>, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
        Self::reduce(this, py)
    }
    fn sizeof(_this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.int(size_of::<Instance<Self>>() as i64)
    }
    fn class_getitem(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        proxy::class_getitem(class, py, arguments)
    }
}

#[cold]
fn not_an_index(py: Python<'_>, index: &Any) -> Raised {
    let message = format!("list indices must be integers or slices, not {}", index.class_name());
    Kind::Type.raise(py, message)
}
