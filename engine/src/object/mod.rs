//! Objects: what a user sees, built on transactions only. No file here knows what a lock word is.
//!
//! Everything takes a participant that is inside an attempt. Mutable objects are blocks of cells, changed by `read` and
//! `write`; immutable ones are plain payload, written while their block is private and published with the cell that
//! comes to name it. All values are tagged words (`word::value`): small ones in place, all else by handle.
//!
//! ```text
//! text bytes int float tuple   immutable values, `encode`d from and read to what a process knows
//! key                          keys of dicts: hash and equality
//! vector                       the array of cells that grows in place, under all that follow
//! list dict queue              the mutable objects
//! memory                       what an operation notes outside of the space
//! ownership                    which names a value may have, and who gives its blocks back
//! ```
//! Damage: words read here may hold anything. A value is decoded fallibly, a length or count is checked before an address
//! is computed from it (`block`), each loop over shared words has a bound that no damage can raise past the memory that is
//! there. What does not add up is a `Stop::Corrupt`.

mod block;
pub mod bytes;
pub mod dict;
pub mod float;
pub mod int;
pub mod key;
pub mod list;
mod memory;
mod ownership;
mod payload;
pub mod queue;
pub mod text;
pub mod tuple;
mod vector;

pub use ownership::{copy, discard};

use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BlockKind, Handle, InlineBytes, Unpacked, Value, WordAddress};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// Python's None.
    None,
    /// True or False.
    Bool(bool),
    /// An int of up to 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// Up to 7 bytes of text. UTF-8 as it was written; check it before you trust it.
    ShortText(InlineBytes),
    /// Up to 7 bytes.
    ShortBytes(InlineBytes),
    /// Text, for `text::with`.
    Text(Handle),
    /// Bytes, for `bytes::with`.
    Bytes(Handle),
    /// An int of more than 64 bits, for `int::with`.
    LargeInt(Handle),
    /// A tuple, for `tuple::len` and `tuple::item`.
    Tuple(Handle),
    /// A mutable object: a list, a dict or a queue.
    Shared(BlockKind, Handle),
}

/// Decodes a value. An absent one, and a handle of what is a part of an object only, are damage.
#[inline]
pub fn view<P: Platform>(tx: &Participant<P>, value: Value) -> Result<View, Stop> {
    match value.unpack() {
        Some(Unpacked::None) => Ok(View::None),
        Some(Unpacked::Bool(value)) => Ok(View::Bool(value)),
        Some(Unpacked::Int(value)) => Ok(View::Int(value)),
        Some(Unpacked::Float(value)) => Ok(View::Float(value)),
        Some(Unpacked::Text(text)) => Ok(View::ShortText(text)),
        Some(Unpacked::Bytes(bytes)) => Ok(View::ShortBytes(bytes)),
        Some(Unpacked::Handle(handle)) => view_block(tx, handle),
        Some(Unpacked::Absent) | None => Err(block::corrupt("a value", WordAddress::new(0), value.raw())),
    }
}

fn view_block<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<View, Stop> {
    match tx.kind(handle)? {
        BlockKind::Text => Ok(View::Text(handle)),
        BlockKind::Bytes => Ok(View::Bytes(handle)),
        BlockKind::Float => float::decode(tx, handle).map(View::Float),
        BlockKind::Int => {
            let small = int::with(tx, handle, key::small)?;
            Ok(small.map_or(View::LargeInt(handle), View::Int))
        }
        BlockKind::Tuple => Ok(View::Tuple(handle)),
        kind @ (BlockKind::List | BlockKind::Dict | BlockKind::Queue) => Ok(View::Shared(kind, handle)),
        kind @ (BlockKind::None
        | BlockKind::Cells
        | BlockKind::DictEntry
        | BlockKind::DictTable
        | BlockKind::DictBucket
        | BlockKind::Log
        | BlockKind::Holds) => {
            Err(block::corrupt("a value that names a part of an object", handle.block(), kind as u64))
        }
    }
}
