//! Where marking begins: at the root cell, at what processes hold, at what attempts know, and at commits that may not know of the collection.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::colour::{has_many_names, is_condemned, recolour};
use super::doubt::{Place, damaged_state};
use super::passes::Collection;
use super::reach::each_word;
use super::role::{Seat, is_in_use};
use crate::allocator;
use crate::arena::Arena;
use crate::error::{Corrupt, Stop};
use crate::participant::{Entry, EntryKind, Slot, entries};
use crate::platform::Platform;
use crate::reclamation::{HeldBy, Look, Looked};
use crate::word::{Colour, Handle, ParticipantId, State, Status};

/// Entries of a record that are looked at together.
const CHUNK: usize = 32;
/// Steps of a look at the logs that are one step of a collection.
const LOOKED_AT_TOGETHER: u64 = 1024;

/// Roots after which a long step shows that somebody is at it.
const SHOWN_AFTER: u64 = 1024;

/// A commit that was under way when a collection began: its owner may not have seen it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    slot: Slot,
    status: u64,
}

impl Commit {
    /// All who are COMMITTED and not through with it. Behind the fence of the caller.
    pub fn all<P: Platform>(arena: &Arena<P>) -> Vec<Self> {
        let slots =
            (0..arena.layout().geometry().participants).filter_map(|id| Slot::of(arena, ParticipantId(id as u16)));
        // Acquire: the record is seen.
        let commits = slots.map(|slot| Self { slot, status: arena.platform().load(slot.status(), Acquire) });
        commits
            .filter(|commit| Status::unpack(commit.status).is_some_and(|status| status.state == State::Committed))
            .collect()
    }

    /// False: all that it does is done.
    fn is_under_way<P: Platform>(&self, arena: &Arena<P>) -> bool {
        arena.platform().load(self.slot.status(), Acquire) == self.status
    }

    /// Calls `visit` with its entries. An entry that is visited is what it was when the commit was under way.
    ///
    /// # Errors
    /// Its record cannot be read to its end.
    fn for_each_entry<P: Platform>(&self, arena: &Arena<P>, mut visit: impl FnMut(Said)) -> Result<(), Corrupt> {
        let platform = arena.platform();
        // Relaxed: acquired with the status.
        let start = platform.load(self.slot.record_start(), Relaxed);
        let reserved = platform.load(self.slot.entries_reserved(), Relaxed);
        let mut entries = entries(arena, self.slot, start, reserved).map(|(_, entry)| Said::by(arena, entry));
        let mut read = 0;
        // Bound: the record has so many entries.
        loop {
            let mut chunk = [Said::Nothing; CHUNK];
            let mut count = 0;
            for said in entries.by_ref().take(CHUNK) {
                chunk[count] = said;
                count += 1;
            }
            // The entries are read before it is asked whose they were.
            platform.fence(Acquire);
            read += count as u64;
            if !self.is_under_way(arena) || (count == 0 && read == reserved) {
                return Ok(());
            }
            if count == 0 {
                let at = self.slot.entries_reserved();
                return Err(Corrupt { what: "the length of a record", byte_offset: at.byte_offset(), word: reserved });
            }
            chunk[..count].iter().for_each(|said| visit(*said));
        }
    }
}

/// What an entry of a record means to a collection.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    /// A cell has the one value, or the other by now.
    Writes(u64, u64),
    Makes(Handle),
}

impl Said {
    fn by<P: Platform>(arena: &Arena<P>, entry: Entry) -> Self {
        match entry.target(arena) {
            Some((EntryKind::Write, _)) => Self::Writes(entry.old_value(arena), entry.new_value(arena)),
            Some((EntryKind::Allocation, _)) => {
                Handle::from_raw(entry.old_version(arena)).map_or(Self::Nothing, Self::Makes)
            }
            _ => Self::Nothing,
        }
    }
}

impl Collection {
    /// In a step that may be long, for each thing that it has found: others may have taken over since it began.
    fn show_life_now_and_then<P: Platform>(&self, seat: &Seat<'_, P>, found: &mut u64) {
        *found += 1;
        if found.is_multiple_of(SHOWN_AFTER) && self.role.is_mine(seat) {
            self.role.show_life(seat);
        }
    }

    /// The root cell, and what processes hold.
    pub(super) fn mark_roots<P: Platform>(
        &mut self,
        seat: &Seat<'_, P>,
        roots: impl FnOnce(&mut dyn FnMut(Handle)) -> Result<(), Corrupt>,
    ) {
        self.reach_from(seat, Place::root(seat.arena));
        let (mut found, mut lost) = (0u64, None);
        let read = roots(&mut |held| {
            self.show_life_now_and_then(seat, &mut found);
            // What an attempt made that did not commit is still named, and its memory may be nobody's.
            match allocator::check_fully(seat.arena, held) {
                Ok(state) if state.kind.can_be_named() => self.reach(seat, held.raw()),
                Ok(_) => lost = Some(damaged_state(seat.arena, held)),
                Err(Stop::Corrupt(corrupt)) => lost = Some(*corrupt),
                Err(_) => lost = lost.or_else(|| allocator::lost_by_header(seat.arena, held)),
            }
        });
        self.note_damage(read.err().or(lost));
    }

    /// What somebody who was COMMITTED at the begin overwrites, stores and has made.
    pub(super) fn mark_commit<P: Platform>(&mut self, seat: &Seat<'_, P>, commit: Commit) {
        let mut found = 0u64;
        let read = commit.for_each_entry(seat.arena, |said| {
            self.show_life_now_and_then(seat, &mut found);
            match said {
                Said::Nothing => {}
                Said::Writes(old, new) => [old, new].into_iter().for_each(|word| self.reach(seat, word)),
                Said::Makes(handle) => self.mark_made(seat, commit, handle),
            }
        });
        self.note_damage(read.err());
    }

    /// A block that becomes LIVE with the commit, or has: black, and what it names is grey.
    fn mark_made<P: Platform>(&mut self, seat: &Seat<'_, P>, commit: Commit, handle: Handle) {
        let arena = seat.arena;
        let Ok(state) = allocator::check_fully(arena, handle) else { return };
        let read = each_word(arena, handle, state.kind, &mut |at, word| {
            self.reach_from(seat, Place { word, at, within: Some(handle) });
        });
        if let Err(Stop::Corrupt(corrupt)) = read {
            // It is as it was made while its commit is under way.
            return self.note_damage(commit.is_under_way(arena).then_some(*corrupt));
        }
        seat.protect(handle);
        // While the commit is under way nobody frees the block; and from then on only who has taken over, and sees its name.
        if commit.is_under_way(arena) && self.role.right().is_valid(seat) && has_many_names(arena, handle, state.kind) {
            recolour(arena, handle, self.role.cycle(), Colour::White, Colour::Black);
        }
    }

    /// Some of what those who are in an attempt have read and named. What somebody of a collection before is about to change is left alone. Says whether there is more to look at.
    pub(super) fn mark_logs<P: Platform>(&mut self, seat: &Seat<'_, P>) -> Looked {
        let arena = seat.arena;
        let Some(mut look) = self.look.take().or_else(|| Look::begin(arena)) else { return Looked::Unknown };
        let looked = look.go_on(arena, seat.id, LOOKED_AT_TOGETHER, &mut |handle, by| match by {
            // What is RETIRED has one name, and was followed.
            _ if !is_in_use(arena, handle) => {}
            HeldBy::Collector => self.leave_alone(handle),
            // It may be about to be retired, and name what is gone. No attempt has read such a name.
            HeldBy::Attempt if is_condemned(arena, handle) => self.leave_alone(handle),
            HeldBy::Attempt => self.note(seat, handle),
        });
        self.look = Some(look).filter(|_| looked == Looked::Some);
        looked
    }
}
