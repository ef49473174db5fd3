//! A trace on the simulated machine: the stage is built, the players play, the end is judged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::platform::System;
use pso_engine::space::{JoinError, Space};

use crate::fault::FaultKind;
use crate::measure::{Measurement, Verdict, World};
use crate::player::{Pacing, Part, Run, Script, measurement, verify};
use crate::simulated::Pass;
use crate::simulation::{Report, Setup, Simulation};
use crate::stage::Stage;
use crate::trace::{Operation, Trace, Transaction};

/// Players start so long after the stage stands.
const START_DELAY_NS: u64 = 100_000;
/// What a trace may last by itself: a quarter of what the simulated clock counts, 53 days.
const LASTS_NS_MAX: u128 = (u64::MAX / 4000) as u128;

/// A trace that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// The figure.
    pub measurement: Measurement,
    /// What the simulator itself counted. Its verdict does not know the data yet; the measurement's does.
    pub report: Report,
}

/// Why a trace cannot be played.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// No room for its participants.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// No room for its cells.
    #[error("the stage cannot be built: {0}")]
    Stage(#[from] Stop),
    /// Its cells are not counted from 0.
    #[error("the trace is not dense")]
    NotDense,
    /// Longer than the simulated clock counts.
    #[error(
        "the trace lasts {ns} ns (arrivals, think times and computations), and {LASTS_NS_MAX} is the most that is simulated"
    )]
    TooLong {
        /// How long it lasts at least, where computations share a core.
        ns: u128,
    },
}

/// Plays the dense `trace`, one process for each participant, and one that judges: the space gets process slots for all of them, but no more
/// participants than `setup` gives it. Processes join before the run, so that it measures transactions only. Nobody is impatient of a transaction
/// that computes.
///
/// # Errors
/// [`SimulateError`]: the space has no room for it, or it is no trace that can be played.
pub fn simulate(trace: &Trace, setup: Setup, pacing: Pacing) -> Result<Played, SimulateError> {
    let ns = lasts_ns(trace, &setup, pacing);
    if ns > LASTS_NS_MAX {
        return Err(SimulateError::TooLong { ns });
    }
    let setup = Setup { patience_ns: patience_ns(trace, &setup), ..setup };
    let (machine, policy) = (setup.profile.name.clone(), setup.policy.name());
    let (cores, seed) = (setup.cores as u32, setup.seed);
    let mut simulation = Simulation::new(setup.with_slots_for(trace.participants()));
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout)?;
    let mut judge = space.participant()?;
    let stage = Stage::build(&mut judge, trace.cells())?;
    let start_ns = judge.arena().platform().now_ns() + START_DELAY_NS;
    let mut parts = Vec::new();
    for number in 0..trace.participants() {
        let script = Script::new(trace, number, &stage).ok_or(SimulateError::NotDense)?;
        let process = simulation.outside();
        let own = Space::join(process.clone(), layout)?;
        let mut participant = own.participant()?;
        let part = Rc::new(RefCell::new(Part::new(number)));
        parts.push(part.clone());
        simulation.spawn_in(&process, move || {
            // Nobody else looks at the part before the run is over: it stays borrowed while others run.
            let mut part = part.borrow_mut();
            if let Err(stop) = script.play(&mut participant, start_ns, pacing, &mut Pass, &mut part) {
                part.wrong.get_or_insert(format!("its transactions stopped: {stop}"));
            }
            participant.leave();
            own.leave();
        });
    }
    let report = simulation.run();
    space.recover_dead();
    let parts: Vec<Part> = parts.iter().map(|part| part.borrow().clone()).collect();
    let verdict = judged(report.verdict.clone(), verify(&mut judge, &stage, trace, &parts)?, || {
        fsck(&space).first().map(|finding| format!("fsck: {finding}"))
    });
    let run = Run { world: World::Simulated, policy, machine: &machine, cores, seed };
    Ok(Played { measurement: measurement(trace, run, &parts, verdict), report })
}

/// What one transaction computes.
fn computes_ns(line: &Transaction) -> u128 {
    let computed = line.operations.iter().map(|operation| match operation {
        Operation::Compute { ns } => u128::from(*ns),
        _ => 0,
    });
    computed.sum()
}

/// How many times as long everything takes for the slowest.
fn slowness(setup: &Setup) -> u128 {
    let slow =
        setup.faults.iter().map(|fault| if let FaultKind::Slow(times) = fault.kind { u128::from(times) } else { 1 });
    slow.max().unwrap_or(1)
}

/// How long the times of `trace` last that `pacing` keeps: whoever thinks has a time of his own, whoever computes may share his core with all.
fn lasts_ns(trace: &Trace, setup: &Setup, pacing: Pacing) -> u128 {
    let (mut thought, mut computed, mut arrives, times) = (HashMap::new(), 0, 0, slowness(setup));
    for line in &trace.transactions {
        *thought.entry(line.participant).or_insert(0) += u128::from(line.think_ns);
        arrives = arrives.max(u128::from(line.arrival_ns));
        computed += computes_ns(line) * times;
    }
    let thought = thought.into_values().max().unwrap_or(0);
    computed + if pacing.think { thought } else { 0 } + if pacing.arrivals { arrives } else { 0 }
}

/// The patience of `setup`, and what a transaction may compute meanwhile: twice, for an attempt may be lost at its end, and with as many others on its
/// core as there are.
fn patience_ns(trace: &Trace, setup: &Setup) -> u64 {
    let longest = trace.transactions.iter().map(computes_ns).max().unwrap_or(0);
    let sharing = u128::from(trace.participants()).div_ceil(setup.cores.max(1) as u128).max(1);
    let computing = longest.saturating_mul(2 * sharing * slowness(setup));
    setup.patience_ns.saturating_add(u64::try_from(computing).unwrap_or(u64::MAX))
}

/// What is wrong with the data counts more than how the run ended.
fn judged(ended: Verdict, data: Verdict, damage: impl FnOnce() -> Option<String>) -> Verdict {
    match (ended, data) {
        (_, wrong @ Verdict::Wrong(_)) => wrong,
        (ended, data) => match damage() {
            Some(damage) => Verdict::Wrong(damage),
            // Everybody is over and somebody not through: killed. What they left is right, and that is what counts.
            None if ended == Verdict::Ok && data == Verdict::OutOfBudget => Verdict::Ok,
            None => ended,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::machine::Profile;
    use crate::trace::{Contention, Kind, generate};
    use pso_engine::arena::Geometry;

    /// 32 process slots and room for 64 participants.
    fn small() -> Setup {
        let geometry = Geometry::for_bytes(16 << 20).unwrap();
        Setup { geometry, ..Setup::new(Profile::built_in("chiplet").unwrap(), 4, 1) }
    }

    #[test]
    fn there_is_a_process_slot_for_everybody_whom_the_space_has_room_for() {
        let played = |participants| {
            let trace = generate(Kind::Counter, Contention::High, participants, 100, 1);
            simulate(&trace, small(), Pacing::AS_WRITTEN).map(|played| played.measurement.verdict)
        };
        for participants in [31, 32, 63] {
            assert_eq!(played(participants), Ok(Verdict::Ok), "{participants}");
        }
        assert!(matches!(played(64), Err(SimulateError::Join(_))), "{:?}", played(64));
    }

    fn of_one(operations: Vec<Operation>, (arrival_ns, think_ns): (u64, u64)) -> Trace {
        let mut trace = generate(Kind::Counter, Contention::High, 2, 10, 1);
        let line = &mut trace.transactions[4];
        (line.arrival_ns, line.think_ns) = (arrival_ns, think_ns);
        line.operations.extend(operations);
        trace
    }

    /// The danger: it is called livelocked, though nothing but the transaction itself keeps anybody.
    #[test]
    fn a_transaction_may_compute_for_longer_than_the_patience() {
        let computes = || vec![Operation::Compute { ns: 3_000_000_000 }; 2];
        let slow = Fault { thread: 0, step: 1, kind: FaultKind::Slow(3) };
        for (cores, faults) in [(2, Vec::new()), (1, Vec::new()), (2, vec![slow])] {
            let setup = Setup { cores, faults, ..small() };
            let played = simulate(&of_one(computes(), (0, 0)), setup, Pacing::AS_WRITTEN).unwrap();
            assert_eq!(played.measurement.verdict, Verdict::Ok, "{cores} cores");
        }
    }

    /// The danger: a time that the clock does not count is never, and a sound trace is stuck.
    #[test]
    fn a_trace_that_outlasts_the_clock_is_refused() {
        let is_refused = |operations, times, pacing| {
            matches!(simulate(&of_one(operations, times), small(), pacing), Err(SimulateError::TooLong { .. }))
        };
        let most = u64::MAX / 1000;
        assert!(is_refused(Vec::new(), (most, 0), Pacing::AS_WRITTEN));
        assert!(is_refused(Vec::new(), (0, most), Pacing::AS_WRITTEN));
        assert!(!is_refused(Vec::new(), (most, most), Pacing::FLAT_OUT));
        assert!(is_refused(vec![Operation::Compute { ns: most }], (0, 0), Pacing::FLAT_OUT));
        assert!(is_refused(vec![Operation::Compute { ns: u64::MAX }; 9], (u64::MAX, u64::MAX), Pacing::AS_WRITTEN));
        let played = simulate(&of_one(Vec::new(), (most / 5, 0)), small(), Pacing::AS_WRITTEN).unwrap();
        assert_eq!(played.measurement.verdict, Verdict::Ok);
    }

    /// The danger: every recorded run is another one, for a table that nobody needed.
    #[test]
    fn a_space_that_has_enough_process_slots_stays_as_it_is() {
        let slots = |participants| small().with_slots_for(participants).geometry.process_slots;
        assert_eq!([1, 31, 32, 63, u32::MAX].map(slots), [32, 32, 64, 64, 64]);
        let (before, after) = (small().geometry, small().with_slots_for(31).geometry);
        assert_eq!(before, after);
    }
}
