//! Builtin values: what they are, what is in them, and making them. Only exact types count as native.

use std::ffi::CStr;

use pyo3_ffi as c;

use super::{Any, Kind, Object, Python, Result, outward};

/// What an object is, for whoever stores values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// `None`
    None,
    /// `True` or `False`
    Bool,
    /// int
    Int,
    /// float
    Float,
    /// str
    Str,
    /// bytes
    Bytes,
    /// tuple
    Tuple,
    /// list
    List,
    /// dict
    Dict,
    /// Anything else, subclasses of these included.
    Other,
}

/// An int, in the form that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integer {
    /// 64 bits do.
    Small(i64),
    /// They do not: sign and little-endian magnitude without leading zero bytes.
    Large {
        /// Below zero.
        negative: bool,
        /// Its absolute value.
        magnitude: Vec<u8>,
    },
}

impl Any {
    /// What it is. Compares type pointers only.
    #[inline]
    pub fn native(&self) -> Native {
        // SAFETY: takes addresses of the interpreter's statics and reads the type of a live object.
        unsafe {
            let class = c::Py_TYPE(self.as_ptr());
            if class == &raw mut c::PyUnicode_Type {
                Native::Str
            } else if class == &raw mut c::PyLong_Type {
                Native::Int
            } else if class == &raw mut c::PyFloat_Type {
                Native::Float
            } else if class == &raw mut c::PyBool_Type {
                Native::Bool
            } else if self.is_none() {
                Native::None
            } else if class == &raw mut c::PyBytes_Type {
                Native::Bytes
            } else if class == &raw mut c::PyTuple_Type {
                Native::Tuple
            } else if class == &raw mut c::PyList_Type {
                Native::List
            } else if class == &raw mut c::PyDict_Type {
                Native::Dict
            } else {
                Native::Other
            }
        }
    }
    /// The same for the base that a subclass instance is one of (an `IntEnum` member is an `Int`).
    pub fn native_base(&self) -> Native {
        // SAFETY: flag tests on a live object.
        unsafe {
            let this = self.as_ptr();
            if c::PyUnicode_Check(this) != 0 {
                Native::Str
            } else if c::PyLong_Check(this) != 0 {
                Native::Int
            } else if c::PyFloat_Check(this) != 0 {
                Native::Float
            } else if c::PyBytes_Check(this) != 0 {
                Native::Bytes
            } else if c::PyTuple_Check(this) != 0 {
                Native::Tuple
            } else if c::PyList_Check(this) != 0 {
                Native::List
            } else if c::PyDict_Check(this) != 0 {
                Native::Dict
            } else {
                Native::Other
            }
        }
    }
    /// Whether it is `True`. For bools.
    #[inline]
    pub fn is_true_constant(&self) -> bool {
        // SAFETY: compares addresses only.
        unsafe { self.as_ptr() == c::Py_True() }
    }
    /// The value of an int that fits into 64 bits; `None` for a larger one.
    #[inline]
    pub fn small_int(&self) -> Option<i64> {
        let mut overflow = 0;
        // SAFETY: callers have seen that it is an int, so no conversion runs and no exception is set.
        let value = unsafe { c::PyLong_AsLongLongAndOverflow(self.as_ptr(), &raw mut overflow) };
        (overflow == 0).then_some(value)
    }
    /// The value of an int (or of an instance of a subclass).
    pub fn integer(&self, py: Python<'_>) -> Result<Integer> {
        if let Some(value) = self.small_int() {
            return Ok(Integer::Small(value));
        }
        // Through int's own methods, which all versions have: `abs(n).to_bytes((n.bit_length() + 7) // 8, "little")`. Not through those
        // of a subclass, which may give anything: of the absolute value, made first, it is int's own that are found.
        let int = int_class();
        let absolute = int.call_method(py, c"__abs__", &[self])?;
        let bits = absolute.call_method(py, c"bit_length", &[])?;
        let bytes = py.int(bits.small_int().unwrap_or(i64::MAX).saturating_add(7) / 8)?;
        let raw = absolute.call_method(py, c"to_bytes", &[&bytes, &*py.str("little")?])?;
        let negative = int.call_method(py, c"__lt__", &[self, &*py.int(0)?])?.is_true(py)?;
        let mut magnitude = room_for(py, raw.bytes().len())?;
        magnitude.extend_from_slice(raw.bytes());
        Ok(Integer::Large { negative, magnitude })
    }
    /// The value of a float.
    #[inline]
    pub fn float(&self) -> f64 {
        // SAFETY: callers have seen that it is a float.
        unsafe { c::PyFloat_AS_DOUBLE(self.as_ptr()) }
    }
    /// The characters of a str that is ASCII, which are its UTF-8. Allocates and raises nothing.
    #[inline]
    pub fn ascii(&self) -> Option<&str> {
        // SAFETY: callers have seen that it is a str. The characters of a compact ASCII one do not move.
        unsafe {
            if c::PyUnicode_IS_COMPACT_ASCII(self.as_ptr()) == 0 {
                return None;
            }
            let length = c::PyUnicode_GET_LENGTH(self.as_ptr()) as usize;
            let data = c::PyUnicode_DATA(self.as_ptr()).cast::<u8>();
            Some(std::str::from_utf8_unchecked(std::slice::from_raw_parts(data, length)))
        }
    }
    /// The UTF-8 of a str. Raises for lone surrogates.
    #[inline]
    pub fn utf8(&self, py: Python<'_>) -> Result<&str> {
        if let Some(text) = self.ascii() {
            return Ok(text);
        }
        let mut length = 0;
        // SAFETY: callers have seen that it is a str. CPython keeps the UTF-8 form as long as the str, and it is valid.
        unsafe {
            let data = outward::PyUnicode_AsUTF8AndSize(self.as_ptr(), &raw mut length);
            if data.is_null() {
                return Err(super::error::taken(py).unwrap_or_else(|| Kind::Unicode.raise(py, "not encodable")));
            }
            Ok(std::str::from_utf8_unchecked(std::slice::from_raw_parts(data.cast(), length as usize)))
        }
    }
    /// Whether a str is interned, as literals and names are: the same text is then the same object, mostly.
    #[inline]
    pub fn is_interned(&self) -> bool {
        // SAFETY: callers have seen that it is a str.
        unsafe { (*self.as_ptr().cast::<c::PyASCIIObject>()).interned() != 0 }
    }
    /// The same; `None`, and no exception, where there is none.
    #[inline]
    pub fn utf8_if_any(&self, py: Python<'_>) -> Option<&str> {
        match self.utf8(py) {
            Ok(text) => Some(text),
            Err(raised) => {
                raised.clear(py);
                None
            }
        }
    }
    /// The text of any str, as ours.
    pub fn text(&self, py: Python<'_>) -> Result<String> {
        if self.native_base() != Native::Str {
            return Err(Kind::Type.raise(py, format!("a str is wanted, not '{}'", self.class_name())));
        }
        let text = self.utf8(py)?;
        let mut copy = String::new();
        copy.try_reserve_exact(text.len()).map_err(|_| Kind::Memory.raise(py, "no memory for a copy of a str"))?;
        copy.push_str(text);
        Ok(copy)
    }
    /// The content of bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: callers have seen that it is bytes, which do not change or move.
        unsafe {
            let length = c::PyBytes_Size(self.as_ptr()) as usize;
            std::slice::from_raw_parts(c::PyBytes_AsString(self.as_ptr()).cast(), length)
        }
    }
    /// The items of a tuple, counted.
    pub fn tuple_items(&self, py: Python<'_>) -> Result<Vec<Object>> {
        let refs = self.tuple_refs();
        let mut items = room_for(py, refs.len())?;
        items.extend(refs.map(Any::to_object));
        Ok(items)
    }
    /// The items of a tuple, as long as it is borrowed: it does not change.
    pub fn tuple_refs(&self) -> impl ExactSizeIterator<Item = &Any> {
        // SAFETY: callers have seen that it is a tuple; its items are alive while it is.
        let count = unsafe { c::PyTuple_GET_SIZE(self.as_ptr()) as usize };
        // SAFETY: as above.
        (0..count).map(|place| unsafe { Any::from_ptr(c::PyTuple_GET_ITEM(self.as_ptr(), place as c::Py_ssize_t)) })
    }
    /// The items of a list, counted.
    pub fn list_items(&self, py: Python<'_>) -> Result<Vec<Object>> {
        // SAFETY: callers have seen that it is a list; nothing runs between the reads of its size and items.
        unsafe {
            let count = c::PyList_GET_SIZE(self.as_ptr());
            let mut items = room_for(py, count as usize)?;
            items.extend((0..count).map(|place| Object::from_borrowed(c::PyList_GET_ITEM(self.as_ptr(), place))));
            Ok(items)
        }
    }
    /// How many items a list has.
    pub fn list_len(&self) -> usize {
        // SAFETY: callers have seen that it is a list.
        unsafe { c::PyList_GET_SIZE(self.as_ptr()).unsigned_abs() }
    }
    /// One item of a list, counted; `None` behind the last.
    pub fn list_item(&self, place: usize) -> Option<Object> {
        // SAFETY: callers have seen that it is a list; nothing runs between the reads of its size and item.
        let item = || unsafe { Object::from_borrowed(c::PyList_GET_ITEM(self.as_ptr(), place as c::Py_ssize_t)) };
        (place < self.list_len()).then(item)
    }
    /// How many entries a dict has.
    pub fn dict_len(&self) -> usize {
        // SAFETY: callers have seen that it is a dict.
        unsafe { c::PyDict_Size(self.as_ptr()) }.unsigned_abs()
    }
    /// The entries of a dict, counted.
    pub fn dict_items(&self, py: Python<'_>) -> Result<Vec<(Object, Object)>> {
        let mut items = room_for(py, self.dict_len())?;
        let (mut place, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: callers have seen that it is a dict; counting runs no code, so the dict stays as it is.
        unsafe {
            while c::PyDict_Next(self.as_ptr(), &raw mut place, &raw mut key, &raw mut value) != 0 {
                items.push((Object::from_borrowed(key), Object::from_borrowed(value)));
            }
        }
        Ok(items)
    }
    /// Whether `operator.index` works.
    pub fn is_index(&self) -> bool {
        // SAFETY: a live object.
        unsafe { c::PyIndex_Check(self.as_ptr()) != 0 }
    }
    /// `operator.index(self)` as a machine word; too large: IndexError.
    pub fn index(&self, py: Python<'_>) -> Result<isize> {
        // SAFETY: a live object and a class.
        let value = unsafe { outward::PyNumber_AsSsize_t(self.as_ptr(), c::PyExc_IndexError) };
        if value == -1
            && let Some(raised) = super::error::taken(py)
        {
            return Err(raised);
        }
        Ok(value)
    }
    /// `operator.index(self)`.
    pub fn to_int(&self, py: Python<'_>) -> Result<Object> {
        // SAFETY: a live object.
        unsafe { Object::from_owned(py, outward::PyNumber_Index(self.as_ptr())) }
    }
    /// As a machine word, but too large is an OverflowError, as for arguments of functions.
    pub fn machine_int(&self, py: Python<'_>) -> Result<isize> {
        // SAFETY: live objects; each call gives a new reference, or -1 or NULL with an exception.
        unsafe {
            let index = Object::from_owned(py, outward::PyNumber_Index(self.as_ptr()))?;
            let value = outward::PyLong_AsSsize_t(index.as_ptr());
            match super::error::taken(py) {
                Some(raised) if value == -1 => Err(raised),
                _ => Ok(value),
            }
        }
    }
    /// The same, clipped to what a machine word holds (slices and `insert` do that).
    pub fn clipped_index(&self, py: Python<'_>) -> Result<isize> {
        // SAFETY: a live object; without a class, overflow clips.
        let value = unsafe { outward::PyNumber_AsSsize_t(self.as_ptr(), std::ptr::null_mut()) };
        if value == -1
            && let Some(raised) = super::error::taken(py)
        {
            return Err(raised);
        }
        Ok(value)
    }
    /// An int from 0 to 2^64 - 1.
    pub fn unsigned(&self, py: Python<'_>) -> Result<u64> {
        // SAFETY: a live object; anything but an int is a TypeError.
        let value = unsafe { outward::PyLong_AsUnsignedLongLong(self.as_ptr()) };
        if value == u64::MAX
            && let Some(raised) = super::error::taken(py)
        {
            return Err(raised);
        }
        Ok(value)
    }
    /// A number of seconds.
    pub fn seconds(&self, py: Python<'_>) -> Result<f64> {
        // SAFETY: a live object.
        let value = unsafe { outward::PyFloat_AsDouble(self.as_ptr()) };
        if value == -1.0
            && let Some(raised) = super::error::taken(py)
        {
            return Err(raised);
        }
        Ok(value)
    }
    /// Sets an attribute of a module.
    pub fn add_to_module(&self, py: Python<'_>, name: &CStr, value: &Any) -> Result<()> {
        // SAFETY: a module, a C string and a live object.
        super::error::check(py, unsafe { c::PyModule_AddObjectRef(self.as_ptr(), name.as_ptr(), value.as_ptr()) })
            .map(drop)
    }
}

/// A str and its UTF-8, which lives as long as the str.
pub struct Text {
    _object: Object,
    data: *const u8,
    length: usize,
}

impl Text {
    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: CPython keeps the UTF-8 of a str until the str goes, and we hold it; it came from `Any::utf8`.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(self.data, self.length)) }
    }
}

impl Any {
    /// Keeps a str with its UTF-8.
    pub fn to_text(&self, py: Python<'_>) -> Result<Text> {
        let text = self.utf8(py)?;
        Ok(Text { _object: self.to_object(), data: text.as_ptr(), length: text.len() })
    }
}

/// Room for so many and no more, or MemoryError: who allocates as much as users give does not end the process by it.
pub(super) fn room_for<T>(py: Python<'_>, length: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    match items.try_reserve_exact(length) {
        Ok(()) => Ok(items),
        Err(_) => Err(Kind::Memory.raise(py, "no memory in this process")),
    }
}

/// `int`
fn int_class() -> &'static Any {
    // SAFETY: the interpreter's static type, which never goes.
    unsafe { Any::from_ptr((&raw mut c::PyLong_Type).cast()) }
}

impl Python<'_> {
    /// An int.
    #[inline]
    pub fn int(self, value: i64) -> Result<Object> {
        // SAFETY: a new reference or NULL.
        unsafe { Object::from_owned(self, c::PyLong_FromLongLong(value)) }
    }
    /// An int.
    pub fn unsigned(self, value: u64) -> Result<Object> {
        // SAFETY: a new reference or NULL.
        unsafe { Object::from_owned(self, c::PyLong_FromUnsignedLongLong(value)) }
    }
    /// An int of any size; `magnitude` begins with the lowest byte. Runs no Python code.
    pub fn large_int(self, negative: bool, magnitude: &[u8]) -> Result<Object> {
        // SAFETY: reads so many bytes, as an unsigned number that begins with the lowest; a new reference or NULL.
        let value =
            unsafe { Object::from_owned(self, c::_PyLong_FromByteArray(magnitude.as_ptr(), magnitude.len(), 1, 0)) }?;
        if !negative {
            return Ok(value);
        }
        // SAFETY: a live int.
        unsafe { Object::from_owned(self, c::PyNumber_Negative(value.as_ptr())) }
    }
    /// A float.
    #[inline]
    pub fn float(self, value: f64) -> Result<Object> {
        // SAFETY: a new reference or NULL.
        unsafe { Object::from_owned(self, c::PyFloat_FromDouble(value)) }
    }
    /// A str.
    #[inline]
    pub fn str(self, value: &str) -> Result<Object> {
        // SAFETY: the text is copied; it is valid UTF-8.
        unsafe {
            let length = value.len() as c::Py_ssize_t;
            Object::from_owned(self, c::PyUnicode_FromStringAndSize(value.as_ptr().cast(), length))
        }
    }
    /// Bytes.
    #[inline]
    pub fn bytes(self, value: &[u8]) -> Result<Object> {
        // SAFETY: the bytes are copied.
        unsafe {
            let length = value.len() as c::Py_ssize_t;
            Object::from_owned(self, c::PyBytes_FromStringAndSize(value.as_ptr().cast(), length))
        }
    }
    /// A tuple.
    pub fn tuple(self, items: Vec<Object>) -> Result<Object> {
        // SAFETY: a new tuple of that many empty places, each filled once with a count of ours.
        unsafe {
            let tuple = Object::from_owned(self, outward::PyTuple_New(items.len() as c::Py_ssize_t))?;
            for (place, item) in items.into_iter().enumerate() {
                c::PyTuple_SET_ITEM(tuple.as_ptr(), place as c::Py_ssize_t, item.into_ptr());
            }
            Ok(tuple)
        }
    }
    /// A list.
    pub fn list(self, items: Vec<Object>) -> Result<Object> {
        // SAFETY: as in `tuple`.
        unsafe {
            let list = Object::from_owned(self, outward::PyList_New(items.len() as c::Py_ssize_t))?;
            for (place, item) in items.into_iter().enumerate() {
                c::PyList_SET_ITEM(list.as_ptr(), place as c::Py_ssize_t, item.into_ptr());
            }
            Ok(list)
        }
    }
    /// An empty dict.
    pub fn dict(self) -> Result<Object> {
        // SAFETY: a new reference or NULL.
        unsafe { Object::from_owned(self, outward::PyDict_New()) }
    }
    /// `dict[key] = value`, for a plain dict.
    pub fn set_item(self, dict: &Any, key: &Any, value: &Any) -> Result<()> {
        // SAFETY: live objects; a wrong type is an exception.
        super::error::check(self, unsafe { outward::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) })
            .map(drop)
    }
    /// `list.append(item)`, for a plain list.
    pub fn append(self, list: &Any, item: &Any) -> Result<()> {
        // SAFETY: live objects; a wrong type is an exception.
        super::error::check(self, unsafe { c::PyList_Append(list.as_ptr(), item.as_ptr()) }).map(drop)
    }
}
