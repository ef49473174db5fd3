//! What the ordinary instructions between two memory operations cost: all that a processor does with registers, branches and
//! its own cache.
//!
//! Only the engine's own code can tell. So one path of it that is none of the compared workloads is timed, transactions of one
//! participant that read 4 of 64 private cells and write nothing, played by the player that plays all traces. On one core,
//! without a second participant, the simulator's time for the same trace is its other prices (fences, clocks) plus the number
//! of memory operations times the price of one. That price is the answer. No lock, no transfer, no commit of a write is in it.

use pso_engine::platform::System;
use pso_engine::platform::native::{self, Native};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_sim::machine::{Figure, Profile};
use pso_sim::player::{Pacing, Part, Script, Spin};
use pso_sim::stage::Stage;
use pso_sim::trace::{Header, Operation, Trace, Transaction};
use pso_sim::{Random, Setup, simulate};

use super::pinned;
use crate::failure::Failure;
use crate::machine::median;

const CELLS: u64 = 64;
const READS: usize = 4;
/// As many as a replay that is worth its start: the player's script comes from memory, not from the nearest cache.
const TRANSACTIONS: u64 = 60_000;
const ROUNDS: usize = 15;
/// So many suffice in the simulator, where nothing is noisy.
const SIMULATED: usize = 4_000;
const SPACE_BYTES: u64 = 64 << 20;

/// Nanoseconds of one memory operation on an own line, at the other prices of `profile`.
pub fn measure(profile: &Profile) -> Result<f64, Failure> {
    let trace = trace();
    let real_ns = real_ns(&trace)?;
    let mut short = trace;
    short.transactions.truncate(SIMULATED);
    let at = |ns: f64| simulated_ns(&short, profile, ns);
    let (one, two) = (at(1.0)?, at(2.0)?);
    let operations = two - one;
    let others = one - operations;
    Ok(((real_ns - others) / operations).max(0.05))
}

fn trace() -> Trace {
    let mut random = Random::new(3);
    let mut line = || Transaction {
        participant: 0,
        arrival_ns: 0,
        think_ns: 0,
        operations: (0..READS).map(|_| Operation::Read { cell: random.below(CELLS) }).collect(),
    };
    let transactions = (0..TRANSACTIONS).map(|_| line()).collect();
    let header = Header {
        name: "private-reads".into(),
        from: "pso calibrate".into(),
        participants: Some(1),
        cells: Some(CELLS),
        seed: 3,
        start_ns: 0,
    };
    Trace { header, transactions, whole: true }
}

/// Nanoseconds a transaction on this machine: the median of rounds.
fn real_ns(trace: &Trace) -> Result<f64, Failure> {
    let (platform, layout) = native::create_anonymous(SPACE_BYTES).map_err(Failure::space("an anonymous space"))?;
    let space = Space::join(platform, layout).map_err(Failure::space("joining"))?;
    let mut tx = space.participant().map_err(Failure::space("joining"))?;
    let stage = Stage::build(&mut tx, trace.cells()).map_err(Failure::space("building the stage"))?;
    let script = Script::new(trace, 0, &stage).ok_or_else(|| Failure::Wrong("the stage lacks cells".into()))?;
    let cores = pinned::two_cores()?;
    let rounds = pinned::on(cores[1], move || {
        let rounds: Result<Vec<f64>, Failure> = (0..ROUNDS).map(|_| round(&script, &mut tx)).collect();
        tx.leave();
        rounds
    })??;
    space.leave();
    Ok(median(&rounds))
}

fn round(script: &Script, tx: &mut Participant<Native>) -> Result<f64, Failure> {
    let mut part = Part::new(0);
    let now_ns = tx.arena().platform().now_ns();
    let played = script.play(tx, now_ns, Pacing::FLAT_OUT, &mut Spin, &mut part);
    played.map_err(Failure::space("playing"))?;
    Ok((part.ended_ns - part.began_ns) as f64 / TRANSACTIONS as f64)
}

/// Nanoseconds a transaction on the simulated machine, if an ordinary operation costs `ordinary_ns`.
fn simulated_ns(trace: &Trace, profile: &Profile, ordinary_ns: f64) -> Result<f64, Failure> {
    let ordinary = Figure { ns: ordinary_ns, from: profile.ordinary.from.clone() };
    let setup = Setup::new(Profile { ordinary, ..profile.clone() }, 1, 1);
    let played = simulate(trace, setup, Pacing::FLAT_OUT);
    let played = played.map_err(|error| Failure::Wrong(format!("calibrate: {error}")))?;
    Ok(played.measurement.duration_ns as f64 / trace.transactions.len() as f64)
}
