//! Plays traces: each participant runs its lines as transactions of the engine, in any world.
//!
//! 1. Somebody builds the [`Stage`](crate::stage::Stage).
//! 2. Each player compiles its lines into a [`Script`], before time counts.
//! 3. It plays them ([`Script::play`]) into its [`Part`].
//! 4. Somebody who sees the space and all parts asks [`verify`] whether all is as it must be, and [`measurement`] makes one
//!    figure of them.
//!
//! What can be checked: each cell holds at the end what committed transactions added. Two reads of a cell in one attempt
//! agree. Where the transactions of a trace keep the sum of all cells, whoever reads all cells sees the sum 0, in attempts
//! that abort, too. A hand-over happens exactly once, because its value is a turn.
//!
//! Time passes by a [`Pace`], so that a simulator can let it pass by itself. The same code runs everywhere.

mod part;
mod script;
mod verify;

pub use part::{Part, Run, measurement};
pub use script::{Pacing, Script};
pub use verify::verify;

use pso_engine::platform::Platform;

/// A rest that is longer is slept, the end of it is spun: 80 us.
pub const SPIN_NS: u64 = 80_000;

/// How time passes that is not the engine's.
pub trait Pace<P: Platform> {
    /// Computes for `ns`, inside an attempt.
    fn compute(&mut self, platform: &P, ns: u64);
    /// Rests until `until_ns` of the platform's clock, between two transactions.
    fn rest(&mut self, platform: &P, until_ns: u64);
}

/// Looks at the clock until the time is over: both kinds of time use the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spin;

impl<P: Platform> Pace<P> for Spin {
    fn compute(&mut self, platform: &P, ns: u64) {
        let until_ns = platform.now_ns().saturating_add(ns);
        self.rest(platform, until_ns);
    }
    /// Bounded by the clock, which moves on.
    fn rest(&mut self, platform: &P, until_ns: u64) {
        while platform.now_ns() < until_ns {
            platform.spin_hint();
        }
    }
}
