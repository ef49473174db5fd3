//! Ctrl-C and SIGTERM: noted here, looked at by every loop that waits, so that guards run on the way out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::failure::Failure;

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
