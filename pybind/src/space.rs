//! `pso.Space`: an open space of one interpreter. Runs operations; finds and makes proxies; opens, closes, joins anew.
//!
//! An operation outside a transaction is a transaction of one operation. It takes a participant from the pool, and puts
//! it back after; a thread that sleeps keeps its own, so there are as many as threads that work at once. An operation
//! inside a transaction uses the transaction's.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pso_engine::arena::Arena;
use pso_engine::contention::PolicyId;
use pso_engine::error::{Corrupt, Stop};
use pso_engine::object;
use pso_engine::platform::System;
use pso_engine::platform::native::Native;
use pso_engine::transaction::Participant;
use pso_engine::word::{BlockKind, Handle, Value};

use crate::dict::Dict;
use crate::exports::Exports;
use crate::ffi::weak::{Identity, WeakTable};
use crate::ffi::{Any, Class, Instance, Kind, Object, Own, Python, Raised, Result};
use crate::garbage::Garbage;
use crate::holding::{Held, Keep, Keeper, Shared};
use crate::interpreter::Interpreter;
use crate::key::Hashes;
use crate::list::List;
use crate::member::Member;
use crate::queue::Queue;
use crate::registry::{Location, Membership, OpenError, Which};
use crate::transaction::Transaction;

mod anew;
pub mod methods;
mod operate;
mod pool;
mod room;

pub use room::Room;

/// A participant at work.
pub type Tx = Participant<Native>;

/// An open space.
pub struct Space {
    identity: Identity<Which, Space>,
    interpreter: Rc<Interpreter>,
    /// Where it was opened last.
    location: RefCell<Location>,
    bytes: u64,
    hash_key: (u64, u64),
    policy: PolicyId,
    hashes: Box<Hashes>,
    /// `None` once it is closed.
    membership: RefCell<Option<Arc<Membership>>>,
    /// The incarnation of the process that all below is of.
    incarnation: Cell<u64>,
    /// What the guards of held objects release to.
    keeper: RefCell<Rc<Keeper>>,
    /// Whether proxies may hold nothing: see `anew`.
    names_in_doubt: Cell<bool>,
    /// By what pickles that were made here hold their objects.
    pub exports: RefCell<Exports>,
    /// For those who sleep: they stop and say so.
    closed: Arc<AtomicBool>,
    /// The same for us.
    ended: Cell<bool>,
    /// The pool: one place that costs nothing, and the rest.
    spare: Cell<Option<Box<Member>>>,
    #[allow(clippy::vec_box)] // Members move between the pool and their users by pointer.
    others: RefCell<Vec<Box<Member>>>,
    /// When to look for containers that nothing names.
    pub garbage: Garbage,
    /// A transaction that is over, to be used again.
    idle: Cell<Option<Rc<Transaction>>>,
    root: OnceCell<Handle>,
    dicts: Rc<WeakTable<u64, Dict>>,
    lists: Rc<WeakTable<u64, List>>,
    queues: Rc<WeakTable<u64, Queue>>,
}

impl Class for Space {
    type Extra = crate::ffi::WeakExtra;

    fn retire(&self, _this: &Any) {
        self.end();
    }
}

impl Space {
    /// The interpreter's object for `membership`.
    pub fn open(
        py: Python<'_>,
        interpreter: &Rc<Interpreter>,
        membership: Arc<Membership>,
        location: Location,
    ) -> Result<Own<Self>> {
        interpreter.notice_fork(py);
        if let Some(known) = interpreter.spaces.get(py, &membership.which()) {
            if !known.is_closed() {
                return Ok(known);
            }
            let before = known.keeper.replace(Keeper::new(Arc::clone(&membership)));
            drop(before);
            let last = last_collection(&membership);
            known.incarnation.set(membership.native().incarnation());
            *known.membership.borrow_mut() = Some(membership);
            // Its file may have moved since.
            known.location.replace(location);
            known.closed.store(false, Ordering::Release);
            known.ended.set(false);
            interpreter.set_default(&known, true);
            known.garbage.forget(last);
            return match Self::hold_anew(&known, py) {
                Ok(()) => Ok(known),
                // It stays closed: another time it is opened with what its proxies name.
                Err(raised) => Err(raised.aside(py, || known.end()).0),
            };
        }
        let (which, last) = (membership.which(), last_collection(&membership));
        let make = |identity| Self {
            identity,
            interpreter: Rc::clone(interpreter),
            location: RefCell::new(location),
            bytes: membership.native().bytes(),
            hash_key: membership.space().arena().hash_key(),
            policy: membership.space().arena().policy(),
            hashes: Box::new(Hashes::new()),
            keeper: RefCell::new(Keeper::new(Arc::clone(&membership))),
            exports: RefCell::default(),
            names_in_doubt: Cell::new(false),
            incarnation: Cell::new(membership.native().incarnation()),
            membership: RefCell::new(Some(membership)),
            closed: Arc::new(AtomicBool::new(false)),
            ended: Cell::new(false),
            spare: Cell::new(None),
            others: RefCell::default(),
            garbage: Garbage::new(last),
            idle: Cell::new(None),
            root: OnceCell::new(),
            dicts: Rc::default(),
            lists: Rc::default(),
            queues: Rc::default(),
        };
        let space = interpreter.spaces.create(py, &interpreter.types.space, which, make, |space| &space.identity)?;
        space.find_root(py)?;
        interpreter.set_default(&space, true);
        Ok(space)
    }

    /// The root dict is made by whoever looks first.
    fn find_root(&self, py: Python<'_>) -> Result<Handle> {
        if let Some(root) = self.root.get() {
            return Ok(*root);
        }
        let found = self.operate_anyhow(py, &mut |tx: &mut Tx| {
            let cell = tx.arena().root();
            let value = tx.read(cell)?;
            if let Some(handle) = value.as_handle() {
                // Opened here so that a damaged root is refused now and not later.
                object::dict::len(tx, handle)?;
                return Ok(handle);
            }
            if !value.is_absent() {
                let at = cell.value_word();
                let what = "the root cell";
                return Err(Corrupt { what, byte_offset: at.byte_offset(), word: value.raw() }.into());
            }
            let handle = object::dict::create(tx)?;
            tx.write(cell, Value::handle(handle))?;
            Ok(handle)
        })?;
        Ok(*self.root.get_or_init(|| found))
    }

    /// Whether `handle` is the root's.
    pub fn is_root(&self, handle: Handle) -> bool {
        self.root.get() == Some(&handle)
    }
    /// The state of the interpreter.
    #[inline]
    pub fn interpreter(&self) -> &Rc<Interpreter> {
        &self.interpreter
    }
    /// Key of the hash function of the space.
    #[inline]
    pub fn hash_key(&self) -> (u64, u64) {
        self.hash_key
    }
    /// Hashes of keys.
    #[inline]
    pub fn hashes(&self) -> &Hashes {
        &self.hashes
    }
    /// Whether it was closed here.
    pub fn is_closed(&self) -> bool {
        self.ended.get()
    }
    /// Its name among all spaces, which its copies have, too.
    pub fn uuid(&self) -> [u8; 16] {
        self.identity.key().uuid
    }
    /// Where it is.
    pub fn location(&self) -> Location {
        self.location.borrow().clone()
    }
    /// The share of this process's membership.
    pub fn membership(&self, py: Python<'_>) -> Result<Arc<Membership>> {
        // The borrow is over before anything is raised: that may run a finalizer, which opens the space again.
        let membership = self.membership.borrow().clone();
        membership.ok_or_else(|| self.interpreter.errors.space_closed(py))
    }
    /// Raises what stopped an attempt.
    #[cold]
    pub fn stopped(&self, py: Python<'_>, stop: Stop) -> Raised {
        self.interpreter.errors.stopped(py, stop, self.is_closed())
    }

    /// Raises that the thread is in a transaction of another space.
    #[cold]
    pub fn crossed(&self, py: Python<'_>) -> Raised {
        crossed(py, &self.interpreter)
    }

    /// A transaction object that is over, if one is at hand.
    pub fn take_idle(&self) -> Option<Rc<Transaction>> {
        self.idle.take()
    }
    /// Keeps one for the next time.
    pub fn put_idle(&self, transaction: Rc<Transaction>) {
        self.idle.set(Some(transaction));
    }

    /// In a child of a fork: forgets what is the parent's and takes a place of the process's own.
    #[cold]
    pub fn rejoin(&self, py: Python<'_>) -> Result<()> {
        self.interpreter.notice_fork(py);
        let membership = self.membership.borrow().clone();
        // By now all is this process's, what its threads do included: whoever asks has slept through the fork.
        let is_ours = |native: &Native| !native.forked() && native.incarnation() == self.incarnation.get();
        if membership.as_ref().is_some_and(|membership| is_ours(membership.native())) {
            return Ok(());
        }
        for transaction in self.interpreter.transactions_in(self) {
            transaction.forked();
        }
        // Dropped without leaving: the places are the parent's.
        drop((self.spare.take(), self.others.take(), self.idle.take()));
        self.garbage.forget(membership.as_deref().map_or(0, last_collection));
        let Some(membership) = membership else { return Ok(()) };
        let (which, inherits) = (membership.which(), membership.rejoin());
        self.incarnation.set(membership.native().incarnation());
        if !matches!(inherits, Ok(true)) {
            // What the proxies of before hold is void. After an error, too: the process may have a place by now, and nothing in its table.
            self.keeper.replace(Keeper::new(membership)).close();
            self.set_names_in_doubt(true);
        }
        match (inherits, self.interpreter.spaces.get(py, &which)) {
            (Ok(false), Some(this)) => Self::hold_anew(&this, py),
            // Whoever meets their objects holds them anew.
            (inherits, _) => inherits.map(drop).map_err(|error| self.open_failed(py, &error)),
        }
    }
    fn open_failed(&self, py: Python<'_>, error: &OpenError) -> Raised {
        open_failed(py, &self.interpreter, error)
    }

    /// Closes it in this interpreter.
    pub fn end(&self) {
        // Release: see `member`.
        self.closed.store(true, Ordering::Release);
        self.ended.set(true);
        self.interpreter.forget_default(self);
        if let Some(mut member) = self.spare.take().filter(|member| !member.is_foreign()) {
            self.garbage.close(&mut member.participant);
            self.spare.set(Some(member));
        }
        self.dismiss();
        drop(self.idle.take());
        self.keeper().close();
        let membership = self.membership.take();
        drop(membership);
    }

    /// What guards release to.
    pub fn keeper(&self) -> Rc<Keeper> {
        Rc::clone(&self.keeper.borrow())
    }
    /// Holds what an attempt has found or made.
    #[inline]
    pub fn hold(&self, tx: &mut Tx, handle: Handle) -> Result<Held, Stop> {
        self.keeper.borrow().hold(tx, handle)
    }
    /// Keeps what an attempt has found: by its proxy, where there is one that holds it.
    pub fn keep(&self, py: Python<'_>, tx: &mut Tx, kind: BlockKind, handle: Handle) -> Result<Keep, Stop> {
        match self.holding_proxy(py, kind, handle) {
            Some(proxy) => Ok(Keep::Proxy(proxy)),
            None => self.hold(tx, handle).map(Keep::Held),
        }
    }
    /// Keeps what an attempt has only heard of. `None`: it may be garbage.
    pub fn take_up(
        &self,
        py: Python<'_>,
        tx: &mut Tx,
        kind: BlockKind,
        handle: Handle,
        is_kept: impl Fn() -> bool,
    ) -> Result<Option<Keep>, Stop> {
        match self.holding_proxy(py, kind, handle) {
            Some(proxy) => Ok(Some(Keep::Proxy(proxy))),
            None => Ok(self.keeper.borrow().take_up(tx, handle, is_kept)?.map(Keep::Held)),
        }
    }
    fn holding_proxy(&self, py: Python<'_>, kind: BlockKind, handle: Handle) -> Option<Object> {
        let raw = handle.raw();
        match kind {
            BlockKind::Dict => {
                let known = self.dicts.get(py, &raw).filter(|dict| dict.proxy().is_held() || self.is_root(handle));
                known.map(Own::into_object)
            }
            BlockKind::List => self.lists.get(py, &raw).filter(|list| list.proxy().is_held()).map(Own::into_object),
            _ => self.queues.get(py, &raw).filter(|queue| queue.proxy().is_held()).map(Own::into_object),
        }
    }

    /// The proxy of a shared object.
    pub fn proxy(this: &Instance<Self>, py: Python<'_>, shared: Shared) -> Result<Object> {
        let Shared { kind, handle, keep } = shared;
        let held = match keep {
            Keep::Proxy(proxy) => return Ok(proxy),
            Keep::Held(held) => Some(held),
            Keep::Nothing => None,
        };
        match kind {
            BlockKind::Dict => Self::dict(this, py, handle, held).map(Own::into_object),
            BlockKind::List => Self::list(this, py, handle, held).map(Own::into_object),
            BlockKind::Queue => Self::queue(this, py, handle, held).map(Own::into_object),
            other => {
                let message = format!("a {other:?} block stands where an object should be");
                Err(Raised::with(py, &this.interpreter.errors.corrupt, message))
            }
        }
    }
    /// The one proxy of a dict.
    pub fn dict(this: &Instance<Self>, py: Python<'_>, handle: Handle, held: Option<Held>) -> Result<Own<Dict>> {
        if let Some(known) = this.dicts.get(py, &handle.raw()) {
            known.proxy().keep(held);
            return Ok(known);
        }
        let make = |identity| Dict::new(this.own(), identity, handle, held);
        this.dicts.create(py, &this.interpreter.types.dict, handle.raw(), make, |dict| dict.proxy().identity())
    }
    /// The one proxy of a list.
    pub fn list(this: &Instance<Self>, py: Python<'_>, handle: Handle, held: Option<Held>) -> Result<Own<List>> {
        if let Some(known) = this.lists.get(py, &handle.raw()) {
            known.proxy().keep(held);
            return Ok(known);
        }
        let make = |identity| List::new(this.own(), identity, handle, held);
        this.lists.create(py, &this.interpreter.types.list, handle.raw(), make, |list| list.proxy().identity())
    }
    /// The one proxy of a queue.
    pub fn queue(this: &Instance<Self>, py: Python<'_>, handle: Handle, held: Option<Held>) -> Result<Own<Queue>> {
        if let Some(known) = this.queues.get(py, &handle.raw()) {
            known.proxy().keep(held);
            return Ok(known);
        }
        let make = |identity| Queue::new(this.own(), identity, handle, held);
        this.queues.create(py, &this.interpreter.types.queue, handle.raw(), make, |queue| queue.proxy().identity())
    }

    /// Now and `seconds` later, in ns of the system's clock.
    pub fn deadline(&self, py: Python<'_>, seconds: f64) -> Result<u64> {
        self.now_and_deadline(py, seconds).map(|(_, deadline)| deadline)
    }
    /// Now, and in so many seconds, in ns.
    pub fn now_and_deadline(&self, py: Python<'_>, seconds: f64) -> Result<(u64, u64)> {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(Kind::Value.raise(py, "'timeout' must be a non-negative number"));
        }
        let now = self.membership(py)?.native().now_ns();
        Ok((now, now.saturating_add((seconds * 1e9).min(u64::MAX as f64) as u64)))
    }

    /// The memory of the space.
    pub fn with_arena<T>(&self, py: Python<'_>, body: impl FnOnce(&Arena<Native>) -> T) -> Result<T> {
        let membership = self.membership(py)?;
        let space = membership.space();
        Ok(space.look(|| body(space.arena())))
    }
}

/// The number of the last collection of a space, by anybody.
fn last_collection(membership: &Membership) -> u64 {
    pso_engine::collection::last(membership.space().arena()).number
}

/// Raises that the thread is in a transaction of another space.
#[cold]
pub fn crossed(py: Python<'_>, interpreter: &Interpreter) -> Raised {
    let message = "this thread is in a transaction of another space: a transaction belongs to one space";
    Raised::with(py, &interpreter.errors.cross_space, message)
}

/// Raises why a space cannot be had.
#[cold]
pub fn open_failed(py: Python<'_>, interpreter: &Interpreter, error: &OpenError) -> Raised {
    match error {
        OpenError::Arena(error) => interpreter.errors.arena(py, error),
        OpenError::Join(error) => interpreter.errors.not_joined(py, error),
    }
}
