//! A process's side of its table: where the pieces are, which entries may be free.
//!
//! All of this is process memory that a fork copies in the middle of anything. Nothing in it is waited for, and nothing in it is
//! believed: an entry is taken by compare-exchange.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::thread::{self, ThreadId};

use super::Hold;
use super::entry::{self, Content, ENTRY_WORDS, Entry, base, piece_entries};
use crate::allocator::{self, BlockCache};
use crate::arena::Arena;
use crate::error::{Corrupt, Counted, Full, Stop};
use crate::participant::{PIECES, ProcessSlot, capacity, locate};
use crate::platform::{Platform, WordKind};
use crate::space::Space;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, ParticipantId, WordAddress};

/// Free entries that a participant knows of at most, and looks for at once.
const SPARE: usize = 32;
/// Those that the process knows of beside.
const HINTS: usize = 256;
/// The table grows if fewer than one entry in so many of those looked at was free: then no search costs more on the average.
const SCARCE: u64 = 16;
/// Looks at the table before it is called full. Whoever finds nothing after a look has lost to others who found something.
const TRIES: u32 = 1000;

/// Entries that one participant believes to be free.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    indices: Vec<u32>,
}

impl Spare {
    /// Notes one. False: there is no room.
    #[inline]
    pub(crate) fn push(&mut self, index: u32) -> bool {
        let room = self.indices.len() < SPARE;
        if room {
            self.indices.push(index);
        }
        room
    }
}

/// The private side of a process's table.
#[derive(Debug)]
pub(crate) struct Table {
    /// First words of the pieces, as far as they were looked up; 0: not yet.
    starts: [AtomicU64; PIECES as usize],
    hints: Hints,
    /// Where the next search goes on.
    place: AtomicU64,
    /// See [`Turn`].
    looked: AtomicU64,
    found: AtomicU64,
    /// Whether entries were put off since they were last emptied.
    put_off: AtomicBool,
    /// What was held before each fork that is under way: what the child has tokens of, in the child's copy of it. By who forks; a child's only
    /// thread has the name of that one. Never waited for.
    at_fork: Mutex<Vec<(ThreadId, Vec<Hold>)>>,
}

/// What a search has found since it was last at the start of the table: of a table in which many entries that stay are side by side, one search says nothing.
#[derive(Clone, Copy, Default)]
struct Turn {
    looked: u64,
    found: u64,
}

impl Turn {
    fn load(table: &Table) -> Self {
        // Relaxed, here and below: the numbers decide about costs.
        Self { looked: table.looked.load(Relaxed), found: table.found.load(Relaxed) }
    }
    fn store(self, table: &Table) {
        table.looked.store(self.looked, Relaxed);
        table.found.store(self.found, Relaxed);
    }
    /// Whether free entries are scarce.
    fn is_poor(self) -> bool {
        self.looked != 0 && self.found * SCARCE <= self.looked
    }
}

impl Default for Table {
    fn default() -> Self {
        Self {
            starts: std::array::from_fn(|_| AtomicU64::new(0)),
            hints: Hints::default(),
            place: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            found: AtomicU64::new(0),
            put_off: AtomicBool::new(false),
            at_fork: Mutex::default(),
        }
    }
}

impl Table {
    /// In the child of a fork: the pieces are others, and nothing is known to be free.
    pub(crate) fn reset(&self) {
        // Relaxed: a child has one thread.
        self.starts.iter().for_each(|start| start.store(0, Relaxed));
        self.hints.length.store(0, Relaxed);
        self.place.store(0, Relaxed);
        Turn::default().store(self);
        self.put_off.store(false, Relaxed);
    }

    /// The entry `index`, if the table has it.
    #[inline]
    pub(super) fn entry<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot, index: u32) -> Option<Entry> {
        let (piece, within) = locate(base(arena), u64::from(index));
        let known = self.starts.get(piece as usize)?;
        // Acquire: pairs with the release below. The piece was zeroed before.
        let mut start = known.load(Acquire);
        if start == 0 {
            start = entry::piece(arena, slot, piece)?.index();
            // Release: as above.
            known.store(start, Release);
        }
        Some(Entry::at(WordAddress::new(start).offset(within * ENTRY_WORDS)))
    }

    /// Before a fork: notes what is held.
    pub(super) fn note_held_at_fork<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot) {
        let Ok(mut notes) = self.at_fork.try_lock() else { return };
        let mut held = Vec::new();
        entry::for_each_entry(arena, slot, |index, entry| {
            if let Content::Held(handle) = entry.content(arena) {
                held.push(Hold { index: index as u32, handle });
            }
        });
        let me = thread::current().id();
        notes.retain(|(forker, _)| *forker != me);
        notes.push((me, held));
    }
    /// Takes out what this thread has noted. `None` where it has not, or another one is at the notes, or was at the moment of the fork.
    pub(super) fn take_held_at_fork(&self) -> Option<Vec<Hold>> {
        let mut notes = self.at_fork.try_lock().ok()?;
        let mine = notes.iter().position(|(forker, _)| *forker == thread::current().id())?;
        Some(notes.swap_remove(mine).1)
    }

    fn pieces<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot) -> u64 {
        // Relaxed: whoever goes to a piece acquires its handle.
        (0..PIECES).take_while(|piece| arena.platform().load(slot.holds_piece(*piece), Relaxed) != 0).count() as u64
    }

    /// Notes an entry that was released.
    pub(super) fn note_free(&self, incarnation: u64, index: u32) {
        if let Some(lock) = self.hints.try_lock(incarnation) {
            lock.push(index);
        }
    }
    /// Notes an entry that was put off.
    pub(super) fn note_put_off(&self) {
        // Release: whoever sees it finds the entry put off.
        self.put_off.store(true, Release);
    }
    /// Empties what was put off for children that have copied it since. Where another thread is at it, it is left to that one, or
    /// to the next time.
    #[inline]
    pub(super) fn empty_put_off<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot) {
        // Acquire: as above.
        if self.put_off.load(Acquire) && slot.children_to_come(arena) == 0 {
            self.empty_all_put_off(arena, slot);
        }
    }
    #[cold]
    fn empty_all_put_off<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot) {
        let Some(_lock) = self.hints.try_lock(arena.platform().incarnation()) else { return };
        // An exchange, and first: who has said so by now has his entry seen below (Acquire), and who comes later says so again. A store could pass a later one's.
        self.put_off.swap(false, Acquire);
        entry::for_each_entry(arena, slot, |_, entry| {
            if !reclaim(arena, slot, entry) && matches!(entry.content(arena), Content::PutOff(_)) {
                self.note_put_off();
            }
        });
    }

    /// Finds free entries for `spare`: those that are known, else by looking. Where they are scarce, gives how many pieces it has looked at.
    fn refill<P: Platform>(&self, arena: &Arena<P>, slot: ProcessSlot, spare: &mut Spare) -> Option<u64> {
        let lock = self.hints.try_lock(arena.platform().incarnation());
        while spare.indices.len() < SPARE
            && let Some(index) = lock.as_ref().and_then(Lock::pop)
        {
            spare.indices.push(index);
        }
        if !spare.indices.is_empty() {
            return None;
        }
        let pieces = self.pieces(arena, slot);
        if pieces == 0 {
            return Some(0);
        }
        let capacity = capacity(base(arena), pieces);
        let mut place = self.place.load(Relaxed);
        let (mut looked, mut scarce) = (0, false);
        let mut turn = Turn::load(self);
        // Bound: once around.
        while looked < capacity && spare.indices.len() < SPARE {
            place = (place + 1) % capacity;
            looked += 1;
            if place == 0 {
                scarce |= turn.is_poor();
                turn = Turn::default();
            }
            turn.looked += 1;
            let Some(entry) = self.entry(arena, slot, place as u32) else { continue };
            // Only one thread may empty what others could have filled again meanwhile.
            let free = entry.content(arena) == Content::Empty || (lock.is_some() && reclaim(arena, slot, entry));
            if free {
                turn.found += 1;
                spare.push(place as u32);
            }
        }
        self.place.store(place, Relaxed);
        turn.store(self);
        (scarce || spare.indices.is_empty()).then_some(pieces)
    }

    /// Adds a piece, or sees that somebody has since the caller looked at `piece` of them: several that find nothing at once want one, not one each.
    #[cold]
    fn grow<P: Platform>(
        &self,
        arena: &Arena<P>,
        slot: ProcessSlot,
        cache: &mut BlockCache,
        owner: ParticipantId,
        piece: u64,
    ) -> Result<(), Full> {
        if self.pieces(arena, slot) != piece {
            return Ok(());
        }
        let words = piece_entries(arena, piece) * ENTRY_WORDS;
        if piece == PIECES {
            return Err(Full::TooMany { what: Counted::Holds, most: capacity(base(arena), piece) });
        }
        let handle = cache.allocate(arena, owner, BlockKind::Holds, words)?;
        let start = handle.block().offset(BLOCK_HEADER_WORDS);
        let platform = arena.platform();
        platform.retype(start, words, WordKind::Atomic);
        for word in 0..words {
            // Relaxed: released with the name.
            platform.store(start.offset(word), 0, Relaxed);
        }
        // AcqRel: whoever finds the piece finds it zeroed.
        if platform.compare_exchange(slot.holds_piece(piece), 0, handle.raw(), AcqRel, Relaxed).is_ok() {
            // Killed before this: `publish_pieces` finds the name.
            allocator::publish(arena, handle);
            // The search goes on in the new piece.
            let before = capacity(base(arena), piece);
            self.place.store(if before == 0 { words / ENTRY_WORDS - 1 } else { before - 1 }, Relaxed);
            Turn::default().store(self);
        } else {
            // Another thread was faster, and there is room now.
            cache.free(arena, owner, handle);
        }
        Ok(())
    }
}

/// Empties an entry of a process that nobody in it needs: an export that was taken out, or what was put off for children that have
/// copied it. By one thread of the process at a time: such an entry stays what it is until it is emptied.
fn reclaim<P: Platform>(arena: &Arena<P>, slot: ProcessSlot, entry: Entry) -> bool {
    let over = match entry.content(arena) {
        // Acquire: the adopter holds the object.
        Content::Exported(_) => arena.platform().load(entry.ticket(), Acquire) == 0,
        // In this order: see the head of the module.
        Content::PutOff(_) => slot.children_to_come(arena) == 0,
        _ => false,
    };
    if over {
        entry.clear(arena);
    }
    over
}

/// Writes down that this process holds `handle`.
#[inline]
pub(crate) fn hold<P: Platform>(
    space: &Space<P>,
    spare: &mut Spare,
    cache: &mut BlockCache,
    owner: ParticipantId,
    handle: Handle,
) -> Result<Hold, Stop> {
    if let Some(slot) = ProcessSlot::of(space.arena(), space.process())
        && let Some(hold) = hold_spare(space, slot, spare, handle)
    {
        return Ok(hold);
    }
    hold_slowly(space, spare, cache, owner, handle)
}

#[inline]
fn hold_spare<P: Platform>(space: &Space<P>, slot: ProcessSlot, spare: &mut Spare, handle: Handle) -> Option<Hold> {
    let arena = space.arena();
    while let Some(index) = spare.indices.pop() {
        if let Some(entry) = space.held().entry(arena, slot, index)
            // AcqRel: whoever looks at the tables sees what the holder saw; and the entry's last owner is through with it.
            && arena.platform().compare_exchange(entry.word(), 0, handle.raw(), AcqRel, Relaxed).is_ok()
        {
            return Some(Hold { index, handle });
        }
    }
    None
}

#[cold]
#[inline(never)]
fn hold_slowly<P: Platform>(
    space: &Space<P>,
    spare: &mut Spare,
    cache: &mut BlockCache,
    owner: ParticipantId,
    handle: Handle,
) -> Result<Hold, Stop> {
    let (arena, table) = (space.arena(), space.held());
    let slot = ProcessSlot::of(arena, space.process()).ok_or_else(|| no_table(0))?;
    for _ in 0..TRIES {
        if let Some(seen) = table.refill(arena, slot, spare) {
            let grown = table.grow(arena, slot, cache, owner, seen);
            if spare.indices.is_empty() {
                grown?;
                table.refill(arena, slot, spare);
            }
        }
        if let Some(hold) = hold_spare(space, slot, spare, handle) {
            return Ok(hold);
        }
    }
    Err(no_table(slot.holds_piece(0).byte_offset()))
}

/// Writes the entry `index` of a process that has one thread. In the child of a fork.
pub(crate) fn hold_at<P: Platform>(
    space: &Space<P>,
    cache: &mut BlockCache,
    owner: ParticipantId,
    hold: Hold,
) -> Result<(), Stop> {
    let (arena, table) = (space.arena(), space.held());
    let slot = ProcessSlot::of(arena, space.process()).ok_or_else(|| no_table(0))?;
    // Bound: each pass adds a piece.
    for _ in 0..=PIECES {
        if let Some(entry) = table.entry(arena, slot, hold.index) {
            entry.set(arena, Content::Held(hold.handle));
            return Ok(());
        }
        table.grow(arena, slot, cache, owner, table.pieces(arena, slot))?;
    }
    Err(no_table(slot.holds_piece(0).byte_offset()))
}

#[cold]
fn no_table(byte_offset: u64) -> Stop {
    Corrupt { what: "the table of what a process holds", byte_offset, word: 0 }.into()
}

/// Entries of a process that may be free. Its lock is only ever tried for, and names the incarnation of the process that has it: a lock that
/// a fork has copied is nobody's.
#[derive(Debug)]
struct Hints {
    lock: AtomicU64,
    length: AtomicU32,
    indices: [AtomicU32; HINTS],
}

impl Default for Hints {
    fn default() -> Self {
        Self { lock: AtomicU64::new(0), length: AtomicU32::new(0), indices: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

struct Lock<'a>(&'a Hints);

impl Hints {
    fn try_lock(&self, incarnation: u64) -> Option<Lock<'_>> {
        let seen = self.lock.load(Relaxed);
        // Acquire: pairs with the release in `drop`.
        (seen != incarnation && self.lock.compare_exchange(seen, incarnation, Acquire, Relaxed).is_ok())
            .then_some(Lock(self))
    }
}

impl Lock<'_> {
    fn push(&self, index: u32) {
        // Relaxed, here and below: under the lock.
        let length = self.0.length.load(Relaxed);
        if let Some(place) = self.0.indices.get(length as usize) {
            place.store(index, Relaxed);
            self.0.length.store(length + 1, Relaxed);
        }
    }
    fn pop(&self) -> Option<u32> {
        let length = self.0.length.load(Relaxed).checked_sub(1)?;
        self.0.length.store(length, Relaxed);
        self.0.indices.get(length as usize).map(|place| place.load(Relaxed))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.0.lock.store(0, Release);
    }
}
