//! Of which commits an attempt sees the values, and moving on to later ones.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

use super::Participant;
use crate::arena::{Arena, HotWord};
use crate::error::{Corrupt, Stop};
use crate::platform::Platform;
use crate::word::{ParticipantId, Version};

/// The past of an attempt: all that was committed before a moment of the version clock, and what its own participant has committed at
/// that moment, which was before the attempt began. Any other version is of the future, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Nobody's first version at that moment.
    before: Version,
    /// What the participant's versions have besides.
    own: u64,
}

impl Snapshot {
    /// Of `own`, and without a past: as between attempts. No cell is old enough to be read.
    pub const fn none(own: ParticipantId) -> Self {
        Self { before: Version::start_of(0), own: Version::first(0, own).0 }
    }

    /// What is seen by who has found the clock there.
    #[inline(always)]
    pub const fn move_to(&mut self, clock: u64) {
        self.before = Version::start_of(clock);
    }

    #[inline(always)]
    pub const fn clear(&mut self) {
        self.move_to(0);
    }

    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.before.0 == 0
    }

    /// Whether the version is of the past. Of the first word of a cell: whether it says so, and that nobody holds the cell, for the bit
    /// of a lock is above those of all versions. (No version is of the time 0 and somebody's.)
    #[inline(always)]
    pub const fn has(self, version: Version) -> bool {
        version.0 < self.before.0 || version.is_beside(Version(self.before.0 | self.own))
    }
}

/// What a participant stamps its commits with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    own: ParticipantId,
    /// Of its last commit.
    last: Version,
    /// A time of the clock at which it has no stamps left; none is 0.
    spent: u64,
}

impl Stamps {
    /// For who has just taken the slot `own`. The clock is moved on, so that no stamp of an earlier owner of the slot is of a time at which
    /// this one commits: neither is taken for the other.
    pub fn new<P: Platform>(arena: &Arena<P>, own: ParticipantId) -> Result<Self, Corrupt> {
        // Relaxed: the claim of the slot was acquired before, so it is not less than what any earlier owner has seen. Nothing is read by it.
        let clock = arena.platform().load(arena.layout().hot(HotWord::VersionClock), Relaxed);
        pass_clock(arena, Version::start_of(clock))?;
        Ok(Self { own, last: Version::INITIAL, spent: 0 })
    }

    /// That of a commit which finds the clock there. `None`: damage has set the clock back (I5), for an attempt begins only if it
    /// [has one](Self::are_left).
    #[inline]
    pub fn next(&self, clock: u64) -> Option<Version> {
        let first = Version::first(clock, self.own);
        // Past the last count the next one is somebody else's.
        let next = first.max(Version(self.last.0 + 1));
        next.is_beside(first).then_some(next)
    }

    /// The stamp stands at a commit.
    #[inline]
    pub fn use_up(&mut self, stamp: Version) {
        self.last = stamp;
        if stamp.next().is_none() {
            self.spent = stamp.clock();
        }
    }

    /// Whether there is one for a commit at that time of the clock.
    #[inline(always)]
    pub fn are_left(&self, clock: u64) -> bool {
        self.spent != clock
    }
}

/// Raises the clock past the time of `version`, so that what anybody commits from here on is newer (I5). Gives the clock, and whether
/// the last access to it was an exchange.
pub(super) fn pass_clock<P: Platform>(arena: &Arena<P>, version: Version) -> Result<(u64, bool), Corrupt> {
    let platform = arena.platform();
    let (clock, time) = (arena.layout().hot(HotWord::VersionClock), version.clock());
    let mut seen = platform.load(clock, Acquire);
    if !Version::is_clock(seen) {
        return Err(Corrupt { what: "the version clock", byte_offset: clock.byte_offset(), word: seen });
    }
    // Every version was loaded from the clock before it was released to us, so none is ahead of it.
    if time > seen {
        return Err(Corrupt { what: "the version of a cell", byte_offset: clock.byte_offset(), word: version.0 });
    }
    // The only increment of the clock. Bounded: by the check, and a lost race means that the clock has moved.
    let mut is_raised = false;
    while seen <= time {
        let raised = platform.compare_exchange(clock, seen, seen + 1, AcqRel, Acquire);
        is_raised = raised.is_ok();
        seen = raised.map_or_else(|now| now, |before| before + 1);
    }
    Ok((seen, is_raised))
}

impl<P: Platform> Participant<P> {
    /// Moves the snapshot past `version`: the clock is raised, every read validated, the snapshot follows.
    pub(super) fn extend(&mut self, version: Version) -> Result<(), Stop> {
        let (seen, is_raised) = pass_clock(self.arena(), version)?;
        // F1 again: everything validated below is at least as new as the clock just read.
        if !(P::EXCHANGE_IS_FENCE && is_raised) {
            self.platform().fence(SeqCst);
        }
        if !self.validate(false)? {
            return Err(self.lost());
        }
        let snapshot = if self.reads_visibly() { &mut self.visible_snapshot } else { &mut self.snapshot };
        snapshot.move_to(seen);
        Ok(())
    }

    /// A time of the clock that is later than `clock`, at which it stood just now. (One that damage has set back since stays: the first
    /// cell that is read says so.)
    #[cold]
    #[inline(never)]
    pub(super) fn move_clock_on(&self, clock: u64) -> u64 {
        pass_clock(self.arena(), Version::start_of(clock)).map_or(clock, |(now, _)| now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ParticipantId = ParticipantId(3);

    #[test]
    fn the_past_is_what_is_older_and_what_is_ones_own() {
        let (mut snapshot, other) = (Snapshot::none(ME), Version::first(7, ParticipantId(4)));
        for future in [Version::INITIAL, Version::first(6, ME), Version::first(7, ME), other] {
            assert!(snapshot.is_none() && !snapshot.has(future), "{future:?}");
        }
        snapshot.move_to(7);
        let own = Version::first(7, ME);
        for past in [Version::INITIAL, Version::first(6, ParticipantId(4)), own, own.next().expect("the second")] {
            assert!(snapshot.has(past), "{past:?}");
        }
        let locked = Version(1 << Version::BITS | own.0);
        for future in [Version::start_of(7), other, Version::first(8, ME), locked] {
            assert!(!snapshot.has(future), "{future:?}");
        }
    }

    #[test]
    fn stamps_rise_and_say_when_they_are_used_up() {
        let mut stamps = Stamps { own: ME, last: Version::INITIAL, spent: 0 };
        for clock in [1, 1, 4] {
            let mut used = 0;
            while stamps.are_left(clock) && used < 3 {
                let stamp = stamps.next(clock).expect("the clock has not gone back");
                assert_eq!((stamp.clock(), stamp.writer()), (clock, Some(ME)));
                stamps.use_up(stamp);
                used += 1;
            }
        }
        assert_eq!(stamps.last, Version(Version::first(4, ME).0 + 2));
        while stamps.are_left(4) {
            stamps.use_up(stamps.next(4).expect("there is one left"));
        }
        assert_eq!((stamps.next(4), stamps.next(3)), (None, None), "none is given twice");
        assert_eq!(stamps.last.next(), None);
        assert!(stamps.are_left(5));
    }
}
