//! The state word of a block, the only truth about it: `generation:24 | owner:16 | kind:16 | phase:8`.
//!
//! The block header is two words: this one, then one that `mark` describes. Payload follows.

use super::{Handle, ParticipantId};

/// Words before a block's payload.
pub const BLOCK_HEADER_WORDS: u64 = 2;

/// Whether a block is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockPhase {
    /// Nobody's.
    Free = 0,
    /// Made by an attempt of its owner that has not committed (or not tidied up) yet.
    Private = 1,
    /// Part of the committed state.
    Live = 2,
    /// Taken out of the committed state by its owner's commit. Those who were at work then may still read it.
    Retired = 3,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum BlockKind {
    /// Nothing.
    None = 0,
    /// Immutable text: length in bytes, hash, UTF-8.
    Text = 1,
    /// Immutable bytes: length in bytes, hash, bytes.
    Bytes = 2,
    /// Immutable int that is too large for a word: sign and length, little-endian magnitude.
    Int = 3,
    /// Immutable float whose exponent does not fit in place.
    Float = 4,
    /// Immutable tuple: length, hash or 0, then values.
    Tuple = 5,
    /// Mutable list.
    List = 6,
    /// Mutable dict.
    Dict = 7,
    /// Bounded queue.
    Queue = 8,
    /// An array of cells that belongs to a container.
    Cells = 9,
    /// One entry of a dict: hash, key, place, value.
    DictEntry = 10,
    /// The bucket array of a dict.
    DictTable = 11,
    /// Entries of a dict that share a bucket; immutable.
    DictBucket = 12,
    /// A piece of a participant's record ring or read log.
    Log = 13,
    /// A piece of the table of what a process holds outside of the space.
    Holds = 14,
}

impl BlockKind {
    /// Whether blocks of this kind are mutable objects, which any number of words may name.
    #[inline]
    pub const fn is_container(self) -> bool {
        matches!(self, Self::List | Self::Dict | Self::Queue)
    }

    /// Whether a value may name blocks of this kind.
    #[inline]
    pub const fn can_be_named(self) -> bool {
        !matches!(self, Self::None | Self::Log | Self::Holds)
    }

    /// All kinds, by number.
    pub const ALL: [Self; 15] = [
        Self::None,
        Self::Text,
        Self::Bytes,
        Self::Int,
        Self::Float,
        Self::Tuple,
        Self::List,
        Self::Dict,
        Self::Queue,
        Self::Cells,
        Self::DictEntry,
        Self::DictTable,
        Self::DictBucket,
        Self::Log,
        Self::Holds,
    ];
}

/// The decoded state word of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockState {
    /// How often the block was used before.
    pub generation: u64,
    /// Who made it, while it is `Private` or `Live`; who has retired it, while it is `Retired`.
    pub owner: ParticipantId,
    /// What it holds.
    pub kind: BlockKind,
    /// Whether it is in use.
    pub phase: BlockPhase,
}

impl BlockState {
    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        (self.generation & 0xff_ffff) << 40 | (self.owner.0 as u64) << 24 | (self.kind as u64) << 8 | self.phase as u64
    }

    /// Whether `word` is the state of a block of `kind` that is in use, in the generation that `handle` names, whoever made
    /// it: what nearly every look at a block finds, in two comparisons.
    #[inline]
    pub const fn is_in_use(word: u64, handle: Handle, kind: BlockKind) -> bool {
        // PRIVATE, LIVE and RETIRED are the phases 1 to 3.
        Self::is_of(word, handle, kind, BlockPhase::Private as u32, 3)
    }

    /// The same for a block that is PRIVATE to nobody, and RETIRED by nobody.
    #[inline]
    pub const fn is_live(word: u64, handle: Handle, kind: BlockKind) -> bool {
        Self::is_of(word, handle, kind, BlockPhase::Live as u32, 1)
    }

    #[inline(always)]
    const fn is_of(word: u64, handle: Handle, kind: BlockKind, first_phase: u32, phases: u32) -> bool {
        const KIND_AND_PHASE: u32 = (1 << 24) - 1;
        // A handle has its generation where the word has it.
        let first = (kind as u32) << 8 | first_phase;
        (word ^ handle.raw()) >> 40 == 0 && (word as u32 & KIND_AND_PHASE).wrapping_sub(first) < phases
    }

    /// Whether `word` is the state of a block that is PRIVATE to `owner`, or was RETIRED by him, in the generation that `handle` names. Of
    /// the kind only that it has four bits is asked, in the same comparison.
    #[inline(always)]
    pub const fn is_own(word: u64, handle: Handle, owner: ParticipantId) -> bool {
        const KIND: u64 = 0xf << 8;
        const _: () = assert!(BlockState::KINDS <= 16);
        // PRIVATE and RETIRED are the odd phases of those that exist.
        const EITHER: u64 = BlockPhase::Private as u64 ^ BlockPhase::Retired as u64;
        let private = handle.generation() << 40 | (owner.0 as u64) << 24 | BlockPhase::Private as u64;
        (word ^ private) & !(KIND | EITHER) == 0
    }

    const KINDS: u64 = BlockKind::ALL.len() as u64;

    /// Unpacks the word; `None` for a kind or phase that does not exist.
    #[inline]
    pub fn unpack(word: u64) -> Option<Self> {
        let kind = *BlockKind::ALL.get((word >> 8 & 0xffff) as usize)?;
        let phase = match word & 0xff {
            0 => BlockPhase::Free,
            1 => BlockPhase::Private,
            2 => BlockPhase::Live,
            3 => BlockPhase::Retired,
            _ => return None,
        };
        Some(Self { generation: word >> 40, owner: ParticipantId((word >> 24) as u16), kind, phase })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_state_survives_packing(generation in 0u64..1 << 24, owner: u16, kind in 0..BlockKind::ALL.len(), phase in 0u8..4) {
            let phases = [BlockPhase::Free, BlockPhase::Private, BlockPhase::Live, BlockPhase::Retired];
            let phase = phases[phase as usize];
            let state = BlockState { generation, owner: ParticipantId(owner), kind: BlockKind::ALL[kind], phase };
            prop_assert_eq!(BlockState::unpack(state.pack()), Some(state));
        }

        #[test]
        fn a_block_of_mine_is_known_by_owner_and_phase(
            generation in 0u64..2,
            owner in 0u16..2,
            kind in prop_oneof![12u64..20, 0u64..1 << 16],
            phase in prop_oneof![0u64..5, 0u64..256],
        ) {
            let word = generation << 40 | u64::from(owner) << 24 | kind << 8 | phase;
            let handle = Handle::new(crate::word::WordAddress::new(4096), 1);
            // Kind 15 does not exist, but has four bits.
            let of_any_kind = if kind == 15 { word & !(0xf << 8) } else { word };
            let mine = BlockState::unpack(of_any_kind).is_some_and(|state| {
                let phase = matches!(state.phase, BlockPhase::Private | BlockPhase::Retired);
                state.generation == 1 && state.owner == ParticipantId(1) && phase
            });
            prop_assert_eq!(BlockState::is_own(word, handle, ParticipantId(1)), mine);
        }

        #[test]
        fn a_block_in_use_is_known_by_its_generation_and_kind(
            generation in 0u64..2,
            owner: u16,
            kind in 0..BlockKind::ALL.len(),
            phase in 0u64..256,
        ) {
            let handle = Handle::new(crate::word::WordAddress::new(4096), 1);
            let (owner, kind) = (ParticipantId(owner), BlockKind::ALL[kind]);
            let state = BlockState { generation, owner, kind, phase: BlockPhase::Free };
            let word = state.pack() | phase;
            for asked in BlockKind::ALL {
                let told = generation == 1 && state.kind == asked && (1..=3).contains(&phase);
                prop_assert_eq!(BlockState::is_in_use(word, handle, asked), told);
                let live = phase == BlockPhase::Live as u64;
                prop_assert_eq!(BlockState::is_live(word, handle, asked), told && live);
            }
        }
    }

    #[test]
    fn kinds_stand_at_their_numbers() {
        for (number, kind) in BlockKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
    }
}
