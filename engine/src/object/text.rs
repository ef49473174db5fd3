//! Str: up to 7 bytes of UTF-8 in place, longer ones in a `Text` block (see `payload`).

use super::payload;
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, Value};

/// A str as a value.
#[inline]
pub fn encode<P: Platform>(tx: &mut Participant<P>, text: &str) -> Result<Value, Stop> {
    encode_hashed(tx, text, 0)
}

/// The same, where the hash is known.
#[inline]
pub(super) fn encode_hashed<P: Platform>(tx: &mut Participant<P>, text: &str, hash: u64) -> Result<Value, Stop> {
    match Value::text(text.as_bytes()) {
        Some(value) => Ok(value),
        None => payload::make(tx, BlockKind::Text, text.as_bytes(), hash).map(Value::handle),
    }
}

/// Runs `reader` over the text of a block. Bytes that are not UTF-8 are damage: whoever encoded them had a str.
pub fn with<P: Platform, R>(tx: &Participant<P>, handle: Handle, reader: impl FnOnce(&str) -> R) -> Result<R, Stop> {
    let read = payload::with(tx, handle, BlockKind::Text, |bytes| std::str::from_utf8(bytes).map(reader))?;
    read.map_err(|error| {
        let address = handle.block().offset(BLOCK_HEADER_WORDS);
        super::block::corrupt("text that is not UTF-8", address, error.valid_up_to() as u64)
    })
}

/// Whether a block holds exactly `text`.
pub(super) fn equals<P: Platform>(tx: &Participant<P>, handle: Handle, text: &str) -> Result<bool, Stop> {
    payload::equals(tx, handle, BlockKind::Text, text.as_bytes())
}
