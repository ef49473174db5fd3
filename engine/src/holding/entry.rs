//! Entries and pieces as they stand in the arena, and walks over them.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::allocator;
use crate::arena::Arena;
use crate::collection;
use crate::error::Corrupt;
use crate::participant::{PIECES, ProcessPhase, ProcessSlot, locate, piece_elements};
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, ProcessSlotId, WordAddress};

/// Words of an entry.
pub const ENTRY_WORDS: u64 = 2;

const TAG_MASK: u64 = 15;
const PUT_OFF_TAG: u64 = 8;
const EXPORT_TAG: u64 = 12;
const LEAVING_TAG: u64 = 14;
const EXPIRING_TAG: u64 = 10;
const _: () = assert!(Handle::TAG != PUT_OFF_TAG && Handle::TAG != EXPORT_TAG);
const _: () = assert!(Handle::TAG != LEAVING_TAG && Handle::TAG != EXPIRING_TAG);

/// What the first word of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nobody's.
    Empty,
    /// Held.
    Held(Handle),
    /// Being released: who does it asks next whether a child has to copy it. Nobody else changes it.
    Leaving(Handle),
    /// Released, but a child of a fork has still to copy it.
    PutOff(Handle),
    /// Pickled; void once its ticket is 0.
    Exported(Handle),
    /// The same, of a process that is leaving or gone: kept, whatever its ticket says.
    Expiring(Handle),
    /// Nothing of ours writes this.
    Damaged(u64),
}

impl Content {
    /// Decodes the word.
    #[inline]
    pub fn of(word: u64) -> Self {
        let Some(handle) = Handle::from_raw(word & !TAG_MASK | Handle::TAG) else { return Self::Damaged(word) };
        match word & TAG_MASK {
            _ if word == 0 => Self::Empty,
            Handle::TAG => Self::Held(handle),
            LEAVING_TAG => Self::Leaving(handle),
            PUT_OFF_TAG => Self::PutOff(handle),
            EXPORT_TAG => Self::Exported(handle),
            EXPIRING_TAG => Self::Expiring(handle),
            _ => Self::Damaged(word),
        }
    }

    /// The word.
    #[inline]
    pub fn word(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Held(handle) => handle.raw(),
            Self::Leaving(handle) => handle.raw() & !TAG_MASK | LEAVING_TAG,
            Self::PutOff(handle) => handle.raw() & !TAG_MASK | PUT_OFF_TAG,
            Self::Exported(handle) => handle.raw() & !TAG_MASK | EXPORT_TAG,
            Self::Expiring(handle) => handle.raw() & !TAG_MASK | EXPIRING_TAG,
            Self::Damaged(word) => word,
        }
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(WordAddress);

impl Entry {
    /// The entry whose first word is `at`.
    #[inline]
    pub(super) fn at(at: WordAddress) -> Self {
        Self(at)
    }
    /// The word that says what is held.
    #[inline]
    pub fn word(self) -> WordAddress {
        self.0
    }
    /// The number of an export that nobody has taken out, or 0.
    #[inline]
    pub fn ticket(self) -> WordAddress {
        self.0.offset(1)
    }

    /// What it says.
    #[inline]
    pub fn content<P: Platform>(self, arena: &Arena<P>) -> Content {
        // Acquire: pairs with the release of whoever wrote it. What it had done before is seen: a ticket, and for `PutOff` the count
        // of children that it was put off for.
        Content::of(arena.platform().load(self.0, Acquire))
    }
    /// Changes what it says. By the one who may: see H2.
    #[inline]
    pub(super) fn set<P: Platform>(self, arena: &Arena<P>, content: Content) {
        // Release: as above; and who finds the entry empty may use it after all that its last owner did with the object.
        arena.platform().store(self.0, content.word(), Release);
    }

    /// Says that nothing is held. By the one who may; whoever looks for what is in use is told before.
    #[inline]
    pub(super) fn clear<P: Platform>(self, arena: &Arena<P>) {
        if let Some(handle) = self.held(arena) {
            collection::note_released(arena, handle);
        }
        self.set(arena, Content::Empty);
    }

    /// What an entry that is about to be emptied has kept to this moment, and keeps until then. An export anybody may take out, and let go of, and it may be freed and its memory become another
    /// object: so it keeps the object whatever its ticket says, first, and has kept nothing if that is gone.
    fn keep_to_the_end<P: Platform>(self, arena: &Arena<P>) -> Option<Handle> {
        let (Content::Exported(handle) | Content::Expiring(handle)) = self.content(arena) else {
            return self.held(arena);
        };
        self.set(arena, Content::Expiring(handle));
        // Whoever looks for what is in use after the ticket has gone finds the word; or the ticket is seen to be gone.
        arena.platform().fence(SeqCst);
        // Acquire: pairs with the compare-exchange of whoever took it out.
        (arena.platform().load(self.ticket(), Acquire) != 0).then_some(handle)
    }

    /// The handle that it keeps in use.
    pub fn held<P: Platform>(self, arena: &Arena<P>) -> Option<Handle> {
        self.read(arena).ok().flatten()
    }

    /// The same for whoever must know of all.
    fn read<P: Platform>(self, arena: &Arena<P>) -> Result<Option<Handle>, Corrupt> {
        match self.content(arena) {
            Content::Held(handle) | Content::Leaving(handle) | Content::PutOff(handle) | Content::Expiring(handle) => {
                Ok(Some(handle))
            }
            // Acquire: pairs with the compare-exchange of whoever took it out, and who held the object before.
            Content::Exported(handle) => Ok((arena.platform().load(self.ticket(), Acquire) != 0).then_some(handle)),
            Content::Empty => Ok(None),
            Content::Damaged(word) => {
                let byte_offset = self.0.byte_offset();
                Err(Corrupt { what: "an entry of the table of what a process holds", byte_offset, word })
            }
        }
    }
}

/// Entries of the first piece. As many words as the first piece of a record ring has: they come from the same superblocks.
pub(super) fn base<P: Platform>(arena: &Arena<P>) -> u64 {
    2 * arena.layout().geometry().log_base
}

/// Entries of piece `number`.
pub(crate) fn piece_entries<P: Platform>(arena: &Arena<P>, number: u64) -> u64 {
    piece_elements(base(arena), number)
}

/// The first word of piece `number` of a process, if it has it. Entries are stored to by others, too: so it is a piece by its kind, in use, and
/// has the room.
pub(crate) fn piece<P: Platform>(arena: &Arena<P>, slot: ProcessSlot, number: u64) -> Option<WordAddress> {
    read_piece(arena, slot, number).ok().flatten()
}

/// The same for whoever must know of all.
fn read_piece<P: Platform>(arena: &Arena<P>, slot: ProcessSlot, number: u64) -> Result<Option<WordAddress>, Corrupt> {
    let at = slot.holds_piece(number);
    // Acquire: pairs with the compare-exchange in `grow`; the piece was zeroed before.
    let word = arena.platform().load(at, Acquire);
    if word == 0 {
        return Ok(None);
    }
    let words = piece_entries(arena, number) * ENTRY_WORDS;
    let handle = Handle::from_raw(word).filter(|handle| {
        allocator::check_fully(arena, *handle).is_ok_and(|state| state.kind == BlockKind::Holds)
            && allocator::payload_words(arena, *handle).is_ok_and(|room| room >= words)
    });
    let what = "a piece of the table of what a process holds";
    match handle {
        Some(handle) => Ok(Some(handle.block().offset(BLOCK_HEADER_WORDS))),
        None => Err(Corrupt { what, byte_offset: at.byte_offset(), word }),
    }
}

/// The entry `index` of somebody's table, if it has it.
pub(super) fn foreign_entry<P: Platform>(arena: &Arena<P>, slot: ProcessSlot, index: u32) -> Option<Entry> {
    let (number, within) = locate(base(arena), u64::from(index));
    let start = (number < PIECES).then(|| piece(arena, slot, number)).flatten()?;
    Some(Entry(start.offset(within * ENTRY_WORDS)))
}

/// Runs `visit` over all entries of a process, with their indices. Gives the piece that cannot be read, if one cannot: behind it nothing was visited.
pub(crate) fn for_each_entry<P: Platform>(
    arena: &Arena<P>,
    slot: ProcessSlot,
    mut visit: impl FnMut(u64, Entry),
) -> Option<Corrupt> {
    let mut index = 0;
    for number in 0..PIECES {
        let start = match read_piece(arena, slot, number) {
            Ok(Some(start)) => start,
            end => return end.err(),
        };
        for within in 0..piece_entries(arena, number) {
            visit(index, Entry(start.offset(within * ENTRY_WORDS)));
            index += 1;
        }
    }
    None
}

/// Runs `visit` over all that processes hold outside of the space, exports included. What is taken hold of meanwhile may be
/// missed, and so may what is let go of: `collection` is told of both.
///
/// Cost: a load for each entry of each table.
///
/// # Errors
/// A piece or an entry that cannot be read: what it may say is missed. All others are visited.
pub fn for_each_held<P: Platform>(arena: &Arena<P>, visit: &mut dyn FnMut(Handle)) -> Result<(), Corrupt> {
    let mut damage = None;
    for number in 0..arena.layout().geometry().process_slots {
        let Some(slot) = ProcessSlot::of(arena, ProcessSlotId(number as u16)) else { continue };
        let state = slot.state(arena);
        if state.phase == ProcessPhase::Used {
            let mut lost = None;
            let cut_off = for_each_entry(arena, slot, |_, entry| match entry.read(arena) {
                Ok(Some(handle)) => visit(handle),
                Ok(None) => {}
                Err(corrupt) => lost = Some(corrupt),
            });
            // Not of one that has left meanwhile.
            damage = damage.or(lost.or(cut_off).filter(|_| slot.state(arena) == state));
        }
    }
    damage.map_or(Ok(()), Err)
}

/// Empties all entries of a process. By itself, when it leaves, or by whoever has its liveness byte in hand. Whoever is killed in it has
/// left less to do.
pub(crate) fn empty<P: Platform>(arena: &Arena<P>, slot: ProcessSlot) {
    let platform = arena.platform();
    // In a look of the slot's own: what was exported others may adopt, and free, while it is followed here.
    let generation = slot.state(arena).generation;
    slot.begin_look(arena, generation);
    for_each_entry(arena, slot, |_, entry| {
        // Relaxed: there is one who writes at a time. Whoever comes after one who was killed here empties once more what he does not see empty.
        if platform.load(entry.word(), Relaxed) != 0 {
            if let Some(handle) = entry.keep_to_the_end(arena) {
                collection::note_released(arena, handle);
            }
            // An adopter may do the same at the same time.
            platform.store(entry.ticket(), 0, Relaxed);
            entry.set(arena, Content::Empty);
        }
    });
    slot.end_look(arena, generation);
}

/// A piece that a slot names belongs to the slot, not to the participant that made it: it must outlive the PRIVATE blocks of the dead.
pub(crate) fn publish_pieces<P: Platform>(arena: &Arena<P>, slot: ProcessSlot) {
    for number in 0..PIECES {
        let handle = Handle::from_raw(arena.platform().load(slot.holds_piece(number), Acquire));
        if let Some(handle) = handle
            && allocator::check_fully(arena, handle).is_ok()
        {
            allocator::publish(arena, handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_an_entry_says_survives_packing(block in 0u64..1 << 36, generation in 0u64..1 << 24) {
            let handle = Handle::new(WordAddress::new(block * 2), generation);
            for content in [
                Content::Held,
                Content::Leaving,
                Content::PutOff,
                Content::Exported,
                Content::Expiring,
            ]
            .map(|of| of(handle)) {
                prop_assert_eq!(Content::of(content.word()), content);
            }
            prop_assert_eq!(Content::of(Content::Empty.word()), Content::Empty);
        }

        #[test]
        fn a_word_with_another_tag_is_damage(word: u64) {
            let known = [0, Handle::TAG, PUT_OFF_TAG, EXPORT_TAG, LEAVING_TAG, EXPIRING_TAG].contains(&(word & TAG_MASK));
            prop_assert_eq!(matches!(Content::of(word), Content::Damaged(_)), !known || word != 0 && word & TAG_MASK == 0);
            prop_assert_eq!(Content::of(word).word(), word);
        }
    }
}
