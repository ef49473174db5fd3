//! Headers of superblocks and the words that they come from, mended. For `fsck::repair`, which has made sure that it is alone in the
//! space, and that what nothing names is free by then.
//!
//! Each step is one compare-exchange, or one that `large` and `cache` make for the living: whoever is killed in it leaves a space that the
//! next repairer goes on with. What could be meant by a word that is damaged is not touched: a run whose head cannot be read keeps its tails.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::believed::{broken_parts, is_run};
use super::cache::{give_back_if_empty, set_free};
use super::superblock::{Pages, Superblock, SuperblockState, Use, is_quarantined};
use super::{SizeClass, check_fully, free_generation, large, supply};
use crate::arena::{Arena, HotWord};
use crate::platform::{OutOfPages, Platform};
use crate::word::{Handle, ParticipantId};

/// Looks at all headers, at most: the second mends what the first has made plain, the others find nothing.
const PASSES: u32 = 4;

/// Something that was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mend {
    /// How many superblocks were handed out and have pages was counted anew.
    Supply {
        /// All from here on are untouched.
        frontier: u64,
        /// All below this have had pages.
        committed: u64,
    },
    /// The hint at a superblock given back named none.
    Hint {
        /// What it was.
        hint: u64,
    },
    /// A superblock of a participant that is gone is nobody's.
    Orphaned {
        /// Number of the superblock.
        superblock: u64,
        /// Whose it was said to be.
        owner: ParticipantId,
    },
    /// A superblock, or a part of a run, that held nothing was given back.
    GivenBack {
        /// Number of the superblock.
        superblock: u64,
    },
    /// A superblock is a part of the run around it again.
    Tail {
        /// Number of the superblock.
        superblock: u64,
        /// Where the run begins.
        head: u64,
    },
    /// The index of the first block that was never used.
    Fresh {
        /// Number of the superblock.
        superblock: u64,
        /// What it was.
        from: u64,
        /// What it is.
        to: u64,
    },
    /// A superblock is out of use for good.
    Quarantined {
        /// Number of the superblock.
        superblock: u64,
        /// What its header was.
        word: u64,
    },
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Supply { frontier, committed } => {
                write!(f, "superblocks were counted anew: {frontier} handed out, {committed} with memory")
            }
            Self::Hint { hint } => {
                write!(f, "the hint at free superblocks named superblock {hint}, which is none: forgotten")
            }
            Self::Orphaned { superblock, owner } => {
                write!(
                    f,
                    "superblock {superblock} belonged to participant {}, who is gone: it is nobody's now",
                    owner.0
                )
            }
            Self::GivenBack { superblock } => write!(f, "superblock {superblock} held nothing: given back"),
            Self::Tail { superblock, head } => {
                write!(f, "superblock {superblock} is a part of the block that begins in superblock {head} again")
            }
            Self::Fresh { superblock, from, to } => {
                write!(f, "superblock {superblock}: blocks from {from} on were said to be unused, now from {to} on")
            }
            Self::Quarantined { superblock, word } => {
                write!(f, "superblock {superblock}: nobody uses it any more, for its header was damaged ({word:#018x})")
            }
        }
    }
}

/// Makes frontier, committed count and hint agree with the headers. Before anything else: all walks end at the frontier.
///
/// # Errors
/// The system has no pages for the headers that have to be looked at; no word was changed, and those that have got some keep them until the next repair.
pub(crate) fn mend_supply<P: Platform>(arena: &Arena<P>, report: &mut dyn FnMut(Mend)) -> Result<(), OutOfPages> {
    let (layout, platform) = (arena.layout(), arena.platform());
    let word = |word| layout.hot(word);
    let load = |hot| platform.load(word(hot), Acquire);
    let (frontier, committed) = (load(HotWord::SuperblockFrontier), load(HotWord::CommittedSuperblocks));
    let hint = load(HotWord::FreeSuperblockHint);
    if hint > layout.superblocks() {
        // Nothing is lost with it: see `supply`.
        let _ = platform.compare_exchange(word(HotWord::FreeSuperblockHint), hint, 0, Relaxed, Relaxed);
        report(Mend::Hint { hint });
    }
    let is_known = frontier <= committed && committed <= layout.superblocks();
    let used = if is_known {
        // It may say more than there is: what is behind the frontier is not looked at before its headers have pages.
        back_headers(arena, frontier, committed)?;
        end_of_used(arena, frontier, committed)
    } else {
        end_of_all_used(arena)?
    };
    if !is_known || used > frontier {
        back_all(arena, if is_known { frontier } else { 0 }, used)?;
    }
    // The lower of the two counts for everybody, so in any order.
    let _ = platform.compare_exchange(word(HotWord::CommittedSuperblocks), committed, used, AcqRel, Relaxed);
    if used < committed && is_known {
        platform.punch_pages(layout.superblock(used), (committed - used) * layout.geometry().superblock_words);
    }
    if is_known && used <= frontier {
        return Ok(());
    }
    let _ = platform.compare_exchange(word(HotWord::SuperblockFrontier), frontier, used, AcqRel, Relaxed);
    report(Mend::Supply { frontier: used, committed: used });
    Ok(())
}

/// Gets pages for the headers of the superblocks in `from..to`.
fn back_headers<P: Platform>(arena: &Arena<P>, from: u64, to: u64) -> Result<(), OutOfPages> {
    let region = arena.layout().geometry().region_superblocks;
    (from / region * region..to).step_by(region as usize).try_for_each(|first| back_headers_of(arena, first))
}

/// The same of the region that begins with superblock `first`.
fn back_headers_of<P: Platform>(arena: &Arena<P>, first: u64) -> Result<(), OutOfPages> {
    let layout = arena.layout();
    let headers = layout.header_superblocks().min(layout.superblocks() - first);
    arena.platform().commit_pages(layout.superblock(first), headers * layout.geometry().superblock_words)
}

/// Behind the last superblock in `from..to` whose header says something, or that a run reaches into; `from` where there is none.
fn end_of_used<P: Platform>(arena: &Arena<P>, from: u64, to: u64) -> u64 {
    let end = |superblock: Superblock| match superblock.state(arena).map(|state| state.used_for) {
        Some(Use::LargeHead { superblocks }) => superblock.number.saturating_add(superblocks).min(to),
        _ => superblock.number + 1,
    };
    let touched = (from..to).filter_map(|number| Superblock::at(arena.layout(), number));
    let touched = touched.filter(|superblock| superblock.state_raw(arena) != 0);
    touched.map(end).max().unwrap_or(from)
}

/// The same of the whole space. Regions are begun one after the other: behind one that was not there is none.
fn end_of_all_used<P: Platform>(arena: &Arena<P>) -> Result<u64, OutOfPages> {
    let (layout, region) = (arena.layout(), arena.layout().geometry().region_superblocks);
    let mut end = 0;
    for first in (0..layout.superblocks()).step_by(region as usize) {
        back_headers_of(arena, first)?;
        let to = (first + region).min(layout.superblocks());
        match end_of_used(arena, first, to) {
            used if used == first => break,
            used => end = used,
        }
    }
    Ok(end)
}

/// Makes sure that what is in use in `from..end` has pages: the count of those that have cannot be trusted.
fn back_all<P: Platform>(arena: &Arena<P>, from: u64, end: u64) -> Result<(), OutOfPages> {
    let layout = arena.layout();
    for superblock in (from..end).filter_map(|number| Superblock::at(layout, number)) {
        let is_punched = superblock.state(arena).is_some_and(|state| state.used_for == Use::Unused(Pages::Punched));
        if !is_punched {
            arena.platform().commit_pages(superblock.first, layout.geometry().superblock_words)?;
        }
    }
    Ok(())
}

/// Frees a block that nothing names, whoever it is said to belong to. Where it takes superblocks of its own, [`mend_superblocks`] gives them
/// back. False: it is stale by now.
pub(crate) fn free_for_good<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    check_fully(arena, handle).is_ok_and(|state| set_free(arena, handle, state.owner))
}

/// Mends the headers of all superblocks. `is_missed(number)`: a word that is in use names a block there, and the block's state says that it
/// is right. `is_sure`: no word that is in use is damaged, so what nothing names nobody can mean, and it was freed.
pub(crate) fn mend_superblocks<P: Platform>(
    arena: &Arena<P>,
    is_missed: impl Fn(u64) -> bool,
    is_sure: bool,
    report: &mut dyn FnMut(Mend),
) {
    // What one pass has given back, another may know for a part of something.
    for _ in 0..PASSES {
        let mut mended = false;
        for superblock in (0..supply::frontier(arena)).filter_map(|number| Superblock::at(arena.layout(), number)) {
            let word = superblock.state_raw(arena);
            let mut report = |mend| {
                mended = true;
                report(mend);
            };
            match superblock.state(arena) {
                None => mend_unreadable(arena, &superblock, word, is_sure, &mut report),
                Some(state) => mend_readable(arena, &superblock, state, &is_missed, is_sure, &mut report),
            }
        }
        if !mended {
            return;
        }
    }
}

fn mend_unreadable<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    word: u64,
    is_sure: bool,
    report: &mut dyn FnMut(Mend),
) {
    let number = superblock.number;
    if is_quarantined(word) {
        return;
    }
    if let Some(head) = head_around(arena, number) {
        if superblock.rewrite(arena, word, Use::LargeTail { distance: number - head }) {
            report(Mend::Tail { superblock: number, head });
        }
    } else if is_sure && superblock.quarantine(arena, word) {
        report(Mend::Quarantined { superblock: number, word });
    }
}

/// The head of the run in use of which a superblock must be the one part that is not whole.
fn head_around<P: Platform>(arena: &Arena<P>, number: u64) -> Option<u64> {
    let region = arena.layout().geometry().region_superblocks;
    for distance in 1..region.min(number + 1) {
        let head = Superblock::at(arena.layout(), number - distance)?;
        let state = head.state(arena)?;
        match state.used_for {
            Use::LargeHead { superblocks } => {
                let in_use = free_generation(arena.platform().load(head.first, Acquire)).is_none();
                let is_it = superblocks > distance && in_use && broken_part(arena, &head, state) == Some(distance);
                return is_it.then_some(head.number);
            }
            Use::LargeTail { .. } => {}
            Use::Unused(_) | Use::Small(_) => return None,
        }
    }
    None
}

/// The distance of the one part of a run that does not say that it is one. `None`: all do; or it may well be the head that is wrong.
fn broken_part<P: Platform>(arena: &Arena<P>, head: &Superblock, state: SuperblockState) -> Option<u64> {
    let Use::LargeHead { superblocks } = state.used_for else { return None };
    broken_parts(arena, head, superblocks)[0].filter(|_| is_run(arena, head, state))
}

fn mend_readable<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    is_missed: &impl Fn(u64) -> bool,
    is_sure: bool,
    report: &mut dyn FnMut(Mend),
) {
    let number = superblock.number;
    match state.used_for {
        Use::Unused(_) if is_missed(number) || is_sure && is_forgotten(arena, superblock, state) => {
            if superblock.quarantine(arena, state.pack()) {
                report(Mend::Quarantined { superblock: number, word: state.pack() });
            }
        }
        Use::Unused(pages) if state.owner.is_some() => {
            give_back(arena, superblock, state, pages, report);
        }
        Use::Unused(_) => {}
        Use::Small(class) => mend_small(arena, superblock, state, class, is_sure, report),
        Use::LargeHead { superblocks } => mend_run(arena, superblock, state, superblocks, is_sure, report),
        Use::LargeTail { distance } => {
            if !large::has_head(arena, number, distance) && is_sure {
                give_back(arena, superblock, state, Pages::Backed, report);
            }
        }
    }
}

/// Whether somebody has used a superblock that nobody is said to have claimed yet.
fn is_forgotten<P: Platform>(arena: &Arena<P>, superblock: &Superblock, state: SuperblockState) -> bool {
    superblock.is_forgotten(arena, state) || state.generation == 0 && superblock.was_written(arena)
}

/// Whether no block is there, by the header, but perhaps one that reaches into the superblock.
fn is_nobodys_part<P: Platform>(arena: &Arena<P>, superblock: &Superblock, state: SuperblockState) -> bool {
    match state.used_for {
        Use::Unused(pages) => pages == Pages::Backed,
        Use::LargeTail { distance } => !large::has_head(arena, superblock.number, distance),
        Use::Small(_) | Use::LargeHead { .. } => false,
    }
}

fn give_back<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    pages: Pages,
    report: &mut dyn FnMut(Mend),
) {
    if superblock.change(arena, state, Use::Unused(pages), None).is_some() {
        supply::note_returned(arena, superblock.number);
        report(Mend::GivenBack { superblock: superblock.number });
    }
}

fn mend_small<P: Platform>(
    arena: &Arena<P>,
    superblock: &Superblock,
    state: SuperblockState,
    class: SizeClass,
    is_sure: bool,
    report: &mut dyn FnMut(Mend),
) {
    let number = superblock.number;
    let blocks = class.blocks(arena.layout().geometry());
    let is_used = |index: &u64| {
        // Relaxed: nobody else is there.
        free_generation(arena.platform().load(superblock.block(class, *index), Relaxed)).is_none()
    };
    let used = (0..blocks).rev().find(is_used).map_or(0, |index| index + 1);
    let from = superblock.fresh_raw(arena);
    if from > blocks || used > from {
        // What was used and is free again may lie behind: then it is found by its hint, or was never there.
        let to = if from > blocks { blocks } else { used };
        superblock.set_fresh(arena, to);
        report(Mend::Fresh { superblock: number, from, to });
    }
    if is_sure && give_back_if_empty(arena, superblock, state, class) {
        report(Mend::GivenBack { superblock: number });
    } else if let Some(owner) = state.owner
        // As `recovery` does: whoever finds no hint adopts nothing. All, for it is not the everyday case.
        && superblock.add_hints(arena, u64::MAX) != 0
        && superblock.change(arena, state, state.used_for, None).is_some()
    {
        report(Mend::Orphaned { superblock: number, owner });
    }
}

fn mend_run<P: Platform>(
    arena: &Arena<P>,
    head: &Superblock,
    state: SuperblockState,
    superblocks: u64,
    is_sure: bool,
    report: &mut dyn FnMut(Mend),
) {
    if let Some(generation) = free_generation(arena.platform().load(head.first, Acquire)) {
        if is_sure {
            take_apart(arena, head, state, superblocks, generation, report);
        }
        return;
    }
    if !is_run(arena, head, state) {
        return;
    }
    // A part that says that it is free would be taken by the next who looks for room.
    if let Some(distance) = broken_part(arena, head, state)
        && let Some(tail) = Superblock::at(arena.layout(), head.number + distance)
        && let Some(found) = tail.state(arena).filter(|found| is_nobodys_part(arena, &tail, *found))
        && tail.change(arena, found, Use::LargeTail { distance }, None).is_some()
    {
        report(Mend::Tail { superblock: tail.number, head: head.number });
    }
    if let Some(owner) = state.owner
        && head.change(arena, state, state.used_for, None).is_some()
    {
        report(Mend::Orphaned { superblock: head.number, owner });
    }
}

/// As `large::dismantle`, of a run that may never have been as long as it says. The head goes last: so whoever comes after a kill finds it again.
fn take_apart<P: Platform>(
    arena: &Arena<P>,
    head: &Superblock,
    state: SuperblockState,
    superblocks: u64,
    generation: u64,
    report: &mut dyn FnMut(Mend),
) {
    for distance in 1..superblocks {
        if let Some(tail) = Superblock::at(arena.layout(), head.number + distance)
            && let Some(found) = tail.state(arena).filter(|tail| tail.used_for == Use::LargeTail { distance })
        {
            give_back(arena, &tail, found, Pages::Backed, report);
        }
    }
    if head.release(arena, state, large::begun(generation), generation) {
        supply::note_returned(arena, head.number);
        report(Mend::GivenBack { superblock: head.number });
    }
}
