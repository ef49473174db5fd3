//! What the workers recorded: merged into one trace, played by real processes and on the simulated machine, charted.
//!
//! Only the beginning of the job is recorded, and of that only so much is played as takes seconds. Its transactions are dealt
//! to as many participants as a point has, in their order, and played as fast as they go: parsing, which no two processes do at
//! the same place, is left out, and what Python computed inside a transaction is kept as time.

use std::path::{Path, PathBuf};

use pso_sim::measure::Measurement;
use pso_sim::player::Pacing;
use pso_sim::trace::{Trace, merge};
use serde::Serialize;

use crate::cli::{Demo, Pace};
use crate::failure::Failure;
use crate::sweep::Duel;
use crate::table::thousands;
use crate::{fault, machine, output, plot, simulator};

/// Reads, writes and the like that are played: a few seconds of the simulator at each point.
const OPERATIONS_MAX: usize = 200_000;
/// Where this machine cannot be measured: it takes two processors.
const FALLBACK: &str = "chiplet";
/// Real runs of a point.
const ROUNDS: u32 = 3;
const REAL: [u32; 3] = [1, 2, 4];
const SIMULATED: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

#[derive(Serialize)]
struct Numbers<'a> {
    seed: u64,
    profile: &'a str,
    transactions: usize,
    operations: usize,
    measurements: &'a [Measurement],
}

/// Plays what is recorded and writes the report. What must not be, if anything.
pub fn run(recordings: &[PathBuf], options: &Demo, seed: u64) -> Result<Vec<String>, Failure> {
    let parts: Vec<Trace> = recordings.iter().filter_map(|file| load(file)).collect();
    let cut = parts.iter().filter(|part| !part.whole).count();
    let count = parts.len();
    if count == 0 {
        output::line(
            "\n  No worker lived for long enough to record anything: there is no trace of the job to be played.",
        )?;
        return Ok(Vec::new());
    }
    let trace = merge("demo", parts).map_err(|error| Failure::Wrong(format!("the recordings: {error}")))?;
    let recorded = trace.transactions.len();
    let trace = beginning(trace, OPERATIONS_MAX);
    let (transactions, operations) = (trace.transactions.len(), operations(&trace));
    let lost = recordings.len() - count;
    let told = format!(
        "{} transactions were recorded by {count} workers, {cut} of them killed while they recorded; of {lost} more that were killed \
         nothing could be read. The first {} transactions, with {} reads, writes, allocations and computations, are played.",
        thousands(recorded as u64),
        thousands(transactions as u64),
        thousands(operations as u64)
    );
    output::line(format_args!("\n  The trace of the job: {told}"))?;
    std::fs::create_dir_all(&options.out).map_err(Failure::system(format!("making {}", options.out.display())))?;
    let file = options.out.join("trace.gz");
    trace.save(&file).map_err(Failure::system(format!("writing {}", file.display())))?;

    let deal = |participants: u32| dealt(&trace, participants);
    let profile = match simulator::profile(&options.profile) {
        Err(failure) if options.profile == "local" => {
            output::line(format_args!(
                "  This machine cannot be measured ({failure}): simulated is the machine of the profile {FALLBACK}."
            ))?;
            simulator::profile(FALLBACK)?
        }
        found => found?,
    };
    let simulated = profile.name.clone();
    let mut duel = Duel::new(deal, profile, seed, (Pace::FlatOut, Pacing::FLAT_OUT))?;
    duel.real(&REAL);
    let here = machine::processors();
    let small = SIMULATED.iter().filter(|count| REAL.contains(count));
    duel.simulated(SIMULATED.iter().map(|count| (*count, *count)).chain(small.map(|count| (here, *count))));
    let spinner = super::spinner("playing the trace of the job, real and simulated");
    for round in 0..ROUNDS {
        duel.round(round, ROUNDS)?;
    }
    spinner.finish_and_clear();
    let measurements = duel.finish();
    let file = options.out.join("measurements.json");
    let numbers = Numbers { seed, profile: &simulated, transactions, operations, measurements: &measurements };
    machine::write_results(&file, &numbers)?;
    let introduction = [
        "The job of the demo: processes count and index the standard library of Python in shared dicts and lists.".into(),
        told,
        "The transactions are dealt to the participants of each point in their order and played as fast as they go: parsing between \
         transactions is left out, what Python computed inside them is kept as time, and values are replaced by counts."
            .into(),
    ];
    plot::report(&[file], Some(&options.out), "pso demo: the recorded job, real and simulated", &introduction)?;
    Ok(measurements.iter().filter_map(fault::of).collect())
}

/// A recording; none of a worker that was killed before it had written anything.
fn load(file: &Path) -> Option<Trace> {
    Trace::load(file).ok().filter(|trace| !trace.transactions.is_empty())
}

fn operations(trace: &Trace) -> usize {
    trace.transactions.iter().map(|line| line.operations.len()).sum()
}

/// The first transactions of `trace`, with at most `most` operations; at least one transaction.
fn beginning(mut trace: Trace, most: usize) -> Trace {
    let mut operations = 0;
    let fits = |line: &&pso_sim::trace::Transaction| {
        operations += line.operations.len();
        operations <= most
    };
    let count = trace.transactions.iter().take_while(fits).count().max(1);
    trace.transactions.truncate(count);
    // Cells are numbered as met: the beginning has the first of them.
    trace.header.cells = None;
    trace.dense()
}

/// The same transactions, in their order, one to each participant in turn.
fn dealt(trace: &Trace, participants: u32) -> Trace {
    let mut trace = trace.clone();
    for (number, line) in trace.transactions.iter_mut().enumerate() {
        line.participant = (number % participants as usize) as u32;
    }
    trace.header.participants = Some(participants);
    trace
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pso_sim::trace::{Contention, Kind, generate};

    use super::*;
    use crate::cli::{Command, Options};

    /// Whoever was to record was killed before he had: the job was right all the same.
    #[test]
    fn a_job_that_nobody_recorded_is_no_failure() {
        let Command::Demo(options) = Options::parse_from(["pso", "demo"]).command else { panic!("another command") };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(&[folder.path().join("killed")], &options, 1).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_beginning_has_whole_transactions_and_its_own_cells() {
        let trace = generate(Kind::Bank1000, Contention::High, 2, 100, 1);
        let cut = beginning(trace.clone(), 10);
        assert!(operations(&cut) <= 10 && cut.transactions.len() > 1, "{}", operations(&cut));
        assert!(cut.cells() <= 10, "{}", cut.cells());
        assert_eq!(cut.transactions.len(), trace.transactions.iter().take(cut.transactions.len()).count());
        assert_eq!(beginning(trace, 0).transactions.len(), 1);
    }

    #[test]
    fn dealing_keeps_every_transaction_and_its_order() {
        let trace = generate(Kind::Counter, Contention::High, 1, 7, 1);
        let three = dealt(&trace, 3);
        assert_eq!(three.transactions.iter().map(|line| line.participant).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!((three.participants(), operations(&three)), (3, operations(&trace)));
    }
}
