//! Arrays in the arena that grow without moving: the record ring and the read log of a participant.
//!
//! A log is a list of pieces, each as large as all before it (but see `pieces`), so that element `k` is found by arithmetic and an
//! element never moves: a lock word that names an entry stays true while the record grows. The handles of the pieces
//! stand in the participant's slot; the owner keeps their addresses at hand.
//!
//! A piece's handle is stored before its block is published (PRIVATE to LIVE): a participant killed in between left a
//! PRIVATE block that its slot names, and recovery publishes it; before that, one that nothing names, which is freed. A piece that goes is
//! retired before its name is cleared: a slot may name one that is RETIRED, and its next owner drops the name.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::pieces::{capacity, locate, piece_elements};
use super::slot::{PIECES, Slot};
use crate::allocator::{self, BlockCache};
use crate::arena::Arena;
use crate::error::{Corrupt, Counted, Full};
use crate::platform::{Platform, WordKind};
use crate::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, CellAddress, ENTRY_MASK, Handle, ParticipantId, WordAddress,
};

/// Words of a unit of the record ring: a record's header, or one entry.
pub const ENTRY_WORDS: u64 = 4;
/// Words of an entry of the read log: cell, version, value.
pub const READ_WORDS: u64 = 3;

/// The private side of a log: where its pieces are. Elements have `WORDS` words.
#[derive(Debug)]
pub struct Pieces<const WORDS: u64> {
    base: u64,
    first_handle: WordAddress,
    starts: [WordAddress; PIECES as usize],
    count: u64,
    /// Elements that fit into all of them.
    capacity: u64,
    /// Some of them that lie side by side: the first one, how many there are, where it is.
    window: (u64, u64, WordAddress),
}

const NO_WINDOW: (u64, u64, WordAddress) = (0, 0, WordAddress::new(0));

impl<const WORDS: u64> Pieces<WORDS> {
    /// The log whose handles start at `first_handle`, with the pieces that an earlier owner of the slot left.
    /// `base` elements in the first piece.
    pub fn adopt<P: Platform>(arena: &Arena<P>, first_handle: WordAddress, base: u64) -> Result<Self, Corrupt> {
        let mut log = Self {
            base,
            first_handle,
            starts: [WordAddress::new(0); PIECES as usize],
            count: 0,
            capacity: 0,
            window: NO_WINDOW,
        };
        while log.count < PIECES {
            let word_address = first_handle.offset(log.count);
            // Acquire: pairs with the release in `grow` by the slot's last owner or its recoverer.
            let word = arena.platform().load(word_address, Acquire);
            if word == 0 {
                break;
            }
            let corrupt = Corrupt { what: "a log's piece", byte_offset: word_address.byte_offset(), word };
            let start = piece_start(arena, word, log.piece_elements(log.count) * WORDS).ok_or(corrupt)?;
            match kind_in_use(arena, word) {
                Some(BlockKind::Log) if has_room(arena, word, log.piece_elements(log.count) * WORDS) => {}
                // It is written to: whatever somebody else has there stays as it is.
                Some(_) => return Err(corrupt),
                None => {
                    // Relaxed: the slot is the caller's.
                    arena.platform().store(word_address, 0, Relaxed);
                    break;
                }
            }
            log.starts[log.count as usize] = start;
            log.set_count(log.count + 1);
        }
        Ok(log)
    }

    fn piece_elements(&self, piece: u64) -> u64 {
        piece_elements(self.base, piece)
    }

    /// Elements that fit.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn set_count(&mut self, count: u64) {
        self.count = count;
        self.capacity = capacity(self.base, count);
    }

    /// Where element `element` is. It must be below the capacity.
    #[inline]
    pub fn address(&self, element: u64) -> WordAddress {
        debug_assert!(element < self.capacity());
        if element < self.base {
            return self.starts[0].offset(element * WORDS);
        }
        // What is not there is not written: the words at 0 are the header's.
        assert!(element < self.capacity, "element {element} of a log that holds {}", self.capacity);
        let (piece, within) = locate(self.base, element);
        self.starts[piece as usize].offset(within * WORDS)
    }

    /// The same where the element lies in the piece that was [looked at](Self::look_at) last.
    #[inline]
    pub fn address_at_once(&self, element: u64) -> Option<WordAddress> {
        let (first, count, start) = self.window;
        let within = element.wrapping_sub(first);
        (within < count).then(|| start.offset(within * WORDS))
    }

    /// The same, for who goes on from that element.
    pub fn look_at(&mut self, element: u64) -> WordAddress {
        debug_assert!(element < self.capacity());
        let (piece, within) = locate(self.base, element);
        self.window = (element - within, self.piece_elements(piece), self.starts[piece as usize]);
        self.address(element)
    }

    /// Forgets where it was looked at.
    pub fn look_away(&mut self) {
        self.window = NO_WINDOW;
    }

    /// The same for `count` elements side by side in the first piece, as those of nearly all attempts are.
    #[inline]
    pub fn early_run(&self, element: u64, count: u64) -> Option<WordAddress> {
        (element + count <= self.base).then(|| self.starts[0].offset(element * WORDS))
    }

    /// The same for all that lie in the first piece from `element` on: where it is, and how many come behind it. At least one does.
    #[inline]
    pub fn early_rest(&self, element: u64) -> Option<(WordAddress, u64)> {
        (element + 1 < self.base).then(|| (self.starts[0].offset(element * WORDS), self.base - element - 1))
    }

    /// The elements from `element` on that lie side by side: where they start and how many there are.
    #[inline]
    pub fn run(&self, element: u64) -> (WordAddress, u64) {
        let (piece, within) = locate(self.base, element);
        (self.starts[piece as usize].offset(within * WORDS), self.piece_elements(piece) - within)
    }

    /// Adds a piece.
    #[cold]
    pub fn grow<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        cache: &mut BlockCache,
        owner: ParticipantId,
    ) -> Result<(), Full> {
        // The first two pieces of both logs are as large as the larger one: of one size class, so that who has no more than those has one superblock, not two.
        let unit = if self.count < 2 { ENTRY_WORDS.max(WORDS) } else { WORDS };
        let words = self.piece_elements(self.count) * unit;
        if self.count == PIECES {
            let what = if WORDS == READ_WORDS { Counted::Reads } else { Counted::Changes };
            return Err(Full::TooMany { what, most: self.capacity });
        }
        let handle = cache.allocate(arena, owner, BlockKind::Log, words)?;
        let start = handle.block().offset(BLOCK_HEADER_WORDS);
        arena.platform().retype(start, words, WordKind::Atomic);
        // Release: pairs with the acquire of whoever follows a lock into this piece, and of the next owner.
        arena.platform().store(self.first_handle.offset(self.count), handle.raw(), Release);
        allocator::publish(arena, handle);
        self.starts[self.count as usize] = start;
        self.set_count(self.count + 1);
        Ok(())
    }

    /// The last piece, for whoever has no use for it. Others may be reading it: it is to be retired.
    pub fn last<P: Platform>(&self, arena: &Arena<P>) -> Option<Handle> {
        let last = self.count.checked_sub(1)?;
        // Relaxed: the owner's own.
        Handle::from_raw(arena.platform().load(self.first_handle.offset(last), Relaxed))
    }

    /// Forgets the last piece, which was retired. Nothing stands in it.
    pub fn forget_last<P: Platform>(&mut self, arena: &Arena<P>) {
        self.set_count(self.count - 1);
        self.window = NO_WINDOW;
        // Release: comes after the retiring, for whoever takes the slot over.
        arena.platform().store(self.first_handle.offset(self.count), 0, Release);
    }
}

/// What a handle names, unless that is retired, or gone: the same, and freed by now.
fn kind_in_use<P: Platform>(arena: &Arena<P>, handle: u64) -> Option<BlockKind> {
    let state = allocator::check_fully(arena, Handle::from_raw(handle)?).ok()?;
    (state.phase != BlockPhase::Retired).then_some(state.kind)
}

fn has_room<P: Platform>(arena: &Arena<P>, handle: u64, words: u64) -> bool {
    let room = Handle::from_raw(handle).map(|handle| allocator::payload_words(arena, handle));
    matches!(room, Some(Ok(room)) if room >= words)
}

/// First word of a piece of `words` words, if its handle lies inside the space.
#[inline]
pub(crate) fn piece_start<P: Platform>(arena: &Arena<P>, handle: u64, words: u64) -> Option<WordAddress> {
    let start = Handle::from_raw(handle)?.block().offset(BLOCK_HEADER_WORDS);
    let end = start.index().checked_add(words)?;
    (start.index() >= arena.layout().tables_words() && end <= arena.layout().geometry().space_words).then_some(start)
}

/// The new value of a cell that is held: no value at all.
pub const HELD: u64 = !0 << 4;

/// What an entry of a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum EntryKind {
    /// A cell gets a new value.
    Write = 0,
    /// A block was allocated; the second word is its handle.
    Allocation = 1,
    /// A cell is held and keeps its value and its version. Its new value is [`HELD`], so that whoever reads through the lock of a
    /// committed attempt, and looks there anyway, need not look at the kind.
    Hold = 2,
    /// The commit takes a block out of the space; the second word is its handle.
    Discard = 3,
}

/// One entry of a record: `kind:4 | cell:60`, old version (or handle), old value, new value. A kind that is none: void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry(WordAddress);

impl Entry {
    const KIND_SHIFT: u32 = 60;

    /// The entry in the unit at `unit`.
    #[inline]
    pub const fn at(unit: WordAddress) -> Self {
        Self(unit)
    }
    /// Kind and cell.
    #[inline]
    pub fn target<P: Platform>(self, arena: &Arena<P>) -> Option<(EntryKind, CellAddress)> {
        // Relaxed, here and below: the lock word that led here was read with acquire, or the status was.
        let word = arena.platform().load(self.0, Relaxed);
        let kind = match word >> Self::KIND_SHIFT {
            0 => EntryKind::Write,
            1 => EntryKind::Allocation,
            2 => EntryKind::Hold,
            3 => EntryKind::Discard,
            _ => return None,
        };
        let cell = word & ((1 << Self::KIND_SHIFT) - 1);
        (cell + 1 < arena.layout().geometry().space_words).then_some((kind, CellAddress::new(WordAddress::new(cell))))
    }
    /// The cell of a write, as nearly all entries are. One comparison: its kind is 0, so the word is the cell's number.
    #[inline]
    pub fn written<P: Platform>(self, arena: &Arena<P>) -> Option<CellAddress> {
        let word = arena.platform().load(self.0, Relaxed);
        (word < arena.layout().geometry().space_words - 1).then_some(CellAddress::new(WordAddress::new(word)))
    }
    /// The cell's version before, or the handle of the block.
    #[inline]
    pub fn old_version<P: Platform>(self, arena: &Arena<P>) -> u64 {
        arena.platform().load(self.0.offset(1), Relaxed)
    }
    /// The cell's value before.
    #[inline]
    pub fn old_value<P: Platform>(self, arena: &Arena<P>) -> u64 {
        arena.platform().load(self.0.offset(2), Relaxed)
    }
    /// The cell's value after the commit.
    #[inline]
    pub fn new_value<P: Platform>(self, arena: &Arena<P>) -> u64 {
        arena.platform().load(self.0.offset(3), Relaxed)
    }
    /// The cell's value as its owner sees it: the new one, or that of a cell that is held.
    #[inline]
    pub fn own_value<P: Platform>(self, arena: &Arena<P>) -> u64 {
        let value = self.new_value(arena);
        if value == HELD { self.old_value(arena) } else { value }
    }
    /// Changes the value to come. Owner only.
    #[inline]
    pub fn set_new_value<P: Platform>(self, arena: &Arena<P>, value: u64) {
        // Relaxed: others read it only after the compare-exchange to COMMITTED, which releases it.
        arena.platform().store(self.0.offset(3), value, Relaxed);
    }
    /// Makes a write of a hold, or the other way round. Owner only.
    #[inline]
    pub fn set_kind<P: Platform>(self, arena: &Arena<P>, kind: EntryKind, cell: CellAddress) {
        // Relaxed: as the value. Whoever looks for the entry before sees the same cell.
        arena.platform().store(self.0, (kind as u64) << Self::KIND_SHIFT | cell.index(), Relaxed);
    }
    /// Takes the entry of a block that goes out of the record: it is about nothing from here on. Owner only, while nobody else
    /// can reach the block.
    pub fn void<P: Platform>(self, arena: &Arena<P>) {
        // Release: comes before the block is freed, for whoever finishes a commit of this record.
        arena.platform().store(self.0, u64::MAX, Release);
    }
    /// Fills the entry. Owner only, before the lock that names it is taken.
    #[inline]
    pub fn fill<P: Platform>(self, arena: &Arena<P>, kind: EntryKind, cell: CellAddress, words: [u64; 3]) {
        let platform = arena.platform();
        // Relaxed: released by the compare-exchange that puts the lock into the cell.
        platform.store(self.0, (kind as u64) << Self::KIND_SHIFT | cell.index(), Relaxed);
        platform.store(self.0.offset(1), words[0], Relaxed);
        platform.store(self.0.offset(2), words[1], Relaxed);
        platform.store(self.0.offset(3), words[2], Relaxed);
    }
}

/// Finds the entry for `cell` that somebody's lock word names by its number modulo 4,096. `None` where it cannot be found:
/// the lock is not there any more (look at the cell again), or the space is damaged.
///
/// Bounded by `entries reserved / 4096 + 1` looks.
pub fn foreign_entry<P: Platform>(arena: &Arena<P>, slot: Slot, entry: u64, cell: CellAddress) -> Option<Entry> {
    let platform = arena.platform();
    // Relaxed: the owner wrote these before the lock that the caller read with acquire.
    let start = platform.load(slot.record_start(), Relaxed);
    let reserved = platform.load(slot.entries_reserved(), Relaxed);
    let mut number = entry;
    while number < reserved {
        let candidate = unit_of(arena, slot, start.checked_add(1)?.checked_add(number)?)?;
        if candidate.target(arena).is_some_and(|(_, found)| found == cell) {
            return Some(candidate);
        }
        number += ENTRY_MASK + 1;
    }
    None
}

/// The unit `unit` of somebody's record ring.
#[inline]
fn unit_of<P: Platform>(arena: &Arena<P>, slot: Slot, unit: u64) -> Option<Entry> {
    let base = arena.layout().geometry().log_base;
    let (piece, within) = locate(base, unit);
    if piece >= PIECES {
        return None;
    }
    // Acquire: pairs with the release in `grow`.
    let handle = arena.platform().load(slot.record_piece(piece), Acquire);
    let start = piece_start(arena, handle, (within + 1) * ENTRY_WORDS)?;
    Some(Entry::at(start.offset(within * ENTRY_WORDS)))
}

/// The values of somebody's read log from entry `first` on, at most `values.len()`; gives how many there are. Whether they are of the attempt
/// that the caller means, he finds out afterwards.
pub(crate) fn foreign_reads<P: Platform>(arena: &Arena<P>, slot: Slot, first: u64, values: &mut [(u64, u64)]) -> usize {
    let (platform, base) = (arena.platform(), arena.layout().geometry().log_base);
    for (number, value) in values.iter_mut().enumerate() {
        let (piece, within) = locate(base, first + number as u64);
        // Acquire: pairs with the release in `grow`.
        let handle = if piece < PIECES { platform.load(slot.read_log_piece(piece), Acquire) } else { 0 };
        let Some(start) = piece_start(arena, handle, (within + 1) * READ_WORDS) else { return number };
        let entry = start.offset(within * READ_WORDS);
        // Relaxed: the length was acquired.
        *value = (platform.load(entry, Relaxed), platform.load(entry.offset(2), Relaxed));
    }
    values.len()
}

/// That all of a record can be read: each piece that it lies in is one of a log, and large enough.
///
/// Cost: some loads for each piece.
pub(crate) fn check_record<P: Platform>(
    arena: &Arena<P>,
    slot: Slot,
    start: u64,
    reserved: u64,
) -> Result<(), Corrupt> {
    let length = slot.entries_reserved();
    let too_long = Corrupt { what: "the length of a record", byte_offset: length.byte_offset(), word: reserved };
    if reserved == 0 {
        return Ok(());
    }
    let Some(last) = start.checked_add(reserved) else { return Err(too_long) };
    let base = arena.layout().geometry().log_base;
    for piece in locate(base, start).0..=locate(base, last).0 {
        if piece >= PIECES {
            return Err(too_long);
        }
        let at = slot.record_piece(piece);
        // Acquire: pairs with the release in `grow`.
        let word = arena.platform().load(at, Acquire);
        // Of whatever phase: of who was killed in `grow` it is PRIVATE still.
        let state = Handle::from_raw(word).map(|handle| allocator::check_fully(arena, handle));
        let is_log = matches!(state, Some(Ok(state)) if state.kind == BlockKind::Log);
        if !is_log || !has_room(arena, word, piece_elements(base, piece) * ENTRY_WORDS) {
            return Err(Corrupt { what: "a log's piece", byte_offset: at.byte_offset(), word });
        }
    }
    Ok(())
}

/// All entries of a record that begins at unit `start`, for recovery. Stops at the first that cannot be.
pub(crate) fn entries<'a, P: Platform>(
    arena: &'a Arena<P>,
    slot: Slot,
    start: u64,
    reserved: u64,
) -> impl Iterator<Item = (u64, Entry)> + 'a {
    (0..reserved).map_while(move |number| Some((number, unit_of(arena, slot, start.checked_add(1 + number)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lies_in_the_first_piece_is_found_at_once(base_bits in 0u32..8, element in 0u64..300, count in 1u64..300) {
            let (base, first_handle) = (1 << base_bits, WordAddress::new(1));
            let mut log = Pieces::<READ_WORDS> {
                base, first_handle, starts: [WordAddress::new(0); PIECES as usize], count: 0, capacity: 0, window: NO_WINDOW,
            };
            // Far from each other: nothing goes from one to the next.
            log.starts.iter_mut().zip(1..).for_each(|(start, piece)| *start = WordAddress::new(piece << 20));
            log.set_count(PIECES);
            let last = element + count - 1;
            let expected = (last < base).then(|| log.address(element));
            prop_assert_eq!(log.early_run(element, count), expected);
            prop_assert!(last < log.capacity());
            prop_assert_eq!(log.run(element).0, log.address(element));
            let rest = (element + 1 < base).then(|| (log.address(element), base - element - 1));
            prop_assert_eq!(log.early_rest(element), rest);
            prop_assert_eq!(log.address_at_once(element), None);
            prop_assert_eq!(log.look_at(element), log.address(element));
            let is_near = locate(base, last).0 == locate(base, element).0;
            prop_assert_eq!(log.address_at_once(last), is_near.then(|| log.address(last)));
        }
    }
}
