//! The job on shared objects: workers run, some are killed and replaced, the rest end by themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rand::rngs::StdRng;

use super::coordinator::{Coordinator, Event};
use super::crew::{Crew, WorkDone};
use super::plan::KillPlan;
use crate::cli::Demo;
use crate::failure::Failure;
use crate::interrupt;
use crate::python::Python;

/// So long may nothing be merged before the run counts as stuck.
const STALLED_SECONDS: u64 = 60;
const POLL: Duration = Duration::from_millis(10);

/// What a run came to.
#[derive(Default)]
pub struct SharedRun {
    /// From the first worker's start to the last merge.
    pub seconds: f64,
    /// Workers that were killed.
    pub killed: u32,
    /// Files that had to be done again.
    pub put_back: u32,
    /// What the workers did that came to their end.
    pub work: WorkDone,
    /// What the first workers recorded of it.
    pub recordings: Vec<PathBuf>,
}

/// Runs the job in `space`, which is made for it, on the `files` files of `names`.
pub fn run(
    python: &Python,
    options: &Demo,
    space: &str,
    names: &Path,
    files: u64,
    random: &mut StdRng,
    bar: &ProgressBar,
) -> Result<SharedRun, Failure> {
    let mut coordinator = Coordinator::start(python, space, &options.size, names)?;
    let mut result = SharedRun::default();
    let mut plan = KillPlan::new(options.kills, files, random);
    let mut crew = Crew::new(python, space);
    let mut done = 0;
    let mut started = Instant::now();
    let mut moved = Instant::now();
    while done < files {
        interrupt::check()?;
        match coordinator.event(POLL)? {
            Some(Event::Ready) => {
                started = Instant::now();
                for _ in 0..options.workers {
                    crew.hire(true)?;
                }
            }
            Some(Event::Progress { done: now }) => {
                done = now;
                moved = Instant::now();
                bar.set_position(done);
            }
            Some(Event::PutBack { worker, name }) => note_death(&mut result, &worker, name, bar),
            Some(Event::End) | None => {}
        }
        crew.check()?;
        while done < files && plan.due(done) {
            std::thread::sleep(KillPlan::jitter(random));
            // The replacement first: the merging goes on while the dead is buried.
            crew.hire(false)?;
            coordinator.report_dead(&crew.kill_one(random)?)?;
            result.killed += 1;
        }
        if moved.elapsed().as_secs() >= STALLED_SECONDS {
            let what = format!("{done} of {files} files are merged");
            return Err(Failure::Stalled { what, seconds: STALLED_SECONDS });
        }
    }
    result.seconds = started.elapsed().as_secs_f64();
    coordinator.end(crew.len())?;
    // Its last words may tell of deaths just before the end.
    loop {
        match coordinator.event(Duration::from_secs(STALLED_SECONDS))? {
            Some(Event::PutBack { worker, name }) => note_death(&mut result, &worker, name, bar),
            Some(Event::End) => break,
            Some(Event::Ready | Event::Progress { .. }) => {}
            None => {
                let what = "the coordinator does not end".into();
                return Err(Failure::Stalled { what, seconds: STALLED_SECONDS });
            }
        }
    }
    coordinator.finish()?;
    result.recordings = crew.recordings().to_vec();
    result.work = crew.dismiss()?;
    Ok(result)
}

fn note_death(result: &mut SharedRun, worker: &str, name: Option<String>, bar: &ProgressBar) {
    let what = match name {
        Some(name) => {
            result.put_back += 1;
            format!("{worker} killed while it had {name}: the file is done again")
        }
        None => format!("{worker} killed while it had no file"),
    };
    bar.println(format!("  {what}"));
}
