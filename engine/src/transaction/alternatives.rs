//! `or_else`: one part of a transaction instead of another.
//!
//! The first alternative runs. If it asks to wait (`Retry`) all that it did is undone and the second runs in the same attempt;
//! if the last one asks, the attempt does, and waits for whatever *any* of them has read (Harris, Marlow, Peyton Jones, Herlihy:
//! Composable Memory Transactions, PPoPP 2005).
//!
//! **Protocol.** A savepoint remembers the lengths of record and read log; from then on a value of the record that is
//! overwritten is noted (privately), the first time. To roll back:
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

use std::collections::{HashMap, TryReserveError};
use std::sync::atomic::Ordering::Relaxed;

use super::repeats::Repeats;
use super::{HooksMark, NO_SEQ, Participant};
use crate::allocator;
use crate::arena::Arena;
use crate::error::{Full, Stop};
use crate::participant::{Entry, EntryKind, HELD};
use crate::platform::Platform;
use crate::word::{BLOCK_HEADER_WORDS, CellAddress, Handle, Value, Version};

/// What alternatives under way must be able to undo. Private to the participant, in a box: hardly any needs it, and they are large enough.
#[derive(Debug)]
pub(super) struct Alternatives {
    /// The attempt in which they run: with its end they are over, without anybody telling.
    seq: u64,
    depth: u32,
    /// Entries whose value to come was overwritten, and what it was, in order.
    overwritten: Vec<Overwritten>,
    /// Those before are of what is around the innermost alternative.
    innermost: usize,
    /// Which of them is the last about an entry. May say one that is gone, or is about another entry by now.
    last: HashMap<Entry, usize>,
}

/// Notes of one attempt from which on the memory for them is given back at its end.
const MANY: usize = 1 << 12;

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
        Self { seq: NO_SEQ, depth: 0, overwritten: Vec::new(), innermost: 0, last: HashMap::new() }
    }
}

impl Alternatives {
    fn begin(&mut self, seq: u64) {
        if self.seq != seq {
            self.seq = seq;
            self.depth = 0;
            self.overwritten.clear();
            self.last.clear();
        }
        self.depth += 1;
        self.innermost = self.overwritten.len();
    }

    /// `around`: the notes before are of what is around the one that is the innermost from here on.
    fn end(&mut self, around: usize) {
        self.depth = self.depth.saturating_sub(1);
        self.innermost = around;
        if self.depth == 0 {
            self.seq = NO_SEQ;
        }
    }

    /// Whether there is a note of what the entry was before the innermost alternative: no other is needed.
    fn knows(&self, entry: Entry) -> bool {
        let last = self.last.get(&entry).copied().filter(|last| *last >= self.innermost);
        last.and_then(|last| self.overwritten.get(last)).is_some_and(|note| note.entry == entry)
    }

    fn note(&mut self, note: Overwritten) -> Result<(), TryReserveError> {
        self.overwritten.try_reserve(1)?;
        // Without memory for it there is one more note for each overwriting.
        if self.last.try_reserve(1).is_ok() {
            self.last.insert(note.entry, self.overwritten.len());
        }
        self.overwritten.push(note);
        Ok(())
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
    /// And what is around it.
    around: usize,
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
        let around = self.alternatives.innermost;
        self.alternatives.begin(self.seq);
        let overwritten = self.alternatives.overwritten.len();
        let (entries, reads, hooks) = (self.entries, self.reads, self.hooks.mark());
        Savepoint { seq: self.seq, entries, reads, overwritten, around, hooks }
    }

    /// What was done since `point` is a part of the attempt.
    pub fn keep(&mut self, point: Savepoint) {
        if self.alternatives.seq == point.seq {
            self.alternatives.end(point.around);
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
            if !gone.is_empty() {
                // What stands there no more is to be noted again: others may get that memory.
                self.repeats = Repeats::default();
            }
            self.keep(point);
        }
        // If it ended the attempt instead, too: no entry says any more that they are to be freed.
        for handle in freed {
            self.cache.free(&self.arena, self.id, handle);
        }
        unwritten
    }

    /// Notes what an entry's value was before it is overwritten, if an alternative is under way.
    ///
    /// # Errors
    /// `Full` if this process has no memory for it: the attempt is over.
    #[inline]
    pub(super) fn note_overwritten(&mut self, entry: Entry, cell: CellAddress) -> Result<(), Stop> {
        if self.alternatives.seq != self.seq { Ok(()) } else { self.note_first(entry, cell) }
    }

    fn note_first(&mut self, entry: Entry, cell: CellAddress) -> Result<(), Stop> {
        let Some((kind, _)) = entry.target(&self.arena).filter(|_| !self.alternatives.knows(entry)) else {
            return Ok(());
        };
        let value = entry.new_value(&self.arena);
        if self.alternatives.note(Overwritten { entry, kind, cell, value }).is_err() {
            let notes = self.alternatives.overwritten.len() + 1;
            return Err(self.fail(Full::of_process(notes.saturating_mul(size_of::<Overwritten>())).into()));
        }
        self.has_large_logs |= self.alternatives.overwritten.len() > MANY;
        Ok(())
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

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contain(&self, word: u64) -> bool {
        let after = self.0.partition_point(|&(start, _)| start <= word);
        after > 0 && word < self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::WordAddress;

    fn note(entry: u64, value: u64) -> Overwritten {
        let cell = CellAddress::new(WordAddress::new(2 * entry));
        Overwritten { entry: Entry::at(WordAddress::new(entry)), kind: EntryKind::Write, cell, value }
    }

    /// As `note_first` does.
    fn overwrite(alternatives: &mut Alternatives, entry: u64, value: u64) {
        let note = note(entry, value);
        if !alternatives.knows(note.entry) {
            alternatives.note(note).unwrap();
        }
    }

    #[test]
    fn an_entry_is_noted_once_in_each_alternative() {
        let mut alternatives = Alternatives::default();
        let values = |alternatives: &Alternatives| -> Vec<u64> {
            alternatives.overwritten.iter().map(|note| note.value).collect()
        };
        alternatives.begin(7);
        (1..1000).for_each(|value| overwrite(&mut alternatives, 4, value));
        assert_eq!(values(&alternatives), [1]);
        let around = alternatives.innermost;
        alternatives.begin(7);
        (1000..2000).for_each(|value| overwrite(&mut alternatives, 4, value));
        overwrite(&mut alternatives, 8, 9);
        assert_eq!(values(&alternatives), [1, 1000, 9]);
        alternatives.end(around);
        overwrite(&mut alternatives, 4, 2000);
        assert_eq!(values(&alternatives), [1, 1000, 9], "what it was before is known");
    }

    #[test]
    fn what_was_undone_is_noted_anew() {
        let mut alternatives = Alternatives::default();
        alternatives.begin(7);
        overwrite(&mut alternatives, 4, 1);
        overwrite(&mut alternatives, 8, 2);
        alternatives.overwritten.clear();
        alternatives.end(0);
        alternatives.begin(7);
        overwrite(&mut alternatives, 8, 3);
        overwrite(&mut alternatives, 4, 4);
        assert_eq!(alternatives.overwritten.iter().map(|note| note.value).collect::<Vec<_>>(), [3, 4]);
        alternatives.end(0);
        alternatives.begin(8);
        overwrite(&mut alternatives, 8, 5);
        assert_eq!(alternatives.overwritten.len(), 1, "of this attempt only");
    }
}
