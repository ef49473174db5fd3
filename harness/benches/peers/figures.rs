//! What runs gave, as numbers with names: by contestant, participants and kind of participant.

use pso_engine::contention::PolicyId;
use pso_harness::machine::{Provenance, median, processors};
use pso_sim::measure::{Latencies, Manner, Measurement, Verdict, World};
use serde::{Deserialize, Serialize};

use crate::run::{Case, Deed};
use crate::workload::{Kind, Workload};

/// The measurement of one workload.
#[derive(Clone, Serialize, Deserialize)]
pub struct Section {
    /// What was done.
    pub workload: Workload,
    /// Of each run.
    pub seconds: f64,
    /// In each of which every contestant has one run.
    pub rounds: u32,
    /// Of the first round.
    pub seed: u64,
    /// With what, when and where.
    pub provenance: Provenance,
    /// All that was measured.
    pub rows: Vec<Row>,
}

/// The runs of one contestant with one number of participants.
#[derive(Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub contestant: String,
    /// How many.
    pub participants: u32,
    /// Whose figures these are.
    pub kind: Kind,
    /// By rounds.
    pub runs: Vec<Figures>,
}

/// A percentile is told where at least so many operations lie beyond it: fewer say little but of themselves. (The median of a section's runs is taken besides.)
pub const BEYOND: u64 = 5;

/// One run.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Figures {
    /// Operations a second of all of the kind.
    pub per_second: f64,
    /// So many operations were timed by themselves: of sums all that ended in time. Older files do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timed: Option<u64>,
    /// Half of the operations took at most so long, if there were any.
    pub p50_ns: Option<u64>,
    /// 99 of 100 took at most so long, where at least [`BEYOND`] took longer.
    pub p99_ns: Option<u64>,
    /// 999 of 1,000, as well.
    pub p999_ns: Option<u64>,
    /// No operation took longer.
    pub longest_ns: u64,
    /// 1 where no attempt was in vain, 0 where nothing was committed in time.
    pub attempts_per_commit: f64,
    /// Sleepers woken; unknown of those who do not count them.
    pub woken_per_commit: Option<f64>,
    /// Rate of the slowest participant over that of the fastest.
    pub slowest_over_fastest: f64,
}

/// The figures of each kind of participants that took part in a run.
pub fn of_run(case: &Case, deeds: &[Deed]) -> Vec<(Kind, Figures)> {
    [Kind::Alike, Kind::Reader, Kind::Writer]
        .into_iter()
        .filter_map(|kind| Some((kind, of_kind(case, deeds, kind)?)))
        .collect()
}

fn of_kind(case: &Case, deeds: &[Deed], kind: Kind) -> Option<Figures> {
    let is_of_kind = |number: usize| case.workload.kind(number as u32, case.participants) == kind;
    let deeds: Vec<&Deed> =
        deeds.iter().enumerate().filter(|(number, _)| is_of_kind(*number)).map(|(_, deed)| deed).collect();
    let mut latencies = Latencies::new();
    deeds.iter().for_each(|deed| latencies.add(&deed.latencies));
    let commits: Vec<u64> = deeds.iter().map(|deed| deed.operations).collect();
    let rate = |deed: &&Deed| deed.operations as f64 * 1e9 / deed.duration_ns.max(1) as f64;
    // Its definitions of rates and fairness are the ones of every other measurement of the project.
    let measured = Measurement {
        world: World::Real,
        trace: case.workload.name().into(),
        policy: PolicyId::default().name().into(),
        machine: "this machine".into(),
        manner: Manner::default(),
        cores: processors(),
        participants: case.participants,
        seed: case.seed,
        verdict: Verdict::Ok,
        duration_ns: deeds.iter().map(|deed| deed.duration_ns).max()?,
        attempts: deeds.iter().map(|deed| deed.attempts).sum(),
        commits,
        rates: deeds.iter().map(rate).collect(),
        latency: latencies.percentiles(),
    };
    let operations: u64 = measured.commits.iter().sum();
    let woken: Option<u64> = deeds.iter().map(|deed| deed.woken).sum();
    // One operation in so many lies beyond.
    let if_told = |one_in: u64, ns: u64| (latencies.count() >= BEYOND * one_in).then_some(ns);
    Some(Figures {
        per_second: measured.throughput(),
        timed: Some(latencies.count()),
        p50_ns: (latencies.count() > 0).then_some(measured.latency.p50),
        p99_ns: if_told(100, measured.latency.p99),
        p999_ns: if_told(1000, measured.latency.p999),
        longest_ns: deeds.iter().map(|deed| deed.longest_ns).max()?,
        attempts_per_commit: measured.attempts_per_commit(),
        woken_per_commit: woken.map(|woken| woken as f64 / operations.max(1) as f64),
        slowest_over_fastest: measured.slowest_over_fastest(),
    })
}

impl Section {
    /// Takes the figures of one run in.
    pub fn add(&mut self, contestant: &str, participants: u32, figures: Vec<(Kind, Figures)>) {
        for (kind, figures) in figures {
            let is_it =
                |row: &&mut Row| row.contestant == contestant && row.participants == participants && row.kind == kind;
            match self.rows.iter_mut().find(is_it) {
                Some(row) => row.runs.push(figures),
                None => self.rows.push(Row { contestant: contestant.into(), participants, kind, runs: vec![figures] }),
            }
        }
    }

    /// The runs of one contestant, if there are any.
    pub fn row(&self, contestant: &str, participants: u32, kind: Kind) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.contestant == contestant && row.participants == participants && row.kind == kind)
    }
}

impl Figures {
    /// The p99 is no less: of few operations their median, and of none the one that has not come to its end.
    pub fn p99_at_least(&self) -> f64 {
        self.p99_ns.or(self.p50_ns).unwrap_or(self.longest_ns) as f64
    }

    /// And no more.
    pub fn p99_at_most(&self) -> f64 {
        self.p99_ns.unwrap_or(self.longest_ns) as f64
    }
}

impl Row {
    /// The median of a figure that every run has; none if one has not.
    pub fn median_of_all(&self, figure: impl Fn(&Figures) -> Option<u64>) -> Option<f64> {
        let figures: Option<Vec<f64>> = self.runs.iter().map(|run| figure(run).map(|figure| figure as f64)).collect();
        figures.map(|figures| median(&figures))
    }

    /// The median of one figure.
    pub fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        median(&self.runs.iter().map(figure).collect::<Vec<_>>())
    }
}
