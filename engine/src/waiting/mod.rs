//! How participants sleep and are woken: one bell each, and buckets in which sleepers can be found.
//!
//! Everybody sleeps on his own bell only. Whoever has news reads who waits (`queue_to`, the bitmap of a wait bucket) and
//! rings that participant. Invariants of this module:
//!
//! - W1 no lost wake-up: a sleeper looks at its bell, announces itself, fences, looks at what it waits for, and sleeps only
//!   if the bell has not rung since the first look. A ringer changes what is waited for, fences, then looks for sleepers.
//! - W2 the kernel is called only for a bell whose word says SLEEPING, and once for each sleep.
//! - W3 nothing here is torn by a kill: bells only count up, a dead sleeper's bit is cleared by whoever meets it, or takes its place over.

mod bell;
mod bucket;

use crate::arena::Arena;
use crate::participant::Slot;
use crate::platform::Platform;
use crate::word::ParticipantId;

pub use bell::{Bell, ring};
pub use bucket::{announce, announce_all, ring_cell, ring_changes, ring_younger, withdraw};

/// For whoever takes a place over: what its last owner has left who was killed in his sleep.
pub fn reset<P: Platform>(arena: &Arena<P>, slot: Slot, id: ParticipantId) {
    bell::hush(arena, slot);
    bucket::withdraw_all(arena, id);
}
