//! One participant's side of allocation: per size class a magazine of blocks that were seen FREE.
//!
//! ```text
//! allocate   take from the magazine, then what was freed into it; empty: refill it
//! refill     1 the current superblock: groups with hints, then blocks never used
//!            2 a few further headers, in turn: a superblock of mine with hints, or an orphan of the class to adopt
//!            3 claim a superblock and carve it
//!            4 the space is full: all headers, every group of mine; empty superblocks of any class are given back
//! free       the step to FREE, a store where only I write the word, else a compare-exchange; then a note of it: into the magazine
//!            if the superblock is mine and of more than three blocks, else a hint; with hints in all groups of a superblock that is
//!            mine or nobody's: if it is empty, it is given back
//! ```
//! A magazine holds hints: a block is allocated only if its state word says FREE, and nobody but the owner of a superblock turns FREE
//! into PRIVATE. Two things must not outlive my ownership of a superblock: entries of magazines, and what is remembered of it (`own`).
//! Giving it back strikes both.

use crate::arena::Arena;
use crate::error::Full;
use crate::platform::{Platform, WordKind};
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, ParticipantId, WordAddress};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::class::SizeClass;
use super::magazine::Magazine;
use super::own::Own;
use super::superblock::{Superblock, SuperblockState, Use, group_bit};
use super::{Place, free_generation, large, locate, supply};

/// Headers that a refill looks at before it claims a superblock. Every such claim moves the search on, so that at most
/// one superblock in so many is claimed while another of mine has free blocks.
const LOOKS: u64 = 64;
/// A block in one generation is PRIVATE, LIVE, RETIRED, then FREE: whoever frees it meets at most so many states.
const STATES_OF_A_GENERATION: u32 = 4;

/// The private side of one participant's allocation: nothing in it is missed, but it is believed about which superblocks are mine. So a
/// participant that makes and frees blocks has one at a time, and drops it before its number is recovered.
#[derive(Debug)]
pub struct BlockCache {
    magazines: Box<[Magazine; SizeClass::COUNT]>,
    own: Own,
    /// Where the search for runs of superblocks goes on.
    run_place: u64,
    /// Words that came into use through here, less those that went out of it. What is in a magazine counts as in use, so that nobody counts where
    /// blocks come and go.
    grown_words: i64,
}

impl Default for BlockCache {
    fn default() -> Self {
        // Made where it stays: 10 KiB are much for the stacks of some.
        let magazines: Box<[Magazine]> = std::iter::repeat_with(Magazine::default).take(SizeClass::COUNT).collect();
        let magazines = magazines.try_into().unwrap_or_else(|_| unreachable!("one for each class"));
        Self { magazines, own: Own::default(), run_place: 0, grown_words: 0 }
    }
}

impl BlockCache {
    /// By how much this participant has made more than it has freed, or less, in words with headers; with what it has at hand.
    pub fn grown_words(&self) -> i64 {
        self.grown_words
    }

    /// Makes a PRIVATE block of `owner` with at least `payload_words` words behind its header. Writes one shared word.
    #[inline]
    pub fn allocate<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        kind: BlockKind,
        payload_words: u64,
    ) -> Result<Handle, Full> {
        // The everyday case: a magazine that holds blocks is of a class that the geometry has. (Above a kilobyte `allocate_slowly` begins
        // with the same.)
        if let Some(class) = SizeClass::for_small_payload(payload_words)
            && let Some(block) = self.magazines[class.number()].pop(arena)
            && let Some(handle) = take(arena, owner, kind, class, block)
        {
            return Ok(handle);
        }
        self.allocate_slowly(arena, owner, kind, payload_words)
    }

    #[inline(never)]
    fn allocate_slowly<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        kind: BlockKind,
        payload_words: u64,
    ) -> Result<Handle, Full> {
        let Some(class) = SizeClass::for_payload(payload_words, arena.layout().geometry()) else {
            return self.allocate_large(arena, owner, kind, payload_words);
        };
        // A refill of an empty magazine enters blocks that are FREE and that only we can take: the second turn of the
        // outer loop is the last, but for damaged blocks, which are skipped for good.
        loop {
            while let Some(block) = self.magazines[class.number()].pop(arena) {
                if let Some(handle) = take(arena, owner, kind, class, block) {
                    return Ok(handle);
                }
            }
            self.refill(arena, owner, class)?;
        }
    }

    /// PRIVATE or RETIRED (by me) or LIVE to FREE with the next generation. False: the handle was stale.
    #[inline(always)]
    pub fn free<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, handle: Handle) -> bool {
        // The everyday case: a small block in a superblock of mine, and room for it in the magazine.
        if let Some(class) = self.own.class_of(arena.layout(), handle.block())
            && let Some(room) = self.magazines[class.number()].room()
        {
            let is_freed = free_own(arena, handle, owner) || set_free(arena, handle, owner);
            if is_freed {
                room.enter(handle.block());
            }
            return is_freed;
        }
        self.free_slowly(arena, owner, handle)
    }

    #[inline(never)]
    fn free_slowly<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, handle: Handle) -> bool {
        let Some((superblock, state, place)) = locate(arena, handle.block()) else { return false };
        if !free_own(arena, handle, owner) && !set_free(arena, handle, owner) {
            return false;
        }
        match place {
            Place::Small { class, index } => {
                // Mine: it stays mine until I give it back. Of others the superblock may change hands at any time; then
                // the hint is a wrong one.
                if state.owner == Some(owner)
                    && self.note(arena, &superblock, class)
                    && let Some(room) = self.magazines[class.number()].room()
                {
                    room.enter(handle.block());
                    return true;
                }
                self.grown_words -= class.words() as i64;
                let hints = superblock.add_hints(arena, group_bit(class.blocks(arena.layout().geometry()), index));
                if superblock.used_groups(arena, class) & !hints == 0 {
                    self.give_back_if_left(arena, owner, &superblock, state, class);
                }
            }
            Place::Large { superblocks } => {
                self.grown_words -= large_words(arena, superblocks);
                large::dismantle(arena, &superblock, state, owner);
            }
        }
        true
    }

    /// Gives a superblock back that is empty, mine or nobody's, and that I do not allocate from just now.
    #[cold]
    pub(super) fn give_back_if_left<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        superblock: &Superblock,
        state: SuperblockState,
        class: SizeClass,
    ) {
        if state.owner.is_none_or(|of| of == owner)
            && self.magazines[class.number()].current != Some(superblock.number)
            && give_back_if_empty(arena, superblock, state, class)
        {
            self.strike(arena, superblock, class);
        }
    }

    /// Remembers a superblock of mine, so that what I free there goes into the magazine; unless it has two or three blocks: 32 of those are
    /// a megabyte, which nobody else would have until I allocate again or leave.
    fn note<P: Platform>(&mut self, arena: &Arena<P>, superblock: &Superblock, class: SizeClass) -> bool {
        if !class.is_share() {
            self.own.note(arena.layout(), superblock, class);
        }
        !class.is_share()
    }

    /// Forgets a superblock that is not mine any more.
    fn strike<P: Platform>(&mut self, arena: &Arena<P>, superblock: &Superblock, class: SizeClass) {
        let struck = self.magazines[class.number()].strike(superblock, arena.layout().geometry().superblock_words);
        self.grown_words -= (struck as u64 * class.words()) as i64;
        self.own.forget(arena.layout(), superblock);
    }

    #[cold]
    fn allocate_large<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        kind: BlockKind,
        payload_words: u64,
    ) -> Result<Handle, Full> {
        let superblocks = large::superblocks_for(arena, payload_words)?;
        let first = self.claim(arena, owner, superblocks)?;
        let built = large::build(arena, owner, kind, first, superblocks).ok_or_else(|| full(arena, payload_words))?;
        self.grown_words += large_words(arena, superblocks);
        Ok(built)
    }

    /// Puts blocks into the empty magazine of `class`.
    #[cold]
    fn refill<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, class: SizeClass) -> Result<(), Full> {
        self.find_blocks(arena, owner, class)?;
        self.grown_words += (self.magazines[class.number()].length() as u64 * class.words()) as i64;
        Ok(())
    }

    fn find_blocks<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        class: SizeClass,
    ) -> Result<(), Full> {
        let magazine = &mut self.magazines[class.number()];
        if let Some(current) = magazine.current
            && magazine.restock(arena, owner, class, current, 0).is_some()
        {
            return Ok(());
        }
        if self.look_around(arena, owner, class, LOOKS, 0) {
            return Ok(());
        }
        let claimed = supply::claim(arena, owner, 1, &mut self.run_place);
        if claimed.is_err() && self.look_around(arena, owner, class, u64::MAX, u64::MAX) {
            return Ok(());
        }
        let number = claimed.or_else(|_| self.claim_at_last(arena, owner, 1))?;
        if carve(arena, owner, class, number).is_some() && self.turn_to(arena, owner, class, number, 0) {
            return Ok(());
        }
        Err(full(arena, class.payload_words()))
    }

    /// Looks at up to `looks` further headers, in turn, for one of mine with free blocks or an orphan of the class. `groups`
    /// are looked at whether or not a hint names them.
    fn look_around<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        class: SizeClass,
        looks: u64,
        groups: u64,
    ) -> bool {
        let frontier = supply::frontier(arena);
        (0..looks.min(frontier)).any(|_| {
            let magazine = &mut self.magazines[class.number()];
            let number = if magazine.place < frontier { magazine.place } else { 0 };
            magazine.place = number + 1;
            self.turn_to(arena, owner, class, number, groups)
        })
    }

    /// Refills from this superblock from now on, if there is anything for me.
    fn turn_to<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        class: SizeClass,
        number: u64,
        groups: u64,
    ) -> bool {
        let magazine = &mut self.magazines[class.number()];
        let Some(superblock) = magazine.restock(arena, owner, class, number, groups) else { return false };
        magazine.current = Some(number);
        self.note(arena, &superblock, class);
        true
    }

    fn claim<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, count: u64) -> Result<u64, Full> {
        supply::claim(arena, owner, count, &mut self.run_place).or_else(|_| self.claim_at_last(arena, owner, count))
    }

    /// The space has no untouched superblocks left: gives back what is empty, mine and nobody's, and searches everywhere.
    #[cold]
    #[inline(never)]
    fn claim_at_last<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, count: u64) -> Result<u64, Full> {
        for number in 0..supply::frontier(arena) {
            let Some(superblock) = Superblock::at(arena.layout(), number) else { continue };
            let Some(state) = superblock.state(arena) else { continue };
            match state.used_for {
                Use::Small(class)
                    if state.owner.is_none_or(|of| of == owner)
                        && give_back_if_empty(arena, &superblock, state, class) =>
                {
                    self.strike(arena, &superblock, class);
                }
                Use::LargeHead { .. } if state.owner.is_none() => large::dismantle(arena, &superblock, state, owner),
                _ => {}
            }
        }
        supply::claim_anywhere(arena, owner, count)
    }
}

fn large_words<P: Platform>(arena: &Arena<P>, superblocks: u64) -> i64 {
    (superblocks * arena.layout().geometry().superblock_words) as i64
}

/// Makes a superblock without blocks in use Unused, unless it changes hands meanwhile. Only its owner makes blocks, so
/// that one without an owner, or mine, that was all FREE stays so until its state changes.
pub fn give_back_if_empty<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    class: SizeClass,
) -> bool {
    let carved = superblock.carved(arena);
    // More than half a turn: one of the two words is damaged, and what comes next could be a generation that was given out before.
    if state.generation.wrapping_sub(carved) & Handle::GENERATION_MASK > Handle::GENERATION_MASK / 2 {
        return false;
    }
    let newest = superblock.newest_if_all_free(arena, class, carved);
    let given = newest.is_some_and(|newest| superblock.release(arena, state, carved, newest));
    if given {
        supply::note_returned(arena, superblock.number);
    }
    given
}

/// FREE to PRIVATE. `None`: it was not FREE, so the magazine knew it from before.
#[inline]
fn take<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    kind: BlockKind,
    class: SizeClass,
    block: WordAddress,
) -> Option<Handle> {
    // Acquire: pairs with the AcqRel in `set_free`. What its last user read is read before we write.
    let generation = free_generation(arena.platform().load(block, Acquire))?;
    let state = BlockState { generation, owner, kind, phase: BlockPhase::Private };
    arena.platform().retype(block.offset(BLOCK_HEADER_WORDS), class.payload_words(), WordKind::Plain);
    // Stores, not compare-exchanges: FREE in a superblock of mine is changed by me only. Relaxed: nobody reaches the
    // block before a commit publishes a handle to it with Release; of the killed all that was executed is seen.
    arena.platform().store(block.offset(1), 0, Relaxed);
    arena.platform().store(block, state.pack(), Relaxed);
    Some(Handle::new(block, generation))
}

/// The step of a free for who lives: a block PRIVATE to me, or RETIRED by me, has no other writer, so a store does. All else, and what the
/// dead left, is for [`set_free`].
#[inline(always)]
fn free_own<P: Platform>(arena: &Arena<P>, handle: Handle, owner: ParticipantId) -> bool {
    // Relaxed: what makes the block mine I have written.
    let is_own = BlockState::is_own(arena.platform().load(handle.block(), Relaxed), handle, owner);
    if is_own {
        // Release: pairs with the Acquire in `take` and in whoever looks for empty superblocks.
        arena.platform().store(handle.block(), free_word(handle.generation() + 1), Release);
    }
    is_own
}

/// The one step of a free: to (generation + 1, FREE), if the block is LIVE, or PRIVATE to `owner`, or RETIRED by him, in the
/// handle's generation. False: it is not.
#[inline(never)]
pub fn set_free<P: Platform>(arena: &Arena<P>, handle: Handle, owner: ParticipantId) -> bool {
    // Relaxed: the compare-exchange decides.
    let mut word = arena.platform().load(handle.block(), Relaxed);
    for _ in 0..STATES_OF_A_GENERATION {
        let Some(state) = BlockState::unpack(word).filter(|state| state.generation == handle.generation()) else {
            return false;
        };
        let mine = match state.phase {
            BlockPhase::Free => false,
            BlockPhase::Private | BlockPhase::Retired => state.owner == owner,
            BlockPhase::Live => true,
        };
        if !mine {
            return false;
        }
        // AcqRel: Release pairs with the Acquire in `take` and in whoever looks for empty superblocks.
        match arena.platform().compare_exchange(handle.block(), word, free_word(state.generation + 1), AcqRel, Relaxed)
        {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
    false
}

/// The state word of a FREE block.
pub fn free_word(generation: u64) -> u64 {
    let owner = ParticipantId(0);
    BlockState { generation, owner, kind: BlockKind::None, phase: BlockPhase::Free }.pack()
}

fn full<P: Platform>(arena: &Arena<P>, payload_words: u64) -> Full {
    let space_bytes = arena.layout().geometry().space_words * 8;
    Full::Space { bytes: payload_words.saturating_mul(8), space_bytes }
}

/// Makes a claimed superblock one of `class`.
fn carve<P: Platform>(arena: &Arena<P>, owner: ParticipantId, class: SizeClass, number: u64) -> Option<()> {
    let superblock = Superblock::at(arena.layout(), number)?;
    let claimed = superblock.state(arena)?;
    // Untouched, its memory is zero.
    let generation = if claimed.is_untouched() { 0 } else { claimed.generation };
    for index in 0..class.blocks(arena.layout().geometry()) {
        arena.platform().retype(superblock.block(class, index), BLOCK_HEADER_WORDS, WordKind::Atomic);
        if !claimed.is_untouched() {
            // Relaxed: the AcqRel of the change below publishes them; until then nobody looks into the superblock.
            arena.platform().store(superblock.block(class, index), free_word(generation), Relaxed);
        }
    }
    superblock.set_carved(arena, generation);
    superblock.set_fresh(arena, 0);
    superblock.forget_many_names(arena);
    superblock.take_hints(arena);
    superblock.change(arena, claimed, Use::Small(class), Some(owner)).map(|_| ())
}
