//! Methods, properties and their arguments.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

use pyo3_ffi as c;

use super::class::Receiver;
use super::entry::{conjure, enter};
use super::natives::room_for;
use super::{Any, Class, Instance, Kind, Object, Python, Result};

/// A row of a method table, as CPython wants it.
#[repr(transparent)]
pub struct Method<T>(c::PyMethodDef, PhantomData<fn(T)>);

// SAFETY: a row holds C strings with static life and function pointers, nothing that a thread could change.
unsafe impl<T> Sync for Method<T> {}

impl<T> Method<T> {
    /// Ends a table.
    pub const END: Self = Self(c::PyMethodDef::zeroed(), PhantomData);

    pub(super) fn is_end(&self) -> bool {
        self.0.ml_name.is_null()
    }
    const fn new(name: &'static CStr, method: c::PyMethodDefPointer, flags: c_int, doc: &'static CStr) -> Self {
        let row = c::PyMethodDef { ml_name: name.as_ptr(), ml_meth: method, ml_flags: flags, ml_doc: doc.as_ptr() };
        Self(row, PhantomData)
    }
}

impl<T: Class> Method<T> {
    /// `x.name()`
    pub const fn plain<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunction: plain::<T, F> };
        Self::new(name, method, c::METH_NOARGS, doc)
    }
    /// `x.name(one)`
    pub const fn one<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunction: one::<T, F> };
        Self::new(name, method, c::METH_O, doc)
    }
    /// `x.name(one)` for a method that a slot implements as well (`__getitem__`).
    pub const fn slotted<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunction: one::<T, F> };
        Self::new(name, method, c::METH_O | c::METH_COEXIST, doc)
    }
    /// `x.name(...)` without named arguments.
    pub const fn positional<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunctionFast: positional::<T, F> };
        Self::new(name, method, c::METH_FASTCALL, doc)
    }
    /// `x.name(...)`
    pub const fn many<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunctionFastWithKeywords: many::<T, F> };
        Self::new(name, method, c::METH_FASTCALL | c::METH_KEYWORDS, doc)
    }
    /// `T.name(...)`
    pub const fn class<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(Receiver<'a>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunctionFastWithKeywords: class::<F> };
        Self::new(name, method, c::METH_FASTCALL | c::METH_KEYWORDS | c::METH_CLASS, doc)
    }
}

/// Functions of a module are methods whose receiver is the module.
pub struct OfModule;

impl Method<OfModule> {
    /// `module.name(...)`
    pub const fn function<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Any, Python<'a>, Arguments<'a>) -> Result<Object> + Copy + 'static,
    {
        let method = c::PyMethodDefPointer { PyCFunctionFastWithKeywords: function::<F> };
        Self::new(name, method, c::METH_FASTCALL | c::METH_KEYWORDS, doc)
    }
}

/// A row of a property table.
#[repr(transparent)]
pub struct Property<T>(c::PyGetSetDef, PhantomData<fn(T)>);

// SAFETY: as for `Method`.
unsafe impl<T> Sync for Property<T> {}

impl<T> Property<T> {
    /// Ends a table.
    pub const END: Self = Self(
        c::PyGetSetDef {
            name: std::ptr::null(),
            get: None,
            set: None,
            doc: std::ptr::null(),
            closure: std::ptr::null_mut(),
        },
        PhantomData,
    );
    pub(super) fn is_end(&self) -> bool {
        self.0.name.is_null()
    }
}

impl<T: Class<Extra = super::class::FunctionExtra>> Property<T> {
    /// `x.__dict__`
    pub const DICT: Self = Self(
        c::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(c::PyObject_GenericGetDict),
            set: Some(c::PyObject_GenericSetDict),
            doc: std::ptr::null(),
            closure: std::ptr::null_mut(),
        },
        PhantomData,
    );
}

impl<T: Class> Property<T> {
    /// `x.name`, read-only.
    pub const fn new<F>(name: &'static CStr, _function: F, doc: &'static CStr) -> Self
    where
        F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Object> + Copy + 'static,
    {
        Self(
            c::PyGetSetDef {
                name: name.as_ptr(),
                get: Some(get::<T, F>),
                set: None,
                doc: doc.as_ptr(),
                closure: std::ptr::null_mut(),
            },
            PhantomData,
        )
    }
}

type Pointer = *mut c::PyObject;

unsafe extern "C" fn plain<T: Class, F>(this: Pointer, _unused: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Object> + Copy,
{
    // SAFETY: a method of T's type is called with an instance of it: method descriptors check that.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py))
}

unsafe extern "C" fn one<T: Class, F>(this: Pointer, argument: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, &'a Any) -> Result<Object> + Copy,
{
    // SAFETY: as in `plain`; the caller holds a reference to the argument.
    enter(|py| unsafe { conjure::<F>()(Instance::from_ptr(this), py, Any::from_ptr(argument)) })
}

unsafe extern "C" fn positional<T: Class, F>(this: Pointer, args: *mut Pointer, count: c::Py_ssize_t) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy,
{
    // SAFETY: as in `plain`; the vector holds `count` arguments.
    enter(|py| unsafe {
        let arguments = Arguments::from_vector(args, count as usize, std::ptr::null_mut());
        conjure::<F>()(Instance::from_ptr(this), py, arguments)
    })
}

unsafe extern "C" fn many<T: Class, F>(
    this: Pointer,
    args: *const Pointer,
    count: c::Py_ssize_t,
    names: Pointer,
) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy,
{
    // SAFETY: as in `plain`; the vector holds `count` arguments and one for each name.
    enter(|py| unsafe {
        conjure::<F>()(Instance::from_ptr(this), py, Arguments::from_vector(args, count as usize, names))
    })
}

unsafe extern "C" fn class<F>(this: Pointer, args: *const Pointer, count: c::Py_ssize_t, names: Pointer) -> Pointer
where
    F: for<'a> Fn(Receiver<'a>, Python<'a>, Arguments<'a>) -> Result<Object> + Copy,
{
    // SAFETY: CPython passes the class, and a vector as in `many`.
    enter(|py| unsafe {
        conjure::<F>()(Receiver::new(Any::from_ptr(this)), py, Arguments::from_vector(args, count as usize, names))
    })
}

unsafe extern "C" fn function<F>(module: Pointer, args: *const Pointer, count: c::Py_ssize_t, names: Pointer) -> Pointer
where
    F: for<'a> Fn(&'a Any, Python<'a>, Arguments<'a>) -> Result<Object> + Copy,
{
    // SAFETY: CPython passes the module, and a vector as in `many`.
    enter(|py| unsafe {
        conjure::<F>()(Any::from_ptr(module), py, Arguments::from_vector(args, count as usize, names))
    })
}

unsafe extern "C" fn get<T: Class, F>(this: Pointer, _closure: *mut c_void) -> Pointer
where
    F: for<'a> Fn(&'a Instance<T>, Python<'a>) -> Result<Object> + Copy,
{
    // SAFETY: a property of T's type is read on an instance of it: descriptors check that.
    enter(|py| conjure::<F>()(unsafe { Instance::from_ptr(this) }, py))
}

/// What a function was called with: positional arguments, then those with names.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    positional: &'a [&'a Any],
    named: &'a [&'a Any],
    names: Option<&'a Any>,
}

/// Arguments that came as a tuple and a dict.
pub struct TupleArguments {
    positional: Vec<Object>,
    names: Option<Object>,
    named: Vec<Object>,
    // Borrowed views of the two vectors, made when the owner is complete. The objects do not move, only the vectors do.
    views: Vec<*mut c::PyObject>,
}

impl TupleArguments {
    /// The arguments, for as long as the owner lives.
    pub(super) fn borrow(&self) -> Arguments<'_> {
        let names = self.names.as_ref().map_or(std::ptr::null_mut(), |names| names.as_ptr());
        debug_assert_eq!(self.views.len(), self.positional.len() + self.named.len());
        // SAFETY: `views` points to the objects of the two vectors, in this order, and we keep their counts.
        unsafe { Arguments::from_vector(self.views.as_ptr(), self.positional.len(), names) }
    }
}

/// Names and count of what a function takes, for [`Arguments::take`].
pub struct Signature<const N: usize> {
    /// For messages, as the builtin writes it.
    pub function: &'static str,
    /// Names; "" for positional-only ones, which come first.
    pub names: [&'static str; N],
    /// How many must be there.
    pub required: usize,
    /// How many may be positional.
    pub positional: usize,
}

impl<'a> Arguments<'a> {
    /// Views a vectorcall's arguments.
    ///
    /// # Safety
    /// `args` holds `count` live references and one more for each of `names`, which is a tuple of str or NULL; all live for `'a`.
    #[inline]
    pub(super) unsafe fn from_vector(args: *const Pointer, count: usize, names: Pointer) -> Self {
        // SAFETY: the caller's promise. `&Any` is a pointer that is not null; a NULL `args` comes with nothing in it.
        unsafe {
            let names = Any::from_nullable(names);
            let extra = names.map_or(0, |names| c::PyTuple_GET_SIZE(names.as_ptr()) as usize);
            if args.is_null() || count + extra == 0 {
                return Self { positional: &[], named: &[], names: None };
            }
            let all = std::slice::from_raw_parts(args.cast::<&Any>(), count + extra);
            Self { positional: &all[..count], named: &all[count..], names }
        }
    }
    /// Copies the references of a tuple and a dict, as `tp_new` gets them.
    pub(super) fn from_tuple(py: Python<'_>, tuple: &Any, keywords: Option<&Any>) -> Result<TupleArguments> {
        let positional = tuple.tuple_items(py)?;
        let keywords = keywords.map(|keywords| keywords.dict_items(py)).transpose()?.unwrap_or_default();
        let (mut names, mut named) = (room_for(py, keywords.len())?, room_for(py, keywords.len())?);
        for (name, value) in keywords {
            names.push(name);
            named.push(value);
        }
        let names = if names.is_empty() { None } else { Some(py.tuple(names)?) };
        let mut views = room_for(py, positional.len() + named.len())?;
        views.extend(positional.iter().chain(&named).map(|object| object.as_ptr()));
        Ok(TupleArguments { positional, names, named, views })
    }
    /// One positional argument.
    pub fn one(argument: &'a &'a Any) -> Self {
        Self { positional: std::slice::from_ref(argument), named: &[], names: None }
    }
    /// The same without the first `count` positional ones.
    pub fn without(&self, count: usize) -> Self {
        Self { positional: self.positional.get(count..).unwrap_or_default(), ..*self }
    }
    /// The names, as a tuple, in the order of `named_values`.
    pub(super) fn names(&self) -> Option<&'a Any> {
        self.names
    }
    /// The values that have names.
    pub fn named_values(&self) -> &'a [&'a Any] {
        self.named
    }
    /// The positional ones.
    #[inline]
    pub fn positional(&self) -> &'a [&'a Any] {
        self.positional
    }
    /// How many have names.
    pub fn named_len(&self) -> usize {
        self.named.len()
    }
    /// Those with names.
    pub fn named(&self) -> Vec<(Object, &'a Any)> {
        let names = self.names.map(Any::tuple_refs).into_iter().flatten().map(Any::to_object);
        names.zip(self.named.iter().copied()).collect()
    }
    /// The arguments in the order of the signature; `None` for one that was left out.
    #[inline]
    pub fn take<const N: usize>(&self, py: Python<'_>, signature: &Signature<N>) -> Result<[Option<&'a Any>; N]> {
        let mut taken = [None; N];
        let count = self.positional.len();
        if count > signature.positional || (self.named.is_empty() && count < signature.required) {
            return Err(self.wrong_count(py, signature));
        }
        for (place, argument) in taken.iter_mut().zip(self.positional) {
            *place = Some(*argument);
        }
        if !self.named.is_empty() {
            self.take_named(py, signature, &mut taken)?;
        }
        Ok(taken)
    }
    #[cold]
    fn wrong_count<const N: usize>(&self, py: Python<'_>, signature: &Signature<N>) -> super::Raised {
        let (count, required, most) = (self.positional.len(), signature.required, signature.positional);
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        let function = signature.function;
        let message = if required == most {
            format!("{function} expected {required} argument{}, got {count}", plural(required))
        } else if count < required {
            format!("{function} expected at least {required} argument{}, got {count}", plural(required))
        } else {
            format!("{function} expected at most {most} argument{}, got {count}", plural(most))
        };
        Kind::Type.raise(py, message)
    }
    fn take_named<const N: usize>(
        &self,
        py: Python<'_>,
        signature: &Signature<N>,
        taken: &mut [Option<&'a Any>; N],
    ) -> Result<()> {
        let function = signature.function;
        for (name, value) in self.named() {
            let name = name.text(py)?;
            let place = signature.names.iter().position(|known| !known.is_empty() && *known == name);
            match place {
                None => {
                    let message = format!("{function}() got an unexpected keyword argument '{name}'");
                    return Err(Kind::Type.raise(py, message));
                }
                Some(place) if taken[place].is_some() => {
                    return Err(Kind::Type.raise(py, format!("{function}() got multiple values for argument '{name}'")));
                }
                Some(place) => taken[place] = Some(value),
            }
        }
        match taken[..signature.required].iter().position(Option::is_none) {
            None => Ok(()),
            Some(missing) => {
                let name = signature.names[missing];
                Err(Kind::Type
                    .raise(py, format!("{function}() missing required argument '{name}' (pos {})", missing + 1)))
            }
        }
    }
}
