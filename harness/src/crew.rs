//! Processes of this executable that work together on one space: started, watched, gone with whoever watches them.
//!
//! Each worker attaches to the space in the folder, stands at the gate of the stage, works, and leaves what it did as a file.
//!
//! 1. [`Crew::start`] starts them, by a hidden subcommand.
//! 2. [`Crew::open`] opens the gate when all stand there: they begin together.
//! 3. [`Crew::finish`] waits for their end and collects what they left.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pso_engine::error::Stop;
use pso_engine::platform::System;
use pso_engine::platform::native::Native;
use pso_engine::transaction::Participant;
use pso_sim::stage::Stage;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::interrupt;
use crate::python::last_lines;

/// From the opening of the gate to the start: all have woken by then.
pub const START_DELAY: Duration = Duration::from_millis(20);
/// Between two looks at the workers.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The workers, by number. Whoever is left when this goes is killed.
pub struct Crew {
    folder: PathBuf,
    /// What people call one of them.
    who: &'static str,
    workers: Vec<(Child, Option<ExitStatus>)>,
    patience_s: u64,
    deadline: Instant,
}

impl Crew {
    /// Starts `count` workers on the space in `folder`, each with the arguments for its number. All has to be over in
    /// `patience_s`.
    pub fn start(
        folder: &Path,
        who: &'static str,
        count: u32,
        patience_s: u64,
        arguments: impl Fn(u32) -> Vec<OsString>,
    ) -> Result<Self, Failure> {
        let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
        let deadline = Instant::now() + Duration::from_secs(patience_s);
        let mut crew = Self { folder: folder.into(), who, workers: Vec::new(), patience_s, deadline };
        for number in 0..count {
            let errors = crew.errors(number);
            let errors =
                std::fs::File::create(&errors).map_err(Failure::system(format!("making {}", errors.display())))?;
            let worker = Command::new(&executable)
                .args(arguments(number))
                .args(Parent::arguments())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(errors)
                .spawn()
                .map_err(Failure::system(format!("starting a {who}")))?;
            crew.workers.push((worker, None));
        }
        Ok(crew)
    }

    /// Opens the gate once all stand there. They begin [`START_DELAY`] later.
    ///
    /// # Errors
    /// As [`Crew::finish`].
    pub fn open(&mut self, tx: &mut Participant<Native>, stage: &Stage) -> Result<(), Failure> {
        let count = self.workers.len() as u32;
        self.watch("the start", |_| try_open(tx, stage, count))
    }

    /// Whether all go on, or have ended well: for whoever waits for one of them in a manner of his own.
    ///
    /// # Errors
    /// A worker that failed or was killed, Ctrl-C.
    pub fn check(&mut self) -> Result<(), Failure> {
        interrupt::check()?;
        self.look()
    }

    /// Waits until all have ended well; what each did.
    ///
    /// # Errors
    /// A worker that failed or was killed, Ctrl-C, the end of patience.
    pub fn finish<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, Failure> {
        self.watch("the end", |crew| Ok(crew.workers.iter().all(|(_, status)| status.is_some())))?;
        let read = |number| {
            let what = format!("reading what a {} did", self.who);
            let text = std::fs::read_to_string(part_file(&self.folder, number)).map_err(Failure::system(what))?;
            let who = format!("{} {number}", self.who);
            serde_json::from_str(&text).map_err(|error| Failure::Nonsense { who, line: error.to_string() })
        };
        (0..self.workers.len() as u32).map(read).collect()
    }

    /// Looks after the workers until `done` says so.
    fn watch(&mut self, what: &str, mut done: impl FnMut(&Self) -> Result<bool, Failure>) -> Result<(), Failure> {
        // Bounded by the deadline.
        loop {
            self.check()?;
            if done(self)? {
                return Ok(());
            }
            if Instant::now() > self.deadline {
                let what = format!("{what} of the {}s does not come", self.who);
                return Err(Failure::Stalled { what, seconds: self.patience_s });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        for number in 0..self.workers.len() {
            let (worker, ended) = &mut self.workers[number];
            if ended.is_some() {
                continue;
            }
            *ended = worker.try_wait().map_err(Failure::system(format!("waiting for a {}", self.who)))?;
            if let Some(status) = *ended
                && !status.success()
            {
                let errors = std::fs::read(self.errors(number as u32)).unwrap_or_default();
                let last_words = last_lines(&errors, 25);
                let who = format!("{} {number}", self.who);
                return Err(Failure::Child { who, status: status.to_string(), last_words });
            }
        }
        Ok(())
    }

    fn errors(&self, number: u32) -> PathBuf {
        self.folder.join(format!("worker-{number}.err"))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (worker, status) in &mut self.workers {
            if status.is_none() {
                // It may have ended already; there is nobody left to tell.
                let _ = worker.kill();
                let _ = worker.wait();
            }
        }
    }
}

/// Tries for a moment to open the gate: in between somebody looks after the workers.
fn try_open(tx: &mut Participant<Native>, stage: &Stage, count: u32) -> Result<bool, Failure> {
    const MOMENT_NS: u64 = 20_000_000;
    let until_ns = tx.arena().platform().now_ns() + MOMENT_NS;
    match stage.open(tx, count, START_DELAY.as_nanos() as u64, Some(until_ns)) {
        Ok(_) => Ok(true),
        Err(Stop::TimedOut) => Ok(false),
        Err(stop) => Err(Failure::space("opening the gate")(stop)),
    }
}

/// Where the space of a crew is.
pub fn space_in(folder: &Path) -> PathBuf {
    folder.join("space")
}

/// For worker `number`: leaves what it did.
pub fn leave_part(folder: &Path, number: u32, part: &impl Serialize) -> Result<(), Failure> {
    let file = part_file(folder, number);
    let what = format!("writing {}", file.display());
    let output = std::fs::File::create(&file).map_err(Failure::system(what.clone()))?;
    serde_json::to_writer(output, part).map_err(|error| Failure::Wrong(format!("{what}: {error}")))
}

fn part_file(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("part-{number}.json"))
}

/// For a worker: who has started it.
#[derive(clap::Args)]
pub struct Parent {
    /// Number of the process that has started this one.
    #[arg(long)]
    parent: u32,
}

impl Parent {
    /// Tells a worker that this process starts, as [`Self::end_with`] will read it.
    pub fn arguments() -> [String; 2] {
        ["--parent".into(), std::process::id().to_string()]
    }

    /// If whoever has started us is killed we would wait at the gate for ever, or work on for nobody: the kernel ends us with it.
    ///
    /// # Errors
    /// It is gone already: nobody is told of that any more.
    pub fn end_with(&self) -> Result<(), Failure> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| Failure::system("asking to end with the parent")(error.into()))?;
        // Looked at afterwards: whoever dies from here on takes us along.
        let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get() as u32);
        if parent == self.parent {
            return Ok(());
        }
        Err(Failure::Wrong(format!("process {}, which is to have started this one, is not its parent", self.parent)))
    }
}
