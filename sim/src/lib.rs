//! The deterministic scheduler simulator of pso: the engine itself (`pso_engine::platform::Platform` is all that it asks
//! for) on simulated cores, with priced cache lines, virtual time and injected faults; and the traces that it and real
//! processes replay. Nothing of the engine is told a second time here.

pub mod measure;
pub mod player;
pub mod stage;
pub mod trace;
