//! Who is measured, each in a file that opens with what it is and how it is used fairly.
//!
//! ```text
//! World    variables of one contestant, all 0 at first, and shared by all who work on them
//! Actor    the hand of one participant: four operations, each one transaction
//! ```
//! All get the same work: the choice of variables, the random numbers and the clock are outside of what is compared and the
//! same code for all. A transaction may run its body again; the actor counts how often it did.

mod async_stm;
mod engine;
mod fast_stm;
mod parking_lot;
mod std_mutex;
mod stm;
mod stm_core;

use pso_harness::failure::Failure;

pub use self::async_stm::AsyncStm;
pub use self::engine::{Engine, EngineActor};
pub use self::fast_stm::FastStm;
pub use self::parking_lot::{ParkingLotMutex, ParkingLotRwLock};
pub use self::std_mutex::StdMutex;
pub use self::stm_core::StmCore;

/// Variables of a contestant.
pub trait World: Sync + Sized {
    /// The hand of one thread.
    type Actor<'world>: Actor
    where
        Self: 'world;

    /// `variables` of them, each 0.
    fn new(variables: usize) -> Result<Self, Failure>;
    /// A hand for the calling thread.
    fn actor(&self) -> Result<Self::Actor<'_>, Failure>;
    /// What the variables hold, when nobody works on them.
    fn values(&self) -> Result<Vec<i64>, Failure>;
}

/// What one participant does. Each call is one transaction, run until it commits; variables are named by their number.
pub trait Actor {
    /// Adds 1 to each of `variables`, in this order.
    fn add(&mut self, variables: &[usize]) -> Result<(), Failure>;
    /// Takes 1 from one and gives it to another: two reads, two writes.
    fn transfer(&mut self, from: usize, to: usize) -> Result<(), Failure>;
    /// Reads one.
    fn read(&mut self, variable: usize) -> Result<i64, Failure>;
    /// Reads all, and adds them up.
    fn sum(&mut self) -> Result<i64, Failure>;

    /// How often a body ran.
    fn attempts(&self) -> u64;
    /// How many sleepers it woke; `None` where nobody counts them.
    fn woken(&self) -> Option<u64> {
        None
    }
    /// No more.
    fn leave(self)
    where
        Self: Sized,
    {
    }
}
