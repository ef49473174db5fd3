//! Our end of the coordinator, the Python process that makes the space and puts back the work of the dead.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;

use crate::failure::Failure;
use crate::python::{Python, last_lines};

/// What it says.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The space is there; workers may attach.
    Ready,
    /// So many files are merged.
    Progress {
        /// Their number.
        done: u64,
    },
    /// A dead worker's file is in the queue again (`None`: it had none).
    PutBack {
        /// Who had it.
        worker: String,
        /// Which.
        name: Option<String>,
    },
    /// All workers have been told to go.
    End,
}

/// The process and the two pipes.
pub struct Coordinator {
    process: Child,
    commands: ChildStdin,
    events: Receiver<Result<Event, String>>,
    errors: std::path::PathBuf,
}

impl Coordinator {
    /// Starts it; `Event::Ready` comes first.
    pub fn start(python: &Python, space: &str, size: &str, names: &Path) -> Result<Self, Failure> {
        let errors = python.folder().join("coordinator.err");
        let file = std::fs::File::create(&errors).map_err(Failure::system("making coordinator.err"))?;
        let mut process = python
            .command()
            .args(["-m", "pso_demo", "coordinator", "--space", space, "--size", size, "--names"])
            .arg(names)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(Failure::system("starting the coordinator"))?;
        let (Some(commands), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::Wrong("the coordinator was started without its pipes".into()));
        };
        let (sender, events) = channel();
        // Ends with the coordinator's output, and when nobody listens any more.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).map_err(|_| line);
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, commands, events, errors })
    }

    /// What it says next, if it says something in time.
    pub fn event(&mut self, patience: Duration) -> Result<Option<Event>, Failure> {
        match self.events.recv_timeout(patience) {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(line)) => Err(Failure::Nonsense { who: "the coordinator".into(), line }),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.failure()),
        }
    }

    /// `worker` is gone: its file has to be put back.
    pub fn report_dead(&mut self, worker: &str) -> Result<(), Failure> {
        self.say(&format!("dead {worker}"))
    }

    /// All files are merged: `workers` workers may go.
    pub fn end(&mut self, workers: usize) -> Result<(), Failure> {
        self.say(&format!("end {workers}"))
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<(), Failure> {
        let status = self.process.wait().map_err(Failure::system("waiting for the coordinator"))?;
        if status.success() { Ok(()) } else { Err(self.failure()) }
    }

    fn say(&mut self, command: &str) -> Result<(), Failure> {
        writeln!(self.commands, "{command}").map_err(|_| self.failure())
    }

    fn failure(&mut self) -> Failure {
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let errors = std::fs::read(&self.errors).unwrap_or_default();
        Failure::Child { who: "the coordinator".into(), status, last_words: last_lines(&errors, 25) }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended already; there is nobody left to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
