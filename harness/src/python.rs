//! The interpreter that runs the scripts: which one, and how its processes are started.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::interrupt;
use crate::scripts::Scripts;

/// How often is looked whether a run is still wanted.
const LOOK: Duration = Duration::from_millis(50);
/// How long an interrupted run may take to clear up.
const GRACE: Duration = Duration::from_secs(5);

/// An interpreter that can import the package, and the scripts for it.
pub struct Python {
    interpreter: PathBuf,
    scripts: Scripts,
}

impl Python {
    /// Takes `chosen`, else the first that exists of: the .venv above this executable, the active virtual environment,
    /// the .venv of the working directory, `python3`. It must be able to import the package.
    pub fn find(chosen: Option<&Path>) -> Result<Self, Failure> {
        let interpreter = chosen.map_or_else(default_interpreter, Path::to_path_buf);
        let python = Self { interpreter, scripts: Scripts::unpack()? };
        let output = python
            .command()
            .args(["-c", "import pso; pso.create"])
            .output()
            .map_err(Failure::system(format!("starting {}", python.interpreter.display())))?;
        if !output.status.success() {
            let reason = last_lines(&output.stderr, 1);
            return Err(Failure::NoPackage { python: python.interpreter, reason });
        }
        Ok(python)
    }

    /// A folder for files of this run.
    pub fn folder(&self) -> &Path {
        self.scripts.folder()
    }

    /// `python`, seeing the scripts. Standard input is empty unless the caller gives one.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.env("PYTHONPATH", self.scripts.folder());
        // Byte code of the scripts is kept in their folder: the workers that replace others start faster for it.
        command.env_remove("PYTHONDONTWRITEBYTECODE").env("PYTHONUTF8", "1").stdin(Stdio::null());
        command
    }

    /// `python -m MODULE ARGUMENTS`, run to its end; the last line that it prints, as JSON.
    pub fn answer<T: DeserializeOwned>(&self, module: &str, arguments: &[String]) -> Result<T, Failure> {
        let (answer, verdict) = self.judged_answer(module, arguments)?;
        verdict.map(|()| answer)
    }

    /// The same of a script that judges what it has measured: what it answers, and whether it ended well. Numbers are worth most where they are not
    /// what they should be.
    pub fn judged_answer<T: DeserializeOwned>(
        &self,
        module: &str,
        arguments: &[String],
    ) -> Result<(T, Result<(), Failure>), Failure> {
        let who = format!("python -m {module} {}", arguments.first().map_or("", String::as_str));
        let mut command = self.command();
        command.args(["-m", module]).args(arguments);
        judged(&who, &finished(command, &who)?)
    }
}

/// Runs a command to its end; what it prints. A signal to us ends it, and whoever it has started.
pub fn run_to_end(command: Command, who: &str) -> Result<Vec<u8>, Failure> {
    let output = finished(command, who)?;
    ended_well(who, &output)?;
    Ok(output.stdout)
}

/// The same, however it ends by itself.
fn finished(command: Command, who: &str) -> Result<Output, Failure> {
    let output =
        output_unless(command, interrupt::requested, GRACE).map_err(Failure::system(format!("starting {who}")))?;
    interrupt::check_child(output.status)?;
    Ok(output)
}

fn ended_well(who: &str, output: &Output) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    let last_words = last_lines(&output.stderr, 25);
    Err(Failure::Child { who: who.into(), status: output.status.to_string(), last_words })
}

/// The answer of one who has ended, and whether he ended well. Who has failed and answers nothing has failed.
fn judged<T: DeserializeOwned>(who: &str, output: &Output) -> Result<(T, Result<(), Failure>), Failure> {
    let verdict = ended_well(who, output);
    match (parse_answer(who, &output.stdout), verdict) {
        (Ok(answer), verdict) => Ok((answer, verdict)),
        (Err(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
    }
}

/// Runs a command to its end, in a process group of its own. Once `is_unwanted` the group is interrupted, as Ctrl-C would, and killed if it
/// goes on for longer than `grace`. Whoever outlives the command is killed: the pipes would stay open for as long as he lives. So it goes for all of
/// them if we are killed.
fn output_unless(mut command: Command, is_unwanted: impl Fn() -> bool + Send, grace: Duration) -> io::Result<Output> {
    let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let group = Pid::from_child(&child);
    let guardian = Guardian::of(group, grace).inspect_err(|_| {
        let _ = kill_process_group(group, Signal::KILL);
    })?;
    let (running, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if has_ended(group) {
                    let _ = kill_process_group(group, Signal::KILL);
                    return;
                }
                if is_unwanted() {
                    // In vain if it has just ended.
                    let _ = kill_process_group(group, Signal::INT);
                    if over.recv_timeout(grace) == Err(RecvTimeoutError::Timeout) {
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                    return;
                }
            }
        });
        let output = child.wait_with_output();
        drop(running);
        drop(guardian);
        output
    })
}

/// A process of a group that interrupts the group once we are gone, and kills it if it goes on. It ends the group with its own end.
struct Guardian {
    shell: Child,
    group: Pid,
}

impl Guardian {
    fn of(group: Pid, grace: Duration) -> io::Result<Self> {
        // Its standard input is a pipe that nobody writes to: it ends with us, however we end.
        let script = format!("trap '' INT; read -r nothing; kill -INT 0; sleep {}; kill -KILL 0", grace.as_secs_f64());
        let shell = Command::new("sh")
            .args(["-c", &script])
            .process_group(group.as_raw_nonzero().get())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { shell, group })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // The group is still this one, for the shell is in it until somebody waits for it.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.shell.wait();
    }
}

/// Whether a child has ended, which somebody else is to wait for.
fn has_ended(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(child), options).is_ok_and(|status| status.is_some())
}

/// The last line that a process has printed, as JSON.
fn parse_answer<T: DeserializeOwned>(who: &str, printed: &[u8]) -> Result<T, Failure> {
    let text = String::from_utf8_lossy(printed);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|_| Failure::Nonsense { who: who.into(), line: line.into() })
}

/// The end of what a process wrote.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn default_interpreter() -> PathBuf {
    // target/release/pso stands two folders below the repository.
    let beside_executable = std::env::current_exe().ok().and_then(|path| Some(path.ancestors().nth(3)?.join(".venv")));
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let here = std::env::current_dir().ok().map(|path| path.join(".venv"));
    [beside_executable, active, here]
        .into_iter()
        .flatten()
        .map(|environment| environment.join("bin/python"))
        .find(|interpreter| interpreter.exists())
        .unwrap_or_else(|| PathBuf::from("python3"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn only_the_end_of_a_long_complaint_is_quoted() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines(b"", 2), "");
    }

    /// The script has become unwanted once it has made the file `$1`.
    fn ends(script: &str, grace: Duration) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("unwanted");
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&file);
        output_unless(command, || file.exists(), grace).unwrap()
    }

    #[test]
    fn a_run_that_is_wanted_ends_by_itself() {
        let output = ends("echo out; sleep 0.2; echo err >&2; exit 3", Duration::ZERO);
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn a_run_that_is_not_wanted_is_interrupted() {
        let output = ends("trap 'echo tidied; exit 4' INT; touch \"$1\"; while :; do sleep 0.01; done", GRACE);
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"tidied\n".as_slice(), Some(4)));
    }

    /// The danger: what was measured in half an hour is gone because it is not what it should be.
    #[test]
    fn what_a_script_has_measured_outlives_its_verdict() {
        let output = ends("echo '[1, 2]'; echo 'fsck has 3 findings' >&2; exit 1", Duration::ZERO);
        let (numbers, verdict) = judged::<Vec<u64>>("it", &output).unwrap();
        assert_eq!(numbers, [1, 2]);
        let is_told = |failure: &Failure| matches!(failure, Failure::Child { last_words, .. } if last_words == "fsck has 3 findings");
        assert!(verdict.is_err_and(|failure| is_told(&failure)));
        let output = ends("echo Traceback; echo 'fsck has 3 findings' >&2; exit 1", Duration::ZERO);
        assert!(judged::<Vec<u64>>("it", &output).is_err_and(|failure| is_told(&failure)));
        let output = ends("echo Traceback", Duration::ZERO);
        assert!(matches!(judged::<Vec<u64>>("it", &output), Err(Failure::Nonsense { .. })));
    }

    /// One who works for ever, and one who is stopped.
    #[test]
    fn a_run_that_has_died_is_not_outlived_by_whoever_it_has_started() {
        let script = "(while :; do sleep 0.01; done) & sh -c 'kill -STOP $$; sleep 1000' & echo out; exit 5";
        let output = ends(script, Duration::ZERO);
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"out\n".as_slice(), Some(5)));
    }

    /// The danger: `pso bench` is killed, and what it has started measures on for minutes, for nobody.
    #[test]
    fn a_run_of_one_who_is_killed_ends() {
        let ended = |script: &str, grace: u64| {
            let mut command = Command::new("sh");
            let mut child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
            let mut guardian = Guardian::of(Pid::from_child(&child), Duration::from_millis(grace)).unwrap();
            let mut started = [0; 2];
            child.stdout.as_mut().unwrap().read_exact(&mut started).unwrap();
            // As the kernel does when it closes what the dead had open.
            drop(guardian.shell.stdin.take());
            let status = child.wait().unwrap();
            (status.code(), status.signal())
        };
        assert_eq!(ended("trap 'exit 4' INT; echo 1; while :; do sleep 0.01; done", 60_000), (Some(4), None));
        assert_eq!(ended("trap '' INT; echo 1; while :; do sleep 0.01; done", 100), (None, Some(9)));
    }

    /// Whoever is left would hold the pipes, and this would not end.
    #[test]
    fn a_run_that_goes_on_is_killed_with_whoever_it_has_started() {
        let script = "trap '' INT; (while :; do sleep 0.01; done) & touch \"$1\"; wait";
        assert_eq!(ends(script, Duration::from_millis(100)).status.signal(), Some(9));
    }
}
