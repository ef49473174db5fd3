//! Where a transaction stood, and the way back: what an alternative needs.

use pso_engine::error::Stop;
use pso_engine::transaction::{HooksMark, Savepoint};

use super::Transaction;
use super::sizes::SizesMark;
use crate::ffi::{Python, Result};
use crate::space::Space;

/// Where a transaction stood before an alternative.
pub struct Mark {
    point: Savepoint,
    sizes: SizesMark,
    hooks: HooksMark,
    /// Blocks that had joined.
    joined: u64,
    /// Pickles that were loaded and made.
    pickles: (usize, usize),
}

impl Transaction {
    /// Begins an alternative.
    pub fn mark(&self, py: Python<'_>, space: &Space) -> Result<Mark> {
        let point = self.work(py, space)?.participant().savepoint();
        self.alternatives.set(self.alternatives.get() + 1);
        Ok(Mark {
            point,
            sizes: self.sizes.mark(self.number.get()),
            hooks: self.hooks.borrow().mark(),
            joined: self.joined.get(),
            pickles: self.pickles.mark(),
        })
    }
    /// A block becomes a part of the attempt under way. Gives its number.
    pub(super) fn join(&self) -> u64 {
        self.joined.set(self.joined.get() + 1);
        self.joined.get()
    }
    /// Whether the block of this number has begun in an alternative that was undone.
    pub(super) fn is_undone(&self, block: u64) -> bool {
        self.undone_blocks.borrow().iter().any(|blocks| blocks.contains(&block))
    }
    /// Whether the attempt under way is over because a part of it asked to wait.
    pub fn waits(&self) -> bool {
        self.stop() == Some(Stop::Retry)
    }
    /// The alternative is a part of the attempt.
    pub fn keep(&self, mark: &Mark) {
        self.alternatives.set(self.alternatives.get().saturating_sub(1));
        self.sizes.keep(mark.sizes);
        // Taken out, it is at work for nobody who gets here; forked, it is gone.
        if let Some(mut member) = self.member.take() {
            member.participant.keep(mark.point);
            self.member.set(Some(member));
        }
    }
    /// The alternative asked to wait: it is undone, and the attempt goes on.
    pub fn roll_back(&self, py: Python<'_>, space: &Space, mark: &Mark) -> Result<()> {
        self.alternatives.set(self.alternatives.get().saturating_sub(1));
        // Dropped outside of the borrow: that may run anything.
        let undone = self.hooks.borrow_mut().take_since(mark.hooks);
        drop(undone);
        self.sizes.roll_back(self.number.get(), mark.sizes);
        self.pickles.roll_back(mark.pickles);
        if self.joined.get() > mark.joined {
            self.undone_blocks.borrow_mut().push(mark.joined + 1..=self.joined.get());
        }
        let mut work = self.work(py, space)?;
        match work.participant().roll_back(mark.point) {
            Ok(()) => {
                // What an iterator has read ahead in the alternative never was.
                self.undone.set(self.undone.get() + 1);
                self.go_on();
                Ok(())
            }
            Err(stop) => {
                drop(work);
                self.set_stop(stop.clone());
                Err(self.raise(py, space, stop))
            }
        }
    }
}
