//! Who and when: small numbers with one meaning each.

/// A participant's place in the participant table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantId(pub u16);

/// A process's place in the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessSlotId(pub u16);

/// The coarse shared time of which priority is made, in steps of about a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Age of a transaction: `tick:52 | tie:12`. The smaller is the older and wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u64);

impl Priority {
    const TIE_BITS: u32 = 12;

    /// The tie-break is the participant's number, rotated by the tick, so that nobody wins every tie.
    #[inline]
    pub const fn new(tick: Tick, participant: ParticipantId) -> Self {
        let tie = (participant.0 as u64 + tick.0) & ((1 << Self::TIE_BITS) - 1);
        Self(tick.0 << Self::TIE_BITS | tie)
    }
    /// When the transaction began its first attempt.
    #[inline]
    pub const fn tick(self) -> Tick {
        Tick(self.0 >> Self::TIE_BITS)
    }
}

/// One attempt of one participant: `participant+1:16 | seq:40`, 0 for nobody. What `queue_to`, `stopped_by` and
/// `recoverer` hold, so that a late store or compare-exchange of a past attempt never meets a present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// Who.
    pub participant: ParticipantId,
    /// Its attempt number.
    pub seq: u64,
}

impl AttemptId {
    const SEQ_BITS: u32 = 40;

    /// Packs somebody.
    #[inline]
    pub const fn pack(self) -> u64 {
        (self.participant.0 as u64 + 1) << Self::SEQ_BITS | (self.seq & ((1 << Self::SEQ_BITS) - 1))
    }
    /// Unpacks somebody; `None` for nobody (and for a participant that cannot be).
    #[inline]
    pub const fn unpack(word: u64) -> Option<Self> {
        let participant = word >> Self::SEQ_BITS;
        if participant == 0 || participant > 1 << 16 {
            return None;
        }
        Some(Self { participant: ParticipantId((participant - 1) as u16), seq: word & ((1 << Self::SEQ_BITS) - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_attempt_survives_packing(participant: u16, seq in 0u64..1 << 40) {
            let attempt = AttemptId { participant: ParticipantId(participant), seq };
            prop_assert_eq!(AttemptId::unpack(attempt.pack()), Some(attempt));
        }

        #[test]
        fn the_earlier_tick_is_older_whatever_the_tie(tick in 0u64..1 << 40, a: u16, b: u16) {
            prop_assert!(Priority::new(Tick(tick), ParticipantId(a)) < Priority::new(Tick(tick + 1), ParticipantId(b)));
            prop_assert_eq!(Priority::new(Tick(tick), ParticipantId(a)).tick(), Tick(tick));
        }
    }

    #[test]
    fn zero_is_nobody() {
        assert_eq!(AttemptId::unpack(0), None);
    }
}
