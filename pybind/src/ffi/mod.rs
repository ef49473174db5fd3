//! The safe layer over CPython's C API: the only `unsafe` of this crate.
//!
//! What stands above it reads like PyO3 code, but nothing here is process-wide: PyO3's type objects, interned strings and
//! decref pool are statics, so it cannot be loaded into two interpreters of one process, and that is what pso is for.
//!
//! The rules by which this layer is sound:
//! 1. **One way in.** Whatever CPython calls is a trampoline of [`entry::enter`]: it catches panics, hands out the
//!    [`Python`] token, and turns a [`Raised`] into the NULL or -1 that the slot wants.
//! 2. **The token is the lock.** [`Python`], [`Any`] and [`Object`] are neither `Send` nor `Sync`, and the lock is given
//!    up in [`gil`] only, around code that knows no Python.
//! 3. **A reference is counted or borrowed.** [`Object`] owns one count. `&Any` borrows: from the caller of a slot, or
//!    from an [`Object`] that outlives it. What a container lends is made an [`Object`] before anything else runs.
//! 4. **Instances are shared.** `&Instance<T>` is all that anybody gets; a class keeps what changes in cells.
//! 5. **[`Raised`] means that an exception is set.** Only functions that set one, or saw a call fail, make it.
//! 6. **No statics hold objects.** Method tables are static and hold C strings and function pointers; everything else is
//!    found from the module's state, the type or the instance.
//! 7. **One way out.** Behind what stands in [`outward`] anybody's code may run, and the thread be ended in it.

pub mod call;
pub mod class;
pub mod entry;
pub mod error;
pub mod gc;
pub mod gil;
mod message;
pub mod method;
pub mod module;
pub mod natives;
pub mod object;
mod outward;
mod path;
pub mod slice;
pub mod slot;
pub mod weak;

pub use class::{Class, Instance, NoExtra, Own, Receiver, Type, Visitor, WeakExtra};
pub use error::{Kind, Raised};
pub use method::{Arguments, Method, Property};
pub use object::{Any, Object, Python};

/// The result of whatever may raise.
pub type Result<T, E = Raised> = std::result::Result<T, E>;
