//! Who names what: each block of an immutable value has one name, so that whoever overwrites it can give the block back.
//!
//! 1. A text, bytes, int, float or tuple block is named by one word: of a cell, of an entry, or of a tuple. A value that is read
//!    from one place and written to another *moves*, or is copied ([`copy`]). A block that was made to have several names
//!    (`Participant::share`) goes, with all that it names, when a collection finds that nothing names it.
//! 2. What an operation takes out and returns belongs to the caller: it moves it, or it [`discard`]s it. What it takes out
//!    without returning it, it discards.
//! 3. Lists, dicts and queues may have any number of names. They are neither copied nor discarded here.

use super::block::{allocate, corrupt, fill_plain, plain, room};
use super::{memory, tuple};
use crate::error::Stop;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, Handle, Value};

/// Gives back the blocks of a value that this attempt has taken out of the space, with those of the tuples in it.
pub fn discard<P: Platform>(tx: &mut Participant<P>, value: Value) -> Result<(), Stop> {
    match value.as_handle() {
        None => Ok(()),
        Some(handle) => discard_blocks(tx, handle),
    }
}

#[inline(never)]
fn discard_blocks<P: Platform>(tx: &mut Participant<P>, first: Handle) -> Result<(), Stop> {
    // Nearly always the first is the only one: then nothing is allocated.
    let (mut next, mut left) = (Some(first), Vec::new());
    // Bound: tuples name what was there before them; a ring that damage made ends when the record is full.
    while let Some(handle) = next.take().or_else(|| left.pop()) {
        match tx.kind(handle)? {
            kind if kind.is_container() || tx.is_shared(handle) => {
                tx.note_dropped_name();
                continue;
            }
            BlockKind::Tuple => {
                for index in 0..tuple::len(tx, handle)? {
                    if let Some(part) = tuple::item(tx, handle, index)?.and_then(Value::as_handle) {
                        memory::push(tx, &mut left, part)?;
                    }
                }
            }
            BlockKind::Text | BlockKind::Bytes | BlockKind::Int | BlockKind::Float => {}
            part => return Err(corrupt("a value that names a part of an object", handle.block(), part as u64)),
        }
        tx.discard(handle)?;
    }
    Ok(())
}

/// The same value under a name of its own.
pub fn copy<P: Platform>(tx: &mut Participant<P>, value: Value) -> Result<Value, Stop> {
    match value.as_handle() {
        None => Ok(value),
        Some(handle) => copy_block(tx, handle, 0),
    }
}

/// Tuples in tuples at most: more than any that were made, fewer than a stack holds.
const MOST_NESTED: u32 = 1000;

fn copy_block<P: Platform>(tx: &mut Participant<P>, handle: Handle, depth: u32) -> Result<Value, Stop> {
    match tx.kind(handle)? {
        _ if tx.is_shared(handle) => Ok(Value::handle(handle)),
        BlockKind::Tuple if depth < MOST_NESTED => {
            let mut items = Vec::new();
            for index in 0..tuple::len(tx, handle)? {
                let item = tuple::item(tx, handle, index)?.unwrap_or(Value::NONE);
                let copied = match item.as_handle() {
                    None => item,
                    Some(part) => copy_block(tx, part, depth + 1)?,
                };
                memory::push(tx, &mut items, copied)?;
            }
            tuple::encode(tx, &items)
        }
        kind @ (BlockKind::Text | BlockKind::Bytes | BlockKind::Int | BlockKind::Float) => {
            // The room of its class: at most an eighth more than was asked for, and every word of it was written or is nobody's.
            let words = room(tx, handle)?;
            let from = handle.block().offset(BLOCK_HEADER_WORDS);
            let (copied, payload) = allocate(tx, kind, words)?;
            fill_plain(tx, payload, (0..words as usize).map(|index| plain(tx, from.offset(index as u64))));
            Ok(Value::handle(copied))
        }
        BlockKind::List | BlockKind::Dict | BlockKind::Queue => Ok(Value::handle(handle)),
        part => Err(corrupt("a value that names a part of an object", handle.block(), part as u64)),
    }
}
