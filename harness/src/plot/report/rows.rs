//! The summary: one row for each world, policy, machine, manner, cores and participants of a trace, all runs of it together.

use pso_sim::measure::{Manner, Measurement, World};

use crate::plot::group::ended_well;
use crate::plot::input::{Input, verdict_words, world_word};
use crate::plot::quantity::Quantity;
use crate::plot::spread::Spread;

/// What is told in each row, in the order of the columns.
pub const QUANTITIES: [Quantity; 7] = [
    Quantity::Throughput,
    Quantity::AttemptsPerCommit,
    Quantity::LatencyP50,
    Quantity::LatencyP99,
    Quantity::LatencyMax,
    Quantity::Jain,
    Quantity::SlowestOverFastest,
];

/// One row.
pub struct Row {
    /// Which trace.
    pub trace: String,
    /// In which world.
    pub world: World,
    /// Machine profile, or this machine.
    pub machine: String,
    /// How it was played.
    pub manner: Manner,
    /// Contention policy.
    pub policy: String,
    /// Cores.
    pub cores: u32,
    /// Participants.
    pub participants: u32,
    /// How many runs ended well.
    pub runs: usize,
    /// The seeds of all runs, ascending.
    pub seeds: Vec<u64>,
    /// Those of `QUANTITIES`, over the runs that ended well; none if none did.
    pub spreads: Vec<Option<Spread>>,
    /// `ok`, or how the others ended.
    pub verdict: String,
    /// Indices of the files, ascending.
    pub sources: Vec<usize>,
}

impl Row {
    /// Its world as a word.
    pub fn world_word(&self) -> &'static str {
        world_word(self.world)
    }

    /// Where and how, as far as it is known: `simulated, chiplet, flat-out, fair`.
    pub fn place(&self) -> String {
        let Manner { pace, scheduler, faults } = &self.manner;
        let manner = pace.iter().chain(scheduler).chain(faults).map(String::as_str);
        [self.world_word(), &self.machine].into_iter().chain(manner).collect::<Vec<_>>().join(", ")
    }
}

/// The rows of all measurements: by trace, real before simulated, by cores and participants.
pub fn rows(input: &Input) -> Vec<Row> {
    let key = |each: &Measurement| {
        let place = (each.world == World::Simulated, each.policy.clone(), each.machine.clone());
        (place, each.manner.clone(), each.cores, each.participants)
    };
    let mut rows = Vec::new();
    for trace in input.traces() {
        let of_trace = || input.runs.iter().filter(|run| run.measurement.trace == trace);
        let mut keys: Vec<_> = of_trace().map(|run| key(&run.measurement)).collect();
        keys.sort();
        keys.dedup();
        for wanted in keys {
            let runs: Vec<_> = of_trace().filter(|run| key(&run.measurement) == wanted).collect();
            let ((simulated, policy, machine), manner, cores, participants) = wanted;
            let well: Vec<&Measurement> =
                runs.iter().map(|run| &run.measurement).filter(|each| ended_well(each)).collect();
            rows.push(Row {
                trace: trace.into(),
                world: if simulated { World::Simulated } else { World::Real },
                machine,
                manner,
                policy,
                cores,
                participants,
                runs: well.len(),
                seeds: ascending(runs.iter().map(|run| run.measurement.seed)),
                spreads: QUANTITIES.map(|quantity| Spread::of(well.iter().map(|each| quantity.of(each)))).to_vec(),
                verdict: verdicts(runs.iter().map(|run| &run.measurement)),
                sources: ascending(runs.iter().map(|run| run.source)),
            });
        }
    }
    rows
}

fn ascending<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.dedup();
    items
}

fn verdicts<'a>(runs: impl Iterator<Item = &'a Measurement>) -> String {
    ascending(runs.map(|each| verdict_words(&each.verdict))).join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::fixture::{measurement, sweep};
    use crate::plot::input::Run;
    use pso_sim::measure::Verdict;

    /// The danger: the medians of what is undisturbed and of what is not.
    #[test]
    fn runs_in_different_manners_are_rows_of_their_own_that_say_so() {
        let mut runs: Vec<Measurement> = (0..3).map(|_| measurement(World::Simulated, "bank", 2, 2, 5.0)).collect();
        runs[1].manner.pace = Some("flat-out".into());
        runs[2].manner = Manner { faults: vec!["slow 1:5:100".into()], ..runs[1].manner.clone() };
        let runs = runs.into_iter().map(|measurement| Run { measurement, source: 0 }).collect();
        let places: Vec<String> = rows(&Input { runs, ..Input::default() }).iter().map(Row::place).collect();
        let expected = ["", ", flat-out", ", flat-out, slow 1:5:100"].map(|how| format!("simulated, local{how}"));
        assert_eq!(places, expected);
    }

    #[test]
    fn a_row_holds_the_numbers_of_its_measurements() {
        let mut runs = sweep("bank");
        let mut bad = measurement(World::Real, "bank", 2, 4, 1.0);
        bad.verdict = Verdict::Stuck;
        runs.push(bad);
        let input = Input {
            runs: runs.iter().cloned().map(|measurement| Run { measurement, source: 3 }).collect(),
            ..Input::default()
        };
        let rows = rows(&input);
        assert_eq!(rows.len(), 4 + 7 + 6, "real, a core each, 2 cores (2 of 2 is both)");
        for row in &rows {
            let same: Vec<&Measurement> = runs
                .iter()
                .filter(|each| (each.world, each.cores, each.participants) == (row.world, row.cores, row.participants))
                .filter(|each| each.verdict == Verdict::Ok)
                .collect();
            assert_eq!(row.runs, same.len());
            let values: Vec<f64> = same.iter().map(|each| each.throughput()).collect();
            assert_eq!(row.spreads[0].unwrap().median, crate::machine::median(&values));
            assert!(values.contains(&row.spreads[0].unwrap().low) && values.contains(&row.spreads[0].unwrap().high));
            assert_eq!(row.sources, [3]);
        }
        let four = rows.iter().find(|row| row.world == World::Real && row.participants == 4).unwrap();
        assert_eq!((four.runs, four.verdict.as_str()), (15, "ok; stuck"));
    }
}
