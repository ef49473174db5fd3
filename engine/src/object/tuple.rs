//! Tuples: an immutable `Tuple` block, `[length][value]...`. The values may be handles of mutable objects.

use super::block::{allocate, corrupt, fill_plain, fits, open, plain};
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, Value};

/// A tuple as a value.
pub fn encode<P: Platform>(tx: &mut Participant<P>, items: &[Value]) -> Result<Value, Stop> {
    let length = items.len() as u64;
    let (handle, payload) = allocate(tx, BlockKind::Tuple, 1 + length)?;
    fill_plain(tx, payload, std::iter::once(length));
    fill_plain(tx, payload.offset(1), items.iter().map(|item| item.raw()));
    Ok(Value::handle(handle))
}

/// Number of items.
pub fn len<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<u64, Stop> {
    let payload = open(tx, handle, BlockKind::Tuple, 1)?;
    let length = plain(tx, payload);
    fits(tx, handle, payload, length.checked_add(1))?;
    Ok(length)
}

/// The item at `index`; `None` behind the last.
pub fn item<P: Platform>(tx: &Participant<P>, handle: Handle, index: u64) -> Result<Option<Value>, Stop> {
    if index >= len(tx, handle)? {
        return Ok(None);
    }
    let address = open(tx, handle, BlockKind::Tuple, 1)?.offset(1 + index);
    let value = Value::from_raw(plain(tx, address));
    if value.is_absent() {
        return Err(corrupt("an item of a tuple", address, 0));
    }
    Ok(Some(value))
}
