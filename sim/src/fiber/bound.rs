//! A value that only the operating system thread which made it can reach.
//!
//! A platform must be `Send + Sync`, for the threads of a process share one. The simulated world is `Cell`s and `RefCell`s,
//! for all simulated threads run on one operating system thread. This is the door between the two: whoever comes from another
//! operating system thread gets a panic, not a data race.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A `T` that says who may touch it, and asks each time. Cost: one load of a thread-local and a comparison.
#[derive(Debug)]
pub struct Bound<T> {
    owner: u64,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is reached by `get` and `drop` only, and both compare the calling thread with the maker.
unsafe impl<T> Send for Bound<T> {}
// SAFETY: as for Send.
unsafe impl<T> Sync for Bound<T> {}

impl<T> Bound<T> {
    /// Binds `value` to the calling thread.
    pub fn new(value: T) -> Self {
        Self { owner: this_thread(), value: ManuallyDrop::new(value) }
    }

    /// The value. Panics on another operating system thread.
    #[inline]
    pub fn get(&self) -> &T {
        assert!(self.owner == this_thread(), "a simulation is used by the thread that made it only");
        &self.value
    }
}

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        // On another thread it is leaked: a destructor is not a place for a panic.
        if self.owner == this_thread() {
            // SAFETY: dropped once, here, and by the thread that made it.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// A number of the calling thread that no other thread of this process ever has.
#[inline]
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            // Relaxed: only the numbers' being different matters.
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_gets_a_panic_and_not_the_value() {
        let bound = std::sync::Arc::new(Bound::new(Cell::new(3)));
        bound.get().set(4);
        let other = bound.clone();
        assert!(std::thread::spawn(move || other.get().get()).join().is_err());
        assert_eq!(bound.get().get(), 4);
    }
}
