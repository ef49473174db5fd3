//! A cell's first word: the version of its committed value, or who is changing it.
//!
//! ```text
//! free:   0 | version:63
//! locked: 1 | participant:11 | entry:12 | seq:40
//! ```

use super::{ParticipantId, Version};

const LOCKED: u64 = 1 << 63;
const PARTICIPANT_BITS: u32 = 11;
const ENTRY_BITS: u32 = 12;
const SEQ_BITS: u32 = 40;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
/// An entry's number is kept modulo `ENTRY_MASK + 1`: whoever follows a lock looks at every such entry of the record
/// for the one that names the cell. A record of up to 4,096 entries is found at the first look.
pub const ENTRY_MASK: u64 = (1 << ENTRY_BITS) - 1;

/// The decoded first word of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWord {
    /// Nobody changes the cell, whose value was committed at this version.
    Free(Version),
    /// An attempt holds the cell.
    Locked(LockedBy),
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedBy {
    /// The owner.
    pub participant: ParticipantId,
    /// Number of the entry in the owner's record, modulo 4,096.
    pub entry: u64,
    /// The owner's attempt.
    pub seq: u64,
}

impl LockWord {
    /// A free cell.
    #[inline]
    pub const fn free(version: Version) -> u64 {
        version.0 & !LOCKED
    }

    /// A cell held by an attempt.
    #[inline]
    pub const fn locked(by: LockedBy) -> u64 {
        LOCKED
            | (by.participant.0 as u64) << (ENTRY_BITS + SEQ_BITS)
            | (by.entry & ENTRY_MASK) << SEQ_BITS
            | (by.seq & SEQ_MASK)
    }

    /// What a cell holds whose entry is `entry`, if that of entry 0 of the same attempt holds `first`.
    #[inline]
    pub const fn with_entry(first: u64, entry: u64) -> u64 {
        first | (entry & ENTRY_MASK) << SEQ_BITS
    }

    /// The lock word of attempt `seq` of whose attempt 0 `first` is, both with entry 0.
    #[inline]
    pub const fn with_seq(first: u64, seq: u64) -> u64 {
        first | (seq & SEQ_MASK)
    }

    /// The entry that `word` names, if the same attempt holds it as holds `first`, a cell with entry 0. By one comparison.
    #[inline]
    pub const fn entry_beside(word: u64, first: u64) -> Option<u64> {
        if word & !(ENTRY_MASK << SEQ_BITS) == first { Some(word >> SEQ_BITS & ENTRY_MASK) } else { None }
    }

    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        match self {
            Self::Free(version) => Self::free(version),
            Self::Locked(by) => Self::locked(by),
        }
    }

    /// Unpacks the word. Every bit pattern means something; that the participant exists is the caller's check.
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        if word & LOCKED == 0 {
            return Self::Free(Version(word));
        }
        Self::Locked(LockedBy {
            participant: ParticipantId((word >> (ENTRY_BITS + SEQ_BITS)) as u16 & ((1 << PARTICIPANT_BITS) - 1)),
            entry: word >> SEQ_BITS & ENTRY_MASK,
            seq: word & SEQ_MASK,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_word_survives_unpacking(word: u64) {
            prop_assert_eq!(LockWord::unpack(word).pack(), word);
        }

        #[test]
        fn a_lock_keeps_its_owner(participant in 0u16..2047, entry in 0u64..1 << 20, seq in 0u64..1 << 40) {
            let by = LockedBy { participant: ParticipantId(participant), entry, seq };
            let expected = LockedBy { entry: entry & ENTRY_MASK, ..by };
            prop_assert_eq!(LockWord::unpack(LockWord::locked(by)), LockWord::Locked(expected));
        }

        #[test]
        fn a_lock_of_the_same_attempt_names_its_entry(
            participant in 0u16..2047, entry in 0u64..=ENTRY_MASK, seq in 0u64..1 << 40, bit in 0u32..64,
        ) {
            let by = LockedBy { participant: ParticipantId(participant), entry, seq };
            let first = LockWord::locked(LockedBy { entry: 0, ..by });
            let lock = LockWord::locked(by);
            prop_assert_eq!(LockWord::with_entry(first, entry), lock);
            prop_assert_eq!(LockWord::entry_beside(lock, first), Some(entry));
            // With any one bit changed it is another entry, or none of that attempt.
            let other = lock ^ 1 << bit;
            prop_assert_ne!(LockWord::entry_beside(other, first), Some(entry));
            let is_an_entry = (SEQ_BITS..SEQ_BITS + ENTRY_BITS).contains(&bit);
            prop_assert_eq!(LockWord::entry_beside(other, first).is_some(), is_an_entry);
        }
    }
}
