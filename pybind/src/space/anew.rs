//! A space that was closed in this interpreter and is open again, or a child of a fork that does not hold what its parent did: what the proxies of
//! before hold.

use std::rc::Rc;

use super::Space;
use crate::ffi::{Class, Instance, Python, Result};
use crate::proxy::Proxy;

impl Space {
    /// The proxies of before hold their objects anew, as far as those are there.
    pub(super) fn hold_anew(this: &Instance<Self>, py: Python<'_>) -> Result<()> {
        let keeper = this.keeper();
        this.set_names_in_doubt(true);
        let mut all_held = true;
        for dict in this.dicts.all(py) {
            all_held &= hold(this, py, dict.proxy())?;
        }
        for list in this.lists.all(py) {
            all_held &= hold(this, py, list.proxy())?;
        }
        for queue in this.queues.all(py) {
            all_held &= hold(this, py, queue.proxy())?;
        }
        // A signal handler may have closed the space meanwhile, and somebody opened it again: of that life nothing is known here.
        if Rc::ptr_eq(&keeper, &this.keeper()) {
            this.set_names_in_doubt(!all_held);
        }
        Ok(())
    }

    /// Whether that is so.
    #[inline]
    pub fn has_names_in_doubt(&self) -> bool {
        self.names_in_doubt.get()
    }
    /// Whether there may be proxies that hold nothing: who works with them takes hold of them first, and asks whether there is memory behind their names.
    pub(super) fn set_names_in_doubt(&self, doubt: bool) {
        self.names_in_doubt.set(doubt);
        let spare = self.spare.take().map(|mut member| {
            member.participant.set_names_in_doubt(doubt);
            member
        });
        self.spare.set(spare);
        self.others.borrow_mut().iter_mut().for_each(|member| member.participant.set_names_in_doubt(doubt));
    }
}

/// Whether the proxy holds its object, or needs to hold nothing (the root). False: it is gone, and whoever uses the proxy hears of it.
fn hold<T: Class>(space: &Space, py: Python<'_>, proxy: &Proxy<T>) -> Result<bool> {
    let errors = &space.interpreter().errors;
    match proxy.hold_anew(py) {
        Ok(()) => Ok(true),
        // What is said of the object. All else is said of whoever asks (Ctrl-C, no place, no room), and passes.
        Err(raised) if raised.matches(py, &errors.stale) || raised.matches(py, &errors.corrupt) => {
            raised.clear(py);
            Ok(false)
        }
        Err(raised) => Err(raised),
    }
}
