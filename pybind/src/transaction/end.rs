//! The end of a transaction: its participant is free for the next one, and its hooks run.

use std::rc::Rc;

use pso_engine::transaction::Hooks;

use super::Attempts;
use crate::ffi::{Object, Python, Result};
use crate::hooks;
use crate::interpreter::Interpreter;

impl Attempts<'_> {
    /// The participant goes back. Gives the hooks of the last attempt, but for a child of a fork: they are the parent's.
    #[cold]
    pub(super) fn end(&self, committed: bool) -> Option<Hooks<Object>> {
        let hooks = self.transaction.take_hooks();
        if self.give_back(committed) { hooks } else { None }
    }

    /// The participant goes back, then the hooks run. `result` goes on, unless they say otherwise.
    #[cold]
    pub(super) fn end_hooked(
        &self,
        py: Python<'_>,
        interpreter: &Interpreter,
        result: Result<Object>,
    ) -> Result<Object> {
        match self.end(result.is_ok()) {
            None => result,
            Some(hooks) => hooks::run(py, interpreter, hooks.of(result.is_ok()), result),
        }
    }

    /// The participant goes back, of a transaction whose hooks somebody else sees to. False: it is the parent's.
    pub(super) fn give_back(&self, committed: bool) -> bool {
        self.transaction.forget_interrupt();
        if self.transaction.forked.get() {
            return false;
        }
        match self.transaction.member.take() {
            // Of another thread of the parent.
            Some(member) if member.is_foreign() => return false,
            Some(mut member) => {
                member.end(committed);
                self.space.put_own_member(member);
            }
            None => self.transaction.ended.set(true),
        }
        if Rc::strong_count(self.transaction) == 1 {
            self.space.put_idle(Rc::clone(self.transaction));
        }
        true
    }
}
