//! A superblock's header: what it is used for and who owns it, in one word that is changed by compare-exchange only.
//!
//! ```text
//! word 0  state = generation:24 | owner:16 (participant + 1, 0 = nobody) | detail:22 | kind:2
//!           kind 0 Unused      detail = its pages: 0 backed, 1 unsure, 2 punched. With an owner: claimed, being made into
//!                              something else, or its pages on their way. All ones: quarantined (see `fsck::repair`)
//!           kind 1 Small       detail = size class. Without an owner: orphaned
//!           kind 2 LargeHead   detail = superblocks of the run. With an owner: being taken apart by it
//!           kind 3 LargeTail   detail = distance to the head. Its owner is whoever built the run, and says nothing once
//!                              the head is a LargeHead
//! word 1  fresh: blocks from this index on were not used since the superblock was carved. Written by the owner
//! word 2  hints: bit g says that a block of group g may be FREE. Anybody sets bits, the owner takes them
//! word 3  not 0: a block of many names was made here since the superblock was carved. Written by the owner
//! word 4  witness: index of a block that was in use when somebody last looked whether all are FREE. A hint
//! word 5  carved: the generation that its blocks began with, if it is Small. Written by the owner
//! ```
//! The generation rises with every change of word 0, so that whoever slept fails its compare-exchange. It is also the
//! floor of the generations of blocks: a superblock that becomes Unused takes a generation above those of all its
//! blocks, and whoever carves it anew gives that generation to the new ones. So a stale handle stays stale whatever the
//! memory is used for next. Generation 0 is a superblock that nobody has claimed yet: its memory is still zero.

use crate::arena::{Arena, Geometry, Layout};
use crate::platform::Platform;
use crate::word::{Handle, ParticipantId, WordAddress};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::class::SizeClass;

const KIND_BITS: u32 = 2;
const DETAIL_BITS: u32 = 22;
const OWNER_BITS: u32 = 16;
const DETAIL_SHIFT: u32 = KIND_BITS;
const OWNER_SHIFT: u32 = DETAIL_SHIFT + DETAIL_BITS;
const GENERATION_SHIFT: u32 = OWNER_SHIFT + OWNER_BITS;
const _: () = assert!(GENERATION_SHIFT + 24 == u64::BITS);

/// Whether there is memory behind a superblock that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// There is: to touch it cannot fail.
    Backed,
    /// Somebody is giving it back or getting it, or was killed at it.
    Unsure,
    /// It was given back to the system. To touch it now would get it again, or fail where the system has none.
    Punched,
}

/// What a superblock is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing (or claimed, if it has an owner).
    Unused(Pages),
    /// Blocks of one size class.
    Small(SizeClass),
    /// The start of a block that takes several superblocks.
    LargeHead {
        /// How many.
        superblocks: u64,
    },
    /// A further superblock of such a block.
    LargeTail {
        /// How many superblocks before this one it starts.
        distance: u64,
    },
}

/// The decoded state word of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperblockState {
    /// How often the word has changed; floor of the generations of later blocks.
    pub generation: u64,
    /// Who may carve it, allocate from it or take it apart.
    pub owner: Option<ParticipantId>,
    /// What it is used for.
    pub used_for: Use,
}

impl SuperblockState {
    /// Packs the word.
    #[inline]
    pub fn pack(self) -> u64 {
        let (kind, detail) = match self.used_for {
            Use::Unused(pages) => (0, pages as u64),
            Use::Small(class) => (1, class.number() as u64),
            Use::LargeHead { superblocks } => (2, superblocks),
            Use::LargeTail { distance } => (3, distance),
        };
        let owner = self.owner.map_or(0, |owner| u64::from(owner.0) + 1);
        self.generation << GENERATION_SHIFT | owner << OWNER_SHIFT | detail << DETAIL_SHIFT | kind
    }

    /// Unpacks the word; `None` for what is never written in a space of this geometry. What unpacks packs to the same word.
    #[inline]
    pub fn unpack(word: u64, geometry: &Geometry) -> Option<Self> {
        let detail = word >> DETAIL_SHIFT & ((1 << DETAIL_BITS) - 1);
        let used_for = match word & ((1 << KIND_BITS) - 1) {
            0 => match detail {
                0 => Use::Unused(Pages::Backed),
                1 => Use::Unused(Pages::Unsure),
                2 => Use::Unused(Pages::Punched),
                _ => return None,
            },
            1 => Use::Small(SizeClass::from_number(detail, geometry)?),
            2 if (1..geometry.region_superblocks).contains(&detail) => Use::LargeHead { superblocks: detail },
            3 if (1..geometry.region_superblocks).contains(&detail) => Use::LargeTail { distance: detail },
            _ => return None,
        };
        let owner = match word >> OWNER_SHIFT & ((1 << OWNER_BITS) - 1) {
            0 => None,
            owner if owner <= geometry.participants => Some(ParticipantId((owner - 1) as u16)),
            _ => return None,
        };
        Some(Self { generation: word >> GENERATION_SHIFT, owner, used_for })
    }

    /// The generation after this one. 0 and 1 come once only: untouched, and claimed for the first time.
    #[inline]
    fn next_generation(self) -> u64 {
        match self.generation {
            0 => 1,
            generation => ((generation + 1) & Handle::GENERATION_MASK).max(2),
        }
    }

    /// True right after the first claim: the memory is zero, which is FREE in generation 0 for a block of any class.
    pub fn is_untouched(self) -> bool {
        self.generation == 1
    }

    /// True for a superblock that anybody may claim.
    pub fn is_unclaimed(self) -> bool {
        matches!(self.used_for, Use::Unused(_)) && self.owner.is_none()
    }
}

/// The detail of a superblock that nobody is to use: its header was damaged. It unpacks to nothing, so everybody passes it by.
const QUARANTINED: u64 = ((1 << DETAIL_BITS) - 1) << DETAIL_SHIFT;

/// Whether a header says that its superblock is quarantined.
pub fn is_quarantined(word: u64) -> bool {
    word & ((1 << GENERATION_SHIFT) - 1) == QUARANTINED
}

/// The later of two generations of a superblock or its blocks that have risen since `begun`. They wrap: a block rises with each use, a superblock with each change of its owner, and
/// neither comes round while the other stays.
fn later_generation(begun: u64, a: u64, b: u64) -> u64 {
    let ahead = |generation: u64| generation.wrapping_sub(begun) & Handle::GENERATION_MASK;
    if ahead(b) >= ahead(a) { b } else { a }
}

/// Places of one superblock that exists and holds no headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Its number.
    pub number: u64,
    /// First word of its memory.
    pub first: WordAddress,
    header: WordAddress,
}

impl Superblock {
    /// The superblock with this number; `None` if there is none or it holds headers.
    #[inline]
    pub fn at(layout: &Layout, number: u64) -> Option<Self> {
        if number >= layout.superblocks() || layout.is_header_superblock(number) {
            return None;
        }
        Some(Self { number, first: layout.superblock(number), header: layout.superblock_header(number) })
    }

    /// Its state; `None` for a damaged word.
    #[inline]
    pub fn state<P: Platform>(&self, arena: &Arena<P>) -> Option<SuperblockState> {
        SuperblockState::unpack(self.state_raw(arena), arena.layout().geometry())
    }

    /// Its state word.
    #[inline]
    pub fn state_raw<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        // Acquire: pairs with the AcqRel in `change`. Whoever sees a class sees the block states it was carved with.
        arena.platform().load(self.header, Acquire)
    }

    /// Changes use and owner, if the state still is `from`. Gives the new state.
    pub fn change<P: Platform>(
        &self,
        arena: &Arena<P>,
        from: SuperblockState,
        used_for: Use,
        owner: Option<ParticipantId>,
    ) -> Option<SuperblockState> {
        self.exchange(arena, from, SuperblockState { generation: from.next_generation(), owner, used_for })
    }

    /// Claims it for `owner`, if the state still is `from`. `None`, too: it is forgotten.
    pub fn claim<P: Platform>(
        &self,
        arena: &Arena<P>,
        from: SuperblockState,
        pages: Pages,
        owner: ParticipantId,
    ) -> Option<SuperblockState> {
        let claimed = self.change(arena, from, Use::Unused(pages), Some(owner))?;
        if from.generation == 0 && self.was_written(arena) {
            // AcqRel: as in `change`. To what it was: `fsck` is to find it.
            let _ = arena.platform().compare_exchange(self.header, claimed.pack(), from.pack(), AcqRel, Relaxed);
            return None;
        }
        Some(claimed)
    }

    /// Whether the header says that nobody has ever claimed it, and somebody has, by another word of it: damage has made it say so. Nobody is to have
    /// it: its blocks are not zero, and nobody knows what generations they have come to.
    pub fn is_forgotten<P: Platform>(&self, arena: &Arena<P>, state: SuperblockState) -> bool {
        state.generation == 0 && self.fresh_raw(arena) != 0
    }

    /// Whether there is, or was, a block at its beginning: there the first one is. For whoever has claimed it, or is alone in the space.
    pub fn was_written<P: Platform>(&self, arena: &Arena<P>) -> bool {
        arena.platform().load_optimistic(self.first) != 0
    }

    /// Makes it Unused, its pages there, if the state still is `from`, with a generation above `from`'s and above `newest_block`, which have risen since `begun`.
    pub fn release<P: Platform>(&self, arena: &Arena<P>, from: SuperblockState, begun: u64, newest_block: u64) -> bool {
        let newest = SuperblockState { generation: later_generation(begun, from.generation, newest_block), ..from };
        // A block's generation may have wrapped to 0: never back to "untouched".
        let generation = newest.next_generation().max(2);
        self.exchange(arena, from, SuperblockState { generation, owner: None, used_for: Use::Unused(Pages::Backed) })
            .is_some()
    }

    /// Says for good that nobody is to use it, if the header still holds `word`.
    pub fn quarantine<P: Platform>(&self, arena: &Arena<P>, word: u64) -> bool {
        let quarantined = word >> GENERATION_SHIFT << GENERATION_SHIFT | QUARANTINED;
        arena.platform().compare_exchange(self.header, word, quarantined, AcqRel, Acquire).is_ok()
    }

    /// Writes a header anew that unpacks to nothing, if it still holds `word`. Its generation, the best that is known, goes on.
    pub fn rewrite<P: Platform>(&self, arena: &Arena<P>, word: u64, used_for: Use) -> bool {
        let before = SuperblockState { generation: word >> GENERATION_SHIFT, owner: None, used_for };
        let generation = before.next_generation().max(2);
        let state = SuperblockState { generation, ..before };
        arena.platform().compare_exchange(self.header, word, state.pack(), AcqRel, Acquire).is_ok()
    }

    fn exchange<P: Platform>(
        &self,
        arena: &Arena<P>,
        from: SuperblockState,
        to: SuperblockState,
    ) -> Option<SuperblockState> {
        // AcqRel: the next owner must see what the last one wrote, and nothing that it read may be overtaken by what the
        // next one writes. Acquire and Release pair with each other, claim with release, adoption with orphaning.
        arena.platform().compare_exchange(self.header, from.pack(), to.pack(), AcqRel, Acquire).ok().map(|_| to)
    }

    /// Index from which on blocks were not used yet, as far as `blocks`.
    pub fn fresh<P: Platform>(&self, arena: &Arena<P>, blocks: u64) -> u64 {
        // Relaxed: the owner reads its own word; recovery reads that of the dead; others take it for a hint.
        self.fresh_raw(arena).min(blocks)
    }

    /// The word itself, which damage may have made larger than any index.
    pub fn fresh_raw<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        arena.platform().load(self.header.offset(1), Relaxed)
    }

    /// Whether a block of many names may be here.
    pub fn has_many_names<P: Platform>(&self, arena: &Arena<P>) -> bool {
        // Relaxed: whoever has to see a block has acquired something that was released after it was made.
        arena.platform().load(self.header.offset(3), Relaxed) != 0
    }

    /// Notes one, before it is published. By whoever has made it here.
    pub fn note_many_names<P: Platform>(&self, arena: &Arena<P>) {
        if !self.has_many_names(arena) {
            arena.platform().store(self.header.offset(3), 1, Relaxed);
        }
    }

    /// None is here: the superblock is being carved. By its owner.
    pub fn forget_many_names<P: Platform>(&self, arena: &Arena<P>) {
        // Relaxed: published with the change of the state.
        arena.platform().store(self.header.offset(3), 0, Relaxed);
    }

    /// Raises the index, before any of the blocks below it is used. By the owner only.
    pub fn set_fresh<P: Platform>(&self, arena: &Arena<P>, index: u64) {
        // Relaxed: a single writer, in program order before the first use of the blocks below.
        arena.platform().store(self.header.offset(1), index, Relaxed);
    }

    /// Says that blocks of some groups may be FREE. Gives the groups of which that is said now.
    #[inline]
    pub fn add_hints<P: Platform>(&self, arena: &Arena<P>, groups: u64) -> u64 {
        // Release: pairs with the Acquire in `take_hints`. Whoever takes the bit sees the block FREE.
        arena.platform().fetch_or(self.header.offset(2), groups, Release) | groups
    }

    /// The groups that have blocks which were used since the superblock was carved.
    pub fn used_groups<P: Platform>(&self, arena: &Arena<P>, class: SizeClass) -> u64 {
        let blocks = class.blocks(arena.layout().geometry());
        match self.fresh(arena, blocks) {
            0 => 0,
            used => u64::MAX >> (63 - ((used - 1) >> group_shift(blocks))),
        }
    }

    /// The groups of which blocks may be FREE, as a look.
    pub fn hints<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        // Relaxed: only decides whether `take_hints` is worth its price.
        arena.platform().load(self.header.offset(2), Relaxed)
    }

    /// Takes all hints. By the owner only.
    pub fn take_hints<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        // Acquire: pairs with the Release in `add_hints`.
        arena.platform().swap(self.header.offset(2), 0, Acquire)
    }

    /// The block with this index.
    #[inline]
    pub fn block(&self, class: SizeClass, index: u64) -> WordAddress {
        self.first.offset(index * class.words())
    }

    /// The generation that its blocks began with.
    pub fn carved<P: Platform>(&self, arena: &Arena<P>) -> u64 {
        // Relaxed: whoever sees the class has acquired what was stored before. Masked: damage may have made it anything.
        arena.platform().load(self.header.offset(5), Relaxed) & Handle::GENERATION_MASK
    }

    /// Says what they begin with. By the owner, who is carving it.
    pub fn set_carved<P: Platform>(&self, arena: &Arena<P>, generation: u64) {
        // Relaxed: published with the change of the state.
        arena.platform().store(self.header.offset(5), generation, Relaxed);
    }

    /// Whether one that is nobody's may have a FREE block: some were never used, or a hint says so. With `groups` its blocks are looked at themselves.
    #[inline(never)] // A frame of its own: whoever joins is deep in the stack already.
    pub fn may_have_free<P: Platform>(&self, arena: &Arena<P>, class: SizeClass, groups: u64) -> bool {
        let blocks = class.blocks(arena.layout().geometry());
        let used = self.fresh(arena, blocks);
        // Optimistic: it may be given back meanwhile and used for something else; then whoever wants to adopt it fails.
        let is_free =
            |index| super::free_generation(arena.platform().load_optimistic(self.block(class, index))).is_some();
        used < blocks || self.hints(arena) != 0 || groups != 0 && (0..used).any(is_free)
    }

    /// Looks at all blocks that were ever used: `None` if one is in use (or damaged), else the newest generation of any.
    ///
    /// Begins with the one that was in use the last time: where blocks are freed one by one, each is looked at a few times in all.
    pub fn newest_if_all_free<P: Platform>(&self, arena: &Arena<P>, class: SizeClass, carved: u64) -> Option<u64> {
        let used = self.fresh(arena, class.blocks(arena.layout().geometry()));
        let witness = self.header.offset(4);
        // Relaxed: where to begin is all the same.
        let begin = arena.platform().load(witness, Relaxed).min(used);
        let mut newest = carved;
        for index in (begin..used).chain(0..begin) {
            // Acquire: pairs with the Release of the free. Its last user is done before somebody carves the memory anew.
            let word = arena.platform().load(self.block(class, index), Acquire);
            let Some(generation) = super::free_generation(word) else {
                if index != begin {
                    arena.platform().store(witness, index, Relaxed);
                }
                return None;
            };
            newest = later_generation(carved, newest, generation);
        }
        Some(newest)
    }
}

/// The hint bit of the block with this index, among `blocks`.
#[inline]
pub fn group_bit(blocks: u64, index: u64) -> u64 {
    1 << (index >> group_shift(blocks))
}

/// Groups are powers of two of blocks, so that 64 suffice.
#[inline]
pub fn group_shift(blocks: u64) -> u32 {
    (u64::BITS - (blocks - 1).leading_zeros()).saturating_sub(6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn geometry() -> Geometry {
        Geometry::for_bytes(64 << 20).unwrap()
    }

    fn any_use() -> impl Strategy<Value = Use> {
        prop_oneof![
            prop_oneof![Just(Pages::Backed), Just(Pages::Unsure), Just(Pages::Punched)].prop_map(Use::Unused),
            (0..SizeClass::COUNT as u64)
                .prop_map(|number| Use::Small(SizeClass::from_number(number, &geometry()).unwrap())),
            (1u64..1024).prop_map(|superblocks| Use::LargeHead { superblocks }),
            (1u64..1024).prop_map(|distance| Use::LargeTail { distance }),
        ]
    }

    proptest! {
        #[test]
        fn a_state_survives_packing(
            generation in 0u64..1 << 24,
            owner in proptest::option::of(0u16..1024),
            used_for in any_use(),
        ) {
            let state = SuperblockState { generation, owner: owner.map(ParticipantId), used_for };
            prop_assert_eq!(SuperblockState::unpack(state.pack(), &geometry()), Some(state));
        }

        #[test]
        fn what_unpacks_packs_to_the_same_word(word: u64, low in 0u64..1 << 26) {
            for word in [word, word & !((1 << 26) - 1) | low, word << 40 | low] {
                if let Some(state) = SuperblockState::unpack(word, &geometry()) {
                    prop_assert_eq!(state.pack(), word);
                }
            }
        }

        #[test]
        fn generations_rise_and_never_come_back_to_untouched(generation in 1u64..1 << 24, block in 0u64..1 << 24) {
            let state = SuperblockState { generation, owner: None, used_for: Use::Unused(Pages::Backed) };
            prop_assert!(state.next_generation() >= 2);
            prop_assert_ne!(state.next_generation(), generation);
            prop_assert_eq!(later_generation(generation, generation, block), block, "all that is not the beginning is later");
        }

        /// Whichever of the two has risen further, and wherever they began.
        #[test]
        fn what_has_risen_further_is_later(begun in 0u64..1 << 24, uses in 0u64..1 << 24, changes in 0u64..1 << 24) {
            let after = |steps: u64| (begun + steps) & Handle::GENERATION_MASK;
            let further = after(uses.max(changes));
            prop_assert_eq!(later_generation(begun, after(uses), after(changes)), further);
            prop_assert_eq!(later_generation(begun, after(changes), after(uses)), further);
        }

        #[test]
        fn every_block_has_one_of_64_groups(blocks in 1u64..5000) {
            prop_assert!((blocks - 1) >> group_shift(blocks) < 64);
        }
    }

    #[test]
    fn zeroed_memory_is_an_unclaimed_superblock() {
        let state = SuperblockState::unpack(0, &geometry()).unwrap();
        assert!(state.is_unclaimed());
        assert_eq!(state.next_generation(), 1);
    }
}
