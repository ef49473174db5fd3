//! Blocks that an attempt makes.

use super::Participant;
use crate::collection;
use crate::error::{Full, Stop};
use crate::platform::Platform;
use crate::word::{BlockKind, Handle};

impl<P: Platform> Participant<P> {
    /// Makes a block that is this attempt's own until it commits; freed if it does not. Its payload holds anything:
    /// initialize all of it.
    pub fn allocate(&mut self, kind: BlockKind, payload_words: u64) -> Result<Handle, Stop> {
        let mut handle = self.try_allocate(kind, payload_words);
        if handle.as_ref().is_err_and(Stop::wants_room) && self.makes_room() {
            handle = self.try_allocate(kind, payload_words);
        }
        match handle {
            Ok(handle) => {
                if kind.is_container() {
                    self.objects_made += 1;
                    collection::born(&self.arena, handle, false);
                }
                self.note_allocation(handle);
                Ok(handle)
            }
            Err(stop) => Err(self.refused(stop)),
        }
    }

    /// Where the system has no memory, what nothing needs here goes back to it: also what was got before it refused the rest.
    #[cold]
    fn refused(&mut self, stop: Stop) -> Stop {
        let of_the_system = matches!(&stop, Stop::Full(full) if matches!(**full, Full::System(_)));
        let stop = self.fail(stop);
        if of_the_system {
            self.give_back_pages();
        }
        stop
    }

    #[inline]
    fn try_allocate(&mut self, kind: BlockKind, payload_words: u64) -> Result<Handle, Stop> {
        if self.active == 0 || self.is_foreign() {
            return Err(self.lost());
        }
        if self.read_only {
            return Err(Stop::ReadOnly);
        }
        self.entry_room()?;
        Ok(self.cache.allocate(&self.arena, self.id, kind, payload_words)?)
    }
}
