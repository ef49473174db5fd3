//! Damage in a space that nobody has open: what nothing names is freed, what has one answer is mended, all else is said and left.
//!
//! ```text
//! alone     proof that nobody else is there; what processes and participants left     mended    what was done, and the sentence for each
//! reach     what words in use name, and whether all of them can be read               blocks    cells, marks, blocks that nothing names
//! tables    pieces of logs and of tables of what is held                              (superblocks: `allocator::repair`)
//! ```
//! **Steps.** The liveness bytes of all process slots are taken, so that nobody is there and nobody can join; a process that
//! has lost its byte and lives counts as being there. Then: counts of superblocks; process slots; participants; all that the root leads
//! to; pieces of logs and tables; blocks; cells; superblocks; and a check as [`super::fsck_at_rest`] makes it, which says what is left.
//!
//! **Nothing is guessed.** If a word that is in use cannot be read, or names a block that is not there, then what it meant may be any block
//! that nothing names: then none is freed, and how much that is is said ([`Repaired::unnamed`]). Data is never written.
//!
//! **Killed at any step.** Each step is one that the next repairer, or in its part the next who joins, goes on with. What nothing names is
//! condemned first, all of it, and freed then: so what is left in between names only what is there, or is known for garbage. So a repair may be interrupted
//! between steps, too ([`repair_unless`]).

mod alone;
mod blocks;
mod mended;
mod reach;
mod tables;

pub use mended::{Mended, Unnamed};

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::{Finding, check};
use crate::allocator;
use crate::arena::{Arena, HotWord, Layout};
use crate::collection;
use crate::platform::{OutOfPages, Platform};
use crate::reclamation;
use crate::space::{JoinError, Space};
use crate::word::{Cycle, ProcessSlotId};
use alone::Alone;
pub(super) use reach::Reached;

/// Why a space cannot be repaired now. Nothing was changed but what whoever joins changes, unless it was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// There is no place for the repairer.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Somebody has the space open.
    #[error("the space is in use by {}: it can be repaired when no process has it open", who(*.slot, *.pid))]
    InUse {
        /// The process slot.
        slot: ProcessSlotId,
        /// The process, as far as it has said so.
        pid: Option<u32>,
    },
    /// The headers of superblocks cannot be looked at.
    #[error(transparent)]
    Pages(#[from] OutOfPages),
    /// The caller wanted no more of it: what was done stays, the rest is left to the next repair.
    #[error("the repair was interrupted: the next one does the rest")]
    Interrupted,
}

fn who(slot: ProcessSlotId, pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => format!("the process that holds process slot {}", slot.0),
    }
}

/// What a repair has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was done, in order.
    pub mended: Vec<Mended>,
    /// What is left, as the next check of the space at rest says it.
    pub left: Vec<Finding>,
    /// Blocks that nothing names and that were kept all the same, for a word that is in use cannot be read.
    pub unnamed: Option<Unnamed>,
}

/// Repairs the space in `platform`, which this process has not joined. Leaves it when done.
///
/// Cost: a look at each word of the space that may lead on, three or four times, and a few words of memory for each block.
///
/// # Errors
/// [`RepairError::InUse`]: any process has the space open, this one (by another `Space`) included. Others as they say.
pub fn repair<P: Platform>(platform: P, layout: Layout) -> Result<Repaired, RepairError> {
    repair_unless(platform, layout, &mut || false)
}

/// The same, and no further where `is_interrupted` says so, which is asked before most steps.
///
/// # Errors
/// [`RepairError::Interrupted`] then. Others as those of [`repair`].
pub fn repair_unless<P: Platform>(
    platform: P,
    layout: Layout,
    is_interrupted: &mut dyn FnMut() -> bool,
) -> Result<Repaired, RepairError> {
    let mut go_on = || if is_interrupted() { Err(RepairError::Interrupted) } else { Ok(()) };
    let space = Space::join(platform, layout)?;
    let repaired = Alone::prove(&space).and_then(|_alone| mend(&space, &mut go_on));
    space.leave();
    repaired
}

fn mend<P: Platform>(
    space: &Arc<Space<P>>,
    go_on: &mut dyn FnMut() -> Result<(), RepairError>,
) -> Result<Repaired, RepairError> {
    let arena = space.arena();
    let mut mended = Vec::new();
    go_on()?;
    // First: what is let go of below is not to be shaded for a collection that nobody makes.
    mend_hot_words(space, &mut |done| mended.push(done));
    mend_batch(arena, &mut |done| mended.push(done));
    allocator::mend_supply(arena, &mut |mend| mended.push(Mended::Memory(mend)))?;
    go_on()?;
    alone::end_processes(space, &mut |done| mended.push(done));
    alone::end_participants(space, &mut |done| mended.push(done));
    go_on()?;
    let mut reached = Reached::of(arena);
    go_on()?;
    if alone::settle(space, &reached, &mut |done| mended.push(done)) {
        reached = Reached::of(arena);
    }
    go_on()?;
    blocks::publish(arena, &reached, &mut |done| mended.push(done));
    alone::end_settled(space, &mut |done| mended.push(done));
    let pieces = tables::mend(arena, &reached, &mut |done| mended.push(done));
    go_on()?;
    let unnamed = blocks::unnamed(arena, &reached, &pieces);
    if reached.is_sure() {
        go_on()?;
        blocks::free(arena, unnamed, &mut |done| mended.push(done));
    }
    // No look from here on: what was half given back would be a finding.
    blocks::mend_cells(arena, &mut |done| mended.push(done));
    let is_missed = |number| reached.missed.contains(&number);
    allocator::mend_superblocks(arena, is_missed, reached.is_sure(), &mut |mend| mended.push(Mended::Memory(mend)));

    go_on()?;
    let mut left = check(space, true);
    if let [Finding::Poisoned { reason }] = left[..]
        && reached.is_sure()
    {
        let poison = arena.layout().hot(HotWord::Poison);
        if arena.platform().compare_exchange(poison, reason, 0, AcqRel, Relaxed).is_ok() {
            mended.push(Mended::Opened { reason });
            left.clear();
        }
    }
    let kept = (!reached.is_sure()).then(|| blocks::measure(arena, &reached, &pieces)).filter(|kept| kept.blocks != 0);
    Ok(Repaired { mended, left, unnamed: kept })
}

/// Words that name whoever is at something: nobody is.
fn mend_hot_words<P: Platform>(space: &Space<P>, report: &mut dyn FnMut(Mended)) {
    let (layout, platform) = (space.arena().layout(), space.arena().platform());
    let words =
        [(layout.hot(HotWord::PrivilegeToken), "who must not be stopped"), (layout.lull(), "who asks for a lull")];
    // Who has collected last stands there whether anybody does or not: no damage, and nothing to tell.
    platform.store(layout.hot(HotWord::Collector), 0, Relaxed);
    let nobody = words.map(|(at, what)| (at, what, 0));
    let at = layout.collection();
    let last = Cycle { under_way: false, helped: false, ..collection::last(space.arena()) };
    for (at, what, nobody) in nobody.into_iter().chain([(at, "the collection under way", last.pack())]) {
        let word = platform.load(at, Acquire);
        if word != nobody && platform.compare_exchange(at, word, nobody, AcqRel, Relaxed).is_ok() {
            report(Mended::Nobody { at, what, word });
        }
    }
}

/// The number that blocks are retired at. Whatever it is: at rest nobody has one that he would compare with it.
fn mend_batch<P: Platform>(arena: &Arena<P>, report: &mut dyn FnMut(Mended)) {
    let (platform, at) = (arena.platform(), arena.layout().hot(HotWord::Batch));
    let from = platform.load(at, Acquire);
    if !reclamation::is_batch(from) && platform.compare_exchange(at, from, 1, AcqRel, Relaxed).is_ok() {
        report(Mended::Batch { from });
    }
}
