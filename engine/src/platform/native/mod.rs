//! The native platform.
