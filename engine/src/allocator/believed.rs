//! What a header says, and whether it is to be believed. For `fsck` and its repair: all others take a header at its word.
//!
//! One wrong header can make a run of superblocks that hold many blocks: then its first block has the room of them all, and what lies behind
//! that block is taken for its words. A run is believed where its tails say the same, or all but one of them; where there is but one tail and
//! it does not, where the block was made with the head.

use std::sync::atomic::Ordering::Acquire;

use super::superblock::{Superblock, SuperblockState, Use};
use super::{check_fully, outside, payload_words, supply};
use crate::arena::Arena;
use crate::error::Stop;
use crate::platform::Platform;
use crate::word::{BlockState, Handle};

/// The distances of the first two parts of a run that do not say that they are parts of it.
pub(super) fn broken_parts<P: Platform>(arena: &Arena<P>, head: &Superblock, superblocks: u64) -> [Option<u64>; 2] {
    let is_broken = |distance: &u64| {
        let tail = Superblock::at(arena.layout(), head.number + distance).and_then(|tail| tail.state(arena));
        tail.is_none_or(|tail| tail.used_for != Use::LargeTail { distance: *distance })
    };
    let mut broken = (1..superblocks).filter(is_broken);
    [broken.next(), broken.next()]
}

/// Whether what a header says of a run is to be believed.
pub(super) fn is_run<P: Platform>(arena: &Arena<P>, head: &Superblock, state: SuperblockState) -> bool {
    let Use::LargeHead { superblocks } = state.used_for else { return false };
    match broken_parts(arena, head, superblocks) {
        [None, _] => true,
        [Some(_), None] if superblocks > 2 => true,
        [Some(_), None] => is_made_with(arena, head, state),
        [_, Some(_)] => false,
    }
}

/// Whether the block of a run has the generation with which it was made: the one before the head's.
fn is_made_with<P: Platform>(arena: &Arena<P>, head: &Superblock, state: SuperblockState) -> bool {
    let block = BlockState::unpack(arena.platform().load(head.first, Acquire));
    block.is_some_and(|block| (block.generation + 1) & Handle::GENERATION_MASK == state.generation)
}

/// Whether the header of this superblock is to be believed, as far as runs go.
fn is_believed<P: Platform>(arena: &Arena<P>, number: u64) -> bool {
    let Some(superblock) = Superblock::at(arena.layout(), number) else { return false };
    let Some(state) = superblock.state(arena) else { return false };
    !matches!(state.used_for, Use::LargeHead { .. }) || is_run(arena, &superblock, state)
}

/// As [`check_fully`], and with a header that is to be believed. Gives the payload words that there is room for, too.
pub(crate) fn check_believed<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<(BlockState, u64), Stop> {
    let state = check_fully(arena, handle)?;
    let number = arena.layout().superblock_of(handle.block());
    if !number.is_some_and(|number| is_believed(arena, number)) {
        return Err(outside(handle));
    }
    payload_words(arena, handle).map(|room| (state, room))
}

/// As [`for_each_block`](super::for_each_block), of headers that are to be believed.
pub(crate) fn for_each_believed_block<P: Platform>(arena: &Arena<P>, mut visit: impl FnMut(Handle, BlockState)) {
    for number in (0..supply::frontier(arena)).filter(|number| is_believed(arena, *number)) {
        super::for_each_block_in(arena, number, &mut visit);
    }
}
