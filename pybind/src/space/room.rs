//! What is done about a full space before anybody is told.

use std::time::Duration;

use pso_engine::space::Holders;

use super::Space;
use crate::ffi::{Python, Result};
use crate::garbage;

/// How often whoever finds the space full tries again: others take what was freed, too.
const TRIES: u32 = 7;
/// The pause before the second try, twice as long before each further one: 25 ms in all.
const FIRST_PAUSE: Duration = Duration::from_micros(200);

/// The tries of one operation or transaction.
#[derive(Default)]
pub struct Room {
    tries: u32,
    /// Whether a look for something to free has found nothing.
    in_vain: bool,
}

impl Room {
    /// Frees what can be freed, or gives others time to. False: the space is full.
    pub(super) fn may_come(&mut self, space: &Space, py: Python<'_>) -> Result<bool> {
        let freed = !self.in_vain && space.make_room(py)?;
        self.may_come_by_others(space, py, freed)
    }

    /// The same for whoever has freed something by himself, or could not. What others have retired, and memory that they have emptied, only
    /// they can give back.
    ///
    /// # Errors
    /// A signal handler has raised.
    pub fn may_come_by_others(&mut self, space: &Space, py: Python<'_>, freed: bool) -> Result<bool> {
        self.in_vain |= !freed;
        if self.tries == TRIES {
            return Ok(false);
        }
        let membership = space.membership(py)?;
        let is_company = || Holders::of_process_slots(membership.space().arena()).slots() > 1;
        let waited = freed || membership.space().recover_dead() > 0 || space.garbage.wait_for_collectors(py)?;
        if !waited && !is_company() {
            return Ok(false);
        }
        if self.tries != 0 || !waited {
            garbage::pause(py, FIRST_PAUSE * (1 << self.tries))?;
        }
        self.tries += 1;
        Ok(true)
    }
}
