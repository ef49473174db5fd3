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
    /// Cost: a store, and a compare-exchange in process memory. `Participant::release` does without the second.
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
    /// [`Space::rejoin`].
    pub fn before_fork(&self) {
        let arena = self.arena();
        if arena.platform().forked() {
            return;
        }
        if let Some(slot) = ProcessSlot::of(arena, self.process()) {
            // The fork orders it before all that the child does.
            arena.platform().fetch_add(slot.copies(), 1, AcqRel);
            self.held().note_held_at_fork(arena, slot);
        }
    }
    /// In the parent, if there is no child.
    pub fn after_fork_failed(&self) {
        if let Some(slot) = ProcessSlot::of(self.arena(), self.process()) {
            slot.child_has_come(self.arena(), self.claim().generation);
        }
    }

    /// In the child of a fork that has taken a slot: copies what its parent holds, then lets the parent go on. At the same indices, so
    /// that the tokens that the child has from its parent are good.
    ///
    /// # Errors
    /// No room, no participant, damage. The parent goes on all the same.
    pub fn take_over_held(self: &Arc<Self>, parent: Claim) -> Result<(), JoinError> {
        let Some(slot) = ProcessSlot::of(self.arena(), parent.process) else { return Ok(()) };
        let copied = self.copy_held(slot, parent);
        slot.child_has_come(self.arena(), parent.generation);
        copied
    }

    fn copy_held(self: &Arc<Self>, slot: ProcessSlot, parent: Claim) -> Result<(), JoinError> {
        let arena = self.arena();
        let state = slot.state(arena);
        let noted = self.held().held_at_fork();
        let mut held = Vec::new();
        if state.phase == ProcessPhase::Used && state.generation == parent.generation {
            for_each_entry(arena, slot, |index, entry| match entry.content(arena) {
                Content::Held(handle) | Content::PutOff(handle) => held.push(Hold { index: index as u32, handle }),
                Content::Exported(_) | Content::Empty | Content::Damaged(_) => {}
            });
        }
        // Both in the order of their indices.
        if let Some(noted) = noted {
            held.retain(|hold| {
                let place = noted.binary_search_by_key(&hold.index, |noted| noted.index);
                place.is_ok_and(|place| noted[place].handle == hold.handle)
            });
        }
        if held.is_empty() {
            return Ok(());
        }
        let mut participant = self.participant()?;
        let copied = participant.hold_all_at(&held);
        participant.leave();
        match copied {
            Ok(()) => Ok(()),
            Err(Stop::Full(full)) => Err((*full).into()),
            Err(Stop::Corrupt(corrupt)) => Err((*corrupt).into()),
            // An attempt that only begins and ends meets nobody.
            Err(_) => Ok(()),
        }
    }
}
