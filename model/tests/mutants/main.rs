//! Deliberate faults of the protocol against the tools that are to find them: a checker that cannot fail is a defect.
//!
//! `model/expected/mutants.json` holds a verdict for each fault and tool: `caught` by a play, or `missed` by all of them. (`varies`: threads
//! find it now and then; `unfinished`: not all plays of that tool were played to their end. Nothing is claimed then.) Tests
//! here play each line again, of what is missed a fourth each day and all under `pso check`, and fail when a verdict changes, in either
//! direction. A fault that every tool misses has a reason.
//!
//! A faulty engine may hang, deadlock (loom then aborts) or corrupt a tool's own state: each play has a process of its own.
//!
//! After a change of engine, scenes or faults delete the verdicts that changed from the table:
//! `PSO_MODEL_BLESS=mutants cargo nextest run -p pso-model --test mutants every_fault_has_a_row` finds the verdicts that are missing,
//! writes each down at once, and keeps the reasons. All of them take some minutes.

// Shared with other tests, which use more of them.
#[allow(dead_code)]
#[path = "../loom/beds.rs"]
mod beds;
#[allow(dead_code)]
#[path = "../loom/explore.rs"]
mod explore;
#[allow(dead_code)]
#[path = "../loom/manners.rs"]
mod manners;
#[allow(dead_code)]
#[path = "../crash/parts.rs"]
mod parts;
mod preemption;
#[allow(dead_code)]
#[path = "../shuttle/world.rs"]
mod shuttle_world;
#[allow(dead_code)]
#[path = "../crash/stage.rs"]
mod stage;
mod table;
mod tools;
#[allow(dead_code)]
#[path = "../loom/touched.rs"]
mod touched;
#[allow(dead_code)]
#[path = "../loom/world.rs"]
mod world;

use std::sync::Once;

use pso_model::alone::Endless;
use pso_model::crash::Killed;
use pso_model::history::{Outcome, Recorder};
use pso_model::mutant::Fault;

/// Deaths and endless waits are panics: only those of plays that fail are for people to see.
fn hide_what_is_planned() {
    static HIDDEN: Once = Once::new();
    HIDDEN.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Killed>() && !info.payload().is::<Endless>() {
                hook(info);
            }
        }));
    });
}

/// The history of a play in which nobody was killed: of the killed, these scenes do not note each step.
fn judge(recorder: &Recorder) {
    let history = recorder.history();
    if history.attempts.iter().all(|attempt| attempt.outcome != Outcome::Unfinished)
        && let Err(anomaly) = history.strictly_serializable().and_then(|_| history.opaque())
    {
        panic!("{anomaly}");
    }
}

/// The danger: a tool that reports whatever it is given proves nothing by reporting faults.
mod no_tool_finds_a_fault_where_there_is_none {
    use super::*;

    /// A minute long, and a test of its own without a fault's lens: `loom`, `sleep::crossing_writers`.
    const PLAYED_ELSEWHERE: &str = "crossing_writers sleep 1";

    fn plays(tool: tools::Tool) {
        hide_what_is_planned();
        for play in tool.plays().iter().filter(|play| **play != PLAYED_ELSEWHERE) {
            println!("{tool:?} {play}");
            tool.play(Fault::None, play);
        }
    }

    #[test]
    fn one_preemption() {
        plays(tools::Tool::OnePreemption);
    }
    #[test]
    fn shuttle() {
        plays(tools::Tool::Shuttle);
    }
    #[test]
    fn loom() {
        plays(tools::Tool::Loom);
    }
    #[test]
    fn crash() {
        plays(tools::Tool::Crash);
    }
    #[test]
    fn threads() {
        plays(tools::Tool::Threads);
    }
}
