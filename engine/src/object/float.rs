//! Floats: of magnitude 1e-77 to 1e77 and 0.0 in place (see `word::value`), others in a `Float` block: `[bits]`.

use super::block::{allocate, fill_plain, open, plain};
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, Value};

/// A float as a value.
#[inline]
pub fn encode<P: Platform>(tx: &mut Participant<P>, value: f64) -> Result<Value, Stop> {
    match Value::float(value) {
        Some(value) => Ok(value),
        None => make(tx, value),
    }
}

#[cold]
fn make<P: Platform>(tx: &mut Participant<P>, value: f64) -> Result<Value, Stop> {
    let (handle, payload) = allocate(tx, BlockKind::Float, 1)?;
    fill_plain(tx, payload, std::iter::once(value.to_bits()));
    Ok(Value::handle(handle))
}

/// The float in a block.
pub fn decode<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<f64, Stop> {
    let payload = open(tx, handle, BlockKind::Float, 1)?;
    Ok(f64::from_bits(plain(tx, payload)))
}
