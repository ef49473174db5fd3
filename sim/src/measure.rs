//! What one run of a trace gave: the same numbers for a simulated run and a real one, so that both stand on the same axes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Significant decimal digits of a latency.
const LATENCY_DIGITS: u8 = 2;

/// Where a run took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// On the simulated machine, in virtual time. Whoever shows such a number says so.
    Simulated,
    /// Processes on this machine, in real time.
    Real,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everybody is through, and what must hold holds.
    Ok,
    /// Nobody can go on: all that are not through sleep, and nothing will wake them.
    Stuck,
    /// Steps are made and no transaction commits.
    Livelocked,
    /// What must hold does not: the sentence says what.
    Wrong(String),
    /// The budget of steps was too small to tell.
    OutOfBudget,
}

/// How a run was played: those of one curve alike. Older files do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Manner {
    /// Which times of the trace were kept, as on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<String>,
    /// Who gave the cores away, of simulated runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// Who was killed, stopped or made slow, as on the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Where.
    pub world: World,
    /// Name of the trace.
    pub trace: String,
    /// Contention policy.
    pub policy: String,
    /// Machine profile (simulated), or `this machine`.
    pub machine: String,
    /// How it was played.
    #[serde(flatten)]
    pub manner: Manner,
    /// Processors.
    pub cores: u32,
    /// Participants that ran transactions.
    pub participants: u32,
    /// Of the run.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// From the first begin to the last commit, ns of the run's own time.
    pub duration_ns: u64,
    /// Attempts of all.
    pub attempts: u64,
    /// Commits of each participant.
    pub commits: Vec<u64>,
    /// Commits a second, until it was through, of each participant that had something to do.
    pub rates: Vec<f64>,
    /// From a transaction's first attempt to its commit.
    pub latency: Latency,
}

/// How long things took, ns, each with two significant digits. A few KiB; adding one to another loses nothing. Processes send it to
/// each other as pairs of a value and its count.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        match Histogram::new(LATENCY_DIGITS) {
            Ok(histogram) => Self(histogram),
            // The only error is a number of digits above 5.
            Err(_) => unreachable!("two digits are allowed"),
        }
    }

    /// One more.
    pub fn record(&mut self, ns: u64) {
        // It grows by itself (`saturating_record` would not let it): no value of a clock is out of range.
        let _ = self.0.record(ns);
    }

    /// Those of another one, too.
    pub fn add(&mut self, other: &Self) {
        // Both grow by themselves: nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The figures that are quoted.
    pub fn percentiles(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.0.max() }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// Pairs (value, count): adding them gives the same buckets.
impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = self.0.iter_recorded();
        let pairs: Vec<(u64, u64)> =
            recorded.map(|bucket| (bucket.value_iterated_to(), bucket.count_since_last_iteration())).collect();
        pairs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::new();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latencies.0.record_n(value, count).map_err(serde::de::Error::custom)?;
        }
        Ok(latencies)
    }
}

/// Percentiles in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Measurement {
    /// Commits a second of all.
    pub fn throughput(&self) -> f64 {
        let commits: u64 = self.commits.iter().sum();
        if self.duration_ns == 0 { 0.0 } else { commits as f64 * 1e9 / self.duration_ns as f64 }
    }

    /// 1 where no attempt was in vain.
    pub fn attempts_per_commit(&self) -> f64 {
        let commits: u64 = self.commits.iter().sum();
        if commits == 0 { 0.0 } else { self.attempts as f64 / commits as f64 }
    }

    /// Jain's index of the rates: 1 where all are equal, 1/n where one has everything.
    pub fn jain(&self) -> f64 {
        let sum: f64 = self.rates.iter().sum();
        let squares: f64 = self.rates.iter().map(|rate| rate * rate).sum();
        if squares == 0.0 { 0.0 } else { sum * sum / (self.rates.len() as f64 * squares) }
    }

    /// Rate of the slowest over that of the fastest.
    pub fn slowest_over_fastest(&self) -> f64 {
        let fastest = self.rates.iter().copied().fold(0.0, f64::max);
        let slowest = self.rates.iter().copied().fold(f64::INFINITY, f64::min);
        if fastest == 0.0 { 0.0 } else { slowest / fastest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_rates(rates: Vec<f64>) -> Measurement {
        Measurement {
            world: World::Simulated,
            trace: "t".into(),
            policy: "default".into(),
            machine: "m".into(),
            manner: Manner::default(),
            cores: 2,
            participants: rates.len() as u32,
            seed: 1,
            verdict: Verdict::Ok,
            duration_ns: 2_000_000_000,
            attempts: 30,
            commits: vec![10; rates.len()],
            rates,
            latency: Latency::default(),
        }
    }

    #[test]
    fn fairness_is_one_for_equals_and_small_for_one_who_has_everything() {
        let equal = with_rates(vec![5.0, 5.0]);
        assert!((equal.jain() - 1.0).abs() < 1e-12 && (equal.slowest_over_fastest() - 1.0).abs() < 1e-12);
        assert!((equal.throughput() - 10.0).abs() < 1e-12 && (equal.attempts_per_commit() - 1.5).abs() < 1e-12);
        let greedy = with_rates(vec![5.0, 0.0, 0.0, 0.0]);
        assert!((greedy.jain() - 0.25).abs() < 1e-12 && greedy.slowest_over_fastest() == 0.0);
    }
}
