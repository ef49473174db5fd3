//! Recording: one logical clock, one list of attempts, an observer for each participant.
//!
//! The engine tells of an attempt at its end. What a killed owner did is known only from the steps of its body, so scenes that
//! kill read and write through [`Recorder::read`] and [`Recorder::write`]. These also notice a body that is told something
//! else than its log says, or than it wrote itself (I2).
//!
//! *Killed between its commit and its end.* Nobody hears of such a commit, but its values are unique: if anybody read or
//! replaced one of them, the attempt was committed, with the version that he saw. If nobody ever saw one, it makes no
//! difference: a scene ends with a transaction that reads all cells, so that nothing is left unseen. Its end is its owner's death, where
//! the scene says when that was ([`Recorder::died`]): nobody but the owner moves a status to COMMITTED, and recovery aborts what is
//! undecided, so such a commit is older than the death, and whoever begins after it sees it. A value seen by other
//! killed ones only has no version that anybody knows and counts as nobody's: after a kill, let somebody living read the cells
//! before the next kill. (That errs on the side of alarm.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pso_engine::error::Stop;
use pso_engine::platform::Platform;
use pso_engine::transaction::{self, Observer, Participant};
use pso_engine::word::{CellAddress, ParticipantId, Value};

use super::{Attempt, History, Outcome, Read, Write};

/// Records the attempts of the participants that it watches. Clones record into the same history.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Journal>>);

#[derive(Debug, Default)]
struct Journal {
    clock: u64,
    /// Values handed out by `fresh`.
    values: u64,
    history: History,
    /// The attempt of each participant that has no end yet.
    open: BTreeMap<u16, (usize, Steps)>,
    /// Those of the killed: nothing more will be heard of them.
    left: Vec<(usize, Steps)>,
}

/// What the body of an attempt was told and has written, by cell.
#[derive(Debug, Default)]
struct Steps {
    /// Reads of cells that it had not written.
    told: Vec<(u64, u64)>,
    written: BTreeMap<u64, u64>,
    untrue: Vec<(u64, u64, Option<u64>)>,
}

/// The first of the values of [`Recorder::fresh`]: none of the small numbers that scenes begin with.
const FIRST_VALUE: u64 = 1_000;

impl Recorder {
    /// Forgets all that was heard and begins a new history. Fresh values stay fresh: none is handed out twice.
    pub fn start_again(&self) {
        let mut journal = self.journal();
        *journal = Journal { values: journal.values, ..Journal::default() };
    }

    /// Hears of every attempt of `participant` from here on.
    pub fn watch<P: Platform>(&self, participant: &mut Participant<P>) {
        participant.set_observer(Some(Box::new(self.clone())));
    }

    /// Says what a cell holds before the first attempt.
    pub fn begins_with(&self, cell: CellAddress, version: u64, value: Value) {
        self.journal().history.initial.insert(cell.index(), (version, value.raw()));
    }

    /// A value that nobody has used yet.
    pub fn fresh(&self) -> Value {
        let mut journal = self.journal();
        journal.values += 1;
        Value::int((FIRST_VALUE + journal.values) as i64).unwrap_or(Value::NONE)
    }

    /// `Participant::read`, noted.
    pub fn read<P: Platform>(&self, tx: &mut Participant<P>, cell: CellAddress) -> Result<Value, Stop> {
        let value = tx.read(cell)?;
        self.note(tx.id(), |steps| match steps.written.get(&cell.index()) {
            Some(&own) if own != value.raw() => steps.untrue.push((cell.index(), value.raw(), Some(own))),
            Some(_) => {}
            None => steps.told.push((cell.index(), value.raw())),
        });
        Ok(value)
    }

    /// `Participant::write`, noted before it is done: its owner may be killed within.
    pub fn write<P: Platform>(&self, tx: &mut Participant<P>, cell: CellAddress, value: Value) -> Result<(), Stop> {
        self.note(tx.id(), |steps| {
            steps.written.insert(cell.index(), value.raw());
        });
        tx.write(cell, value)
    }

    /// Whoever had this slot is dead from now on: an attempt that he was in has its end here. After the last step of his, and before anybody
    /// else's next one.
    pub fn died(&self, id: ParticipantId) {
        let mut journal = self.journal();
        let death = journal.now();
        if let Some((index, steps)) = journal.open.remove(&id.0) {
            journal.history.attempts[index].end = Some(death);
            journal.left.push((index, steps));
        }
    }

    /// Where the attempt that this participant is in will stand in the history.
    pub fn attempt_of(&self, id: ParticipantId) -> Option<usize> {
        self.journal().open.get(&id.0).map(|(index, _)| *index)
    }

    /// All that was heard so far.
    pub fn history(&self) -> History {
        let journal = self.journal();
        let mut history = journal.history.clone();
        for (index, steps) in journal.left.iter().chain(journal.open.values()) {
            let attempt = &mut history.attempts[*index];
            attempt.reads = steps.told.iter().map(|&(cell, value)| Read { cell, version: None, value }).collect();
            attempt.writes = steps.written.iter().map(|(&cell, &value)| Write { cell, old: None, value }).collect();
            attempt.untrue = steps.untrue.clone();
        }
        history
    }

    fn note(&self, id: ParticipantId, note: impl FnOnce(&mut Steps)) {
        if let Some((_, steps)) = self.journal().open.get_mut(&id.0) {
            note(steps);
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic of the engine (a kill) never happens in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl<P: Platform> Observer<P> for Recorder {
    fn begins(&mut self, participant: ParticipantId) {
        let mut journal = self.journal();
        let begin = journal.now();
        let index = journal.history.attempts.len();
        journal.history.attempts.push(Attempt {
            participant: participant.0,
            begin,
            end: None,
            outcome: Outcome::Unfinished,
            reads: Vec::new(),
            writes: Vec::new(),
            untrue: Vec::new(),
        });
        if let Some(killed) = journal.open.insert(participant.0, (index, Steps::default())) {
            journal.left.push(killed);
        }
    }

    fn ended(&mut self, attempt: &transaction::Attempt<'_, P>) {
        // Looked up before the logs are read: where memory is a model's, each access may be a switch to somebody else.
        let end = self.journal().now();
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        attempt.for_each_read(|cell, version, value| {
            reads.push(Read { cell: cell.index(), version: Some(version.0), value: value.raw() });
        });
        attempt.for_each_write(|cell, version, old, new| {
            let old = Some((version.0, old.raw()));
            writes.push(Write { cell: cell.index(), old, value: new.raw() });
        });
        let mut journal = self.journal();
        let Some((index, steps)) = journal.open.remove(&attempt.participant().0) else { return };
        let unlogged = steps
            .told
            .iter()
            .filter(|(cell, value)| !reads.iter().any(|read| (read.cell, read.value) == (*cell, *value)));
        let unlogged: Vec<_> = unlogged.map(|&(cell, value)| (cell, value, None)).collect();
        let noted = &mut journal.history.attempts[index];
        noted.end = Some(end);
        noted.outcome = match attempt.outcome() {
            transaction::Outcome::Committed(version) => Outcome::Committed(version.0),
            transaction::Outcome::ReadOnly => Outcome::ReadOnly,
            transaction::Outcome::Aborted => Outcome::Aborted,
        };
        noted.untrue = steps.untrue.into_iter().chain(unlogged).collect();
        (noted.reads, noted.writes) = (reads, writes);
    }
}

impl History {
    /// The same, with those unfinished attempts committed of which somebody saw a value.
    pub(super) fn completed(&self) -> History {
        let mut history = self.clone();
        let mut seen: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for attempt in &self.attempts {
            let reads = attempt.reads.iter().filter_map(|read| Some((read.cell, read.version?, read.value)));
            let olds = attempt.writes.iter().filter_map(|write| {
                let (version, value) = write.old?;
                Some((write.cell, version, value))
            });
            seen.extend(reads.chain(olds).map(|(cell, version, value)| ((cell, value), version)));
        }
        let unfinished = history.attempts.iter_mut().filter(|attempt| attempt.outcome == Outcome::Unfinished);
        for attempt in unfinished {
            let version = attempt.writes.iter().find_map(|write| seen.get(&(write.cell, write.value)));
            if let Some(&version) = version {
                attempt.outcome = Outcome::Committed(version);
            }
        }
        history
    }
}
