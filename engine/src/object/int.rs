//! Ints of any size: 60 bits in place, larger ones in an `Int` block.
//!
//! ```text
//! [sign << 63 | length in bytes][magnitude, little-endian ... the tail of the last word is undefined]
//! ```
//! One number has one form: in place if it fits, else without leading zero bytes.

use super::block::{allocate, fill_plain, fits, open, plain};
use super::key::{small, trimmed};
use crate::error::Stop;
use crate::platform::{Platform, WordKind};
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, Value};

const NEGATIVE: u64 = 1 << 63;

/// An int as a value.
#[inline]
pub fn encode<P: Platform>(tx: &mut Participant<P>, value: i64) -> Result<Value, Stop> {
    match Value::int(value) {
        Some(value) => Ok(value),
        None => make(tx, value < 0, &value.unsigned_abs().to_le_bytes()),
    }
}

/// An int of any size, by sign and little-endian magnitude. Leading zeros are understood.
pub fn encode_large<P: Platform>(tx: &mut Participant<P>, negative: bool, magnitude: &[u8]) -> Result<Value, Stop> {
    match small(negative, magnitude).and_then(Value::int) {
        Some(value) => Ok(value),
        None => make(tx, negative, magnitude),
    }
}

#[cold]
fn make<P: Platform>(tx: &mut Participant<P>, negative: bool, magnitude: &[u8]) -> Result<Value, Stop> {
    let magnitude = trimmed(magnitude);
    let length = magnitude.len() as u64;
    let (handle, payload) = allocate(tx, BlockKind::Int, 1 + length.div_ceil(8))?;
    fill_plain(tx, payload, std::iter::once(if negative { NEGATIVE | length } else { length }));
    let platform = tx.arena().platform();
    platform.retype(payload.offset(1), length.div_ceil(8), WordKind::Plain);
    platform.write_payload(payload.offset(1), magnitude);
    Ok(Value::handle(handle))
}

/// Runs `reader` over sign and little-endian magnitude of a block.
pub fn with<P: Platform, R>(
    tx: &Participant<P>,
    handle: Handle,
    reader: impl FnOnce(bool, &[u8]) -> R,
) -> Result<R, Stop> {
    let payload = open(tx, handle, BlockKind::Int, 1)?;
    let word = plain(tx, payload);
    let length = word & !NEGATIVE;
    fits(tx, handle, payload, length.div_ceil(8).checked_add(1))?;
    let negative = word & NEGATIVE != 0;
    let platform = tx.arena().platform();
    Ok(platform.with_payload(payload.offset(1), length as usize, |magnitude| reader(negative, magnitude)))
}
