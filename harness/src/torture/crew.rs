//! The writer processes: started, killed, replaced, stopped and continued.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::crew::Parent;
use crate::failure::Failure;
use crate::python::last_lines;

/// How long a writer may take to leave once it is told to.
const LEAVING: Duration = Duration::from_secs(20);

/// Between two looks at the processor time that a writer takes.
const LOOK: Duration = Duration::from_millis(200);

/// The writers, by number. Whoever is left when this goes is killed.
pub struct Crew {
    folder: PathBuf,
    writers: Vec<Child>,
}

impl Crew {
    /// Starts `count` writers on the space in `folder`.
    pub fn start(folder: &Path, count: u32, mut seed: impl FnMut() -> u64) -> Result<Self, Failure> {
        let mut crew = Self { folder: folder.into(), writers: Vec::new() };
        for writer in 0..count {
            let process = crew.spawn(writer, seed())?;
            crew.writers.push(process);
        }
        Ok(crew)
    }

    /// Of processes that are no writers.
    #[cfg(test)]
    pub fn of(folder: &Path, writers: Vec<Child>) -> Self {
        Self { folder: folder.into(), writers }
    }

    /// Kills a writer with SIGKILL and waits until it is gone.
    pub fn kill(&mut self, writer: u32) -> Result<(), Failure> {
        let process = &mut self.writers[writer as usize];
        process.kill().map_err(Failure::system(format!("killing writer {writer}")))?;
        process.wait().map_err(Failure::system(format!("waiting for writer {writer}")))?;
        Ok(())
    }

    /// Stops a writer with SIGSTOP and waits until it stands still.
    pub fn stop(&mut self, writer: u32) -> Result<(), Failure> {
        self.signal(writer, Signal::STOP)?;
        let what = format!("waiting until writer {writer} stands still");
        let pid = Pid::from_child(&self.writers[writer as usize]);
        // Only looked at: who has ended is reaped by its `Child`, which else would not know that the number may be somebody else's.
        match waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) if status.stopped() => Ok(()),
            Ok(status) => {
                self.check(writer)?;
                Err(self.failure(writer, format!("{status:?}")))
            }
            Err(error) => Err(Failure::system(what)(error.into())),
        }
    }

    /// Lets a writer that was stopped go on.
    pub fn go_on(&mut self, writer: u32) -> Result<(), Failure> {
        self.signal(writer, Signal::CONT)
    }

    fn signal(&self, writer: u32, signal: Signal) -> Result<(), Failure> {
        let pid = Pid::from_child(&self.writers[writer as usize]);
        kill_process(pid, signal)
            .map_err(|error| Failure::system(format!("{signal:?} to writer {writer}"))(error.into()))
    }

    /// Process number of a writer.
    pub fn pid(&self, writer: u32) -> u32 {
        self.writers[writer as usize].id()
    }

    /// Starts a writer in the place of one that is gone.
    pub fn replace(&mut self, writer: u32, seed: u64) -> Result<(), Failure> {
        self.writers[writer as usize] = self.spawn(writer, seed)?;
        Ok(())
    }

    /// Where a writer that does not go on stands, for whoever looks for the reason.
    pub fn stands(&self, writer: u32) -> String {
        stands(self.pid(writer))
    }

    /// An error if a writer has ended by itself.
    pub fn check(&mut self, writer: u32) -> Result<(), Failure> {
        match self.writers[writer as usize].try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(writer, status.to_string())),
            Err(error) => Err(Failure::system(format!("looking at writer {writer}"))(error)),
        }
    }

    /// Waits for all, who are told to leave.
    pub fn dismiss(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + LEAVING;
        for writer in 0..self.writers.len() {
            let status = loop {
                match self.writers[writer].try_wait().map_err(Failure::system("waiting for a writer"))? {
                    Some(status) => break status,
                    None if Instant::now() > deadline => {
                        let what = format!("writer {writer} does not leave");
                        return Err(Failure::Stalled { what, seconds: LEAVING.as_secs() });
                    }
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            if !status.success() {
                return Err(self.failure(writer as u32, status.to_string()));
            }
        }
        self.writers.clear();
        Ok(())
    }

    fn spawn(&self, writer: u32, seed: u64) -> Result<Child, Failure> {
        let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
        let errors = self.errors(writer);
        let file = std::fs::File::create(&errors).map_err(Failure::system(format!("making {}", errors.display())))?;
        Command::new(executable)
            .arg("torture-worker")
            .arg("--dir")
            .arg(&self.folder)
            .args(["--writer", &writer.to_string(), "--seed", &seed.to_string()])
            .args(Parent::arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(Failure::system("starting a writer"))
    }

    fn failure(&self, writer: u32, status: String) -> Failure {
        let errors = std::fs::read(self.errors(writer)).unwrap_or_default();
        Failure::Child { who: format!("writer {writer}"), status, last_words: last_lines(&errors, 25) }
    }

    fn errors(&self, writer: u32) -> PathBuf {
        self.folder.join(format!("writer-{writer}.err"))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for process in &mut self.writers {
            // It may have ended already; there is nobody left to tell.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A process's state, what it waits for in the kernel, and the processor time that it takes, in words.
fn stands(pid: u32) -> String {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    // Behind the name, which may have blanks in it: state, then ten numbers, then ticks of the processor as the user and in the kernel.
    let look = || {
        let stat = read("stat");
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = fields.next().unwrap_or("?").to_owned();
        let ticks: u64 = fields.skip(10).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        (state, ticks)
    };
    let (_, before) = look();
    std::thread::sleep(LOOK);
    let (state, after) = look();
    let (milliseconds, place) = (LOOK.as_millis(), read("wchan"));
    format!(
        "state {state}, {after} ticks of processor time, {} in the last {milliseconds} ms, in the kernel at {place:?}",
        after - before
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The danger: who reaps behind the `Child`'s back lets it signal a number that is somebody else's by then.
    #[test]
    fn a_writer_that_has_ended_is_not_stopped_and_its_end_is_still_to_be_had() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Command::new("false").spawn().unwrap();
        let pid = WaitId::Pid(Pid::from_child(&writer));
        waitid(pid, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let mut crew = Crew::of(folder.path(), vec![writer]);
        let said = crew.stop(0).unwrap_err().to_string();
        assert!(said.contains("exit status: 1"), "{said}");
        assert_eq!(crew.writers[0].try_wait().unwrap().unwrap().code(), Some(1));
    }

    #[test]
    fn a_writer_stands_still_each_time_that_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut crew = Crew::of(folder.path(), vec![Command::new("sleep").arg("60").spawn().unwrap()]);
        for _ in 0..3 {
            crew.stop(0).unwrap();
            assert!(crew.stands(0).starts_with("state T, "), "{}", crew.stands(0));
            crew.go_on(0).unwrap();
            assert!(!crew.stands(0).starts_with("state T, "), "{}", crew.stands(0));
        }
    }

    #[test]
    fn a_process_and_one_that_is_none_are_told_apart() {
        let said = stands(std::process::id());
        assert!(said.starts_with("state R, ") || said.starts_with("state S, "), "{said}");
        assert!(stands(u32::MAX).starts_with("state ?, 0 ticks"), "{}", stands(u32::MAX));
    }
}
