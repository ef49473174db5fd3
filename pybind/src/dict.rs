//! `pso.Dict`: the proxy of a shared dict. Each operation is atomic by itself. What is about whole dicts stands in `dict_more`.

use pso_engine::error::Stop;
use pso_engine::object::key::Key;
use pso_engine::object::{self, dict};
use pso_engine::word::{BlockKind, Handle, Value};

use crate::equal;
use crate::fetch::{Fetched, Found, fetch, fetch_to_remove};
use crate::ffi::class::{MAPPING, Receiver};
use crate::ffi::method::Signature;
use crate::ffi::natives::Native;
use crate::ffi::slot::Slot;
use crate::ffi::weak::Identity;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Method, Object, Own, Python, Result, Type, WeakExtra};
use crate::holding::Held;
use crate::iterate::{DictIterator, Part};
use crate::key::{Purpose, with_key};
use crate::plan;
use crate::proxy::{self, Proxy};
use crate::snapshot;
use crate::source::{self, Source};
use crate::space::{Space, Tx};
use crate::transaction::{self, Limits};

/// A shared dict.
pub struct Dict(Proxy<Dict>);

impl Class for Dict {
    type Extra = WeakExtra;
}

static METHODS: [Method<Dict>; 25] = [
    Method::slotted(c"__getitem__", Dict::subscript, c"__getitem__($self, key, /)\n--\n\nReturn self[key]."),
    Method::positional(c"get", Dict::get, c"get($self, key, default=None, /)\n--\n\nReturn the value for key if key is in the dictionary, else default."),
    Method::positional(c"setdefault", Dict::setdefault, c"setdefault($self, key, default=None, /)\n--\n\nInsert key with a value of default if key is not in the dictionary.\n\nReturn the value for key if key is in the dictionary, else default, as a live object."),
    Method::positional(c"pop", Dict::pop, c"D.pop(k[,d]) -> v, remove specified key and return the corresponding value.\n\nIf the key is not found, return the default if given; otherwise,\nraise a KeyError."),
    Method::plain(c"popitem", Dict::popitem, c"popitem($self, /)\n--\n\nRemove and return a (key, value) pair as a 2-tuple, in LIFO order.\n\nRaises KeyError if the dict is empty."),
    Method::many(c"update", Dict::update, c"D.update([E, ]**F) -> None.  Update D from mapping/iterable E and F, in one transaction."),
    Method::plain(c"clear", Dict::clear, c"clear($self, /)\n--\n\nRemove all items from the dict."),
    Method::plain(c"copy", Dict::copy, c"copy($self, /)\n--\n\nA new shared dict in the same space with the same items."),
    Method::plain(c"keys", Dict::keys, c"keys($self, /)\n--\n\nA view of the keys."),
    Method::plain(c"values", Dict::values, c"values($self, /)\n--\n\nA view of the values."),
    Method::plain(c"items", Dict::items, c"items($self, /)\n--\n\nA view of the items."),
    Method::class(c"fromkeys", Dict::fromkeys, c"fromkeys($type, iterable, value=None, /)\n--\n\nA new shared dict in the default space with keys from iterable and values set to value."),
    Method::plain(c"to_python", Dict::to_python, c"to_python($self, /)\n--\n\nA plain dict, deeply, all of one moment. Cycles and shared parts are kept; queues stay what they are."),
    Method::plain(c"__reversed__", Dict::reversed, c"__reversed__($self, /)\n--\n\nReturn a reverse iterator over the dict keys."),
    Method::positional(c"_iterate", Dict::iterate_part, c"_iterate($self, part, reverse, /)\n--\n\nAn iterator over keys (0), values (1) or items (2)."),
    Method::one(c"_contains_item", Dict::contains_item, c"_contains_item($self, item, /)\n--\n\nWhether the pair is in the dict."),
    Method::positional(c"_common", Dict::common, c"_common($self, part, objects, /)\n--\n\nThose of a list of objects that are keys (0) or items (2), or None."),
    Method::plain(c"_snapshot", Dict::snapshot, c"_snapshot($self, /)\n--\n\nThe items at one moment, as a plain dict of live values."),
    Method::plain(c"__copy__", Dict::copy, c"__copy__($self, /)\n--\n\nA new shared dict in the same space with the same items."),
    Method::one(c"__deepcopy__", Dict::deepcopy, c"__deepcopy__($self, memo, /)\n--\n\nA new shared dict in the same space with copies of everything in it."),
    Method::plain(c"__reduce__", Dict::reduce, c"__reduce__($self, /)\n--\n\nPickled as a handle: see the documentation of pso."),
    Method::many(c"__reduce_ex__", Dict::reduce_ex, c"__reduce_ex__($self, protocol, /)\n--\n\nPickled as a handle."),
    Method::plain(c"__sizeof__", Dict::sizeof, c"__sizeof__($self, /)\n--\n\nBytes of the proxy in this process."),
    Method::class(c"__class_getitem__", Dict::class_getitem, c"__class_getitem__($type, item, /)\n--\n\nSee PEP 585"),
    Method::END,
];

/// Whether the first of the arguments is read as a whole in this space.
fn reads_beside(py: Python<'_>, space: &Instance<Space>, arguments: Arguments<'_>) -> Result<bool> {
    let first = arguments.positional().first();
    first.map_or(Ok(false), |first| source::is_beside(py, space, first))
}

impl Dict {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(
                c"Dict(*args, **kwargs)\n--\n\nA dict in shared memory, in the default space (`space.Dict(...)` names one).\n\nBehaves as the builtin. Keys are None, bool, int, float, str, bytes and tuples of these; plain\ncontainers among the values are copied in and come back live.",
            ),
            Slot::constructor(Self::construct),
            Slot::methods(&METHODS),
            Slot::subscript(Self::subscript),
            Slot::assign_subscript(Self::assign),
            Slot::mapping_len(Self::len),
            Slot::contains(Self::contains),
            Slot::iter(Self::iter),
            Slot::repr(Self::repr),
            Slot::compare(Self::compare),
            Slot::or(Self::or),
            Slot::inplace_or(Self::inplace_or),
            Slot::unhashable(),
        ];
        Type::new(py, module, c"pso.Dict", MAPPING, slots)
    }

    /// A proxy, for the space that makes it.
    pub fn new(space: Own<Space>, identity: Identity<u64, Self>, handle: Handle, held: Option<Held>) -> Self {
        Self(Proxy::new(BlockKind::Dict, space, identity, handle, held).with_size())
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

    fn construct(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let space = crate::MODULE.state_of_class(py, &class)?.default_space(py)?;
        Self::make(py, &space, arguments)
    }

    /// A new shared dict.
    pub fn make(py: Python<'_>, space: &Instance<Space>, arguments: Arguments<'_>) -> Result<Object> {
        if arguments.positional().len() > 1 {
            let count = arguments.positional().len();
            return Err(Kind::Type.raise(py, format!("Dict expected at most 1 argument, got {count}")));
        }
        // Read and made in one transaction, if the source is in the same space.
        let interpreter = space.interpreter();
        if !reads_beside(py, space, arguments)? {
            return Self::make_from(py, space, Source::take(py, interpreter, arguments)?);
        }
        transaction::run(py, space, Limits::default(), |py| {
            Self::make_from(py, space, Source::take(py, interpreter, arguments)?)
        })
    }

    fn subscript(this: &Instance<Self>, py: Python<'_>, object: &Any) -> Result<Object> {
        let space = this.space();
        let mut found = Found::Missing;
        with_key(py, space, object, Purpose::Lookup, |key| match key {
            Some(key) => this.look_up_into(py, key, &mut found),
            None => Ok(()),
        })?;
        match found.into_object(py, space)? {
            Some(object) => Ok(object),
            None => Err(Kind::Key.raise_with(py, object)),
        }
    }

    /// What is found goes straight to its place: moving large results through several returns costs as much as the look-up.
    #[inline]
    fn look_up_into(&self, py: Python<'_>, key: &Key<'_>, found: &mut Found) -> Result<()> {
        let handle = self.0.object(py)?;
        self.space().operate(py, |tx| {
            *found = match dict::get(tx, handle, key)? {
                Some(value) => Found::look(py, self.space(), tx, value)?,
                None => Found::Missing,
            };
            Ok(())
        })
    }

    fn path(&self, py: Python<'_>, key: &Any) -> String {
        format!("{}[{}]", self.0.name("dict"), key.repr_text(py))
    }

    fn assign(this: &Instance<Self>, py: Python<'_>, object: &Any, value: Option<&Any>) -> Result<()> {
        let Some(value) = value else { return this.delete(py, object) };
        let space = this.space();
        let handle = this.0.object(py)?;
        let container = || this.0.name("dict");
        with_key(py, space, object, Purpose::Store(&container), |key| {
            let Some(key) = key else { return Ok(()) };
            let added = match plan::quick(py, value) {
                Some(value) => space.operate(py, |tx| put(tx, handle, key, value))?,
                None => this.assign_planned(py, key, object, value)?,
            };
            this.0.wrote(py, i64::from(added));
            Ok(())
        })
    }

    /// The same for a value that does not fit a word. True: the key is new.
    #[inline(never)]
    fn assign_planned(&self, py: Python<'_>, key: &Key<'_>, object: &Any, value: &Any) -> Result<bool> {
        let handle = self.0.object(py)?;
        let (plan, draft) = plan::draft(py, self.space(), value, &|| self.path(py, object))?;
        self.space().operate(py, |tx| {
            let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
            put(tx, handle, key, value)
        })
    }

    fn delete(&self, py: Python<'_>, object: &Any) -> Result<()> {
        let handle = self.0.object(py)?;
        let removed = with_key(py, self.space(), object, Purpose::Lookup, |key| match key {
            Some(key) => self.space().operate(py, |tx| match dict::remove(tx, handle, key)? {
                Some((key, value)) => discard_both(tx, key, value).map(|()| true),
                None => Ok(false),
            }),
            None => Ok(false),
        })?;
        if !removed {
            return Err(Kind::Key.raise_with(py, object));
        }
        self.0.wrote(py, -1);
        Ok(())
    }

    /// Number of keys.
    pub fn length(&self, py: Python<'_>) -> Result<u64> {
        let handle = self.0.object(py)?;
        self.space().operate(py, |tx| dict::len(tx, handle))
    }
    fn len(this: &Instance<Self>, py: Python<'_>) -> Result<usize> {
        Ok(this.length(py)? as usize)
    }

    fn contains(this: &Instance<Self>, py: Python<'_>, object: &Any) -> Result<bool> {
        let handle = this.0.object(py)?;
        with_key(py, this.space(), object, Purpose::Lookup, |key| match key {
            Some(key) => this.space().operate(py, |tx| dict::contains(tx, handle, key)),
            None => Ok(false),
        })
    }

    fn get(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const GET: Signature<2> = Signature { function: "get", names: ["", ""], required: 1, positional: 2 };
        let [object, default] = arguments.take(py, &GET)?;
        let Some(object) = object else { return Ok(py.none()) };
        let mut found = Found::Missing;
        with_key(py, this.space(), object, Purpose::Lookup, |key| match key {
            Some(key) => this.look_up_into(py, key, &mut found),
            None => Ok(()),
        })?;
        let found = found.into_object(py, this.space())?;
        Ok(found.unwrap_or_else(|| default.map_or_else(|| py.none(), Any::to_object)))
    }

    fn setdefault(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const SETDEFAULT: Signature<2> =
            Signature { function: "setdefault", names: ["", ""], required: 1, positional: 2 };
        let [object, default] = arguments.take(py, &SETDEFAULT)?;
        let none = py.none();
        let (Some(object), default) = (object, default.unwrap_or(&none)) else { return Ok(none) };
        let (space, handle) = (this.space(), this.0.object(py)?);
        let container = || this.0.name("dict");
        let (fetched, added) = with_key(py, space, object, Purpose::Store(&container), |key| {
            let Some(key) = key else { return Ok((Fetched::None, false)) };
            // First: a default that is not needed may be large, or anything.
            let found = space.operate(py, |tx| {
                let value = dict::get(tx, handle, key)?;
                value.map(|value| fetch(py, space, tx, value)).transpose()
            })?;
            if let Some(value) = found {
                return Ok((value, false));
            }
            let (plan, draft) = plan::draft(py, space, default, &|| this.path(py, object))?;
            space.operate(py, |tx| {
                if let Some(value) = dict::get(tx, handle, key)? {
                    return Ok((fetch(py, space, tx, value)?, false));
                }
                let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
                dict::set(tx, handle, key, value)?;
                Ok((fetch(py, space, tx, value)?, true))
            })
        })?;
        if added {
            this.0.wrote(py, 1);
        }
        fetched.into_object(py, space)
    }

    fn pop(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const POP: Signature<2> = Signature { function: "pop", names: ["", ""], required: 1, positional: 2 };
        let [object, default] = arguments.take(py, &POP)?;
        let Some(object) = object else { return Ok(py.none()) };
        let handle = this.0.object(py)?;
        let removed = with_key(py, this.space(), object, Purpose::Lookup, |key| match key {
            Some(key) => this.space().operate(py, |tx| match dict::remove(tx, handle, key)? {
                Some((key, value)) => {
                    let fetched = fetch_to_remove(py, this.space(), tx, value)?;
                    discard_both(tx, key, value)?;
                    Ok(Some(fetched))
                }
                None => Ok(None),
            }),
            None => Ok(None),
        })?;
        match (removed, default) {
            (Some(value), _) => {
                this.0.wrote(py, -1);
                value.into_object(py, this.space())
            }
            (None, Some(default)) => Ok(default.to_object()),
            (None, None) => Err(Kind::Key.raise_with(py, object)),
        }
    }

    fn popitem(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let (space, handle) = (this.space(), this.0.object(py)?);
        let popped = space.operate(py, |tx| match dict::pop_last(tx, handle)? {
            Some((key, value)) => {
                let fetched = (fetch_to_remove(py, space, tx, key)?, fetch_to_remove(py, space, tx, value)?);
                discard_both(tx, key, value)?;
                Ok(Some(fetched))
            }
            None => Ok(None),
        })?;
        let Some((key, value)) = popped else {
            return Err(Kind::Key.raise(py, "popitem(): dictionary is empty"));
        };
        this.0.wrote(py, -1);
        py.tuple(vec![key.into_object(py, space)?, value.into_object(py, space)?])
    }

    fn update(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        this.take_over(py, arguments)?;
        Ok(py.none())
    }

    /// Adds all that the arguments hold, in one transaction. If something of the space is read for it, in the same one.
    pub(crate) fn take_over(&self, py: Python<'_>, arguments: Arguments<'_>) -> Result<()> {
        let interpreter = self.space().interpreter();
        if !reads_beside(py, self.space(), arguments)? {
            return self.add_all(py, Source::take(py, interpreter, arguments)?);
        }
        transaction::run(py, self.space(), Limits::default(), |py| {
            self.add_all(py, Source::take(py, interpreter, arguments)?)?;
            Ok(py.none())
        })
        .map(drop)
    }

    fn add_all(&self, py: Python<'_>, source: Source) -> Result<()> {
        let drafts = source.into_drafts(py, self.space(), &self.0.name("dict"))?;
        let handle = self.0.object(py)?;
        let added = self.space().operate(py, |tx| drafts.write(py, tx, handle))?;
        self.0.wrote(py, added);
        Ok(())
    }

    fn clear(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let handle = this.0.object(py)?;
        let removed = this.space().operate(py, |tx| {
            let length = dict::len(tx, handle)?;
            dict::clear(tx, handle)?;
            Ok(length)
        })?;
        this.0.wrote(py, -i64::try_from(removed).unwrap_or(i64::MAX));
        Ok(py.none())
    }

    fn deepcopy(this: &Instance<Self>, py: Python<'_>, memo: &Any) -> Result<Object> {
        proxy::deepcopy(py, this.space(), &*Self::to_python(this, py)?, this.as_any(), memo)
    }

    fn keys(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let helper = this.space().interpreter().helpers(py)?.keys.clone();
        helper.call(py, &[this.as_any()])
    }
    fn values(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let helper = this.space().interpreter().helpers(py)?.values.clone();
        helper.call(py, &[this.as_any()])
    }
    fn items(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let helper = this.space().interpreter().helpers(py)?.items.clone();
        helper.call(py, &[this.as_any()])
    }

    pub(crate) fn make_from(py: Python<'_>, space: &Instance<Space>, source: Source) -> Result<Object> {
        let drafts = source.into_drafts(py, space, "dict")?;
        let held = space.operate(py, |tx| {
            let handle = dict::create(tx)?;
            drafts.write(py, tx, handle)?;
            space.hold(tx, handle)
        })?;
        Space::dict(space, py, held.handle(), Some(held)).map(Own::into_object)
    }

    pub(crate) fn to_python(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        snapshot::plain_one(py, this.space(), BlockKind::Dict, this.0.object(py)?)
    }

    fn iter(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        // Asked at once, as the builtin would be: of what is gone there is no iterator.
        this.length(py)?;
        DictIterator::start(py, this, Part::Keys, false)
    }
    fn reversed(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        DictIterator::start(py, this, Part::Keys, true)
    }
    fn iterate_part(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const ITERATE: Signature<2> = Signature { function: "_iterate", names: ["", ""], required: 2, positional: 2 };
        let [part, reverse] = arguments.take(py, &ITERATE)?;
        let part = match part.map(|part| part.index(py)).transpose()? {
            Some(1) => Part::Values,
            Some(2) => Part::Items,
            _ => Part::Keys,
        };
        let reverse = reverse.map(|reverse| reverse.is_true(py)).transpose()?.unwrap_or(false);
        DictIterator::start(py, this, part, reverse)
    }

    fn contains_item(this: &Instance<Self>, py: Python<'_>, item: &Any) -> Result<Object> {
        if item.native_base() != Native::Tuple {
            return Ok(py.bool(false));
        }
        let items = item.tuple_items(py)?;
        let [key, value] = &items[..] else { return Ok(py.bool(false)) };
        let is_found = |py: Python<'_>| -> Result<bool> {
            let mut found = Found::Missing;
            with_key(py, this.space(), key, Purpose::Lookup, |key| match key {
                Some(key) => this.look_up_into(py, key, &mut found),
                None => Ok(()),
            })?;
            found.into_object(py, this.space())?.map_or(Ok(false), |found| found.equals(py, value))
        };
        Ok(py.bool(match equal::may_read(this.space(), value) {
            true => equal::of_one_moment(py, this.space(), is_found)?,
            false => is_found(py)?,
        }))
    }

    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let shown = Self::to_python(this, py).and_then(|plain| plain.repr(py));
        this.0.repr(py, "Dict", shown)
    }

    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.0.reduce(py, this.as_any(), BlockKind::Dict)
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

/// Gives a key a value, and discards the one that it had. True: the key is new.
#[inline]
pub fn put(tx: &mut Tx, handle: Handle, key: &Key<'_>, value: Value) -> Result<bool, Stop> {
    match dict::set(tx, handle, key, value)? {
        Some(old) => object::discard(tx, old).map(|()| false),
        None => Ok(true),
    }
}

/// Discards what a dict gave up.
fn discard_both(tx: &mut Tx, key: Value, value: Value) -> Result<(), Stop> {
    object::discard(tx, key)?;
    object::discard(tx, value)
}
