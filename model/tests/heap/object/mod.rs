//! Objects against the builtins of Rust, judged operation by operation.
//!
//! Two participants of two processes work on one object in turn, in transactions of several operations of which some are
//! aborted: what they see must be what a plain `Vec` or `VecDeque` shows, at every moment.

mod cursors;
mod damage;
mod dict;
mod keys;
mod kills;
mod list;
mod queue;
mod support;
mod threads;
mod uncommitted;
mod values;
