//! What the project has promised itself. Ratios are taken within a round, and then their median.

use pso_harness::machine::median;
use pso_harness::promise::{Bound, Promise};

use crate::figures::{Row, find, ratio};
use crate::{
    BOOST, COUNTS, FEW, GARBAGE, GARBAGE_INT, GARBAGE_TEXT, MANY, MIMALLOC, MOVE, MOVED, MOVED_INT, PAIR, PLAIN, PSO,
    READ, READ_HANDLE, READ_INT, REMOTE,
};

/// All promises of which `rows` say anything.
///
/// What a *reference* costs is what its transaction takes longer than the same one with ints: locks, records and commits are paid for
/// isolation. What the whole store costs stands beside it.
pub fn promises(rows: &[Row]) -> Vec<Promise> {
    let mut promises = Vec::new();
    let mut add = |what: String, wanted: Bound, measured: Option<f64>| {
        promises.extend(measured.map(|measured| Promise { what, wanted, measured }));
    };
    let over =
        |workload: &str, own: &str, other: &str| Some(ratio(find(rows, workload, own)?, find(rows, workload, other)?));
    for (workload, most) in [(PAIR, 1.5), (FEW, 2.0), (MANY, 2.5), (REMOTE, 2.0)] {
        add(format!("{workload}: over mimalloc's"), Bound::AtMost(most), over(workload, PSO, MIMALLOC));
    }
    for workload in [PAIR, FEW, MANY, REMOTE] {
        add(format!("{workload}: Boost's over pso's"), Bound::AtLeast(10.0), over(workload, BOOST, PSO));
    }
    let counts = find(rows, MOVE, COUNTS);
    let whole = |workload: &str, own: &str| Some(ratio(find(rows, workload, own)?, counts?));
    let more = |workload: &str, own: &str, without: &str| {
        Some(difference_over(find(rows, workload, own)?, find(rows, workload, without)?, counts?))
    };
    let pair = "over an atomic pair";
    add(format!("{MOVE}, more than an int, {pair}"), Bound::AtMost(0.5), more(MOVE, MOVED, MOVED_INT));
    add(format!("{MOVE}, the whole store, {pair}"), Bound::AtMost(0.5), whole(MOVE, MOVED));
    add(format!("{GARBAGE}, more than ints, {pair}"), Bound::AtMost(1.5), more(GARBAGE, GARBAGE_TEXT, GARBAGE_INT));
    add(format!("{GARBAGE}, all of it, {pair}"), Bound::AtMost(1.5), whole(GARBAGE, GARBAGE_TEXT));
    for own in [READ_INT, READ_HANDLE] {
        add(format!("{READ}, {own}: over {PLAIN}"), Bound::AtMost(2.2), over(READ, own, PLAIN));
    }
    promises
}

/// What `own` takes longer than `without`, over `other`, in each round.
fn difference_over(own: &Row, without: &Row, other: &Row) -> f64 {
    let rounds = own.ns.iter().zip(&without.ns).zip(&other.ns);
    median(&rounds.map(|((own, without), other)| (own - without) / other).collect::<Vec<_>>())
}
