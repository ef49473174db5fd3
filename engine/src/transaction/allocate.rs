//! Blocks that an attempt makes.

use super::Participant;
use crate::collection;
use crate::error::Stop;
use crate::platform::Platform;
use crate::recovery;
use crate::word::{BlockKind, Handle};

impl<P: Platform> Participant<P> {
    /// Makes a block that is this attempt's own until it commits; freed if it does not. Its payload holds anything:
    /// initialize all of it.
    pub fn allocate(&mut self, kind: BlockKind, payload_words: u64) -> Result<Handle, Stop> {
        let mut handle = self.try_allocate(kind, payload_words);
        // What was taken out of the space serves again, and what the dead hold. Once: whoever dies meanwhile is for the next one
        // who finds the space full.
        if matches!(handle, Err(Stop::Full(_))) && self.collect() + recovery::recover_dead(&self.space) > 0 {
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
            Err(stop) => Err(self.fail(stop)),
        }
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
