//! Where superblocks come from: those given back, else those never used.
//!
//! A superblock is claimed by one compare-exchange from (Unused, nobody) to (Unused, me), whichever way it was found. One whose
//! pages are not there is Unsure from the claim until they are: a claimer who is killed in between loses nothing.
//! So the frontier and the hint below are hints: losing an update of them loses no superblock for ever, since a search
//! through all headers, the last thing before "full", finds it. A killed claimer's superblocks name it as owner.
//!
//! Invariant: every superblock below the frontier is committed. Pages are committed first, then `CommittedSuperblocks`
//! is raised, then the frontier; nobody touches a header or a block at or above the frontier.

use crate::arena::{Arena, HotWord, Layout};
use crate::error::Full;
use crate::platform::{OutOfPages, Platform};
use crate::word::ParticipantId;
use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::superblock::{Pages, Superblock, Use};

/// Beginnings of runs that a search for superblocks given back looks at in one go, and once more for a run, before it goes to the
/// frontier: bounds the price of a claim where few superblocks of a large space are free, at the price of some growth.
const SEARCH_WINDOW: u64 = 256;
/// Superblocks whose pages are got with one call: 4 MiB.
const COMMIT_PIECE: u64 = 64;

/// Superblocks below this number may be looked at.
#[inline]
pub fn frontier<P: Platform>(arena: &Arena<P>) -> u64 {
    // Acquire: pairs with the AcqRel in `raise_frontier`; pages below are committed. Read first, for the committed count
    // is raised first: the bound is for a damaged word.
    let word = arena.platform().load(arena.layout().hot(HotWord::SuperblockFrontier), Acquire);
    word.min(committed(arena))
}

/// Superblocks below this number have pages.
pub fn committed<P: Platform>(arena: &Arena<P>) -> u64 {
    // Acquire: pairs with the AcqRel in `commit`. Bounded: the word may be damaged.
    let word = arena.platform().load(arena.layout().hot(HotWord::CommittedSuperblocks), Acquire);
    word.min(arena.layout().superblocks())
}

/// Claims `count` neighbouring superblocks of one region for `owner` and gives the first one's number. They are
/// (Unused, owner) then. `place` is where the caller's search for runs goes on behind the lowest ones: each that was in vain
/// moves it, so that what is free is found though much lies before it that is too short.
pub fn claim<P: Platform>(arena: &Arena<P>, owner: ParticipantId, count: u64, place: &mut u64) -> Result<u64, Full> {
    let found = claim_returned(arena, owner, count, place);
    if let Ok(Some(first)) = found {
        return Ok(first);
    }
    claim_untouched(arena, owner, count).map_err(|full| found.err().map_or(full, Full::System))
}

/// The same among superblocks given back near the hint, or near `place`.
#[inline(never)] // A frame of its own: whoever joins is deep in the stack already.
fn claim_returned<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    count: u64,
    place: &mut u64,
) -> Result<Option<u64>, OutOfPages> {
    let Some(lowest) = first_returned(arena) else { return Ok(None) };
    let frontier = frontier(arena);
    // Beginnings of runs are counted, not what they end with: a long one would never be found.
    let window = |from: u64| from..from.saturating_add(SEARCH_WINDOW).saturating_add(count - 1).min(frontier);
    // First the lowest, which keeps the space small.
    let near = search(arena, owner, count, window(lowest));
    let end = window(lowest).end;
    if count == 1 || near != Ok(None) || end == frontier {
        return near;
    }
    let next = end + 1 - count;
    let far = window(if (next..frontier).contains(place) { *place } else { next });
    let found = search(arena, owner, count, far.clone());
    if found == Ok(None) {
        *place = if far.end == frontier { 0 } else { far.end + 1 - count };
    }
    found
}

/// The same among all superblocks given back, the hint not trusted: for when everything else is used up. Of untouched ones, too few for a run by
/// themselves, no more is got than makes one with those before them: what is got here others on this machine do without.
#[cold]
#[inline(never)]
pub fn claim_anywhere<P: Platform>(arena: &Arena<P>, owner: ParticipantId, count: u64) -> Result<u64, Full> {
    let found = search(arena, owner, count, 0..frontier(arena));
    if let Ok(Some(first)) = found {
        return Ok(first);
    }
    // Relaxed: the compare-exchange decides.
    let seen = arena.platform().load(arena.layout().hot(HotWord::SuperblockFrontier), Relaxed);
    if let Some(end) = end_across(arena, seen, count) {
        commit(arena, end)?;
        if raise_frontier(arena, seen, end) {
            note_returned(arena, seen);
        }
        if let Some(first) = search(arena, owner, count, 0..frontier(arena))? {
            return Ok(first);
        }
    }
    // Somebody may have given memory back to the system since it refused some.
    claim_untouched(arena, owner, count).map_err(|full| found.err().map_or(full, Full::System))
}

/// Where a run of `count` ends that begins on this side of the frontier, if there can be one.
fn end_across<P: Platform>(arena: &Arena<P>, seen: u64, count: u64) -> Option<u64> {
    // Above what is committed it is damaged, and there may be no headers to look at.
    if seen > committed(arena) {
        return None;
    }
    let behind = (1..count.min(seen + 1)).take_while(|distance| is_unclaimed(arena, seen - distance)).count() as u64;
    let first = seen - behind;
    (behind > 0 && place_from(arena.layout(), first, count) == Some(first)).then_some(first + count)
}

/// Gives a claimed superblock back, its memory untouched.
pub fn unclaim<P: Platform>(arena: &Arena<P>, superblock: &Superblock) {
    if let Some(state) = superblock.state(arena)
        && superblock.change(arena, state, state.used_for, None).is_some()
    {
        note_returned(arena, superblock.number);
    }
}

/// Lowers the hint to a superblock that became Unused.
pub fn note_returned<P: Platform>(arena: &Arena<P>, number: u64) {
    let hint = arena.layout().hot(HotWord::FreeSuperblockHint);
    // Relaxed throughout: the superblock's own state is the truth and carries the ordering.
    let mut seen = arena.platform().load(hint, Relaxed);
    while seen == 0 || seen > number + 1 {
        match arena.platform().compare_exchange(hint, seen, number + 1, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
        arena.platform().spin_hint();
    }
}

/// The first superblock that may be claimed, near the hint; moves the hint up to it.
fn first_returned<P: Platform>(arena: &Arena<P>) -> Option<u64> {
    let word = arena.layout().hot(HotWord::FreeSuperblockHint);
    let hint = arena.platform().load(word, Relaxed);
    let from = hint.checked_sub(1)?;
    let frontier = frontier(arena);
    let end = from.saturating_add(SEARCH_WINDOW).min(frontier);
    let found = (from..end).find(|number| is_unclaimed(arena, *number));
    let place = found.unwrap_or(end);
    let better = if place >= frontier { 0 } else { place + 1 };
    if better != hint {
        // A superblock below may be given back in this moment and its note be lost: `claim_anywhere` will find it.
        let _ = arena.platform().compare_exchange(word, hint, better, Relaxed, Relaxed);
    }
    found
}

fn is_unclaimed<P: Platform>(arena: &Arena<P>, number: u64) -> bool {
    pages_if_unclaimed(arena, number).is_some()
}

/// What is known of the pages of a superblock that anybody may claim.
fn pages_if_unclaimed<P: Platform>(arena: &Arena<P>, number: u64) -> Option<Pages> {
    let superblock = Superblock::at(arena.layout(), number)?;
    let state = superblock.state(arena)?;
    match state.used_for {
        Use::Unused(pages) if state.owner.is_none() && !superblock.is_forgotten(arena, state) => Some(pages),
        _ => None,
    }
}

/// The first run of `count` superblocks among `numbers` that could be claimed, with their pages; those that have them come first.
/// Runs end at the headers of a region.
#[inline(never)] // As above: once, for those who look twice.
fn search<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    count: u64,
    numbers: Range<u64>,
) -> Result<Option<u64>, OutOfPages> {
    let if_backed = |number: u64| pages_if_unclaimed(arena, number).filter(|pages| *pages == Pages::Backed);
    // One that has lost its pages meanwhile, and gets none, is no reason to stop.
    if let Ok(Some(first)) = search_among(arena, owner, count, numbers.clone(), if_backed) {
        return Ok(Some(first));
    }
    search_among(arena, owner, count, numbers, |number| pages_if_unclaimed(arena, number))
}

/// The same among those that are `wanted`. Where the system has no pages for a run, another one may lack fewer: only such are tried from there on, so that
/// a full system is asked `count` times at most.
fn search_among<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    count: u64,
    numbers: Range<u64>,
    wanted: impl Fn(u64) -> Option<Pages>,
) -> Result<Option<u64>, OutOfPages> {
    let lacks = |number: &u64| wanted(*number) != Some(Pages::Backed);
    // The run so far: where it begins, and how many of it may lack their pages.
    let (mut first, mut lacking) = (numbers.start, 0);
    let (mut too_many, mut refused) = (u64::MAX, None);
    for number in numbers {
        let Some(pages) = wanted(number) else {
            (first, lacking) = (number + 1, 0);
            continue;
        };
        lacking += u64::from(pages != Pages::Backed);
        if number + 1 - first < count {
            continue;
        }
        if lacking < too_many {
            match claim_run(arena, owner, first, count) {
                Ok(true) => return Ok(Some(first)),
                Ok(false) => {
                    (first, lacking) = (number + 1, 0);
                    continue;
                }
                Err(out_of_pages) => (too_many, refused) = (lacking.max(1), Some(out_of_pages)),
            }
        }
        // One that lacks fewer begins behind the first that lacks its pages.
        first = (first..=number).find(lacks).unwrap_or(number) + 1;
        lacking = if first > number { 0 } else { lacking.saturating_sub(1) };
    }
    refused.map_or(Ok(None), Err)
}

/// Claims every superblock of a run, with its pages, or none.
fn claim_run<P: Platform>(arena: &Arena<P>, owner: ParticipantId, first: u64, count: u64) -> Result<bool, OutOfPages> {
    let unclaim_all = |numbers: Range<u64>| {
        let mine = numbers.filter_map(|number| Superblock::at(arena.layout(), number));
        mine.for_each(|superblock| unclaim(arena, &superblock));
    };
    let mut are_backed = true;
    for number in first..first + count {
        match claim_one(arena, owner, number) {
            Some(pages) => are_backed &= pages == Pages::Backed,
            None => {
                unclaim_all(first..number);
                return Ok(false);
            }
        }
    }
    if !are_backed {
        back(arena, owner, first, count).inspect_err(|_| unclaim_all(first..first + count))?;
    }
    Ok(true)
}

/// Claims a superblock that is nobody's: Unsure, unless its pages are there.
fn claim_one<P: Platform>(arena: &Arena<P>, owner: ParticipantId, number: u64) -> Option<Pages> {
    let superblock = Superblock::at(arena.layout(), number)?;
    let state =
        superblock.state(arena).filter(|state| state.is_unclaimed() && !superblock.is_forgotten(arena, *state))?;
    let pages = if state.used_for == Use::Unused(Pages::Backed) { Pages::Backed } else { Pages::Unsure };
    superblock.claim(arena, state, pages, owner).map(|_| pages)
}

/// Gets the pages of a run that `owner` has claimed.
fn back<P: Platform>(arena: &Arena<P>, owner: ParticipantId, first: u64, count: u64) -> Result<(), OutOfPages> {
    let layout = arena.layout();
    arena.platform().commit_pages(layout.superblock(first), count * layout.geometry().superblock_words)?;
    for superblock in (first..first + count).filter_map(|number| Superblock::at(layout, number)) {
        if let Some(state) = superblock.state(arena).filter(|state| state.used_for == Use::Unused(Pages::Unsure)) {
            superblock.change(arena, state, Use::Unused(Pages::Backed), Some(owner));
        }
    }
    Ok(())
}

/// Moves the frontier over `count` superblocks and claims them.
fn claim_untouched<P: Platform>(arena: &Arena<P>, owner: ParticipantId, count: u64) -> Result<u64, Full> {
    let layout = arena.layout();
    loop {
        // Relaxed: the compare-exchange decides.
        let seen = arena.platform().load(layout.hot(HotWord::SuperblockFrontier), Relaxed);
        let Some(first) = place_from(layout, seen, count) else {
            let bytes = count.saturating_mul(layout.geometry().superblock_words * 8);
            return Err(Full::Space { bytes, space_bytes: layout.geometry().space_words * 8 });
        };
        commit(arena, first + count)?;
        if raise_frontier(arena, seen, first + count) {
            if let Some(skipped) = (seen..first).find(|number| !layout.is_header_superblock(*number)) {
                note_returned(arena, skipped);
            }
            // A searcher may be faster at one of them: then they are ordinary free superblocks and we go on.
            if claim_run(arena, owner, first, count)? {
                return Ok(first);
            }
        }
        // Another moved the frontier or took a superblock: each turn of ours is somebody's progress.
        arena.platform().spin_hint();
    }
}

/// Moves the frontier to `to`, below which everything is committed, if it still is where it was seen.
fn raise_frontier<P: Platform>(arena: &Arena<P>, seen: u64, to: u64) -> bool {
    let word = arena.layout().hot(HotWord::SuperblockFrontier);
    // AcqRel: pairs with the Acquire in `frontier`. The pages are there for whoever sees a superblock below it.
    arena.platform().compare_exchange(word, seen, to, AcqRel, Relaxed).is_ok()
}

/// Superblocks that lie side by side without headers of a region between them, at most.
pub fn longest_run(layout: &Layout) -> u64 {
    layout.geometry().region_superblocks - layout.header_superblocks()
}

/// Where a run of `count` may begin at or after `from`: behind the headers of a region and within it.
fn place_from(layout: &Layout, from: u64, count: u64) -> Option<u64> {
    let region = layout.geometry().region_superblocks;
    let headers = layout.header_superblocks();
    if count > longest_run(layout) || from > layout.superblocks() {
        return None;
    }
    let within = (from & (region - 1)).max(headers);
    let start = from & !(region - 1);
    let first = if within + count <= region { start + within } else { start + region + headers };
    (first + count <= layout.superblocks()).then_some(first)
}

/// Makes sure that all superblocks below `end` have pages, a piece at a time, each written down: what there is when the system refuses more is
/// anybody's, and the next sweep may give it back.
fn commit<P: Platform>(arena: &Arena<P>, end: u64) -> Result<(), OutOfPages> {
    let layout = arena.layout();
    let word = layout.hot(HotWord::CommittedSuperblocks);
    // Acquire: pairs with the AcqRel below.
    let mut committed = arena.platform().load(word, Acquire);
    while committed < end {
        let target = commit_piece(arena, committed, end.min(committed.saturating_add(COMMIT_PIECE)))
            .inspect_err(|_| offer_committed(arena))?;
        while committed < target {
            // AcqRel: whoever reads the number finds the pages there; two who committed the same pages lose nothing.
            match arena.platform().compare_exchange(word, committed, target, AcqRel, Acquire) {
                Ok(_) => committed = target,
                Err(now) => committed = now,
            }
        }
    }
    Ok(())
}

/// Gets the pages from superblock `from` on, up to `end` or somewhat beyond. Up to where it has got them.
fn commit_piece<P: Platform>(arena: &Arena<P>, from: u64, end: u64) -> Result<u64, OutOfPages> {
    let layout = arena.layout();
    let commit_up_to = |target: u64| {
        let words = (target - from) * layout.geometry().superblock_words;
        arena.platform().commit_pages(layout.superblock(from), words).map(|()| target)
    };
    let step = layout.geometry().commit_superblocks.max(1);
    // A system that has no room for a whole step may have some for what is needed now.
    commit_up_to(end.next_multiple_of(step).min(layout.superblocks())).or_else(|_| commit_up_to(end))
}

/// Moves the frontier up to all that has pages.
#[cold]
fn offer_committed<P: Platform>(arena: &Arena<P>) {
    let layout = arena.layout();
    // Relaxed: the compare-exchange decides.
    let seen = arena.platform().load(layout.hot(HotWord::SuperblockFrontier), Relaxed);
    let committed = committed(arena);
    if seen < committed
        && raise_frontier(arena, seen, committed)
        && let Some(first) = (seen..committed).find(|number| !layout.is_header_superblock(*number))
    {
        note_returned(arena, first);
    }
}
