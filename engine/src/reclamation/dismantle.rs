//! What only a block of many names owns: freed before the block itself is.
//!
//! The parts of a container are a tree: arrays of cells, entries, buckets, values of one name. They are freed from the leaves to the root, and
//! the root stays RETIRED and in its list until all are: whoever is killed in the middle leaves the rest within reach, and what is
//! freed already is told by its generation. Other blocks of many names are left alone.

use std::sync::atomic::Ordering::Relaxed;

use super::is_shared;
use crate::allocator::{self, BlockCache};
use crate::arena::Arena;
use crate::platform::Platform;
use crate::shape::{Reference, references};
use crate::word::{BlockKind, BlockPhase, Handle, ParticipantId, Value};

/// A part on the way down, or one whose own parts are freed.
enum Step {
    Into(Handle),
    Free(Handle),
}

/// What was freed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub blocks: u64,
    /// Payload words.
    pub words: u64,
}

/// Frees all that `root`, which is RETIRED and in nobody's sight, owns.
///
/// Cost: a look at each word of the parts, a compare-exchange for each part.
pub(super) fn dismantle<P: Platform>(
    arena: &Arena<P>,
    owner: ParticipantId,
    cache: &mut BlockCache,
    root: Handle,
) -> Parts {
    let mut steps = Vec::new();
    parts(arena, root, &mut steps);
    let mut freed = Parts::default();
    // Bound: a part is freed once, and one that is free leads nowhere. A ring that damage made ends at what it frees.
    while let Some(step) = steps.pop() {
        match step {
            Step::Into(part) => {
                steps.push(Step::Free(part));
                parts(arena, part, &mut steps);
            }
            Step::Free(part) => {
                let words = allocator::payload_words(arena, part).unwrap_or(0);
                if cache.free(arena, owner, part) {
                    freed.blocks += 1;
                    freed.words += words;
                }
            }
        }
    }
    freed
}

/// The parts that `whole` names itself.
fn parts<P: Platform>(arena: &Arena<P>, whole: Handle, steps: &mut Vec<Step>) {
    for_each_part(arena, whole, &mut |part| steps.push(Step::Into(part)));
}

/// Visits the blocks in use that only `whole` owns, as far as it names them itself.
pub fn for_each_part<P: Platform>(arena: &Arena<P>, whole: Handle, visit: &mut impl FnMut(Handle)) {
    let Ok(state) = allocator::check_fully(arena, whole) else { return };
    // Its entries are the places', too.
    if state.kind == BlockKind::DictBucket {
        return;
    }
    let Ok(room) = allocator::payload_words(arena, whole) else { return };
    let mut look = |word: u64| {
        if let Some(part) = Value::from_raw(word).as_handle()
            && allocator::check_fully(arena, part)
                .is_ok_and(|state| state.phase == BlockPhase::Live && !state.kind.is_container())
            && !is_shared(arena, part)
        {
            visit(part);
        }
    };
    // A block whose counts contradict its room keeps what it names: `fsck` says so.
    let _ = references(arena, whole, state.kind, room, &mut |reference| match reference {
        // Relaxed: nobody writes them any more, and whoever did was through before the block was retired.
        Reference::Cell(cell) => look(arena.platform().load(cell.value_word(), Relaxed)),
        Reference::Value(at) => look(arena.platform().load_plain(at)),
    });
}
