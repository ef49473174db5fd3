//! Keeping CPython's collector from coming by itself.

use pyo3_ffi as c;

use super::Python;

/// Runs `work` without a collection that its allocations would set off: those run finalizers, and so anybody's code. If it was on, it is on again after.
pub fn asleep<T>(_py: Python<'_>, work: impl FnOnce() -> T) -> T {
    struct Wakes(bool);
    impl Drop for Wakes {
        fn drop(&mut self) {
            if self.0 {
                // SAFETY: a flag of the interpreter whose lock the caller of `asleep` has.
                unsafe { c::PyGC_Enable() };
            }
        }
    }
    // SAFETY: as above.
    let _wakes = Wakes(unsafe { c::PyGC_Disable() } != 0);
    work()
}
