//! What an attempt has found and its process goes on to hold.

use std::sync::atomic::Ordering::SeqCst;

use super::Participant;
use crate::allocator;
use crate::collection;
use crate::error::{Stale, Stop};
use crate::holding::{self, Hold};
use crate::participant::{Slot, status_of};
use crate::platform::Platform;
use crate::word::{BlockPhase, BlockState, Handle, State};

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
        let hold = self.place_hold(handle)?;
        collection::note_held(&self.arena, handle);
        Ok(hold)
    }

    /// Whether the names that it is handed from here on may be of what is gone, its memory too: those of a process that held the objects once, and was
    /// away. Then the superblock is asked before the block. At first they are not.
    ///
    /// Cost: while it is on, some more loads for each container that is opened.
    pub fn set_names_in_doubt(&mut self, doubt: bool) {
        self.names_in_doubt = doubt;
    }
    /// What was said by [`Self::set_names_in_doubt`].
    #[inline]
    pub(crate) fn has_names_in_doubt(&self) -> bool {
        self.names_in_doubt
    }
    fn check_block(&self, handle: Handle) -> Result<BlockState, Stop> {
        if self.names_in_doubt {
            allocator::check_fully(self.arena(), handle)
        } else {
            allocator::check(self.arena(), handle)
        }
    }

    /// The state of the block behind `handle`, for whoever was handed its name. An object that was made by an attempt which has not committed is that
    /// attempt's alone: it may never exist, and its memory be another object's by the time the caller writes there.
    ///
    /// Cost: a load of the block's state; for one that is not published yet, and not made by the attempt under way, a few more.
    ///
    /// # Errors
    /// `Stale`: nobody has it any more, or not yet; or it was taken out of the space, and is about to be freed.
    pub fn check_named(&self, handle: Handle) -> Result<BlockState, Stop> {
        loop {
            let state = self.check_block(handle)?;
            if state.phase == BlockPhase::Retired {
                return Err(Stale { handle }.into());
            }
            if state.phase != BlockPhase::Private || state.owner == self.id {
                return Ok(state);
            }
            let Some(slot) = Slot::of(self.arena(), state.owner) else { return Err(Stale { handle }.into()) };
            let status = status_of(self.arena(), slot)?;
            // If it is PRIVATE still, it is of the attempt whose status this was: those before have published or freed what they made.
            if self.check_block(handle)? == state {
                return if status.state == State::Committed { Ok(state) } else { Err(Stale { handle }.into()) };
            }
        }
    }

    /// The same as [`Self::hold`] for an object whose name the attempt has found in no cell: in an old pickle, say. `is_kept`: whether something is known
    /// to hold it anyway. `None`: it may be garbage that is about to be freed, as far as can be known now.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn take_up(&mut self, handle: Handle, is_kept: impl Fn() -> bool) -> Result<Option<Hold>, Stop> {
        debug_assert!(self.in_attempt(), "an object that is taken up is in use now");
        if self.is_foreign() {
            return Err(self.lost());
        }
        let known = collection::known(&self.arena);
        if is_kept() {
            // Who has kept it may let go once this has looked again, and a collection that has been through the tables before the entry stands there comes to the logs after that.
            self.name(handle)?;
        } else if !collection::is_beyond_doubt(&self.arena, handle) {
            return Ok(None);
        }
        let hold = self.place_hold(handle)?;
        if !P::EXCHANGE_IS_FENCE {
            self.platform().fence(SeqCst);
        }
        // Whoever has begun to collect since may have been through the tables before the entry stood there. What he has found white must stay white:
        // he is about to free what it names. Who had kept it may have let go meanwhile, without a word to a collection that he had not seen begin.
        if !is_kept() && (collection::known(&self.arena) != known || !collection::is_beyond_doubt(&self.arena, handle))
        {
            self.space.take_back(hold);
            return Ok(None);
        }
        collection::note_held(&self.arena, handle);
        Ok(Some(hold))
    }

    #[inline]
    fn place_hold(&mut self, handle: Handle) -> Result<Hold, Stop> {
        holding::hold(&self.space, &mut self.spare_holds, &mut self.cache, self.id, handle)
            .or_else(|stop| self.place_hold_after(stop, handle))
    }

    #[cold]
    #[inline(never)]
    fn place_hold_after(&mut self, stop: Stop, handle: Handle) -> Result<Hold, Stop> {
        if stop.wants_room()
            && self.makes_room()
            && let Ok(hold) = holding::hold(&self.space, &mut self.spare_holds, &mut self.cache, self.id, handle)
        {
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
        // So many at once as are named in a log that need not grow.
        let together = self.arena.layout().geometry().log_base as usize;
        for some in held.chunks(together) {
            self.begin()?;
            some.iter().try_for_each(|hold| self.hold_at(*hold))?;
            self.abort();
        }
        Ok(())
    }

    fn hold_at(&mut self, hold: Hold) -> Result<(), Stop> {
        // The parent may end meanwhile, and what it held go: while it is marked here the name keeps its memory.
        self.name(hold.handle())?;
        let mut done = holding::hold_at(&self.space, &mut self.cache, self.id, hold);
        if done.as_ref().is_err_and(Stop::wants_room) && self.makes_room() {
            done = holding::hold_at(&self.space, &mut self.cache, self.id, hold);
        }
        done.map_err(|stop| self.fail(stop))?;
        // The entry was put there by a store, not by an exchange as in `hold`.
        self.platform().fence(SeqCst);
        collection::note_held(&self.arena, hold.handle());
        Ok(())
    }
}
