//! The memory of a space: its header, its tables, its files; creating, attaching, refusing.

mod error;
mod geometry;
pub mod header;

pub use error::ArenaError;
pub use geometry::{
    Geometry, HEADER_WORDS, HOT_STRIDE, HotWord, Layout, MAXIMUM_BYTES, MINIMUM_BYTES, PARTICIPANT_WORDS,
    PROCESS_SLOT_WORDS, SMALL_WORDS, SUPERBLOCK_HEADER_WORDS,
};

use crate::contention::PolicyId;
use crate::platform::Platform;
use crate::word::{CellAddress, WordAddress};

/// The memory of one space in this process: a platform and the places in it. No protocol, only addresses. Clones are of the
/// same memory.
#[derive(Clone, Debug)]
pub struct Arena<P> {
    platform: P,
    layout: Layout,
    hash_key: (u64, u64),
    policy: PolicyId,
}

/// Word of the header page where the number of the contention policy stands.
pub const POLICY_WORD: WordAddress = WordAddress::new(18);
/// Word of the header page where the key of the space's hash function stands (two words).
pub const HASH_KEY_WORD: WordAddress = WordAddress::new(32);

impl<P: Platform> Arena<P> {
    /// Wraps memory whose header says `layout`.
    pub fn new(platform: P, layout: Layout) -> Self {
        let hash_key = (platform.load_plain(HASH_KEY_WORD), platform.load_plain(HASH_KEY_WORD.offset(1)));
        // A number that no build knows was refused by whoever checked the header; safety does not hang on it.
        let policy = PolicyId::from_word(platform.load_plain(POLICY_WORD)).unwrap_or_default();
        Self { platform, layout, hash_key, policy }
    }
    /// The memory, the clock, the kernel.
    #[inline]
    pub fn platform(&self) -> &P {
        &self.platform
    }
    /// The places.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    /// Key of the hash function that all processes of the space share.
    #[inline]
    pub fn hash_key(&self) -> (u64, u64) {
        self.hash_key
    }
    /// Who yields in conflicts, the same for all members.
    #[inline]
    pub fn policy(&self) -> PolicyId {
        self.policy
    }
    /// The cell from which everything that lives is reached.
    #[inline]
    pub fn root(&self) -> CellAddress {
        CellAddress::new(self.layout.hot(HotWord::Root))
    }

    /// A cell that nobody ever writes: free, of version 0, absent. What an attempt *names* stands in its read log under this cell.
    #[inline]
    pub fn constant(&self) -> CellAddress {
        self.root().offset(1)
    }
}

/// Writes what a new space starts with into zeroed memory: clock, tick, policy, hash key. The header is another matter.
pub fn format<P: Platform>(platform: &P, layout: &Layout, policy: PolicyId) {
    use std::sync::atomic::Ordering::Relaxed;
    // Relaxed: nobody can attach before the header is complete, and that is published by a rename or a descriptor.
    platform.store(layout.hot(HotWord::VersionClock), 1, Relaxed);
    platform.store(layout.hot(HotWord::Tick), 1, Relaxed);
    platform.store(layout.hot(HotWord::Batch), 1, Relaxed);
    platform.store_plain(POLICY_WORD, policy as u64);
    platform.store_plain(HASH_KEY_WORD, platform.entropy());
    platform.store_plain(HASH_KEY_WORD.offset(1), platform.entropy());
}
