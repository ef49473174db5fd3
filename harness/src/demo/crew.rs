//! The worker processes of the demo: started, killed, replaced, and looked at for deaths that nobody planned.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rand::Rng;
use rand::rngs::StdRng;
use serde::Deserialize;

use crate::failure::Failure;
use crate::python::{Python, last_lines};

/// One worker process.
struct Worker {
    name: String,
    process: Child,
    output: PathBuf,
    errors: PathBuf,
}

/// What a worker that came to its end has done.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct WorkDone {
    /// Files that it merged.
    pub files: u64,
    /// Attempts at taking a file.
    pub take: u64,
    /// Attempts at merging one.
    pub done: u64,
}

/// All workers. Whoever is left when this goes is killed.
pub struct Crew<'a> {
    python: &'a Python,
    space: &'a str,
    workers: Vec<Worker>,
    started: u32,
    recordings: Vec<PathBuf>,
}

impl<'a> Crew<'a> {
    /// Nobody yet.
    pub fn new(python: &'a Python, space: &'a str) -> Self {
        Self { python, space, workers: Vec::new(), started: 0, recordings: Vec::new() }
    }

    /// Starts one more, which records its first transactions if `records`.
    pub fn hire(&mut self, records: bool) -> Result<(), Failure> {
        let name = format!("worker-{}", self.started);
        let recording = records.then(|| self.python.folder().join(format!("{name}.trace.gz")));
        self.started += 1;
        let output = self.python.folder().join(format!("{name}.out"));
        let errors = self.python.folder().join(format!("{name}.err"));
        let create = |path: &PathBuf| File::create(path).map_err(Failure::system(format!("making {}", path.display())));
        let process = self
            .python
            .command()
            .args(["-m", "pso_demo", "worker", "--space", self.space, "--worker", &name])
            .args(recording.iter().flat_map(|file| [OsStr::new("--record"), file.as_os_str()]))
            // Held open by us for as long as we live: its end tells the worker that nobody waits for it any more.
            .stdin(Stdio::piped())
            .stdout(create(&output)?)
            .stderr(create(&errors)?)
            .spawn()
            .map_err(Failure::system(format!("starting {name}")))?;
        self.recordings.extend(recording);
        self.workers.push(Worker { name, process, output, errors });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Where those who record do it. The file of one that was killed may lack its end, or everything.
    pub fn recordings(&self) -> &[PathBuf] {
        &self.recordings
    }

    /// Sends SIGKILL to one of them and waits until it is gone. Its name.
    pub fn kill_one(&mut self, random: &mut StdRng) -> Result<String, Failure> {
        let victim = random.random_range(0..self.workers.len());
        let mut worker = self.workers.swap_remove(victim);
        worker.process.kill().map_err(Failure::system(format!("killing {}", worker.name)))?;
        worker.process.wait().map_err(Failure::system(format!("waiting for {}", worker.name)))?;
        Ok(worker.name)
    }

    /// An error if one of them has ended: none may, before they are told to.
    pub fn check(&mut self) -> Result<(), Failure> {
        for worker in &mut self.workers {
            let ended = worker.process.try_wait().map_err(Failure::system(format!("looking at {}", worker.name)))?;
            if let Some(status) = ended {
                return Err(worker.failure(&status.to_string()));
            }
        }
        Ok(())
    }

    /// Waits for all to end by themselves; what they have done together.
    pub fn dismiss(mut self) -> Result<WorkDone, Failure> {
        let mut total = WorkDone::default();
        for worker in &mut self.workers {
            // `wait` closes standard input first, which would tell a worker in the middle of its last file to end at once.
            let held_open = worker.process.stdin.take();
            let status = worker.process.wait().map_err(Failure::system(format!("waiting for {}", worker.name)))?;
            drop(held_open);
            if !status.success() {
                return Err(worker.failure(&status.to_string()));
            }
            let text = std::fs::read_to_string(&worker.output).unwrap_or_default();
            let work: WorkDone = serde_json::from_str(text.trim())
                .map_err(|_| Failure::Nonsense { who: worker.name.clone(), line: text })?;
            total.files += work.files;
            total.take += work.take;
            total.done += work.done;
        }
        self.workers.clear();
        Ok(total)
    }
}

impl Worker {
    fn failure(&self, status: &str) -> Failure {
        let errors = std::fs::read(&self.errors).unwrap_or_default();
        Failure::Child { who: self.name.clone(), status: status.into(), last_words: last_lines(&errors, 25) }
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended already; there is nobody left to tell.
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
    }
}
