//! The deterministic scheduler simulator of pso: the engine itself (`pso_engine::platform::Platform` is all that it asks
//! for) on simulated cores, with priced cache lines, virtual time and injected faults; and the traces that it and real
//! processes replay. Nothing of the engine is told a second time here.
//!
//! From bottom to top: [`fiber`] flows of control · [`machine`] what memory costs · [`system`] who runs when · [`simulated`]
//! the platform · [`simulation`] one run · [`trace`] what is played, [`stage`] where, [`player`] by whom, in any world ·
//! [`simulate()`] a trace on the simulated machine · [`measure`] what a run gave, here or on real processes.

pub mod fault;
pub mod fiber;
pub mod machine;
pub mod measure;
pub mod player;
mod random;
mod simulate;
pub mod simulated;
pub mod simulation;
pub mod stage;
pub mod system;
pub mod trace;
mod trace_hash;

pub use random::Random;
pub use simulate::{Played, SimulateError, simulate};
pub use simulated::Simulated;
pub use simulation::{Report, Setup, Simulation, ThreadReport};
