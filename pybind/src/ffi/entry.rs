//! The one way in: every function that CPython calls runs inside [`enter`].

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3_ffi as c;

use super::{Kind, Object, Python, Raised, Result};

/// What a slot gives back, and how it says that an exception is set.
pub trait Return {
    /// The C type.
    type Raw: Copy;
    /// With an exception set.
    const FAILED: Self::Raw;
    /// Without.
    fn into_raw(self) -> Self::Raw;
}

impl Return for Object {
    type Raw = *mut c::PyObject;
    const FAILED: Self::Raw = std::ptr::null_mut();
    #[inline]
    fn into_raw(self) -> Self::Raw {
        self.into_ptr()
    }
}

/// The end of an iteration is NULL without an exception.
impl Return for Option<Object> {
    type Raw = *mut c::PyObject;
    const FAILED: Self::Raw = std::ptr::null_mut();
    #[inline]
    fn into_raw(self) -> Self::Raw {
        self.map_or(std::ptr::null_mut(), Object::into_ptr)
    }
}

impl Return for () {
    type Raw = c_int;
    const FAILED: Self::Raw = -1;
    #[inline]
    fn into_raw(self) -> Self::Raw {
        0
    }
}

impl Return for bool {
    type Raw = c_int;
    const FAILED: Self::Raw = -1;
    #[inline]
    fn into_raw(self) -> Self::Raw {
        c_int::from(self)
    }
}

/// A length.
impl Return for usize {
    type Raw = c::Py_ssize_t;
    const FAILED: Self::Raw = -1;
    #[inline]
    fn into_raw(self) -> Self::Raw {
        c::Py_ssize_t::try_from(self).unwrap_or(c::Py_ssize_t::MAX)
    }
}

/// Runs `body` for CPython, which holds the lock while it calls us. A panic becomes a `SystemError`.
#[inline]
pub(super) fn enter<R: Return>(body: impl FnOnce(Python<'_>) -> Result<R>) -> R::Raw {
    // SAFETY: only trampolines call this, and CPython calls those with the lock held.
    let py = unsafe { Python::assume() };
    // Unwind safety: what a panic leaves half done is a broken invariant either way, and is reported as one.
    match catch_unwind(AssertUnwindSafe(|| body(py))) {
        Ok(Ok(value)) => value.into_raw(),
        Ok(Err(_raised)) => R::FAILED,
        Err(payload) => {
            panicked(py, payload.as_ref());
            R::FAILED
        }
    }
}

#[cold]
fn panicked(py: Python<'_>, payload: &(dyn std::any::Any + Send)) {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let _raised: Raised = Kind::System.raise(py, format!("pso: a broken invariant, please report it: {text}"));
}

/// The value of a type that has only one. How trampolines find the function that they stand for.
#[inline]
pub(super) fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "a slot is a plain function, without captured state") };
    // SAFETY: F has no bytes, so any aligned address will do. It is a function item or a closure without captures, of which
    // somebody passed us a value.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}
