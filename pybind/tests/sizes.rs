//! The notes of changed sizes by themselves: the extension cannot be linked into a test, and Python sees what is told of sizes, not what is kept for that.

use std::cell::Cell;
use std::rc::Rc;

#[path = "../src/transaction/sizes.rs"]
#[allow(dead_code, unreachable_pub, reason = "what the extension alone uses")]
mod sizes;

use sizes::{Counter, Sizes};

/// What the notes need of one.
#[derive(Default)]
struct Transaction {
    sizes: Sizes,
    number: Cell<u64>,
}

impl Transaction {
    fn started() -> Self {
        let transaction = Self::default();
        transaction.number.set(1);
        transaction
    }
}

#[test]
fn dicts_that_were_dropped_leave_no_notes() {
    let transaction = Transaction::started();
    let kept = Rc::<Counter>::default();
    transaction.resized(&kept, 1);
    for _ in 0..1000 {
        transaction.resized(&Rc::default(), 1);
        transaction.resized(&kept, 1);
    }
    assert_eq!(transaction.size_change(&kept), 1001);
    assert!(transaction.sizes.noted() <= 2);
}

#[test]
fn alternatives_that_stay_leave_no_notes_of_dropped_dicts() {
    let transaction = Transaction::started();
    let kept = Rc::<Counter>::default();
    let outer = transaction.sizes.mark(1);
    for _ in 0..1000 {
        let mark = transaction.sizes.mark(1);
        transaction.resized(&kept, 1);
        transaction.resized(&Rc::default(), 1);
        transaction.sizes.keep(mark);
    }
    assert!(transaction.sizes.noted() <= 3);
    let mark = transaction.sizes.mark(1);
    transaction.resized(&kept, 5);
    transaction.sizes.roll_back(1, mark);
    assert_eq!(transaction.size_change(&kept), 1000);
    transaction.sizes.roll_back(1, outer);
    assert_eq!((transaction.size_change(&kept), transaction.sizes.noted()), (0, 0));
}

#[test]
fn what_an_alternative_may_go_back_to_stays_noted() {
    let transaction = Transaction::started();
    let kept = Rc::<Counter>::default();
    transaction.resized(&kept, 1);
    transaction.resized(&Rc::default(), 1);
    let mark = transaction.sizes.mark(1);
    assert_eq!(transaction.sizes.noted(), 1);
    transaction.resized(&kept, 1);
    transaction.resized(&Rc::default(), 1);
    assert_eq!((transaction.size_change(&kept), transaction.sizes.noted()), (2, 3));
    transaction.sizes.roll_back(1, mark);
    assert_eq!((transaction.size_change(&kept), transaction.sizes.noted()), (1, 1));
    transaction.settle_sizes(true);
    assert_eq!(kept.committed(), 1);
}

#[test]
fn the_first_change_of_a_dict_looks_through_no_notes() {
    let transaction = Transaction::started();
    let dicts: Vec<_> = (0..1000).map(|_| Rc::<Counter>::default()).collect();
    dicts.iter().for_each(|dict| transaction.resized(dict, 1));
    assert_eq!((transaction.sizes.noted(), transaction.sizes.looks()), (1000, 0));
    // Another thread has changed one meanwhile.
    let other = Transaction::default();
    other.number.set(2);
    other.resized(&dicts[3], 1);
    transaction.resized(&dicts[3], 1);
    assert_eq!((transaction.size_change(&dicts[3]), other.size_change(&dicts[3])), (2, 1));
    transaction.settle_sizes(true);
    other.settle_sizes(false);
    assert_eq!(dicts[3].committed(), 2);
}
