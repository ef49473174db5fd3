//! What the model tests found, in files: one JSON object a scene, tool and manner, written by the test that played it, and the
//! numbers that are expected, committed in `model/expected/plays.json`.
//!
//! A checker that explores less than it did says nothing and passes. So the number of executions is part of what must hold:
//! fewer than expected, or a play that nobody expects, fails the test; more, or another bound, is said aloud by `pso check`.
//! `pso check --bless` takes the new numbers over, for a change of engine or scene that explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Names the directory for [`Played::write`]; without it nothing is written.
pub const DIRECTORY_VARIABLE: &str = "PSO_MODEL_REPORT";

/// `plays`: fewer executions than expected, and new plays, do not fail a test, for `pso check --bless`. `mutants`, `weaken`: the verdicts
/// that this table lacks are found.
pub const BLESS_VARIABLE: &str = "PSO_MODEL_BLESS";

/// True if [`BLESS_VARIABLE`] asks for `what`.
pub fn blesses(what: &str) -> bool {
    std::env::var(BLESS_VARIABLE).is_ok_and(|value| value == what)
}

/// How far an exploration went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// All executions that there are.
    Complete,
    /// All with at most so many preemptions.
    BoundedBy(usize),
    /// Schedules drawn with this seed.
    Random {
        /// The first seed.
        seed: u64,
    },
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Complete => write!(formatter, "complete"),
            Self::BoundedBy(preemptions) => write!(formatter, "bounded by {preemptions} preemptions"),
            Self::Random { seed } => write!(formatter, "random, seed {seed}"),
        }
    }
}

/// One scene, played to the end without a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Played {
    /// Its name.
    pub scene: String,
    /// Who played it: `loom`, `shuttle`.
    pub tool: String,
    /// How the world waited and how its clock went.
    pub manner: String,
    /// How far it went.
    pub coverage: Coverage,
    /// How many executions that were.
    pub executions: u64,
}

/// What is expected of each play, by [`Played::key`].
pub type Expected = BTreeMap<String, Expectation>;

/// What is expected of one play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// How far it goes.
    pub coverage: Coverage,
    /// How many executions that are.
    pub executions: u64,
}

/// How a play compares with what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// As expected.
    Same,
    /// More executions, or another bound: worth a look, and a `--bless`.
    Changed(Expectation),
    /// Fewer executions: something is no longer explored.
    Fewer(Expectation),
    /// Nobody expected it.
    New,
}

impl Played {
    /// `scene tool manner`.
    pub fn key(&self) -> String {
        format!("{} {} {}", self.scene, self.tool, self.manner)
    }

    /// What the next run is expected to be.
    pub fn expectation(&self) -> Expectation {
        Expectation { coverage: self.coverage.clone(), executions: self.executions }
    }

    /// Compares with what was expected.
    pub fn compare(&self, expected: &Expected) -> Comparison {
        match expected.get(&self.key()) {
            None => Comparison::New,
            Some(one) if *one == self.expectation() => Comparison::Same,
            Some(one) if self.executions < one.executions => Comparison::Fewer(one.clone()),
            Some(one) => Comparison::Changed(one.clone()),
        }
    }

    /// What is wrong with the play: it went less far than expected, or nobody expects it.
    fn shortfall(&self, expected: &Expected) -> Option<String> {
        match self.compare(expected) {
            Comparison::Same | Comparison::Changed(_) => None,
            Comparison::New => Some(format!("nobody expects {}", self.key())),
            Comparison::Fewer(Expectation { coverage, executions }) => {
                Some(format!("only {} executions where {executions} ({coverage}) are expected", self.executions))
            }
        }
    }

    /// Writes the play to the directory that [`DIRECTORY_VARIABLE`] names, if it names one, and fails on a play that went
    /// less far than expected, or that nobody expects.
    pub fn write(&self) {
        if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
            let path = Path::new(&directory).join(format!("{}.json", self.key().replace(' ', ".")));
            let line = serde_json::to_string(self).expect("a play is plain data");
            std::fs::write(&path, line + "\n").expect("the directory of reports can be written to");
        }
        println!("{}: {}, {} executions", self.key(), self.coverage, self.executions);
        if let Some(shortfall) = self.shortfall(&expected()) {
            assert!(blesses("plays"), "{shortfall}");
        }
    }
}

/// Where the expectations are.
pub fn expected_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/plays.json")
}

/// The root of the sources that this was built from.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The committed expectations. Panics if the file is gone or damaged: nothing would be expected of anybody.
pub fn expected() -> Expected {
    read(&expected_path())
}

/// The keys of the plays of `tool` that are expected.
pub fn expected_of(tool: &str) -> BTreeSet<String> {
    expected().into_keys().filter(|key| key.split(' ').nth(1) == Some(tool)).collect()
}

fn read(path: &Path) -> Expected {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is no table of plays: {error}", path.display()))
}

/// Writes `text` beside the file and puts it in its place: whoever is killed meanwhile, or reads it, has the whole of one or the other.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(executions: u64) -> Played {
        let [scene, tool, manner] = ["retry", "loom", "sleep"].map(String::from);
        Played { scene, tool, manner, coverage: Coverage::BoundedBy(2), executions }
    }

    /// The danger: a scene that is explored less than before passes as before.
    #[test]
    fn fewer_executions_are_told_from_more() {
        let expected = Expected::from([(played(10).key(), played(10).expectation())]);
        assert_eq!(played(10).compare(&expected), Comparison::Same);
        assert_eq!(played(9).compare(&expected), Comparison::Fewer(played(10).expectation()));
        assert_eq!(played(11).compare(&expected), Comparison::Changed(played(10).expectation()));
        assert_eq!(played(10).compare(&Expected::new()), Comparison::New);
        let complete = Played { coverage: Coverage::Complete, ..played(10) };
        assert_eq!(complete.compare(&expected), Comparison::Changed(played(10).expectation()));
    }

    /// The danger: what nobody expects, or the file says nothing about, passes as what is expected.
    #[test]
    fn fewer_executions_and_new_plays_fail() {
        let expected = Expected::from([(played(10).key(), played(10).expectation())]);
        assert_eq!(played(10).shortfall(&expected), None);
        assert_eq!(played(11).shortfall(&expected), None);
        assert!(played(9).shortfall(&expected).unwrap().contains("only 9 executions"));
        assert!(played(10).shortfall(&Expected::new()).unwrap().contains("nobody expects retry loom sleep"));
    }

    #[test]
    #[should_panic(expected = "gone.json")]
    fn expectations_that_cannot_be_read_are_not_none() {
        read(&expected_path().with_file_name("gone.json"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("pso-report-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("plays.json");
        for text in ["one", "another"] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
