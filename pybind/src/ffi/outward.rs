//! The functions of CPython behind which anybody's code may run: called, compared, iterated, finalized by a count that
//! falls or by a collection that an allocation sets off.
//!
//! They are CPython's own, but for the way out. A daemon's thread that asks for the lock of an interpreter that is being
//! finalized is ended there and then (up to 3.13, by `pthread_exit`), and its stack unwound through ours. Frames of Rust
//! with what they hold are not unwound by pieces: a thread that is ended in one of these stays there until the process
//! ends. So nothing else of this layer calls what may run Python code, but the import of the module (its types are made then) and
//! `gil`, which has its own way.

use std::ffi::{c_char, c_double, c_int, c_ulonglong};

use pyo3_ffi as c;

use super::gil;

type Pointer = *mut c::PyObject;

macro_rules! outward {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {$(
        /// CPython's function of this name.
        ///
        /// # Safety
        /// As CPython documents it; the calling thread holds the lock.
        #[allow(non_snake_case)]
        #[inline]
        pub(super) unsafe fn $name($($argument: $kind),*) $(-> $result)? {
            unsafe extern "C-unwind" {
                fn $name($($argument: $kind),*) $(-> $result)?;
            }
            // SAFETY: the caller's promise.
            run(|| unsafe { $name($($argument),*) })
        }
    )*};
}

/// Runs what may be ended in the middle.
#[inline]
fn run<T>(call: impl FnOnce() -> T) -> T {
    let ended = gil::Ended;
    let result = call();
    std::mem::forget(ended);
    result
}

outward! {
    fn PyObject_Vectorcall(function: Pointer, args: *const Pointer, count: usize, names: Pointer) -> Pointer;
    fn PyObject_VectorcallDict(function: Pointer, args: *const Pointer, count: usize, named: Pointer) -> Pointer;
    fn PyObject_GetAttrString(object: Pointer, name: *const c_char) -> Pointer;
    fn PyObject_RichCompare(left: Pointer, right: Pointer, operation: c_int) -> Pointer;
    fn PyObject_RichCompareBool(left: Pointer, right: Pointer, operation: c_int) -> c_int;
    fn PyObject_IsTrue(object: Pointer) -> c_int;
    fn PyObject_Hash(object: Pointer) -> c::Py_hash_t;
    fn PyObject_Repr(object: Pointer) -> Pointer;
    fn PyObject_GetIter(object: Pointer) -> Pointer;
    fn PyObject_IsInstance(object: Pointer, class: Pointer) -> c_int;
    fn PyObject_ClearWeakRefs(object: Pointer);
    fn PyIter_Next(iterator: Pointer) -> Pointer;
    fn PyImport_ImportModule(name: *const c_char) -> Pointer;
    fn PyNumber_AsSsize_t(object: Pointer, overflow: Pointer) -> c::Py_ssize_t;
    fn PyNumber_Index(object: Pointer) -> Pointer;
    // The system's encoding may be one that is written in Python.
    fn PyUnicode_EncodeFSDefault(text: Pointer) -> Pointer;
    fn PyUnicode_DecodeFSDefaultAndSize(bytes: *const c_char, length: c::Py_ssize_t) -> Pointer;
    fn PyLong_AsUnsignedLongLong(object: Pointer) -> c_ulonglong;
    fn PyFloat_AsDouble(object: Pointer) -> c_double;
    fn PySlice_Unpack(
        slice: Pointer,
        start: *mut c::Py_ssize_t,
        stop: *mut c::Py_ssize_t,
        step: *mut c::Py_ssize_t
    ) -> c_int;
    fn PyDict_SetItem(dict: Pointer, key: Pointer, value: Pointer) -> c_int;
    fn PyErr_SetObject(class: Pointer, value: Pointer);
    fn PyErr_Restore(class: Pointer, value: Pointer, trace: Pointer);
    fn PyErr_NormalizeException(class: *mut Pointer, value: *mut Pointer, trace: *mut Pointer);
    fn PyException_SetTraceback(exception: Pointer, trace: Pointer) -> c_int;
    fn PyException_SetContext(exception: Pointer, context: Pointer);
    fn PyErr_Clear();
    fn PyErr_WriteUnraisable(whose: Pointer);
    fn PyErr_CheckSignals() -> c_int;
    // Up to 3.11 a collection runs in the allocation that it follows from.
    fn PyType_GenericAlloc(class: *mut c::PyTypeObject, count: c::Py_ssize_t) -> Pointer;
    fn PyTuple_New(length: c::Py_ssize_t) -> Pointer;
    fn PyList_New(length: c::Py_ssize_t) -> Pointer;
    fn PyDict_New() -> Pointer;
    fn PyMethod_New(function: Pointer, instance: Pointer) -> Pointer;
    fn Py_GenericAlias(origin: Pointer, arguments: Pointer) -> Pointer;
    // Their exceptions are such allocations.
    fn PyType_GetModuleByDef(class: *mut c::PyTypeObject, definition: *mut c::PyModuleDef) -> Pointer;
    fn PyUnicode_AsUTF8AndSize(text: Pointer, length: *mut c::Py_ssize_t) -> *const c_char;
    fn PyLong_AsSsize_t(int: Pointer) -> c::Py_ssize_t;
    fn Py_EnterRecursiveCall(place: *const c_char) -> c_int;
}

/// Calls the slot of a type for an operator between two objects.
///
/// # Safety
/// The slot is that of the type of one of them, both are live, and the calling thread holds the lock.
pub(super) unsafe fn binary(slot: c::binaryfunc, left: Pointer, right: Pointer) -> Pointer {
    // SAFETY: the same function, that may be unwound.
    let slot: unsafe extern "C-unwind" fn(Pointer, Pointer) -> Pointer = unsafe { std::mem::transmute(slot) };
    // SAFETY: the caller's promise.
    run(|| unsafe { slot(left, right) })
}

/// Gives a count back.
///
/// # Safety
/// The count is ours, and the calling thread holds the lock.
#[inline]
pub(super) unsafe fn release(object: Pointer) {
    unsafe extern "C-unwind" {
        fn Py_DecRef(object: Pointer);
    }
    // SAFETY: the caller's promise. Only the last count ends the object.
    unsafe {
        if c::Py_REFCNT(object) == 1 {
            run(|| Py_DecRef(object));
        } else {
            c::Py_DECREF(object);
        }
    }
}
