//! A transaction that has found the space full.

use pso_engine::error::Stop;

use super::{Attempts, Outcome};
use crate::ffi::{Python, Raised, Result};
use crate::garbage;
use crate::space::Room;

impl Attempts<'_> {
    /// Whether that is why the attempt ended.
    #[inline]
    pub(super) fn is_full(&self, py: Python<'_>, outcome: Outcome) -> (Outcome, bool) {
        match outcome {
            Outcome::Failed(raised) => self.says_full(py, raised),
            outcome => (outcome, false),
        }
    }
    #[cold]
    fn says_full(&self, py: Python<'_>, raised: Raised) -> (Outcome, bool) {
        if self.transaction.stop().is_none_or(|stop| !stop.wants_room()) {
            return (Outcome::Failed(raised), false);
        }
        let (raised, is_full) = self.space.interpreter().errors.is_full(py, raised);
        (Outcome::Failed(raised), is_full)
    }

    /// Frees what nothing names, by the participant that is there: another one would need room for itself. Gives what the space had no room for.
    ///
    /// # Errors
    /// There is none, nor will others make some: what had been raised. Or a signal handler has raised.
    pub(super) fn make_room(&self, py: Python<'_>, room: &mut Room, raised: Raised) -> Result<Stop> {
        let (Some(stop), Some(mut member)) = (self.transaction.stop(), self.transaction.member.take()) else {
            return Err(raised);
        };
        // Signal handlers run meanwhile, and none may find an exception that is not its own.
        raised.clear(py);
        let may_come = match garbage::collect_with(py, self.space, &mut member) {
            Ok(_) if member.is_foreign() => Ok(false),
            // Out in the pause for others, too: who comes in would be told of the attempt that is over.
            Ok(freed) => room.may_come_by_others(self.space, py, freed.bytes > 0),
            Err(raised) => Err(raised),
        };
        if member.is_foreign() {
            // A signal handler has forked.
            self.transaction.forked();
            return Err(may_come.err().unwrap_or_else(|| self.space.stopped(py, Stop::Forked)));
        }
        self.transaction.member.set(Some(member));
        if may_come? { Ok(stop) } else { Err(self.space.stopped(py, stop)) }
    }
}
