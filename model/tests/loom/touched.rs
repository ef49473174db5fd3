//! Which words a scene touches while its actors run, how, and in which processes. Learned while exploring; see `world`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pso_engine::platform::WordKind;

/// How a touched word is used, and by which processes (one bit each).
#[derive(Clone, Copy, Debug, Default)]
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

/// The words of a scene that become loom objects. Outlives executions.
#[derive(Debug, Default)]
pub struct Touched {
    pub words: Mutex<BTreeMap<u64, Uses>>,
}

/// The panic of an access to a word that is no loom object yet.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

impl Touched {
    pub fn add(&self, index: u64, kind: WordKind, deed: Deed, process: u16) {
        let mut words = self.words.lock().unwrap();
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
}
