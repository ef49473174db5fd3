//! What an attempt has found and its process goes on to hold.

use std::sync::atomic::Ordering::SeqCst;

use super::Participant;
use crate::collection;
use crate::error::Stop;
use crate::holding::{self, Hold};
use crate::platform::Platform;
use crate::recovery;
use crate::word::Handle;

impl<P: Platform> Participant<P> {
    /// The process holds the object behind `handle` from here on, whatever becomes of the attempt, until the token is released. Inside an
    /// attempt: what it has found is not freed while it runs. Whoever runs attempts again releases what the lost ones held.
    ///
    /// Cost: a compare-exchange; now and then a search for free entries, or a block.
    ///
    /// # Errors
    /// `Full` ends the attempt, as where a block is made. `Forked` in the child of a fork.
    #[inline]
    pub fn hold(&mut self, handle: Handle) -> Result<Hold, Stop> {
        debug_assert!(self.in_attempt(), "what is held was found in an attempt");
        if self.is_foreign() {
            return Err(self.lost());
        }
        match holding::hold(&self.space, &mut self.spare_holds, &mut self.cache, self.id, handle) {
            Ok(hold) => {
                collection::note_held(&self.arena, handle);
                Ok(hold)
            }
            Err(stop) => self.hold_after(stop, handle),
        }
    }

    #[cold]
    #[inline(never)]
    fn hold_after(&mut self, stop: Stop, handle: Handle) -> Result<Hold, Stop> {
        // As where a block is made: once.
        if matches!(stop, Stop::Full(_))
            && self.collect() + recovery::recover_dead(&self.space) > 0
            && let Ok(hold) = holding::hold(&self.space, &mut self.spare_holds, &mut self.cache, self.id, handle)
        {
            collection::note_held(&self.arena, handle);
            return Ok(hold);
        }
        Err(self.fail(stop))
    }

    /// [`Space::release`](crate::space::Space::release), with a place at hand for the next hold.
    #[inline]
    pub fn release(&mut self, hold: Hold) {
        if !self.is_foreign() && self.space.let_go(hold) && !self.spare_holds.push(hold.index()) {
            self.space.note_free(hold);
        }
    }

    /// In the child of a fork: holds what its parent does, in entries of the same indices.
    pub(crate) fn hold_all_at(&mut self, held: &[Hold]) -> Result<(), Stop> {
        self.begin()?;
        for hold in held {
            let done = holding::hold_at(&self.space, &mut self.cache, self.id, *hold);
            done.map_err(|stop| self.fail(stop))?;
            // The entry was put there by a store, not by an exchange as in `hold`.
            self.platform().fence(SeqCst);
            collection::note_held(&self.arena, hold.handle());
        }
        self.abort();
        Ok(())
    }
}
