//! One cell of a dead one's commit, for whoever wants just that one.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::Leftover;
use crate::arena::Arena;
use crate::collection;
use crate::participant::{EntryKind, foreign_entry};
use crate::platform::Platform;
use crate::word::{CellAddress, LockWord, Value, Version};

impl Leftover {
    /// COMMITTED: the value of one cell, and its lock; all else is left as it is, and the attempt COMMITTED. False: nothing was done, for the cell is to name a
    /// block, which may be one that the attempt has made: nobody is to find such a one in a cell that is free before all that it names is LIVE.
    ///
    /// Cost: a few accesses, however large the attempt is.
    pub(super) fn finish_cell<P: Platform>(&self, arena: &Arena<P>, cell: CellAddress) -> bool {
        let platform = arena.platform();
        // Acquire: as in `held_at`.
        let word = platform.load(cell.lock_word(), Acquire);
        let LockWord::Locked(by) = LockWord::unpack(word) else { return true };
        if (by.participant, by.seq) != (self.dead, self.seq) {
            return true;
        }
        let Some(entry) = foreign_entry(arena, self.slot, by.entry, cell) else { return false };
        let version = match entry.target(arena) {
            Some((EntryKind::Hold, _)) => entry.old_version(arena),
            Some((EntryKind::Write, _)) => {
                let new = entry.new_value(arena);
                if Value::from_raw(new).as_handle().is_some() {
                    return false;
                }
                // As in `write_back`.
                platform.fence(SeqCst);
                let overwritten = std::iter::once(entry.old_value(arena));
                collection::note_commit(arena, Some(0), overwritten, [].into_iter(), [].into_iter());
                // Release: as in `write_back`, for whoever traces; he looks at no lock.
                platform.store(cell.value_word(), new, Release);
                platform.load(self.slot.commit_version(), Relaxed)
            }
            _ => return false,
        };
        // AcqRel: as in `write_back`.
        let _ = platform.compare_exchange(cell.lock_word(), word, LockWord::free(Version(version)), AcqRel, Relaxed);
        true
    }
}
