//! Which process holds which liveness byte, and which processes are dead.

use pso_engine::platform::{Liveness, ProcessIdentity};
use pso_engine::word::ProcessSlotId;

/// The first process number.
const FIRST: u32 = 1000;
/// The start time of every process: they have different numbers anyway.
const START_TIME: u64 = 1;

/// The processes of the simulated world.
#[derive(Debug, Default)]
pub struct Members {
    /// Who holds the byte of each slot that anybody ever held.
    holders: Vec<Option<u32>>,
    /// Whether each process, in the order of their numbers, is dead.
    dead: Vec<bool>,
}

impl Members {
    /// A new process.
    pub fn found(&mut self) -> u32 {
        self.dead.push(false);
        FIRST + self.dead.len() as u32 - 1
    }
    /// The process is gone, its byte is free.
    pub fn kill(&mut self, process: u32) {
        if let Some(dead) = self.dead.get_mut((process - FIRST) as usize) {
            *dead = true;
        }
        self.holders.iter_mut().filter(|holder| **holder == Some(process)).for_each(|holder| *holder = None);
    }
    /// `process` takes the byte of `slot`, if nobody has it.
    pub fn claim(&mut self, process: u32, slot: ProcessSlotId) -> bool {
        let slot = slot.0 as usize;
        if self.holders.len() <= slot {
            self.holders.resize(slot + 1, None);
        }
        let free = self.holders[slot].is_none();
        if free {
            self.holders[slot] = Some(process);
        }
        free
    }
    /// `process` gives it back.
    pub fn release(&mut self, process: u32, slot: ProcessSlotId) {
        if let Some(holder) = self.holders.get_mut(slot.0 as usize)
            && *holder == Some(process)
        {
            *holder = None;
        }
    }
    /// What is known of whoever holds, or held, `slot`.
    pub fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        if self.holders.get(slot.0 as usize).is_some_and(Option::is_some) {
            return Liveness::Alive;
        }
        let number = identity.pid.wrapping_sub(FIRST) as usize;
        let lives = identity.start_time == START_TIME && self.dead.get(number) == Some(&false);
        if lives { Liveness::Fenced } else { Liveness::Dead }
    }
    /// The identity of `process`.
    pub fn identity(process: u32) -> ProcessIdentity {
        ProcessIdentity { pid: process, start_time: START_TIME }
    }
}
