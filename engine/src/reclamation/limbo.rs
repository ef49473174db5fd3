//! What a participant has retired and not yet freed: the private side of its list.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::dismantle::Dismantling;
use super::hazards::{Held, Look, Looked};
use super::retire::{for_each_retired, link, stitch};
use crate::allocator::{self, BlockCache};
use crate::arena::{Arena, HotWord};
use crate::participant::Slot;
use crate::platform::Platform;
use crate::word::{Handle, Link, ParticipantId};

/// Blocks that wait before it is worth looking at everybody's start.
const BLOCKS: usize = 128;
/// The same in words: 256 KiB.
const WORDS: u64 = 32 * 1024;

/// Blocks that leave the list together, at most.
const FREED_TOGETHER: usize = 1024;

/// Entries of read logs that are looked at for each block that waits, at most; and steps that looks may cost for each that is retired, and for as many words as make one block.
const LOOKS_PER_BLOCK: u64 = 8;
const WORDS_PER_LOOK: u64 = WORDS / (BLOCKS as u64 * LOOKS_PER_BLOCK);
/// Steps of a look at the logs that are made together, at least, and blocks of which it is asked together whether somebody holds them. Each takes a tenth of a
/// millisecond or two. More where more may be freed together: as many as that, and half as many steps.
const LOOKED_AT_TOGETHER: u64 = 2048;
const JUDGED_TOGETHER: u64 = 4096;

/// Retired blocks, the oldest first. The arena's list says the same, for whoever comes after a kill.
#[derive(Debug)]
pub struct Limbo {
    waiting: VecDeque<Retired>,
    /// How far it is known what somebody holds of it.
    judging: Option<Judging>,
    /// What somebody holds, as far as that is known: older than all in `waiting`. Empty where nothing is judged.
    kept: VecDeque<Retired>,
    kept_words: u64,
    words: u64,
    /// Payload words freed so far, with those of parts.
    freed_words: u64,
    /// The one that is taken apart just now, if it is not over.
    dismantling: Option<Dismantling>,
    /// So many blocks or words make the next collection due. More where the last one found that somebody still runs who may
    /// hold them: each block is looked at a bounded number of times on the average.
    due_blocks: usize,
    due_words: u64,
    /// Steps of looks by the way that nothing retired since has paid for. What a log leads to is known only by then, and may be a million blocks from one entry.
    owed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Retired {
    stamp: u64,
    handle: Handle,
    /// With all that it owns.
    whole: bool,
    words: u64,
}

/// The oldest of those that wait are judged, by a look that has begun after they were taken out. What it found to be held by nobody never will be.
#[derive(Debug)]
struct Judging {
    /// Still to come.
    left: usize,
    /// `None`: it is over.
    look: Option<Look>,
    held: Held,
}

/// Whether the logs of all who are in an attempt are looked at for what the starts alone do not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// If that is worth it.
    IfWorthIt,
    /// Whatever it costs.
    InAnyCase,
}

/// How far a collection of what is retired has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// What is left some may hold.
    Through,
    /// There may be more that can go.
    AsFarAsAllowed,
    /// There may be, and this process has no memory to find out.
    Starved,
}

impl Default for Limbo {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            judging: None,
            kept: VecDeque::new(),
            kept_words: 0,
            words: 0,
            freed_words: 0,
            dismantling: None,
            due_blocks: BLOCKS,
            due_words: WORDS,
            owed: 0,
        }
    }
}

impl Limbo {
    /// Takes over what the slot's last owner has left. Those who may hold it may have begun up to now.
    pub fn adopt<P: Platform>(arena: &Arena<P>, slot: Slot, owner: ParticipantId) -> Self {
        let mut limbo = Self::default();
        stitch(arena, slot, owner);
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
        match limbo.waiting.front() {
            // Relaxed: whoever still follows the old link finds a block that is free.
            Some(oldest) => {
                let last = Link { before: None, whole: oldest.whole };
                arena.platform().store(link(oldest.handle), last.pack(), Relaxed);
            }
            // Release: as in `retire`.
            None => arena.platform().store(slot.retired(), 0, Release),
        }
        // Relaxed: a number for people.
        arena.platform().store(slot.retired_words(), limbo.words, Relaxed);
        limbo
    }

    /// Makes room for more, so that nothing is allocated between COMMITTED and the end of an attempt. False: this process has no memory for it.
    #[inline]
    pub fn reserve(&mut self, more: usize) -> bool {
        self.waiting.try_reserve(more + self.kept.len()).is_ok()
    }

    /// Notes a block that was retired.
    pub fn push<P: Platform>(&mut self, arena: &Arena<P>, stamp: u64, handle: Handle, whole: bool) {
        let words = allocator::payload_words(arena, handle).unwrap_or(0);
        self.words += words;
        self.owed = self.owed.saturating_sub(LOOKS_PER_BLOCK + words / WORDS_PER_LOOK);
        self.waiting.push_back(Retired { stamp, handle, whole, words });
    }

    /// Whether a collection is worth its cost.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.waiting.len() + self.kept.len() >= self.due_blocks
            || self.words >= self.due_words
            || self.is_in_the_middle()
    }

    /// Whether something that owns much is taken apart, and was too much for once.
    #[inline]
    pub fn is_in_the_middle(&self) -> bool {
        self.dismantling.is_some()
    }

    /// Whether it is being found out what somebody holds of it, and that was too much for once.
    pub fn is_judging(&self) -> bool {
        self.judging.is_some()
    }

    /// Words that wait to be freed.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// Payload words freed so far.
    pub fn freed_words(&self) -> u64 {
        self.freed_words
    }

    /// Frees what nobody can hold, but goes on to no further one after `most` blocks, or steps of taking one apart. The caller's own attempt, if it is in one, has begun
    /// after all of this was retired. Gives the number of blocks freed.
    ///
    /// Cost: a compare-exchange, a load for each participant slot of the space, and the frees; with a look at the logs a fence on all processors, and as much of the look as
    /// `most` allows.
    pub fn collect<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        slot: Slot,
        owner: ParticipantId,
        cache: &mut BlockCache,
        most: u64,
        logs: Logs,
    ) -> u64 {
        let Some(youngest) = self.waiting.back() else { return 0 };
        advance(arena, youngest.stamp);
        let oldest = oldest_start(arena, owner);
        let mut means = Means { arena, slot, owner, cache };
        // Whoever held the oldest is through: then more may go than was judged. And who frees all that he can looks anew.
        if most == u64::MAX || self.oldest().is_some_and(|retired| retired.stamp < oldest) {
            self.judge_no_more();
        }
        let (mut freed, mut went) = (0, Went::Through);
        if self.judging.is_none() {
            let mut old = self.waiting.partition_point(|retired| retired.stamp < oldest);
            (freed, went) = self.free(&mut means, most, &mut old, |_| true);
            let is_worth_it = logs == Logs::InAnyCase || self.is_in_the_middle() || self.is_worth_a_look(arena, owner);
            if went == Went::Through && is_worth_it {
                self.begin_judging(arena);
            }
        }
        let mut stay = (self.waiting.len(), self.words);
        if self.judging.is_some() {
            let more = self.judge(&mut means, most - freed, logs);
            (freed, went) = (freed + more.0, more.1);
            if went == Went::Through {
                // Not what came meanwhile: of that it is not known.
                stay = (self.kept.len(), self.kept_words);
            }
        }
        // What could go and was too much for once goes with the next commit that takes something out.
        let (blocks, words) = if went == Went::AsFarAsAllowed { (0, 0) } else { stay };
        self.due_blocks = BLOCKS + 2 * blocks;
        self.due_words = WORDS + 2 * words;
        if self.judging.is_none() {
            self.judge_no_more();
        }
        freed
    }

    fn oldest(&self) -> Option<&Retired> {
        self.kept.front().or_else(|| self.waiting.front())
    }

    /// Whether what waits is worth a look at the logs of all who are in an attempt, and the looks before are paid for.
    fn is_worth_a_look<P: Platform>(&self, arena: &Arena<P>, me: ParticipantId) -> bool {
        // Relaxed: the numbers decide about costs.
        let length = |slot: Slot| match arena.platform().load(slot.start(), Relaxed) {
            0 => 0,
            _ => arena.platform().load(slot.read_log_length(), Relaxed),
        };
        let entries: u64 = others(arena, me).map(length).fold(0, u64::saturating_add);
        self.owed == 0 && !self.waiting.is_empty() && entries / LOOKS_PER_BLOCK <= self.waiting.len() as u64
    }

    /// Of all that waits. Does nothing where it cannot be known what is held.
    fn begin_judging<P: Platform>(&mut self, arena: &Arena<P>) {
        let Some(held) = Held::nothing().filter(|_| !self.waiting.is_empty()) else { return };
        self.judging = Look::begin(arena).map(|look| Judging { left: self.waiting.len(), look: Some(look), held });
    }

    fn judge_no_more(&mut self) {
        self.judging = None;
        self.kept_words = 0;
        // The shorter one moves. The room that was made for more stays, and does not become more: it is made anew as often as somebody waits.
        let room = self.waiting.capacity().saturating_sub(self.kept.len());
        if self.kept.len() > self.waiting.len() && self.kept.try_reserve_exact(room).is_ok() {
            self.kept.append(&mut self.waiting);
            std::mem::swap(&mut self.kept, &mut self.waiting);
        } else {
            // Their room is there: as many were taken out, and `reserve` counts them.
            while let Some(kept) = self.kept.pop_back() {
                self.waiting.push_front(kept);
            }
        }
    }

    /// Goes on with the look, and when that is over frees what nobody holds: a piece of one of the two, or of both. Gives the number of blocks freed, and whether that was all: then
    /// nothing is judged any more, and the caller calls [`Self::judge_no_more`].
    fn judge<P: Platform>(&mut self, means: &mut Means<'_, P>, most: u64, logs: Logs) -> (u64, Went) {
        let Some(mut judging) = self.judging.take() else { return (0, Went::Through) };
        if let Some(look) = &mut judging.look {
            let before = look.steps();
            let looked = judging.held.go_on(look, means.arena, means.owner, LOOKED_AT_TOGETHER.max(most / 2));
            if logs == Logs::IfWorthIt {
                self.owed = self.owed.saturating_add(look.steps() - before);
            }
            match looked {
                Looked::Some => {
                    self.judging = Some(judging);
                    return (0, Went::AsFarAsAllowed);
                }
                Looked::All => judging.look = None,
                Looked::Unknown => return (0, Went::Starved),
            }
        }
        let mut now = judging.left.min(usize::try_from(JUDGED_TOGETHER.max(most)).unwrap_or(usize::MAX));
        let later = judging.left - now;
        let (freed, went) = self.free(means, most, &mut now, |retired| !judging.held.holds(retired.handle));
        judging.left = later + now;
        if went == Went::Starved {
            return (freed, went);
        }
        if judging.left == 0 {
            return (freed, Went::Through);
        }
        self.judging = Some(judging);
        (freed, Went::AsFarAsAllowed)
    }

    /// Frees what may be freed of the oldest `left` in `waiting`, but goes on to no further one after `most` blocks; what must stay is `kept`. Gives the number of blocks freed, and
    /// whether that was all; `left` becomes how many were not looked at.
    fn free<P: Platform>(
        &mut self,
        means: &mut Means<'_, P>,
        most: u64,
        left: &mut usize,
        may_go: impl Fn(&Retired) -> bool,
    ) -> (u64, Went) {
        let mut freed = 0;
        while freed < most && *left > 0 {
            if let Some(oldest) = self.waiting.front().copied()
                && oldest.whole
                && may_go(&oldest)
            {
                freed += self.take_apart(means, oldest.handle, most - freed);
                if self.is_in_the_middle() {
                    return (freed, Went::AsFarAsAllowed);
                }
            }
            let run = self.run((*left).min((most - freed) as usize).min(FREED_TOGETHER), &may_go);
            if run > 0 {
                let run: Vec<Retired> = self.waiting.drain(..run).collect();
                freed += self.free_run(means, &run, self.kept.back().copied());
            } else if self.kept.try_reserve(1).is_ok() {
                self.kept.extend(self.waiting.pop_front());
                self.kept_words += self.kept.back().map_or(0, |kept| kept.words);
            } else {
                // No memory in this process to look at more.
                return (freed, Went::Starved);
            }
            *left -= run.max(1);
        }
        (freed, if freed < most { Went::Through } else { Went::AsFarAsAllowed })
    }

    /// Frees what `whole` owns, which waits and may go, in at most `most` steps: then it is in the middle of that. Gives the number of blocks freed.
    fn take_apart<P: Platform>(&mut self, means: &mut Means<'_, P>, whole: Handle, most: u64) -> u64 {
        let started = self.dismantling.take().filter(|dismantling| dismantling.root() == whole);
        let mut dismantling = started.unwrap_or_else(|| Dismantling::of(whole));
        let parts = dismantling.go_on(means.arena, means.owner, means.cache, most);
        self.freed_words += parts.words;
        self.dismantling = Some(dismantling).filter(|dismantling| !dismantling.has_nothing_left());
        parts.blocks
    }

    /// How many of the oldest can go together: what owned much goes alone.
    fn run(&self, most: usize, may_go: impl Fn(&Retired) -> bool) -> usize {
        match self.waiting.front() {
            Some(oldest) if oldest.whole => usize::from(may_go(oldest)),
            _ => self.waiting.iter().take(most).take_while(|retired| !retired.whole && may_go(retired)).count(),
        }
    }

    /// Frees some that were retired one after the other, the oldest first: behind a block of a list that is free there is none that is not.
    /// `older` is the one before them that stays, if there is one; what waits is younger.
    fn free_run<P: Platform>(&mut self, means: &mut Means<'_, P>, run: &[Retired], older: Option<Retired>) -> u64 {
        let Some(youngest) = run.last() else { return 0 };
        let younger = self.waiting.front().copied();
        if let Some(older) = older {
            means.detach(youngest, &run[0], younger, older);
        }
        let mut freed = 0;
        for retired in run {
            self.words -= retired.words;
            self.freed_words += retired.words;
            freed += u64::from(means.cache.free(means.arena, means.owner, retired.handle));
        }
        match older {
            // Release: comes after the frees, for whoever takes the list over.
            Some(_) => means.arena.platform().store(means.slot.detached(), 0, Release),
            None => means.cut(younger),
        }
        freed
    }
}

/// What a collection works with.
struct Means<'a, P: Platform> {
    arena: &'a Arena<P>,
    slot: Slot,
    owner: ParticipantId,
    cache: &'a mut BlockCache,
}

impl<P: Platform> Means<'_, P> {
    fn set_link(&self, of: &Retired, before: Option<Handle>) {
        // Relaxed: whoever takes the list over has acquired the end of its owner. Whoever walks along it otherwise may err.
        self.arena.platform().store(link(of.handle), Link { before, whole: of.whole }.pack(), Relaxed);
    }

    /// Takes a run out of the middle of the list, to a list of its own. At each step each block hangs in one of the two, or both.
    fn detach(&self, youngest: &Retired, oldest: &Retired, younger: Option<Retired>, older: Retired) {
        let platform = self.arena.platform();
        // Release, here and below: as in `retire`.
        platform.store(self.slot.detached(), youngest.handle.raw(), Release);
        match younger {
            Some(younger) => self.set_link(&younger, Some(older.handle)),
            None => platform.store(self.slot.retired(), older.handle.raw(), Release),
        }
        self.set_link(oldest, None);
    }

    /// Ends the list behind `oldest`, or all of it.
    fn cut(&self, oldest: Option<Retired>) {
        match oldest {
            Some(oldest) => self.set_link(&oldest, None),
            None => self.arena.platform().store(self.slot.retired(), 0, Release),
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
    let starts = others(arena, me)
        // Acquire: pairs with the release that clears a start; what was read in that attempt is read before we free.
        .map(|slot| arena.platform().load(slot.start(), Acquire));
    starts.filter(|start| *start != 0).min().unwrap_or(u64::MAX)
}

/// The slots of all participants but one.
pub(super) fn others<P: Platform>(arena: &Arena<P>, me: ParticipantId) -> impl Iterator<Item = Slot> + '_ {
    (0..arena.layout().geometry().participants)
        .filter(move |number| *number != u64::from(me.0))
        .filter_map(|number| Slot::of(arena, ParticipantId(number as u16)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::WordAddress;

    /// Where all that is judged is held by somebody, again and again for as long as he is in his attempt: a few hundred rounds a second.
    #[test]
    fn room_for_what_is_held_does_not_grow_with_each_look_at_it() {
        let mut limbo = Limbo::default();
        for number in 0..10 {
            let handle = Handle::new(WordAddress::new(4096 + 16 * number), 1);
            limbo.waiting.push_back(Retired { stamp: number, handle, whole: false, words: 2 });
        }
        for _ in 0..40 {
            limbo.kept.append(&mut limbo.waiting);
            limbo.judge_no_more();
            assert_eq!(limbo.waiting.len(), 10);
        }
        assert!(limbo.waiting.capacity() + limbo.kept.capacity() < 100);
        assert!(limbo.waiting.iter().map(|retired| retired.stamp).eq(0..10));
    }
}
