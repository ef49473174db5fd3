//! When the value of a cell was committed, and by whom.

use super::ParticipantId;

/// The stamp of a commit, and the order of the values of a cell. 63 bits:
///
/// ```text
/// clock:48 | writer:11 (participant + 1, 0 = nobody) | count:4
/// ```
///
/// The clock moves on when somebody meets what *another one* has committed since he looked at it, and before anybody's count comes to its end. What
/// a participant commits while it stands is told apart by the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// Bits of a version in a lock word.
    pub const BITS: u32 = Self::CLOCK_BITS + Self::WRITER_BITS + Self::COUNT_BITS;
    const CLOCK_BITS: u32 = 48;
    const WRITER_BITS: u32 = 11;
    const COUNT_BITS: u32 = 4;
    const COUNT_MASK: u64 = (1 << Self::COUNT_BITS) - 1;
    /// Of cells that a new object starts with: older than every attempt, for the clock starts at 1.
    pub const INITIAL: Self = Self(0);

    /// The first of all versions at `clock`: those before it are of an earlier time. Nobody's. (Of what is no clock: some version.)
    #[inline]
    pub const fn start_of(clock: u64) -> Self {
        Self(clock << (Self::WRITER_BITS + Self::COUNT_BITS) & !(1 << Self::BITS))
    }

    /// The first one that `writer` gives at `clock`.
    #[inline]
    pub const fn first(clock: u64, writer: ParticipantId) -> Self {
        Self(Self::start_of(clock).0 | (writer.0 as u64 + 1) << Self::COUNT_BITS)
    }

    /// The one that the same writer gives next while the clock stands; `None` if the count has come to its end.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        if self.0 & Self::COUNT_MASK == Self::COUNT_MASK { None } else { Some(Self(self.0 + 1)) }
    }

    /// Where the clock stood at the commit.
    #[inline]
    pub const fn clock(self) -> u64 {
        self.0 >> (Self::WRITER_BITS + Self::COUNT_BITS)
    }

    /// Who committed; `None`: nobody, it was there from the beginning, or a repair gave it.
    #[inline]
    pub const fn writer(self) -> Option<ParticipantId> {
        match (self.0 >> Self::COUNT_BITS) as u16 & ((1 << Self::WRITER_BITS) - 1) {
            0 => None,
            writer => Some(ParticipantId(writer - 1)),
        }
    }

    /// Whether anybody gives such a version: nobody's are the first of their time, and nobody commits before the clock starts.
    #[inline]
    pub const fn can_be(self) -> bool {
        match self.writer() {
            None => self.0 == Self::start_of(self.clock()).0,
            Some(_) => self.clock() != 0,
        }
    }

    /// Whether the two are of one writer, at one time of the clock.
    #[inline]
    pub const fn is_beside(self, other: Self) -> bool {
        self.0 ^ other.0 <= Self::COUNT_MASK
    }

    /// Whether the version clock may stand there: it starts at 1, and no space lives until half of its bits are used (three million
    /// meetings a second for a year and a half).
    #[inline]
    pub const fn is_clock(word: u64) -> bool {
        word != 0 && word >> (Self::CLOCK_BITS - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_version_says_when_and_by_whom(clock in 1u64..1 << 48, writer in 0u16..2046, commits in 0usize..16) {
            let versions: Vec<_> =
                std::iter::successors(Some(Version::first(clock, ParticipantId(writer))), |version| version.next()).collect();
            prop_assert_eq!(versions.len(), 16);
            let version = versions[commits];
            prop_assert_eq!((version.clock(), version.writer()), (clock, Some(ParticipantId(writer))));
            prop_assert_eq!(version.0 >> Version::BITS, 0);
            prop_assert!(version.can_be() && Version::start_of(clock).can_be());
            prop_assert!(versions.is_sorted() && versions.iter().all(|other| version.is_beside(*other)));
            prop_assert!(Version::start_of(clock) < version && version < Version::start_of(clock + 1));
        }

        #[test]
        fn nobodys_versions_have_no_count_and_somebodys_a_time(writer in 0u16..2046, clock in 0u64..1 << 48, count in 1u64..16) {
            prop_assert!(!Version::first(0, ParticipantId(writer)).can_be());
            prop_assert!(!Version(Version::start_of(clock).0 + count).can_be());
        }

        #[test]
        fn no_word_that_is_no_clock_gives_the_bit_of_a_lock(word: u64) {
            prop_assert_eq!(Version::start_of(word).0 >> Version::BITS, 0);
        }

        #[test]
        fn versions_of_others_and_of_other_times_are_not_beside_it(a in 0u64..1 << 63, b in 0u64..1 << 63) {
            let told = (Version(a).clock(), Version(a).writer()) == (Version(b).clock(), Version(b).writer());
            prop_assert_eq!(Version(a).is_beside(Version(b)), told);
        }
    }

    #[test]
    fn the_initial_one_is_older_than_every_clock() {
        assert_eq!((Version::INITIAL.clock(), Version::INITIAL.writer()), (0, None));
        assert!(Version::INITIAL < Version::start_of(1) && Version::INITIAL.can_be());
    }
}
