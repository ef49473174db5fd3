//! What a dead (or leaving) participant left: PRIVATE blocks, superblocks, runs half made or half taken apart.
//!
//! ```text
//! Small of the dead           its PRIVATE blocks -> FREE; then Unused if all are FREE, else orphaned
//! Unused of the dead          a claim: given back, with what was known of its pages
//! LargeTail of the dead       without a complete head: a claim, given back
//! LargeHead of the dead       being taken apart: taken apart
//! LargeHead of nobody         a block PRIVATE to the dead -> FREE; a FREE block: taken apart in the name of the dead
//! ```
//! PRIVATE blocks of the dead lie in its own superblocks or are runs: nobody allocates from another's superblock, and a
//! superblock leaves its owner only after its PRIVATE blocks. Every step is a compare-exchange from a word that was read
//! *before* asking whether the dead is still to be recovered. Thus several may do this, any may die in it, and one that
//! slept until the number belonged to somebody else fails: the words it read then have another generation.

use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::{BlockPhase, BlockState, Handle, ParticipantId, WordAddress};
use std::sync::atomic::Ordering::Acquire;

use super::cache::{give_back_if_empty, set_free};
use super::class::SizeClass;
use super::superblock::{Pages, Superblock, SuperblockState, Use, group_bit};
use super::{large, supply};

/// Frees the PRIVATE blocks of a dead (or leaving) participant and orphans its superblocks. Re-runnable; any may die in it.
///
/// The number must not be given to anybody else while this runs: where that is not certain, use [`recover_while`]. Gives the number of superblocks
/// that are empty now.
pub fn recover<P: Platform>(arena: &Arena<P>, dead: ParticipantId) -> u64 {
    recover_while(arena, dead, || true)
}

/// The same for as long as `still_dead` says that the number is the dead one's: it is asked between reading a word and
/// changing it, and must load with Acquire what the last recoverer stores with Release (or a compare-exchange) at the end.
pub fn recover_while<P: Platform>(arena: &Arena<P>, dead: ParticipantId, still_dead: impl Fn() -> bool) -> u64 {
    let mut given_back = 0;
    for number in 0..supply::frontier(arena) {
        let Some(superblock) = Superblock::at(arena.layout(), number) else { continue };
        // A damaged word is left for fsck to report.
        let Some(state) = superblock.state(arena) else { continue };
        let of_the_dead = state.owner == Some(dead);
        match state.used_for {
            Use::Small(class) if of_the_dead => {
                given_back += u64::from(clear_small(arena, &superblock, state, class, dead, &still_dead));
            }
            Use::Unused(pages) if of_the_dead => give_back(arena, &superblock, state, pages, &still_dead),
            // The tail was read first: had its run been taken apart and its head used anew since, the tail would have been
            // given back before, and the compare-exchange fails.
            Use::LargeTail { distance } if of_the_dead && large::is_headless(arena, number, distance) => {
                give_back(arena, &superblock, state, Pages::Backed, &still_dead);
            }
            Use::LargeHead { .. } if of_the_dead && still_dead() => large::dismantle(arena, &superblock, state, dead),
            Use::LargeHead { .. } if state.owner.is_none() => {
                free_if_private(arena, superblock.first, dead, &still_dead);
                if still_dead() {
                    large::dismantle(arena, &superblock, state, dead);
                }
            }
            _ => {}
        }
    }
    given_back
}

fn clear_small<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    class: SizeClass,
    dead: ParticipantId,
    still_dead: &impl Fn() -> bool,
) -> bool {
    let blocks = class.blocks(arena.layout().geometry());
    let (used, mut free) = (superblock.fresh(arena, blocks), 0);
    // Blocks that were never used are FREE: the owner raises the index before it uses them.
    for index in 0..used {
        if free_if_private(arena, superblock.block(class, index), dead, still_dead) {
            free |= group_bit(blocks, index);
        }
    }
    // The state was read before all this, and was the dead one's then: what follows fails if it is no more.
    let still_dead = still_dead();
    let given_back = still_dead && give_back_if_empty(arena, superblock, state, class);
    if still_dead && !given_back {
        // What the magazine of the dead knew, which nobody else does. Before it is nobody's: where all were used, who finds no hint adopts nothing.
        if used == blocks && free != 0 {
            superblock.add_hints(arena, free);
        }
        superblock.change(arena, state, state.used_for, None);
    }
    given_back
}

/// True: the block is FREE now.
fn free_if_private<P: Platform>(
    arena: &Arena<P>,
    block: WordAddress,
    dead: ParticipantId,
    still_dead: &impl Fn() -> bool,
) -> bool {
    // Acquire: what the dead published before it died is decided by now; we must not free what is LIVE.
    let Some(state) = BlockState::unpack(arena.platform().load(block, Acquire)) else { return false };
    if state.phase == BlockPhase::Private && state.owner == dead && still_dead() {
        // Fails if another recoverer was faster: it is FREE then, too. It cannot meet the block PRIVATE in this generation under a new owner
        // of the number: that would be a later generation.
        set_free(arena, Handle::new(block, state.generation), dead);
        return true;
    }
    state.phase == BlockPhase::Free
}

fn give_back<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    pages: Pages,
    still_dead: &impl Fn() -> bool,
) {
    if still_dead() && superblock.change(arena, state, Use::Unused(pages), None).is_some() {
        supply::note_returned(arena, superblock.number);
    }
}
