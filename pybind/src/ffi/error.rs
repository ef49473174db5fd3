//! Exceptions. [`Raised`] says that one is set in this thread; it carries nothing, as in the C API.

use std::marker::PhantomData;

use pyo3_ffi as c;

use super::{Any, Object, Python, Result, outward};

/// An exception is set and wants to be passed on.
#[derive(Debug)]
#[must_use]
pub struct Raised(PhantomData<*mut ()>);

/// The builtin exceptions that we raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `TypeError`
    Type,
    /// `ValueError`
    Value,
    /// `KeyError`
    Key,
    /// `IndexError`
    Index,
    /// `RuntimeError`
    Runtime,
    /// `SystemError`
    System,
    /// `MemoryError`
    Memory,
    /// `RecursionError`
    Recursion,
    /// `OSError`
    Os,
    /// `AttributeError`
    Attribute,
    /// `UnicodeError`
    Unicode,
    /// `ImportError`
    Import,
}

impl Kind {
    fn class(self) -> *mut c::PyObject {
        // SAFETY: reads statics that the interpreter set up before it loaded us. They are the same for all interpreters.
        unsafe {
            match self {
                Self::Type => c::PyExc_TypeError,
                Self::Value => c::PyExc_ValueError,
                Self::Key => c::PyExc_KeyError,
                Self::Index => c::PyExc_IndexError,
                Self::Runtime => c::PyExc_RuntimeError,
                Self::System => c::PyExc_SystemError,
                Self::Memory => c::PyExc_MemoryError,
                Self::Recursion => c::PyExc_RecursionError,
                Self::Os => c::PyExc_OSError,
                Self::Attribute => c::PyExc_AttributeError,
                Self::Unicode => c::PyExc_UnicodeError,
                Self::Import => c::PyExc_ImportError,
            }
        }
    }
    /// Raises it with a sentence.
    #[cold]
    pub fn raise(self, py: Python<'_>, message: impl AsRef<str>) -> Raised {
        // SAFETY: a live class.
        Raised::with(py, unsafe { Any::from_ptr(self.class()) }, message)
    }
    /// Raises it with an object as its argument (`KeyError(key)`).
    #[cold]
    pub fn raise_with(self, py: Python<'_>, argument: &Any) -> Raised {
        // A tuple is wrapped, or SetObject would take it for the argument list.
        match py.tuple(vec![argument.to_object()]) {
            Ok(wrapped) => {
                // SAFETY: live references.
                unsafe { outward::PyErr_SetObject(self.class(), wrapped.as_ptr()) };
                Raised::already()
            }
            Err(raised) => raised,
        }
    }
    /// Whether a class of exceptions is none of `Exception`s: Ctrl-C, an exit, the end of a generator.
    pub fn passes_all(_py: Python<'_>, class: &Any) -> bool {
        // SAFETY: two live classes, which are compared.
        unsafe { c::PyErr_GivenExceptionMatches(class.as_ptr(), c::PyExc_Exception) == 0 }
    }
    /// Whether the exception that is set is of this kind.
    pub fn is_set(self, _py: Python<'_>) -> bool {
        // SAFETY: a live class; an exception is set or the answer is no.
        unsafe { !c::PyErr_Occurred().is_null() && c::PyErr_ExceptionMatches(self.class()) != 0 }
    }
}

impl Raised {
    /// For a call that failed and set the exception itself.
    #[inline]
    pub(super) fn already() -> Self {
        Self(PhantomData)
    }
    /// Raises `class(message)`.
    #[cold]
    pub fn with(_py: Python<'_>, class: &Any, message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        // SAFETY: a live class; the text is copied. A failure to make it sets another exception, which will do.
        unsafe {
            let text = c::PyUnicode_FromStringAndSize(message.as_ptr().cast(), message.len() as c::Py_ssize_t);
            if !text.is_null() {
                outward::PyErr_SetObject(class.as_ptr(), text);
                outward::release(text);
            }
        }
        Self::already()
    }
    /// Raises an exception instance.
    #[cold]
    pub fn object(_py: Python<'_>, exception: &Any) -> Self {
        // SAFETY: live references; SetObject counts what it keeps.
        unsafe { outward::PyErr_SetObject(exception.class().as_ptr(), exception.as_ptr()) };
        Self::already()
    }
    /// Raises an exception that was raised before, as it was then.
    #[cold]
    pub fn again(_py: Python<'_>, exception: &Any) -> Self {
        // SAFETY: a live exception; Restore takes the three counts that it is given here.
        #[allow(deprecated, reason = "what replaces it came with Python 3.12; 3.11 has only this")]
        unsafe {
            let class = exception.class().to_object().into_ptr();
            let trace = c::PyException_GetTraceback(exception.as_ptr());
            outward::PyErr_Restore(class, exception.to_object().into_ptr(), trace);
        }
        Self::already()
    }
    /// Takes the exception away. `None`: there was none.
    pub fn take(self, py: Python<'_>) -> Option<Object> {
        let (mut class, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: out parameters of ours; the three counts are ours from Fetch on, and two of them given back here.
        #[allow(deprecated, reason = "what replaces it came with Python 3.12; 3.11 has only this")]
        unsafe {
            c::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut trace);
            outward::PyErr_NormalizeException(&raw mut class, &raw mut value, &raw mut trace);
            if !trace.is_null() {
                outward::PyException_SetTraceback(value, trace);
                outward::release(trace);
            }
            if !class.is_null() {
                outward::release(class);
            }
            if value.is_null() { None } else { Object::from_owned(py, value).ok() }
        }
    }
    /// Raises `other` in its place, which shows this one as what it came after.
    pub fn give_way_to(self, py: Python<'_>, other: &Any) -> Self {
        if let Some(before) = self.take(py).filter(|before| !before.is(other)) {
            // SAFETY: live exceptions, whose contexts are one or none; SetContext takes the count that it is given.
            unsafe {
                let known = c::PyException_GetContext(other.as_ptr());
                if known.is_null() {
                    outward::PyException_SetContext(other.as_ptr(), before.into_ptr());
                } else {
                    outward::release(known);
                }
            }
        }
        Self::again(py, other)
    }
    /// Whether the exception is an instance of `class`.
    pub fn matches(&self, _py: Python<'_>, class: &Any) -> bool {
        // SAFETY: an exception is set (rule 5), and the class is alive.
        unsafe { c::PyErr_ExceptionMatches(class.as_ptr()) != 0 }
    }
    /// Forgets the exception; but for a Ctrl-C, which comes again as soon as it can, to the main thread.
    pub fn put_off(self, py: Python<'_>) {
        // SAFETY: an exception is set (rule 5); the other one lives as long as Python does. To set off a signal is allowed at any time.
        unsafe {
            let is_interrupt = c::PyErr_ExceptionMatches(c::PyExc_KeyboardInterrupt) != 0;
            self.clear(py);
            if is_interrupt {
                c::PyErr_SetInterrupt();
            }
        }
    }
    /// Forgets the exception.
    pub fn clear(self, _py: Python<'_>) {
        // SAFETY: allowed at any time under the lock.
        unsafe { outward::PyErr_Clear() }
    }
    /// Reports the exception to `sys.unraisablehook`, where nobody could catch it.
    pub fn write_unraisable(self, _py: Python<'_>) {
        // SAFETY: an exception is set; no object is named.
        unsafe { outward::PyErr_WriteUnraisable(std::ptr::null_mut()) }
    }
    /// The same, naming whose it is.
    pub fn write_unraisable_of(self, _py: Python<'_>, whose: &Any) {
        // SAFETY: an exception is set; a live object.
        unsafe { outward::PyErr_WriteUnraisable(whose.as_ptr()) }
    }
    /// Takes the exception away, runs `body`, and sets it again. What `body` raised is reported and dropped.
    pub fn aside<T>(self, py: Python<'_>, body: impl FnOnce() -> T) -> (Self, T) {
        let (mut class, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: out parameters of ours; the three references go back in unchanged.
        #[allow(deprecated, reason = "what replaces it came with Python 3.12; 3.11 has only this")]
        unsafe {
            c::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut trace)
        };
        let result = body();
        if pending(py) {
            Self::already().write_unraisable(py);
        }
        // SAFETY: gives back the references that Fetch gave us.
        #[allow(deprecated, reason = "what replaces it came with Python 3.12; 3.11 has only this")]
        unsafe {
            outward::PyErr_Restore(class, value, trace)
        };
        (self, result)
    }
}

/// Whether an exception is set.
pub fn pending(_py: Python<'_>) -> bool {
    // SAFETY: allowed at any time under the lock.
    unsafe { !c::PyErr_Occurred().is_null() }
}

/// An exception that is known to be set, if one is.
pub fn taken(py: Python<'_>) -> Option<Raised> {
    pending(py).then(Raised::already)
}

/// Maps a C status (-1 with an exception set) to a result.
#[inline]
pub(super) fn check(_py: Python<'_>, status: std::ffi::c_int) -> Result<std::ffi::c_int> {
    if status < 0 { Err(Raised::already()) } else { Ok(status) }
}

/// Raises `class(*arguments)` for classes that take more than a sentence.
#[cold]
pub fn raise_call(py: Python<'_>, class: &Any, arguments: &[&Any]) -> Raised {
    let exception: Result<Object> = class.call(py, arguments);
    match exception {
        Ok(exception) => Raised::object(py, &exception),
        Err(raised) => raised,
    }
}
