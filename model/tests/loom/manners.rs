//! How the loom world waits, and how its clocks go.
//!
//! **Waiting** is one of three models. *Yield*: a wait returns at once, after everybody else could run; finds races, hides lost
//! wake-ups. *Sleep*: whoever waits for 1.5 ms or longer sleeps until somebody rings, and no time-out helps, so that a lost
//! wake-up is a deadlock which loom reports. Shorter waits are polls, for which the engine promises no ring: they yield. *Fitful*: as
//! sleep, but each participant may be shaken once, at any time, by nobody who has news: its sleep ends as by a time-out or by a
//! spurious return. Who is shaken while awake is not shaken later, so that a lost wake-up still is a deadlock.
//!
//! **Clocks** are each process's own, so that no time tells one thread what another has done (loom would not see that path,
//! and skip schedules which differ by it). *Patient*: time moves by spinning only. *Impatient*: every look at the clock moves
//! it beyond any patience of the engine for PREPARED owners and stoppers.

/// How the world waits and how its clock goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    pub waiting: Waiting,
    pub clock: Clock,
    /// How long the engine spins before it sleeps; 0 as on one processor.
    pub spin_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Yield,
    Sleep,
    Fitful,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Patient,
    Impatient,
}
