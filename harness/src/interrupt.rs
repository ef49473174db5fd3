//! Ctrl-C and SIGTERM: noted here, looked at by every loop that waits, so that guards run on the way out. Commands that never look, and have
//! nothing to clear up, leave signals to the system: it ends them.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::failure::Failure;

/// How often is looked whether a child has ended, or a signal has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long nextest may take to clear up: it gives its tests 10 s.
pub const OF_NEXTEST: Duration = Duration::from_secs(20);
/// And a command of ours that may wait for one.
pub const OF_OURS: Duration = Duration::from_secs(30);

// Relaxed everywhere: the flag publishes nothing but itself.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes signals from now on.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Relaxed)).map_err(|error| Failure::Signals(error.to_string()))
}

/// Whether a signal has come.
pub fn requested() -> bool {
    INTERRUPTED.load(Relaxed)
}

/// An error once a signal has come.
pub fn check() -> Result<(), Failure> {
    if requested() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// What `check` says, and an error if a child was ended by a signal that is meant for us all: until it is in a group of its own it hears of it as we do,
/// and is dead before the thread has run that notes it here. That it ended badly says nothing of what it was to do.
pub fn check_child(status: ExitStatus) -> Result<(), Failure> {
    let told = [Signal::INT, Signal::TERM].iter().any(|signal| status.signal() == Some(signal.as_raw()));
    if told { Err(Failure::Interrupted) } else { check() }
}

/// Runs a command to its end, in a group of its own: it hears of a signal once, from here, whether that came from the terminal or was meant for this
/// process alone; and so does what it has started. After `grace` it is killed.
pub fn run(command: &mut Command, grace: Duration) -> io::Result<ExitStatus> {
    // Whoever is not in the terminal's group may not read from it.
    let mut child = command.process_group(0).stdin(Stdio::null()).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if requested() {
            return end(&mut child, grace);
        }
        std::thread::sleep(LOOK);
    }
}

fn end(child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    // It is not waited for: the number is its own.
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let since = Instant::now();
    while since.elapsed() < grace {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    kill_process_group(group, Signal::KILL)?;
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_a_signal_has_ended_was_interrupted_and_one_that_crashed_was_not() {
        let ended_by = |signal: &str| {
            let script = format!("kill -{signal} $$");
            check_child(run(Command::new("sh").args(["-c", &script]), OF_OURS).unwrap())
        };
        for signal in ["INT", "TERM"] {
            assert!(matches!(ended_by(signal), Err(Failure::Interrupted)), "{signal}");
        }
        for signal in ["KILL", "SEGV"] {
            ended_by(signal).unwrap();
        }
        check_child(run(Command::new("sh").args(["-c", "exit 1"]), OF_OURS).unwrap()).unwrap();
    }
}
