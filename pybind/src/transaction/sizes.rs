//! What an attempt has changed of the sizes of dicts that somebody iterates over. Nobody else hears of it before it has committed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Transaction;

/// How much a dict has grown, as a thread sees it while it iterates.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// The attempt that the thread is in, 0: none.
    pub attempt: u64,
    /// By what this interpreter has committed.
    pub committed: i64,
    /// By that attempt.
    pub own: i64,
}

impl Growth {
    /// Whether the dict that had grown by `before` has the same size now. What an attempt has read of it stands until it is over, and so only its own changes
    /// count there.
    pub fn is_none_since(self, before: Self) -> bool {
        if self.attempt != 0 && self.attempt == before.attempt {
            return self.own == before.own;
        }
        self.committed + self.own == before.committed + before.own
    }
}

/// The changes of one attempt in their order: whose, and by how much.
#[derive(Default)]
pub struct Sizes {
    changes: RefCell<Vec<(Rc<Cell<i64>>, i64)>>,
    /// So many are from before the alternative under way, and stay as they are if that is undone.
    settled: Cell<usize>,
}

impl Sizes {
    fn note(&self, counter: &Rc<Cell<i64>>, change: i64) {
        let mut changes = self.changes.borrow_mut();
        match changes[self.settled.get()..].last_mut() {
            Some((last, sum)) if Rc::ptr_eq(last, counter) => *sum += change,
            _ => changes.push((Rc::clone(counter), change)),
        }
    }

    fn sum(&self, counter: &Rc<Cell<i64>>) -> i64 {
        self.changes.borrow().iter().filter(|(whose, _)| Rc::ptr_eq(whose, counter)).map(|(_, change)| change).sum()
    }

    /// Where an alternative begins.
    pub(super) fn mark(&self) -> usize {
        self.settled.set(self.changes.borrow().len());
        self.settled.get()
    }

    /// What has been since the mark never was.
    pub(super) fn roll_back(&self, mark: usize) {
        // Somebody may have ended the transaction meanwhile, and then there is nothing.
        let mark = mark.min(self.changes.borrow().len());
        self.settled.set(mark);
        let undone = self.changes.borrow_mut().split_off(mark);
        drop(undone);
    }
}

impl Transaction {
    /// Notes that the attempt under way has changed the size that `counter` is of.
    pub fn resized(&self, counter: &Rc<Cell<i64>>, change: i64) {
        self.sizes.note(counter, change);
    }
    /// What it has changed of it so far.
    pub fn size_change(&self, counter: &Rc<Cell<i64>>) -> i64 {
        self.sizes.sum(counter)
    }
    /// The attempt is over: its changes of size are everybody's, or never were.
    pub(super) fn settle_sizes(&self, done: bool) {
        self.sizes.settled.set(0);
        if self.sizes.changes.borrow().is_empty() {
            return;
        }
        for (counter, change) in self.sizes.changes.take() {
            if done {
                counter.set(counter.get() + change);
            }
        }
    }
}
