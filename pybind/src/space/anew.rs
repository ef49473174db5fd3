//! A space that was closed in this interpreter and is open again, or a child of a fork that does not hold what its parent did: what the proxies of
//! before hold.

use pso_engine::word::{BlockKind, Handle};

use super::Space;
use crate::ffi::{Instance, Python, Result};
use crate::holding::{Held, Keep};
use crate::proxy;

impl Space {
    /// The proxies of before hold their objects anew, as far as those are there.
    pub(super) fn hold_anew(this: &Instance<Self>, py: Python<'_>) -> Result<()> {
        for dict in this.dicts.all(py) {
            dict.proxy().keep(hold(this, py, BlockKind::Dict, dict.proxy().handle())?);
        }
        for list in this.lists.all(py) {
            list.proxy().keep(hold(this, py, BlockKind::List, list.proxy().handle())?);
        }
        for queue in this.queues.all(py) {
            queue.proxy().keep(hold(this, py, BlockKind::Queue, queue.proxy().handle())?);
        }
        Ok(())
    }
}

/// `None`: it is gone, and whoever uses the proxy hears of it; or it is the root, which needs nobody.
fn hold(space: &Instance<Space>, py: Python<'_>, kind: BlockKind, handle: Handle) -> Result<Option<Held>> {
    let errors = &space.interpreter().errors;
    match proxy::take_up(py, space, kind, handle, None) {
        Ok(Keep::Held(held)) => Ok(Some(held)),
        Ok(_) => Ok(None),
        // What is said of the object. All else is said of whoever asks (Ctrl-C, no place, no room), and passes.
        Err(raised) if raised.matches(py, &errors.stale) || raised.matches(py, &errors.corrupt) => {
            raised.clear(py);
            Ok(None)
        }
        Err(raised) => Err(raised),
    }
}
