//! The module: multi-phase initialisation, and state that belongs to the module object, one per interpreter.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use pyo3_ffi as c;

use super::class::Receiver;
use super::entry::enter;
use super::method::{Method, OfModule};
use super::{Any, Kind, Python, Result, Visitor, outward};

/// What one interpreter keeps in the module.
pub trait State: Sized + 'static {
    /// Makes it, and fills the module.
    fn create(py: Python<'_>, module: &Any) -> Result<Self>;
    /// Shows every reference.
    fn traverse(&self, visitor: &Visitor);
    /// Drops references that a cycle may go through.
    fn clear(&self);
}

/// Slot number and value that say: every interpreter may load this, with a lock of its own. Known since 3.12.
const MULTIPLE_INTERPRETERS: c_int = 3;
const PER_INTERPRETER_LOCK: *mut c_void = std::ptr::without_provenance_mut(2);
const VERSION_3_12: std::ffi::c_ulong = 0x030c_0000;
const NO_SLOT: c::PyModuleDef_Slot = c::PyModuleDef_Slot { slot: 0, value: std::ptr::null_mut() };

/// The definition of a module, the same for all interpreters. CPython numbers it at its first use and never changes it after.
pub struct Module<S: State> {
    definition: UnsafeCell<c::PyModuleDef>,
    slots: UnsafeCell<[c::PyModuleDef_Slot; 3]>,
    filled: Once,
    _state: std::marker::PhantomData<fn(S)>,
}

// SAFETY: we change the definition once, before CPython has seen it (`initialize`); CPython does so under a lock of the
// runtime.
unsafe impl<S: State> Sync for Module<S> {}

impl<S: State> Module<S> {
    /// Describes the module. `methods` ends with [`Method::END`].
    pub const fn new(name: &'static CStr, doc: &'static CStr, methods: &'static [Method<OfModule>]) -> Self {
        Self {
            definition: UnsafeCell::new(c::PyModuleDef {
                m_base: c::PyModuleDef_HEAD_INIT,
                m_name: name.as_ptr(),
                m_doc: doc.as_ptr(),
                m_size: size_of::<*mut S>() as c::Py_ssize_t,
                m_methods: methods.as_ptr() as *mut c::PyMethodDef,
                m_slots: std::ptr::null_mut(),
                m_traverse: Some(traverse::<S>),
                m_clear: Some(clear::<S>),
                m_free: Some(free::<S>),
            }),
            slots: UnsafeCell::new([NO_SLOT, NO_SLOT, NO_SLOT]),
            filled: Once::new(),
            _state: std::marker::PhantomData,
        }
    }
    /// The body of `PyInit_...`.
    pub fn initialize(&'static self) -> *mut c::PyObject {
        let definition = self.definition.get();
        // SAFETY: once, and everybody else waits for it. The version is a constant of the runtime.
        self.filled.call_once(|| unsafe {
            let slots = self.slots.get();
            (*slots)[0] = c::PyModuleDef_Slot { slot: c::Py_mod_exec, value: execute::<S> as *mut c_void };
            if c::Py_Version >= VERSION_3_12 {
                (*slots)[1] = c::PyModuleDef_Slot { slot: MULTIPLE_INTERPRETERS, value: PER_INTERPRETER_LOCK };
            }
            (*definition).m_slots = slots.cast();
        });
        // SAFETY: a complete definition that lives for ever.
        unsafe { c::PyModuleDef_Init(definition) }
    }
    /// The state of a module made from this definition.
    pub fn state<'a>(&'static self, py: Python<'_>, module: &'a Any) -> Result<&'a S> {
        // SAFETY: a live object; that it is a module of this definition is looked at before its state is.
        let state = unsafe {
            if c::PyModule_Check(module.as_ptr()) == 0 || c::PyModule_GetDef(module.as_ptr()) != self.definition.get() {
                return Err(Kind::System.raise(py, "not a module of pso"));
            }
            state_of::<S>(module.as_ptr())
        };
        state.ok_or_else(|| Kind::System.raise(py, "the module pso._core is not initialised"))
    }
    /// The state behind an object, if it is of a class of this module.
    pub fn state_behind<'a>(&'static self, py: Python<'_>, object: &'a Any) -> Option<&'a S> {
        match self.state_of_class(py, &Receiver::new(object.class())) {
            Ok(state) => Some(state),
            Err(raised) => {
                raised.clear(py);
                None
            }
        }
    }
    /// The state behind a class of this module.
    pub fn state_of_class<'a>(&'static self, py: Python<'_>, class: &Receiver<'a>) -> Result<&'a S> {
        // SAFETY: a live type; the module is found along its bases or an exception is set. The type keeps it alive.
        let module = unsafe {
            let module = outward::PyType_GetModuleByDef(class.as_any().as_ptr().cast(), self.definition.get());
            Any::from_nullable::<'a>(module)
        };
        match module {
            Some(module) => self.state(py, module),
            None => Err(super::error::taken(py).unwrap_or_else(|| Kind::System.raise(py, "not a class of pso"))),
        }
    }
}

/// # Safety
/// `module` is a live module of a definition whose state is a pointer to S.
unsafe fn state_of<'a, S>(module: *mut c::PyObject) -> Option<&'a S> {
    // SAFETY: the state is zeroed memory for one pointer, set once by `execute` and freed with the module.
    unsafe {
        let place = c::PyModule_GetState(module).cast::<*mut S>();
        if place.is_null() { None } else { (*place).as_ref() }
    }
}

unsafe extern "C" fn execute<S: State>(module: *mut c::PyObject) -> c_int {
    // SAFETY: CPython calls this once for a new module of the definition, with the lock.
    enter(|py| unsafe {
        let state = Box::new(S::create(py, Any::from_ptr(module))?);
        c::PyModule_GetState(module).cast::<*mut S>().write(Box::into_raw(state));
        Ok(())
    })
}

unsafe extern "C" fn traverse<S: State>(module: *mut c::PyObject, visit: c::visitproc, argument: *mut c_void) -> c_int {
    let visitor = Visitor::new(visit, argument);
    // SAFETY: the collector calls this for live modules.
    if let Some(state) = unsafe { state_of::<S>(module) } {
        let _ = catch_unwind(AssertUnwindSafe(|| state.traverse(&visitor)));
    }
    visitor.result()
}

unsafe extern "C" fn clear<S: State>(module: *mut c::PyObject) -> c_int {
    // SAFETY: the collector calls this for live modules.
    if let Some(state) = unsafe { state_of::<S>(module) } {
        let _ = catch_unwind(AssertUnwindSafe(|| state.clear()));
    }
    0
}

unsafe extern "C" fn free<S: State>(module: *mut c_void) {
    // SAFETY: CPython calls this once, at the end of a module of the definition; the pointer is ours and is taken out.
    unsafe {
        let place = c::PyModule_GetState(module.cast()).cast::<*mut S>();
        if place.is_null() || (*place).is_null() {
            return;
        }
        let state = Box::from_raw(std::mem::replace(&mut *place, std::ptr::null_mut()));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
    }
}

/// What the import system looks for.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn PyInit__core() -> *mut c::PyObject {
    crate::MODULE.initialize()
}
