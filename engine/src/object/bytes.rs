//! Bytes: up to 7 in place, more in a `Bytes` block (see `payload`).

use super::payload;
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, Value};

/// Bytes as a value.
#[inline]
pub fn encode<P: Platform>(tx: &mut Participant<P>, bytes: &[u8]) -> Result<Value, Stop> {
    encode_hashed(tx, bytes, 0)
}

/// The same, where the hash is known.
#[inline]
pub(super) fn encode_hashed<P: Platform>(tx: &mut Participant<P>, bytes: &[u8], hash: u64) -> Result<Value, Stop> {
    match Value::bytes(bytes) {
        Some(value) => Ok(value),
        None => payload::make(tx, BlockKind::Bytes, bytes, hash).map(Value::handle),
    }
}

/// Runs `reader` over the bytes of a block.
pub fn with<P: Platform, R>(tx: &Participant<P>, handle: Handle, reader: impl FnOnce(&[u8]) -> R) -> Result<R, Stop> {
    payload::with(tx, handle, BlockKind::Bytes, reader)
}

/// Length of the bytes of a block.
pub fn len<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<u64, Stop> {
    payload::len(tx, handle, BlockKind::Bytes)
}

/// Whether a block holds exactly `bytes`.
pub(super) fn equals<P: Platform>(tx: &Participant<P>, handle: Handle, bytes: &[u8]) -> Result<bool, Stop> {
    payload::equals(tx, handle, BlockKind::Bytes, bytes)
}
