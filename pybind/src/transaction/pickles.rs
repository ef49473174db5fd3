//! Pickles that a transaction loads and makes. Who makes one holds what it is of, until somebody has loaded it.
//!
//! An attempt that is run again loads again what it has loaded, so its sender has to hold that until it has committed; and makes anew what it has
//! made, so what it held for whoever would load that is let go of; so does an alternative that is undone. A transaction that fails may have sent what it has made.

use std::cell::RefCell;
use std::rc::Rc;

use pso_engine::holding::Export;

use super::{Outcome, Transaction};
use crate::holding::Keeper;

/// How an attempt has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Committed,
    RunAgain,
    Failed,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done(_) => Self::Committed,
            Outcome::Again | Outcome::WaitForChange => Self::RunAgain,
            Outcome::Failed(_) => Self::Failed,
        }
    }
}

type Exports = RefCell<Vec<(Rc<Keeper>, Export)>>;

/// Those of the attempt under way.
#[derive(Default)]
pub struct Pickles {
    loaded: Exports,
    made: Exports,
}

impl Pickles {
    /// How many were loaded and made: where an alternative begins.
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.loaded.borrow().len(), self.made.borrow().len())
    }
    /// Those that were loaded and made since never were.
    pub(super) fn roll_back(&self, (loaded, made): (usize, usize)) {
        self.loaded.borrow_mut().truncate(loaded);
        // Somebody may have ended the transaction meanwhile, and then there are none.
        let made = made.min(self.made.borrow().len());
        let undone = self.made.borrow_mut().split_off(made);
        let_go(undone);
    }
    #[cold]
    fn settle(&self, ending: Ending) {
        let (loaded, made) = (self.loaded.take(), self.made.take());
        let over = match ending {
            Ending::Committed => loaded,
            Ending::RunAgain => made,
            Ending::Failed => return,
        };
        let_go(over);
    }
}

fn let_go(exports: Vec<(Rc<Keeper>, Export)>) {
    for (keeper, export) in exports {
        keeper.adopt(export);
    }
}

impl Transaction {
    /// Notes that the attempt under way has loaded what `export` holds.
    pub fn loaded(&self, keeper: Rc<Keeper>, export: Export) {
        self.pickles.loaded.borrow_mut().push((keeper, export));
    }
    /// Notes that it has made a pickle, and holds by `export` what it is of.
    pub fn pickled(&self, keeper: Rc<Keeper>, export: Export) {
        self.pickles.made.borrow_mut().push((keeper, export));
    }
    /// The attempt is over: what it has changed, loaded and made is so, or never was.
    #[inline(always)]
    pub(super) fn settle(&self, ending: Ending) {
        self.settle_sizes(ending == Ending::Committed);
        if !self.pickles.loaded.borrow().is_empty() || !self.pickles.made.borrow().is_empty() {
            self.pickles.settle(ending);
        }
    }
}
