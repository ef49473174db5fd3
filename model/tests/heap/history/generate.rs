//! Right histories: attempts take place one after the other at points of time, their beginnings and ends lie around the
//! points, so that many overlap. Some abort, some are never heard of again, before or after they have committed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pso_model::history::{Attempt, History, Outcome, Read, Write};

pub const CELLS: u64 = 5;

/// What becomes of a generated attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Commits,
    Aborts,
    /// Killed before its commit.
    Vanishes,
    /// Killed after its commit, before anybody heard of it.
    CommitsUnheard,
}

#[derive(Clone, Debug)]
pub struct Plan {
    participant: u16,
    reads: Vec<u64>,
    writes: Vec<u64>,
    fate: Fate,
    /// How long before its point it begins and after it ends, in hundredths of the distance of two points.
    around: (u64, u64),
    clock_moves: bool,
}

pub fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let fate = prop_oneof![
        6 => Just(Fate::Commits),
        2 => Just(Fate::Aborts),
        1 => Just(Fate::Vanishes),
        1 => Just(Fate::CommitsUnheard),
    ];
    let cells = || proptest::collection::vec(0..CELLS, 0..4);
    let plan = (0..4u16, cells(), cells(), fate, (0..250u64, 0..250u64), any::<bool>());
    let plan = plan.prop_map(|(participant, reads, writes, fate, around, clock_moves)| Plan {
        participant,
        reads,
        writes,
        fate,
        around,
        clock_moves,
    });
    proptest::collection::vec(plan, 1..40)
}

/// A history under construction: what each cell holds, and the next of everything.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub history: History,
    /// Version and value of each cell.
    pub state: BTreeMap<u64, (u64, u64)>,
    clock: u64,
    values: u64,
    points: u64,
}

impl Story {
    pub fn of(plans: &[Plan]) -> Self {
        let mut story = Self { values: 1000, points: 10, ..Self::default() };
        for cell in 0..CELLS {
            story.state.insert(cell, (0, 100 + cell));
        }
        story.history.initial = story.state.clone();
        plans.iter().for_each(|plan| story.add(plan));
        story
    }

    pub fn fresh(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// A time later than all before. Points are 1,000 apart, and no two times are alike.
    pub fn point(&mut self) -> u64 {
        self.points += 1;
        self.points * 1000
    }

    fn add(&mut self, plan: &Plan) {
        let point = self.point();
        let number = self.history.attempts.len() as u64;
        let times = (point - plan.around.0 * 10 - 3 * number % 7, point + 1 + plan.around.1 * 10 + number % 7);
        let unheard = matches!(plan.fate, Fate::Vanishes | Fate::CommitsUnheard);
        let reads = plan.reads.iter().map(|cell| {
            let (version, value) = self.state[cell];
            Read { cell: *cell, version: (!unheard).then_some(version), value }
        });
        let reads = reads.collect();
        let mut cells = plan.writes.clone();
        cells.sort_unstable();
        cells.dedup();
        let version = self.next_version(&cells);
        self.clock += u64::from(plan.clock_moves);
        let mut writes = Vec::new();
        for cell in cells {
            let value = self.fresh();
            writes.push(Write { cell, old: (!unheard).then_some(self.state[&cell]), value });
            if matches!(plan.fate, Fate::Commits | Fate::CommitsUnheard) {
                self.state.insert(cell, (version, value));
            }
        }
        let outcome = match plan.fate {
            Fate::Commits if writes.is_empty() => Outcome::ReadOnly,
            Fate::Commits => Outcome::Committed(version),
            Fate::Aborts => Outcome::Aborted,
            Fate::Vanishes | Fate::CommitsUnheard => Outcome::Unfinished,
        };
        let written: Vec<u64> = writes.iter().map(|write| write.cell).collect();
        // Of some of the killed it is known when they died.
        let end = (!unheard || plan.clock_moves).then_some(times.1);
        self.push(plan.participant, (times.0, end), outcome, reads, writes);
        if plan.fate == Fate::CommitsUnheard {
            self.look_at(&written);
        }
    }

    /// Somebody who lives to tell it reads these cells.
    fn look_at(&mut self, cells: &[u64]) {
        let point = self.point();
        let reads = cells.iter().map(|cell| {
            let (version, value) = self.state[cell];
            Read { cell: *cell, version: Some(version), value }
        });
        let reads = reads.collect();
        self.push(8, (point - 900, Some(point + 900)), Outcome::ReadOnly, reads, Vec::new());
    }

    /// Several commits may carry one version here, if they share no cell: the checker is not to depend on more than the order of a cell's.
    pub fn next_version(&mut self, cells: &[u64]) -> u64 {
        let newest = cells.iter().map(|cell| self.state[cell].0).max().unwrap_or(0);
        self.clock = self.clock.max(newest + 1);
        self.clock
    }

    pub fn push(
        &mut self,
        participant: u16,
        (begin, end): (u64, Option<u64>),
        outcome: Outcome,
        reads: Vec<Read>,
        writes: Vec<Write>,
    ) {
        let untrue = Vec::new();
        self.history.attempts.push(Attempt { participant, begin, end, outcome, reads, writes, untrue });
    }

    /// A last one reads all cells, so that no commit stays unseen.
    pub fn finish(mut self) -> History {
        self.look_at(&(0..CELLS).collect::<Vec<_>>());
        self.history.attempts.sort_by_key(|attempt| attempt.begin);
        self.history
    }
}
