//! A trace on the simulated machine: the stage is built, the players play, the end is judged.

use std::cell::RefCell;
use std::rc::Rc;

use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::platform::System;
use pso_engine::space::{JoinError, Space};

use crate::measure::{Measurement, Verdict, World};
use crate::player::{Pacing, Part, Run, Script, measurement, verify};
use crate::simulated::Pass;
use crate::simulation::{Report, Setup, Simulation};
use crate::stage::Stage;
use crate::trace::Trace;

/// Players start so long after the stage stands.
const START_DELAY_NS: u64 = 100_000;

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
}

/// Plays the dense `trace`, one process for each participant, and one that judges: the space gets process slots for all of them, but no more
/// participants than `setup` gives it. Processes join before the run, so that it measures transactions only.
pub fn simulate(trace: &Trace, setup: Setup, pacing: Pacing) -> Result<Played, SimulateError> {
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

    /// The danger: every recorded run is another one, for a table that nobody needed.
    #[test]
    fn a_space_that_has_enough_process_slots_stays_as_it_is() {
        let slots = |participants| small().with_slots_for(participants).geometry.process_slots;
        assert_eq!([1, 31, 32, 63, u32::MAX].map(slots), [32, 32, 64, 64, 64]);
        let (before, after) = (small().geometry, small().with_slots_for(31).geometry);
        assert_eq!(before, after);
    }
}
