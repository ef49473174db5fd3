//! A simulated thread's flow of control: a stackful coroutine on a pooled stack, behind a safe interface.
//!
//! [`Fiber::resume`] runs the body until it calls [`suspend`] or ends. The engine calls the platform from deep inside, where
//! no handle of the coroutine is at hand; so the fiber that runs is remembered by its operating system thread.
//!
//! Invariants:
//! 1. While a fiber runs, and only then, `CURRENT` names its yielder; `resume` puts back what stood there before.
//! 2. A fiber never moves to another operating system thread (`Fiber` is not `Send`).
//! 3. Dropping a suspended fiber unwinds its stack: destructors run, so whoever drops one makes sure beforehand that they
//!    change nothing of the simulated world (`System::is_dead`).

mod bound;

pub use bound::Bound;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Enough for the engine without optimization; pages are taken as they are touched.
const STACK_BYTES: usize = 256 << 10;
/// Stacks that are kept for the next simulation of this operating system thread.
const POOLED_STACKS: usize = 512;

thread_local! {
    static CURRENT: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// How a turn of a fiber ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It called [`suspend`].
    Suspended,
    /// Its body is through.
    Ended,
    /// Its body panicked with this message. It cannot be resumed.
    Panicked(String),
}

/// A body with a stack of its own.
pub struct Fiber {
    /// `None` only while it is being dropped.
    coroutine: Option<Coroutine<(), (), (), DefaultStack>>,
    /// Of this fiber, once it has begun: it lives on the fiber's stack.
    yielder: *const Yielder<(), ()>,
}

impl Fiber {
    /// A fiber that will run `body`. `None` if the system has no memory for its stack.
    pub fn new(body: impl FnOnce() + 'static) -> Option<Self> {
        // In a box: a coroutine takes at most 1 KiB of a closure along, and a body owns a whole participant.
        let body: Box<dyn FnOnce()> = Box::new(body);
        let stack = STACKS.with_borrow_mut(Vec::pop).or_else(|| DefaultStack::new(STACK_BYTES).ok())?;
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            CURRENT.set(ptr::from_ref(yielder));
            body();
        });
        Some(Self { coroutine: Some(coroutine), yielder: ptr::null() })
    }

    /// Runs the body until it suspends itself or ends.
    pub fn resume(&mut self) -> Turn {
        let Some(coroutine) = self.coroutine.as_mut() else { return Turn::Ended };
        let before = CURRENT.replace(self.yielder);
        let turn = catch_unwind(AssertUnwindSafe(|| coroutine.resume(())));
        self.yielder = CURRENT.replace(before);
        match turn {
            Ok(CoroutineResult::Yield(())) => Turn::Suspended,
            Ok(CoroutineResult::Return(())) => Turn::Ended,
            Err(payload) => Turn::Panicked(message(payload.as_ref())),
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        let Some(mut coroutine) = self.coroutine.take() else { return };
        let before = CURRENT.replace(self.yielder);
        coroutine.force_unwind();
        CURRENT.set(before);
        let stack = coroutine.into_stack();
        // The pool may be gone already while a thread ends.
        let _ = STACKS.try_with(|stacks| {
            if let Ok(mut stacks) = stacks.try_borrow_mut()
                && stacks.len() < POOLED_STACKS
            {
                stacks.push(stack);
            }
        });
    }
}

/// Gives control back to whoever resumed the fiber that runs. Returns when it is resumed. Panics outside a fiber.
#[inline]
pub fn suspend() {
    let yielder = CURRENT.get();
    assert!(!yielder.is_null(), "only a fiber can be suspended");
    // SAFETY: invariant 1: it is the yielder of the fiber that runs, so its stack, where the yielder lives, is alive, and
    // this is the fiber's own flow of control.
    unsafe { &*yielder }.suspend(());
}

/// What a panic said.
fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn two_fibers_take_turns() {
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut fibers: Vec<Fiber> = (0..2)
            .map(|who| {
                let said = said.clone();
                Fiber::new(move || {
                    for turn in 0..2 {
                        said.borrow_mut().push((who, turn));
                        suspend();
                    }
                })
                .unwrap()
            })
            .collect();
        for _ in 0..2 {
            assert!(fibers.iter_mut().all(|fiber| fiber.resume() == Turn::Suspended));
        }
        assert!(fibers.iter_mut().all(|fiber| fiber.resume() == Turn::Ended));
        assert_eq!(*said.borrow(), [(0, 0), (1, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn a_dropped_fiber_unwinds_and_a_panic_is_told() {
        let witness = Rc::new(());
        let held = witness.clone();
        let mut fiber = Fiber::new(move || {
            let _held = held;
            suspend();
        })
        .unwrap();
        assert_eq!(fiber.resume(), Turn::Suspended);
        drop(fiber);
        assert_eq!(Rc::strong_count(&witness), 1);
        let mut fiber = Fiber::new(|| std::panic::resume_unwind(Box::new("no"))).unwrap();
        assert_eq!(fiber.resume(), Turn::Panicked("no".into()));
    }
}
