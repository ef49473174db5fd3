//! `pso trace`: makes, shows and merges traces. What they look like is told in `pso_engine::trace`.

use std::collections::HashSet;
use std::path::Path;

use pso_sim::trace::{self, Contention, Kind, MEMORY_BYTES, MEMORY_BYTES_MAX, Operation, Trace};

use crate::cli::{TraceGenerate, TraceKind, TraceMerge, TraceOptions};
use crate::failure::Failure;
use crate::output;
use crate::table::{Table, duration, thousands};

/// What is made of a transaction and of each of its operations: text, or what plays it.
const MADE_OF_IT: [u64; 2] = [64, 40];

/// The subcommand.
pub fn run(options: &TraceOptions) -> Result<(), Failure> {
    match &options.what {
        TraceKind::Generate(options) => generate(options),
        TraceKind::Show(options) => {
            let trace = load(&options.file)?;
            output::text(summary(&trace))
        }
        TraceKind::Merge(options) => merge(options),
    }
}

/// Reads a trace; one that was cut is read as far as it goes, and said to be.
pub fn load(file: &Path) -> Result<Trace, Failure> {
    let trace = Trace::load(file).map_err(refused(file))?;
    if !trace.whole {
        let file = file.display();
        output::aside(format_args!("pso: {file} has no end: whoever wrote it was killed. What is whole of it counts."));
    }
    Ok(trace)
}

/// The dense trace in a file, dealt to so many, or as it is.
pub fn dealt(file: &Path, participants: Option<u32>) -> Result<Trace, Failure> {
    let trace = load(file)?.dense();
    let most = trace.participants();
    let participants = participants.unwrap_or(most);
    if participants > most {
        let file = file.display();
        return Err(Failure::Wrong(format!("{file} has {most} participants: it cannot be dealt to {participants}")));
    }
    Ok(trace.folded(participants.max(1)))
}

/// Refuses what would take too much memory, of which `at_once` are kept, before anything is made. Each real player keeps one of his own.
pub fn affordable(kind: Kind, contention: Contention, transactions: u64, at_once: usize) -> Result<(), Failure> {
    let operations = kind.operations(contention, transactions);
    let bytes = |[transaction, operation]: [u64; 2]| {
        transaction.saturating_mul(transactions).saturating_add(operation.saturating_mul(operations))
    };
    let all = bytes(MEMORY_BYTES).saturating_mul(at_once as u64).saturating_add(bytes(MADE_OF_IT));
    if all <= MEMORY_BYTES_MAX {
        return Ok(());
    }
    let traces = if at_once == 1 { String::new() } else { format!(", in {at_once} traces at once,") };
    Err(Failure::Refused(format!(
        "{} transactions of {}-{}{traces} would take {} GiB of memory, and {} are the most: ask for fewer",
        thousands(transactions),
        kind.name(),
        contention.name(),
        all.div_ceil(1 << 30),
        MEMORY_BYTES_MAX >> 30
    )))
}

fn generate(options: &TraceGenerate) -> Result<(), Failure> {
    affordable(options.kind, options.contention, options.transactions, 1)?;
    let participants = options.participants.unwrap_or(options.contention.participants());
    let trace = trace::generate(options.kind, options.contention, participants, options.transactions, options.seed);
    save(&trace, &options.output)
}

fn merge(options: &TraceMerge) -> Result<(), Failure> {
    let parts = options.files.iter().map(|file| load(file)).collect::<Result<Vec<_>, _>>()?;
    let name = options.output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = name.trim_end_matches(".gz");
    let merged = trace::merge(name, parts).map_err(|error| Failure::Wrong(format!("merge: {error}")))?;
    save(&merged, &options.output)
}

fn save(trace: &Trace, file: &Path) -> Result<(), Failure> {
    trace.save(file).map_err(Failure::system(format!("writing {}", file.display())))?;
    output::text(summary(trace))
}

fn refused<E: std::fmt::Display>(file: &Path) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Wrong(format!("{}: {error}", file.display()))
}

/// What a trace holds, for people.
fn summary(trace: &Trace) -> Table {
    let mut kinds = [0_u64; 5];
    let mut largest = 0;
    let mut read_only = 0;
    for line in &trace.transactions {
        let mut cells = HashSet::new();
        let mut writes = false;
        for operation in &line.operations {
            cells.extend(operation.cell());
            writes |= matches!(operation, Operation::Write { .. });
            kinds[match operation {
                Operation::Read { .. } => 0,
                Operation::Write { .. } => 1,
                Operation::Await { .. } => 2,
                Operation::Allocate { .. } => 3,
                Operation::Compute { .. } => 4,
            }] += 1;
        }
        largest = largest.max(cells.len() as u64);
        read_only += u64::from(!writes);
    }
    let last_ns = trace.transactions.iter().map(|line| line.arrival_ns).max().unwrap_or(0);
    let think_ns = trace.transactions.iter().map(|line| u128::from(line.think_ns)).sum::<u128>();
    let mean_ns = think_ns / (trace.transactions.len() as u128).max(1);
    let mut table = Table::new(["trace", &trace.header.name]);
    table.row(["from", &trace.header.from]);
    let mut number = |what: &str, number: u64| table.row([what.to_owned(), thousands(number)]);
    number("participants", u64::from(trace.participants()));
    number("cells", trace.cells());
    number("seed", trace.header.seed);
    number("transactions", trace.transactions.len() as u64);
    number("transactions that write nothing", read_only);
    for (what, count) in ["reads", "writes", "hand-overs", "allocations", "computations"].into_iter().zip(kinds) {
        number(what, count);
    }
    number("most cells of a transaction", largest);
    table.row(["last arrival".to_owned(), duration(last_ns)]);
    table.row(["think time, mean".to_owned(), duration(mean_ns as u64)]);
    table
}
