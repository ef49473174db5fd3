//! The deterministic scheduler simulator of pso.
//!
//! Not there yet. This crate holds its place in the workspace: what runs here will be the engine itself
//! (`pso_engine::platform::Platform` is all that it asks for), on simulated cores, with priced cache lines, virtual time and
//! injected faults. Nothing of the engine will be told a second time for it.
