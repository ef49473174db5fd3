//! Pickles that a transaction loads: an attempt that is run again loads them again, so their senders hold what they are of until it has committed.

use std::rc::Rc;

use pso_engine::holding::Export;

use super::Transaction;
use crate::holding::Keeper;

impl Transaction {
    /// Notes that the attempt under way has loaded what `export` holds.
    pub fn loaded(&self, keeper: Rc<Keeper>, export: Export) {
        self.loads.borrow_mut().push((keeper, export));
    }
    /// The attempt is over: what it has changed and loaded is so, or never was.
    pub(super) fn settle(&self, done: bool) {
        self.settle_sizes(done);
        if self.loads.borrow().is_empty() {
            return;
        }
        for (keeper, export) in self.loads.take() {
            if done {
                keeper.adopt(export);
            }
        }
    }
}
