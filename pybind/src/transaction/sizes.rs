//! What an attempt has changed of the sizes of dicts, for iterators that begin before its end. Nobody else hears of it before it has committed.

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

/// How much a dict has grown by what this interpreter has committed.
#[derive(Debug, Default)]
pub struct Counter {
    committed: Cell<i64>,
    /// The attempt that has asked for its own changes last, and where it has noted the last one. Another one looks for it.
    attempt: Cell<u64>,
    place: Cell<Option<usize>>,
}

impl Counter {
    /// By how much.
    #[inline]
    pub fn committed(&self) -> i64 {
        self.committed.get()
    }
    /// Somebody has committed a change of the size.
    pub fn resized(&self, change: i64) {
        self.committed.set(self.committed.get().wrapping_add(change));
    }
}

/// What an attempt has changed of a size, with what it had changed of it before.
struct Change {
    whose: Rc<Counter>,
    sum: i64,
    /// Where that was noted, in an alternative around this one.
    before: Option<usize>,
}

/// The changes of one attempt, one for each dict and alternative, in their order.
#[derive(Default)]
pub struct Sizes {
    changes: RefCell<Vec<Change>>,
    /// So many are from before the alternative under way, and stay as they are if that is undone.
    settled: Cell<usize>,
    /// Looks through all of them, for tests (`pybind/tests/sizes.rs`).
    #[cfg(test)]
    looks: Cell<usize>,
}

/// Where an alternative began, and so what is before the one around it.
#[derive(Clone, Copy)]
pub(super) struct SizesMark {
    begin: usize,
    around: usize,
}

/// So much room stays for the next transaction.
const KEPT_CHANGES: usize = 64;

impl Sizes {
    /// Where the last change of `counter` is. A look through all of them only where another thread's attempt has noted some of the same dict.
    fn place(&self, attempt: u64, counter: &Rc<Counter>) -> Option<usize> {
        if counter.attempt.replace(attempt) != attempt {
            // Only its dict has it: there is no note of it anywhere.
            let is_noted = Rc::strong_count(counter) > 1;
            counter.place.set(if is_noted { self.look_for(counter) } else { None });
        }
        counter.place.get()
    }

    #[cold]
    fn look_for(&self, counter: &Rc<Counter>) -> Option<usize> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.changes.borrow().iter().rposition(|change| Rc::ptr_eq(&change.whose, counter))
    }

    /// Takes away the last notes that nobody needs: of dicts that are not in hand any more, for nobody can ask for them, and second ones of a dict, from an
    /// alternative that stays. What may be rolled back to stays where it is.
    fn tidy(&self, attempt: u64) {
        let mut changes = self.changes.borrow_mut();
        let settled = self.settled.get();
        while changes.len() > settled
            && let Some(Change { whose, sum, before }) = changes.pop()
        {
            match before.filter(|place| *place >= settled) {
                _ if Rc::strong_count(&whose) == 1 => {}
                Some(place) if let Some(earlier) = changes.get_mut(place) => {
                    earlier.sum = sum;
                    if whose.attempt.get() == attempt {
                        whose.place.set(Some(place));
                    }
                }
                _ => {
                    changes.push(Change { whose, sum, before });
                    break;
                }
            }
        }
    }

    fn note(&self, attempt: u64, counter: &Rc<Counter>, change: i64) {
        self.tidy(attempt);
        let before = self.place(attempt, counter);
        let mut changes = self.changes.borrow_mut();
        let known = before.and_then(|place| changes.get_mut(place));
        let sum = known.as_ref().map_or(0, |known| known.sum).wrapping_add(change);
        match known {
            Some(known) if before >= Some(self.settled.get()) => known.sum = sum,
            _ => {
                counter.place.set(Some(changes.len()));
                changes.push(Change { whose: Rc::clone(counter), sum, before });
            }
        }
    }

    fn sum(&self, attempt: u64, counter: &Rc<Counter>) -> i64 {
        if self.changes.borrow().is_empty() {
            return 0;
        }
        let place = self.place(attempt, counter);
        place.and_then(|place| self.changes.borrow().get(place).map(|change| change.sum)).unwrap_or(0)
    }

    /// Where an alternative begins.
    pub(super) fn mark(&self, attempt: u64) -> SizesMark {
        self.tidy(attempt);
        let begin = self.changes.borrow().len();
        SizesMark { begin, around: self.settled.replace(begin) }
    }

    /// The alternative stays: what was noted in it may be undone with the one around it only.
    pub(super) fn keep(&self, mark: SizesMark) {
        // Somebody may have ended the transaction meanwhile, and then there is nothing.
        self.settled.set(self.settled.get().min(mark.around));
    }

    /// What has been since the mark never was.
    pub(super) fn roll_back(&self, attempt: u64, mark: SizesMark) {
        let mut changes = self.changes.borrow_mut();
        while changes.len() > mark.begin
            && let Some(Change { whose, before, .. }) = changes.pop()
        {
            if whose.attempt.get() == attempt {
                whose.place.set(before);
            }
        }
        drop(changes);
        self.keep(mark);
    }

    #[cold]
    fn settle(&self, done: bool) {
        self.settled.set(0);
        let mut changes = self.changes.borrow_mut();
        // Each sum has those before it in itself: the last one of each is what counts.
        while let Some(Change { whose, sum, before }) = changes.pop() {
            let earlier = before.and_then(|place| changes.get(place)).map_or(0, |change| change.sum);
            if done {
                whose.resized(sum.wrapping_sub(earlier));
            }
            // Nothing of it is here any more, whoever asks.
            whose.attempt.set(0);
        }
        changes.shrink_to(KEPT_CHANGES);
    }
}

impl Transaction {
    /// Notes that the attempt under way has changed the size that `counter` is of.
    pub fn resized(&self, counter: &Rc<Counter>, change: i64) {
        self.sizes.note(self.number.get(), counter, change);
    }
    /// What it has changed of it so far.
    pub fn size_change(&self, counter: &Rc<Counter>) -> i64 {
        self.sizes.sum(self.number.get(), counter)
    }
    /// The attempt is over: its changes of size are everybody's, or never were.
    #[inline(always)]
    pub(super) fn settle_sizes(&self, done: bool) {
        if !self.sizes.changes.borrow().is_empty() {
            self.sizes.settle(done);
        }
        self.sizes.settled.set(0);
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "the tests have a copy of this file: the extension cannot be linked into them")]
impl Sizes {
    /// How many notes there are.
    pub fn noted(&self) -> usize {
        self.changes.borrow().len()
    }
    /// How often all of them were looked through.
    pub fn looks(&self) -> usize {
        self.looks.get()
    }
}
