//! The simulated machine: cores, cache lines, and what it costs to move a line between them.
//!
//! [`Profile`] is the data (with the provenance of each number), [`Topology`] how far two cores are apart, [`Line`] the state
//! of one cache line and the price of an access to it, [`Memory`] the words themselves. Time is in picoseconds: whole
//! numbers, so that every build computes the same, and fine enough for what takes a third of a nanosecond.
//!
//! What is modelled: who owns a line and who shares it, transfers by distance, a line that is being moved makes the next one
//! wait, loads that take a changed line along, transfers that differ, stores that drain in the background until a fence or a
//! read-modify-write waits for them. What is not: caches of
//! finite size, prefetching, several misses in flight, memory orderings weaker than sequential consistency.

mod line;
mod memory;
mod profile;
mod topology;

pub use line::{Access, Charge, Line, Visitor};
pub use memory::Memory;
pub use profile::{Distances, Fact, Figure, Prices, Profile, ProfileError, Samples};
pub use topology::{CORES_MAX, Cores, Distance, Topology};

/// Picoseconds of `ns` nanoseconds, rounded; 0 for what is not a positive number.
pub fn picoseconds(ns: f64) -> u64 {
    (ns * 1000.0).round() as u64
}
