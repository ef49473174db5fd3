//! Which words a scene touches while its actors run, how, and in which processes. Learned while exploring; see `world`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pso_engine::platform::WordKind;
use serde::{Deserialize, Serialize};

/// How a touched word is used, and by which processes (one bit each).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Uses {
    pub atomic: bool,
    pub plain: bool,
    pub loaders: u16,
    pub changers: u16,
}

impl Uses {
    /// Whether more than one process is concerned with what it holds.
    pub fn shared(self) -> bool {
        self.changers != 0 && (self.loaders | self.changers).count_ones() > 1
    }
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Load,
    Change,
}

/// Words, by their index.
pub type Words = BTreeMap<u64, Uses>;

/// The words of a scene that become loom objects.
#[derive(Debug)]
pub struct Touched {
    /// Those that are known before a round of executions. The same in all of them, for loom repeats its objects.
    pub known: Words,
    /// What the round adds: other words, other processes.
    found: Mutex<Words>,
}

/// The panic of an access to a word that is not yet a loom object of this kind.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

impl Touched {
    pub fn of(known: Words) -> Self {
        Self { known, found: Mutex::default() }
    }

    pub fn add(&self, index: u64, kind: WordKind, deed: Deed, process: u16) {
        let mut words = self.found.lock().unwrap();
        let uses = words.entry(index).or_default();
        match kind {
            WordKind::Atomic => uses.atomic = true,
            WordKind::Plain => uses.plain = true,
        }
        match deed {
            Deed::Load => uses.loaders |= process,
            Deed::Change => uses.changers |= process,
        }
    }

    /// True if nothing was added.
    pub fn is_complete(&self) -> bool {
        self.found.lock().unwrap().is_empty()
    }

    /// Adds to `words` what was found.
    pub fn add_to(&self, words: &mut Words) {
        for (&index, found) in self.found.lock().unwrap().iter() {
            let uses = words.entry(index).or_default();
            uses.atomic |= found.atomic;
            uses.plain |= found.plain;
            uses.loaders |= found.loaders;
            uses.changers |= found.changers;
        }
    }
}
