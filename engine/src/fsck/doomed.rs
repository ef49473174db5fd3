//! What a collection has found to be garbage, with all that it owns. It may name what is gone already, and nobody can reach it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use crate::allocator;
use crate::arena::Arena;
use crate::platform::Platform;
use crate::reclamation::for_each_part;
use crate::word::{BlockPhase, Colour, Handle, Link, Mark};

/// The raw handles of all such blocks.
///
/// Cost: a look at every block.
pub(crate) fn all<P: Platform>(arena: &Arena<P>) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<Handle> = Vec::new();
    allocator::for_each_block(arena, |handle, state| {
        let doomed = match state.phase {
            BlockPhase::Live => is_doomed(arena, handle),
            BlockPhase::Retired => Link::unpack(second_word(arena, handle)).whole,
            BlockPhase::Free | BlockPhase::Private => false,
        };
        if doomed {
            found.insert(handle.raw());
            pending.push(handle);
        }
    });
    while let Some(handle) = pending.pop() {
        for_each_part(arena, handle, &mut |part| {
            if found.insert(part.raw()) {
                pending.push(part);
            }
        });
    }
    found
}

/// Whether a LIVE block was condemned; or is about to be retired, by a collector that was killed.
pub(super) fn is_doomed<P: Platform>(arena: &Arena<P>, handle: Handle) -> bool {
    let word = second_word(arena, handle);
    Mark::unpack(word).map_or(Link::unpack(word).whole, |mark| mark.colour == Colour::Condemned)
}

pub(super) fn second_word<P: Platform>(arena: &Arena<P>, handle: Handle) -> u64 {
    // Relaxed: the phase was acquired.
    arena.platform().load(handle.block().offset(1), Relaxed)
}
