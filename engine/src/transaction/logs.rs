//! The participant's logs grow with what an attempt reads and writes, and give back what only a large one has use for.

use std::sync::atomic::Ordering::Relaxed;

use super::Participant;
use super::alternatives::Alternatives;
use super::repeats::Repeats;
use crate::arena::{Arena, Geometry};
use crate::error::Full;
use crate::participant::{ENTRY_WORDS, READ_WORDS, Slot};
use crate::platform::Platform;
use crate::reclamation;
use crate::recovery;
use crate::word::Handle;

/// What stays of a log when a transaction is over, in first pieces: 16,384 reads or entries natively, less than a MiB for both logs.
const KEPT_PIECES: u64 = 128;
/// In a small space it is less: so many who keep that much have half of it.
const KEEPERS: u64 = 64;

/// What somebody takes a place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// To run transactions.
    ToWork,
    /// To free what its last owner has left. Needs no logs: there may be no room for any.
    ToFree,
}

/// Elements that stay of a log.
fn kept(geometry: &Geometry) -> u64 {
    let keepers = geometry.participants.min(KEEPERS);
    let first_pieces = geometry.log_base * (ENTRY_WORDS + READ_WORDS);
    let share = geometry.space_words / 2 / (keepers * first_pieces);
    geometry.log_base * share.clamp(1, KEPT_PIECES)
}

/// Whether the logs of a place that nobody has have grown: their last owner has made larger transactions, or has ended in the middle of one.
pub(crate) fn have_grown<P: Platform>(arena: &Arena<P>, slot: Slot) -> bool {
    // Relaxed: a hint; whoever takes the place looks again.
    let is_there = |at| arena.platform().load(at, Relaxed) != 0;
    is_there(slot.record_piece(1)) || is_there(slot.read_log_piece(1))
}

impl<P: Platform> Participant<P> {
    #[cold]
    pub(super) fn grow_record(&mut self) -> Result<(), Full> {
        self.grow(|tx| tx.record_ring.grow(&tx.arena, &mut tx.cache, tx.id))?;
        self.has_large_logs |= self.record_ring.capacity() > self.kept();
        Ok(())
    }

    #[cold]
    pub(super) fn grow_read_log(&mut self) -> Result<(), Full> {
        self.grow(|tx| tx.read_log.grow(&tx.arena, &mut tx.cache, tx.id))?;
        self.has_large_logs |= self.read_log.capacity() > self.kept();
        Ok(())
    }

    fn grow(&mut self, grow: impl Fn(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        grow(self).or_else(|full| if full.wants_room() && self.makes_room() { grow(self) } else { Err(full) })
    }

    /// In a full space: what this one has taken out serves again, and what the dead hold. False: there was nothing. Once for each refusal: whoever dies
    /// meanwhile is for the next one who finds the space full.
    #[cold]
    pub(super) fn makes_room(&mut self) -> bool {
        // First the dead: what they have read keeps what this one has taken out.
        recovery::recover_dead(&self.space) + self.collect() > 0
    }

    fn kept(&self) -> u64 {
        kept(self.arena.layout().geometry())
    }

    /// Between transactions: gives back all that the logs have grown by, for whoever needs it more.
    ///
    /// Cost: the next larger transaction gets new memory.
    pub fn trim_logs(&mut self) {
        if self.active == 0 && !self.is_foreign() {
            self.shrink_logs_to(self.arena.layout().geometry().log_base);
        }
    }

    /// Before leaving: gives back all of the logs. Whoever takes the place next gets new ones.
    pub(crate) fn give_up_logs(&mut self) {
        self.shrink_logs_to(0);
    }

    /// After a large transaction: what is more than others need is retired, for others may be reading it, and freed with what the transaction has
    /// taken out. One like it gets new memory, at some percent of what it takes itself.
    pub(super) fn shrink_logs(&mut self) {
        self.shrink_logs_to(self.kept());
    }

    #[cold]
    #[inline(never)]
    fn shrink_logs_to(&mut self, kept: u64) {
        while self.read_log.capacity() > kept && self.retire_piece(self.read_log.last(&self.arena)) {
            self.read_log.forget_last(&self.arena);
        }
        while self.record_ring.capacity() > kept && self.retire_piece(self.record_ring.last(&self.arena)) {
            self.record_ring.forget_last(&self.arena);
        }
        // The record begins anew.
        self.record_start = 0;
        self.has_large_logs = false;
        self.own_entries.forget();
        self.repeats = Repeats::default();
        *self.alternatives = Alternatives::default();
        self.collect_if_due();
    }

    /// False: it stays.
    fn retire_piece(&mut self, piece: Option<Handle>) -> bool {
        if !self.limbo.reserve(1) {
            return false;
        }
        let stamp = reclamation::stamp(&self.arena);
        let retired = piece.filter(|piece| reclamation::retire(&self.arena, self.slot, self.id, *piece));
        if let Some(piece) = retired {
            self.limbo.push(&self.arena, stamp, piece, false);
        }
        retired.is_some()
    }
}
