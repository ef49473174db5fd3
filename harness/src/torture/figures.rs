//! What a run came to, as numbers for the results and sentences for people.

use std::collections::BTreeMap;
use std::time::Duration;

use pso_engine::waits::Wait;
use serde::Serialize;

use super::watch::Waited;
use super::{kill, stop};

/// A survivor that waited for the dead goes on within so many milliseconds, in 99 of 100 cases: a claim of the project.
const GOES_ON_MS: f64 = 5.0;

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How often it was measured.
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    /// Of all that was measured.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self {
            count: times.len(),
            p50_ms: milliseconds(&times, 0.5),
            p99_ms: milliseconds(&times, 0.99),
            max_ms: milliseconds(&times, 1.0),
        }
    }

    /// `p50 0.3 ms, p99 2.1 ms, longest 4.0 ms (1,234)`.
    pub fn describe(&self) -> String {
        let Self { count, p50_ms, p99_ms, max_ms } = self;
        format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, longest {max_ms:.1} ms ({count})")
    }
}

/// The time that `part` of all times do not exceed.
fn milliseconds(sorted: &[Duration], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.max(1) - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// What all kills came to.
#[derive(Default, Serialize)]
pub struct Kills {
    pub kills: u32,
    pub while_joining: u32,
    pub two_at_once: u32,
    /// What the dead were at.
    pub killed_at: BTreeMap<&'static str, u32>,
    /// In which state the attempts of the dead were found.
    pub found: BTreeMap<String, u32>,
    /// From the signal until the kernel said that it is dead: until then it is slow, and nobody can know better.
    pub dying: Latency,
    /// From a death until each survivor had committed again.
    pub next_commit: Latency,
    /// Of survivors that waited for the dead: until they no longer did.
    pub waited_went_on: Latency,
    /// The same until their next commit.
    pub waited_next_commit: Latency,
    /// Of these waits, in the place at the dead one, the others being in the second row.
    pub waited_in_place: usize,
    /// Whether who waited went on within 5 ms (p99). `None`: nobody waited.
    pub goes_on_in_time: Option<bool>,
    #[serde(skip)]
    deaths: Vec<Duration>,
    #[serde(skip)]
    commits: Vec<Duration>,
    #[serde(skip)]
    waits: Vec<Waited>,
}

impl Kills {
    /// Adds a kill.
    pub fn add(&mut self, outcome: kill::Outcome) {
        self.kills += outcome.dead.len() as u32;
        self.while_joining += u32::from(outcome.while_joining);
        self.two_at_once += u32::from(outcome.dead.len() == 2);
        for death in outcome.dead {
            let deed = death.deed.map_or("joining", |deed| deed.name());
            *self.killed_at.entry(deed).or_default() += 1;
            let state = death.state.map_or_else(|| "none".into(), |state| format!("{state:?}").to_lowercase());
            *self.found.entry(state).or_default() += 1;
        }
        self.deaths.push(outcome.dying);
        self.commits.extend(outcome.commits);
        self.waits.extend(outcome.waits);
    }

    /// Sums up.
    pub fn close(&mut self) {
        self.dying = Latency::of(self.deaths.drain(..));
        self.next_commit = Latency::of(self.commits.drain(..));
        self.waited_in_place = self.waits.iter().filter(|waited| waited.place == Wait::InPlace).count();
        self.waited_went_on = Latency::of(self.waits.iter().map(|waited| waited.went_on));
        self.waited_next_commit = Latency::of(self.waits.drain(..).map(|waited| waited.next_commit));
        self.goes_on_in_time = (self.waited_went_on.count != 0).then_some(self.waited_went_on.p99_ms <= GOES_ON_MS);
    }

    /// For people.
    pub fn describe(&self) -> String {
        format!(
            "  {} killed while joining, {} times two at once; at {}; found {}\n  \
             from the signal to the death: {}\n  next commit of any survivor: {}\n  \
             survivors that waited for the dead: {}, {} of them in its place\n    \
             until they went on: {}\n    until their next commit: {}",
            self.while_joining,
            self.two_at_once,
            listed(&self.killed_at),
            listed(&self.found),
            self.dying.describe(),
            self.next_commit.describe(),
            self.waited_went_on.count,
            self.waited_in_place,
            self.waited_went_on.describe(),
            self.waited_next_commit.describe(),
        )
    }
}

/// What all stops came to. That they came to it says that every verdict was good: see `stop`.
#[derive(Default, Serialize)]
pub struct Stops {
    pub stops: u32,
    /// Longer than any patience with a silent owner.
    pub long: u32,
    /// In what the stopped were found.
    pub found: BTreeMap<String, u32>,
    /// Whose undecided attempt was ended by somebody who wanted its cells.
    pub preempted: u32,
    /// Whose undecided attempt held cells that nobody wanted while it stood still.
    pub unwanted: u32,
    /// Whose undecided attempt was waited for until a short stop was over.
    pub waited_through: u32,
    /// COMMITTED or with privilege, and somebody waited: by design.
    pub blocked_by_design: u32,
    /// From the stop until it was preempted.
    pub preempted_after: Latency,
    /// Consistent reads beside the stopped one.
    pub reads: Latency,
    /// Transactions that write other cells.
    pub writes: Latency,
    /// Those of them that were beside a COMMITTED one.
    pub reads_beside_committed: Latency,
    /// Sleeps of the engine in all these reads, of a millisecond at most; in the writes it never does.
    pub sleeps_in_reads: u64,
    /// What the other writers committed in the stops.
    pub commits_of_others: u64,
    /// From the continuation of the stopped one to its next commit.
    pub went_on: Latency,
    #[serde(skip)]
    times: Times,
}

#[derive(Default)]
struct Times {
    preempted_after: Vec<Duration>,
    reads: Vec<Duration>,
    reads_beside_committed: Vec<Duration>,
    writes: Vec<Duration>,
    went_on: Vec<Duration>,
}

impl Stops {
    /// Adds a stop.
    pub fn add(&mut self, outcome: stop::Outcome) {
        self.stops += 1;
        self.long += u32::from(outcome.long);
        *self.found.entry(outcome.found.name()).or_default() += 1;
        self.preempted += u32::from(outcome.preempted_after.is_some());
        if outcome.found.can_be_preempted() && outcome.preempted_after.is_none() {
            *if outcome.waited_for { &mut self.waited_through } else { &mut self.unwanted } += 1;
        }
        self.blocked_by_design += u32::from(outcome.found.blocks_by_design() && outcome.waited_for);
        self.sleeps_in_reads += outcome.sleeps;
        self.commits_of_others += outcome.commits_of_others;
        self.times.preempted_after.extend(outcome.preempted_after);
        if outcome.found == stop::Found::Committed {
            self.times.reads_beside_committed.extend(&outcome.reads);
        }
        self.times.reads.extend(outcome.reads);
        self.times.writes.extend(outcome.writes);
        self.times.went_on.push(outcome.went_on);
    }

    /// Sums up.
    pub fn close(&mut self) {
        let Times { preempted_after, reads, reads_beside_committed, writes, went_on } = std::mem::take(&mut self.times);
        self.preempted_after = Latency::of(preempted_after);
        self.reads = Latency::of(reads);
        self.reads_beside_committed = Latency::of(reads_beside_committed);
        self.writes = Latency::of(writes);
        self.went_on = Latency::of(went_on);
    }

    /// For people.
    pub fn describe(&self) -> String {
        format!(
            "  {} of {} longer than a silent owner is waited for; found {}\n  \
             preempted {}, wanted by nobody {}, waited for through a short stop {}, blocking by design {}\n  \
             preempted after: {}\n  consistent reads beside it: {}, {} sleeps\n    beside a committed one: {}\n  writes of other cells: {}\n  \
             {} commits of the other writers; next commit of the stopped one: {}",
            self.long,
            self.stops,
            listed(&self.found),
            self.preempted,
            self.unwanted,
            self.waited_through,
            self.blocked_by_design,
            self.preempted_after.describe(),
            self.reads.describe(),
            self.sleeps_in_reads,
            self.reads_beside_committed.describe(),
            self.writes.describe(),
            self.commits_of_others,
            self.went_on.describe(),
        )
    }
}

/// `3 active, 5 idle`.
pub fn listed<K: std::fmt::Display>(counts: &BTreeMap<K, u32>) -> String {
    let items: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis));
        assert_eq!(latency, Latency { count: 100, p50_ms: 50.0, p99_ms: 99.0, max_ms: 100.0 });
        assert_eq!(Latency::of([]), Latency::default());
    }

    #[test]
    fn slow_survivors_are_told_from_quick_ones() {
        let waited = |went_on| Waited {
            place: Wait::InPlace,
            went_on: Duration::from_millis(went_on),
            next_commit: Duration::from_millis(9),
        };
        for (count, slow, in_time) in [(100, 1, Some(true)), (100, 2, Some(false)), (0, 0, None)] {
            let waits = (0..count).map(|number| waited(if number < slow { 6 } else { 2 })).collect();
            let mut kills = Kills { waits, ..Kills::default() };
            kills.close();
            assert_eq!((kills.goes_on_in_time, kills.waited_next_commit.count), (in_time, count));
        }
    }
}
