//! `pso.repair()`: damage in a space that nobody has open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use pso_engine::arena::Layout;
use pso_engine::fsck::{self, RepairError, Repaired};
use pso_engine::platform::System;
use pso_engine::platform::native::{self, Native};

use crate::errors::Errors;
use crate::ffi::error::taken;
use crate::ffi::method::Signature;
use crate::ffi::{Any, Arguments, Kind, Object, Python, Raised, Result, gil};
use crate::functions::{interpreter, location, refused};

/// `pso.repair()`.
pub fn repair(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const REPAIR: Signature<2> = Signature { function: "repair", names: ["name", "dir"], required: 0, positional: 1 };
    let [name, dir] = arguments.take(py, &REPAIR)?;
    let interpreter = interpreter(py, module)?;
    let errors = &interpreter.errors;
    let location = location(py, name, dir)?;
    let Some(place) = location.place() else {
        return Err(Kind::Type.raise(py, "which space? Give its name or its dir"));
    };
    let (platform, layout) =
        native::attach(&place).map_err(|error| refused(py, interpreter, &location, &error.into()))?;
    let repaired = repair_aside(py, errors, &platform, layout)?;
    let repaired = repaired.map_err(|error| errors.not_repaired(py, &error))?;
    let mended: Result<Vec<Object>> = repaired.mended.iter().map(|mended| py.str(&mended.to_string())).collect();
    let left = repaired.left.iter().map(ToString::to_string);
    let left: Result<Vec<Object>> =
        left.chain(repaired.unnamed.map(|unnamed| unnamed.to_string())).map(|sentence| py.str(&sentence)).collect();
    py.tuple(vec![py.list(mended?)?, py.list(left?)?])
}

const FORKED: &str = "this process was forked in a repair, which goes on in its parent only";

/// Repairs on a thread of its own, and answers signals meanwhile. A child that a handler forks has no such thread, and nothing of the repair.
fn repair_aside(
    py: Python<'_>,
    errors: &Errors,
    platform: &Native,
    layout: Layout,
) -> Result<Result<Repaired, RepairError>> {
    /// Between two looks for signals.
    const LOOK: Duration = Duration::from_millis(20);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let (told, outcome) = sync_channel(1);
    let (its_platform, asked) = (platform.clone(), Arc::clone(&is_interrupted));
    let work = move || {
        // Relaxed: a wish, which may come late. Nobody hears of the end in a thread whose interpreter ends.
        let repaired = fsck::repair_unless(its_platform, layout, &mut || asked.load(Ordering::Relaxed));
        drop(told.send(repaired));
    };
    if std::thread::Builder::new().name("pso-repair".to_owned()).spawn(work).is_err() {
        // There may be no more threads: then on this one, and Ctrl-C is answered when it is over.
        let mut repaired = Ok(Repaired::default());
        gil::pause_without_lock(&mut || repaired = fsck::repair(platform.clone(), layout));
        return Ok(repaired);
    }
    let mut raised: Option<Raised> = None;
    loop {
        let mut came = Err(RecvTimeoutError::Timeout);
        let mut wait = || came = outcome.recv_timeout(LOOK);
        match raised.take() {
            // No further handlers: one exception is enough, and it is on its way.
            Some(exception) => raised = Some(exception.aside(py, || gil::pause_without_lock(&mut wait)).0),
            None if gil::sleep_without_lock(&mut wait) => {}
            None => {
                is_interrupted.store(true, Ordering::Relaxed);
                raised = taken(py);
            }
        }
        if platform.forked() {
            return Err(raised.unwrap_or_else(|| Raised::with(py, &errors.forked, FORKED)));
        }
        match (came, raised.take()) {
            (Err(RecvTimeoutError::Timeout), still) => raised = still,
            (_, Some(exception)) => return Err(exception),
            (Ok(repaired), None) => return Ok(repaired),
            (Err(RecvTimeoutError::Disconnected), None) => {
                return Err(Kind::System.raise(py, "the repair has panicked"));
            }
        }
    }
}
