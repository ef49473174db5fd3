//! The shared heap of pso.
pub mod allocator;
pub mod arena;
pub mod error;
pub mod object;
pub mod platform;
pub mod space;
pub mod transaction;
pub mod word;
