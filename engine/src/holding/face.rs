//! What a process asks of its table: let go, pass on, go on in a child.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::entry::{Content, Entry, for_each_entry, foreign_entry};
use super::{Export, Hold};
use crate::collection;
use crate::error::Stop;
use crate::participant::{Claim, ProcessPhase, ProcessSlot};
use crate::platform::Platform;
use crate::space::{JoinError, Space};

impl<P: Platform> Space<P> {
    /// The process no longer holds this. Any thread, any time but after [`Space::leave`]; in the child of a fork that has not joined it
    /// does nothing.
    ///
    /// Cost: two stores, and a compare-exchange in process memory. `Participant::release` does without the second.
    pub fn release(&self, hold: Hold) {
        if self.let_go(hold) {
            self.note_free(hold);
        }
    }

    /// Empties what was put off for children of forks that have copied it since, unless another thread is at it.
    pub fn empty_put_off(&self) {
        if !self.arena().platform().forked()
            && let Some(slot) = ProcessSlot::of(self.arena(), self.process())
        {
            self.held().empty_put_off(self.arena(), slot);
        }
    }

    /// Takes a hold back of which nobody has been told: nor is whoever looks for what is in use, if no child has to copy it.
    pub(crate) fn take_back(&self, hold: Hold) {
        if self.void(hold, |entry| entry.set(self.arena(), Content::Empty)) {
            self.note_free(hold);
        }
    }

    /// The entry of a void token may be free.
    pub(crate) fn note_free(&self, hold: Hold) {
        self.held().note_free(self.arena().platform().incarnation(), hold.index);
    }

    /// True: the entry is free.
    #[inline]
    pub(crate) fn let_go(&self, hold: Hold) -> bool {
        let clear = |entry: Entry| entry.clear(self.arena());
        self.void(hold, |entry| match collection::is_under_way(self.arena()) {
            true => self.look(|| clear(entry)),
            false => clear(entry),
        })
    }

    /// Empties the entry of a token, by `clear`, or puts that off for a child. True: it is free.
    #[inline]
    fn void(&self, hold: Hold, clear: impl FnOnce(Entry)) -> bool {
        let Some((slot, entry)) = self.entry_of(hold) else { return false };
        let arena = self.arena();
        entry.set(arena, Content::Leaving(hold.handle));
        // Pairs with the heavy fence in `before_fork`: the child is seen here, or this is not noted for it.
        arena.platform().light_fence();
        if slot.children_to_come(arena) != 0 {
            entry.set(arena, Content::PutOff(hold.handle));
            self.held().note_put_off();
            return false;
        }
        clear(entry);
        self.held().empty_put_off(arena, slot);
        true
    }

    /// The entry of a token, while it holds what the token says.
    #[inline]
    fn entry_of(&self, hold: Hold) -> Option<(ProcessSlot, Entry)> {
        let arena = self.arena();
        if arena.platform().forked() {
            return None;
        }
        let slot = ProcessSlot::of(arena, self.process())?;
        let entry = self.held().entry(arena, slot, hold.index)?;
        // Relaxed: who has the token is the only one who writes.
        (arena.platform().load(entry.word(), Relaxed) == hold.handle.raw()).then_some((slot, entry))
    }

    /// Makes an export of a hold: the object is held until somebody adopts it, or this process ends. The token is void. `None`: it
    /// was void before, or this process is a child that has not joined.
    pub fn export(&self, hold: Hold) -> Option<Export> {
        let (slot, entry) = self.entry_of(hold)?;
        let arena = self.arena();
        // Relaxed: a number that nobody else gets. In the arena, so that the slot's next owner goes on from here.
        let ticket = arena.platform().fetch_add(slot.tickets(), 1, Relaxed) + 1;
        // Relaxed: released with the word. Held until then.
        arena.platform().store(entry.ticket(), ticket, Relaxed);
        entry.set(arena, Content::Exported(hold.handle));
        Some(Export { process: self.process(), index: hold.index, ticket })
    }

    /// Whether nobody has taken an export out yet: then the object is held.
    pub fn is_exported(&self, export: Export) -> bool {
        let arena = self.arena();
        let entry = ProcessSlot::of(arena, export.process).and_then(|slot| foreign_entry(arena, slot, export.index));
        // Acquire: as in `Entry::held`.
        export.ticket != 0 && entry.is_some_and(|entry| arena.platform().load(entry.ticket(), Acquire) == export.ticket)
    }

    /// Takes an export out of its sender's table. The caller holds the object by now. False: somebody else has adopted it, or its
    /// sender has ended.
    pub fn adopt(&self, export: Export) -> bool {
        let arena = self.arena();
        let Some(slot) = ProcessSlot::of(arena, export.process) else { return false };
        let Some(entry) = foreign_entry(arena, slot, export.index) else { return false };
        // AcqRel: whoever finds the ticket gone finds what the adopter holds.
        export.ticket != 0
            && arena.platform().compare_exchange(entry.ticket(), export.ticket, 0, AcqRel, Relaxed).is_ok()
    }

    /// Before a fork, in the parent: from here on what this process holds stays until the child has copied it, in
    /// [`Space::rejoin`]. Behind the fork [`Space::after_fork`] is called by the same thread, or the child of a later fork that nobody announces
    /// takes this note for its own.
    pub fn before_fork(&self) {
        let arena = self.arena();
        if arena.platform().forked() {
            return;
        }
        if let Some(slot) = ProcessSlot::of(arena, self.process()) {
            // The fork orders it before all that the child does.
            arena.platform().fetch_add(slot.copies(), 1, AcqRel);
            // Pairs with the light fence in `void`. False: what is noted may be on its way out; then the child is told that it holds nothing.
            let _ = arena.platform().heavy_fence();
            self.held().note_held_at_fork(arena, slot);
        }
    }
    /// Behind a fork, in the parent, also if there is no child: the note was for that child.
    pub fn after_fork(&self) {
        drop(self.held_at_fork());
    }
    /// In the parent, if there is no child.
    pub fn after_fork_failed(&self) {
        if let Some(slot) = ProcessSlot::of(self.arena(), self.process()) {
            slot.child_has_come(self.arena(), self.claim().generation);
        }
    }
    /// Takes out what this thread, or the one that it is the copy of, has noted in [`Space::before_fork`]: what the child has tokens of. `None`: it was
    /// not called, or another thread was in the middle of that at the moment of the fork.
    pub fn held_at_fork(&self) -> Option<Vec<Hold>> {
        self.held().take_held_at_fork()
    }

    /// In the child of a fork that has taken a slot: copies what its parent held, then lets the parent go on. At the same indices, so
    /// that the tokens that the child has from its parent are good. `noted` is [`Space::held_at_fork`].
    ///
    /// False: the parent has ended, or been killed, and no longer holds some of it. Nothing is held then, and the tokens are void.
    ///
    /// # Errors
    /// No room, no participant, damage. Nothing is held. The parent goes on all the same.
    pub fn take_over_held(self: &Arc<Self>, parent: Claim, noted: &[Hold]) -> Result<bool, JoinError> {
        let Some(slot) = ProcessSlot::of(self.arena(), parent.process) else { return Ok(false) };
        let copied = self.copy_held(slot, parent, noted);
        slot.child_has_come(self.arena(), parent.generation);
        if !matches!(copied, Ok(true))
            && let Some(mine) = ProcessSlot::of(self.arena(), self.process())
        {
            // A process of one thread that has just come: nothing else is in its table.
            super::empty(self.arena(), mine);
        }
        copied
    }

    fn copy_held(self: &Arc<Self>, slot: ProcessSlot, parent: Claim, noted: &[Hold]) -> Result<bool, JoinError> {
        if noted.is_empty() {
            return Ok(true);
        }
        if !self.all_held(slot, parent, noted) {
            return Ok(false);
        }
        let mut participant = self.participant()?;
        let copied = participant.hold_all_at(noted);
        participant.leave();
        match copied {
            // Again: what the parent held then is held without a moment between.
            Ok(()) => Ok(self.all_held(slot, parent, noted)),
            Err(Stop::Full(full)) => Err((*full).into()),
            Err(Stop::Corrupt(corrupt)) => Err((*corrupt).into()),
            // An attempt that only begins and ends meets nobody.
            Err(_) => Ok(false),
        }
    }

    /// Whether the parent still holds all of this, for itself or for its children.
    fn all_held(&self, slot: ProcessSlot, parent: Claim, noted: &[Hold]) -> bool {
        let arena = self.arena();
        let mut noted = noted.iter();
        let mut next = noted.next();
        // Both in the order of their indices.
        for_each_entry(arena, slot, |index, entry| {
            if let Some(hold) = next
                && u64::from(hold.index) == index
                // Pickled since: its ticket, which is given once, says that it was held until then.
                && entry.held(arena) == Some(hold.handle)
            {
                next = noted.next();
            }
        });
        // Behind the entries: until the state changes they are the parent's.
        let state = slot.state(arena);
        next.is_none() && state.phase == ProcessPhase::Used && state.generation == parent.generation
    }
}
