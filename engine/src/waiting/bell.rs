//! The bell of a participant: `rings:31 | SLEEPING:1` in the low half of a word.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::arena::Arena;
use crate::participant::Slot;
use crate::platform::{Platform, WaitOutcome};

const SLEEPING: u64 = 1;
const RING: u64 = 2;

/// What the owner saw of its bell before it announced that it waits.
#[derive(Clone, Copy, Debug)]
pub struct Bell {
    slot: Slot,
    seen: u64,
}

impl Bell {
    /// Looks at the bell. To be done before announcing.
    pub fn look<P: Platform>(arena: &Arena<P>, slot: Slot) -> Self {
        // Acquire: pairs with the release in `ring`; what the ringer did before it rang is seen.
        Self { slot, seen: arena.platform().load(slot.bell(), Acquire) & !SLEEPING }
    }

    /// True if it has rung since the look.
    pub fn has_rung<P: Platform>(&self, arena: &Arena<P>) -> bool {
        arena.platform().load(self.slot.bell(), Acquire) & !SLEEPING != self.seen
    }

    /// Sleeps until it rings, at most `timeout_ns`. At once if it has rung since the look.
    pub fn sleep<P: Platform>(&self, arena: &Arena<P>, timeout_ns: u64) -> WaitOutcome {
        let platform = arena.platform();
        let asleep = self.seen | SLEEPING;
        // AcqRel: the announcement before it is seen by a ringer that finds SLEEPING; a ring that came is acquired.
        if platform.compare_exchange(self.slot.bell(), self.seen, asleep, AcqRel, Acquire).is_err() {
            return WaitOutcome::Woken;
        }
        let outcome = platform.wait(self.slot.bell(), asleep as u32, timeout_ns);
        platform.fetch_and(self.slot.bell(), !SLEEPING, AcqRel);
        outcome
    }
}

/// Rings somebody: it looks again at whatever it waits for. One atomic addition; a system call only if it sleeps, and nobody has woken it already: who is
/// stopped (or dead) takes long to hear of it. Gives how many it woke: 1 for a sleeper, else 0.
pub fn ring<P: Platform>(arena: &Arena<P>, slot: Slot) -> u64 {
    let (platform, bell) = (arena.platform(), slot.bell());
    // AcqRel: releases the news to the sleeper's `look` or `sleep`.
    if platform.fetch_add(bell, RING, AcqRel) & SLEEPING == 0 {
        return 0;
    }
    // AcqRel: as above. If it is another sleep by now, that has begun behind the addition; it is woken for nothing. Who is killed before the wake leaves a
    // sleeper to the end of the time that it sleeps.
    if platform.fetch_and(bell, !SLEEPING, AcqRel) & SLEEPING == 0 {
        return 0;
    }
    platform.wake(bell);
    1
}

/// Says that nobody sleeps. For whoever takes a slot over: a killed sleeper leaves the word SLEEPING, and then no later sleep
/// of the slot would ever begin.
pub(super) fn hush<P: Platform>(arena: &Arena<P>, slot: Slot) {
    arena.platform().fetch_and(slot.bell(), !SLEEPING, AcqRel);
}
