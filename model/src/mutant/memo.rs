//! What a faulty process remembers of its own accesses, and which word of the protocol an address is.

use std::collections::BTreeMap;

use pso_engine::arena::{Layout, PARTICIPANT_WORDS};
use pso_engine::platform::Ordering;
use pso_engine::word::{LockWord, ParticipantId, State, WordAddress};

use super::state_of;
use crate::lens::{Access, Operation};

/// A word of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The word with this number in a participant's slot.
    Slot(u64),
    /// In a block: a cell, or a log.
    Heap,
    /// Anything else.
    Tables,
}

impl Place {
    pub const STATUS: Self = Self::Slot(0);
    pub const COMMIT_VERSION: Self = Self::Slot(2);
    pub const START: Self = Self::Slot(3);
    /// The hazard pointer of whoever collects.
    pub const HAZARD: Self = Self::Slot(5);
    pub const QUEUE: Self = Self::Slot(8);
    pub const STOPPED_BY: Self = Self::Slot(9);
    pub const RECOVERER: Self = Self::Slot(11);
    pub const RESERVED: Self = Self::Slot(17);
    pub const WAITING_FOR: Self = Self::Slot(20);

    pub fn of(layout: &Layout, address: WordAddress) -> Self {
        let participants = layout.geometry().participants;
        let first = layout.participant(ParticipantId(0)).map_or(u64::MAX, |slot| slot.index());
        match address.index().checked_sub(first) {
            Some(word) if word < participants * PARTICIPANT_WORDS => Self::Slot(word % PARTICIPANT_WORDS),
            _ if address.index() >= layout.tables_words() => Self::Heap,
            _ => Self::Tables,
        }
    }
}

/// What is held back, each until its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Values,
    Frees,
    Counts,
    Idle,
    Arms,
    Fresh,
    Payload,
    Lives,
    Tickets,
}

/// The memory of one participant of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo {
    /// The own slot's status word.
    own: Option<WordAddress>,
    /// The last access that was no fence.
    pub last: Option<Access>,
    kept: Vec<(Kept, Access)>,
    /// ACTIVE is stored, the clock not yet loaded.
    pub begins: bool,
    /// The own status is WAITING, PREPARED, IDLE.
    pub waits: bool,
    pub prepared: bool,
    pub idle: bool,
    /// In an attempt; and whether that is COMMITTED.
    pub attempts: bool,
    pub committed: bool,
    /// A lock was taken in this attempt.
    pub locks: bool,
    /// Waits for a change of what it has read.
    pub retries: bool,
    /// Has wished to help whoever collects.
    pub helps: bool,
    /// Has slept once.
    pub waited: bool,
    /// The clock, and the own status, at an earlier time than the engine thinks.
    pub clock: Option<u64>,
    pub sampled: Option<u64>,
    /// The last version that a validation took from the log.
    pub validated: u64,
    /// The version over which a cell was locked just now, and the last read's cell looked at since.
    pub settles: Option<u64>,
    /// First looks at cells.
    pub looks: BTreeMap<u64, u64>,
    /// Value words stored by the commit under way.
    stored: Vec<u64>,
    /// Where the last entry keeps the old version, and the last four words stored.
    pub old_version: Option<WordAddress>,
    recent: [Option<WordAddress>; 4],
    /// The last word stored: an entry's new value.
    pub filled: u64,
    /// Lock words that it thinks it holds.
    pub unheld: Vec<WordAddress>,
    pub snapshot: u64,
    /// What the own place in somebody's queue reads.
    pub place_taken: u64,
    /// What the own bell says when it is put to sleep whatever has rung.
    pub bell: Option<u32>,
    /// Has slept, and not put its bell right since.
    pub slept: bool,
    /// Its last fence was for memory that is to go back to the system.
    pub punches: bool,
}

impl Memo {
    pub fn keep(&mut self, which: Kept, access: Access) {
        self.kept.push((which, access));
    }

    pub fn take(&mut self, which: Kept) -> Vec<Access> {
        let (taken, kept) = self.kept.drain(..).partition::<Vec<_>, _>(|(kind, _)| *kind == which);
        self.kept = kept;
        taken.into_iter().map(|(_, access)| access).collect()
    }

    /// Whether its last access came from this file of the engine.
    pub fn last_was_by(&self, file: &str) -> bool {
        self.last.is_some_and(|last| last.site.file().ends_with(file))
    }

    /// True for words of the own slot.
    pub fn owns(&self, address: WordAddress) -> bool {
        self.own.is_some_and(|own| (own.index()..own.index() + PARTICIPANT_WORDS).contains(&address.index()))
    }

    /// The own status, unless the access is to the word behind the one that was just loaded: the value of a cell, behind its lock word.
    pub fn status_before(&self, access: Access) -> Option<WordAddress> {
        let behind = |last: &Access| {
            matches!(last.operation, Operation::Load(_)) && last.address.index() + 1 == access.address.index()
        };
        self.own.filter(|_| !self.last.as_ref().is_some_and(behind))
    }

    /// True for the lock word of a cell whose value this commit has stored.
    pub fn frees(&self, address: WordAddress) -> bool {
        self.stored.contains(&(address.index() + 1))
    }

    /// Whether a lock word that is stored is one that it only thinks it holds. Once for each.
    pub fn frees_unheld(&mut self, address: WordAddress) -> bool {
        let found = self.unheld.iter().position(|unheld| *unheld == address);
        found.map(|found| self.unheld.swap_remove(found)).is_some()
    }

    /// The cell that it has locked with its last access, and what stood in it.
    pub fn just_locked(&self) -> Option<(WordAddress, u64)> {
        let Access { address, operation: Operation::CompareExchange([current, new], _), .. } = self.last? else {
            return None;
        };
        matches!(LockWord::unpack(new), LockWord::Locked(_)).then_some((address, current))
    }

    pub fn is_foreign_lock(&self, word: u64) -> bool {
        // A lock of its own validates by its entry: what remains is somebody else's.
        matches!(LockWord::unpack(word), LockWord::Locked(_)) && !self.locks
    }

    pub fn note(&mut self, layout: &Layout, access: Access, answer: Result<u64, u64>) {
        let place = Place::of(layout, access.address);
        let file = |name| access.site.file().ends_with(name);
        match (place, access.operation) {
            (_, Operation::Fence(_) | Operation::LightFence | Operation::HeavyFence) => return,
            (Place::STATUS, Operation::Store(value, _)) => {
                self.own = Some(access.address);
                self.becomes(value);
            }
            (Place::STATUS, Operation::CompareExchange([_, new], _)) if answer.is_ok() && self.owns(access.address) => {
                self.becomes(new);
            }
            (Place::WAITING_FOR, Operation::Store(value, _)) => self.retries = value == 2,
            (Place::QUEUE, Operation::CompareExchange([_, new], _)) if answer.is_ok() => self.place_taken = new,
            (Place::RESERVED, Operation::Store(..)) => self.old_version = self.recent[1],
            (Place::Tables, Operation::Load(_)) if std::mem::take(&mut self.begins) => {
                self.snapshot = answer.unwrap_or_default();
            }
            (Place::Heap, Operation::CompareExchange([_, new], _)) if answer.is_ok() => {
                self.locks |= matches!(LockWord::unpack(new), LockWord::Locked(_));
            }
            (Place::Heap, Operation::Store(_, Ordering::Release))
                if file("transaction/commit.rs") && access.address.index() % 2 == 1 =>
            {
                self.stored.push(access.address.index());
            }
            (Place::Heap, Operation::Store(value, _)) => {
                self.filled = value;
                self.recent.rotate_left(1);
                self.recent[3] = Some(access.address);
            }
            (Place::Heap, Operation::Load(Ordering::Acquire)) if file("transaction/read.rs") => {
                self.looks.insert(access.address.index(), answer.unwrap_or_default());
            }
            (Place::Heap, Operation::Load(Ordering::Relaxed)) if file("transaction/validate.rs") => {
                self.validated = answer.unwrap_or_default();
            }
            _ => {}
        }
        self.last = Some(access);
    }

    fn becomes(&mut self, status: u64) {
        let state = state_of(status);
        self.waits = state == Some(State::Waiting);
        self.prepared = state == Some(State::Prepared);
        self.idle = state == Some(State::Idle);
        self.attempts = state.is_some() && !self.idle;
        self.committed = state == Some(State::Committed);
        if state == Some(State::Active) && !self.begins {
            self.begins = true;
        }
        if state == Some(State::Idle) {
            self.locks = false;
            self.unheld.clear();
            self.stored.clear();
        }
    }
}
