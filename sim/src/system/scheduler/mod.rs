//! Who gets a core: mechanism in [`super`], policy here, one policy a file.
//!
//! A scheduler sees what a kernel sees (who is ready since when, who has run how long), and besides, because one of them is an
//! enemy, what the protocol is doing: who holds locks, whose transaction is the oldest. It decides; it moves nobody.

mod adversary;
mod fair;
mod round_robin;

pub use adversary::Adversary;
pub use fair::Fair;
pub use round_robin::RoundRobin;

/// What a scheduler may know of a thread. Times in ps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub thread: usize,
    /// Since when it is ready, or has been running.
    pub since: u64,
    /// What it has had of the processors, in the scheduler's own measure (see [`Scheduler::credit_of_sleeper`]).
    pub ran: u64,
    /// Cells that its attempt has locked.
    pub locks: u64,
    /// When its transaction began, over all attempts; `None` between transactions.
    pub transaction_since: Option<u64>,
}

/// A policy.
pub trait Scheduler {
    /// Its name, as on the command line.
    fn name(&self) -> &'static str;

    /// Which of the `ready` threads of a core runs next at `now`. At least one is ready.
    fn choose(&mut self, now: u64, ready: &[Candidate]) -> usize;

    /// Whether a thread that has just become ready takes the core from the one that runs.
    fn preempts(&self, woken: &Candidate, running: &Candidate, slice: u64) -> bool {
        let _ = (woken, running, slice);
        false
    }

    /// What a thread that slept counts as having run: it must not save up its sleep for a monopoly.
    fn credit_of_sleeper(&self, ran: u64, least_ran: u64, slice: u64) -> u64 {
        let _ = (least_ran, slice);
        ran
    }

    /// Asked before each step of a running thread: for how long somebody else takes its core away now, in ps.
    fn takes_away(&mut self, now: u64, running: &Candidate, slice: u64) -> Option<u64> {
        let _ = (now, running, slice);
        None
    }

    /// True if [`Scheduler::takes_away`] is to be asked at all: it is in the way of every step.
    fn is_hostile(&self) -> bool {
        false
    }
}

/// The scheduler of this name.
pub fn by_name(name: &str, seed: u64) -> Option<Box<dyn Scheduler>> {
    match name {
        "fair" => Some(Box::new(Fair)),
        "round-robin" => Some(Box::new(RoundRobin)),
        "adversary" => Some(Box::new(Adversary::new(seed))),
        _ => None,
    }
}

/// All names.
pub const NAMES: [&str; 3] = ["fair", "round-robin", "adversary"];
