//! Opening, filling and counting: what every object does with its blocks.
//!
//! Invariants:
//! 1. No word is accessed unless the check that keeps it inside the space has passed: lengths, indices and counts come
//!    from shared memory, and anybody may have damaged them. A structure of fixed size is checked as it is opened
//!    ([`open`]). A structure of counted size is checked against the room of its block ([`room`]); an array of cells,
//!    which lies on the path of every lookup, against its own count, which stands in the line that opening the block has
//!    just brought, and against the end of the space.
//! 2. Whoever allocates a block writes each word that anybody will ever look at, before the handle leaves this attempt.

use crate::allocator;
use crate::error::{Corrupt, Counted, Full, Stop};
use crate::platform::{Ordering, Platform, WordKind};
use crate::shape::CELLS_PREFIX;
use crate::transaction::Participant;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, CellAddress, Handle, Value, WordAddress};

/// Damage at `address`.
#[cold]
#[inline(never)]
pub(super) fn corrupt(what: &'static str, address: WordAddress, word: u64) -> Stop {
    Corrupt { what, byte_offset: address.byte_offset(), word }.into()
}

/// Opens a block that a user named, of which `words` payload words will be looked at.
#[inline(always)]
pub(super) fn open<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    words: u64,
) -> Result<WordAddress, Stop> {
    if allocator::is_small_in_use(tx.arena(), handle, kind, words) {
        return Ok(handle.block().offset(BLOCK_HEADER_WORDS));
    }
    open_slowly(tx, handle, kind, words)
}

#[cold]
#[inline(never)]
fn open_slowly<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    words: u64,
) -> Result<WordAddress, Stop> {
    let payload = tx.open(handle, kind)?;
    within_space(tx, payload, words)?;
    Ok(payload)
}

/// Opens a container, and names it first: the process may let go of it before the attempt is through, or hold it no more (a child that has not copied what its parent held). If it
/// is LIVE behind the name and its fence, whoever would free it finds the name. One that an attempt of somebody else has made, and has not committed, is not there.
#[inline(always)]
pub(super) fn open_container<P: Platform>(
    tx: &mut Participant<P>,
    handle: Handle,
    kind: BlockKind,
    words: u64,
) -> Result<WordAddress, Stop> {
    tx.name(handle)?;
    if tx.has_names_in_doubt() || !allocator::is_small_live(tx.arena(), handle, kind, words) {
        open_unpublished(tx, handle, kind, words)?;
    }
    Ok(handle.block().offset(BLOCK_HEADER_WORDS))
}

#[cold]
#[inline(never)]
fn open_unpublished<P: Platform>(tx: &Participant<P>, handle: Handle, kind: BlockKind, words: u64) -> Result<(), Stop> {
    let found = tx.check_named(handle)?.kind;
    if found != kind {
        return Err(Stop::WrongKind { wanted: kind, found });
    }
    within_space(tx, handle.block(), BLOCK_HEADER_WORDS + words)
}

/// Opens a block that is a part of a container: another kind than the wanted one is damage, not somebody's mistake.
#[inline(always)]
pub(super) fn open_part<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    words: u64,
) -> Result<WordAddress, Stop> {
    if allocator::is_small_in_use(tx.arena(), handle, kind, words) {
        return Ok(handle.block().offset(BLOCK_HEADER_WORDS));
    }
    open_part_slowly(tx, handle, kind, words)
}

#[cold]
#[inline(never)]
fn open_part_slowly<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    kind: BlockKind,
    words: u64,
) -> Result<WordAddress, Stop> {
    open_slowly(tx, handle, kind, words).map_err(|stop| match stop {
        Stop::WrongKind { found, .. } => corrupt("the kind of a part of a container", handle.block(), found as u64),
        other => other,
    })
}

/// Checks that `words` words from `first` lie inside the space. `first` does.
#[inline]
pub(super) fn within_space<P: Platform>(tx: &Participant<P>, first: WordAddress, words: u64) -> Result<(), Stop> {
    let end = tx.arena().layout().geometry().space_words;
    if words > end.saturating_sub(first.index()) {
        return Err(corrupt("a block that the end of the space cuts off", first, words));
    }
    Ok(())
}

/// Payload words of the block.
#[inline]
pub(super) fn room<P: Platform>(tx: &Participant<P>, handle: Handle) -> Result<u64, Stop> {
    allocator::payload_words(tx.arena(), handle)
}

/// Checks a count read at `address` against the room that the block has for it.
#[inline]
pub(super) fn fits<P: Platform>(
    tx: &Participant<P>,
    handle: Handle,
    address: WordAddress,
    words: Option<u64>,
) -> Result<(), Stop> {
    match words {
        Some(words) if words <= room(tx, handle)? => within_space(tx, handle.block(), BLOCK_HEADER_WORDS + words),
        _ => Err(corrupt("a length that does not fit its block", address, plain(tx, address))),
    }
}

/// One word of immutable payload.
#[inline]
pub(super) fn plain<P: Platform>(tx: &Participant<P>, address: WordAddress) -> u64 {
    tx.arena().platform().load_plain(address)
}

/// Makes a block; gives its handle and its first payload word.
pub(super) fn allocate<P: Platform>(
    tx: &mut Participant<P>,
    kind: BlockKind,
    payload_words: u64,
) -> Result<(Handle, WordAddress), Stop> {
    let handle = tx.allocate(kind, payload_words)?;
    Ok((handle, handle.block().offset(BLOCK_HEADER_WORDS)))
}

/// Writes immutable payload of a block that this attempt has allocated.
pub(super) fn fill_plain<P: Platform>(
    tx: &Participant<P>,
    first: WordAddress,
    words: impl ExactSizeIterator<Item = u64>,
) {
    let platform = tx.arena().platform();
    platform.retype(first, words.len() as u64, WordKind::Plain);
    for (index, word) in words.enumerate() {
        platform.store_plain(first.offset(index as u64), word);
    }
}

/// Empties `cells` cells of a block that this attempt has allocated: version 0, free, absent.
pub(super) fn fill_absent<P: Platform>(tx: &Participant<P>, first: CellAddress, cells: u64) {
    let platform = tx.arena().platform();
    let (first, words) = (first.lock_word(), cells * crate::word::CELL_WORDS);
    platform.retype(first, words, WordKind::Atomic);
    for index in 0..words {
        // Relaxed: the block is private. It is published by the release store of the cell that will name it.
        platform.store(first.offset(index), 0, Ordering::Relaxed);
    }
}

/// Makes an array of absent cells.
pub(super) fn allocate_cells<P: Platform>(tx: &mut Participant<P>, cells: u64) -> Result<(Handle, CellAddress), Stop> {
    let (handle, payload) = allocate(tx, BlockKind::Cells, CELLS_PREFIX + cells * crate::word::CELL_WORDS)?;
    fill_plain(tx, payload, [cells, 0].into_iter());
    let first = CellAddress::new(payload.offset(CELLS_PREFIX));
    fill_absent(tx, first, cells);
    Ok((handle, first))
}

/// The cell at `offset` of an array of cells.
#[inline(always)]
pub(super) fn cell_of<P: Platform>(tx: &Participant<P>, array: Handle, offset: u64) -> Result<CellAddress, Stop> {
    let words = CELLS_PREFIX + (offset + 1) * crate::word::CELL_WORDS;
    if allocator::is_in_use(tx.arena(), array, BlockKind::Cells, words) {
        let payload = array.block().offset(BLOCK_HEADER_WORDS);
        if offset < plain(tx, payload) {
            return Ok(CellAddress::new(payload.offset(CELLS_PREFIX)).offset(offset));
        }
    }
    cell_of_slowly(tx, array, offset)
}

#[cold]
#[inline(never)]
fn cell_of_slowly<P: Platform>(tx: &Participant<P>, array: Handle, offset: u64) -> Result<CellAddress, Stop> {
    let payload = open_part(tx, array, BlockKind::Cells, CELLS_PREFIX)?;
    if offset >= plain(tx, payload) {
        return Err(corrupt("an array of cells that is too short for its place", payload, plain(tx, payload)));
    }
    let cell = CellAddress::new(payload.offset(CELLS_PREFIX)).offset(offset);
    within_space(tx, payload, CELLS_PREFIX + (offset + 1) * crate::word::CELL_WORDS)?;
    Ok(cell)
}

/// The handle that a value is; anything else is damage, read at `cell`.
#[inline(always)]
pub(super) fn handle_of(value: Value, cell: CellAddress) -> Result<Handle, Stop> {
    match value.as_handle() {
        Some(handle) => Ok(handle),
        None => Err(corrupt("a part of a container", cell.value_word(), value.raw())),
    }
}

/// Reads a counter that is at most `most`. A cell that was never written counts 0.
#[inline(always)]
pub(super) fn read_count<P: Platform>(tx: &mut Participant<P>, cell: CellAddress, most: u64) -> Result<u64, Stop> {
    let value = tx.read(cell)?;
    match value.as_int() {
        Some(count) if count as u64 <= most => Ok(count as u64),
        _ if value.is_absent() => Ok(0),
        _ => Err(corrupt("a counter of a container", cell.value_word(), value.raw())),
    }
}

/// About what a counter says: nothing is logged by it, and it may be wrong. 0: it has to be read.
#[inline]
pub(super) fn glance_at_count<P: Platform>(tx: &Participant<P>, cell: CellAddress, most: u64) -> u64 {
    tx.glance(cell).and_then(Value::as_int).map_or(0, |count| (count.max(0) as u64).min(most))
}

/// Writes a counter.
#[inline]
pub(super) fn write_count<P: Platform>(tx: &mut Participant<P>, cell: CellAddress, count: u64) -> Result<(), Stop> {
    tx.write(cell, count_value(count))
}

/// A counter as a value. Counters stay below 2^59: they count cells, or operations one by one.
#[inline]
pub(super) fn count_value(count: u64) -> Value {
    debug_assert!(count <= crate::word::INT_MAX as u64);
    Value::int(count as i64).unwrap_or(Value::ABSENT)
}

/// A container that cannot grow any further.
#[cold]
pub(super) fn too_large(most: u64) -> Stop {
    Full::TooMany { what: Counted::Places, most }.into()
}
