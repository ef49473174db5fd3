//! What can go wrong in a subcommand, each with the sentence that the user reads.

use std::path::PathBuf;

/// Why a subcommand ends with exit code 1, or 2 where it says so.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The handler of signals could not be installed.
    #[error("cannot watch for Ctrl-C: {0}")]
    Signals(String),
    /// Standard output is gone or full.
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
    /// A file or a process of our own.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system answered.
        error: std::io::Error,
    },
    /// No Python with the package in it.
    #[error("{python} cannot import pso (run `make setup`, or name another with --python): {reason}", python = python.display())]
    NoPackage {
        /// The interpreter.
        python: PathBuf,
        /// Its last words.
        reason: String,
    },
    /// A child process failed that nobody had killed.
    #[error("{who} ended with {status}\n{last_words}")]
    Child {
        /// Which.
        who: String,
        /// How.
        status: String,
        /// The end of its standard error.
        last_words: String,
    },
    /// A child process said something that makes no sense.
    #[error("{who} said something that cannot be understood: {line}")]
    Nonsense {
        /// Which.
        who: String,
        /// What it said.
        line: String,
    },
    /// Nothing has moved for too long.
    #[error("no progress for {seconds} s: {what}")]
    Stalled {
        /// What stands still.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The space cannot be created, attached or removed.
    #[error("{place}: {reason}")]
    Space {
        /// Which.
        place: String,
        /// Why.
        reason: String,
    },
    /// `fsck`, or its repair, could not begin: nothing is known of the space. Exit code 2.
    #[error("{0}")]
    NotLookedAt(String),
    /// What is asked for makes no sense, which the command line's own grammar does not tell. Nothing was done: exit code 2, as there.
    #[error("{0}")]
    Refused(String),
    /// A check has found what must not be.
    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    /// For `map_err`: names what was tried.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
    /// Names what it happened to. An interruption happens to all.
    pub fn of(self, what: impl std::fmt::Display) -> Self {
        match self {
            Self::Interrupted => self,
            failure => Self::Wrong(format!("{what}: {failure}")),
        }
    }
    /// For `map_err`: names the space.
    pub fn space<E: std::fmt::Display>(place: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::Space { place: place.to_string(), reason: error.to_string() }
    }
}
