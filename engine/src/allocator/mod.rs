//! Blocks of memory that survive whoever made them: Hoard's superblocks (Berger et al., 2000) with one state word per
//! block as the only truth.
//!
//! ```text
//! class        how large a block of a superblock is                       superblock   the header and its state word
//! supply       where superblocks come from                                cache        allocate and free, per participant
//! magazine     blocks that a participant saw FREE                         own          the superblocks that are its own
//! large        blocks of whole superblocks                                recovery     what the dead left
//! audit        what must hold, looked for                                 pages        memory on its way back to the system
//! believed     headers that say what is so                                repair       headers that damage has changed
//! ```
//!
//! A block is two header words, the state and the word for marks and links (`word::mark`), then payload. A block exists
//! from the one store of PRIVATE on and ends with the one step to (generation + 1, FREE): a store by who lives and has it PRIVATE
//! or has RETIRED it, else a compare-exchange. A killed allocator leaves a FREE block, or a PRIVATE block of a dead owner, and both are found by looking: there is no log. Every list,
//! bitmap and index beside the state words is a hint whose loss costs time or memory until the next full search.
//!
//! Invariants:
//! 1. A superblock has at most one owner, and only the owner turns its FREE blocks into PRIVATE ones, by one `BlockCache` at a time.
//! 2. A superblock's state word, and a block's once it is not FREE, change by compare-exchange from a word that contains
//!    a generation. Whoever slept meanwhile fails. Except: whoever lives frees by a store what is PRIVATE to him or RETIRED by him. Nobody
//!    else changes such a word; who recovers does so only for the dead, and in another generation fails.
//! 3. A superblock becomes Unused, and so free for other sizes, only when all its blocks are FREE; generations of later
//!    blocks are above those of all former ones there.
//! 4. The second header word is 0 from the allocation on until `reclamation` or `collection` writes it.
//! 5. Words read from the arena are checked against the sizes of the space before they lead to an access. Damage costs
//!    an error or memory, never an access outside the space.
//!
//! A superblock of mine, or of nobody, that became empty goes back to the space by itself, at once or with the next sweep. One of
//! somebody who does nothing at all stays his until he does something, or leaves, or dies: only he may say that it is empty.

mod audit;
mod believed;
mod cache;
mod class;
mod large;
mod magazine;
mod own;
mod pages;
mod recovery;
mod repair;
mod superblock;
mod supply;

pub use audit::{Damage, audit, fsck};
pub(crate) use believed::{check_believed, for_each_believed_block};
pub use cache::BlockCache;
pub use pages::Sweep;
pub use recovery::{recover, recover_while};
pub use repair::Mend;
pub(crate) use repair::{free_for_good, mend_superblocks, mend_supply};
pub use superblock::{Pages, SuperblockState, Use};

use crate::arena::{Arena, SMALL_WORDS};
use crate::error::{Corrupt, Stale, Stop};
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, WordAddress};
use class::SizeClass;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use superblock::Superblock;

const PHASE_MASK: u64 = 0xff;
const GENERATION_SHIFT: u32 = 40;

/// PRIVATE to LIVE, by the owner after its commit or by recovery. Does nothing if it is LIVE or stale.
#[inline]
pub fn publish<P: Platform>(arena: &Arena<P>, handle: Handle) {
    if !contains(arena, handle.block()) {
        return;
    }
    // Relaxed: the compare-exchange decides.
    let word = arena.platform().load(handle.block(), Relaxed);
    if let Some(state) = BlockState::unpack(word)
        && state.generation == handle.generation()
        && state.phase == BlockPhase::Private
    {
        let live = BlockState { phase: BlockPhase::Live, ..state };
        // Release: pairs with the Acquire in `check`. Failure: another has published it, or freed it since.
        let _ = arena.platform().compare_exchange(handle.block(), word, live.pack(), AcqRel, Relaxed);
    }
}

/// The quick check, for handles read from cells: inside the space, this generation, in use.
#[inline]
pub fn check<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<BlockState, Stop> {
    if !contains(arena, handle.block()) {
        return Err(outside(handle));
    }
    check_state(arena, handle)
}

/// What [`check`] finds nearly always, and room besides: a block of `kind` is in use, and `payload_words` words of it lie
/// inside the space. False: look closer.
#[inline(always)]
pub fn is_in_use<P: Platform>(arena: &Arena<P>, handle: Handle, kind: BlockKind, payload_words: u64) -> bool {
    let (block, layout) = (handle.block(), arena.layout());
    block.index() >= layout.tables_words()
        && block.index() + BLOCK_HEADER_WORDS + payload_words <= layout.geometry().space_words
        // Acquire: as in `check_state`.
        && BlockState::is_in_use(arena.platform().load(block, Acquire), handle, kind)
}

/// The same for at most [`SMALL_WORDS`] payload words, in one comparison. False also for a block that starts in the last words
/// of the space.
#[inline(always)]
pub fn is_small_in_use<P: Platform>(arena: &Arena<P>, handle: Handle, kind: BlockKind, payload_words: u64) -> bool {
    debug_assert!(payload_words + BLOCK_HEADER_WORDS <= SMALL_WORDS);
    is_small_inside(arena, handle)
        // Acquire: as in `check_state`.
        && BlockState::is_in_use(arena.platform().load(handle.block(), Acquire), handle, kind)
}

/// The same for a block that is PRIVATE to nobody, and is not RETIRED.
#[inline(always)]
pub fn is_small_live<P: Platform>(arena: &Arena<P>, handle: Handle, kind: BlockKind, payload_words: u64) -> bool {
    debug_assert!(payload_words + BLOCK_HEADER_WORDS <= SMALL_WORDS);
    is_small_inside(arena, handle)
        // Acquire: as in `check_state`.
        && BlockState::is_live(arena.platform().load(handle.block(), Acquire), handle, kind)
}

#[inline(always)]
fn is_small_inside<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    let (block, layout) = (handle.block(), arena.layout());
    block.index().wrapping_sub(layout.tables_words()) < layout.small_words()
}

/// The full check, for handles that come from outside: also that a block starts there.
pub fn check_fully<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<BlockState, Stop> {
    let Some((superblock, seen, _)) = locate(arena, handle.block()) else { return Err(Stale { handle }.into()) };
    check_state(arena, handle).map_err(|stop| {
        // Nobody may hold the block, and the superblock be another one by now: then it was no state that was read.
        arena.platform().fence(Acquire);
        let is_damage = matches!(stop, Stop::Corrupt(_)) && superblock.state(arena) == Some(seen);
        if is_damage { stop } else { Stale { handle }.into() }
    })
}

/// The header of the superblock of a block, if it cannot be read. `None`: it can, or the superblock is quarantined.
#[cold]
pub(crate) fn lost_by_header<P: Platform>(arena: &Arena<P>, handle: Handle) -> Option<Corrupt> {
    let superblock = Superblock::at(arena.layout(), arena.layout().superblock_of(handle.block())?)?;
    let word = superblock.state_raw(arena);
    let is_lost =
        SuperblockState::unpack(word, arena.layout().geometry()).is_none() && !superblock::is_quarantined(word);
    let byte_offset = arena.layout().superblock_header(superblock.number).byte_offset();
    is_lost.then_some(Corrupt { what: "the header of a superblock", byte_offset, word })
}

/// Payload words that the block has room for (its class, not what was asked for).
#[inline]
pub fn payload_words<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<u64, Stop> {
    match locate(arena, handle.block()) {
        Some((_, _, Place::Small { class, .. })) => Ok(class.payload_words()),
        Some((_, _, Place::Large { superblocks })) => {
            Ok(superblocks * arena.layout().geometry().superblock_words - BLOCK_HEADER_WORDS)
        }
        None => Err(outside(handle)),
    }
}

/// Runs `visit` over all blocks that are not FREE.
pub fn for_each_block<P: Platform>(arena: &Arena<P>, mut visit: impl FnMut(Handle, BlockState)) {
    (0..superblocks_used(arena)).for_each(|number| for_each_block_in(arena, number, &mut visit));
}

/// Superblocks that were ever used: there are no blocks in those from here on.
pub fn superblocks_used<P: Platform>(arena: &Arena<P>) -> u64 {
    supply::frontier(arena)
}

/// Says that a block, which an attempt of the caller has just allocated, may have many names.
#[inline]
pub fn note_many_names<P: Platform>(arena: &Arena<P>, handle: Handle) {
    let superblock = arena.layout().superblock_of(handle.block());
    if let Some(superblock) = superblock.and_then(|number| Superblock::at(arena.layout(), number)) {
        superblock.note_many_names(arena);
    }
}

/// Whether that was said of a block that may still be in this superblock.
pub fn may_have_many_names<P: Platform>(arena: &Arena<P>, number: u64) -> bool {
    Superblock::at(arena.layout(), number).is_some_and(|superblock| superblock.has_many_names(arena))
}

/// Runs `visit` over the blocks of one superblock that are not FREE. If it becomes another one meanwhile some of that may mean nothing.
pub fn for_each_block_in<P: Platform>(arena: &Arena<P>, number: u64, visit: &mut impl FnMut(Handle, BlockState)) {
    let mut visit_block = |block: WordAddress| {
        // Acquire: pairs with `publish`; the visitor may read the payload of what is LIVE.
        let state = BlockState::unpack(arena.platform().load(block, Acquire));
        if let Some(state) = state.filter(|state| state.phase != BlockPhase::Free) {
            visit(Handle::new(block, state.generation), state);
        }
    };
    let Some(superblock) = Superblock::at(arena.layout(), number) else { return };
    match superblock.state(arena).map(|state| state.used_for) {
        Some(Use::Small(class)) => {
            (0..class.blocks(arena.layout().geometry())).for_each(|index| visit_block(superblock.block(class, index)))
        }
        Some(Use::LargeHead { .. }) => visit_block(superblock.first),
        _ => {}
    }
}

/// How much of the space is used for what, in superblocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Superblocks that the space has room for, those that hold headers not counted.
    pub superblocks: u64,
    /// Given back, and not used again yet.
    pub unused: u64,
    /// Of those: without memory behind them.
    pub punched: u64,
    /// Hold blocks of one size class.
    pub small: u64,
    /// Hold blocks of one size class and have no owner.
    pub orphaned: u64,
    /// Belong to blocks of several superblocks.
    pub large: u64,
    /// Cannot be used: a repair has put them aside, or their headers are damaged.
    pub lost: u64,
    /// Have had memory behind them: all but `punched` have it now.
    pub committed: u64,
}

/// Words of the space that have memory behind them. Reads every header.
pub fn backed_words<P: Platform>(arena: &Arena<P>) -> u64 {
    let layout = arena.layout();
    let punched = usage(arena).punched;
    // Loaded behind them: others go on meanwhile, and what they punch they have committed before.
    let backed = supply::committed(arena).saturating_sub(punched);
    layout.tables_words() + backed * layout.geometry().superblock_words
}

/// Words of the superblocks that hold blocks, or are somebody's to make some. Reads every header.
pub fn claimed_words<P: Platform>(arena: &Arena<P>) -> u64 {
    let usage = usage(arena);
    (usage.small + usage.large) * arena.layout().geometry().superblock_words
}

/// Counts superblocks. Reads every header.
pub fn usage<P: Platform>(arena: &Arena<P>) -> Usage {
    let layout = arena.layout();
    let real = |to: u64| (0..to).filter(|number| !layout.is_header_superblock(*number)).count() as u64;
    let committed = supply::committed(arena);
    let mut usage = Usage { superblocks: real(layout.superblocks()), committed: real(committed), ..Usage::default() };
    for superblock in (0..supply::frontier(arena)).filter_map(|number| Superblock::at(layout, number)) {
        match superblock.state(arena).map(|state| (state.used_for, state.owner)) {
            Some((Use::Unused(pages), _)) => {
                usage.unused += 1;
                usage.punched += u64::from(pages == Pages::Punched);
            }
            Some((Use::Small(_), owner)) => {
                usage.small += 1;
                usage.orphaned += u64::from(owner.is_none());
            }
            Some((Use::LargeHead { .. } | Use::LargeTail { .. }, _)) => usage.large += 1,
            None => usage.lost += 1,
        }
    }
    usage
}

/// Where in a superblock a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Small { class: SizeClass, index: u64 },
    Large { superblocks: u64 },
}

/// Whether the superblock in which a word lies is in use: in a look, whoever finds it so may touch the word, whatever becomes of the block.
pub(crate) fn is_memory_in_use<P: Platform>(arena: &Arena<P>, at: WordAddress) -> bool {
    let Some(number) = arena.layout().superblock_of(at) else { return true };
    let state = Superblock::at(arena.layout(), number).and_then(|superblock| superblock.state(arena));
    state.is_some_and(|state| !matches!(state.used_for, Use::Unused(_)))
}

/// Whether a word of a superblock has memory behind it, as far as counts and headers say. To touch what has none would get it, or fail.
pub(crate) fn is_backed<P: Platform>(arena: &Arena<P>, number: u64) -> bool {
    let state = || Superblock::at(arena.layout(), number).map(|superblock| superblock.state(arena));
    let has_none = |state: SuperblockState| matches!(state.used_for, Use::Unused(Pages::Punched | Pages::Unsure));
    number < supply::committed(arena) && state().is_some_and(|state| !state.is_some_and(has_none))
}

/// Whether a word is in memory that holds blocks, or is the space's own. Else its page may be gone: for who looks at what nothing need keep. (Of a header that cannot be
/// read it is taken to be.)
pub(crate) fn is_of_use<P: Platform>(arena: &Arena<P>, word: WordAddress) -> bool {
    let Some(number) = arena.layout().superblock_of(word) else { return true };
    let is_unused = |state: SuperblockState| matches!(state.used_for, Use::Unused(_));
    let state = || Superblock::at(arena.layout(), number).and_then(|superblock| superblock.state(arena));
    number < supply::committed(arena) && !state().is_some_and(is_unused)
}

/// The superblock of a block and its place there; `None` where no block starts.
#[inline]
fn locate<P: Platform>(arena: &Arena<P>, block: WordAddress) -> Option<(Superblock, SuperblockState, Place)> {
    let layout = arena.layout();
    // Between the frontier and there all headers say Unused.
    let number = layout.superblock_of(block).filter(|number| *number < supply::committed(arena))?;
    let superblock = Superblock::at(layout, number)?;
    let state = superblock.state(arena)?;
    let offset = block.index() - superblock.first.index();
    let place = match state.used_for {
        Use::Small(class) => {
            let index = class.quotient(offset);
            let starts_here = class.starts_at(offset) && index < class.blocks(layout.geometry());
            starts_here.then_some(Place::Small { class, index })?
        }
        Use::LargeHead { superblocks } => {
            (offset == 0 && superblocks <= layout.superblocks() - number).then_some(Place::Large { superblocks })?
        }
        Use::Unused(_) | Use::LargeTail { .. } => return None,
    };
    Some((superblock, state, place))
}

/// True for an address among the superblocks that has room for a block header. Block addresses are even.
#[inline]
fn contains<P: Platform>(arena: &Arena<P>, block: WordAddress) -> bool {
    let (first, end) = (arena.layout().tables_words(), arena.layout().geometry().space_words);
    block.index().wrapping_sub(first) < end - first
}

#[inline]
fn check_state<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<BlockState, Stop> {
    // Acquire: pairs with the AcqRel in `publish`. The payload of what is LIVE is seen whole.
    let word = arena.platform().load(handle.block(), Acquire);
    if word >> GENERATION_SHIFT != handle.generation() || word & PHASE_MASK == BlockPhase::Free as u64 {
        return Err(Stale { handle }.into());
    }
    BlockState::unpack(word)
        .filter(|state| state.kind != BlockKind::None)
        .ok_or_else(|| Corrupt { what: "the state of a block", byte_offset: handle.block().byte_offset(), word }.into())
}

#[cold]
fn outside(handle: Handle) -> Stop {
    Corrupt { what: "a handle to a block", byte_offset: handle.block().byte_offset(), word: handle.raw() }.into()
}

/// The generation of a FREE block; `None` for one that is in use or damaged.
#[inline]
fn free_generation(word: u64) -> Option<u64> {
    (word & ((1 << GENERATION_SHIFT) - 1) == 0).then_some(word >> GENERATION_SHIFT)
}
