//! The participant's logs grow with what an attempt reads and writes, and give back what only a large one has use for.

use std::sync::atomic::Ordering::Relaxed;

use super::Participant;
use crate::arena::Arena;
use crate::error::Full;
use crate::participant::{PIECES, Slot, pieces_within};
use crate::platform::Platform;
use crate::reclamation;
use crate::word::Handle;

/// What stays of a log when a transaction is over, in first pieces: 16,384 reads or entries natively, less than a MiB for both logs.
const KEPT_PIECES: u64 = 128;

/// Whether the logs of a place that nobody has are larger than that: their last owner has ended in the middle of a large transaction.
pub(crate) fn has_large_logs<P: Platform>(arena: &Arena<P>, slot: Slot) -> bool {
    let base = arena.layout().geometry().log_base;
    let piece = pieces_within(base, base * KEPT_PIECES);
    // Relaxed: a hint; whoever takes the place looks again.
    let is_there = |at| arena.platform().load(at, Relaxed) != 0;
    piece < PIECES && (is_there(slot.record_piece(piece)) || is_there(slot.read_log_piece(piece)))
}

impl<P: Platform> Participant<P> {
    #[cold]
    pub(super) fn grow_record(&mut self) -> Result<(), Full> {
        self.record_ring.grow(&self.arena, &mut self.cache, self.id)?;
        self.has_large_logs |= self.record_ring.capacity() > self.kept();
        Ok(())
    }

    #[cold]
    pub(super) fn grow_read_log(&mut self) -> Result<(), Full> {
        self.read_log.grow(&self.arena, &mut self.cache, self.id)?;
        self.has_large_logs |= self.read_log.capacity() > self.kept();
        Ok(())
    }

    fn kept(&self) -> u64 {
        self.arena.layout().geometry().log_base * KEPT_PIECES
    }

    /// After a large transaction: what is more than others need is retired, for others may be reading it, and freed with what the transaction has
    /// taken out. One like it gets new memory, at some percent of what it takes itself.
    #[cold]
    pub(super) fn shrink_logs(&mut self) {
        let kept = self.kept();
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
        self.collect_if_due();
    }

    fn retire_piece(&mut self, piece: Option<Handle>) -> bool {
        let stamp = reclamation::stamp(&self.arena);
        let retired = piece.filter(|piece| reclamation::retire(&self.arena, self.slot, self.id, *piece));
        if let Some(piece) = retired {
            self.limbo.push(&self.arena, stamp, piece, false);
        }
        retired.is_some()
    }
}
