//! Scenes, written once as functions over a platform, run on every platform that there is.
//!
//! A scene says what it does to a space and what must hold afterwards; which threads, processes or schedules run it is the
//! business of the test. Values are chosen so that a wrong one shows.

mod bank;

pub use bank::Bank;
