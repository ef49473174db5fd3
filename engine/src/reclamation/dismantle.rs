//! What only a block of many names owns: freed before the block itself is, as much at a time as the caller wants.
//!
//! The parts of a container are a tree: arrays of cells, entries, buckets, values of one name. They are freed from the leaves to the root, and
//! the root stays RETIRED and in its list until all are: whoever is killed in the middle, or forgets how far he has come, leaves the rest within reach, and what is
//! freed already is told by its generation. Other blocks of many names are left alone.

use std::sync::atomic::Ordering::Relaxed;

use super::is_shared;
use crate::allocator::{self, BlockCache};
use crate::arena::Arena;
use crate::platform::Platform;
use crate::shape::{Reference, references, some_cells};
use crate::word::{BlockKind, BlockPhase, CellAddress, Handle, ParticipantId, Value};

/// Cells of an array that one step looks at.
const CELLS_AT_ONCE: u64 = 64;

/// A part on the way down, from this of its cells on; or one whose own parts are freed.
#[derive(Debug)]
enum Step {
    Into(Handle, u64),
    Free(Handle),
}

/// What was freed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub blocks: u64,
    /// Payload words.
    pub words: u64,
}

/// A block that is RETIRED and in nobody's sight, and how far it is taken apart.
#[derive(Debug)]
pub(super) struct Dismantling {
    root: Handle,
    steps: Vec<Step>,
}

impl Dismantling {
    pub fn of(root: Handle) -> Self {
        Self { root, steps: vec![Step::Into(root, 0)] }
    }

    pub fn root(&self) -> Handle {
        self.root
    }

    /// Whether all that the root owns is freed.
    pub fn has_nothing_left(&self) -> bool {
        self.steps.is_empty()
    }

    /// Frees some of what the root owns, in at most `most` steps: each frees a part, or looks at a few words of one.
    ///
    /// Cost: a look at each word of the parts, a compare-exchange for each part.
    pub fn go_on<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        owner: ParticipantId,
        cache: &mut BlockCache,
        most: u64,
    ) -> Parts {
        let mut freed = Parts::default();
        // Bound, where `most` is none: a part is freed once, and one that is free leads nowhere.
        for _ in 0..most {
            match self.steps.pop() {
                None => break,
                Some(Step::Into(whole, from)) => self.go_into(arena, whole, from),
                Some(Step::Free(part)) => {
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

    /// Notes the parts that `whole` names itself; of an array some.
    fn go_into<P: Platform>(&mut self, arena: &Arena<P>, whole: Handle, from: u64) {
        let steps = &mut self.steps;
        let first = steps.len();
        // More than there are blocks: damage has closed a ring. What it owns is left; `fsck` says so.
        if first as u64 > arena.layout().geometry().space_words / 4 {
            return steps.clear();
        }
        let mut note = |part| steps.extend([Step::Free(part), Step::Into(part, 0)]);
        let left = some_parts(arena, whole, from, CELLS_AT_ONCE, &mut note);
        if let Some(left) = left {
            // After those that were found now.
            steps.insert(first, Step::Into(whole, left));
        }
    }
}

/// Visits the blocks in use that only `whole` owns, as far as it names them itself.
pub fn for_each_part<P: Platform>(arena: &Arena<P>, whole: Handle, visit: &mut impl FnMut(Handle)) {
    some_parts(arena, whole, 0, u64::MAX, visit);
}

/// The same, of an array `most` of its cells from number `from` on. Gives the number of the first cell that is left, if there is one.
fn some_parts<P: Platform>(
    arena: &Arena<P>,
    whole: Handle,
    from: u64,
    most: u64,
    visit: &mut impl FnMut(Handle),
) -> Option<u64> {
    let state = allocator::check_fully(arena, whole).ok()?;
    // The entries of a bucket are the places', too.
    let room = allocator::payload_words(arena, whole).ok().filter(|_| state.kind != BlockKind::DictBucket)?;
    // Relaxed, here and below: nobody writes them any more, and whoever did was through before the block was retired. A block whose counts contradict
    // its room keeps what it names: `fsck` says so.
    let value = |cell: CellAddress| arena.platform().load(cell.value_word(), Relaxed);
    if state.kind == BlockKind::Cells {
        let (cells, left) = some_cells(arena, whole, room, from, most).ok()?;
        cells.for_each(|cell| look(arena, value(cell), visit));
        return left;
    }
    let _ = references(arena, whole, state.kind, room, &mut |reference| match reference {
        Reference::Cell(cell) => look(arena, value(cell), visit),
        Reference::Value(at) => look(arena, arena.platform().load_plain(at), visit),
    });
    None
}

fn look<P: Platform>(arena: &Arena<P>, word: u64, visit: &mut impl FnMut(Handle)) {
    if let Some(part) = Value::from_raw(word).as_handle()
        && allocator::check_fully(arena, part)
            // A stray word may name what is no value's: a log of somebody who lives.
            .is_ok_and(|state| {
                state.phase == BlockPhase::Live && state.kind.can_be_named() && !state.kind.is_container()
            })
        && !is_shared(arena, part)
    {
        visit(part);
    }
}
