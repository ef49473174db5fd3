//! What one participant did, and one figure made of all.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::measure::{Latencies, Manner, Measurement, Verdict, World};
use crate::trace::Trace;

/// What one participant has done so far. Processes send it to each other as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Who.
    pub participant: u32,
    /// Attempts, but those that waited.
    pub attempts: u64,
    /// Attempts that ended in a wait for a change (hand-overs).
    pub waits: u64,
    /// Transactions that are committed: so many of the participant's lines, from the first on.
    pub commits: u64,
    /// A transaction has begun, and whether it is committed is not known here.
    pub in_flight: bool,
    /// All lines are committed.
    pub through: bool,
    /// When the first transaction began, ns of the platform's clock.
    pub began_ns: u64,
    /// When the last one was committed.
    pub ended_ns: u64,
    /// What must not be and was seen.
    pub wrong: Option<String>,
    /// From a transaction's first attempt to its commit.
    pub latency: Latencies,
}

impl Part {
    /// Nothing done yet.
    pub fn new(participant: u32) -> Self {
        Self {
            participant,
            attempts: 0,
            waits: 0,
            commits: 0,
            in_flight: false,
            through: false,
            began_ns: 0,
            ended_ns: 0,
            wrong: None,
            latency: Latencies::new(),
        }
    }

    pub(super) fn begin(&mut self, now_ns: u64) {
        if self.commits == 0 {
            self.began_ns = now_ns;
        }
        self.in_flight = true;
    }

    pub(super) fn commit(&mut self, began_ns: u64, ended_ns: u64) {
        self.in_flight = false;
        self.commits += 1;
        self.ended_ns = ended_ns;
        self.latency.record(ended_ns.saturating_sub(began_ns));
    }

    /// Keeps the first finding.
    pub(super) fn note_wrong(&mut self, what: impl FnOnce() -> String) {
        self.wrong.get_or_insert_with(what);
    }

    /// Commits a second, from its first begin to its last commit.
    fn rate(&self) -> f64 {
        match self.ended_ns.saturating_sub(self.began_ns) {
            0 => 0.0,
            ns => self.commits as f64 * 1e9 / ns as f64,
        }
    }
}

/// What is said of a run besides its parts.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Where.
    pub world: World,
    /// Contention policy.
    pub policy: &'a str,
    /// Machine profile, or `this machine`.
    pub machine: &'a str,
    /// Processors.
    pub cores: u32,
    /// Of the run.
    pub seed: u64,
}

/// One figure of all parts of a run of `trace`.
pub fn measurement(trace: &Trace, run: Run<'_>, parts: &[Part], verdict: Verdict) -> Measurement {
    let mut latency = Latencies::new();
    parts.iter().for_each(|part| latency.add(&part.latency));
    let busy = || parts.iter().filter(|part| part.commits > 0);
    let began_ns = busy().map(|part| part.began_ns).min().unwrap_or(0);
    // Who has nothing to do is not slow.
    let workers: HashSet<u32> = trace.transactions.iter().map(|line| line.participant).collect();
    let has_lines = |part: &&Part| workers.contains(&part.participant);
    let ended_ns = busy().map(|part| part.ended_ns).max().unwrap_or(0);
    Measurement {
        world: run.world,
        trace: trace.header.name.clone(),
        policy: run.policy.to_owned(),
        machine: run.machine.to_owned(),
        // Whoever has chosen it says it.
        manner: Manner::default(),
        cores: run.cores,
        participants: parts.len() as u32,
        seed: run.seed,
        verdict,
        duration_ns: ended_ns - began_ns,
        attempts: parts.iter().map(|part| part.attempts).sum(),
        commits: parts.iter().map(|part| part.commits).collect(),
        rates: parts.iter().filter(has_lines).map(Part::rate).collect(),
        latency: latency.percentiles(),
    }
}
