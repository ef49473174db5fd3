//! Blocks of one size class that a participant saw FREE, and where it looks for more of them.

use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::{ParticipantId, WordAddress};
use std::sync::atomic::Ordering::Relaxed;

use super::class::SizeClass;
use super::free_generation;
use super::superblock::{Superblock, SuperblockState, Use, group_shift};

/// Blocks of a magazine: enough that a refill is rare, few enough that a participant's magazines take 10 KiB.
const MAGAZINE_BLOCKS: usize = 32;

/// Hints, all of it: `take` looks whether a block is FREE. But a block is in here only while its superblock is mine.
///
/// Two stacks that grow towards each other: blocks are taken from the one and freed into the other, until there is nothing to take; then the two change
/// sides (mimalloc has two lists for it: Leijen, Zorn, de Moura, 2019). A free stores nothing that an allocation loads: where it does, the next
/// allocation has to wait until it is known where the store goes, which is the end of all that a free looks up, and whoever allocates and frees by turns
/// does nothing side by side.
#[derive(Debug)]
pub struct Magazine {
    /// How many there are to take, counted from the one end.
    length: usize,
    /// Where those begin that were freed, up to the other end.
    freed: usize,
    /// Which end is the one: 0, or all bits of a place, for then places count from the last one.
    turned: usize,
    blocks: [WordAddress; MAGAZINE_BLOCKS],
    /// The superblock that refills come from.
    pub current: Option<u64>,
    /// Where the search for another one goes on.
    pub place: u64,
}

/// A place in a magazine that nothing is in yet.
pub struct Room<'a> {
    entry: &'a mut WordAddress,
    freed: &'a mut usize,
}

impl Room<'_> {
    /// Enters a block that was freed.
    #[inline(always)]
    pub fn enter(self, block: WordAddress) {
        *self.entry = block;
        *self.freed -= 1;
    }
}

impl Default for Magazine {
    fn default() -> Self {
        let blocks = [WordAddress::new(0); MAGAZINE_BLOCKS];
        Self { length: 0, freed: MAGAZINE_BLOCKS, turned: 0, blocks, current: None, place: 0 }
    }
}

impl Magazine {
    /// How many more it can hold.
    fn space(&self) -> usize {
        self.freed - self.length
    }

    /// How many it holds.
    pub fn length(&self) -> usize {
        MAGAZINE_BLOCKS - self.space()
    }

    /// What is at a place, counted from the one end.
    #[inline(always)]
    fn at(&mut self, place: usize) -> &mut WordAddress {
        // The remainder is the number itself, and spares a check.
        &mut self.blocks[(place ^ self.turned) % MAGAZINE_BLOCKS]
    }

    /// Where the next block that is freed goes, if it can hold one more.
    #[inline(always)]
    pub fn room(&mut self) -> Option<Room<'_>> {
        if self.freed <= self.length {
            return None;
        }
        let place = (self.freed - 1) ^ self.turned;
        Some(Room { entry: &mut self.blocks[place % MAGAZINE_BLOCKS], freed: &mut self.freed })
    }

    /// Enters a block to take. False: there is no room.
    fn push(&mut self, block: WordAddress) -> bool {
        let has_room = self.length < self.freed;
        if has_room {
            *self.at(self.length) = block;
            self.length += 1;
        }
        has_room
    }

    /// Where there is nothing to take: what was freed is to take from here on.
    #[inline(always)]
    fn turn(&mut self) {
        (self.length, self.freed) = (MAGAZINE_BLOCKS - self.freed, MAGAZINE_BLOCKS);
        self.turned ^= MAGAZINE_BLOCKS - 1;
    }

    /// Takes one out.
    #[inline(always)]
    pub fn pop<P: Platform>(&mut self, arena: &Arena<P>) -> Option<WordAddress> {
        if self.length == 0 {
            self.turn();
        }
        self.length = self.length.checked_sub(1)?;
        let block = *self.at(self.length);
        // The next one has rested for as long as the magazine takes to go round: it may have left the nearest cache.
        arena.platform().prefetch(*self.at(self.length.saturating_sub(1)));
        Some(block)
    }

    /// Forgets all that is in a superblock of so many words, which is mine no more. Gives how many that were.
    pub fn strike(&mut self, superblock: &Superblock, superblock_words: u64) -> usize {
        let memory = superblock.first..superblock.first.offset(superblock_words);
        let before = self.length();
        let mut kept = 0;
        for place in 0..self.length {
            let block = *self.at(place);
            if !memory.contains(&block) {
                *self.at(kept) = block;
                kept += 1;
            }
        }
        self.length = kept;
        let mut kept = MAGAZINE_BLOCKS;
        for place in (self.freed..MAGAZINE_BLOCKS).rev() {
            let block = *self.at(place);
            if !memory.contains(&block) {
                kept -= 1;
                *self.at(kept) = block;
            }
        }
        self.freed = kept;
        self.current = self.current.filter(|current| *current != superblock.number);
        before - self.length()
    }

    /// Fills the magazine from a superblock, if it is of the class and mine, or nobody's: then it is adopted first, if it may have a block for me. Looks
    /// at the groups that hints name and at `groups`, then takes blocks never used. Gives the superblock, if the magazine holds blocks now.
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
        let adopted = match state.owner {
            // One that is full stays nobody's: mine, it would be mine alone once others have emptied it, however long I stand still.
            None if !superblock.may_have_free(arena, class, groups) => return None,
            None => Some(superblock.change(arena, state, state.used_for, Some(owner))?),
            of if of == Some(owner) => None,
            _ => return None,
        };
        if adopted.is_some() {
            // What the former owner's magazine knew is forgotten: look at all of it.
            superblock.add_hints(arena, u64::MAX);
        }
        if groups != 0 {
            superblock.add_hints(arena, groups);
        }
        self.take_hinted(arena, class, &superblock);
        self.take_fresh(arena, class, &superblock);
        if self.length == 0 {
            // Its hints were wrong, and are gone now: it is left at once, and adopted again once somebody has freed a block there.
            adopted.inspect(|adopted| leave(arena, &superblock, *adopted));
            return None;
        }
        Some(superblock)
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

/// Makes an adopted superblock nobody's again.
#[cold]
#[inline(never)]
fn leave<P: Platform>(arena: &Arena<P>, superblock: &Superblock, adopted: SuperblockState) {
    superblock.change(arena, adopted, adopted.used_for, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Geometry, Layout};

    /// The two sides as they are to be taken: of each the first one last.
    fn sides(magazine: &mut Magazine) -> [Vec<u64>; 2] {
        let (length, freed) = (magazine.length, magazine.freed);
        [(0..length).collect::<Vec<_>>(), (freed..MAGAZINE_BLOCKS).rev().collect()]
            .map(|places| places.into_iter().map(|place| magazine.at(place).index()).collect())
    }

    fn superblock(number: u64) -> Superblock {
        let layout = Layout::new(Geometry::for_bytes(4 << 20).unwrap()).unwrap();
        Superblock::at(&layout, number).unwrap()
    }

    /// `taken` blocks of two superblocks by turns on the one side, `freed` on the other. Turned, or not.
    fn filled(taken: u64, freed: u64, turned: bool) -> (Magazine, [Superblock; 2]) {
        let superblocks = [5, 6].map(superblock);
        let block = |number: u64| superblocks[number as usize % 2].first.offset(4 * number);
        let mut magazine = Magazine::default();
        if turned {
            magazine.turn();
        }
        (0..taken).for_each(|number| assert!(magazine.push(block(number))));
        (taken..taken + freed).for_each(|number| magazine.room().unwrap().enter(block(number)));
        (magazine, superblocks)
    }

    #[test]
    fn what_is_struck_is_gone_from_both_sides_and_the_rest_keeps_its_order() {
        for (taken, freed, turned) in [(9, 7, false), (9, 7, true), (0, 12, true), (12, 0, false), (16, 16, true)] {
            let (mut magazine, [struck, kept]) = filled(taken, freed, turned);
            (magazine.current, magazine.place) = (Some(struck.number), 3);
            let there = sides(&mut magazine);
            // They are neighbours.
            let words = kept.first.index() - struck.first.index();
            let memory = struck.first.index()..kept.first.index();
            let expected =
                there.clone().map(|side| side.into_iter().filter(|at| !memory.contains(at)).collect::<Vec<_>>());
            let gone = there.concat().len() - expected.concat().len();
            assert_eq!(gone, there.concat().len() / 2, "every other one");
            assert_eq!(magazine.strike(&struck, words), gone);
            assert_eq!(sides(&mut magazine), expected);
            assert_eq!(magazine.length(), expected.concat().len());
            assert_eq!((magazine.current, magazine.strike(&struck, words)), (None, 0));
            magazine.current = Some(kept.number);
            magazine.strike(&struck, words);
            assert_eq!(magazine.current, Some(kept.number));
        }
    }

    #[test]
    fn both_sides_together_hold_so_many_and_no_more() {
        for (taken, freed) in [(32, 0), (0, 32), (20, 12)] {
            let (mut magazine, [one, _]) = filled(taken, freed, false);
            assert!(magazine.room().is_none() && !magazine.push(one.first));
            assert_eq!(magazine.length(), MAGAZINE_BLOCKS);
        }
    }

    #[test]
    fn what_was_freed_is_taken_once_nothing_else_is_there() {
        let (mut magazine, _) = filled(0, 3, false);
        let [_, freed] = sides(&mut magazine);
        magazine.turn();
        assert_eq!(sides(&mut magazine), [freed, vec![]]);
    }
}
