//! Blocks that take whole superblocks: runs of them within one region.
//!
//! Made in steps, each of which a kill may be the last: claim the run; turn the tails into LargeTail; write the block's
//! state PRIVATE into the first word; turn the head into (LargeHead, nobody), at which moment the block exists. Before
//! that the superblocks name the dead as owner, and recovery gives them back.
//!
//! Freed in steps: the block's state becomes FREE; somebody takes the head: (LargeHead, nobody) -> (LargeHead, taker);
//! the taker gives back the tails, and last the head. A head without an owner whose block is FREE was left by a killed
//! freer: recovery, and whoever searches a full space, takes it. A head with a dead owner is recovery's.

use crate::arena::Arena;
use crate::error::Full;
use crate::platform::{Platform, WordKind};
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, ParticipantId};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::superblock::{Pages, Superblock, SuperblockState, Use};
use super::{free_generation, supply};

/// Superblocks for a block with `payload_words`.
pub fn superblocks_for<P: Platform>(arena: &Arena<P>, payload_words: u64) -> Result<u64, Full> {
    let geometry = arena.layout().geometry();
    let bytes = payload_words.saturating_mul(8);
    // First: a larger space may have room for it.
    let Some(words) = payload_words.checked_add(BLOCK_HEADER_WORDS).filter(|words| *words <= geometry.space_words)
    else {
        return Err(Full::Space { bytes, space_bytes: geometry.space_words * 8 });
    };
    let (superblocks, most) = (words.div_ceil(geometry.superblock_words), supply::longest_run(arena.layout()));
    if superblocks > most {
        return Err(Full::TooLarge { bytes, most_bytes: (most * geometry.superblock_words - BLOCK_HEADER_WORDS) * 8 });
    }
    Ok(superblocks)
}

/// Makes a PRIVATE block of a run that `owner` has claimed. `None`: a header is damaged, and the run is left alone.
pub fn build<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    kind: BlockKind,
    first: u64,
    superblocks: u64,
) -> Option<Handle> {
    for distance in 1..superblocks {
        let tail = Superblock::at(arena.layout(), first + distance)?;
        tail.change(arena, tail.state(arena)?, Use::LargeTail { distance }, Some(owner))?;
    }
    let head = Superblock::at(arena.layout(), first)?;
    let claimed = head.state(arena)?;
    // The floor: no handle of a former block at this place has this generation.
    let generation = claimed.generation;
    arena.platform().retype(head.first, BLOCK_HEADER_WORDS, WordKind::Atomic);
    let payload = superblocks * arena.layout().geometry().superblock_words - BLOCK_HEADER_WORDS;
    arena.platform().retype(head.first.offset(BLOCK_HEADER_WORDS), payload, WordKind::Plain);
    let state = BlockState { generation, owner, kind, phase: BlockPhase::Private };
    // Relaxed: the AcqRel of the change below publishes it; before that the superblock is ours alone.
    arena.platform().store(head.first.offset(1), 0, Relaxed);
    arena.platform().store(head.first, state.pack(), Relaxed);
    head.change(arena, claimed, Use::LargeHead { superblocks }, None)?;
    Some(Handle::new(head.first, generation))
}

/// Takes a run whose block is FREE and gives its superblocks back. Does nothing if the block is in use or somebody else
/// has taken the run. `taker` is who a kill in the middle would leave as owner.
pub fn dismantle<P: Platform>(arena: &Arena<P>, head: &Superblock, state: SuperblockState, taker: ParticipantId) {
    let Use::LargeHead { superblocks } = state.used_for else { return };
    // Acquire: pairs with the Release of the free; the last user is done.
    let Some(generation) = free_generation(arena.platform().load(head.first, Acquire)) else { return };
    let taken = match state.owner {
        None => head.change(arena, state, state.used_for, Some(taker)),
        Some(owner) => (owner == taker).then_some(state),
    };
    let Some(taken) = taken else { return };
    for distance in 1..superblocks {
        let Some(tail) = Superblock::at(arena.layout(), head.number + distance) else { return };
        let tail_state = tail.state(arena);
        // Several may recover the same dead taker. The tail was read before the head: if the head still is what it was,
        // the tail was part of this run, for the head goes last. A change since then fails by the generation.
        if head.state(arena) != Some(taken) {
            return;
        }
        if let Some(tail_state) = tail_state.filter(|tail| tail.used_for == Use::LargeTail { distance })
            && tail.change(arena, tail_state, Use::Unused(Pages::Backed), None).is_some()
        {
            supply::note_returned(arena, tail.number);
        }
    }
    if head.release(arena, taken, begun(generation), generation) {
        supply::note_returned(arena, head.number);
    }
}

/// From where on generations of a run are told apart whose block is FREE in `generation`. It was used once, so that of its head is near; half a turn tells which is the later one
/// also where damage has changed the head's.
pub fn begun(generation: u64) -> u64 {
    generation.wrapping_sub(Handle::GENERATION_MASK / 2) & Handle::GENERATION_MASK
}

/// True if the tail belongs to a run whose head is complete.
pub fn has_head<P: Platform>(arena: &Arena<P>, tail: u64, distance: u64) -> bool {
    head_of(arena, tail, distance).is_some_and(|head| is_head_of(head, distance))
}

/// True if what stands where the tail's head should is none of it. Not of one that cannot be read: who builds a run, or takes one apart, leaves a head that can.
pub fn is_headless<P: Platform>(arena: &Arena<P>, tail: u64, distance: u64) -> bool {
    head_of(arena, tail, distance).is_some_and(|head| !is_head_of(head, distance))
}

fn head_of<P: Platform>(arena: &Arena<P>, tail: u64, distance: u64) -> Option<SuperblockState> {
    Superblock::at(arena.layout(), tail.checked_sub(distance)?)?.state(arena)
}

fn is_head_of(head: SuperblockState, distance: u64) -> bool {
    matches!(head.used_for, Use::LargeHead { superblocks } if superblocks > distance)
}
