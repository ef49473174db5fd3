//! What a participant has retired and not yet freed: the private side of its list.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::dismantle::dismantle;
use super::retire::{for_each_retired, link};
use crate::allocator::{self, BlockCache};
use crate::arena::{Arena, HotWord};
use crate::participant::Slot;
use crate::platform::Platform;
use crate::word::{Handle, Link, ParticipantId};

/// Blocks that wait before it is worth looking at everybody's start.
const BLOCKS: usize = 128;
/// The same in words: 256 KiB.
const WORDS: u64 = 32 * 1024;

/// Retired blocks, the oldest first. The arena's list says the same, for whoever comes after a kill.
#[derive(Debug)]
pub struct Limbo {
    waiting: VecDeque<Retired>,
    words: u64,
    /// Payload words freed so far, with those of parts.
    freed_words: u64,
    /// So many blocks or words make the next collection due. More where the last one found that somebody still runs who may
    /// hold them: each block is looked at a bounded number of times on the average.
    due_blocks: usize,
    due_words: u64,
}

#[derive(Clone, Copy, Debug)]
struct Retired {
    stamp: u64,
    handle: Handle,
    /// With all that it owns.
    whole: bool,
    words: u64,
}

impl Default for Limbo {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), words: 0, freed_words: 0, due_blocks: BLOCKS, due_words: WORDS }
    }
}

impl Limbo {
    /// Takes over what the slot's last owner has left. Those who may hold it may have begun up to now.
    pub fn adopt<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId) -> Self {
        let mut limbo = Self::default();
        // Acquire: pairs with the release in `retire`.
        if arena.platform().load(slot.retired(), Acquire) == 0 {
            return limbo;
        }
        let stamp = super::stamp(arena);
        for_each_retired(arena, slot, owner, |handle, whole| {
            let words = allocator::payload_words(arena, handle).unwrap_or(0);
            limbo.words += words;
            limbo.waiting.push_front(Retired { stamp, handle, whole, words });
        });
        limbo.cut(arena, slot);
        // Relaxed: a number for people.
        arena.platform().store(slot.retired_words(), limbo.words, Relaxed);
        limbo
    }

    /// Makes room for one more, so that nothing is allocated between COMMITTED and the end of an attempt.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        self.waiting.reserve(more);
    }

    /// Notes a block that was retired.
    pub fn push<P: Platform>(&mut self, arena: &Arena<P>, stamp: u64, handle: Handle, whole: bool) {
        let words = allocator::payload_words(arena, handle).unwrap_or(0);
        self.words += words;
        self.waiting.push_back(Retired { stamp, handle, whole, words });
    }

    /// Whether a collection is worth its cost.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.waiting.len() >= self.due_blocks || self.words >= self.due_words
    }

    /// Words that wait to be freed.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// Payload words freed so far.
    pub fn freed_words(&self) -> u64 {
        self.freed_words
    }

    /// Frees what nobody can hold, but goes on to no further one after `most` blocks. The caller's own attempt, if it is in one, has begun
    /// after all of this was retired. Gives the number of blocks freed.
    ///
    /// Cost: a compare-exchange, a load for each participant slot of the space, and the frees.
    pub fn collect<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        slot: Slot,
        owner: ParticipantId,
        cache: &mut BlockCache,
        most: u64,
    ) -> u64 {
        let Some(youngest) = self.waiting.back() else { return 0 };
        advance(arena, youngest.stamp);
        let oldest = oldest_start(arena, owner);
        let (mut freed, mut gone) = (0, false);
        // The oldest first: behind a block that is free there is none that is not.
        while let Some(retired) = self.waiting.front().filter(|retired| retired.stamp < oldest && freed < most) {
            self.words -= retired.words;
            self.freed_words += retired.words;
            if retired.whole {
                let parts = dismantle(arena, owner, cache, retired.handle);
                freed += parts.blocks;
                self.freed_words += parts.words;
            }
            freed += u64::from(cache.free(arena, owner, retired.handle));
            self.waiting.pop_front();
            gone = true;
        }
        if gone {
            self.cut(arena, slot);
        }
        // What could go and was too much for once goes with the next commit that takes something out.
        let (blocks, words) = if freed < most { (2 * self.waiting.len(), 2 * self.words) } else { (0, 0) };
        self.due_blocks = BLOCKS + blocks;
        self.due_words = WORDS + words;
        freed
    }

    /// Ends the list in the arena behind the oldest block that still waits.
    fn cut<P: Platform>(&self, arena: &Arena<P>, slot: Slot) {
        let platform = arena.platform();
        match self.waiting.front() {
            // Relaxed: whoever still follows the old link finds a block that is free.
            Some(oldest) => {
                let last = Link { before: None, whole: oldest.whole };
                platform.store(link(oldest.handle), last.pack(), Relaxed);
            }
            // Release: as in `retire`.
            None => platform.store(slot.retired(), 0, Release),
        }
    }
}

/// Makes the batch number greater than `stamp`, so that those who begin from now on are seen to have begun after it.
pub(crate) fn advance<P: Platform>(arena: &Arena<P>, stamp: u64) {
    let batch = arena.layout().hot(HotWord::Batch);
    if arena.platform().load(batch, Relaxed) == stamp {
        // Lost: somebody else has done it. Relaxed: nothing hangs on when it is seen but how soon the next collection succeeds.
        let _ = arena.platform().compare_exchange(batch, stamp, stamp + 1, Relaxed, Relaxed);
    }
}

/// The oldest start of all attempts under way but `me`'s; `u64::MAX`: there is none.
pub(crate) fn oldest_start<P: Platform>(arena: &Arena<P>, me: ParticipantId) -> u64 {
    (0..arena.layout().geometry().participants)
        .filter(|number| *number != u64::from(me.0))
        .filter_map(|number| Slot::of(arena, ParticipantId(number as u16)))
        // Acquire: pairs with the release that clears a start; what was read in that attempt is read before we free.
        .map(|slot| arena.platform().load(slot.start(), Acquire))
        .filter(|start| *start != 0)
        .min()
        .unwrap_or(u64::MAX)
}
