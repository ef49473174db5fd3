//! (signatures; the body follows)
use crate::arena::Arena;
use crate::error::{Full, Stop};
use crate::platform::Platform;
use crate::word::{BlockKind, BlockState, Handle, ParticipantId};

/// The private side of one participant's allocation: hints only, rebuilt from the arena at any time.
#[derive(Debug, Default)]
pub struct BlockCache {}

impl BlockCache {
    /// Makes a PRIVATE block of `owner` with at least `payload_words` words behind its header.
    pub fn allocate<P: Platform>(
        &mut self,
        _arena: &Arena<P>,
        _owner: ParticipantId,
        _kind: BlockKind,
        _payload_words: u64,
    ) -> Result<Handle, Full> {
        todo!()
    }
    /// PRIVATE (mine) or LIVE to FREE with the next generation. False: the handle was stale.
    pub fn free<P: Platform>(&mut self, _arena: &Arena<P>, _owner: ParticipantId, _handle: Handle) -> bool {
        todo!()
    }
}

/// PRIVATE to LIVE, by the owner after its commit or by recovery. Does nothing if it is LIVE or stale.
pub fn publish<P: Platform>(_arena: &Arena<P>, _handle: Handle) {
    todo!()
}
/// The quick check, for handles read from cells: inside the space, this generation, in use.
#[inline]
pub fn check<P: Platform>(_arena: &Arena<P>, _handle: Handle) -> Result<BlockState, Stop> {
    todo!()
}
/// The full check, for handles that come from outside: also that a block starts there.
pub fn check_fully<P: Platform>(_arena: &Arena<P>, _handle: Handle) -> Result<BlockState, Stop> {
    todo!()
}
/// Payload words that the block has room for (its class, not what was asked for).
pub fn payload_words<P: Platform>(_arena: &Arena<P>, _handle: Handle) -> Result<u64, Stop> {
    todo!()
}
/// Frees the PRIVATE blocks of a dead (or leaving) participant and orphans its superblocks. Re-runnable; any may die in it.
pub fn recover<P: Platform>(_arena: &Arena<P>, _dead: ParticipantId) {
    todo!()
}
/// Runs `visit` over all blocks that are not FREE.
pub fn for_each_block<P: Platform>(_arena: &Arena<P>, _visit: impl FnMut(Handle, BlockState)) {
    todo!()
}
/// Superblock headers against block states and owners. `owner_lives(id)`: participant `id` is in use. Gives a sentence per finding.
pub fn fsck<P: Platform>(_arena: &Arena<P>, _owner_lives: impl Fn(ParticipantId) -> bool, _report: impl FnMut(String)) {
    todo!()
}
