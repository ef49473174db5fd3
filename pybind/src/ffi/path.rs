//! Paths as Python has them: a `str` in which bytes that are no text have a place of their own (PEP 383), so that it names any file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyo3_ffi as c;

use super::natives::Native;
use super::{Any, Kind, Object, Python, Result, outward};

impl Any {
    /// `os.fspath(self)`, which has to be a str, and one that can name a file. Runs Python code.
    pub fn path(&self, py: Python<'_>) -> Result<PathBuf> {
        let path = py.import(c"os")?.call_method(py, c"fspath", &[self])?;
        if path.native_base() != Native::Str {
            return Err(Kind::Type.raise(py, format!("a str is wanted, not '{}'", path.class_name())));
        }
        // SAFETY: a live str; the result is a new reference or NULL with an exception set.
        let bytes = unsafe { Object::from_owned(py, outward::PyUnicode_EncodeFSDefault(path.as_ptr()))? };
        if bytes.bytes().contains(&0) {
            return Err(Kind::Value.raise(py, "embedded null byte"));
        }
        Ok(Path::new(OsStr::from_bytes(bytes.bytes())).to_path_buf())
    }
}

impl Python<'_> {
    /// A str that names the same file. Runs Python code where the system's encoding is one of Python's.
    pub fn path(self, path: &Path) -> Result<Object> {
        let bytes = path.as_os_str().as_bytes();
        let length = bytes.len() as c::Py_ssize_t;
        // SAFETY: the bytes are copied.
        unsafe { Object::from_owned(self, outward::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), length)) }
    }
}
