//! What all proxies have: a space, a handle, their place in the identity table.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pso_engine::allocator;
use pso_engine::error::{Stale, Stop};
use pso_engine::holding::Export;
use pso_engine::word::{BlockKind, Handle};

use crate::exports::Sent;
use crate::ffi::class::Receiver;
use crate::ffi::method::Signature;
use crate::ffi::natives::Native;
use crate::ffi::weak::Identity;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Object, Own, Python, Raised, Result};
use crate::garbage;
use crate::holding::{Held, Keep, Shared};
use crate::interpreter::Interpreter;
use crate::plan;
use crate::space::Space;
use crate::transaction::{Counter, Growth};

/// The common part. Held without a collector's help: a proxy refers to its space, and a space to no proxy.
pub struct Proxy<T: Class> {
    kind: BlockKind,
    space: Own<Space>,
    handle: Handle,
    /// Keeps the object. The root needs nobody.
    held: RefCell<Option<Held>>,
    identity: Identity<u64, T>,
    /// What this interpreter has added and removed in what it has committed, for iterators that began before. Only those of dicts ask for it.
    size: Option<Rc<Counter>>,
    /// Iterators under way.
    iterators: Cell<usize>,
    /// Rises with every change by this interpreter: what an iterator has read ahead is old.
    writes: Cell<u64>,
}

impl<T: Class> Proxy<T> {
    /// The part of a proxy of `handle`.
    pub fn new(
        kind: BlockKind,
        space: Own<Space>,
        identity: Identity<u64, T>,
        handle: Handle,
        held: Option<Held>,
    ) -> Self {
        let held = RefCell::new(held);
        Self { kind, space, handle, held, identity, size: None, iterators: Cell::new(0), writes: Cell::new(0) }
    }
    /// The same with an eye on its size.
    pub fn with_size(self) -> Self {
        Self { size: Some(Rc::default()), ..self }
    }
    /// Where it is.
    #[inline]
    pub fn space(&self) -> &Instance<Space> {
        &self.space
    }
    /// What it names, there or not: to compare, or to say.
    #[inline]
    pub fn handle(&self) -> Handle {
        self.handle
    }
    /// The same, to work with it: it is held by now. (Where the space was closed and opened again, or a child of a fork has not come to hold what its parent did, the proxies of before may hold nothing; and
    /// what is taken out of an object that may be garbage may be freed, whoever takes hold of it.)
    #[inline]
    pub fn object(&self, py: Python<'_>) -> Result<Handle> {
        if self.space.has_names_in_doubt() {
            self.hold_anew(py)?;
        }
        Ok(self.handle)
    }
    /// Holds what it names, unless it does, or needs not to (the root).
    #[inline]
    pub fn hold_anew(&self, py: Python<'_>) -> Result<()> {
        if self.is_held() || self.space.is_root(self.handle) {
            return Ok(());
        }
        self.take_up_anew(py)
    }
    #[cold]
    #[inline(never)]
    fn take_up_anew(&self, py: Python<'_>) -> Result<()> {
        // Another thread of the interpreter may have been faster.
        if let Keep::Held(held) = take_up(py, &self.space, self.kind, self.handle, None)? {
            self.keep(Some(held));
        }
        Ok(())
    }
    /// Whether it holds its object.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.held.borrow().as_ref().is_some_and(Held::is_good)
    }
    /// Holds it by `held`, unless it does.
    pub fn keep(&self, held: Option<Held>) {
        if held.is_some() && !self.is_held() {
            let before = self.held.replace(held);
            drop(before);
        }
    }
    /// Its place in the identity table.
    pub fn identity(&self) -> &Identity<u64, T> {
        &self.identity
    }
    /// Notes a change.
    #[inline]
    pub fn wrote(&self, py: Python<'_>, size_change: i64) {
        self.writes.set(self.writes.get().wrapping_add(1));
        // Who is in a transaction notes it in any case: it counts from the commit on, for iterators that begin before that.
        if size_change != 0 && (self.iterators.get() != 0 || !self.space.interpreter().is_at_rest()) {
            self.resized(py, size_change);
        }
    }
    #[inline(never)]
    fn resized(&self, py: Python<'_>, size_change: i64) {
        let Some(size) = &self.size else { return };
        match self.space.interpreter().current(py) {
            Some(transaction) => transaction.resized(size, size_change),
            None => size.resized(size_change),
        }
    }
    /// An iterator begins to ask for [`Proxy::growth`], or (`false`) no longer does.
    pub fn iterated(&self, begins: bool) {
        let iterators = self.iterators.get();
        self.iterators.set(if begins { iterators + 1 } else { iterators.saturating_sub(1) });
    }
    /// What was added less what was removed.
    #[inline]
    pub fn growth(&self, py: Python<'_>) -> Growth {
        let committed = self.size.as_ref().map_or(0, |size| size.committed());
        match self.space.interpreter().current(py) {
            Some(transaction) => {
                let own = self.size.as_ref().map_or(0, |size| transaction.size_change(size));
                Growth { attempt: transaction.number().0, committed, own }
            }
            None => Growth { attempt: 0, committed, own: 0 },
        }
    }
    /// How many changes there were.
    #[inline]
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }
    /// What the object is called in messages about its items.
    pub fn name(&self, kind: &str) -> String {
        if self.space.is_root(self.handle) { "root".to_owned() } else { kind.to_owned() }
    }
    /// What `repr` gives: `shown`, or, for the messages and logs of whoever has to do with just that, that the space is closed or the object gone. In a
    /// transaction, which hears of it by its end, it is raised.
    pub fn repr(&self, py: Python<'_>, class: &str, shown: Result<Object>) -> Result<Object> {
        let errors = &self.space.interpreter().errors;
        let raised = match shown {
            Err(raised) if self.space.interpreter().current(py).is_none() => raised,
            shown => return shown,
        };
        let what = if raised.matches(py, &errors.closed) {
            "of a closed space"
        } else if raised.matches(py, &errors.stale) {
            "that is gone"
        } else {
            return Err(raised);
        };
        raised.clear(py);
        py.str(&format!("<pso.{class} {:#x} {what}>", self.handle.raw()))
    }
    /// Arguments for the helper that pickles.
    pub fn reduce(&self, py: Python<'_>, this: &Any, kind: BlockKind) -> Result<Object> {
        let helper = self.space.interpreter().helpers(py)?.reduce_object.clone();
        let handle = py.unsigned(self.handle.raw())?;
        let kind = py.int(kind as i64)?;
        let export = match self.export(py)? {
            Some(Sent { export, lasts }) => {
                let mut items = vec![
                    py.unsigned(export.process.0.into())?,
                    py.unsigned(export.index.into())?,
                    py.unsigned(export.ticket)?,
                ];
                items.extend(lasts.then(|| py.bool(true)));
                py.tuple(items)?
            }
            None => py.none(),
        };
        helper.call(py, &[self.space.as_any(), &kind, &handle, &export, this])
    }
    /// Holds the object for whoever will load it. Nobody needs to for the root.
    fn export(&self, py: Python<'_>) -> Result<Option<Sent>> {
        if self.space.is_root(self.handle) || self.space.is_closed() {
            return Ok(None);
        }
        // Whether it is there is asked of whoever loads it. First: the child of a fork finds its place by this.
        let handle = self.object(py)?;
        let held = self.space.operate(py, |tx| self.space.hold(tx, handle))?;
        let keeper = self.space.keeper();
        let is_out = |export| keeper.is_out(export);
        if let Some(export) = self.space.exports.borrow().lasting(self.handle, is_out) {
            return Ok(Some(Sent { export, lasts: true }));
        }
        let Some(export) = held.export() else { return Ok(None) };
        let lasts = self.space.exports.borrow_mut().note(self.handle, export, is_out);
        // A transaction lets go of what its lost attempts have made: not of this, which others name.
        if !lasts && let Some(transaction) = self.space.interpreter().current(py) {
            transaction.pickled(keeper, export);
        }
        Ok(Some(Sent { export, lasts }))
    }
}

/// The handle and space of any proxy of this interpreter.
pub fn of<'a>(interpreter: &Interpreter, object: &'a Any) -> Option<(&'a Instance<Space>, Handle)> {
    let types = &interpreter.types;
    if let Some(dict) = types.dict.cast(object) {
        return Some((dict.proxy().space(), dict.proxy().handle()));
    }
    if let Some(list) = types.list.cast(object) {
        return Some((list.proxy().space(), list.proxy().handle()));
    }
    let queue = types.queue.cast(object)?;
    Some((queue.proxy().space(), queue.proxy().handle()))
}

/// The space of an argument: a space, or a proxy's.
pub fn space_of(interpreter: &Interpreter, object: &Any) -> Option<Own<Space>> {
    match interpreter.types.space.cast(object) {
        Some(space) => Some(space.own()),
        None => of(interpreter, object).map(|(space, _)| space.own()),
    }
}

/// The proxy of a handle that came from outside (a pickle): checked as nothing else is.
///
/// It is held from inside the attempt in which it was checked; then whoever has sent it need no longer hold it.
pub fn from_outside(
    py: Python<'_>,
    space: &Instance<Space>,
    kind: i64,
    raw: u64,
    sent: Option<Sent>,
) -> Result<Object> {
    let Some(handle) = Handle::from_raw(raw) else {
        return Err(Kind::Value.raise(py, "not a handle"));
    };
    let Some(kind) = usize::try_from(kind).ok().and_then(|kind| BlockKind::ALL.get(kind).copied()) else {
        return Err(Kind::Value.raise(py, "not a kind of object"));
    };
    let keep = take_up(py, space, kind, handle, sent.map(|sent| sent.export))?;
    let proxy = Space::proxy(space, py, Shared { kind, handle, keep })?;
    if let Some(Sent { export, lasts: false }) = sent {
        match space.interpreter().current(py) {
            Some(transaction) => transaction.loaded(space.keeper(), export),
            None => space.keeper().adopt(export),
        }
    }
    Ok(proxy)
}

/// Collections that a name in doubt is worth waiting for: each may be followed by the next one of somebody else.
const TRIES: u32 = 20;
/// The same for a transaction, which keeps its locks meanwhile: each may take a second.
const TRIES_INSIDE: u32 = 2;

/// Keeps an object whose name comes neither from a cell nor from something held. What may be about to be freed is waited for: then it is gone, or
/// something names it.
pub fn take_up(
    py: Python<'_>,
    space: &Instance<Space>,
    kind: BlockKind,
    handle: Handle,
    export: Option<Export>,
) -> Result<Keep> {
    let membership = space.membership(py)?;
    let is_exported = || export.is_some_and(|export| membership.space().is_exported(export));
    let tries = if space.interpreter().current(py).is_none() { TRIES } else { TRIES_INSIDE };
    for _ in 0..tries {
        // A transaction that it is a part of may go on without it: an answer, not the end of the attempt.
        let found = space.operate(py, |tx| {
            match allocator::check_fully(tx.arena(), handle).and_then(|_| tx.check_named(handle)) {
                Ok(state) if state.kind != kind => Ok(Err(Stop::Stale(Stale { handle }))),
                Ok(_) => space.take_up(py, tx, kind, handle, is_exported).map(Ok),
                Err(stop) => Ok(Err(stop)),
            }
        })?;
        match found {
            Ok(Some(keep)) => return Ok(keep),
            Ok(None) => garbage::settle(py, space)?,
            Err(stop) => return Err(space.stopped(py, stop)),
        }
    }
    Err(space.stopped(py, Stop::Stale(Stale { handle })))
}

/// Whether a proxy of this interpreter keeps its object. The root needs nobody.
pub fn is_held(interpreter: &Interpreter, object: &Any) -> bool {
    let types = &interpreter.types;
    if let Some(dict) = types.dict.cast(object) {
        return dict.proxy().is_held() || dict.proxy().space().is_root(dict.proxy().handle());
    }
    if let Some(list) = types.list.cast(object) {
        return list.proxy().is_held();
    }
    types.queue.cast(object).is_some_and(|queue| queue.proxy().is_held())
}

/// Has a proxy of this interpreter hold its object, unless it does.
pub fn hold_anew(py: Python<'_>, interpreter: &Interpreter, object: &Any) -> Result<()> {
    let types = &interpreter.types;
    if let Some(dict) = types.dict.cast(object) {
        return dict.proxy().hold_anew(py);
    }
    if let Some(list) = types.list.cast(object) {
        return list.proxy().hold_anew(py);
    }
    types.queue.cast(object).map_or(Ok(()), |queue| queue.proxy().hold_anew(py))
}

/// What can be shared, for messages.
pub const ACCEPTED: &str = "int, float, bool, None, str, bytes, tuple, list, dict and objects of the space are";

/// Raises that an object cannot be shared, naming where it stands, and what can.
#[cold]
pub fn not_shareable(py: Python<'_>, space: &Space, object: &Any, path: &str, accepted: &str) -> Raised {
    let class = object.class_name();
    let base = match object.native_base() {
        Native::Int => "int",
        Native::Float => "float",
        Native::Str => "str",
        Native::Bytes => "bytes",
        Native::Tuple => "tuple",
        Native::List => "list",
        Native::Dict => "dict",
        Native::None | Native::Bool | Native::Other => "",
    };
    let message = if base.is_empty() {
        format!("cannot share {path}: objects of the class '{class}' are not supported; {accepted}")
    } else {
        let is_named = match is_named_value(py, object) {
            // Whoever asks for the class, or the value, may be asking the user's own code. It was to be a hint.
            Err(raised) if raised.matches(py, &space.interpreter().errors.exception) => {
                raised.clear(py);
                false
            }
            Err(raised) => return raised,
            Ok(is_named) => is_named,
        };
        let cure = match base {
            _ if is_named => "x.value".to_owned(),
            // The class's own may give anything.
            "str" => "str.__str__(x)".to_owned(),
            base => format!("{base}(x)"),
        };
        format!(
            "cannot share {path}: '{class}' is a subclass of {base}, and would come back as {base}; {cure} can be shared"
        )
    };
    Raised::with(py, &space.interpreter().errors.not_shareable, message)
}

/// Whether it is a member of an `Enum` with a base that its value is one of.
fn is_named_value(py: Python<'_>, object: &Any) -> Result<bool> {
    let class = py.import(c"enum")?.attribute(py, c"Enum")?;
    if !object.is_instance(py, &class)? {
        return Ok(false);
    }
    let value = object.attribute_if_any(py, c"_value_")?;
    Ok(value.is_some_and(|value| value.native() == object.native_base()))
}

/// A new shared object from a plain copy, noted in the memo of `copy.deepcopy`.
pub fn deepcopy(py: Python<'_>, space: &Instance<Space>, plain: &Any, this: &Any, memo: &Any) -> Result<Object> {
    let (plan, draft) = plan::draft(py, space, plain, &|| plain.class_name())?;
    let held = space.operate(py, |tx| {
        let made = plan.carry_out(py, tx)?.value(tx, &draft)?;
        made.as_handle().map(|handle| space.hold(tx, handle)).transpose()
    })?;
    let Some(held) = held else { return Err(Kind::System.raise(py, "a container was not made a block")) };
    let kind = if plain.native() == Native::List { BlockKind::List } else { BlockKind::Dict };
    let (handle, keep) = (held.handle(), Keep::Held(held));
    let copy = Space::proxy(space, py, Shared { kind, handle, keep })?;
    if memo.native() == Native::Dict {
        py.set_item(memo, &*py.unsigned(this.address() as u64)?, &copy)?;
    }
    Ok(copy)
}

/// `Class[item]`
pub fn class_getitem(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const GETITEM: Signature<1> = Signature { function: "__class_getitem__", names: [""], required: 1, positional: 1 };
    let [item] = arguments.take(py, &GETITEM)?;
    match item {
        Some(item) => py.generic_alias(class.as_any(), item),
        None => Ok(py.none()),
    }
}
