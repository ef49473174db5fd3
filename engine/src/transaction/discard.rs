//! Blocks that the commit of an attempt takes out of the space (see `reclamation`).

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::Participant;
use crate::collection;
use crate::error::{Full, Stop};
use crate::participant::EntryKind;
use crate::platform::Platform;
use crate::reclamation::{self, Logs};
use crate::recovery;
use crate::word::{CellAddress, Handle, WordAddress};

/// Blocks that a commit frees by the way, at most: less than a millisecond of work. A commit that took out more frees twice as many as that, so that
/// whoever empties a large object and does nothing after has freed it.
const FREED_AT_ONCE: u64 = 4096;
/// Superblocks' worth of memory that is dealt with by the way: the same.
const GIVEN_BACK_AT_ONCE: u64 = 16;
/// Looks at somebody who keeps memory from going back, before it is worth looking for the dead.
const WAITS_TO_A_LOOK: u32 = 64;

impl<P: Platform> Participant<P> {
    /// Says that this attempt takes a block out of the space: the one word that names it is overwritten, and nothing that the
    /// attempt writes names it again. What the block names is not looked at. Until the attempt ends the block can be read.
    ///
    /// Cost: four words of the participant's own record; at the commit one compare-exchange.
    ///
    /// # Errors
    /// `Full` if the record cannot grow, `ReadOnly`, `Conflict` if the attempt is over.
    pub fn discard(&mut self, handle: Handle) -> Result<(), Stop> {
        if self.active == 0 || self.is_foreign() {
            return Err(self.lost());
        }
        if self.read_only {
            return Err(self.fail(Stop::ReadOnly));
        }
        if let Err(full) = self.entry_room() {
            return Err(self.fail(full.into()));
        }
        let entry = self.entry(self.entries);
        let nothing = CellAddress::new(WordAddress::new(0));
        entry.fill(&self.arena, EntryKind::Discard, nothing, [handle.raw(), 0, 0]);
        self.entries += 1;
        self.discards += 1;
        // Release: recovery that reads the count finds the entry filled.
        self.platform().store(self.slot.entries_reserved(), self.entries, Release);
        if !self.limbo.reserve(self.discards) {
            return Err(self.fail(Full::of_process(self.discards * 64).into()));
        }
        Ok(())
    }

    /// Says that more than one word will name a block of this attempt: it cannot be discarded, and goes when no word names it any more
    /// (see `collection`). Once it is published, never more.
    pub fn share(&mut self, handle: Handle) {
        collection::born(&self.arena, handle, true);
    }

    /// Whether that was said of a block.
    pub fn is_shared(&self, handle: Handle) -> bool {
        reclamation::is_shared(&self.arena, handle)
    }

    /// Retires what the commit has taken out. The values stand in their cells, and all locks are free.
    #[cold]
    #[inline(never)]
    pub(super) fn retire_discarded(&mut self) {
        let stamp = reclamation::stamp(&self.arena);
        for number in 0..self.entries {
            let entry = self.entry(number);
            if let Some((EntryKind::Discard, _)) = entry.target(&self.arena)
                && let Some(handle) = Handle::from_raw(entry.old_version(&self.arena))
                && reclamation::retire(&self.arena, self.slot, self.id, handle)
            {
                self.limbo.push(&self.arena, stamp, handle, false);
            }
        }
    }

    /// After a commit that took blocks out: frees them, if it is worth looking whether it may.
    pub(super) fn collect_if_due(&mut self) {
        let most = FREED_AT_ONCE.max(2 * std::mem::take(&mut self.discards) as u64);
        if self.limbo.is_due() {
            self.collect_at_most(most);
        } else {
            // Relaxed: a number for people.
            self.platform().store(self.slot.retired_words(), self.limbo.words(), Relaxed);
        }
    }

    /// Payload words that this participant has taken out of the space and that wait to be freed.
    pub fn retired_words(&self) -> u64 {
        self.limbo.words()
    }

    /// Whether something that owns much is being freed, and was too much for once: [`Self::collect_at_most`] goes on.
    #[inline]
    pub fn is_in_the_middle_of_freeing(&self) -> bool {
        self.limbo.is_in_the_middle()
    }

    /// Payload words that this participant has freed so far, after they had been taken out.
    pub fn freed_words(&self) -> u64 {
        self.limbo.freed_words()
    }

    /// Frees what this participant has taken out of the space and nobody can hold any more. Done by itself now and then. Gives
    /// the number of blocks freed.
    ///
    /// Cost: a load for each participant slot of the space; and if that left something a fence on all processors and a look at the logs of all who are in an
    /// attempt.
    pub fn collect(&mut self) -> u64 {
        self.collect_with(u64::MAX, Logs::InAnyCase)
    }

    /// The same, and no further one once `most` blocks are freed. What owns many is freed in pieces of `most` steps: each frees a block, or looks at up to 64 cells.
    ///
    /// 0 may mean that it has only found out more of what may go: [`Self::is_finding_out`].
    pub fn collect_at_most(&mut self, most: u64) -> u64 {
        self.collect_with(most, Logs::IfWorthIt)
    }

    /// Whether it is worth trying to free something: not while what it has taken out was found to be held, and little has come since.
    pub fn is_freeing_due(&self) -> bool {
        self.limbo.is_due()
    }

    /// Whether it is in the middle of finding out what others hold of what it has taken out.
    pub fn is_finding_out(&self) -> bool {
        self.limbo.is_judging()
    }

    pub(super) fn collect_with(&mut self, most: u64, logs: Logs) -> u64 {
        if self.is_foreign() {
            return 0;
        }
        let words_before = self.limbo.freed_words();
        let mut freed = self.free_retired(most, logs);
        // Somebody who began before all of it is still at work; or dead: then nobody but us may ever look.
        if freed == 0 && self.limbo.words() != 0 && !self.limbo.is_judging() && recovery::recover_dead(&self.space) > 0
        {
            freed = self.free_retired(most, logs);
        }
        // Relaxed: a number for people.
        self.platform().store(self.slot.retired_words(), self.limbo.words(), Relaxed);
        let large = most > FREED_AT_ONCE;
        self.give_back(self.limbo.freed_words() - words_before, if large { u64::MAX } else { GIVEN_BACK_AT_ONCE });
        freed
    }

    /// In a look: what is free and nobody's may be given back by others while it is still looked at here.
    pub(super) fn free_retired(&mut self, most: u64, logs: Logs) -> u64 {
        let Self { space, limbo, arena, slot, id, cache, .. } = self;
        space.look(|| limbo.collect(arena, *slot, *id, cache, most, logs))
    }

    /// Goes on with giving memory back to the system, in proportion to what was freed.
    fn give_back(&mut self, freed_words: u64, most: u64) {
        if self.pages.go_on(&self.space, self.id, &mut self.cache, freed_words, most) {
            self.waits_for_pages += 1;
            if self.waits_for_pages.is_multiple_of(WAITS_TO_A_LOOK) {
                recovery::recover_dead(&self.space);
            }
        }
    }

    /// Gives memory back to the system that nothing needs: what is empty of this participant's, and of nobody's. Done by itself, a little with
    /// each collection. A megabyte or an eighth of what is in use stays for what comes next. False: nothing was given back yet, for somebody is
    /// in the middle of an attempt; again later.
    ///
    /// Cost: three loads or so for each 64 KiB of the space, and some 10 us for each that goes back.
    pub fn give_back_pages(&mut self) -> bool {
        self.is_foreign() || self.pages.finish(&self.space, self.id, &mut self.cache)
    }
}
