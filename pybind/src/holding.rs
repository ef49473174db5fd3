//! What this process holds of a space for an interpreter: a guard for each object that it has in hand.
//!
//! An object that Python code can still name must not be freed, though nothing in the space names it any more. So whatever carries a
//! handle out of an attempt carries a [`Held`] with it, taken inside the attempt (`pso_engine::holding`): a value on its way out, then
//! the one proxy of the object, which keeps it until it is dropped. Where there is a proxy already, that holds the object, and the
//! value on its way out keeps the proxy ([`Keep`]). What a lost attempt held goes with the guard.
//!
//! A lost attempt may drop the last name of such a proxy, and the callbacks of its weak references run then as a signal handler would in
//! a sleep: they meet no participant of that attempt.
//!
//! Guards know no Python. They share a [`Keeper`], which is emptied when the interpreter closes the space: from then on they do nothing,
//! and the engine empties the table when the process leaves. A space that is opened again has a new keeper, and the proxies of
//! before hold nothing until they are met again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pso_engine::error::Stop;
use pso_engine::holding::{Export, Hold};
use pso_engine::word::{BlockKind, Handle};

use crate::ffi::Object;
use crate::registry::{Membership, settle_children};
use crate::space::Tx;

/// Where guards release to.
pub struct Keeper(RefCell<Option<Arc<Membership>>>);

impl Keeper {
    /// For as long as `membership` is open in the interpreter.
    pub fn new(membership: Arc<Membership>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Some(membership))))
    }
    /// The space is closed here.
    pub fn close(&self) {
        drop(self.0.take());
    }
    /// Holds what an attempt has found.
    #[inline]
    pub fn hold(self: &Rc<Self>, tx: &mut Tx, handle: Handle) -> Result<Held, Stop> {
        let hold = tx.hold(handle)?;
        Ok(Held { keeper: Some(Rc::clone(self)), hold })
    }
    /// Holds what an attempt has only heard of. `None`: it may be garbage.
    pub fn take_up(
        self: &Rc<Self>,
        tx: &mut Tx,
        handle: Handle,
        is_kept: impl Fn() -> bool,
    ) -> Result<Option<Held>, Stop> {
        let hold = tx.take_up(handle, is_kept)?;
        Ok(hold.map(|hold| Held { keeper: Some(Rc::clone(self)), hold }))
    }
    /// Takes an export out, which the caller holds by now.
    pub fn adopt(&self, export: Export) {
        if let Some(membership) = &*self.0.borrow() {
            // False: somebody else has loaded it first, or its sender has ended.
            let _ = membership.space().adopt(export);
        }
    }
    /// Whether this process holds something by `export`, and nobody has taken it out.
    pub fn is_out(&self, export: Export) -> bool {
        self.0.borrow().as_ref().is_some_and(|membership| {
            let space = membership.space();
            export.process == space.process() && space.is_exported(export)
        })
    }
}

/// An object is held as long as this lives.
pub struct Held {
    /// `None` once it is passed on.
    keeper: Option<Rc<Keeper>>,
    hold: Hold,
}

impl Held {
    /// What is held.
    pub fn handle(&self) -> Handle {
        self.hold.handle()
    }
    /// Whether it still is: the space was not closed here since.
    #[inline]
    pub fn is_good(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.0.borrow().is_some())
    }
    /// Passes it on to whoever loads a pickle. `None`: the space is closed, or the process is a child that has not joined.
    pub fn export(mut self) -> Option<Export> {
        let keeper = self.keeper.take()?;
        let membership = keeper.0.borrow();
        membership.as_ref()?.space().export(self.hold)
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper
            && let Some(membership) = &*keeper.0.borrow()
        {
            settle_children();
            membership.space().release(self.hold);
        }
    }
}

/// What keeps a live object that was read.
pub enum Keep {
    /// Nothing but the attempt: for those who only look.
    Nothing,
    /// Its proxy.
    Proxy(Object),
    /// A guard, for its proxy to be.
    Held(Held),
}

/// A live object that was read.
pub struct Shared {
    /// Its kind.
    pub kind: BlockKind,
    /// Its name.
    pub handle: Handle,
    /// What keeps it.
    pub keep: Keep,
}
