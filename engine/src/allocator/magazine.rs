//! Blocks of one size class that a participant saw FREE, and where it looks for more of them.

use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::{ParticipantId, WordAddress};
use std::sync::atomic::Ordering::Relaxed;

use super::class::SizeClass;
use super::free_generation;
use super::superblock::{Superblock, Use, group_shift};

/// Blocks of a magazine: enough that a refill is rare, few enough that a participant's magazines take 10 KiB.
const MAGAZINE_BLOCKS: usize = 32;

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

    /// How many it holds.
    pub fn length(&self) -> usize {
        self.length
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

    /// Forgets all that is in a superblock of so many words, which is mine no more. Gives how many that were.
    pub fn strike(&mut self, superblock: &Superblock, superblock_words: u64) -> usize {
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
        length - kept
    }

    /// Fills the magazine from a superblock, if it is of the class and mine, or nobody's: then it is adopted first. Looks at
    /// the groups that hints name and at `groups`, then takes blocks never used. Gives the superblock, if the magazine holds blocks now.
    pub fn restock<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        class: SizeClass,
        number: u64,
        groups: u64,
    ) -> Option<Superblock> {
        let superblock = Superblock::at(arena.layout(), number)?;
        let state = superblock.state(arena).filter(|state| state.used_for == Use::Small(class))?;
        if state.owner.is_none() {
            superblock.change(arena, state, state.used_for, Some(owner))?;
            // What the former owner's magazine knew is forgotten: look at all of it.
            superblock.add_hints(arena, u64::MAX);
        } else if state.owner != Some(owner) {
            return None;
        }
        if groups != 0 {
            superblock.add_hints(arena, groups);
        }
        self.take_hinted(arena, class, &superblock);
        self.take_fresh(arena, class, &superblock);
        (self.length > 0).then_some(superblock)
    }

    /// Enters the FREE blocks of hinted groups, as many as there is room for; hints that are left are put back.
    fn take_hinted<P: Platform>(&mut self, arena: &Arena<P>, class: SizeClass, superblock: &Superblock) {
        if superblock.hints(arena) == 0 {
            return;
        }
        let blocks = class.blocks(arena.layout().geometry());
        let used = superblock.fresh(arena, blocks);
        let shift = group_shift(blocks);
        let mut groups = superblock.take_hints(arena);
        while groups != 0 {
            let group = u64::from(groups.trailing_zeros());
            for index in group << shift..((group + 1) << shift).min(used) {
                let block = superblock.block(class, index);
                // Relaxed: `take` looks again.
                let is_free = free_generation(arena.platform().load(block, Relaxed)).is_some();
                if is_free && !self.push(block) {
                    superblock.add_hints(arena, groups);
                    return;
                }
            }
            groups &= groups - 1;
        }
    }

    /// Enters blocks that were never used since the superblock was carved: FREE, all of them.
    fn take_fresh<P: Platform>(&mut self, arena: &Arena<P>, class: SizeClass, superblock: &Superblock) {
        let blocks = class.blocks(arena.layout().geometry());
        let fresh = superblock.fresh(arena, blocks);
        let count = (blocks - fresh).min(self.space() as u64);
        if count > 0 {
            superblock.set_fresh(arena, fresh + count);
            // The last one first: they are taken from the end, so that neighbours are allocated one after the other. Each class begins with
            // another one: first blocks lie at multiples of 64 KiB, and would share a few sets of a cache.
            let first = class.number() as u64 * 5;
            (0..count).rev().for_each(|index| {
                self.push(superblock.block(class, fresh + (first + index) % count));
            });
        }
    }
}
