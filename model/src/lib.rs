//! What must hold of the engine: scenes written once and run on every platform.
//!
//! [`heap`] is a platform in the memory of one process, with kills at chosen steps; [`interpose`] squeezes the rest of the
//! world between two accesses of one thread; [`scenario`] are the scenes.
pub mod heap;
pub mod history;
pub mod interpose;
pub mod scenario;
