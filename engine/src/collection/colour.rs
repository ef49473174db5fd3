//! The mark of a block: who sets it to what, and the barriers of those who are not collecting.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::reach::{Found, Retired, reach};
use crate::allocator;
use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::{BlockKind, BlockPhase, Colour, Cycle, Handle, Link, Mark, Value, WordAddress};

/// Where a block has its mark.
#[inline]
pub(super) fn mark_word(handle: Handle) -> WordAddress {
    handle.block().offset(1)
}

/// Number of the collection under way, 0: none. Relaxed: fences order it (step 1 of the protocol).
#[inline]
#[track_caller]
pub(crate) fn under_way<P: Platform>(arena: &Arena<P>) -> u64 {
    Cycle::of_one_under_way(arena.platform().load(arena.layout().collection(), Relaxed))
}

/// Whether a collection is under way, for whoever has something to tell it.
#[inline]
#[track_caller]
pub(crate) fn is_under_way<P: Platform>(arena: &Arena<P>) -> bool {
    Cycle::unpack(arena.platform().load(arena.layout().collection(), Relaxed)).under_way
}

/// Whether a block in use may have many names. One whose collector was killed while it retired it may have a link for its mark already.
#[inline]
pub(super) fn has_many_names<P: Platform>(arena: &Arena<P>, handle: Handle, kind: BlockKind) -> bool {
    let word = || arena.platform().load(mark_word(handle), Relaxed);
    kind.is_container() || Mark::unpack(word()).is_some() || Link::unpack(word()).whole
}

/// The colour of a block of many names in collection `cycle`. Relaxed, here and below: whoever has to see a colour has acquired something
/// that was released after it was set.
#[inline]
pub(super) fn colour<P: Platform>(arena: &Arena<P>, handle: Handle, cycle: u64) -> Colour {
    Mark::colour_in(arena.platform().load(mark_word(handle), Relaxed), cycle)
}

/// Changes a colour. False: it has another one (by now); or one of a later collection: whoever shades may have lost the processor after he
/// looked which one is under way, and must not take back what the next one has found; or it was condemned by an earlier one, and is to be for good:
/// what it names may be gone.
pub(super) fn recolour<P: Platform>(arena: &Arena<P>, handle: Handle, cycle: u64, from: Colour, to: Colour) -> bool {
    let platform = arena.platform();
    let new = Mark { cycle, colour: to }.pack();
    let mut word = platform.load(mark_word(handle), Relaxed);
    // Bounded: within a collection a colour only ever rises.
    while Mark::colour_in(word, cycle) == from
        && Mark::unpack(word).map_or(word == 0 || to == Colour::Condemned, |mark| {
            mark.cycle <= cycle && (mark.colour != Colour::Condemned || to == Colour::Condemned)
        })
    {
        match platform.compare_exchange(mark_word(handle), word, new, Relaxed, Relaxed) {
            Ok(_) => return true,
            // Without a mark where there was one: another block's by now.
            Err(0) => return false,
            Err(now) => word = now,
        }
    }
    false
}

/// Condemns a block at which somebody stands who may be about to retire it: only what has a mark still, and is not black. False: it has none, or is.
pub(super) fn condemn_marked<P: Platform>(arena: &Arena<P>, handle: Handle, cycle: u64) -> bool {
    let platform = arena.platform();
    let new = Mark { cycle, colour: Colour::Condemned }.pack();
    let mut word = platform.load(mark_word(handle), Relaxed);
    // Bounded: as in `recolour`.
    while matches!(Mark::colour_in(word, cycle), Colour::White | Colour::Grey)
        && (word == 0 || Mark::unpack(word).is_some_and(|mark| mark.cycle <= cycle))
    {
        match platform.compare_exchange(mark_word(handle), word, new, Relaxed, Relaxed) {
            Ok(_) => return true,
            // As in `recolour`.
            Err(0) => return false,
            Err(now) => word = now,
        }
    }
    false
}

/// White to grey.
#[inline]
pub(super) fn shade<P: Platform>(arena: &Arena<P>, handle: Handle, cycle: u64) -> bool {
    recolour(arena, handle, cycle, Colour::White, Colour::Grey)
}

/// Of a block that an attempt of the caller has just allocated: a container, or one that is to be shared. White, until it is committed.
#[inline]
#[track_caller]
pub(crate) fn born<P: Platform>(arena: &Arena<P>, handle: Handle, shared: bool) {
    allocator::note_many_names(arena, handle);
    if shared {
        // Relaxed: published with the block.
        arena.platform().store(mark_word(handle), Mark::NEW.pack(), Relaxed);
    }
}

/// A commit that exists and has stored nothing yet: by its owner, or by whoever finishes it for the dead, after a fence behind COMMITTED. The
/// values that it overwrites, its read log, as cells and values, and the blocks that it has made.
///
/// `known`: the collection that was [under way](under_way) before its reads were looked at for the last time, 0 if that is not known; `None`: all that it has read is locked. Of one that has begun since
/// nobody has heard who has overwritten meanwhile what was read: all of it may go into the cells that the commit stores. Else only what it has named.
#[inline]
#[track_caller]
pub(crate) fn note_commit<P: Platform>(
    arena: &Arena<P>,
    known: Option<u64>,
    overwritten: impl Iterator<Item = u64>,
    read: impl Iterator<Item = (u64, u64)>,
    made: impl Iterator<Item = Handle>,
) {
    let cycle = under_way(arena);
    if cycle != 0 {
        let constant = arena.constant().index();
        let is_new = known.is_some_and(|known| known != cycle);
        let read = read.filter(|(cell, _)| is_new || *cell == constant);
        read.for_each(|(_, word)| shade_from(arena, cycle, word, Retired::Followed));
        overwritten.for_each(|word| shade_from(arena, cycle, word, Retired::Passed));
        made.for_each(|handle| note_made(arena, cycle, handle));
    }
}

/// A block that a commit has made: black, for what it names was there before and is shaded, or is made by the same commit. One that is LIVE a dead one had published before he died, and his
/// log may be gone: it is to be traced.
#[cold]
fn note_made<P: Platform>(arena: &Arena<P>, cycle: u64, handle: Handle) {
    if let Ok(state) = allocator::check_fully(arena, handle)
        && has_many_names(arena, handle, state.kind)
    {
        let to = if state.phase == BlockPhase::Private { Colour::Black } else { Colour::Grey };
        recolour(arena, handle, cycle, Colour::White, to);
    }
}

/// A process begins to hold an object that an attempt has found. Its entry stands in the table already, put there by an exchange.
#[inline]
pub fn note_held<P: Platform>(arena: &Arena<P>, handle: Handle) {
    // Either whoever looks at the tables finds the entry, or we find that a collection is under way.
    if !P::EXCHANGE_IS_FENCE {
        arena.platform().fence(SeqCst);
    }
    note_released(arena, handle);
}

/// Whether a block of many names was condemned by a collection, this one or one that did not come to its end; or is being retired.
pub(super) fn is_condemned<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    says_condemned(arena.platform().load(mark_word(handle), Relaxed))
}

fn says_condemned(word: u64) -> bool {
    Mark::unpack(word).map_or(Link::unpack(word).whole, |mark| mark.colour == Colour::Condemned)
}

/// Whether a name that comes neither from a cell nor from something held (an old pickle, say) may be taken up. In an attempt, of a block that
/// is in use. Not if it is garbage that is being freed, or may be: where a collection is under way only what it has reached is known to be none. (Of a block at which somebody stands still
/// since a collection that had not come to condemn it, and that a helper has found now by a word that meant nothing, it is not known: it is held then, and goes all the same, as what is stale.)
pub fn is_beyond_doubt<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    let cycle = under_way(arena);
    let word = arena.platform().load(mark_word(handle), Relaxed);
    !says_condemned(word) && (cycle == 0 || matches!(Mark::colour_in(word, cycle), Colour::Grey | Colour::Black))
}

/// A process lets go of an object; its entry still stands in the table.
#[inline]
pub fn note_released<P: Platform>(arena: &Arena<P>, handle: Handle) {
    let cycle = under_way(arena);
    // What an attempt made that did not commit may be held all the same, and its memory be nobody's.
    if cycle != 0 && allocator::check_fully(arena, handle).is_ok() {
        shade_from(arena, cycle, handle.raw(), Retired::Passed);
    }
}

#[cold]
#[inline(never)]
fn shade_from<P: Platform>(arena: &Arena<P>, cycle: u64, word: u64, retired: Retired) {
    if Value::from_raw(word).as_handle().is_none() {
        return;
    }
    let mut pending = vec![word];
    while let Some(word) = pending.pop() {
        reach(arena, word, retired, &mut |found, _| match found {
            Found::ManyNames(handle) => {
                shade(arena, handle, cycle);
            }
            // Cells name arrays once and for ever: none is ever overwritten. All the same.
            Found::Array(array) => {
                let _ = super::reach::each_word(arena, array, BlockKind::Cells, &mut |_, word| pending.push(word));
            }
            // Whoever commits can do nothing about damage.
            Found::Nothing => {}
        });
    }
}
