//! Blocks that an attempt makes.

use super::Participant;
use crate::allocator;
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
        self.note_made(kind, handle)
    }

    /// As [`Self::allocate`] for what takes the place of `before`. Where there is no room for it, but for a block as large as that one, such a
    /// block: who takes something out is not to be refused because what is left wants a size of which there is none.
    pub(crate) fn allocate_in_place_of(
        &mut self,
        before: Option<Handle>,
        kind: BlockKind,
        payload_words: u64,
    ) -> Result<Handle, Stop> {
        let handle = match self.try_allocate(kind, payload_words) {
            Err(stop) if stop.wants_room() => {
                let room = before.and_then(|before| allocator::payload_words(&self.arena, before).ok());
                room.filter(|room| *room > payload_words).map_or(Err(stop), |room| self.try_allocate(kind, room))
            }
            done => done,
        };
        match handle {
            Err(stop) if stop.wants_room() => self.allocate(kind, payload_words),
            done => self.note_made(kind, done),
        }
    }

    #[inline]
    fn note_made(&mut self, kind: BlockKind, handle: Result<Handle, Stop>) -> Result<Handle, Stop> {
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
