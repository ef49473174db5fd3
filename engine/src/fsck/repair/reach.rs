//! What the root leads to, found by following every word, with lists of the repairer's own. Reads only.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Acquire;

use crate::allocator;
use crate::arena::Arena;
use crate::holding::for_each_held;
use crate::participant::{Slot, status_of};
use crate::platform::Platform;
use crate::shape::{Reference, references};
use crate::word::{BlockPhase, CellAddress, Handle, LockWord, LockedBy, ParticipantId, State, Unpacked, Value};

/// What was found.
#[derive(Default)]
pub(in crate::fsck) struct Reached {
    /// Raw handles of the blocks.
    pub blocks: HashSet<u64>,
    /// Locks in their cells: who, and in which attempt.
    pub locks: HashSet<(u16, u64)>,
    /// Superblocks in which a word names a block that, by its own state, is there, and by the superblock's header is not.
    pub missed: HashSet<u64>,
    /// Words that cannot be read, or name what is not there, and blocks whose counts contradict their room.
    doubts: u64,
    pending: Vec<Handle>,
}

impl Reached {
    /// From the root cell on. Cost: a look at each word that may lead on.
    pub(super) fn of<P: Platform>(arena: &Arena<P>) -> Self {
        Self::from(arena, |_| {})
    }

    /// And from what processes hold.
    pub(in crate::fsck) fn with_held<P: Platform>(arena: &Arena<P>) -> Self {
        Self::from(arena, |reached| {
            let all = for_each_held(arena, &mut |handle| reached.handle(arena, handle));
            reached.doubts += u64::from(all.is_err());
        })
    }

    fn from<P: Platform>(arena: &Arena<P>, roots: impl FnOnce(&mut Self)) -> Self {
        let mut reached = Self::default();
        reached.cell(arena, arena.root());
        roots(&mut reached);
        // Bound: a block is entered once.
        while let Some(handle) = reached.pending.pop() {
            reached.block(arena, handle);
        }
        for (participant, seq) in &reached.locks {
            let status = Slot::of(arena, ParticipantId(*participant)).map(|slot| status_of(arena, slot));
            // Whether its attempt has committed nobody can say, or it has; then its record names what nothing else does.
            reached.doubts += u64::from(match status {
                Some(Ok(status)) => status.state == State::Committed && status.seq == *seq,
                Some(Err(_)) => true,
                None => false,
            });
        }
        reached
    }

    /// Whether what was not found is named by nothing, and by nothing that might have been meant otherwise.
    pub(super) fn is_sure(&self) -> bool {
        self.doubts == 0
    }

    /// Whether somebody's lock is in a cell; `seq`: of that attempt.
    pub(super) fn is_locked_by(&self, participant: u16, seq: Option<u64>) -> bool {
        self.locks.iter().any(|(by, of)| *by == participant && seq.is_none_or(|seq| seq == *of))
    }

    fn block<P: Platform>(&mut self, arena: &Arena<P>, handle: Handle) {
        let Ok((state, room)) = allocator::check_believed(arena, handle) else { return };
        let mut found = Vec::new();
        if references(arena, handle, state.kind, room, &mut |reference| found.push(reference)).is_err() {
            self.doubts += 1;
            return;
        }
        for reference in found {
            match reference {
                Reference::Cell(cell) => self.cell(arena, cell),
                Reference::Value(at) => self.value(arena, arena.platform().load_plain(at)),
            }
        }
    }

    fn cell<P: Platform>(&mut self, arena: &Arena<P>, cell: CellAddress) {
        // Acquire, though nobody else is there: as readers.
        if let LockWord::Locked(LockedBy { participant, seq, .. }) =
            LockWord::unpack(arena.platform().load(cell.lock_word(), Acquire))
        {
            self.locks.insert((participant.0, seq));
        }
        self.value(arena, arena.platform().load(cell.value_word(), Acquire));
    }

    fn value<P: Platform>(&mut self, arena: &Arena<P>, word: u64) {
        match Value::from_raw(word).unpack() {
            None => self.doubts += 1,
            Some(Unpacked::Handle(handle)) => self.handle(arena, handle),
            Some(_) => {}
        }
    }

    fn handle<P: Platform>(&mut self, arena: &Arena<P>, handle: Handle) {
        if self.blocks.contains(&handle.raw()) {
            // A run is looked at once, however many name it.
            return;
        }
        match allocator::check_believed(arena, handle) {
            Ok((state, _)) => {
                // What was retired is on its way out, and somebody names it all the same: it may have been LIVE.
                self.doubts += u64::from(state.phase == BlockPhase::Retired);
                self.blocks.insert(handle.raw());
                self.pending.push(handle);
            }
            Err(_) => {
                self.doubts += 1;
                let number = arena.layout().superblock_of(handle.block());
                let number = number.filter(|number| allocator::is_backed(arena, *number));
                if let Some(number) = number
                    && allocator::check(arena, handle).is_ok()
                {
                    self.missed.insert(number);
                }
            }
        }
    }
}
