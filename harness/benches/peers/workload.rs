//! What is done: variables, what each participant does with them, and what must hold at the end.
//!
//! | workload | variables | one operation |
//! | --- | --- | --- |
//! | `small` | 2 | takes 1 from the one and gives it to the other; one participant |
//! | `counter` | 1 | adds 1 |
//! | `own-counter` | 8 a participant | adds 1 to the first of its own, which nobody else touches |
//! | `bank-1000`, `bank-4` | 1,000 or 4 | takes 1 from one account and gives it to another one, drawn alike |
//! | `long-reader` | 1,000 | participant 0 transfers, as in the bank; the others add up all accounts. Alone, participant 0 adds up |
//! | `map` | 1,000 | finds the variable of a key, and reads it (9 of 10) or adds 1 to it |
//! | `crossing-pairs` | 8 a pair | adds 1 to each of the pair's own, one of the pair upwards, the other downwards |
//!
//! `map` compares what happens at the value: the index from keys (random numbers) to variables is a `HashMap` of std that
//! nobody changes, outside of what is locked or logged, and the same for all. Keys do not come and go.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use clap::ValueEnum;
use pso_harness::failure::Failure;
use pso_sim::Random;
use serde::{Deserialize, Serialize};

use crate::contestant::Actor;

/// Variables of each pair.
const PAIR: usize = 8;
/// Variables from one own counter to the next: no two share a cache line.
const APART: usize = 8;
/// Accounts that the long reader adds up, and keys of the map.
const MANY: usize = 1000;

/// Which workload. See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the table of the module says it")]
pub enum Workload {
    Small,
    Counter,
    OwnCounter,
    #[value(name = "bank-1000")]
    #[serde(rename = "bank-1000")]
    Bank1000,
    #[value(name = "bank-4")]
    #[serde(rename = "bank-4")]
    Bank4,
    LongReader,
    Map,
    CrossingPairs,
}

/// What participants of one kind do. Their figures are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The same as everybody else.
    Alike,
    /// Reads everything.
    Reader,
    /// Transfers beside the readers.
    Writer,
}

/// What one participant does, and what it has done.
pub struct Role {
    task: Task,
    random: Random,
    /// Operations that changed something.
    pub changes: u64,
}

enum Task {
    Add(Vec<usize>),
    Transfer { accounts: u64 },
    Sum,
    Map { keys: Vec<u64>, index: Index },
}

/// Hashes as std does, but the same in each process.
type Index = HashMap<u64, usize, BuildHasherDefault<DefaultHasher>>;

impl Workload {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Counter => "counter",
            Self::OwnCounter => "own-counter",
            Self::Bank1000 => "bank-1000",
            Self::Bank4 => "bank-4",
            Self::LongReader => "long-reader",
            Self::Map => "map",
            Self::CrossingPairs => "crossing-pairs",
        }
    }

    /// How many variables it needs.
    pub fn variables(self, participants: u32) -> usize {
        match self {
            Self::Small => 2,
            Self::Counter => 1,
            Self::OwnCounter => APART * participants as usize,
            Self::Bank4 => 4,
            Self::Bank1000 | Self::LongReader | Self::Map => MANY,
            Self::CrossingPairs => PAIR * participants.div_ceil(2) as usize,
        }
    }

    /// Whether it is one for so many participants.
    pub fn is_for(self, participants: u32) -> bool {
        self != Self::Small || participants == 1
    }

    /// What `participant` is.
    pub fn kind(self, participant: u32, participants: u32) -> Kind {
        match self {
            Self::LongReader if participant == 0 && participants > 1 => Kind::Writer,
            Self::LongReader => Kind::Reader,
            _ => Kind::Alike,
        }
    }

    /// What `participant` does.
    pub fn role(self, participant: u32, participants: u32, seed: u64) -> Role {
        let task = match (self, self.kind(participant, participants)) {
            (Self::LongReader, Kind::Reader) => Task::Sum,
            (Self::Small, _) => Task::Transfer { accounts: 2 },
            (Self::Bank4, _) => Task::Transfer { accounts: 4 },
            (Self::Bank1000 | Self::LongReader, _) => Task::Transfer { accounts: MANY as u64 },
            (Self::Counter, _) => Task::Add(vec![0]),
            (Self::OwnCounter, _) => Task::Add(vec![APART * participant as usize]),
            (Self::Map, _) => map(),
            (Self::CrossingPairs, _) => {
                let own = pair(participant);
                Task::Add(if participant.is_multiple_of(2) { own.collect() } else { own.rev().collect() })
            }
        };
        Role { task, random: Random::split(seed, u64::from(participant)), changes: 0 }
    }
}

/// The variables of the pair of `participant`.
fn pair(participant: u32) -> std::ops::Range<usize> {
    let first = PAIR * (participant / 2) as usize;
    first..first + PAIR
}

/// All participants know the same keys.
fn map() -> Task {
    const KEYS_SEED: u64 = 90_10;
    let mut random = Random::new(KEYS_SEED);
    let keys: Vec<u64> = (0..MANY).map(|_| random.next()).collect();
    let index = keys.iter().enumerate().map(|(variable, key)| (*key, variable)).collect();
    Task::Map { keys, index }
}

impl Role {
    /// How many operations are not timed one by one between two that are. A look at the clock takes longer than some of them.
    pub fn untimed(&self) -> u64 {
        match self.task {
            Task::Sum => 0,
            Task::Transfer { accounts: 2 } => 255,
            _ => 15,
        }
    }

    /// One operation.
    ///
    /// # Errors
    /// Whatever ends it for good; a sum that must not be.
    #[inline(always)]
    pub fn step<A: Actor>(&mut self, actor: &mut A) -> Result<(), Failure> {
        match &self.task {
            Task::Add(variables) => actor.add(variables)?,
            Task::Transfer { accounts } => {
                let from = self.random.below(*accounts);
                let to = from + 1 + self.random.below(accounts - 1);
                let to = if to < *accounts { to } else { to - accounts };
                actor.transfer(from as usize, to as usize)?;
            }
            Task::Sum => match actor.sum()? {
                0 => return Ok(()),
                sum => return Err(Failure::Wrong(format!("a reader saw the sum {sum}, not 0"))),
            },
            Task::Map { keys, index } => {
                let key = keys[self.random.below(keys.len() as u64) as usize];
                let variable = index.get(&key).copied().unwrap_or(0);
                if self.random.below(10) != 0 {
                    std::hint::black_box(actor.read(variable)?);
                    return Ok(());
                }
                actor.add(&[variable])?;
            }
        }
        self.changes += 1;
        Ok(())
    }
}
