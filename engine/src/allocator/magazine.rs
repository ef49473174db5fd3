//! Blocks of one size class that a participant saw FREE, and where it looks for more of them.

use crate::word::WordAddress;

use super::superblock::Superblock;

/// Blocks of a magazine: enough that a refill is rare, few enough that a participant's caches stay below 16 KiB.
pub const MAGAZINE_BLOCKS: usize = 32;

/// Hints, all of it: `take` looks whether a block is FREE. But a block is in here only while its superblock is mine.
#[derive(Debug)]
pub struct Magazine {
    length: usize,
    blocks: [WordAddress; MAGAZINE_BLOCKS],
    /// The superblock that refills come from.
    pub current: Option<u64>,
    /// Where the search for another one goes on.
    pub place: u64,
}

/// A place in a magazine that nothing is in yet.
pub struct Room<'a> {
    entry: &'a mut WordAddress,
    length: &'a mut usize,
}

impl Room<'_> {
    /// Enters a block.
    #[inline(always)]
    pub fn enter(self, block: WordAddress) {
        *self.entry = block;
        *self.length += 1;
    }
}

impl Default for Magazine {
    fn default() -> Self {
        Self { length: 0, blocks: [WordAddress::new(0); MAGAZINE_BLOCKS], current: None, place: 0 }
    }
}

impl Magazine {
    /// How many more it can hold.
    pub fn space(&self) -> usize {
        MAGAZINE_BLOCKS - self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where the next block goes, if it can hold one more.
    #[inline(always)]
    pub fn room(&mut self) -> Option<Room<'_>> {
        let entry = self.blocks.get_mut(self.length)?;
        Some(Room { entry, length: &mut self.length })
    }

    /// Enters a block. False: there is no room.
    #[inline]
    pub fn push(&mut self, block: WordAddress) -> bool {
        self.room().map(|room| room.enter(block)).is_some()
    }

    /// Takes out the one that was entered last.
    #[inline]
    pub fn pop(&mut self) -> Option<WordAddress> {
        self.length = self.length.checked_sub(1)?;
        Some(self.blocks[self.length])
    }

    /// Forgets all that is in a superblock of so many words, which is mine no more.
    pub fn strike(&mut self, superblock: &Superblock, superblock_words: u64) {
        let memory = superblock.first..superblock.first.offset(superblock_words);
        let (mut kept, length) = (0, self.length);
        for index in 0..length {
            if !memory.contains(&self.blocks[index]) {
                self.blocks[kept] = self.blocks[index];
                kept += 1;
            }
        }
        self.length = kept;
        self.current = self.current.filter(|current| *current != superblock.number);
    }
}
