//! What an operation notes in the memory of its own process, of a length that others choose: without memory for it the attempt ends, and nothing else does.

use crate::error::{Full, Stop};
use crate::platform::Platform;
use crate::transaction::Participant;

/// Makes room for more.
pub(super) fn reserve<P: Platform, T>(tx: &mut Participant<P>, list: &mut Vec<T>, more: usize) -> Result<(), Stop> {
    let reserved = list.try_reserve(more);
    reserved.map_err(|_| tx.fail(Full::of_process((list.len() + more).saturating_mul(size_of::<T>())).into()))
}

/// Adds one.
#[inline]
pub(super) fn push<P: Platform, T>(tx: &mut Participant<P>, list: &mut Vec<T>, item: T) -> Result<(), Stop> {
    reserve(tx, list, 1)?;
    list.push(item);
    Ok(())
}
