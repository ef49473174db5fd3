//! Who allocates, each in a file that opens with what it is and how it is used fairly.
//!
//! A block is a word that names it: what a cell of the engine would hold, or an address.

pub mod boost;
pub mod mimalloc;
pub mod pso;

/// The hand of one thread.
pub trait Heap {
    /// A block with room for `bytes`, whose first word is `stamp`. `None`: there is none.
    fn allocate(&mut self, bytes: u64, stamp: u64) -> Option<u64>;
    /// Frees it, whoever made it. False: it cannot be.
    fn free(&mut self, block: u64) -> bool;
    /// Its first word.
    fn stamp(&self, block: u64) -> u64;
    /// What makes it everybody's, so that another may free it.
    fn hand_over(&mut self, _block: u64) {}
}
