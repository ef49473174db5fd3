//! `with space.transaction()`: a block that runs once, and commits unless it raises.
//!
//! A block cannot be run again, so nobody may stop it: it is irrevocable. One at a time has this privilege in a space; what it
//! touches is locked, also what it only reads, until the block ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Weak;

use super::{Attempts, Ending, Transaction};
use crate::current::Current;
use crate::ffi::class::{NOT_CONSTRUCTIBLE, Visitor};
use crate::ffi::slot::Slot;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Method, NoExtra, Object, Own, Python, Result, Type, gil};
use crate::hooks;
use crate::space::Space;

/// What `Space.transaction()` gives.
pub struct Irrevocable {
    space: Own<Space>,
    /// Seconds to wait for the privilege.
    timeout: Option<f64>,
    /// For each time that it is entered by whom, and as what.
    entered: RefCell<Vec<Open>>,
    /// Whether the collector has ended what was open.
    dropped: Cell<bool>,
}

/// One time that a block is entered.
struct Open {
    thread: u64,
    /// Gone with that thread.
    life: Weak<()>,
    what: Entered,
}

/// What a block is.
enum Entered {
    /// A transaction of its own.
    Begun(Rc<Transaction>),
    /// A part of this attempt of another one, and its number there. Kept, so that no other transaction is taken for it.
    Joined(Rc<Transaction>, u64, u64),
}

impl Class for Irrevocable {
    type Extra = NoExtra;
    const COLLECTED: bool = true;

    /// A hook may lead to the generator whose frame has the block.
    fn traverse(&self, visitor: &Visitor) {
        visitor.own(&self.space);
        let Ok(entered) = self.entered.try_borrow() else { return };
        for open in entered.iter() {
            // The block's own: whoever has joined another one ends nothing.
            if let Entered::Begun(transaction) = &open.what {
                transaction.traverse(visitor);
            }
        }
    }

    /// Blocks that nobody can end any more, for nobody has them, but in a ring: of a generator that was dropped, or whose thread is gone.
    const FINALIZED: bool = true;
    fn finalize(&self, py: Python<'_>) {
        let (blocks, interpreter) = (self.entered.take(), self.space.interpreter());
        if blocks.is_empty() {
            return;
        }
        self.dropped.set(true);
        let hooks = self.end(blocks);
        interpreter.leave_hooks(hooks);
        interpreter.run_left_hooks_anywhere(py);
    }

    /// Of a ring that has come together since: hooks of it no longer run, for what they hold may have been taken apart.
    fn clear(&self) {
        let hooks = self.end(self.entered.take());
        drop(hooks);
    }
}

impl Irrevocable {
    /// Rolls back what of `blocks` is open. Gives what is to run after.
    fn end(&self, blocks: Vec<Open>) -> Vec<Object> {
        let mut hooks = Vec::new();
        for open in blocks {
            let Entered::Begun(transaction) = open.what else { continue };
            transaction.settle(Ending::Failed);
            self.space.interpreter().exit(&transaction);
            let ended = Attempts { transaction: &transaction, space: &self.space }.end(false);
            hooks.extend(ended.into_iter().flat_map(|ended| ended.of(false)));
        }
        hooks
    }
}

static METHODS: [Method<Irrevocable>; 3] = [
    Method::plain(c"__enter__", Irrevocable::enter, c"__enter__($self, /)\n--\n\nWait until no other block of the space is under way, and begin. Gives the Transaction.\n\nInside a transaction it is a part of it, and runs as often as that."),
    Method::many(c"__exit__", Irrevocable::exit, c"__exit__($self, /, *exception)\n--\n\nCommit; after an exception roll back."),
    Method::END,
];

impl Irrevocable {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots =
            vec![Slot::doc(c"A block that is one transaction. Made by Space.transaction()."), Slot::methods(&METHODS)];
        Type::new(py, module, c"pso._core.Irrevocable", NOT_CONSTRUCTIBLE, slots)
    }

    /// One for `space`.
    pub fn create(py: Python<'_>, space: &Instance<Space>, timeout: Option<f64>) -> Result<Object> {
        let value = Self { space: space.own(), timeout, entered: RefCell::default(), dropped: Cell::new(false) };
        Ok(space.interpreter().types.irrevocable.create(py, value)?.into_object())
    }

    fn enter(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let (space, interpreter) = (&this.space, this.space.interpreter());
        let life = gil::life(py, &interpreter.life)?;
        // First: they may begin or end a block.
        interpreter.run_left_hooks(py)?;
        let what = match interpreter.current(py) {
            None => Entered::Begun(this.begin(py)?),
            Some(current) if current.is_in(space) => {
                let (attempt, number) = (current.attempt(), current.join());
                Entered::Joined(current, attempt, number)
            }
            Some(_) => return Err(space.crossed(py)),
        };
        this.dropped.set(false);
        this.entered.borrow_mut().push(Open { thread: gil::thread(py), life, what });
        Current::of(py, interpreter)
    }

    fn begin(&self, py: Python<'_>) -> Result<Rc<Transaction>> {
        let space = &self.space;
        let deadline = self.timeout.map(|seconds| space.deadline(py, seconds)).transpose()?;
        let transaction = Transaction::start(py, space)?;
        let begun = transaction.work(py, space)?.participant().begin_irrevocable(deadline);
        if let Err(stop) = begun {
            let raised = space.stopped(py, stop);
            drop(Attempts { transaction: &transaction, space }.end(false));
            return Err(raised);
        }
        transaction.work(py, space)?.participant().set_deadline(None);
        transaction.irrevocable.set(true);
        transaction.attempt.set(1);
        transaction.number.set(space.interpreter().next_attempt());
        space.interpreter().enter(Rc::clone(&transaction));
        Ok(transaction)
    }

    fn exit(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let failure = arguments.positional().first().filter(|kind| !kind.is_none());
        let Some(Open { thread, life, what }) = this.last_entered(py) else {
            return if this.dropped.get() { outlived(py, failure, DROPPED) } else { this.not_entered(py) };
        };
        let interpreter = this.space.interpreter();
        let is_current = |transaction| interpreter.current(py).is_some_and(|current| Rc::ptr_eq(&current, transaction));
        let transaction = match what {
            Entered::Begun(transaction) => transaction,
            Entered::Joined(joined, attempt, number) if is_current(&joined) && joined.attempt() == attempt => {
                return if joined.is_undone(number) { outlived(py, failure, UNDONE) } else { Ok(py.none()) };
            }
            Entered::Joined(..) => return outlived(py, failure, OVER),
        };
        if !is_current(&transaction) {
            this.entered.borrow_mut().push(Open { thread, life, what: Entered::Begun(transaction) });
            return Err(Kind::Runtime.raise(py, "inside the block another is open"));
        }
        // Counted: a hook may drop the last reference to either.
        let space = this.space.own();
        let entered = interpreter.entered(&transaction);
        let committed = if failure.is_some() { Ok(false) } else { this.commit(py, &transaction).map(|()| true) };
        let was_full = transaction.stop().is_some_and(|stop| stop.wants_room());
        transaction.settle(if matches!(committed, Ok(true)) { Ending::Committed } else { Ending::Failed });
        drop(entered);
        let hooks = Attempts { transaction: &transaction, space: &space }.end(false);
        let hooks = hooks.map(|hooks| hooks.of(matches!(committed, Ok(true)))).unwrap_or_default();
        let committed = if was_full && !space.is_closed() { make_room(py, &space, committed) } else { committed };
        // After a failure the exception is on its way again when we have answered.
        let result = hooks::run(py, interpreter, hooks, committed.map(|_| py.none()));
        interpreter.run_left_hooks_after(py, result)
    }

    /// Not by this thread. What a thread has left open that has ended nobody can commit: it is rolled back.
    #[cold]
    fn not_entered(&self, py: Python<'_>) -> Result<Object> {
        let ended: Vec<_> = self.entered.borrow_mut().extract_if(.., |open| open.life.strong_count() == 0).collect();
        let message = match (ended.is_empty(), self.entered.borrow().is_empty()) {
            (false, _) => "the block was entered by another thread, which has ended: nothing of it exists",
            (_, false) => "the block was entered by another thread",
            _ => "the block was not entered",
        };
        let hooks = self.end(ended);
        let raised = Kind::Runtime.raise(py, message);
        let interpreter = self.space.interpreter();
        interpreter.leave_hooks(hooks);
        interpreter.run_left_hooks_after(py, Err(raised))
    }

    /// What this thread has entered last, taken out.
    fn last_entered(&self, py: Python<'_>) -> Option<Open> {
        let me = gil::thread(py);
        let mut entered = self.entered.borrow_mut();
        let place = entered.iter().rposition(|open| open.thread == me)?;
        Some(entered.remove(place))
    }

    fn commit(&self, py: Python<'_>, transaction: &Transaction) -> Result<()> {
        if let Some(stop) = transaction.stop() {
            // The block caught what we raised, and must not: nothing of it exists.
            return Err(transaction.raise(py, &self.space, stop));
        }
        let committed = transaction.work(py, &self.space)?.participant().commit();
        committed.map_err(|stop| self.space.stopped(py, stop))
    }
}

const DROPPED: &str = "the block was garbage and is rolled back: what its generator has done since is no part of it";
const OVER: &str =
    "the transaction that the block was a part of has ended before it: what the block did since was in none";
const UNDONE: &str =
    "the alternative that the block began in was undone before its end: what the block did in it does not exist";

/// What the block was a part of has ended before it. A generator that is closed then has done nothing since, and what is no `Exception` (Ctrl-C, an exit) goes on its way.
#[cold]
fn outlived(py: Python<'_>, failure: Option<&&Any>, message: &str) -> Result<Object> {
    if failure.is_some_and(|kind| Kind::passes_all(py, kind)) {
        return Ok(py.none());
    }
    Err(Kind::Runtime.raise(py, message))
}

/// The block has found the space full, and cannot run again: so that the next one finds room, what nothing names is freed.
#[cold]
fn make_room(py: Python<'_>, space: &Space, committed: Result<bool>) -> Result<bool> {
    match committed {
        Ok(committed) => space.make_room(py).map(|_| committed),
        // What a signal handler raises meanwhile is reported.
        Err(raised) => Err(raised.aside(py, || drop(space.make_room(py))).0),
    }
}
