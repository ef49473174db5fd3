//! What cannot be read, or leads to what is not there: whether it is damage, or of something that is gone.
//!
//! A collector reads what may be freed under his eyes, so a word that means nothing to him may mean nothing at all. But where it is looked at again and is what it was, in
//! a block that is in use and not condemned, it was what that block had all the time; and what such a block names is there. So the space is damaged; what was to be found by
//! that word nobody finds, and nothing may be condemned for it.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::colour::{is_condemned, mark_word};
use crate::allocator;
use crate::arena::Arena;
use crate::error::Corrupt;
use crate::platform::Platform;
use crate::word::{BlockPhase, Handle, Link, Mark, WordAddress};

/// A word that was followed, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub word: u64,
    pub at: WordAddress,
    /// The block that it stands in; `None`: it is the root's.
    pub within: Option<Handle>,
}

impl Place {
    /// Of the root cell.
    pub fn root<P: Platform>(arena: &Arena<P>) -> Self {
        let at = arena.root().value_word();
        // Acquire: as a tracer's.
        Self { word: arena.platform().load(at, Acquire), at, within: None }
    }

    /// Whether it says so for sure, and what it says is meant: behind what was found at the end of the way from it. `container`: what the block belongs to.
    pub fn stands<P: Platform>(&self, arena: &Arena<P>, container: Option<Handle>) -> bool {
        let platform = arena.platform();
        // Whoever freed what was to be found had overwritten the word before (or the last cell on the way, which is asked for itself), or retired what it
        // stands in. He is seen: what was found was acquired.
        platform.fence(Acquire);
        let is_same = platform.load_optimistic(self.at) == self.word;
        platform.fence(Acquire);
        is_same && [self.within, container].into_iter().flatten().all(|block| stands(arena, block))
    }

    /// It leads nowhere.
    pub fn damage(&self) -> Corrupt {
        Corrupt { what: "a value that leads nowhere", byte_offset: self.at.byte_offset(), word: self.word }
    }
}

/// Whether what a block names is there.
pub(super) fn stands<P: Platform>(arena: &Arena<P>, block: Handle) -> bool {
    allocator::check_fully(arena, block).is_ok_and(|state| state.phase == BlockPhase::Live)
        && !is_condemned(arena, block)
}

/// Of a block that is something which no value names.
pub(super) fn damaged_state<P: Platform>(arena: &Arena<P>, block: Handle) -> Corrupt {
    let at = block.block();
    // Relaxed: for people.
    Corrupt { what: "the state of an object", byte_offset: at.byte_offset(), word: arena.platform().load(at, Relaxed) }
}

/// What a block of many names that is in use has for its mark, if collection `cycle`, which is under way, can do nothing with it.
pub(super) fn damaged_mark<P: Platform>(arena: &Arena<P>, block: Handle, cycle: u64) -> Option<Corrupt> {
    let at = mark_word(block);
    let word = arena.platform().load(at, Relaxed);
    let is_one = match Mark::unpack(word) {
        Some(mark) => mark.cycle <= cycle,
        // Of one that is being retired by now.
        None => Link { before: Link::unpack(word).before, whole: Link::unpack(word).whole }.pack() == word,
    };
    (!is_one).then_some(Corrupt { what: "the mark of an object", byte_offset: at.byte_offset(), word })
}
