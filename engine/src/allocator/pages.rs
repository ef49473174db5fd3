//! Memory that nothing needs, on its way back to the system: a look at all superblocks, and the punching of empty ones.
//!
//! ```text
//! sweep      what is empty and mine, or nobody's, becomes Unused; what is Unused and backed is written down with its state
//! (pause)    until nobody looks who has looked since before: see `transaction::pages`
//! punch      claim, Unsure; the system call; Punched, nobody's. If the state still is what was written down
//! ```
//! **Why nobody touches a punched page.** Only who holds a handle touches a block, and who checks one: reads the superblock's
//! state, then the block's. Blocks that somebody holds are not FREE. Who checks finds Unused, and goes no further, if he begins after the
//! superblock was written down; those who had begun before are waited for. It is no matter of what they read (zero is FREE in generation
//! 0, which is no block): a page that is touched comes back, and on a full system it cannot.
//!
//! **Killed anywhere**: the superblock is Unsure and the dead one's, and recovery gives it back as such. The next claim gets its pages, the next punch
//! gives them back, whether or not they are there. Nobody else punches for the dead: only the owner may, for by the time that another gets
//! to it the superblock may be in use again.

use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::ParticipantId;

use super::cache::BlockCache;
use super::superblock::{Pages, Superblock, SuperblockState, Use};
use super::{large, supply};

/// Empty superblocks that are written down at most, before they are punched and the sweep goes on: 64 MiB.
const MOST_EMPTY: usize = 1024;
/// Neighbours that are punched by one system call: 1 MiB. Nobody else can have them until they are given back, however long whoever punches stands still.
const TOGETHER: u64 = 16;
/// Empty superblocks that stay backed for what comes next: 1 MiB (of a small space less), or an eighth of what is in use.
const KEPT: u64 = 16;
const KEPT_OF_ALL: u64 = 64;
const KEPT_OF_USED: u64 = 8;

/// A superblock that was Unused and backed, and nobody's.
#[derive(Clone, Copy, Debug)]
struct Empty {
    number: u64,
    /// As long as it is this, it was not used since.
    state: SuperblockState,
}

/// One look at all superblocks, in pieces, and what it has found.
#[derive(Debug, Default)]
pub struct Sweep {
    place: u64,
    used: u64,
    kept: u64,
    empty: Vec<Empty>,
}

impl Sweep {
    /// Looks at up to `headers` further superblocks. True: at all of them by now, or there is enough to punch. What is to stay backed is struck out
    /// then.
    ///
    /// Cost: two or three loads for each; one for each block of those that are empty.
    pub fn go_on<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        cache: &mut BlockCache,
        headers: u64,
    ) -> bool {
        let frontier = supply::frontier(arena);
        let end = self.place.saturating_add(headers).min(frontier);
        while self.place < end && self.empty.len() < MOST_EMPTY {
            self.look(arena, owner, cache, self.place);
            self.place += 1;
        }
        let is_over = self.is_through(arena) || self.empty.len() == MOST_EMPTY;
        if is_over {
            // The lowest ones, which are claimed first.
            let least = KEPT.min(arena.layout().superblocks() / KEPT_OF_ALL);
            let wanted = least.max(self.used / KEPT_OF_USED);
            let more = wanted.saturating_sub(self.kept).min(self.empty.len() as u64);
            self.empty.drain(..more as usize);
            self.kept += more;
        }
        is_over
    }

    /// Whether it has come to the end.
    pub fn is_through<P: Platform>(&self, arena: &Arena<P>) -> bool {
        self.place >= supply::frontier(arena)
    }

    /// How many of those that it has looked at are in use.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How many are to be punched.
    pub fn found(&self) -> u64 {
        self.empty.len() as u64
    }

    /// This one is not to be punched: its pages may be touched.
    pub fn spare(&mut self, number: u64) {
        // In the order of their numbers.
        if let Ok(place) = self.empty.binary_search_by_key(&number, |empty| empty.number) {
            self.empty.remove(place);
        }
    }

    fn look<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, cache: &mut BlockCache, number: u64) {
        let Some(superblock) = Superblock::at(arena.layout(), number) else { return };
        let Some(state) = superblock.state(arena) else { return };
        match state.used_for {
            Use::Small(class) => cache.give_back_if_left(arena, owner, &superblock, state, class),
            Use::LargeHead { .. } if state.owner.is_none() => large::dismantle(arena, &superblock, state, owner),
            _ => {}
        }
        match superblock.state(arena) {
            Some(state) if state.is_unclaimed() && !superblock.is_forgotten(arena, state) => {
                if state.used_for != Use::Unused(Pages::Punched) && self.empty.try_reserve(1).is_ok() {
                    self.empty.push(Empty { number, state });
                }
            }
            _ => self.used += 1,
        }
    }

    /// Gives the memory of up to `most` of those back that were not used since, the last ones first. True: none is left. The caller has waited for
    /// all who may touch them.
    ///
    /// Cost: a system call for each run of up to 16 neighbours, some 10 us for each superblock of 64 KiB.
    pub fn punch<P: Platform>(&mut self, arena: &Arena<P>, owner: ParticipantId, most: u64) -> bool {
        let words = arena.layout().geometry().superblock_words;
        let mut left = most;
        while left > 0 {
            let (mut first, mut count) = (0, 0);
            while let Some(empty) = self.empty.last().filter(|empty| count == 0 || empty.number + 1 == first) {
                if count == left.min(TOGETHER) || !claim(arena, owner, empty) {
                    break;
                }
                (first, count) = (empty.number, count + 1);
                self.empty.pop();
            }
            if count > 0 {
                arena.platform().punch_pages(arena.layout().superblock(first), count * words);
                (first..first + count).for_each(|number| give_back(arena, owner, number));
            } else if self.empty.pop().is_none() {
                return true;
            }
            left -= count.max(1);
        }
        self.empty.is_empty()
    }
}

/// Claims a superblock that was not used since it was found empty, its pages unsure from here on.
fn claim<P: Platform>(arena: &Arena<P>, owner: ParticipantId, empty: &Empty) -> bool {
    let superblock = Superblock::at(arena.layout(), empty.number);
    superblock.is_some_and(|superblock| superblock.claim(arena, empty.state, Pages::Unsure, owner).is_some())
}

fn give_back<P: Platform>(arena: &Arena<P>, owner: ParticipantId, number: u64) {
    let Some(superblock) = Superblock::at(arena.layout(), number) else { return };
    let mine = |state: &SuperblockState| state.owner == Some(owner) && state.used_for == Use::Unused(Pages::Unsure);
    if let Some(state) = superblock.state(arena).filter(mine)
        && superblock.change(arena, state, Use::Unused(Pages::Punched), None).is_some()
    {
        supply::note_returned(arena, number);
    }
}
