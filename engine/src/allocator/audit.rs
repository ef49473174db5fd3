//! What must hold of superblocks and blocks, looked for word by word. Reads only.
//!
//! In a space at rest (everybody gone, idle, or recovered) every deviation is damage. In a live one a superblock whose
//! header changed while it was looked at is left out, and what the living are in the middle of is not damage.

use crate::arena::{Arena, HotWord, SUPERBLOCK_HEADER_WORDS};
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, ParticipantId, WordAddress};
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::class::SizeClass;
use super::superblock::{Superblock, SuperblockState, Use, is_quarantined};
use super::{free_generation, large, supply};

/// Something that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Frontier, committed count or hint contradict each other or the size of the space.
    Supply {
        /// The frontier.
        frontier: u64,
        /// The committed count.
        committed: u64,
        /// The hint.
        hint: u64,
    },
    /// A header that nothing of ours writes.
    Header {
        /// Number of the superblock.
        superblock: u64,
        /// What was read.
        word: u64,
    },
    /// A superblock at or above the frontier that is not untouched.
    AboveFrontier {
        /// Number of the superblock.
        superblock: u64,
    },
    /// A superblock whose owner does not exist.
    OwnerGone {
        /// Number of the superblock.
        superblock: u64,
        /// Who is said to own it.
        owner: ParticipantId,
    },
    /// A superblock that nobody is said to have claimed yet, and that is not empty.
    Forgotten {
        /// Number of the superblock.
        superblock: u64,
    },
    /// A run of superblocks half made or half taken apart, and nobody at work on it.
    Unfinished {
        /// Number of the superblock.
        superblock: u64,
    },
    /// More blocks said to be used than there are, or a block in use behind the last used one.
    Fresh {
        /// Number of the superblock.
        superblock: u64,
        /// What the header says.
        fresh: u64,
    },
    /// A block state that nothing of ours writes.
    Block {
        /// The block.
        block: WordAddress,
        /// What was read.
        word: u64,
    },
    /// A PRIVATE block whose owner does not exist.
    PrivateOfTheGone {
        /// The block.
        block: WordAddress,
        /// Whose it is said to be.
        owner: ParticipantId,
    },
    /// A PRIVATE block in a superblock that belongs to another.
    PrivateInForeign {
        /// The block.
        block: WordAddress,
        /// Whose it is said to be.
        owner: ParticipantId,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Supply { frontier, committed, hint } => {
                write!(
                    f,
                    "superblocks: frontier {frontier}, committed {committed} and hint {hint} contradict each other"
                )
            }
            Self::Header { superblock, word } => write!(f, "superblock {superblock}: the header holds {word:#018x}"),
            Self::AboveFrontier { superblock } => {
                write!(f, "superblock {superblock} is in use but was never handed out")
            }
            Self::OwnerGone { superblock, owner } => {
                write!(f, "superblock {superblock} belongs to participant {}, who is gone", owner.0)
            }
            Self::Forgotten { superblock } => {
                write!(f, "superblock {superblock} was never handed out, by its header, and is not empty")
            }
            Self::Unfinished { superblock } => {
                write!(f, "superblock {superblock} is part of a run that is half made or half given back")
            }
            Self::Fresh { superblock, fresh } => {
                write!(f, "superblock {superblock}: blocks from {fresh} on are said to be unused, and that is not so")
            }
            Self::Block { block, word } => {
                write!(f, "the block at byte {} has the state {word:#018x}", block.byte_offset())
            }
            Self::PrivateOfTheGone { block, owner } => {
                write!(
                    f,
                    "the block at byte {} is private to participant {}, who is gone",
                    block.byte_offset(),
                    owner.0
                )
            }
            Self::PrivateInForeign { block, owner } => write!(
                f,
                "the block at byte {} is private to participant {}, but lies in a superblock of another",
                block.byte_offset(),
                owner.0
            ),
        }
    }
}

/// Superblock headers against block states and owners, in a space at rest. `owner_lives(id)`: participant `id` is in use.
/// Gives a sentence per finding.
pub fn fsck<P: Platform>(
    arena: &Arena<P>,
    owner_lives: impl Fn(ParticipantId) -> bool,
    mut report: impl FnMut(String),
) {
    audit(arena, true, owner_lives, |damage| report(damage.to_string()));
}

/// The same with findings as values. `at_rest`: nobody is at work in the space.
pub fn audit<P: Platform>(
    arena: &Arena<P>,
    at_rest: bool,
    owner_lives: impl Fn(ParticipantId) -> bool,
    mut report: impl FnMut(Damage),
) {
    let auditor = Auditor { arena, at_rest, owner_lives };
    auditor.supply(&mut report);
    for number in 0..supply::frontier(arena) {
        let Some(superblock) = Superblock::at(arena.layout(), number) else { continue };
        let word = superblock.state_raw(arena);
        let mut found = Vec::new();
        auditor.superblock(&superblock, word, &mut |damage| found.push(damage));
        if at_rest || superblock.state_raw(arena) == word {
            found.into_iter().for_each(&mut report);
        }
    }
}

struct Auditor<'a, P, L> {
    arena: &'a Arena<P>,
    at_rest: bool,
    owner_lives: L,
}

impl<P: Platform, L: Fn(ParticipantId) -> bool> Auditor<'_, P, L> {
    fn supply(&self, report: &mut dyn FnMut(Damage)) {
        let layout = self.arena.layout();
        // Acquire, in this order: the committed count is raised before the frontier.
        let load = |word| self.arena.platform().load(layout.hot(word), Acquire);
        let frontier = load(HotWord::SuperblockFrontier);
        let committed = load(HotWord::CommittedSuperblocks);
        let hint = load(HotWord::FreeSuperblockHint);
        if frontier > committed || committed > layout.superblocks() || hint > layout.superblocks() {
            report(Damage::Supply { frontier, committed, hint });
        }
        if self.at_rest {
            for number in supply::frontier(self.arena)..supply::committed(self.arena) {
                if Superblock::at(layout, number).is_some_and(|superblock| superblock.state_raw(self.arena) != 0) {
                    report(Damage::AboveFrontier { superblock: number });
                }
            }
        }
    }

    fn superblock(&self, superblock: &Superblock, word: u64, report: &mut dyn FnMut(Damage)) {
        let number = superblock.number;
        if is_quarantined(word) {
            return;
        }
        let Some(state) = SuperblockState::unpack(word, self.arena.layout().geometry()) else {
            return report(Damage::Header { superblock: number, word });
        };
        let owner_gone = state.owner.filter(|owner| !(self.owner_lives)(*owner));
        match state.used_for {
            Use::LargeTail { distance } => {
                // The owner of a tail that has a head says nothing.
                if !large::has_head(self.arena, number, distance) && (self.at_rest || owner_gone.is_some()) {
                    report(Damage::Unfinished { superblock: number });
                }
                return;
            }
            Use::Small(class) => self.blocks(superblock, state, class, report),
            Use::LargeHead { superblocks } => self.run(superblock, state, superblocks, report),
            Use::Unused(_) if self.at_rest && state.owner.is_some() && owner_gone.is_none() => {
                report(Damage::Unfinished { superblock: number });
            }
            Use::Unused(_) if word == 0 && !self.is_empty(superblock) => {
                report(Damage::Forgotten { superblock: number });
            }
            Use::Unused(_) => {}
        }
        if let Some(owner) = owner_gone {
            report(Damage::OwnerGone { superblock: number, owner });
        }
    }

    /// Of one that nobody has claimed yet. (If somebody does meanwhile its header is another one by then.)
    fn is_empty(&self, superblock: &Superblock) -> bool {
        let platform = self.arena.platform();
        let header = self.arena.layout().superblock_header(superblock.number);
        let words = self.arena.layout().geometry().superblock_words;
        // Relaxed: only the words themselves are looked at. Optimistic: of whatever kind they are by then.
        (1..SUPERBLOCK_HEADER_WORDS).all(|word| platform.load(header.offset(word), Relaxed) == 0)
            && (0..words).all(|word| platform.load_optimistic(superblock.first.offset(word)) == 0)
    }

    fn blocks(
        &self,
        superblock: &Superblock,
        state: SuperblockState,
        class: SizeClass,
        report: &mut dyn FnMut(Damage),
    ) {
        let blocks = class.blocks(self.arena.layout().geometry());
        let mut used = 0;
        for index in 0..blocks {
            let block = superblock.block(class, index);
            if let Some(found) = self.block(block, report) {
                used = index + 1;
                if found.phase == BlockPhase::Private && state.owner != Some(found.owner) {
                    report(Damage::PrivateInForeign { block, owner: found.owner });
                }
            }
        }
        // Read after the blocks: the owner raises it before it uses them.
        let fresh = superblock.fresh_raw(self.arena);
        if fresh > blocks || used > fresh {
            report(Damage::Fresh { superblock: superblock.number, fresh });
        }
    }

    fn run(&self, head: &Superblock, state: SuperblockState, superblocks: u64, report: &mut dyn FnMut(Damage)) {
        let found = self.block(head.first, report);
        let whole = (1..superblocks).all(|distance| {
            let tail = Superblock::at(self.arena.layout(), head.number + distance);
            let tail = tail.and_then(|tail| tail.state(self.arena));
            tail.is_some_and(|tail| tail.used_for == Use::LargeTail { distance })
        });
        let being_given_back = found.is_none() && !self.at_rest;
        if (!whole || found.is_none() || state.owner.is_some()) && !being_given_back {
            report(Damage::Unfinished { superblock: head.number });
        }
    }

    /// Looks at one state word; gives the state if the block is in use.
    fn block(&self, block: WordAddress, report: &mut dyn FnMut(Damage)) -> Option<BlockState> {
        debug_assert!(block.index() + BLOCK_HEADER_WORDS <= self.arena.layout().geometry().space_words);
        // Relaxed: only the word itself is looked at.
        let word = self.arena.platform().load(block, Relaxed);
        if free_generation(word).is_some() {
            return None;
        }
        let state = BlockState::unpack(word)
            .filter(|state| state.phase != BlockPhase::Free && state.kind != BlockKind::None)
            .or_else(|| {
                report(Damage::Block { block, word });
                None
            })?;
        // Unless it was published, and its owner has left, in the middle of this look. Relaxed: behind the acquire of his claim.
        let is_unchanged = || self.arena.platform().load(block, Relaxed) == word;
        if state.phase == BlockPhase::Private && !(self.owner_lives)(state.owner) && is_unchanged() {
            report(Damage::PrivateOfTheGone { block, owner: state.owner });
        }
        Some(state)
    }
}
