//! The engine's allocator, as transactions use it: a participant's own cache on a space in shared memory.
//!
//! Fair use: blocks are made and freed by the allocator's two calls, with no transaction around them. `published` ones are made
//! LIVE in between, as a commit does: one compare-exchange more, and what others may free.

use std::sync::Arc;

use pso_engine::allocator::{self, BlockCache};
use pso_engine::arena::Arena;
use pso_engine::platform::Memory;
use pso_engine::platform::native::{Choice, Native, Place};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, ParticipantId};
use pso_harness::crew::space_in;
use pso_harness::failure::Failure;
use pso_harness::place::{self, Joined};
use tempfile::TempDir;

use super::Heap;
use crate::Bench;
use crate::work::Work;

/// Room for the largest workload and what it tears apart. Memory is taken only as it is used.
const SPACE_BYTES: u64 = 512 << 20;

/// A space in a folder of its own.
pub struct Room {
    joined: Joined,
    // Last: removed when everything above has gone.
    folder: TempDir,
}

impl Room {
    /// A new one.
    ///
    /// # Errors
    /// The system gives none.
    pub fn new() -> Result<Self, Failure> {
        let folder = place::folder_in_memory(&format!("pso-memory-{}-", std::process::id()))?;
        let joined = place::create(&Place::Directory(space_in(folder.path())), Choice::from(SPACE_BYTES))?;
        Ok(Self { joined, folder })
    }
    /// Where it is.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
    /// Somebody who works there.
    ///
    /// # Errors
    /// No place for him.
    pub fn participant(&self) -> Result<Participant<Native>, Failure> {
        participant(&self.joined.space)
    }
}

/// Somebody who works in `space`.
///
/// # Errors
/// No place for him.
pub fn participant(space: &Arc<Space<Native>>) -> Result<Participant<Native>, Failure> {
    space.participant().map_err(Failure::space("joining"))
}

/// A participant's hand.
pub struct Pso {
    arena: Arena<Native>,
    owner: ParticipantId,
    cache: BlockCache,
    published: bool,
}

impl Pso {
    /// That of `tx`, which runs no transaction meanwhile.
    pub fn new(tx: &Participant<Native>, published: bool) -> Self {
        Self { arena: tx.arena().clone(), owner: tx.id(), cache: BlockCache::default(), published }
    }
    /// Blocks that are in use, the participant's own logs not counted.
    pub fn blocks(&self) -> u64 {
        let mut count = 0;
        allocator::for_each_block(&self.arena, |_, state| count += u64::from(state.kind == BlockKind::Bytes));
        count
    }
}

impl Heap for Pso {
    #[inline(always)]
    fn allocate(&mut self, bytes: u64, stamp: u64) -> Option<u64> {
        let block = self.cache.allocate(&self.arena, self.owner, BlockKind::Bytes, bytes.div_ceil(8)).ok()?;
        self.arena.platform().store_plain(block.block().offset(BLOCK_HEADER_WORDS), stamp);
        if self.published {
            allocator::publish(&self.arena, block);
        }
        Some(block.raw())
    }
    #[inline(always)]
    fn free(&mut self, block: u64) -> bool {
        Handle::from_raw(block).is_some_and(|block| self.cache.free(&self.arena, self.owner, block))
    }
    fn stamp(&self, block: u64) -> u64 {
        let word = |block: Handle| self.arena.platform().load_plain(block.block().offset(BLOCK_HEADER_WORDS));
        Handle::from_raw(block).map_or(u64::MAX, word)
    }
    fn hand_over(&mut self, block: u64) {
        if let Some(block) = Handle::from_raw(block).filter(|_| !self.published) {
            allocator::publish(&self.arena, block);
        }
    }
}

/// `work` by one thread, in a space of its own.
///
/// # Errors
/// Those of the work; blocks that are left.
pub fn alone(bench: &Bench, work: &Work, published: bool) -> Result<Option<f64>, Failure> {
    let room = Room::new()?;
    let tx = room.participant()?;
    let mut heap = Pso::new(&tx, published);
    let tally = work.run(&mut heap, bench.seconds, bench.seed)?;
    let left = heap.blocks();
    tx.leave();
    if left != 0 || tally.live != work.live {
        return Err(Failure::Wrong(format!("{} blocks lived at the end, {left} are left", tally.live)));
    }
    Ok(Some(tally.ns_each()))
}
