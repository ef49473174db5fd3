//! `pso._core`: shared objects as Python objects.
//!
//! - [`ffi`]: the safe layer over CPython, the only unsafe code of the crate.
//! - [`registry`]: what this process has joined; shared by its interpreters. [`recording`]: a trace of what it commits there.
//! - [`interpreter`]: what one interpreter has: types, exceptions, open spaces, transactions under way.
//! - [`space`], [`member`], [`transaction`]: who runs operations, alone or as part of a body. [`body`], [`decorate`],
//!   [`alternatives`], [`current`], [`hooks`]: what may be one, and what can be said in it.
//! - [`key`], [`plan`], [`fetch`]: values on their way in and out. [`equal`]: comparing them in the space. [`holding`], [`exports`]: what keeps objects that
//!   Python code, or a pickle, can name.
//! - [`dict`], [`list`], [`queue`], [`iterate`]: the proxies. [`record`]: the Python side of a recording.
//!
//! Two rules keep Python out of the engine:
//! 1. *Convert, operate, convert.* What comes from Python is made a [`plan`] or a key first; the engine runs; what it gave
//!    is made Python objects after. In between no Python code runs but signal handlers in a sleep, and those meet no
//!    participant: it is taken out of its place while it works.
//! 2. A slot never holds a `RefCell` borrow across a call that may run Python code.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod ffi;

mod alternatives;
mod body;
mod current;
mod decorate;
mod dict;
mod dict_more;
mod equal;
mod errors;
mod exports;
mod fetch;
mod functions;
mod garbage;
mod holding;
mod hooks;
mod interpreter;
mod iterate;
mod key;
mod list;
mod list_more;
mod list_search;
mod member;
mod memory;
mod plan;
mod proxy;
mod queue;
mod record;
mod recording;
mod registry;
mod repair;
mod snapshot;
mod source;
mod space;
mod transaction;

/// The module. One definition for all interpreters, state in each.
pub static MODULE: ffi::module::Module<interpreter::Core> =
    ffi::module::Module::new(c"pso._core", c"The compiled part of pso.", functions::TABLE);
