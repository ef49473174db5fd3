//! Classes of ours: heap types made from specs, their instances, and how those end.
//!
//! An instance is the object header, the extra fields that CPython looks for at offsets (weak references, a vectorcall,
//! a `__dict__`), and a Rust value. Everybody shares it as `&Instance<T>`. Classes are final: an object is of class `T`
//! if and only if its type is the very type object.
//!
//! The end: [`Class::retire`] while the object can still be looked at (it leaves the identity table), weak references
//! cleared, the value dropped, the memory freed through the type's `tp_free`, and last the count on the type.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3_ffi as c;

use super::slot::Slot;
use super::{Any, Object, Python, Result, outward};

/// A Rust type that is the value of a Python class.
pub trait Class: Sized + 'static {
    /// What CPython finds at offsets.
    type Extra: Extra;
    /// Whether instances hold references that a cycle may go through. Then `traverse` and `clear` matter.
    const COLLECTED: bool = false;
    /// Whether `finalize` does anything.
    const FINALIZED: bool = false;
    /// Called before the instance goes, and before the collector takes anything apart that it holds: here Python code may run. Also more than once.
    fn finalize(&self, _py: Python<'_>) {}
    /// Called once, before anything of the instance goes.
    fn retire(&self, _this: &Any) {}
    /// Shows every reference that it holds.
    fn traverse(&self, _visitor: &Visitor) {}
    /// Drops every reference that a cycle may go through.
    fn clear(&self) {}
}

/// Fields of an instance that CPython reads by itself.
pub trait Extra: Default + 'static {
    /// Offset of the list of weak references.
    const WEAK: Option<usize> = None;
    /// Offset of `__dict__`.
    const DICT: Option<usize> = None;
    /// Offset of the vectorcall.
    const CALL: Option<usize> = None;
}

/// None.
#[derive(Default)]
pub struct NoExtra;
impl Extra for NoExtra {}

/// Weak references.
#[repr(C)]
pub struct WeakExtra {
    weak: UnsafeCell<*mut c::PyObject>,
}
impl Default for WeakExtra {
    fn default() -> Self {
        Self { weak: UnsafeCell::new(std::ptr::null_mut()) }
    }
}
impl Extra for WeakExtra {
    const WEAK: Option<usize> = Some(offset_of!(Self, weak));
}

/// Weak references, a `__dict__` and a vectorcall: what a function has.
#[repr(C)]
pub struct FunctionExtra {
    weak: UnsafeCell<*mut c::PyObject>,
    dict: UnsafeCell<*mut c::PyObject>,
    call: Option<c::vectorcallfunc>,
}
impl Default for FunctionExtra {
    fn default() -> Self {
        Self { weak: UnsafeCell::new(std::ptr::null_mut()), dict: UnsafeCell::new(std::ptr::null_mut()), call: None }
    }
}
impl Extra for FunctionExtra {
    const WEAK: Option<usize> = Some(offset_of!(Self, weak));
    const DICT: Option<usize> = Some(offset_of!(Self, dict));
    const CALL: Option<usize> = Some(offset_of!(Self, call));
}
impl FunctionExtra {
    /// Calls go to `F`.
    pub fn calling<T, F>(_function: F) -> Self
    where
        T: Class<Extra = Self>,
        F: for<'a> Fn(&'a Instance<T>, Python<'a>, super::call::Call<'a>) -> Result<Object> + Copy + 'static,
    {
        Self { call: Some(super::call::vectorcall::<T, F>), ..Self::default() }
    }
}

/// An instance of class `T`.
#[repr(C)]
pub struct Instance<T: Class> {
    head: UnsafeCell<c::PyObject>,
    extra: T::Extra,
    value: T,
}

impl<T: Class> Instance<T> {
    /// The object.
    #[inline]
    pub fn as_any(&self) -> &Any {
        // SAFETY: an instance starts with the object header and is alive while it is borrowed.
        unsafe { Any::from_ptr(self.head.get()) }
    }
    /// A counted reference.
    #[inline]
    pub fn own(&self) -> Own<T> {
        Own(self.as_any().to_object(), PhantomData)
    }
    /// The instance behind `pointer`.
    ///
    /// # Safety
    /// `pointer` is a live object whose type is the one made for `T`.
    #[inline]
    pub(super) unsafe fn from_ptr<'a>(pointer: *mut c::PyObject) -> &'a Self {
        // SAFETY: the caller's promise; the value was written when the object was made (`Type::create_with`).
        unsafe { &*pointer.cast::<Self>() }
    }
}

impl<T: Class> Deref for Instance<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A counted reference to an instance of class `T`.
pub struct Own<T: Class>(Object, PhantomData<T>);

impl<T: Class> Own<T> {
    /// The object, with its count.
    #[inline]
    pub fn into_object(self) -> Object {
        self.0
    }
    /// The object.
    #[inline]
    pub fn as_any(&self) -> &Any {
        &self.0
    }
}
impl<T: Class> Clone for Own<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}
impl<T: Class> Deref for Own<T> {
    type Target = Instance<T>;
    #[inline]
    fn deref(&self) -> &Instance<T> {
        // SAFETY: made from an instance of T only, and our count keeps it alive.
        unsafe { Instance::from_ptr(self.0.as_ptr()) }
    }
}

/// The type object of class `T` in one interpreter.
pub struct Type<T: Class>(Object, PhantomData<T>);

impl<T: Class> Type<T> {
    /// Makes the type. `name`: with the module, dotted. `flags`: beyond the default ones.
    pub fn new(py: Python<'_>, module: &Any, name: &CStr, flags: u64, slots: Vec<Slot<T>>) -> Result<Self> {
        let mut members = Vec::new();
        let base = offset_of!(Instance<T>, extra);
        let offsets = [
            (c"__weaklistoffset__", T::Extra::WEAK),
            (c"__dictoffset__", T::Extra::DICT),
            (c"__vectorcalloffset__", T::Extra::CALL),
        ];
        for (name, offset) in offsets {
            let Some(offset) = offset else { continue };
            members.push(c::PyMemberDef {
                name: name.as_ptr(),
                type_code: c::Py_T_PYSSIZET,
                offset: (base + offset) as c::Py_ssize_t,
                flags: c::Py_READONLY,
                doc: std::ptr::null(),
            });
        }
        members.push(c::PyMemberDef::default());
        let mut raw: Vec<c::PyType_Slot> = slots.into_iter().map(Slot::into_raw).collect();
        raw.push(c::PyType_Slot { slot: c::Py_tp_members, pfunc: members.as_mut_ptr().cast() });
        raw.push(c::PyType_Slot { slot: c::Py_tp_dealloc, pfunc: deallocate::<T> as *mut c_void });
        let mut flags = flags as c_uint | c::Py_TPFLAGS_DEFAULT as c_uint | c::Py_TPFLAGS_IMMUTABLETYPE as c_uint;
        if T::COLLECTED {
            flags |= c::Py_TPFLAGS_HAVE_GC as c_uint;
            raw.push(c::PyType_Slot { slot: c::Py_tp_traverse, pfunc: traverse::<T> as *mut c_void });
            raw.push(c::PyType_Slot { slot: c::Py_tp_clear, pfunc: clear::<T> as *mut c_void });
        }
        if T::FINALIZED {
            raw.push(c::PyType_Slot { slot: c::Py_tp_finalize, pfunc: finalize::<T> as *mut c_void });
        }
        if T::Extra::CALL.is_some() {
            flags |= c::Py_TPFLAGS_HAVE_VECTORCALL as c_uint;
            raw.push(c::PyType_Slot { slot: c::Py_tp_call, pfunc: c::PyVectorcall_Call as *mut c_void });
        }
        raw.push(c::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() });
        let mut spec = c::PyType_Spec {
            name: name.as_ptr(),
            basicsize: size_of::<Instance<T>>() as c_int,
            itemsize: 0,
            flags,
            slots: raw.as_mut_ptr(),
        };
        // SAFETY: the spec and its slots live through the call, which copies the name, the members and the docstring;
        // method and property tables are static (`Slot::methods`). Each slot's function is a trampoline of its type.
        unsafe {
            let made = c::PyType_FromModuleAndSpec(module.as_ptr(), &raw mut spec, std::ptr::null_mut());
            Ok(Self(Object::from_owned(py, made)?, PhantomData))
        }
    }
    /// The type object.
    #[inline]
    pub fn as_any(&self) -> &Any {
        &self.0
    }
    /// A new instance.
    #[inline]
    pub fn create(&self, py: Python<'_>, value: T) -> Result<Own<T>> {
        self.create_with(py, T::Extra::default(), value)
    }
    /// A new instance with extra fields that are not the default ones.
    pub fn create_with(&self, py: Python<'_>, extra: T::Extra, value: T) -> Result<Own<T>> {
        let class = self.0.as_ptr().cast::<c::PyTypeObject>();
        // SAFETY: a live type whose instances have room for `Instance<T>` (`basicsize`). Nothing looks at the fields
        // before they are written: no Python code runs between the two.
        unsafe {
            let made = Object::from_owned(py, outward::PyType_GenericAlloc(class, 0))?;
            let instance = made.as_ptr().cast::<Instance<T>>();
            (&raw mut (*instance).extra).write(extra);
            (&raw mut (*instance).value).write(value);
            Ok(Own(made, PhantomData))
        }
    }
    /// Whether `object` is an instance.
    #[inline]
    pub fn is_instance(&self, object: &Any) -> bool {
        object.class().is(&self.0)
    }
    /// The instance, if it is one.
    #[inline]
    pub fn cast<'a>(&self, object: &'a Any) -> Option<&'a Instance<T>> {
        // SAFETY: the type is the very one made for T; classes of ours cannot be subclassed.
        self.is_instance(object).then(|| unsafe { Instance::from_ptr(object.as_ptr()) })
    }
    /// The counted instance, if it is one.
    #[inline]
    pub fn cast_object(&self, object: Object) -> Option<Own<T>> {
        self.is_instance(&object).then(|| Own(object, PhantomData))
    }
}

/// Shows references to the collector.
pub struct Visitor {
    visit: c::visitproc,
    argument: *mut c_void,
    result: std::cell::Cell<c_int>,
}

impl Visitor {
    /// For module state, which CPython traverses through the module.
    pub(super) fn new(visit: c::visitproc, argument: *mut c_void) -> Self {
        Self { visit, argument, result: std::cell::Cell::new(0) }
    }
    pub(super) fn result(&self) -> c_int {
        self.result.get()
    }
    /// Shows one reference.
    pub fn object(&self, object: &Any) {
        if self.result.get() == 0 {
            // SAFETY: CPython's own function with its own argument, on a live object.
            self.result.set(unsafe { (self.visit)(object.as_ptr(), self.argument) });
        }
    }
    /// Shows one reference.
    pub fn own<T: Class>(&self, object: &Own<T>) {
        self.object(object.as_any());
    }
    /// Shows the reference that a class of ours holds.
    pub fn class<T: Class>(&self, class: &Type<T>) {
        self.object(class.as_any());
    }
}

unsafe extern "C" fn deallocate<T: Class>(this: *mut c::PyObject) {
    // SAFETY: CPython calls this once, with the lock, for an instance whose count is 0; the value was written when it
    // was made and is dropped once, here. `tp_free` matches the allocation, and an instance of a heap type holds a count on it.
    unsafe {
        let class = c::Py_TYPE(this);
        if T::COLLECTED {
            c::PyObject_GC_UnTrack(this.cast());
        }
        let instance = this.cast::<Instance<T>>();
        if T::FINALIZED {
            finalize::<T>(this);
        }
        // A panic must not leave through CPython. Whatever comes of the first part, nobody finds the instance after the second; and where that
        // has not come to its end, somebody may: then the memory stays.
        let _ = catch_unwind(AssertUnwindSafe(|| (*instance).value.retire(Any::from_ptr(this))));
        let gone = catch_unwind(AssertUnwindSafe(|| {
            if let Some(offset) = T::Extra::WEAK {
                let list = (&raw mut (*instance).extra).cast::<u8>().add(offset).cast::<*mut c::PyObject>();
                if !(*list).is_null() {
                    outward::PyObject_ClearWeakRefs(this);
                }
            }
            if let Some(offset) = T::Extra::DICT {
                let dict = (&raw mut (*instance).extra).cast::<u8>().add(offset).cast::<*mut c::PyObject>();
                release_dict(&mut *dict);
            }
            std::ptr::drop_in_place(&raw mut (*instance).value);
        }));
        if gone.is_err() {
            return;
        }
        if let Some(free) = (*class).tp_free {
            free(this.cast());
        }
        outward::release(class.cast());
    }
}

/// # Safety
/// The count of `dict`, if it is one, is the instance's; the lock is held.
unsafe fn release_dict(dict: &mut *mut c::PyObject) {
    let dict = std::mem::replace(dict, std::ptr::null_mut());
    if !dict.is_null() {
        // SAFETY: the caller's promise.
        unsafe { outward::release(dict) };
    }
}

unsafe extern "C" fn traverse<T: Class>(this: *mut c::PyObject, visit: c::visitproc, argument: *mut c_void) -> c_int {
    let visitor = Visitor::new(visit, argument);
    // SAFETY: the collector calls this for live instances. It may come between allocation and the first write only if
    // the allocator ran it, and that happens before the object is tracked.
    unsafe {
        visitor.object(Any::from_ptr(c::Py_TYPE(this).cast()));
        let instance = this.cast::<Instance<T>>();
        if let Some(offset) = T::Extra::DICT {
            let dict = (&raw mut (*instance).extra).cast::<u8>().add(offset).cast::<*mut c::PyObject>();
            if let Some(dict) = Any::from_nullable(*dict) {
                visitor.object(dict);
            }
        }
        let _ = catch_unwind(AssertUnwindSafe(|| (*instance).value.traverse(&visitor)));
    }
    visitor.result()
}

unsafe extern "C" fn finalize<T: Class>(this: *mut c::PyObject) {
    // SAFETY: the collector calls this for live instances, and `deallocate` for one that nobody else has any more; both hold the lock.
    let _ =
        catch_unwind(AssertUnwindSafe(|| unsafe { Instance::<T>::from_ptr(this).value.finalize(Python::assume()) }));
}

unsafe extern "C" fn clear<T: Class>(this: *mut c::PyObject) -> c_int {
    // SAFETY: the collector calls this for live instances.
    unsafe {
        let instance = this.cast::<Instance<T>>();
        if let Some(offset) = T::Extra::DICT {
            let dict = (&raw mut (*instance).extra).cast::<u8>().add(offset).cast::<*mut c::PyObject>();
            release_dict(&mut *dict);
        }
        let _ = catch_unwind(AssertUnwindSafe(|| (*instance).value.clear()));
    }
    0
}

/// The class that a `tp_new` or a class method was called on.
pub struct Receiver<'a>(&'a Any);

impl<'a> Receiver<'a> {
    /// Wraps the class that CPython passed.
    pub(super) fn new(class: &'a Any) -> Self {
        Self(class)
    }
    /// The type object.
    pub fn as_any(&self) -> &'a Any {
        self.0
    }
}

/// Flag: `match` sees a sequence.
pub const SEQUENCE: u64 = c::Py_TPFLAGS_SEQUENCE;
/// Flag: `match` sees a mapping.
pub const MAPPING: u64 = c::Py_TPFLAGS_MAPPING;
/// Flag: `object.method()` may pass the object instead of binding.
pub const METHOD_DESCRIPTOR: u64 = c::Py_TPFLAGS_METHOD_DESCRIPTOR;
/// Flag: calling the class is refused; instances come from elsewhere.
pub const NOT_CONSTRUCTIBLE: u64 = c::Py_TPFLAGS_DISALLOW_INSTANTIATION;
