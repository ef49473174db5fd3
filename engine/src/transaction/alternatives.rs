//! `or_else`: one part of a transaction instead of another.
//!
//! The first alternative runs. If it asks to wait (`Retry`) all that it did is undone and the second runs in the same attempt;
//! if the last one asks, the attempt does, and waits for whatever *any* of them has read (Harris, Marlow, Peyton Jones, Herlihy:
//! Composable Memory Transactions, PPoPP 2005).
//!
//! **Protocol.** A savepoint remembers the lengths of record and read log; from then on a value of the record that is
//! overwritten is noted (privately). To roll back:
//!
//! 1. the values that were overwritten come back, the last first;
//! 2. a cell locked since stays locked and keeps its value and version (a *hold*). It is noted as a read: what comes after may
//!    depend on it, through the lock, where no read is logged;
//! 3. blocks allocated since are freed. All entries about them become void first, so that a kill in between leaves a PRIVATE
//!    block that no record names, as others do;
//! 4. blocks that were to be taken out of the space stay: their entries become void;
//! 5. reads stay. They count for validation and for the wake-up: the alternative asked to wait because of what it has read. Only
//!    those of cells in the freed blocks go, for nobody can change them, and their memory is used again.
//!
//! *Rejected: giving the locks back.* It spares others a wait. But the attempt may lock the cell
//! again, and in a record of more than 4,096 entries with the very same lock word: whoever had looked up the first entry would
//! take its value for what was committed. An alternative that asks to wait has seldom written.
//!
//! Keeps I1 (no lock changes), I2, I8. Killed at any step, the attempt is undecided and its entries are those of any other.

use std::sync::atomic::Ordering::Relaxed;

use super::repeats::Repeats;
use super::{HooksMark, NO_SEQ, Participant};
use crate::allocator;
use crate::arena::Arena;
use crate::error::Stop;
use crate::participant::{Entry, EntryKind, HELD};
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, CellAddress, Handle, Value, Version};

/// What alternatives under way must be able to undo. Private to the participant.
#[derive(Debug)]
pub(super) struct Alternatives {
    /// The attempt in which they run: with its end they are over, without anybody telling.
    seq: u64,
    depth: u32,
    /// Entries whose value to come was overwritten, and what it was, in order.
    overwritten: Vec<Overwritten>,
}

/// What an entry said before.
#[derive(Clone, Copy, Debug)]
struct Overwritten {
    entry: Entry,
    kind: EntryKind,
    cell: CellAddress,
    value: u64,
}

impl Default for Alternatives {
    fn default() -> Self {
        Self { seq: NO_SEQ, depth: 0, overwritten: Vec::new() }
    }
}

/// Where an attempt stood before an alternative.
#[derive(Clone, Copy, Debug)]
#[must_use = "an alternative is kept or rolled back"]
pub struct Savepoint {
    seq: u64,
    entries: u64,
    reads: u64,
    overwritten: usize,
    hooks: HooksMark,
}

impl<P: Platform> Participant<P> {
    /// Runs `first`; if it stops with [`Stop::Retry`], undoes what it did and runs `second` in its place. Where both ask to wait
    /// the transaction does, until something changes that either has read. Nests, for more than two. Outside an attempt it is a
    /// transaction.
    ///
    /// Cost: nothing shared if `first` goes through; else an entry of the own read log for each cell that it wrote.
    ///
    /// # Errors
    /// What the alternative that is kept stops with. Only `Retry` leads to the second: all else passes.
    pub fn or_else<T>(
        &mut self,
        mut first: impl FnMut(&mut Self) -> Result<T, Stop>,
        mut second: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if self.in_body() {
            return self.either(&mut first, &mut second);
        }
        self.run(|tx| tx.either(&mut first, &mut second))
    }

    fn either<T>(
        &mut self,
        first: &mut dyn FnMut(&mut Self) -> Result<T, Stop>,
        second: &mut dyn FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let point = self.savepoint();
        match first(self) {
            Err(Stop::Retry) => {
                self.roll_back(point)?;
                second(self)
            }
            result => {
                self.keep(point);
                result
            }
        }
    }

    /// Begins an alternative, to be ended by [`Self::keep`] or [`Self::roll_back`], the inner ones first. For those whose bodies
    /// are no functions over a participant; others have [`Self::or_else`].
    pub fn savepoint(&mut self) -> Savepoint {
        if self.alternatives.seq != self.seq {
            self.alternatives.seq = self.seq;
            self.alternatives.depth = 0;
            self.alternatives.overwritten.clear();
        }
        self.alternatives.depth += 1;
        let overwritten = self.alternatives.overwritten.len();
        Savepoint { seq: self.seq, entries: self.entries, reads: self.reads, overwritten, hooks: self.hooks.mark() }
    }

    /// What was done since `point` is a part of the attempt.
    pub fn keep(&mut self, point: Savepoint) {
        if self.alternatives.seq == point.seq {
            self.alternatives.depth = self.alternatives.depth.saturating_sub(1);
            if self.alternatives.depth == 0 {
                self.alternatives.seq = NO_SEQ;
            }
        }
    }

    /// Undoes what was done since `point`, but for the reads, which still count.
    ///
    /// # Errors
    /// `Conflict` if the attempt is over, `Full` if its read log cannot grow, `Forked`.
    pub fn roll_back(&mut self, point: Savepoint) -> Result<(), Stop> {
        if self.active == 0 || self.seq != point.seq || self.is_foreign() || !self.still(self.active) {
            return Err(self.lost());
        }
        drop(self.hooks.take_since(point.hooks));
        let arena = &self.arena;
        let first = point.overwritten.min(self.alternatives.overwritten.len());
        for Overwritten { entry, kind, cell, value } in self.alternatives.overwritten.drain(first..).rev() {
            entry.set_new_value(arena, value);
            entry.set_kind(arena, kind, cell);
        }
        let freed = self.disown_since(point.entries);
        let gone = Ranges::of(self.arena(), &freed);
        let unwritten = self.unwrite_since(point.entries, &gone);
        if unwritten.is_ok() {
            self.forget_reads_of(&gone, point.reads);
            // What stands there no more is to be noted again: others may get that memory.
            self.repeats = Repeats::default();
            self.keep(point);
        }
        // If it ended the attempt instead, too: no entry says any more that they are to be freed.
        for handle in freed {
            self.cache.free(&self.arena, self.id, handle);
        }
        unwritten
    }

    /// Notes what an entry's value was before it is overwritten, if an alternative is under way.
    #[inline]
    pub(super) fn note_overwritten(&mut self, entry: Entry, cell: CellAddress) {
        if self.alternatives.seq != self.seq {
            return;
        }
        let arena = &self.arena;
        if let Some((kind, _)) = entry.target(arena) {
            let value = entry.new_value(arena);
            self.alternatives.overwritten.push(Overwritten { entry, kind, cell, value });
        }
    }

    /// What is locked since entry `first` gets back the value that it had, and counts as read. Cells in blocks that go are
    /// nobody's concern: nobody else has ever reached them.
    fn unwrite_since(&mut self, first: u64, gone: &Ranges) -> Result<(), Stop> {
        for number in first..self.entries {
            let (arena, entry) = (&self.arena, self.entry(number));
            match entry.target(arena) {
                Some((EntryKind::Discard, _)) => entry.void(arena),
                Some((EntryKind::Write | EntryKind::Hold, cell)) if gone.contain(cell.index()) => entry.void(arena),
                Some((EntryKind::Write, cell)) => {
                    let value = entry.old_value(arena);
                    entry.set_new_value(arena, HELD);
                    entry.set_kind(arena, EntryKind::Hold, cell);
                    self.holds_in = self.seq;
                    let version = Version(entry.old_version(arena));
                    self.note_read(cell, version, Value::from_raw(value))?;
                }
                // Held since an inner alternative was rolled back, and noted then.
                _ => {}
            }
        }
        Ok(())
    }

    /// The blocks allocated since entry `first`; their entries are void from here on.
    fn disown_since(&self, first: u64) -> Vec<Handle> {
        let arena = self.arena();
        let mut allocated = Vec::new();
        for number in first..self.entries {
            let entry = self.entry(number);
            if let Some((EntryKind::Allocation, _)) = entry.target(arena) {
                allocated.extend(Handle::from_raw(entry.old_version(arena)));
                entry.void(arena);
            }
        }
        allocated
    }

    /// Overwrites the reads from `first` on of cells in blocks that go with reads of the cell that never changes. Nothing moves, and the log
    /// gets no shorter: whoever looks at it for what it protects misses nothing, and takes nothing for counted that is not.
    fn forget_reads_of(&mut self, gone: &Ranges, first: u64) {
        let (platform, constant) = (self.arena.platform(), self.arena.constant());
        for read in first..self.reads {
            let entry = self.read_log.address(read);
            // Relaxed, here and below: this participant wrote them.
            if gone.contain(platform.load(entry, Relaxed)) {
                platform.store(entry, constant.index(), Relaxed);
                platform.store(entry.offset(1), 0, Relaxed);
                platform.store(entry.offset(2), Value::ABSENT.raw(), Relaxed);
            }
        }
    }
}

/// The payloads of some blocks: first word, first word behind; in order.
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub(super) fn of<P: Platform>(arena: &Arena<P>, blocks: &[Handle]) -> Self {
        let range = |block: &Handle| {
            let start = block.block().offset(BLOCK_HEADER_WORDS).index();
            // A block that this attempt made has a size, unless the space is damaged.
            Some((start, start + allocator::payload_words(arena, *block).ok()?))
        };
        let mut ranges: Vec<(u64, u64)> = blocks.iter().filter_map(range).collect();
        ranges.sort_unstable();
        Self(ranges)
    }

    pub(super) fn contain(&self, word: u64) -> bool {
        let after = self.0.partition_point(|&(start, _)| start <= word);
        after > 0 && word < self.0[after - 1].1
    }
}
