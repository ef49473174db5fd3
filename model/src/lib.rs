//! What must hold of the engine: scenes written once and run on every platform.
//!
//! [`heap`] is a platform in the memory of one process, with kills at chosen steps; [`scenario`] are the scenes.
pub mod heap;
pub mod scenario;
