//! Whether the attempt under way is over, and why.

use pso_engine::error::Stop;

use super::Transaction;

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

    /// Whatever stopped it is over.
    #[inline(always)]
    pub fn go_on(&self) {
        if self.stop.borrow().is_some() {
            self.stop.replace(None);
        }
    }
}
