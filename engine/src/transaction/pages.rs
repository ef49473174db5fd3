//! When memory goes back to the system: after some was freed, a little with each collection of what was retired.
//!
//! Empty superblocks are found and punched by the allocator (`allocator::Sweep`). In between everybody is waited for who may be checking a handle
//! to a block there that is long free: who is in an attempt says so by his start, who checks handles outside of attempts (collections,
//! recovery, `fsck`, whoever frees) by the count of lookers in his process's slot. After the sweep the batch number goes on; an attempt with a later start has begun
//! after it, and finds that the superblock is Unused. The argument is that of `reclamation`, with the last header that the sweep has read in place of F2.
//!
//! What processes hold of attempts that were rolled back is spared: nobody has to be in an attempt to ask a guard for what it holds.
//!
//! Whoever stands still in the middle of an attempt or of a look keeps memory from going back to the system. It can be used again meanwhile.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::allocator::{self, BlockCache, Sweep};
use crate::arena::{Arena, HotWord};
use crate::holding::for_each_held;
use crate::participant::ProcessSlot;
use crate::platform::Platform;
use crate::reclamation::{advance, oldest_start};
use crate::space::Space;
use crate::word::{ParticipantId, ProcessSlotId};

/// Superblocks' worth of memory that is freed between two sweeps, at least: 4 MiB (of a small space less); and of all that are used one in so many.
const LEAST_FREED: u64 = 64;
const LEAST_OF_ALL: u64 = 64;
const FREED_OF_USED: u64 = 16;
/// For each superblock's worth that was freed so many headers are looked at and so many superblocks are punched.
const HEADERS: u64 = 64;
const PUNCHED: u64 = 2;

/// How far a participant has come with giving memory back.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Words freed since the last sweep began.
    freed_words: u64,
    /// Words freed for which nothing was done yet.
    credit: u64,
    /// Superblocks in use when the last sweep was through.
    used: Option<u64>,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Rests,
    Sweeps(Sweep),
    Waits {
        sweep: Sweep,
        /// The batch number when the sweep was over.
        stamp: u64,
    },
    Punches(Sweep),
}

impl Pages {
    /// After `freed_words` were freed: goes on in proportion, but by no more than `most` superblocks' worth, if that is worth it. True: somebody is
    /// waited for.
    pub fn go_on<P: Platform>(
        &mut self,
        space: &Space<P>,
        owner: ParticipantId,
        cache: &mut BlockCache,
        freed_words: u64,
        most: u64,
    ) -> bool {
        self.freed_words += freed_words;
        self.credit += freed_words;
        let arena = space.arena();
        let superblock_words = arena.layout().geometry().superblock_words;
        let budget = (self.credit / superblock_words).min(most);
        if budget > 0 {
            self.credit -= budget * superblock_words;
            if matches!(self.phase, Phase::Rests) && self.is_due(arena, 0) {
                self.begin();
            }
            // Bound: a step is the last one, or the next phase; the sweep ends at the frontier.
            while self.step(space, owner, cache, budget) {}
        }
        budget > 0 && matches!(self.phase, Phase::Waits { .. })
    }

    /// Gives back what there is, from the first superblock on. False: somebody is in the middle of something who began before, and nothing was given back
    /// yet; again later.
    ///
    /// Cost: three loads or so for each superblock of the space; 10 us for each that goes back.
    pub fn finish<P: Platform>(&mut self, space: &Space<P>, owner: ParticipantId, cache: &mut BlockCache) -> bool {
        // What was begun before has not seen what was freed since.
        let mut is_last = matches!(self.phase, Phase::Rests);
        loop {
            if matches!(self.phase, Phase::Rests) {
                self.begin();
            }
            while self.step(space, owner, cache, u64::MAX / HEADERS) {}
            if is_last || !matches!(self.phase, Phase::Rests) {
                return matches!(self.phase, Phase::Rests);
            }
            is_last = true;
        }
    }

    /// Whether it is worth it, `more` empty superblocks counted in.
    pub fn is_due<P: Platform>(&self, arena: &Arena<P>, more: u64) -> bool {
        self.freed_words / arena.layout().geometry().superblock_words + more >= self.due(arena)
    }

    fn begin(&mut self) {
        self.freed_words = 0;
        self.phase = Phase::Sweeps(Sweep::default());
    }

    /// True: there may be more to do at once.
    fn step<P: Platform>(
        &mut self,
        space: &Space<P>,
        owner: ParticipantId,
        cache: &mut BlockCache,
        budget: u64,
    ) -> bool {
        let arena = space.arena();
        let (phase, goes_on) = match std::mem::take(&mut self.phase) {
            Phase::Rests => (Phase::Rests, false),
            // In a look: what is nobody's may be given back by others while its blocks are looked at.
            Phase::Sweeps(mut sweep) => match space.look(|| sweep.go_on(arena, owner, cache, budget * HEADERS)) {
                false => (Phase::Sweeps(sweep), false),
                true if sweep.found() > 0 => (Phase::Waits { sweep, stamp: after(arena) }, true),
                true => self.next_part(arena, sweep),
            },
            Phase::Waits { mut sweep, stamp } => match anybody_since(arena, owner, stamp) {
                true => (Phase::Waits { sweep, stamp }, false),
                false => {
                    space.look(|| spare_held(arena, &mut sweep));
                    (Phase::Punches(sweep), true)
                }
            },
            Phase::Punches(mut sweep) => match sweep.punch(arena, owner, budget * PUNCHED) {
                true => self.next_part(arena, sweep),
                false => (Phase::Punches(sweep), false),
            },
        };
        self.phase = phase;
        goes_on
    }

    fn next_part<P: Platform>(&mut self, arena: &Arena<P>, sweep: Sweep) -> (Phase, bool) {
        if !sweep.is_through(arena) {
            return (Phase::Sweeps(sweep), true);
        }
        self.used = Some(sweep.used());
        (Phase::Rests, false)
    }

    /// Superblocks' worth of memory freed that makes a sweep due. If little was in use the last time and much is by now, one too many is begun: it goes on
    /// in proportion to what is freed, as all do.
    fn due<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        let least = LEAST_FREED.min(arena.layout().superblocks() / LEAST_OF_ALL).max(1);
        // Not those that were ever used, if better is known: after a peak nothing would be worth it.
        let used = self.used.unwrap_or_else(|| allocator::superblocks_used(arena));
        least.max(used / FREED_OF_USED)
    }
}

/// What a process holds of an attempt that was rolled back is gone, but its guard may still be asked: those pages stay until it is dropped. Its entry
/// was there before the block was free.
fn spare_held<P: Platform>(arena: &Arena<P>, sweep: &mut Sweep) {
    // Of what cannot be read no guard reads either.
    let _ = for_each_held(arena, &mut |handle| {
        if let Some(number) = arena.layout().superblock_of(handle.block()) {
            sweep.spare(number);
        }
    });
}

/// A batch number: whoever has a later start has begun after all that the caller has read.
fn after<P: Platform>(arena: &Arena<P>) -> u64 {
    let platform = arena.platform();
    platform.fence(SeqCst);
    // Relaxed: it is read behind the fence.
    let stamp = platform.load(arena.layout().hot(HotWord::Batch), Relaxed);
    advance(arena, stamp);
    stamp
}

/// Whether somebody else is in an attempt that began at `stamp` or before, or looks just now. The caller is in the middle of no check.
fn anybody_since<P: Platform>(arena: &Arena<P>, me: ParticipantId, stamp: u64) -> bool {
    let platform = arena.platform();
    // Who is not seen by the loads below has begun after it, and finds what the sweep has found.
    platform.fence(SeqCst);
    let looks = |number| {
        let slot = ProcessSlot::of(arena, ProcessSlotId(number as u16));
        slot.is_some_and(|slot| slot.anybody_looks(arena))
    };
    oldest_start(arena, me) <= stamp || (0..arena.layout().geometry().process_slots).any(looks)
}
