//! Giving the interpreter's lock up while the engine sleeps, and telling threads apart.
//!
//! A thread that wants the lock back from an interpreter that is being finalized would be ended by CPython in the
//! middle of our frames, which Rust does not survive. So an exit hook raises [`FINALIZING`], waits until nobody is
//! between [`RESTORING`] and the lock, and from then on whoever wakes stays asleep: such a thread is a daemon's, and the
//! process is about to end.

use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use pyo3_ffi as c;

use super::{Any, Kind, Object, Python, Raised, Result, outward};

static FINALIZING: AtomicBool = AtomicBool::new(false);
/// How often an interpreter has ended: one may come after it in the same process (`Py_Initialize`), with other threads.
static ENDS: AtomicUsize = AtomicUsize::new(0);
static RESTORING: AtomicUsize = AtomicUsize::new(0);
/// Who runs the exit hooks, as [`here`] calls it: it gets the lock back until the very end, and hooks that were registered before ours come after it.
static FINALIZER: AtomicUsize = AtomicUsize::new(0);

/// What this thread of the system is called: an address of its own. Not its state, for it has one in each interpreter that it runs.
fn here() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// Runs `sleep` without the lock, then Python's signal handlers. False: one of them raised, and the exception is set.
///
/// The calling thread holds the lock (CPython ends the process if it does not).
pub fn sleep_without_lock(sleep: &mut dyn FnMut()) -> bool {
    pause_without_lock(sleep);
    // SAFETY: the lock is held again. An exception that a handler raises is left set, and said so.
    unsafe { outward::PyErr_CheckSignals() == 0 }
}

/// Runs `sleep` without the lock, and leaves signals to whoever comes next.
pub fn pause_without_lock(sleep: &mut dyn FnMut()) {
    // SAFETY: saved and restored by the same thread, and in between runs only what knows no Python.
    unsafe {
        // Relaxed: who changes it has the lock.
        let ends = ENDS.load(Ordering::Relaxed);
        let state = c::PyEval_SaveThread();
        sleep();
        RESTORING.fetch_add(1, Ordering::AcqRel);
        // Acquire: pairs with the Release in `finalize`. Either it sees our count, or we see its flag: both are changed by
        // read-modify-write before the other is read.
        // Relaxed: set before the flag, and acquired with it.
        let is_ending = FINALIZING.fetch_or(false, Ordering::AcqRel) || ENDS.load(Ordering::Relaxed) != ends;
        if is_ending && FINALIZER.load(Ordering::Relaxed) != here() {
            RESTORING.fetch_sub(1, Ordering::AcqRel);
            drop(Ended);
        }
        c::PyEval_RestoreThread(state);
        RESTORING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is left of a thread that CPython has ended, or would: dropped, it sleeps until the process is over.
pub struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Runs Python's signal handlers. False: one of them raised.
pub fn check_signals(_py: Python<'_>) -> bool {
    // SAFETY: the lock is held.
    unsafe { outward::PyErr_CheckSignals() == 0 }
}

/// Before the main interpreter ends: nobody takes its lock again who comes from a sleep.
pub fn finalize(_py: Python<'_>) {
    const PATIENCE: usize = 200;
    // SAFETY: compares two pointers of the runtime.
    if unsafe { c::PyInterpreterState_Get() != c::PyInterpreterState_Main() } {
        return;
    }
    // Relaxed: published with the flag.
    ENDS.fetch_add(1, Ordering::Relaxed);
    FINALIZER.store(here(), Ordering::Relaxed);
    FINALIZING.fetch_or(true, Ordering::AcqRel);
    for _ in 0..PATIENCE {
        // Acquire: pairs with the read-modify-writes of `sleep_without_lock`.
        if RESTORING.load(Ordering::Acquire) == 0 {
            return;
        }
        // SAFETY: as in `sleep_without_lock`; finalization has not begun, so the lock comes back.
        unsafe {
            let state = c::PyEval_SaveThread();
            std::thread::sleep(Duration::from_millis(1));
            c::PyEval_RestoreThread(state);
        }
    }
}

/// Where the package is loaded for the first time after a main interpreter has ended, there is another one: its threads get their lock back. Those of
/// the one before stay asleep.
pub fn begin(_py: Python<'_>) {
    // SAFETY: compares two pointers of the runtime.
    if unsafe { c::PyInterpreterState_Get() == c::PyInterpreterState_Main() } {
        // Release: whoever sleeps since the one before and sees this sees, too, that that one has ended.
        FINALIZING.store(false, Ordering::Release);
    }
}

/// A child of a fork has none of the threads that were counted, and is not ending.
pub fn forked(_py: Python<'_>) {
    RESTORING.store(0, Ordering::Relaxed);
    FINALIZING.store(false, Ordering::Relaxed);
}

unsafe extern "C" {
    /// CPython's own function, which pyo3-ffi leaves out.
    fn PyThreadState_GetID(state: *mut c::PyThreadState) -> u64;
}

/// What the life of a thread is called, in its dictionary, too.
pub const LIFE: &CStr = c"pso._core.life";

/// Goes with the thread of the interpreter, and not before: for whoever has to know whether that one has ended. One of the system may be several, one
/// after the other. `key`: [`LIFE`], whose hash is known.
pub fn life(py: Python<'_>, key: &Any) -> Result<Weak<()>> {
    // SAFETY: the lock is held, both are alive, and what the dictionary has under our name is a capsule of ours, with a life in it.
    unsafe {
        let Some(dict) = Any::from_nullable(c::PyThreadState_GetDict()) else {
            return Err(Kind::Memory.raise(py, "no memory for the dictionary of a thread"));
        };
        let known = c::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
        if !known.is_null() {
            let life = c::PyCapsule_GetPointer(known, LIFE.as_ptr()).cast::<()>();
            return if life.is_null() { Err(Raised::already()) } else { Ok(Arc::downgrade(&borrowed(life))) };
        }
        let life = Arc::new(());
        let weak = Arc::downgrade(&life);
        let pointer = Arc::into_raw(life).cast_mut();
        let capsule = c::PyCapsule_New(pointer.cast(), LIFE.as_ptr(), Some(end_life));
        if capsule.is_null() {
            drop(Arc::from_raw(pointer));
        }
        let capsule = Object::from_owned(py, capsule)?;
        py.set_item(dict, key, &capsule)?;
        Ok(weak)
    }
}

/// # Safety
/// Of a capsule of [`life`] that is there.
unsafe fn borrowed(life: *const ()) -> ManuallyDrop<Arc<()>> {
    // SAFETY: the caller's promise; the count stays the capsule's.
    ManuallyDrop::new(unsafe { Arc::from_raw(life) })
}

unsafe extern "C" fn end_life(capsule: *mut c::PyObject) {
    // SAFETY: called once, for a capsule of `life`, whose count is given back.
    unsafe {
        let life = c::PyCapsule_GetPointer(capsule, LIFE.as_ptr()).cast::<()>();
        if !life.is_null() {
            drop(Arc::from_raw(life));
        }
    }
}

/// Which thread of this interpreter this is: a number that no other one gets, not even when it is gone.
#[inline]
pub fn thread(_py: Python<'_>) -> u64 {
    // SAFETY: the lock is held, so there is a thread state.
    unsafe { PyThreadState_GetID(c::PyThreadState_Get()) }
}
