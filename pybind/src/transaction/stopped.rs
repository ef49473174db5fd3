//! Whether the attempt under way is over, and why.

use pso_engine::error::Stop;

use super::{Attempts, Transaction};
use crate::ffi::error::taken;
use crate::ffi::{Kind, Python, Raised, Result, gil};
use crate::interpreter::Interpreter;
use crate::space::Space;

impl Transaction {
    /// Why the attempt under way is over, if it is.
    #[inline(always)]
    pub fn stop(&self) -> Option<Stop> {
        if self.forked.get() {
            return Some(Stop::Forked);
        }
        // In line for who was not stopped.
        let stop = self.stop.borrow();
        if stop.is_none() { None } else { stop.clone() }
    }
    /// The attempt is over.
    pub fn set_stop(&self, stop: Stop) {
        self.stop.replace(Some(stop));
    }

    /// Raises why it is over. What a signal handler has raised is kept: whoever goes on all the same (a `finally`) hears of it again.
    #[cold]
    pub fn raise(&self, py: Python<'_>, space: &Space, stop: Stop) -> Raised {
        if stop == Stop::Interrupted
            && let Some(exception) = taken(py).and_then(|raised| raised.take(py))
        {
            let before = self.interrupt.replace(Some(exception));
            drop(before);
        }
        self.raise_again(py, &stop).unwrap_or_else(|| space.stopped(py, stop))
    }
    /// What a signal handler has raised, if that is why.
    pub(super) fn raise_again(&self, py: Python<'_>, stop: &Stop) -> Option<Raised> {
        let kept = self.interrupt.borrow().clone().filter(|_| *stop == Stop::Interrupted);
        kept.map(|exception| Raised::again(py, &exception))
    }

    /// Whatever stopped it is over.
    #[inline(always)]
    pub fn go_on(&self) {
        if self.stop.borrow().is_some() {
            self.forget_stop();
        }
    }
    #[cold]
    fn forget_stop(&self) {
        self.forget_interrupt();
        self.stop.replace(None);
    }
    /// Whether its participant is at work or asleep: nobody can take part.
    fn is_taken_out(&self) -> bool {
        let member = self.member.take();
        let is_taken_out = member.is_none() && !self.forked.get();
        self.member.set(member);
        is_taken_out
    }
    /// Whether nothing would end the wait that is asked for: nothing was read, no other alternative is left, and no timeout of a queue ends.
    fn would_sleep_for_ever(&self) -> bool {
        if self.alternatives.get() != 0 || self.stop.borrow().is_some() || self.patience.get().is_some() {
            return false;
        }
        let Some(member) = self.member.take() else { return false };
        let has_read = member.participant.has_read();
        self.member.set(Some(member));
        !has_read
    }
    /// The transaction is over: what a signal handler has raised is whoever's it is by now.
    #[inline(always)]
    pub(super) fn forget_interrupt(&self) {
        if self.stop.borrow().is_some() {
            // Dropped outside of the borrow: that may run anything.
            let kept = self.interrupt.take();
            drop(kept);
        }
    }
}

impl Attempts<'_> {
    /// Between two attempts. The participant is out meanwhile: a handler that met the attempt that is over would be told of a conflict, which it would
    /// raise where no body is.
    pub(super) fn check_signals(&self, py: Python<'_>) -> Result<()> {
        let work = self.transaction.work(py, self.space)?;
        let goes_on = gil::check_signals(py);
        drop(work);
        if goes_on { Ok(()) } else { Err(self.space.stopped(py, Stop::Interrupted)) }
    }
}

/// Raises what a signal handler or finalizer is told that comes to a transaction whose participant is taken out.
#[cold]
pub(super) fn at_work(py: Python<'_>) -> Raised {
    Kind::Runtime.raise(
        py,
        "the transaction of this thread is at work or asleep: a signal handler or finalizer cannot take part in it",
    )
}

/// `pso.retry()`: gives the attempt up until something that it has read changes.
pub fn retry(py: Python<'_>, interpreter: &Interpreter) -> Raised {
    match interpreter.current(py) {
        None => Kind::Runtime.raise(py, "pso.retry() outside a transaction would wait for nothing"),
        // A signal handler or a finalizer asks, while the transaction waits or works.
        Some(transaction) if transaction.is_taken_out() => at_work(py),
        Some(transaction) if transaction.irrevocable.get() && transaction.alternatives.get() == 0 => {
            Kind::Runtime.raise(py, Stop::Irrevocable.to_string())
        }
        Some(transaction) if transaction.would_sleep_for_ever() => Kind::Runtime
            .raise(py, "this transaction has read nothing that anybody could change: it would wait for ever"),
        Some(transaction) => {
            let stop = transaction.stop().unwrap_or(Stop::Retry);
            transaction.set_stop(stop.clone());
            transaction.raise_again(py, &stop).unwrap_or_else(|| interpreter.errors.stopped(py, stop, false))
        }
    }
}
