//! Calling Python, and being called by a vectorcall.

use std::ffi::CStr;

use pyo3_ffi as c;

use super::entry::{conjure, enter};
use super::error::check;
use super::natives::{Native, room_for};
use super::slot::Comparison;
use super::{Any, Class, Instance, Object, Python, Result, outward};

/// A vectorcall on its way through: passed on as it came, without a look at the arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    args: *const *mut c::PyObject,
    count: usize,
    names: *mut c::PyObject,
    _arguments: std::marker::PhantomData<&'a Any>,
}

impl<'a> Call<'a> {
    /// The positional arguments.
    #[inline]
    pub fn positional(&self) -> &'a [&'a Any] {
        // SAFETY: the flag bit masked away, this is the number of live references in the vector; none means no vector.
        unsafe {
            let count = c::PyVectorcall_NARGS(self.count) as usize;
            if count == 0 { &[] } else { std::slice::from_raw_parts(self.args.cast::<&Any>(), count) }
        }
    }
    /// The arguments with names.
    pub fn named(&self) -> &'a [&'a Any] {
        let positional = self.positional().len();
        // SAFETY: behind the positional arguments stands one for each name.
        unsafe {
            match Any::from_nullable::<'a>(self.names) {
                None => &[],
                Some(names) => {
                    let count = c::PyTuple_GET_SIZE(names.as_ptr()) as usize;
                    std::slice::from_raw_parts(self.args.add(positional).cast::<&Any>(), count)
                }
            }
        }
    }
    /// Calls `function` with the same arguments.
    #[inline]
    pub fn pass_to(&self, py: Python<'_>, function: &Any) -> Result<Object> {
        // SAFETY: the vector, the count and the names are as CPython gave them to us, and still alive.
        unsafe {
            Object::from_owned(py, outward::PyObject_Vectorcall(function.as_ptr(), self.args, self.count, self.names))
        }
    }
}

pub(super) unsafe extern "C" fn vectorcall<T: Class, F>(
    this: *mut c::PyObject,
    args: *const *mut c::PyObject,
    count: usize,
    names: *mut c::PyObject,
) -> *mut c::PyObject
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, Call<'a>) -> Result<Object> + Copy,
{
    let call = Call { args, count, names, _arguments: std::marker::PhantomData };
    // SAFETY: the pointer stands in instances of T only (`FunctionExtra::calling`).
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py, call))
}

impl Any {
    /// `self(*arguments)`
    pub fn call(&self, py: Python<'_>, arguments: &[&Any]) -> Result<Object> {
        self.call_named(py, arguments, &[], None)
    }
    /// `self(*positional, **dict(zip(names, named)))`
    pub fn call_named(
        &self,
        py: Python<'_>,
        positional: &[&Any],
        named: &[&Any],
        names: Option<&Any>,
    ) -> Result<Object> {
        let mut all = room_for(py, positional.len() + named.len())?;
        all.extend(positional.iter().chain(named).map(|argument| argument.as_ptr()));
        let names = names.map_or(std::ptr::null_mut(), Any::as_ptr);
        // SAFETY: live references, as many as the counts say.
        unsafe {
            Object::from_owned(py, outward::PyObject_Vectorcall(self.as_ptr(), all.as_ptr(), positional.len(), names))
        }
    }
    /// `self(*positional, **named)`, the named arguments being those of `like`.
    pub fn call_like(&self, py: Python<'_>, positional: &[&Any], like: &super::Arguments<'_>) -> Result<Object> {
        self.call_named(py, positional, like.named_values(), like.names())
    }
    /// `self(*positional, **named)`
    pub fn call_dict(&self, py: Python<'_>, positional: &[&Any], named: &Any) -> Result<Object> {
        let mut all = room_for(py, positional.len())?;
        all.extend(positional.iter().map(|argument| argument.as_ptr()));
        // SAFETY: live references, as many as the count says, and a dict.
        unsafe {
            let result = outward::PyObject_VectorcallDict(self.as_ptr(), all.as_ptr(), all.len(), named.as_ptr());
            Object::from_owned(py, result)
        }
    }
    /// `self.name(*arguments)`
    pub fn call_method(&self, py: Python<'_>, name: &CStr, arguments: &[&Any]) -> Result<Object> {
        self.attribute(py, name)?.call(py, arguments)
    }
    /// `self.name`
    pub fn attribute(&self, py: Python<'_>, name: &CStr) -> Result<Object> {
        // SAFETY: a live object and a C string.
        unsafe { Object::from_owned(py, outward::PyObject_GetAttrString(self.as_ptr(), name.as_ptr())) }
    }
    /// The attribute, if there is one; errors other than AttributeError pass.
    pub fn attribute_if_any(&self, py: Python<'_>, name: &CStr) -> Result<Option<Object>> {
        match self.attribute(py, name) {
            Ok(found) => Ok(Some(found)),
            Err(raised) if super::Kind::Attribute.is_set(py) => {
                raised.clear(py);
                Ok(None)
            }
            Err(raised) => Err(raised),
        }
    }
    /// `hasattr(self, name)`, but errors other than AttributeError pass.
    pub fn has_attribute(&self, py: Python<'_>, name: &CStr) -> Result<bool> {
        self.attribute_if_any(py, name).map(|found| found.is_some())
    }
    /// Whether it is a coroutine: what an `async def` gives when it is called.
    #[inline]
    pub fn is_coroutine(&self) -> bool {
        // SAFETY: compares the type of a live object with a static of the interpreter.
        unsafe { c::Py_TYPE(self.as_ptr()) == &raw mut c::PyCoro_Type }
    }
    /// `callable(self)`
    pub fn is_callable(&self) -> bool {
        // SAFETY: a live object.
        unsafe { c::PyCallable_Check(self.as_ptr()) != 0 }
    }
    /// `self <op> other`, whatever that gives.
    pub fn compare(&self, py: Python<'_>, other: &Any, comparison: Comparison) -> Result<Object> {
        // SAFETY: live objects.
        unsafe {
            let result = outward::PyObject_RichCompare(self.as_ptr(), other.as_ptr(), comparison.into_raw());
            Object::from_owned(py, result)
        }
    }
    /// `self | other`, or `NotImplemented` where neither side knows the other: as CPython asks them, which raises then.
    pub fn or(&self, py: Python<'_>, other: &Any) -> Result<Object> {
        let (left, right) = (self.as_ptr(), other.as_ptr());
        // SAFETY: reads slots of the types of live objects, and calls them with these.
        unsafe {
            let (class, other_class) = (c::Py_TYPE(left), c::Py_TYPE(right));
            let slot = |class: *mut c::PyTypeObject| (*class).tp_as_number.as_ref().and_then(|slots| slots.nb_or);
            let address = |slot: Option<c::binaryfunc>| slot.map(|slot| slot as usize);
            let (own, others) = (slot(class), slot(other_class));
            let others = others.filter(|_| address(own) != address(others));
            // A subclass knows better than its base.
            let others_first = others.is_some() && c::PyType_IsSubtype(other_class, class) != 0;
            let order = if others_first { [others, own] } else { [own, others] };
            for slot in order.into_iter().flatten() {
                let result = Object::from_owned(py, outward::binary(slot, left, right))?;
                if result.as_ptr() != c::Py_NotImplemented() {
                    return Ok(result);
                }
            }
        }
        Ok(py.not_implemented())
    }
    /// `self is other or self == other`, as containers compare items.
    pub fn equals(&self, py: Python<'_>, other: &Any) -> Result<bool> {
        // SAFETY: live objects, kept by whoever lent them to us.
        let status = unsafe { outward::PyObject_RichCompareBool(self.as_ptr(), other.as_ptr(), c::Py_EQ) };
        Ok(check(py, status)? != 0)
    }
    /// The same of two strs, or two ints, none of them of a subclass: nobody's code runs, and nothing is raised, however deep a recursion is. `None`:
    /// that cannot be told.
    pub fn equals_plainly(&self, _py: Python<'_>, other: &Any) -> Option<bool> {
        // SAFETY: a live object, whose type has a table of slots; the slot of these types looks at the content of both, and gives a constant.
        unsafe {
            let compare = (*c::Py_TYPE(self.as_ptr())).tp_richcompare?;
            let answer = compare(self.as_ptr(), other.as_ptr(), c::Py_EQ);
            let is_told = answer == c::Py_True() || answer == c::Py_False();
            let equal = answer == c::Py_True();
            if answer.is_null() {
                c::PyErr_Clear();
            } else {
                c::Py_DECREF(answer);
            }
            is_told.then_some(equal)
        }
    }
    /// `bool(self)`
    pub fn is_true(&self, py: Python<'_>) -> Result<bool> {
        // SAFETY: a live object.
        Ok(check(py, unsafe { outward::PyObject_IsTrue(self.as_ptr()) })? != 0)
    }
    /// `hash(self)`, for its errors.
    pub fn check_hashable(&self, py: Python<'_>) -> Result<()> {
        self.hash(py).map(drop)
    }
    /// `hash(self)`
    pub fn hash(&self, py: Python<'_>) -> Result<isize> {
        // SAFETY: a live object.
        let hash = unsafe { outward::PyObject_Hash(self.as_ptr()) };
        check(py, if hash == -1 { -1 } else { 0 })?;
        Ok(hash)
    }
    /// Whether an instance of a subclass of `base` has a hash or a comparison of its own.
    pub fn compares_by_itself(&self, base: Native) -> bool {
        let Some(base) = type_of(base) else { return false };
        // SAFETY: reads slots of a static of the interpreter and of the type of a live object.
        unsafe {
            let class = c::Py_TYPE(self.as_ptr());
            let hash = |class: *mut c::PyTypeObject| (*class).tp_hash.map(|slot| slot as usize);
            let compare = |class: *mut c::PyTypeObject| (*class).tp_richcompare.map(|slot| slot as usize);
            hash(class) != hash(base) || compare(class) != compare(base)
        }
    }
    /// `repr(self)`
    pub fn repr(&self, py: Python<'_>) -> Result<Object> {
        // SAFETY: a live object.
        unsafe { Object::from_owned(py, outward::PyObject_Repr(self.as_ptr())) }
    }
    /// `iter(self)`
    pub fn iterate(&self, py: Python<'_>) -> Result<Iterator> {
        // SAFETY: a live object.
        unsafe { Ok(Iterator(Object::from_owned(py, outward::PyObject_GetIter(self.as_ptr()))?)) }
    }
    /// `isinstance(self, types.CodeType)`
    pub fn is_code(&self, py: Python<'_>) -> Result<bool> {
        // SAFETY: a live object, and a static of the interpreter.
        let status = unsafe { outward::PyObject_IsInstance(self.as_ptr(), (&raw mut c::PyCode_Type).cast()) };
        Ok(check(py, status)? != 0)
    }
    /// `isinstance(self, class)`
    pub fn is_instance(&self, py: Python<'_>, class: &Any) -> Result<bool> {
        // SAFETY: live objects.
        Ok(check(py, unsafe { outward::PyObject_IsInstance(self.as_ptr(), class.as_ptr()) })? != 0)
    }
}

impl Python<'_> {
    /// `types.MethodType(function, instance)`
    pub fn bind(self, function: &Any, instance: &Any) -> Result<Object> {
        // SAFETY: live objects; CPython's own function, which pyo3-ffi leaves out.
        unsafe { Object::from_owned(self, outward::PyMethod_New(function.as_ptr(), instance.as_ptr())) }
    }
    /// `origin[arguments]`
    pub fn generic_alias(self, origin: &Any, arguments: &Any) -> Result<Object> {
        // SAFETY: live objects.
        unsafe { Object::from_owned(self, outward::Py_GenericAlias(origin.as_ptr(), arguments.as_ptr())) }
    }
    /// The same where `levels` more are left, so that whoever reports what becomes of it can call something.
    pub fn deeper_with_room<T>(self, place: &CStr, levels: u32, body: impl FnOnce() -> Result<T>) -> Result<T> {
        for entered in 0..levels {
            // SAFETY: a C string; as many levels are left again as were entered, all but the one that failed.
            unsafe {
                if outward::Py_EnterRecursiveCall(place.as_ptr()) != 0 {
                    (0..entered).for_each(|_| c::Py_LeaveRecursiveCall());
                    return Err(super::Raised::already());
                }
            }
        }
        // SAFETY: entered above.
        (0..levels).for_each(|_| unsafe { c::Py_LeaveRecursiveCall() });
        self.deeper(place, body)
    }
    /// Runs `body` one level deeper, or raises RecursionError.
    pub fn deeper<T>(self, place: &CStr, body: impl FnOnce() -> Result<T>) -> Result<T> {
        // SAFETY: a C string; left again below, whatever `body` gives. A panic ends in `enter`, one level too deep, once.
        check(self, -c_int_from(unsafe { outward::Py_EnterRecursiveCall(place.as_ptr()) } != 0))?;
        let result = body();
        // SAFETY: entered above.
        unsafe { c::Py_LeaveRecursiveCall() };
        result
    }
}

/// The interpreter's own type of values that have a hash, and of lists and dicts, which have none.
fn type_of(native: Native) -> Option<*mut c::PyTypeObject> {
    Some(match native {
        Native::Str => &raw mut c::PyUnicode_Type,
        Native::Int => &raw mut c::PyLong_Type,
        Native::Float => &raw mut c::PyFloat_Type,
        Native::Bytes => &raw mut c::PyBytes_Type,
        Native::Tuple => &raw mut c::PyTuple_Type,
        Native::List => &raw mut c::PyList_Type,
        Native::Dict => &raw mut c::PyDict_Type,
        Native::None | Native::Bool | Native::Other => return None,
    })
}

fn c_int_from(value: bool) -> std::ffi::c_int {
    value.into()
}

/// A Python iterator.
pub struct Iterator(Object);

impl Iterator {
    /// The next item; `None` at the end.
    pub fn next(&self, py: Python<'_>) -> Result<Option<Object>> {
        // SAFETY: a live iterator; NULL without an exception is the end.
        unsafe {
            let item = outward::PyIter_Next(self.0.as_ptr());
            if item.is_null() {
                return super::error::taken(py).map_or(Ok(None), Err);
            }
            Object::from_owned(py, item).map(Some)
        }
    }
}
