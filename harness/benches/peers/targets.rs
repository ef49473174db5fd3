//! What the project has promised itself, set beside what was measured. Ratios are taken within a round, and then their median.

use clap::ValueEnum;
use pso_harness::machine::median;
use pso_harness::promise::{Bound, Promise};

use crate::figures::{Figures, Row, Section};
use crate::workload::{Kind, Workload};
use crate::{ENGINE_PROCESSES, ENGINE_THREADS, FAST_STM, STD_MUTEX, STM_CRATES};

/// Participants of the crowded runs, and of those that they are compared with.
const CROWD: u32 = 8;
const FEW: u32 = 2;

/// All promises of which `sections` say anything.
pub fn targets(sections: &[Section]) -> Vec<Promise> {
    let mut targets = Vec::new();
    let mut add = |what: String, wanted: Bound, measured: Option<f64>| {
        targets.extend(measured.map(|measured| Promise { what, wanted, measured }));
    };
    let of = |workload: Workload| sections.iter().find(|section| section.workload == workload);
    let rate: fn(&Figures) -> f64 = |figures| figures.per_second;
    if let Some(small) = of(Workload::Small) {
        let time = |rivals: &[&str]| ratio_to_best(small, ENGINE_THREADS, 1, rivals).map(f64::recip);
        add("small transaction: time over the best STM crate's".into(), Bound::AtMost(0.65), time(&STM_CRATES));
        add("small transaction: time over std Mutex's".into(), Bound::AtMost(2.5), time(&[STD_MUTEX]));
    }
    if let Some(counter) = of(Workload::Counter) {
        let over = ratio_to_best(counter, ENGINE_PROCESSES, FEW, &STM_CRATES);
        add("counter, 2 processes: rate over the best STM crate's".into(), Bound::AtLeast(1.0), over);
    }
    for engine in [ENGINE_THREADS, ENGINE_PROCESSES] {
        if let Some(reader) = of(Workload::LongReader) {
            let pair = |kind: Kind, own: fn(&Figures) -> f64, other: &dyn Fn(&Figures) -> f64| {
                ratio_of(reader.row(engine, FEW, kind)?, reader.row(FAST_STM, FEW, kind)?, own, other)
            };
            // Who has come to no end in a run has done less than one.
            let one = 1.0 / reader.seconds;
            let rate_or_one = |figures: &Figures| figures.per_second.max(one);
            let p99 = pair(Kind::Reader, Figures::p99_at_most, &Figures::p99_at_least);
            add(
                format!("{engine}, long reader: sums/s over fast-stm's"),
                Bound::AtLeast(50.0),
                pair(Kind::Reader, rate, &rate_or_one),
            );
            add(format!("{engine}, long reader: p99 over fast-stm's"), Bound::AtMost(1.0 / 200.0), p99);
            add(
                format!("{engine}, long reader: writer's rate over fast-stm's"),
                Bound::AtLeast(1.5),
                pair(Kind::Writer, rate, &rate),
            );
        }
        for (workload, kept) in [(Workload::Bank1000, 0.8), (Workload::Bank4, 0.5)] {
            let Some(bank) = of(workload) else { continue };
            let Some(crowd) = bank.row(engine, CROWD, Kind::Alike) else { continue };
            let name = workload.name();
            let few = bank.row(engine, FEW, Kind::Alike).and_then(|few| ratio(crowd, few, rate));
            add(format!("{engine}, {name}: rate of 8 over that of 2"), Bound::AtLeast(kept), few);
            let evenness = crowd.median(|figures| figures.slowest_over_fastest);
            add(format!("{engine}, {name}, 8: slowest over fastest"), Bound::AtLeast(0.5), Some(evenness));
        }
        let is_all = Workload::value_variants().iter().all(|each| of(*each).is_some());
        let which = if is_all { "all workloads" } else { "the workloads here" };
        // Of every run, not of the median one.
        let all = || sections.iter().flat_map(|section| &section.rows).filter(|row| row.contestant == engine);
        let most = |figure: fn(&Figures) -> f64| all().flat_map(|row| &row.runs).map(figure).max_by(f64::total_cmp);
        let longest_ms = most(|figures| figures.longest_ns as f64 / 1e6);
        add(format!("{engine}, {which}: longest operation, ms"), Bound::AtMost(100.0), longest_ms);
        let woken = most(|figures| figures.woken_per_commit.unwrap_or(0.0));
        add(format!("{engine}, {which}: wake-ups per commit"), Bound::AtMost(2.0), woken);
    }
    targets
}

/// `contestant`'s rate over that of the fastest of `rivals`, in each round.
fn ratio_to_best(section: &Section, contestant: &str, participants: u32, rivals: &[&str]) -> Option<f64> {
    let own = section.row(contestant, participants, Kind::Alike)?;
    // Who is best is known where all have been measured.
    let rivals: Vec<&Row> =
        rivals.iter().map(|rival| section.row(rival, participants, Kind::Alike)).collect::<Option<_>>()?;
    let best =
        |round: usize| rivals.iter().filter_map(|row| row.runs.get(round)).map(|run| run.per_second).reduce(f64::max);
    let ratios: Vec<f64> =
        own.runs.iter().enumerate().filter_map(|(round, run)| Some(run.per_second / best(round)?)).collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}

fn ratio(own: &Row, other: &Row, figure: impl Fn(&Figures) -> f64) -> Option<f64> {
    ratio_of(own, other, &figure, &figure)
}

/// The same of two figures.
fn ratio_of(
    own: &Row,
    other: &Row,
    figure: impl Fn(&Figures) -> f64,
    of_other: impl Fn(&Figures) -> f64,
) -> Option<f64> {
    let ratios: Vec<f64> = own.runs.iter().zip(&other.runs).map(|(own, other)| figure(own) / of_other(other)).collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}
