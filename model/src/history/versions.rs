//! The values of each cell in the order of their versions, and who wrote them.

use std::collections::BTreeMap;

use super::anomaly::name;
use super::{Anomaly, History, Outcome, Write};

/// A committed value of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub value: u64,
    /// Index of the attempt; `None`: there from the beginning.
    pub by: Option<usize>,
}

/// Per cell: version to value and writer.
#[derive(Debug, Default)]
pub(super) struct Versions(BTreeMap<u64, BTreeMap<u64, Written>>);

impl Versions {
    /// Steps 1 and 2 of the module's list. Attempts that do not count are not asked what they read.
    pub fn of(history: &History, counts: &[bool]) -> Result<Self, Anomaly> {
        let mut versions = Self::default();
        for (&cell, &(version, value)) in &history.initial {
            versions.0.entry(cell).or_default().insert(version, Written { value, by: None });
        }
        versions.add_writes(history)?;
        versions.add_what_was_there_before(history, counts);
        versions.check_chains(history)?;
        versions.check_reads(history, counts)?;
        Ok(versions)
    }

    /// Version and writer of what a read saw, and of what replaced it.
    pub fn around(&self, cell: u64, version: u64) -> (Option<usize>, Option<usize>) {
        let Some(cell) = self.0.get(&cell) else { return (None, None) };
        let next = cell.range(version + 1..).next().and_then(|(_, written)| written.by);
        (cell.get(&version).and_then(|written| written.by), next)
    }

    /// The version of a read: the one it names, else the one that has its value.
    pub fn version_of(&self, cell: u64, version: Option<u64>, value: u64) -> Option<u64> {
        version.or_else(|| Some(*self.0.get(&cell)?.iter().find(|(_, written)| written.value == value)?.0))
    }

    fn add_writes(&mut self, history: &History) -> Result<(), Anomaly> {
        for (index, attempt) in history.attempts.iter().enumerate() {
            let Outcome::Committed(version) = attempt.outcome else { continue };
            for &Write { cell, value, .. } in &attempt.writes {
                let here = self.0.entry(cell).or_default();
                if let Some(other) = here.insert(version, Written { value, by: Some(index) }) {
                    let first = other.by.map_or("the beginning".to_owned(), |by| name(history, by));
                    return Err(Anomaly::SameVersion { cell, version, first, second: name(history, index) });
                }
            }
        }
        Ok(())
    }

    /// Cells whose beginning was not given: an older version than all written ones, seen by somebody, was there before.
    fn add_what_was_there_before(&mut self, history: &History, counts: &[bool]) {
        let mut first_seen: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut see = |cell: u64, version: u64, value: u64| {
            let first = first_seen.entry(cell).or_insert((version, value));
            if version < first.0 {
                *first = (version, value);
            }
        };
        for (attempt, _) in history.attempts.iter().zip(counts).filter(|(_, counts)| **counts) {
            attempt.reads.iter().filter_map(|read| Some((read, read.version?))).for_each(|(read, version)| {
                see(read.cell, version, read.value);
            });
            attempt.writes.iter().filter(|_| attempt.committed()).for_each(|write| {
                write.old.iter().for_each(|&(version, value)| see(write.cell, version, value));
            });
        }
        for (cell, (version, value)) in first_seen {
            let here = self.0.entry(cell).or_default();
            if here.first_key_value().is_none_or(|(&first, written)| version < first && written.by.is_some()) {
                here.insert(version, Written { value, by: None });
            }
        }
    }

    fn check_chains(&self, history: &History) -> Result<(), Anomaly> {
        for (&cell, versions) in &self.0 {
            let mut before: Option<(u64, Written)> = None;
            for (&version, &written) in versions {
                let write = written.by.and_then(|by| {
                    history.attempts[by].writes.iter().find(|write| write.cell == cell).map(|write| (by, write))
                });
                if let Some((by, Write { old: Some((old_version, old_value)), .. })) = write {
                    let Some((_, there)) = before.filter(|(version, _)| version == old_version) else {
                        let before = before.map(|(version, _)| version);
                        let writer = name(history, by);
                        return Err(Anomaly::LostUpdate { cell, replaced: *old_version, before, writer });
                    };
                    if there.value != *old_value {
                        let (seen, reader) = (*old_value, name(history, by));
                        let version = *old_version;
                        return Err(Anomaly::WrongValue { cell, version, seen, written: there.value, reader });
                    }
                }
                before = Some((version, written));
            }
        }
        Ok(())
    }

    fn check_reads(&self, history: &History, counts: &[bool]) -> Result<(), Anomaly> {
        for (index, attempt) in history.attempts.iter().enumerate().filter(|(index, _)| counts[*index]) {
            let reader = || name(history, index);
            if let Some(&(cell, told, expected)) = attempt.untrue.first() {
                return Err(Anomaly::Untrue { cell, told, expected, reader: reader() });
            }
            for read in &attempt.reads {
                let (cell, value) = (read.cell, read.value);
                let version = self.version_of(cell, read.version, value);
                let written = version.and_then(|version| Some((version, self.0.get(&cell)?.get(&version)?)));
                match written {
                    None => return Err(Anomaly::Dirty { cell, version, value, reader: reader() }),
                    Some((version, written)) if written.value != value => {
                        let (seen, written) = (value, written.value);
                        return Err(Anomaly::WrongValue { cell, version, seen, written, reader: reader() });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Each pair of attempts that wrote neighbouring versions of a cell.
    pub fn neighbours(&self, mut visit: impl FnMut(usize, usize, u64)) {
        for (&cell, versions) in &self.0 {
            let writers: Vec<usize> = versions.values().filter_map(|written| written.by).collect();
            writers.windows(2).for_each(|pair| visit(pair[0], pair[1], cell));
        }
    }
}
