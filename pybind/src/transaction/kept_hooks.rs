//! What is to happen after a transaction: kept with the attempt that asked for it.

use pso_engine::transaction::Hooks;

use super::Transaction;
use crate::ffi::Object;
use crate::ffi::class::Visitor;

impl Transaction {
    /// Adds a hook to the attempt under way.
    pub fn add_hook(&self, committed: bool, hook: Object) {
        self.hooked.set(true);
        let mut hooks = self.hooks.borrow_mut();
        if committed { hooks.on_commit(hook) } else { hooks.on_abort(hook) }
    }
    /// Shows the hooks, and what a signal handler has raised, for whoever ends the transaction when it goes.
    pub fn traverse(&self, visitor: &Visitor) {
        // Borrowed: somebody is about to change them, and the next look finds them.
        if let Ok(hooks) = self.hooks.try_borrow() {
            hooks.iter().for_each(|hook| visitor.object(hook));
        }
        if let Ok(interrupt) = self.interrupt.try_borrow()
            && let Some(exception) = &*interrupt
        {
            visitor.object(exception);
        }
    }
    /// Those of an attempt that is run again are dropped, outside of the borrow: that may run anything.
    pub(super) fn drop_hooks(&self) {
        if self.hooked.get() {
            drop(self.take_hooks());
        }
    }
    /// Whether there are any.
    #[inline]
    pub(super) fn is_hooked(&self) -> bool {
        self.hooked.get()
    }
    pub(super) fn take_hooks(&self) -> Option<Hooks<Object>> {
        if !self.hooked.get() {
            return None;
        }
        self.hooked.set(false);
        Some(self.hooks.take())
    }
}
