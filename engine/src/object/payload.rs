//! Counted bytes in an immutable block: what text and bytes are.
//!
//! ```text
//! [length in bytes][hash, or 0 where nobody has asked for it][bytes ... the tail of the last word is undefined]
//! ```

use super::block::{allocate, fill_plain, fits, open, plain};
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, WordAddress};

const PREFIX_WORDS: u64 = 2;

/// Makes a block of `bytes`.
pub(super) fn make<P: Platform>(
    tx: &mut Participant<P>,
    kind: BlockKind,
    bytes: &[u8],
    hash: u64,
) -> Result<Handle, Stop> {
    let length = bytes.len() as u64;
    let (handle, payload) = allocate(tx, kind, PREFIX_WORDS + length.div_ceil(8))?;
    fill_plain(tx, payload, [length, hash].into_iter());
    let platform = tx.arena().platform();
    platform.retype(payload.offset(PREFIX_WORDS), length.div_ceil(8), crate::platform::WordKind::Plain);
    platform.write_payload(payload.offset(PREFIX_WORDS), bytes);
    Ok(handle)
}

/// First word of the bytes and their number, checked against the block.
fn locate<P: Platform>(tx: &Participant<P>, handle: Handle, kind: BlockKind) -> Result<(WordAddress, usize), Stop> {
    let payload = open(tx, handle, kind, PREFIX_WORDS)?;
    let length = plain(tx, payload);
    fits(tx, handle, payload, length.div_ceil(8).checked_add(PREFIX_WORDS))?;
    Ok((payload.offset(PREFIX_WORDS), length as usize))
}

/// Runs `reader` over the bytes.
pub(super) fn with<P: Platform, R>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    reader: impl FnOnce(&[u8]) -> R,
) -> Result<R, Stop> {
    let (first, length) = locate(tx, handle, kind)?;
    Ok(tx.arena().platform().with_payload(first, length, reader))
}

/// Whether the block holds exactly `bytes`. A wrong length is answered without a look at the rest.
pub(super) fn equals<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    bytes: &[u8],
) -> Result<bool, Stop> {
    let payload = open(tx, handle, kind, PREFIX_WORDS)?;
    if plain(tx, payload) != bytes.len() as u64 {
        return Ok(false);
    }
    with(tx, handle, kind, |stored| stored == bytes)
}

/// Length in bytes.
pub(super) fn len<P: Platform>(tx: &Participant<P>, handle: Handle, kind: BlockKind) -> Result<u64, Stop> {
    Ok(locate(tx, handle, kind)?.1 as u64)
}
