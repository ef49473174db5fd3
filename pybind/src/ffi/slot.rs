//! Slots of a type: safe functions in, C function pointers out.
//!
//! Each constructor takes a plain function; the trampoline that CPython calls is generic over it and finds it again by
//! its type (`entry::conjure`), so nothing is stored and nothing is looked up.

use std::cmp::Ordering;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

use pyo3_ffi as c;

use super::class::Receiver;
use super::entry::{conjure, enter};
use super::method::{Arguments, Method, Property};
use super::{Any, Class, Instance, Object, Python, Result};

/// One slot of the type of class `T`.
pub struct Slot<T: Class>(c::PyType_Slot, PhantomData<T>);

impl<T: Class> Slot<T> {
    fn new(slot: c_int, function: *mut c_void) -> Self {
        Self(c::PyType_Slot { slot, pfunc: function }, PhantomData)
    }
    pub(super) fn into_raw(self) -> c::PyType_Slot {
        self.0
    }
    /// The docstring.
    pub fn doc(text: &'static CStr) -> Self {
        Self::new(c::Py_tp_doc, text.as_ptr() as *mut c_void)
    }
    /// Methods, without an end mark: it is added here by whoever made the table ([`Method::END`]).
    pub fn methods(table: &'static [Method<T>]) -> Self {
        assert!(table.last().is_some_and(Method::is_end), "a method table ends with Method::END");
        Self::new(c::Py_tp_methods, table.as_ptr() as *mut c_void)
    }
    /// Properties, ended by [`Property::END`].
    pub fn properties(table: &'static [Property<T>]) -> Self {
        assert!(table.last().is_some_and(Property::is_end), "a property table ends with Property::END");
        Self::new(c::Py_tp_getset, table.as_ptr() as *mut c_void)
    }
    /// Not hashable.
    pub fn unhashable() -> Self {
        Self::new(c::Py_tp_hash, c::PyObject_HashNotImplemented as *mut c_void)
    }
    /// `iter(x)` is `x`.
    pub fn iterates_itself() -> Self {
        Self::new(c::Py_tp_iter, c::PyObject_SelfIter as *mut c_void)
    }
}

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident = $id:ident, $trampoline:ident, fn($($argument:ty),*) -> $result:ty;)*) => {
        impl<T: Class> Slot<T> {
            $($(#[$doc])*
            pub fn $name<F>(_function: F) -> Self
            where
                F: for<'a> Fn($($argument),*) -> Result<$result> + Copy + 'static,
            {
                Self::new(c::$id, $trampoline::<T, F> as *mut c_void)
            })*
        }
    };
}

slots! {
    /// `repr(x)`
    repr = Py_tp_repr, unary, fn(&'a Instance<T>, Python<'a>) -> Object;
    /// `iter(x)`
    iter = Py_tp_iter, unary, fn(&'a Instance<T>, Python<'a>) -> Object;
    /// `next(x)`
    next = Py_tp_iternext, next, fn(&'a Instance<T>, Python<'a>) -> Option<Object>;
    /// `hash(x)`
    hash = Py_tp_hash, length, fn(&'a Instance<T>, Python<'a>) -> usize;
    /// `len(x)` of a mapping
    mapping_len = Py_mp_length, length, fn(&'a Instance<T>, Python<'a>) -> usize;
    /// `len(x)` of a sequence
    sequence_len = Py_sq_length, length, fn(&'a Instance<T>, Python<'a>) -> usize;
    /// `x[key]`
    subscript = Py_mp_subscript, binary, fn(&'a Instance<T>, Python<'a>, &'a Any) -> Object;
    /// `x[key] = value` and, without a value, `del x[key]`
    assign_subscript = Py_mp_ass_subscript, assign, fn(&'a Instance<T>, Python<'a>, &'a Any, Option<&'a Any>) -> ();
    /// `key in x`
    contains = Py_sq_contains, contains, fn(&'a Instance<T>, Python<'a>, &'a Any) -> bool;
    /// The item at a place (negative ones were added to the length already)
    item = Py_sq_item, item, fn(&'a Instance<T>, Python<'a>, isize) -> Object;
    /// `x + y`
    concat = Py_sq_concat, binary, fn(&'a Instance<T>, Python<'a>, &'a Any) -> Object;
    /// `x += y` of a sequence
    inplace_concat = Py_sq_inplace_concat, binary, fn(&'a Instance<T>, Python<'a>, &'a Any) -> Object;
    /// `x * n`
    repeat = Py_sq_repeat, item, fn(&'a Instance<T>, Python<'a>, isize) -> Object;
    /// `x *= n`
    inplace_repeat = Py_sq_inplace_repeat, item, fn(&'a Instance<T>, Python<'a>, isize) -> Object;
    /// `x |= y`
    inplace_or = Py_nb_inplace_or, binary, fn(&'a Instance<T>, Python<'a>, &'a Any) -> Object;
    /// `x + y`, where either may be ours
    add = Py_nb_add, number, fn(&'a Any, Python<'a>, &'a Any) -> Object;
    /// `x | y`, where either may be ours
    or = Py_nb_or, number, fn(&'a Any, Python<'a>, &'a Any) -> Object;
    /// `x < y` and its like
    compare = Py_tp_richcompare, compare, fn(&'a Instance<T>, Python<'a>, &'a Any, Comparison) -> Object;
    /// `T(...)`
    constructor = Py_tp_new, construct, fn(Receiver<'a>, Python<'a>, Arguments<'a>) -> Object;
    /// `T.__get__(instance, owner)`
    describe = Py_tp_descr_get, describe, fn(&'a Instance<T>, Python<'a>, Option<&'a Any>) -> Object;
}

/// Which comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    fn from_raw(raw: c_int) -> Self {
        match raw {
            c::Py_LT => Self::Less,
            c::Py_LE => Self::LessOrEqual,
            c::Py_EQ => Self::Equal,
            c::Py_NE => Self::NotEqual,
            c::Py_GT => Self::Greater,
            _ => Self::GreaterOrEqual,
        }
    }
    /// Whether it asks for equality only.
    #[inline]
    pub fn is_by_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
    /// Whether it holds between what stands in this order.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
    pub(super) fn into_raw(self) -> c_int {
        match self {
            Self::Less => c::Py_LT,
            Self::LessOrEqual => c::Py_LE,
            Self::Equal => c::Py_EQ,
            Self::NotEqual => c::Py_NE,
            Self::Greater => c::Py_GT,
            Self::GreaterOrEqual => c::Py_GE,
        }
    }
}

type Pointer = *mut c::PyObject;

unsafe extern "C" fn unary<T: Class, F>(this: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Object> + Copy,
{
    // SAFETY: CPython calls a slot of T's type with an instance of it.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py))
}

unsafe extern "C" fn next<T: Class, F>(this: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Option<Object>> + Copy,
{
    // SAFETY: as in `unary`.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py))
}

unsafe extern "C" fn length<T: Class, F>(this: Pointer) -> c::Py_ssize_t
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<usize> + Copy,
{
    // SAFETY: as in `unary`.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py))
}

unsafe extern "C" fn binary<T: Class, F>(this: Pointer, other: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any) -> Result<Object> + Copy,
{
    // SAFETY: as in `unary`; the caller holds a reference to the argument.
    enter(|py| unsafe { conjure::<F>()(Instance::from_ptr(this), py, Any::from_ptr(other)) })
}

unsafe extern "C" fn contains<T: Class, F>(this: Pointer, other: Pointer) -> c_int
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any) -> Result<bool> + Copy,
{
    // SAFETY: as in `binary`.
    enter(|py| unsafe { conjure::<F>()(Instance::from_ptr(this), py, Any::from_ptr(other)) })
}

unsafe extern "C" fn assign<T: Class, F>(this: Pointer, key: Pointer, value: Pointer) -> c_int
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any, Option<&'a Any>) -> Result<()> + Copy,
{
    // SAFETY: as in `binary`; a NULL value means `del`.
    enter(|py| unsafe { conjure::<F>()(Instance::from_ptr(this), py, Any::from_ptr(key), Any::from_nullable(value)) })
}

unsafe extern "C" fn item<T: Class, F>(this: Pointer, index: c::Py_ssize_t) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, isize) -> Result<Object> + Copy,
{
    // SAFETY: as in `unary`.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py, index))
}

unsafe extern "C" fn number<T: Class, F>(left: Pointer, right: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Any, Python<'a>, &'a Any) -> Result<Object> + Copy,
{
    // SAFETY: the caller holds references to both.
    enter(|py| unsafe { conjure::<F>()(Any::from_ptr(left), py, Any::from_ptr(right)) })
}

unsafe extern "C" fn compare<T: Class, F>(this: Pointer, other: Pointer, operation: c_int) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any, Comparison) -> Result<Object> + Copy,
{
    // SAFETY: as in `binary`.
    enter(|py| unsafe {
        conjure::<F>()(Instance::from_ptr(this), py, Any::from_ptr(other), Comparison::from_raw(operation))
    })
}

unsafe extern "C" fn construct<T: Class, F>(class: *mut c::PyTypeObject, args: Pointer, keywords: Pointer) -> Pointer
where
    F: for<'a> Fn(Receiver<'a>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy,
{
    // SAFETY: CPython passes a live type, a tuple, and a dict or NULL, all alive during the call.
    enter(|py| unsafe {
        let arguments = Arguments::from_tuple(py, Any::from_ptr(args), Any::from_nullable(keywords))?;
        conjure::<F>()(Receiver::new(Any::from_ptr(class.cast())), py, arguments.borrow())
    })
}

unsafe extern "C" fn describe<T: Class, F>(this: Pointer, instance: Pointer, _owner: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, Option<&'a Any>) -> Result<Object> + Copy,
{
    // SAFETY: as in `binary`; NULL means that the class was asked.
    enter(|py| unsafe { conjure::<F>()(Instance::from_ptr(this), py, Any::from_nullable(instance)) })
}
