//! Bodies: Python functions that run until they commit.
//!
//! 1. The thread enters a [`Transaction`]: a participant, and how the attempt under way stands. Operations of the thread
//!    on its space find it and work with its participant.
//! 2. An attempt is `begin`, a call of the body, `commit`. What stops it inside an operation is noted and raised through
//!    the body's frames: `ConflictError` and `RetryRequest` are no `Exception`s, so that bodies do not swallow them.
//! 3. Whatever the body made of that exception, an attempt that was stopped is over: every further access raises again, and
//!    it never commits.
//! 4. A participant is *taken out* of the transaction while it works, so a signal handler or a `__del__` that comes in
//!    between finds nobody and gets a RuntimeError.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pso_engine::error::Stop;
use pso_engine::platform::System;

use crate::ffi::call::Call;
use crate::ffi::class::{FunctionExtra, METHOD_DESCRIPTOR};
use crate::ffi::slot::Slot;
use crate::ffi::{
    Any, Class, Instance, Kind, Method, Object, Own, Property, Python, Raised, Result, Type, Visitor, gil,
};
use crate::interpreter::Interpreter;
use crate::member::Member;
use crate::proxy;
use crate::space::{Space, Tx};

/// What a thread is in.
pub struct Transaction {
    thread: Cell<usize>,
    /// The address of the space object, which lives while its transaction is under way.
    space: Cell<usize>,
    member: Cell<Option<Box<Member>>>,
    stop: Cell<Option<Stop>>,
    forked: Cell<bool>,
    /// When a `Queue.get(timeout=...)` of this transaction stops waiting, and whether it has.
    patience: Cell<Option<u64>>,
    impatient: Cell<bool>,
    /// Changes of size that iterators were told of, to be taken back if the attempt fails.
    sizes: RefCell<Vec<(Rc<Cell<i64>>, i64)>>,
}

/// The participant, taken out. Puts itself back, also when a panic passes.
pub struct Work<'a> {
    transaction: &'a Transaction,
    member: Option<Box<Member>>,
}

impl Work<'_> {
    /// The participant.
    #[inline]
    pub fn participant(&mut self) -> &mut Tx {
        match &mut self.member {
            Some(member) => &mut member.participant,
            None => unreachable!("a guard holds its participant until it is dropped"),
        }
    }
}

impl Drop for Work<'_> {
    #[inline]
    fn drop(&mut self) {
        self.transaction.member.set(self.member.take());
    }
}

/// How long and how often a transaction tries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Seconds.
    pub timeout: Option<f64>,
    /// Attempts after the first.
    pub retries: Option<u64>,
}

impl Transaction {
    fn new() -> Self {
        Self {
            thread: Cell::new(0),
            space: Cell::new(0),
            member: Cell::new(None),
            stop: Cell::new(None),
            forked: Cell::new(false),
            patience: Cell::new(None),
            impatient: Cell::new(false),
            sizes: RefCell::default(),
        }
    }
    /// Whose it is.
    #[inline]
    pub fn thread(&self) -> usize {
        self.thread.get()
    }
    /// Whether it belongs to `space`.
    #[inline]
    pub fn is_in(&self, space: &Space) -> bool {
        self.space.get() == std::ptr::from_ref(space) as usize
    }
    /// Why the attempt under way is over, if it is.
    #[inline]
    pub fn stop(&self) -> Option<Stop> {
        if self.forked.get() { Some(Stop::Forked) } else { self.stop.get() }
    }
    /// The attempt is over.
    pub fn set_stop(&self, stop: Stop) {
        self.stop.set(Some(stop));
    }
    /// This process is a fork: the transaction is the parent's.
    pub fn forked(&self) {
        self.forked.set(true);
        // Dropped without protocol work.
        drop(self.member.take());
    }
    /// Takes the participant out.
    #[inline]
    pub fn work<'a>(&'a self, py: Python<'_>, space: &Space) -> Result<Work<'a>> {
        match self.member.take() {
            Some(member) if member.participant.arena().platform().forked() => {
                drop(member);
                self.forked();
                Err(space.stopped(py, Stop::Forked))
            }
            Some(member) => Ok(Work { transaction: self, member: Some(member) }),
            None => Err(self.nobody(py, space)),
        }
    }
    #[cold]
    fn nobody(&self, py: Python<'_>, space: &Space) -> Raised {
        if self.forked.get() {
            return space.stopped(py, Stop::Forked);
        }
        Kind::Runtime.raise(
            py,
            "the transaction of this thread is at work or asleep: a signal handler or finalizer cannot take part in it",
        )
    }
    /// Notes that the attempt under way has changed a size.
    pub fn resized(&self, counter: &Rc<Cell<i64>>, change: i64) {
        self.sizes.borrow_mut().push((Rc::clone(counter), change));
    }
    /// The attempt is over: its changes of size stay, or never were.
    fn settle_sizes(&self, done: bool) {
        if self.sizes.borrow().is_empty() {
            return;
        }
        for (counter, change) in self.sizes.take() {
            if !done {
                counter.set(counter.get() - change);
            }
        }
    }
    /// When a wait with a timeout of its own ends: the first one that asks in this transaction sets it.
    pub fn wait_until(&self, deadline_ns: u64) {
        let earlier = self.patience.get().map_or(deadline_ns, |known| known.min(deadline_ns));
        self.patience.set(Some(earlier));
    }
    /// Whether such a wait has ended: then it is not to be asked for again.
    pub fn is_impatient(&self) -> bool {
        self.impatient.get()
    }
}

/// Runs `body` as one transaction in `space`: a part of the thread's, or one of its own.
pub fn run(
    py: Python<'_>,
    space: &Instance<Space>,
    limits: Limits,
    body: impl Fn(Python<'_>) -> Result<Object>,
) -> Result<Object> {
    let interpreter = space.interpreter();
    if let Some(current) = interpreter.current(py) {
        return if current.is_in(space) { body(py) } else { Err(space.crossed(py)) };
    }
    let transaction = space.take_idle().unwrap_or_else(|| Rc::new(Transaction::new()));
    transaction.thread.set(gil::thread(py));
    transaction.space.set(std::ptr::from_ref::<Space>(space) as usize);
    transaction.member.set(Some(space.take_member(py)?));
    transaction.stop.set(None);
    transaction.patience.set(None);
    transaction.impatient.set(false);
    // Counted: the body may drop the last reference to the space.
    let space = space.own();
    interpreter.enter(Rc::clone(&transaction));
    let attempts = Attempts { transaction: &transaction, space: &space };
    let result = attempts.run(py, limits, body);
    interpreter.exit(&transaction);
    attempts.end();
    result
}

struct Attempts<'a> {
    transaction: &'a Rc<Transaction>,
    space: &'a Instance<Space>,
}

/// What became of an attempt.
enum Outcome {
    Done(Object),
    Again,
    WaitForChange,
    Failed(Raised),
}

impl Attempts<'_> {
    fn run(&self, py: Python<'_>, limits: Limits, body: impl Fn(Python<'_>) -> Result<Object>) -> Result<Object> {
        let deadline = limits.timeout.map(|seconds| self.space.deadline(py, seconds)).transpose()?;
        let mut tries: u64 = 0;
        // Each turn is an attempt; the protocol bounds them, and `limits` does.
        loop {
            let outcome = self.attempt(py, deadline, &body);
            self.transaction.settle_sizes(matches!(outcome, Outcome::Done(_)));
            match outcome {
                Outcome::Done(value) => return Ok(value),
                Outcome::Failed(raised) => return Err(raised),
                Outcome::Again => tries += 1,
                Outcome::WaitForChange => self.wait(py, deadline)?,
            }
            if limits.retries.is_some_and(|most| tries > most) {
                let message = format!("the transaction did not commit in {tries} attempts");
                return Err(Raised::with(py, &self.space.interpreter().errors.timeout, message));
            }
            if deadline.is_some() && tries > 0 {
                self.check_deadline(py, deadline)?;
            }
            if !gil::check_signals(py) {
                return Err(self.space.stopped(py, Stop::Interrupted));
            }
        }
    }

    fn check_deadline(&self, py: Python<'_>, deadline: Option<u64>) -> Result<()> {
        let now = self.space.membership(py)?.native().now_ns();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(self.space.stopped(py, Stop::TimedOut));
        }
        Ok(())
    }

    fn attempt(&self, py: Python<'_>, deadline: Option<u64>, body: &impl Fn(Python<'_>) -> Result<Object>) -> Outcome {
        self.transaction.stop.set(None);
        if let Err(raised) = self.begin(py, deadline) {
            return Outcome::Failed(raised);
        }
        let result = body(py);
        match (result, self.transaction.stop()) {
            (Ok(value), None) if value.is_coroutine() => self.refuse(py, &value),
            (Ok(value), None) => self.commit(py, value),
            (Err(raised), None) => self.fail(py, raised),
            (Ok(_), Some(Stop::Conflict)) => Outcome::Again,
            (Ok(_), Some(Stop::Retry)) => Outcome::WaitForChange,
            // The body caught what we raised, and must not: nothing of the attempt exists.
            (Ok(_), Some(stop)) => Outcome::Failed(self.space.stopped(py, stop)),
            (Err(raised), Some(stop @ (Stop::Conflict | Stop::Retry))) => self.unwind(py, raised, stop),
            (Err(raised), Some(_)) => Outcome::Failed(raised),
        }
    }

    /// A coroutine has not run yet; it would, after the transaction.
    fn refuse(&self, py: Python<'_>, coroutine: &Any) -> Outcome {
        // Closed, or it would complain that nobody awaited it.
        if let Err(raised) = coroutine.call_method(py, c"close", &[]) {
            return self.fail(py, raised);
        }
        self.fail(py, no_coroutines(py))
    }

    fn begin(&self, py: Python<'_>, deadline: Option<u64>) -> Result<()> {
        loop {
            let mut work = self.transaction.work(py, self.space)?;
            work.participant().set_deadline(deadline);
            match work.participant().begin() {
                Ok(()) => return Ok(()),
                // Told in the pause before the attempt: nothing has run yet.
                Err(Stop::Conflict) => {}
                Err(stop) => {
                    drop(work);
                    return Err(self.space.stopped(py, stop));
                }
            }
        }
    }

    fn commit(&self, py: Python<'_>, value: Object) -> Outcome {
        let mut work = match self.transaction.work(py, self.space) {
            Ok(work) => work,
            Err(raised) => return Outcome::Failed(raised),
        };
        match work.participant().commit() {
            Ok(()) => Outcome::Done(value),
            Err(stop) => {
                drop(work);
                // From here on a finalizer of what the body made finds an attempt that is over.
                self.transaction.set_stop(stop);
                drop(value);
                match stop {
                    Stop::Conflict => Outcome::Again,
                    stop => Outcome::Failed(self.space.stopped(py, stop)),
                }
            }
        }
    }

    /// The body raised by itself: nothing of the attempt stays, and the exception goes on.
    fn fail(&self, py: Python<'_>, raised: Raised) -> Outcome {
        let conflict = raised.matches(py, &self.space.interpreter().errors.conflict);
        if let Some(mut member) = self.transaction.member.take() {
            member.participant.abort();
            self.transaction.member.set(Some(member));
        }
        self.transaction.set_stop(Stop::Conflict);
        if conflict { self.unwind(py, raised, Stop::Conflict) } else { Outcome::Failed(raised) }
    }

    /// Our own exception has come back through the body, or another one that it raised on the way. What is no `Exception`
    /// (Ctrl-C, an exit) goes on; all else was said by an attempt that does not exist.
    fn unwind(&self, py: Python<'_>, raised: Raised, stop: Stop) -> Outcome {
        let errors = &self.space.interpreter().errors;
        let ours = raised.matches(py, &errors.conflict) || raised.matches(py, &errors.retry);
        if !ours && !raised.matches(py, &errors.exception) {
            return Outcome::Failed(raised);
        }
        raised.clear(py);
        if stop == Stop::Retry { Outcome::WaitForChange } else { Outcome::Again }
    }

    fn wait(&self, py: Python<'_>, deadline: Option<u64>) -> Result<()> {
        let own = self.transaction.patience.get();
        let until = match (deadline, own) {
            (Some(deadline), Some(own)) => Some(deadline.min(own)),
            (deadline, own) => deadline.or(own),
        };
        let mut work = self.transaction.work(py, self.space)?;
        match work.participant().wait_for_change(until) {
            Ok(()) | Err(Stop::Conflict) => Ok(()),
            Err(Stop::TimedOut) if own.is_some() && until == own => {
                // Whoever waited with a timeout of its own is told in the next attempt.
                self.transaction.patience.set(None);
                self.transaction.impatient.set(true);
                Ok(())
            }
            Err(stop) => {
                drop(work);
                Err(self.space.stopped(py, stop))
            }
        }
    }

    fn end(&self) {
        if self.transaction.forked.get() {
            return;
        }
        if let Some(mut member) = self.transaction.member.take() {
            member.participant.abort();
            member.participant.set_deadline(None);
            self.space.put_member(member);
        }
        if Rc::strong_count(self.transaction) == 1 {
            self.space.put_idle(Rc::clone(self.transaction));
        }
    }
}

/// The body of an `async def` runs when the transaction is over: refused.
pub fn refuse_coroutine(py: Python<'_>, function: &Any) -> Result<()> {
    /// `inspect.CO_COROUTINE | CO_ASYNC_GENERATOR`
    const ASYNC: isize = 0x80 | 0x200;
    if !function.has_attribute(py, c"__code__")? {
        return Ok(());
    }
    let flags = function.attribute(py, c"__code__")?.attribute(py, c"co_flags")?.index(py)?;
    if flags & ASYNC != 0 {
        return Err(Kind::Type.raise(py, "an async function cannot be a transaction: its body would run after it"));
    }
    Ok(())
}

#[cold]
fn no_coroutines(py: Python<'_>) -> Raised {
    Kind::Type
        .raise(py, "a transaction is a plain function: the body of an async def or a generator would run after it")
}

/// `pso.retry()`: gives the attempt up until something that it has read changes.
pub fn retry(py: Python<'_>, interpreter: &Interpreter) -> Raised {
    match interpreter.current(py) {
        None => Kind::Runtime.raise(py, "pso.retry() outside a transaction would wait for nothing"),
        Some(transaction) => {
            let stop = transaction.stop().unwrap_or(Stop::Retry);
            transaction.set_stop(stop);
            interpreter.errors.stopped(py, stop, false)
        }
    }
}

/// A decorated function: calling it runs a transaction.
pub struct Transactional {
    function: Object,
    /// `None`: found from the arguments of each call.
    space: Option<Own<Space>>,
    interpreter: Rc<Interpreter>,
    limits: Limits,
}

impl Class for Transactional {
    type Extra = FunctionExtra;
    const COLLECTED: bool = true;

    fn traverse(&self, visitor: &Visitor) {
        visitor.object(&self.function);
        if let Some(space) = &self.space {
            visitor.own(space);
        }
    }
}

static METHODS: [Method<Transactional>; 2] =
    [Method::plain(c"__reduce__", Transactional::reduce, c"Pickled by name, as functions are."), Method::END];
static PROPERTIES: [Property<Transactional>; 3] = [
    Property::DICT,
    Property::new(c"space", Transactional::get_space, c"The space, or None where it is found from the arguments."),
    Property::END,
];

impl Transactional {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(
                c"A function that runs as one transaction. Made by `space.transactional` and `pso.transactional`.",
            ),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::describe(Self::describe),
            Slot::repr(Self::repr),
        ];
        let flags = METHOD_DESCRIPTOR | crate::ffi::class::NOT_CONSTRUCTIBLE;
        Type::new(py, module, c"pso._core.Transactional", flags, slots)
    }

    /// Decorates `function`.
    pub fn decorate(
        py: Python<'_>,
        interpreter: &Rc<Interpreter>,
        function: &Any,
        space: Option<&Instance<Space>>,
        limits: Limits,
    ) -> Result<Object> {
        refuse_coroutine(py, function)?;
        if !function.is_callable() {
            let message = format!("a function is wanted, not '{}'", function.class_name());
            return Err(Kind::Type.raise(py, message));
        }
        if !function.runs_when_called(py)? {
            return Err(no_coroutines(py));
        }
        let value = Self {
            function: function.to_object(),
            space: space.map(Instance::own),
            interpreter: Rc::clone(interpreter),
            limits,
        };
        let extra = FunctionExtra::calling::<Self, _>(Self::call);
        let made = interpreter.types.transactional.create_with(py, extra, value)?.into_object();
        let helper = interpreter.helpers(py)?.update_wrapper.clone();
        helper.call(py, &[&made, function])
    }

    fn call(this: &Instance<Self>, py: Python<'_>, call: Call<'_>) -> Result<Object> {
        let interpreter = &this.interpreter;
        match &this.space {
            Some(space) => run(py, space, this.limits, |py| call.pass_to(py, &this.function)),
            None => {
                let all = call.positional().iter().chain(call.named());
                let space = match all.into_iter().find_map(|argument| proxy::space_of(interpreter, argument)) {
                    Some(space) => space,
                    None => interpreter.default_space(py)?,
                };
                run(py, &space, this.limits, |py| call.pass_to(py, &this.function))
            }
        }
    }

    fn describe(this: &Instance<Self>, py: Python<'_>, instance: Option<&Any>) -> Result<Object> {
        match instance {
            None => Ok(this.as_any().to_object()),
            Some(instance) if instance.is_none() => Ok(this.as_any().to_object()),
            Some(instance) => py.bind(this.as_any(), instance),
        }
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.str(&format!("<transactional {}>", this.function.repr_text(py)))
    }
    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.function.attribute(py, c"__qualname__")
    }
    fn get_space(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        Ok(this.space.as_ref().map_or_else(|| py.none(), |space| space.as_any().to_object()))
    }
}
