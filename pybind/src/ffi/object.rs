//! References to Python objects: borrowed (`&Any`), counted (`Object`), and the token that says that we may touch them.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use pyo3_ffi as c;

use super::{Raised, Result, outward};

/// Proof that this thread holds the interpreter's lock. Given out by trampolines only.
#[derive(Clone, Copy)]
pub struct Python<'py>(PhantomData<(&'py (), *mut ())>);

impl Python<'_> {
    /// The token, for code that CPython called.
    ///
    /// # Safety
    /// The thread holds the lock for as long as the token is used.
    #[inline]
    pub(super) unsafe fn assume() -> Self {
        Self(PhantomData)
    }
    /// `None`.
    #[inline]
    pub fn none(self) -> Object {
        // SAFETY: a static of the interpreter, counted by `from_borrowed`.
        unsafe { Object::from_borrowed(c::Py_None()) }
    }
    /// `NotImplemented`.
    #[inline]
    pub fn not_implemented(self) -> Object {
        // SAFETY: a static of the interpreter, counted by `from_borrowed`.
        unsafe { Object::from_borrowed(c::Py_NotImplemented()) }
    }
    /// `True` or `False`.
    #[inline]
    pub fn bool(self, value: bool) -> Object {
        // SAFETY: statics of the interpreter, counted by `from_borrowed`.
        unsafe { Object::from_borrowed(if value { c::Py_True() } else { c::Py_False() }) }
    }
    /// Imports a module. Runs Python code.
    pub fn import(self, name: &CStr) -> Result<Object> {
        // SAFETY: a C string; the result is a new reference or NULL with an exception set.
        unsafe { Object::from_owned(self, outward::PyImport_ImportModule(name.as_ptr())) }
    }
}

/// A Python object, borrowed: `&Any` is one pointer.
#[repr(transparent)]
pub struct Any(UnsafeCell<c::PyObject>);

impl Any {
    /// The pointer, for calls into CPython.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut c::PyObject {
        self.0.get()
    }
    /// Borrows what `pointer` names.
    ///
    /// # Safety
    /// `pointer` is not null and somebody keeps a count for `'a`.
    #[inline]
    pub(super) unsafe fn from_ptr<'a>(pointer: *mut c::PyObject) -> &'a Self {
        debug_assert!(!pointer.is_null());
        // SAFETY: the caller's promise; `Any` is transparent over `UnsafeCell<PyObject>`.
        unsafe { &*pointer.cast::<Self>() }
    }
    /// The same, for arguments that may be left out.
    ///
    /// # Safety
    /// If it is not null, somebody keeps a count for `'a`.
    #[inline]
    pub(super) unsafe fn from_nullable<'a>(pointer: *mut c::PyObject) -> Option<&'a Self> {
        // SAFETY: the caller's promise.
        (!pointer.is_null()).then(|| unsafe { Self::from_ptr(pointer) })
    }
    /// Counts it.
    #[inline]
    pub fn to_object(&self) -> Object {
        // SAFETY: alive, since we borrow it.
        unsafe { Object::from_borrowed(self.as_ptr()) }
    }
    /// `is`.
    #[inline]
    pub fn is(&self, other: &Any) -> bool {
        std::ptr::eq(self, other)
    }
    /// `is None`.
    #[inline]
    pub fn is_none(&self) -> bool {
        // SAFETY: compares addresses only.
        unsafe { self.as_ptr() == c::Py_None() }
    }
    /// Its type.
    #[inline]
    pub fn class(&self) -> &Any {
        // SAFETY: an object keeps its type alive.
        unsafe { Any::from_ptr(c::Py_TYPE(self.as_ptr()).cast()) }
    }
    /// Where it is: `id(x)`.
    #[inline]
    pub fn address(&self) -> usize {
        self.as_ptr() as usize
    }
    /// `type(x).__name__`, as error messages of builtins write it.
    pub fn class_name(&self) -> String {
        // SAFETY: the type is alive and its name is a C string that lives as long.
        let full = unsafe { CStr::from_ptr((*c::Py_TYPE(self.as_ptr())).tp_name) }.to_string_lossy().into_owned();
        match full.rsplit_once('.') {
            Some((_, name)) => name.to_owned(),
            None => full,
        }
    }
}

/// A Python object with a count of ours.
pub struct Object(NonNull<c::PyObject>);

impl Object {
    /// Takes over a new reference; NULL means that an exception is set.
    ///
    /// # Safety
    /// `pointer` is a reference that is ours to give back, or NULL with an exception set.
    #[inline]
    pub(super) unsafe fn from_owned(_py: Python<'_>, pointer: *mut c::PyObject) -> Result<Self> {
        match NonNull::new(pointer) {
            Some(pointer) => Ok(Self(pointer)),
            None => Err(Raised::already()),
        }
    }
    /// Counts a borrowed reference.
    ///
    /// # Safety
    /// `pointer` is not null and alive.
    #[inline]
    pub(super) unsafe fn from_borrowed(pointer: *mut c::PyObject) -> Self {
        // SAFETY: alive and not null, by the caller's promise.
        unsafe {
            c::Py_INCREF(pointer);
            Self(NonNull::new_unchecked(pointer))
        }
    }
    /// Gives the count to whoever called us.
    #[inline]
    pub(super) fn into_ptr(self) -> *mut c::PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }
}

impl Deref for Object {
    type Target = Any;
    #[inline]
    fn deref(&self) -> &Any {
        // SAFETY: our count keeps it alive while we are borrowed.
        unsafe { Any::from_ptr(self.0.as_ptr()) }
    }
}

impl Clone for Object {
    #[inline]
    fn clone(&self) -> Self {
        self.to_object()
    }
}

impl Drop for Object {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: our count; `Object` is not `Send`, so this thread holds the lock.
        unsafe { outward::release(self.0.as_ptr()) }
    }
}
