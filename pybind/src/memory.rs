//! Room in this process for what users give and shared containers hold. Where it runs out, that is a `MemoryError`, and not the end of
//! the process, as it is where a `Vec` grows by itself.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use pso_engine::error::Stop;

use crate::ffi::{Kind, Python, Raised};

/// There is no memory. Nothing is raised yet.
pub struct NoMemory<'py>(Python<'py>);

impl From<NoMemory<'_>> for Raised {
    #[cold]
    fn from(NoMemory(py): NoMemory<'_>) -> Self {
        Kind::Memory.raise(py, "no memory in this process")
    }
}

/// Inside an attempt, which ends by it: the exception is set meanwhile, as after a signal handler that has raised.
impl From<NoMemory<'_>> for Stop {
    #[cold]
    fn from(lack: NoMemory<'_>) -> Self {
        let _raised = Raised::from(lack);
        Self::Interrupted
    }
}

/// Makes room for so many more.
pub fn reserve<'py, T>(py: Python<'py>, items: &mut Vec<T>, more: usize) -> Result<(), NoMemory<'py>> {
    items.try_reserve(more).map_err(|_| NoMemory(py))
}

/// Room for so many and no more.
pub fn with_capacity<T>(py: Python<'_>, length: usize) -> Result<Vec<T>, NoMemory<'_>> {
    let mut items = Vec::new();
    items.try_reserve_exact(length).map_err(|_| NoMemory(py))?;
    Ok(items)
}

/// Adds one.
#[inline]
pub fn push<'py, T>(py: Python<'py>, items: &mut Vec<T>, item: T) -> Result<(), NoMemory<'py>> {
    if items.len() == items.capacity() {
        reserve(py, items, 1)?;
    }
    items.push(item);
    Ok(())
}

/// Adds all.
pub fn extend<'py, T>(
    py: Python<'py>,
    items: &mut Vec<T>,
    more: impl IntoIterator<Item = T>,
) -> Result<(), NoMemory<'py>> {
    more.into_iter().try_for_each(|item| push(py, items, item))
}

/// All that an iterator of a known length gives, or its first error.
pub fn collect<'py, T, E: From<NoMemory<'py>>>(
    py: Python<'py>,
    items: impl ExactSizeIterator<Item = Result<T, E>>,
) -> Result<Vec<T>, E> {
    let mut collected = with_capacity(py, items.len())?;
    for item in items {
        push(py, &mut collected, item?)?;
    }
    Ok(collected)
}

/// A copy.
pub fn copy<'py, T: Clone>(py: Python<'py>, items: &[T]) -> Result<Vec<T>, NoMemory<'py>> {
    let mut copied = with_capacity(py, items.len())?;
    copied.extend_from_slice(items);
    Ok(copied)
}

/// Makes room for another key.
#[inline]
pub fn reserve_key<'py, K: Eq + Hash, V, S: BuildHasher>(
    py: Python<'py>,
    map: &mut HashMap<K, V, S>,
) -> Result<(), NoMemory<'py>> {
    map.try_reserve(1).map_err(|_| NoMemory(py))
}

/// Adds to a set.
pub fn insert<'py, K: Eq + Hash>(py: Python<'py>, set: &mut HashSet<K>, key: K) -> Result<(), NoMemory<'py>> {
    set.try_reserve(1).map_err(|_| NoMemory(py))?;
    set.insert(key);
    Ok(())
}
