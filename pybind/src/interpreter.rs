//! What one interpreter keeps: types, exceptions, open spaces, and the transactions that its threads are in.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use crate::current::Current;
use crate::decorate::{Decorator, Dropping, Transactional};
use crate::dict::Dict;
use crate::errors::Errors;
use crate::ffi::error::pending;
use crate::ffi::gil;
use crate::ffi::module::State;
use crate::ffi::weak::WeakTable;
use crate::ffi::{Any, Instance, Kind, Object, Own, Python, Raised, Result, Type, Visitor};
use crate::hooks;
use crate::iterate::{DictIterator, ListIterator, Part};
use crate::list::List;
use crate::queue::Queue;
use crate::record::Recording;
use crate::registry::Which;
use crate::space::Space;
use crate::transaction::{Irrevocable, Transaction};

/// The classes of ours.
pub struct Types {
    /// `pso.Space`
    pub space: Type<Space>,
    /// `pso.Dict`
    pub dict: Type<Dict>,
    /// `pso.List`
    pub list: Type<List>,
    /// `pso.Queue`
    pub queue: Type<Queue>,
    /// `pso.Recording`
    pub recording: Type<Recording>,
    /// Iterators over dicts.
    pub dict_iterator: Type<DictIterator>,
    /// Iterators over lists.
    pub list_iterator: Type<ListIterator>,
    /// Decorated functions.
    pub transactional: Type<Transactional>,
    /// Decorators with options.
    pub decorator: Type<Decorator>,
    /// What `Space.transaction()` gives.
    pub irrevocable: Type<Irrevocable>,
    /// `pso.Transaction`
    pub current: Type<Current>,
}

/// Functions of the package that are written in Python.
#[derive(Clone)]
pub struct Helpers {
    /// `pso._views.DictKeys`
    pub keys: Object,
    /// `pso._views.DictValues`
    pub values: Object,
    /// `pso._views.DictItems`
    pub items: Object,
    /// `pso._pickle.reduce_space`
    pub reduce_space: Object,
    /// `pso._pickle.reduce_object`
    pub reduce_object: Object,
    /// `queue.Empty`
    pub empty: Object,
    /// `queue.Full`
    pub full: Object,
    /// `functools.update_wrapper`
    pub update_wrapper: Object,
    /// `functools.partial`
    pub partial: Object,
}

/// The state.
pub struct Interpreter {
    /// Classes.
    pub types: Types,
    /// Exceptions.
    pub errors: Errors,
    /// Spaces that are open here.
    pub spaces: Rc<WeakTable<Which, Space>>,
    /// [`gil::LIFE`].
    pub life: Object,
    /// Decorated functions that end.
    pub dropping: Dropping,
    helpers: OnceCell<Helpers>,
    default: RefCell<Option<Own<Space>>>,
    /// One for each thread that is in a transaction. Nearly always empty or alone.
    transactions: RefCell<Vec<Rc<Transaction>>>,
    under_way: Cell<usize>,
    /// Whether there are none, and no hooks that were left.
    at_rest: Cell<bool>,
    /// Hooks of blocks that were ended by somebody who was in a transaction himself, and whether there are any.
    left_hooks: RefCell<Vec<Object>>,
    has_left_hooks: Cell<bool>,
    /// Attempts of transactions so far.
    attempts: Cell<u64>,
    /// The process whose threads those are.
    process: Cell<u32>,
}

/// The module's share of the interpreter's state. Spaces hold others, so the classes live as long as any object of theirs.
pub struct Core(Rc<Interpreter>);

impl Deref for Core {
    type Target = Rc<Interpreter>;
    fn deref(&self) -> &Rc<Interpreter> {
        &self.0
    }
}

/// A free-threaded build takes its lock back when it imports this module, which does not say that it can do without; unless it was told not to (`PYTHON_GIL=0`).
fn refuse_without_lock(py: Python<'_>) -> Result<()> {
    let asked = py.import(c"sys")?.attribute_if_any(py, c"_is_gil_enabled")?;
    match asked.map(|ask| ask.call(py, &[])?.is_true(py)).transpose()? {
        Some(false) => {
            Err(Kind::Import.raise(py, "pso needs the GIL, which is switched off here (PYTHON_GIL, -X gil)"))
        }
        _ => Ok(()),
    }
}

impl State for Core {
    fn create(py: Python<'_>, module: &Any) -> Result<Self> {
        refuse_without_lock(py)?;
        gil::begin(py);
        let types = Types {
            space: Space::class(py, module)?,
            dict: Dict::class(py, module)?,
            list: List::class(py, module)?,
            queue: Queue::class(py, module)?,
            recording: Recording::class(py, module)?,
            dict_iterator: DictIterator::class(py, module)?,
            list_iterator: ListIterator::class(py, module)?,
            transactional: Transactional::class(py, module)?,
            decorator: Decorator::class(py, module)?,
            irrevocable: Irrevocable::class(py, module)?,
            current: Current::class(py, module)?,
        };
        let version = py.str(env!("CARGO_PKG_VERSION"))?;
        module.add_to_module(py, c"__version__", &version)?;
        module.add_to_module(py, c"Space", types.space.as_any())?;
        module.add_to_module(py, c"Dict", types.dict.as_any())?;
        module.add_to_module(py, c"List", types.list.as_any())?;
        module.add_to_module(py, c"Queue", types.queue.as_any())?;
        module.add_to_module(py, c"Recording", types.recording.as_any())?;
        module.add_to_module(py, c"Transactional", types.transactional.as_any())?;
        module.add_to_module(py, c"Irrevocable", types.irrevocable.as_any())?;
        module.add_to_module(py, c"Transaction", types.current.as_any())?;
        Ok(Self(Rc::new(Interpreter {
            types,
            errors: Errors::load(py)?,
            spaces: Rc::default(),
            life: py.str(&gil::LIFE.to_string_lossy())?,
            dropping: Dropping::default(),
            helpers: OnceCell::new(),
            default: RefCell::new(None),
            transactions: RefCell::default(),
            under_way: Cell::new(0),
            at_rest: Cell::new(true),
            left_hooks: RefCell::default(),
            has_left_hooks: Cell::new(false),
            attempts: Cell::new(0),
            process: Cell::new(std::process::id()),
        })))
    }

    fn traverse(&self, visitor: &Visitor) {
        let types = &self.types;
        visitor.class(&types.space);
        visitor.class(&types.dict);
        visitor.class(&types.list);
        visitor.class(&types.queue);
        visitor.class(&types.recording);
        visitor.class(&types.dict_iterator);
        visitor.class(&types.list_iterator);
        visitor.class(&types.transactional);
        visitor.class(&types.decorator);
        visitor.class(&types.irrevocable);
        visitor.class(&types.current);
        self.errors.traverse(visitor);
        visitor.object(&self.life);
        if let Some(helpers) = self.helpers.get() {
            for object in [
                &helpers.keys,
                &helpers.values,
                &helpers.items,
                &helpers.reduce_space,
                &helpers.reduce_object,
                &helpers.empty,
                &helpers.full,
                &helpers.update_wrapper,
                &helpers.partial,
            ] {
                visitor.object(object);
            }
        }
        if let Ok(default) = self.default.try_borrow()
            && let Some(space) = default.as_ref()
        {
            visitor.own(space);
        }
        if let Ok(hooks) = self.left_hooks.try_borrow() {
            hooks.iter().for_each(|hook| visitor.object(hook));
        }
    }

    fn clear(&self) {
        drop(self.default.take());
        drop(self.left_hooks.take());
    }
}

impl Interpreter {
    /// Python functions of the package, looked up at their first use (the package is complete by then).
    pub fn helpers(&self, py: Python<'_>) -> Result<&Helpers> {
        if let Some(helpers) = self.helpers.get() {
            return Ok(helpers);
        }
        let views = py.import(c"pso._views")?;
        let pickle = py.import(c"pso._pickle")?;
        let queue = py.import(c"queue")?;
        let functools = py.import(c"functools")?;
        let helpers = Helpers {
            keys: views.attribute(py, c"DictKeys")?,
            values: views.attribute(py, c"DictValues")?,
            items: views.attribute(py, c"DictItems")?,
            reduce_space: pickle.attribute(py, c"reduce_space")?,
            reduce_object: pickle.attribute(py, c"reduce_object")?,
            empty: queue.attribute(py, c"Empty")?,
            full: queue.attribute(py, c"Full")?,
            update_wrapper: functools.attribute(py, c"update_wrapper")?,
            partial: functools.attribute(py, c"partial")?,
        };
        // The imports may have let somebody else come first: his will do.
        Ok(self.helpers.get_or_init(|| helpers))
    }

    /// Which part of a dict an object is the view of, if it is a view of ours and of no subclass.
    pub fn part_of_view(&self, object: &Any) -> Option<Part> {
        // Before their first use there are no views.
        let helpers = self.helpers.get()?;
        let class = object.class();
        let views = [(&helpers.keys, Part::Keys), (&helpers.values, Part::Values), (&helpers.items, Part::Items)];
        views.into_iter().find(|(view, _)| class.is(view)).map(|(_, part)| part)
    }

    /// The space in which `pso.List()` and its like live.
    pub fn default_space(&self, py: Python<'_>) -> Result<Own<Space>> {
        let space = self.default.borrow().clone();
        space.ok_or_else(|| {
            let message = if self.spaces.all(py).iter().all(|space| space.is_closed()) {
                "no space is open: make one with pso.create() or pso.open(name), or name one: space.List(...)"
            } else {
                "there is no default space: pso.use(space) names one; or name one here: space.List(...)"
            };
            Raised::with(py, &self.errors.no_space, message)
        })
    }
    /// The space of the transaction that the thread is in.
    pub fn space_of_transaction(&self, py: Python<'_>) -> Option<Own<Space>> {
        let current = self.current(py)?;
        self.spaces.all(py).into_iter().find(|space| current.is_in(space))
    }
    /// Makes `space` the default one; `first_only`: unless there is one.
    pub fn set_default(&self, space: &Instance<Space>, first_only: bool) {
        if first_only && self.default.borrow().is_some() {
            return;
        }
        let before = self.default.replace(Some(space.own()));
        drop(before);
    }
    /// A closed space is nobody's default.
    pub fn forget_default(&self, space: &Space) {
        let is_it = self.default.borrow().as_ref().is_some_and(|default| std::ptr::eq::<Space>(&***default, space));
        if is_it {
            drop(self.default.take());
        }
    }

    /// Whether no thread of the interpreter is in a transaction, and none has left hooks.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        self.at_rest.get()
    }
    fn note_rest(&self) {
        self.at_rest.set(self.under_way.get() == 0 && !self.has_left_hooks.get());
    }

    /// A number that no other attempt of a transaction has.
    pub fn next_attempt(&self) -> u64 {
        self.attempts.set(self.attempts.get() + 1);
        self.attempts.get()
    }
    /// The number of the attempt that this thread is in, and of alternatives undone in its transaction; zeros outside.
    #[inline]
    pub fn attempt(&self, py: Python<'_>) -> (u64, u64) {
        self.current(py).map_or((0, 0), |transaction| transaction.number())
    }

    /// The transaction that this thread is in.
    #[inline]
    pub fn current(&self, py: Python<'_>) -> Option<Rc<Transaction>> {
        if self.under_way.get() == 0 { None } else { self.current_of(gil::thread(py)) }
    }
    fn current_of(&self, thread: u64) -> Option<Rc<Transaction>> {
        self.transactions.borrow().iter().find(|transaction| transaction.thread() == thread).cloned()
    }
    /// The thread is in `transaction` from now on.
    #[inline]
    pub fn enter(&self, transaction: Rc<Transaction>) {
        self.under_way.set(self.under_way.get() + 1);
        self.at_rest.set(false);
        self.transactions.borrow_mut().push(transaction);
    }
    /// It no longer is.
    #[inline]
    pub fn exit(&self, transaction: &Rc<Transaction>) {
        let mut transactions = self.transactions.borrow_mut();
        if let Some(place) = transactions.iter().rposition(|known| Rc::ptr_eq(known, transaction)) {
            self.under_way.set(self.under_way.get() - 1);
            self.note_rest();
            drop(transactions.swap_remove(place));
        }
    }
    /// The transaction is [exited](Self::exit) when this is dropped: by a panic, too, for the thread is in none behind it.
    pub fn entered<'a>(&'a self, transaction: &'a Rc<Transaction>) -> Entered<'a> {
        Entered { interpreter: self, transaction }
    }
    /// Keeps hooks for whoever ends a transaction next, or comes to the space outside of one.
    pub fn leave_hooks(&self, hooks: Vec<Object>) {
        self.has_left_hooks.set(self.has_left_hooks.get() || !hooks.is_empty());
        self.note_rest();
        self.left_hooks.borrow_mut().extend(hooks);
    }
    /// Runs those, if the thread is in no transaction. What they raise that is no `Exception` (Ctrl-C, an exit) passes, when all have run.
    #[inline]
    pub fn run_left_hooks(&self, py: Python<'_>) -> Result<()> {
        if !self.has_left_hooks.get() {
            return Ok(());
        }
        if pending(py) {
            self.run_left_hooks_anywhere(py);
            return Ok(());
        }
        self.run_left_hooks_after(py, Ok(py.none())).map(drop)
    }
    /// The same after what ended with `result`, which it gives on.
    #[inline]
    pub fn run_left_hooks_after(&self, py: Python<'_>, result: Result<Object>) -> Result<Object> {
        if self.has_left_hooks.get() && self.current(py).is_none() {
            hooks::run(py, self, self.take_left_hooks(), result)
        } else {
            result
        }
    }
    /// The same in the middle of anything, for a finalizer.
    pub fn run_left_hooks_anywhere(&self, py: Python<'_>) {
        if self.has_left_hooks.get() && self.current(py).is_none() {
            hooks::run_anywhere(py, self.take_left_hooks());
        }
    }
    fn take_left_hooks(&self) -> Vec<Object> {
        self.has_left_hooks.set(false);
        self.note_rest();
        self.left_hooks.take()
    }
    /// All transactions under way in `space`.
    pub fn transactions_in(&self, space: &Space) -> Vec<Rc<Transaction>> {
        self.transactions.borrow().iter().filter(|transaction| transaction.is_in(space)).cloned().collect()
    }
    /// In a child of a fork that may have run no handlers.
    pub fn notice_fork(&self, py: Python<'_>) {
        if self.process.get() != std::process::id() {
            self.forked(py);
        }
    }
    /// In a child of a fork: only this thread is left. Once for each, and before it starts threads: they are in transactions of their own when
    /// another space joins late.
    pub fn forked(&self, py: Python<'_>) {
        self.process.set(std::process::id());
        let me = gil::thread(py);
        let mut transactions = self.transactions.borrow_mut();
        let (mine, others): (Vec<_>, Vec<_>) =
            transactions.drain(..).partition(|transaction| transaction.thread() == me);
        *transactions = mine;
        self.under_way.set(transactions.len());
        drop(transactions);
        // The parent goes on with them: whoever ends one here ends nothing, and runs no hook.
        others.iter().for_each(|transaction| transaction.forked());
        // The parent's.
        let left = self.take_left_hooks();
        drop(left);
    }
}

/// A thread is in a transaction as long as this lives.
pub struct Entered<'a> {
    interpreter: &'a Interpreter,
    transaction: &'a Rc<Transaction>,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.interpreter.exit(self.transaction);
        if std::thread::panicking() {
            self.transaction.give_up();
        }
    }
}
