//! What must hold.
pub mod heap;
