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
use std::ops::RangeInclusive;
use std::rc::Rc;

use pso_engine::error::Stop;
use pso_engine::platform::System;
use pso_engine::transaction::Hooks;

mod end;
mod kept_hooks;
mod mark;
mod once;
mod pickles;
mod room;
mod sizes;
mod stopped;

pub use once::Irrevocable;
use pickles::{Ending, Pickles};
use sizes::Sizes;
pub use sizes::{Counter, Growth};
pub use stopped::retry;

use crate::body::no_coroutines;
use crate::ffi::{Any, Instance, Kind, Object, Python, Raised, Result, gil};
use crate::member::Member;
use crate::space::{Room, Space, Tx};

/// What a thread is in.
pub struct Transaction {
    thread: Cell<u64>,
    /// The address of the space object, which lives while its transaction is under way.
    space: Cell<usize>,
    member: Cell<Option<Box<Member>>>,
    stop: RefCell<Option<Stop>>,
    /// What a signal handler has raised, where that stopped it.
    interrupt: RefCell<Option<Object>>,
    forked: Cell<bool>,
    /// Whether it ended while its participant was taken out.
    ended: Cell<bool>,
    /// When the first `Queue.get(timeout=...)` of this transaction stops waiting, and since when their timeouts count.
    patience: Cell<Option<u64>>,
    patient_since: Cell<Option<u64>>,
    /// What the attempt under way has changed of the sizes of dicts.
    sizes: Sizes,
    /// Pickles that it has loaded and made.
    pickles: Pickles,
    /// What is to run after the end, as the attempt under way has it.
    hooks: RefCell<Hooks<Object>>,
    /// Whether there are any: nearly never.
    hooked: Cell<bool>,
    /// Which attempt is under way, from 1.
    attempt: Cell<u64>,
    /// Its number among all attempts of the interpreter.
    number: Cell<u64>,
    /// Alternatives that were undone so far.
    undone: Cell<u64>,
    /// Whether it runs once and cannot wait for a change.
    irrevocable: Cell<bool>,
    /// Alternatives under way, one in the other.
    alternatives: Cell<u32>,
    /// Blocks that have joined so far, and which of those began in alternatives that were undone, in the attempt under way.
    joined: Cell<u64>,
    undone_blocks: RefCell<Vec<RangeInclusive<u64>>>,
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
        let member = self.member.take();
        match member {
            // Somebody has ended the transaction meanwhile (a signal handler has closed a generator with a block, say), and found nobody whose attempt to end.
            Some(member) if self.transaction.ended.get() => member.leave(),
            member => self.transaction.member.set(member),
        }
    }
}

/// How long and how often a transaction tries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Seconds.
    pub timeout: Option<f64>,
    /// Attempts after the first, but for those after a wait by `pso.retry()`.
    pub retries: Option<u64>,
    /// Whether it must not write.
    pub readonly: bool,
}

impl Limits {
    /// Takes the option `name`. False: there is none of that name.
    pub fn set(&mut self, py: Python<'_>, name: &str, value: &Any) -> Result<bool> {
        match name {
            "timeout" => self.timeout = if value.is_none() { None } else { Some(value.seconds(py)?) },
            "retries" if value.is_none() => self.retries = None,
            "retries" => {
                let retries = u64::try_from(value.machine_int(py)?);
                let wrong = |_| Kind::Value.raise(py, "'retries' must not be negative");
                self.retries = Some(retries.map_err(wrong)?);
            }
            "readonly" => self.readonly = value.is_true(py)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Transaction {
    fn new() -> Self {
        Self {
            thread: Cell::new(0),
            space: Cell::new(0),
            member: Cell::new(None),
            stop: RefCell::new(None),
            interrupt: RefCell::new(None),
            forked: Cell::new(false),
            ended: Cell::new(false),
            patience: Cell::new(None),
            patient_since: Cell::new(None),
            sizes: Sizes::default(),
            pickles: Pickles::default(),
            hooks: RefCell::default(),
            hooked: Cell::new(false),
            attempt: Cell::new(0),
            number: Cell::new(0),
            undone: Cell::new(0),
            irrevocable: Cell::new(false),
            alternatives: Cell::new(0),
            joined: Cell::new(0),
            undone_blocks: RefCell::default(),
        }
    }
    /// A transaction of this thread, with a participant, that nobody has entered yet.
    fn start(py: Python<'_>, space: &Space) -> Result<Rc<Self>> {
        let transaction = space.take_idle().unwrap_or_else(|| Rc::new(Self::new()));
        transaction.thread.set(gil::thread(py));
        transaction.space.set(std::ptr::from_ref(space) as usize);
        transaction.member.set(Some(space.take_member(py)?));
        transaction.ended.set(false);
        transaction.go_on();
        transaction.patience.set(None);
        transaction.patient_since.set(None);
        transaction.attempt.set(0);
        transaction.irrevocable.set(false);
        transaction.alternatives.set(0);
        transaction.undone_blocks.borrow_mut().clear();
        Ok(transaction)
    }
    /// Whose it is.
    #[inline]
    pub fn thread(&self) -> u64 {
        self.thread.get()
    }
    /// Whether it belongs to `space`.
    #[inline]
    pub fn is_in(&self, space: &Space) -> bool {
        self.space.get() == std::ptr::from_ref(space) as usize
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
            Some(member) if member.is_forked() => {
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
        if self.forked.get() { space.stopped(py, Stop::Forked) } else { stopped::at_work(py) }
    }
    /// Ends the attempt of one that nobody ends any more.
    #[cold]
    pub fn give_up(&self) {
        if let Some(mut member) = self.member.take().filter(|member| !member.is_foreign()) {
            member.participant.abort();
            member.leave();
        }
    }
    /// Which attempt is under way, from 1.
    pub fn attempt(&self) -> u64 {
        self.attempt.get()
    }
    /// The number of that attempt among all of the interpreter, and how many alternatives were undone so far: what was read of the space holds for both.
    pub fn number(&self) -> (u64, u64) {
        (self.number.get(), self.undone.get())
    }
    /// Says that the part of the transaction that runs from here on must not write, or may again. Gives what was said before.
    fn set_read_only(&self, py: Python<'_>, space: &Space, read_only: bool) -> Result<bool> {
        Ok(self.work(py, space)?.participant().set_read_only(read_only))
    }
    /// Whether a wait with a timeout of its own has ended, in ns; if not, the transaction waits no longer than to its end. All timeouts of a
    /// transaction count from the first wait of its first attempt: what is run again does not wait anew.
    pub fn has_waited(&self, now: u64, timeout: u64) -> bool {
        let since = self.patient_since.get().unwrap_or(now);
        self.patient_since.set(Some(since));
        let end = since.saturating_add(timeout);
        if now < end {
            self.patience.set(Some(self.patience.get().map_or(end, |known| known.min(end))));
        }
        now >= end
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
    // First: they may begin or end a block.
    interpreter.run_left_hooks(py)?;
    if let Some(current) = interpreter.current(py) {
        if !current.is_in(space) {
            return Err(space.crossed(py));
        }
        return if limits.readonly { join_read_only(py, &current, space, body) } else { body(py) };
    }
    let transaction = Transaction::start(py, space)?;
    // Counted: the body may drop the last reference to the space.
    let space = space.own();
    interpreter.enter(Rc::clone(&transaction));
    let entered = interpreter.entered(&transaction);
    let attempts = Attempts { transaction: &transaction, space: &space };
    let result = attempts.run(py, limits, body);
    drop(entered);
    let result = if transaction.is_hooked() {
        attempts.end_hooked(py, interpreter, result)
    } else {
        attempts.give_back(result.is_ok());
        result
    };
    interpreter.run_left_hooks_after(py, result)
}

/// A part of a transaction that must not write, whatever the rest does.
fn join_read_only(
    py: Python<'_>,
    transaction: &Transaction,
    space: &Space,
    body: impl Fn(Python<'_>) -> Result<Object>,
) -> Result<Object> {
    let before = transaction.set_read_only(py, space, true)?;
    let result = body(py);
    if let Some(mut member) = transaction.member.take() {
        member.participant.set_read_only(before);
        transaction.member.set(Some(member));
    }
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
        let (mut tries, mut room) = (0u64, Room::default());
        // Each turn is an attempt; the protocol bounds them, and `limits` does.
        loop {
            let outcome = self.attempt(py, deadline, limits.readonly, &body);
            let (outcome, is_full) = self.is_full(py, outcome);
            if !is_full {
                self.transaction.settle(Ending::from(&outcome));
            }
            match outcome {
                Outcome::Done(value) => return Ok(value),
                // It found the space full: that is worth another attempt, if there may be room then.
                Outcome::Failed(raised) if is_full => {
                    let full = self.make_room(py, &mut room, raised);
                    self.transaction.settle(if full.is_ok() { Ending::RunAgain } else { Ending::Failed });
                    let full = full?;
                    tries += 1;
                    if limits.retries.is_some_and(|most| tries > most) {
                        return Err(self.space.stopped(py, full));
                    }
                }
                Outcome::Failed(raised) => return Err(raised),
                Outcome::Again => tries += 1,
                Outcome::WaitForChange => self.wait(py, deadline)?,
            }
            if limits.retries.is_some_and(|most| tries > most) {
                let message = format!("the transaction did not commit in {tries} attempts");
                return Err(Raised::with(py, &self.space.interpreter().errors.timeout, message));
            }
            if deadline.is_some() {
                self.check_deadline(py, deadline)?;
            }
            self.check_signals(py)?;
        }
    }

    fn check_deadline(&self, py: Python<'_>, deadline: Option<u64>) -> Result<()> {
        let now = self.space.membership(py)?.native().now_ns();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(self.space.stopped(py, Stop::TimedOut));
        }
        Ok(())
    }

    fn attempt(
        &self,
        py: Python<'_>,
        deadline: Option<u64>,
        readonly: bool,
        body: &impl Fn(Python<'_>) -> Result<Object>,
    ) -> Outcome {
        self.transaction.attempt.set(self.transaction.attempt.get() + 1);
        self.transaction.number.set(self.space.interpreter().next_attempt());
        if let Err(raised) = self.begin(py, deadline, readonly) {
            // With the hooks of the attempt before: it was not run again.
            return Outcome::Failed(raised);
        }
        // Before what stopped the last attempt is forgotten: a finalizer of theirs is told that, and touches nothing.
        self.transaction.drop_hooks();
        self.transaction.go_on();
        self.transaction.undone_blocks.borrow_mut().clear();
        let result = body(py);
        match (result, self.transaction.stop()) {
            (Ok(value), None) if value.is_coroutine() => self.refuse(py, &value),
            (Ok(value), None) => self.commit(py, value),
            (Err(raised), None) => self.fail(py, raised),
            (Ok(_), Some(Stop::Conflict)) => Outcome::Again,
            (Ok(_), Some(Stop::Retry)) => Outcome::WaitForChange,
            // The body caught what we raised, and must not: nothing of the attempt exists.
            (Ok(_), Some(stop)) => Outcome::Failed(self.transaction.raise(py, self.space, stop)),
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

    fn begin(&self, py: Python<'_>, deadline: Option<u64>, readonly: bool) -> Result<()> {
        loop {
            let mut work = self.transaction.work(py, self.space)?;
            work.participant().set_deadline(deadline);
            work.participant().set_read_only(readonly);
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
                self.transaction.set_stop(stop.clone());
                drop(value);
                match stop {
                    Stop::Conflict => Outcome::Again,
                    stop => Outcome::Failed(self.space.stopped(py, stop)),
                }
            }
        }
    }

    /// The body raised by itself: nothing of the attempt stays, and the exception goes on; or the body is run again with its age.
    fn fail(&self, py: Python<'_>, raised: Raised) -> Outcome {
        let (raised, conflict) = self.space.interpreter().errors.is_conflict(py, raised);
        if let Some(mut member) = self.transaction.member.take() {
            if conflict {
                member.participant.abandon();
            } else {
                member.participant.abort();
            }
            self.transaction.member.set(Some(member));
        }
        self.transaction.set_stop(Stop::Conflict);
        if conflict { self.unwind(py, raised, Stop::Conflict) } else { Outcome::Failed(raised) }
    }

    /// Our own exception has come back through the body, or another one that it raised on the way. What is no `Exception`
    /// (Ctrl-C, an exit) goes on; all else was said by an attempt that does not exist.
    fn unwind(&self, py: Python<'_>, raised: Raised, stop: Stop) -> Outcome {
        let (raised, ours) = self.space.interpreter().errors.is_of_stopped(py, raised);
        if !ours {
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
                // Whoever waited with a timeout of its own finds in the next attempt that it is over.
                self.transaction.patience.set(None);
                Ok(())
            }
            Err(stop) => {
                drop(work);
                Err(self.space.stopped(py, stop))
            }
        }
    }
}
