//! What must hold of the engine: scenes written once and run on every platform.
//!
//! [`heap`] is a platform in the memory of one process; [`scenario`] are the scenes; [`history`] judges what attempts saw and
//! did; [`report`] says how far the checkers went. A [`lens`] over any platform is what a test does to it: [`interpose`] squeezes
//! the rest of the world between two accesses of one thread, [`crash`] stops a process before a chosen access, [`alone`] lets
//! time pass where nobody else could run.
pub mod alone;
pub mod crash;
pub mod heap;
pub mod history;
pub mod interpose;
pub mod lens;
pub mod mutant;
pub mod report;
pub mod scenario;
pub mod weaken;
