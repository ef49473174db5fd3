//! A space that was closed in this interpreter and is open again: what the proxies of before hold.

use pso_engine::word::{BlockKind, Handle};

use super::Space;
use crate::ffi::{Instance, Python};
use crate::holding::{Held, Keep};
use crate::proxy;

impl Space {
    /// The proxies of before hold their objects anew, as far as those are there.
    pub(super) fn hold_anew(this: &Instance<Self>, py: Python<'_>) {
        for dict in this.dicts.all(py) {
            dict.proxy().keep(hold(this, py, BlockKind::Dict, dict.proxy().handle()));
        }
        for list in this.lists.all(py) {
            list.proxy().keep(hold(this, py, BlockKind::List, list.proxy().handle()));
        }
        for queue in this.queues.all(py) {
            queue.proxy().keep(hold(this, py, BlockKind::Queue, queue.proxy().handle()));
        }
    }
}

/// `None`: it is gone, and whoever uses the proxy hears of it; or it is the root, which needs nobody.
fn hold(space: &Instance<Space>, py: Python<'_>, kind: BlockKind, handle: Handle) -> Option<Held> {
    match proxy::take_up(py, space, kind, handle, None) {
        Ok(Keep::Held(held)) => Some(held),
        Ok(_) => None,
        Err(raised) => {
            raised.clear(py);
            None
        }
    }
}
