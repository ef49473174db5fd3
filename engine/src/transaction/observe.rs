//! Who is told of every attempt: recorders of traces and of histories.
//!
//! An observer sees what the logs of the attempt hold, at the moment of its end and before anything is cleared: after the
//! compare-exchange that decided it, so what it hears is final, and after the write-back: it may take its time. It writes nothing shared. A participant without one pays a
//! branch at the start and the end of an attempt. An attempt whose owner is killed has no end that anybody is told of.

use super::Participant;
use crate::participant::{Entry, EntryKind, READ_WORDS};
use crate::platform::Platform;
use crate::word::{CellAddress, Handle, ParticipantId, Value, Version, WordAddress};
use std::sync::atomic::Ordering::Relaxed;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its writes exist since `Version`.
    Committed(Version),
    /// It wrote nothing; what it read was one state.
    ReadOnly,
    /// It never happened. What it read was one state all the same.
    Aborted,
}

/// Is told of the attempts of one participant, in their order, on the thread that runs them.
pub trait Observer<P: Platform> {
    /// An attempt begins: called before its first access to memory.
    fn begins(&mut self, participant: ParticipantId);
    /// The attempt is committed, and nothing of it is written back: whoever takes long here keeps all others from its cells, and a panic is for those whose
    /// process ends by it: nobody else writes back then.
    fn decided(&mut self, _version: Version) {}
    /// An attempt has ended.
    fn ended(&mut self, attempt: &Attempt<'_, P>);
}

/// An attempt at its end.
pub struct Attempt<'a, P: Platform> {
    participant: &'a Participant<P>,
    outcome: Outcome,
}

impl<P: Platform> Attempt<'_, P> {
    /// Who ran it.
    pub fn participant(&self) -> ParticipantId {
        self.participant.id
    }
    /// Its number among the attempts of this participant.
    pub fn seq(&self) -> u64 {
        self.participant.seq
    }
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
    /// Attempts of the same transaction that failed before this one.
    pub fn failures(&self) -> u64 {
        self.participant.failures
    }
    /// Each logged read: cell, version, value. Reads of cells that the attempt had written, and of cells that are written
    /// once, are not logged; what it has only named is no read.
    pub fn for_each_read(&self, mut visit: impl FnMut(CellAddress, Version, Value)) {
        let platform = self.participant.platform();
        let log = &self.participant.read_log;
        for read in 0..self.participant.reads {
            let entry = log.address(read);
            debug_assert_eq!(READ_WORDS, 3);
            // Relaxed: this participant wrote them.
            let word = |index| platform.load(entry.offset(index), Relaxed);
            let cell = CellAddress::new(WordAddress::new(word(0)));
            if cell != self.participant.arena.constant() {
                visit(cell, Version(word(1)), Value::from_raw(word(2)));
            }
        }
    }
    /// Each cell written: its version and value before, its value after a commit.
    pub fn for_each_write(&self, mut visit: impl FnMut(CellAddress, Version, Value, Value)) {
        let arena = self.participant.arena();
        self.for_each_entry(|kind, cell, entry| {
            if kind == EntryKind::Write {
                let (old, new) = (entry.old_value(arena), entry.new_value(arena));
                visit(cell, Version(entry.old_version(arena)), Value::from_raw(old), Value::from_raw(new));
            }
        });
    }
    /// Blocks that it allocated.
    pub fn allocations(&self) -> u64 {
        let mut count = 0;
        self.for_each_entry(|kind, _, _| count += u64::from(kind == EntryKind::Allocation));
        count
    }

    /// Each block that it allocated.
    pub fn for_each_allocation(&self, mut visit: impl FnMut(Handle)) {
        let arena = self.participant.arena();
        self.for_each_entry(|kind, _, entry| {
            if kind == EntryKind::Allocation
                && let Some(handle) = Handle::from_raw(entry.old_version(arena))
            {
                visit(handle);
            }
        });
    }

    fn for_each_entry(&self, mut visit: impl FnMut(EntryKind, CellAddress, Entry)) {
        let participant = self.participant;
        for number in 0..participant.entries {
            let entry = participant.entry(number);
            if let Some((kind, cell)) = entry.target(participant.arena()) {
                visit(kind, cell, entry);
            }
        }
    }
}

impl<P: Platform> Participant<P> {
    /// Tells `observer` of every attempt from here on; `None` tells nobody. Returns whom it told before.
    pub fn set_observer(
        &mut self,
        observer: Option<Box<dyn Observer<P> + Send>>,
    ) -> Option<Box<dyn Observer<P> + Send>> {
        std::mem::replace(&mut self.observer, observer)
    }

    #[inline]
    pub(super) fn observe_begin(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.begins(self.id);
        }
    }

    #[inline]
    pub(super) fn observe_decision(&mut self, version: Version) {
        if let Some(observer) = &mut self.observer {
            observer.decided(version);
        }
    }

    #[inline]
    pub(super) fn observe_end(&mut self, outcome: Outcome) {
        if self.observer.is_some() {
            self.tell_end(outcome);
        }
    }

    #[cold]
    fn tell_end(&mut self, outcome: Outcome) {
        // Taken out for the call: it looks at the rest of the participant.
        if let Some(mut observer) = self.observer.take() {
            observer.ended(&Attempt { participant: self, outcome });
            self.observer = Some(observer);
        }
    }
}
