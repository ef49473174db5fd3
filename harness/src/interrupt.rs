//! Ctrl-C and SIGTERM: noted here, looked at by every loop that waits, so that guards run on the way out. Commands that never look, and have
//! nothing to clear up, leave signals to the system: it ends them.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

/// How often is looked whether a child has ended, or a signal has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long a child that is to end may take to clear up: nextest gives its tests 10 s.
const GRACE: Duration = Duration::from_secs(20);

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

/// Runs a command to its end. Once a signal has come it is to end, too: whoever sent it may mean this process alone.
pub fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if requested() {
            return end(&mut child);
        }
        std::thread::sleep(LOOK);
    }
}

fn end(child: &mut Child) -> io::Result<ExitStatus> {
    // It is not waited for: the number is its own.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let since = Instant::now();
    while since.elapsed() < GRACE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()
}
