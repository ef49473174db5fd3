//! What is to happen after a transaction, in the world outside: on its commit, or on its end without one.
//!
//! A body may run many times, so it must not send the letter, only say that it is to be sent.
//!
//! 1. Hooks belong to an attempt. They go with it when the body is run again, and with the alternative of an `or_else` that is
//!    rolled back.
//! 2. They run when the transaction is over, in the order in which they were given: nothing is locked, and they are in no
//!    transaction. A process that is killed in between has committed and runs none.
//! 3. Hooks of an abort run when the transaction ends for good without a commit: an error of the body, a deadline, an interrupt.
//!
//! Nothing here is shared. A transaction without hooks pays one comparison at its end.

use super::Participant;
use crate::platform::Platform;

/// The hooks of an attempt. Generic over what a hook is: a closure here, an object of the interpreter in a binding.
#[derive(Debug)]
pub struct Hooks<T> {
    on_commit: Vec<T>,
    on_abort: Vec<T>,
}

/// How many hooks there were of each kind.
#[derive(Clone, Copy, Debug)]
pub struct HooksMark {
    on_commit: usize,
    on_abort: usize,
}

impl<T> Default for Hooks<T> {
    fn default() -> Self {
        Self { on_commit: Vec::new(), on_abort: Vec::new() }
    }
}

impl<T> Hooks<T> {
    /// Adds one to run after the commit.
    pub fn on_commit(&mut self, hook: T) {
        self.on_commit.push(hook);
    }
    /// Adds one to run after the end without a commit.
    pub fn on_abort(&mut self, hook: T) {
        self.on_abort.push(hook);
    }
    /// All, of both kinds.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.on_commit.iter().chain(&self.on_abort)
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.on_commit.is_empty() && self.on_abort.is_empty()
    }
    /// How many there are now.
    pub fn mark(&self) -> HooksMark {
        HooksMark { on_commit: self.on_commit.len(), on_abort: self.on_abort.len() }
    }
    /// Takes out those that came after `mark`.
    pub fn take_since(&mut self, mark: HooksMark) -> Self {
        let (commit, abort) = (mark.on_commit.min(self.on_commit.len()), mark.on_abort.min(self.on_abort.len()));
        Self { on_commit: self.on_commit.split_off(commit), on_abort: self.on_abort.split_off(abort) }
    }
    /// Those of one kind, in their order. Those of the other are dropped.
    pub fn of(self, committed: bool) -> Vec<T> {
        if committed { self.on_commit } else { self.on_abort }
    }
}

/// A hook of the engine.
pub(super) type Hook = Box<dyn FnOnce() + Send>;

impl<P: Platform> Participant<P> {
    /// Runs `hook` once after the transaction under way has committed. Inside [`Self::run`] and its like only: who begins and
    /// commits attempts by hand has an end of his own.
    pub fn on_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.on_commit(Box::new(hook));
    }

    /// Runs `hook` once if the transaction under way ends for good without a commit. Inside [`Self::run`] and its like only.
    pub fn on_abort(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.on_abort(Box::new(hook));
    }

    /// The transaction is over. In the child of a fork it is not: it goes on in the parent, which runs its hooks.
    #[cold]
    #[inline(never)]
    pub(super) fn run_hooks(&mut self, committed: bool) {
        for hook in std::mem::take(&mut self.hooks).of(committed) {
            // Each time: the one before may have forked.
            if self.is_foreign() {
                return;
            }
            hook();
        }
    }
}
