//! Slices: their three numbers, and the places that these name.

use pyo3_ffi as c;

use super::{Any, Python, Result, outward};

impl Any {
    /// Whether it is a slice.
    pub fn is_slice(&self) -> bool {
        // SAFETY: a live object.
        unsafe { c::PySlice_Check(self.as_ptr()) != 0 }
    }
    /// Start, stop and step of a slice, before anybody's length. Runs `__index__`.
    pub fn slice(&self, py: Python<'_>) -> Result<Slice> {
        let mut slice = Slice { start: 0, stop: 0, step: 1 };
        // SAFETY: callers have seen that it is a slice.
        let status = unsafe {
            outward::PySlice_Unpack(self.as_ptr(), &raw mut slice.start, &raw mut slice.stop, &raw mut slice.step)
        };
        super::error::check(py, status)?;
        Ok(slice)
    }
}

/// The three numbers of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    start: isize,
    stop: isize,
    /// Never 0.
    pub step: isize,
}

/// A slice of something of a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First place.
    pub start: isize,
    /// Distance of places.
    pub step: isize,
    /// How many.
    pub count: usize,
}

impl Slice {
    /// The places that it names among `length`.
    pub fn of(mut self, length: usize) -> Range {
        let length = isize::try_from(length).unwrap_or(isize::MAX);
        // SAFETY: out parameters of ours; arithmetic only.
        let count = unsafe { c::PySlice_AdjustIndices(length, &raw mut self.start, &raw mut self.stop, self.step) };
        Range { start: self.start, step: self.step, count: count.unsigned_abs() }
    }
}

impl Range {
    /// The places, in the order of the slice.
    pub fn places(self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        (0..self.count).map(move |step| (self.start + step as isize * self.step) as u64)
    }
}
