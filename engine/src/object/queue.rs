//! Bounded queue: puts and gets are transactions or part of one, and wait by `retry`.
//!
//! ```text
//! Queue block   [capacity][unused][spine of the slots: first cell, directory cell][head cell]
//!               [8 words unused][tail cell]          head and tail are kept off each other's cache lines
//! ```
//! 1. The head counts what was taken, the tail what was put. Item n stands in slot n % capacity, which is absent before
//!    it was put and after it was taken.
//! 2. So whoever puts looks at the tail and one slot, whoever takes at the head and one slot: they conflict with each
//!    other only where the queue is full or empty, and then on that slot; that is also the cell that wakes them.
//! 3. Memory for the slots is made as the queue is filled for the first time, and kept.

use super::block::{allocate, corrupt, fill_absent, fill_plain, open_container, plain, read_count, write_count};
use super::vector::{MOST_PLACES, Vector};
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::{QUEUE_CELLS, QUEUE_PREFIX_WORDS, SPINE_CELLS};
use crate::transaction::Participant;
use crate::word::{BlockKind, CELL_WORDS, CellAddress, Handle, INT_MAX, Value, WordAddress};

/// Payload words of a queue block, all but the plain prefix being cells (those between head and tail are never used).
const WORDS: u64 = QUEUE_PREFIX_WORDS + QUEUE_CELLS * CELL_WORDS;

const MOST_OPERATIONS: u64 = INT_MAX as u64 - 1;

/// An opened queue.
#[derive(Clone, Copy)]
struct Queue {
    payload: WordAddress,
    capacity: u64,
}

impl Queue {
    #[inline]
    fn open<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Self, Stop> {
        let payload = open_container(tx, handle, BlockKind::Queue, WORDS)?;
        let capacity = plain(tx, payload);
        if capacity == 0 || capacity > MOST_PLACES {
            return Err(corrupt("the capacity of a queue", payload, capacity));
        }
        Ok(Self { payload, capacity })
    }

    #[inline]
    fn cell(self, index: u64) -> CellAddress {
        CellAddress::new(self.payload.offset(QUEUE_PREFIX_WORDS)).offset(index)
    }
    #[inline]
    fn slots(self) -> Vector {
        Vector::new(self.cell(0))
    }
    #[inline]
    fn head(self) -> CellAddress {
        self.cell(SPINE_CELLS)
    }
    #[inline]
    fn tail(self) -> CellAddress {
        self.cell(QUEUE_CELLS - 1)
    }
}

/// Makes an empty queue for `capacity` items: at least 1, at most what a space has cells for.
pub fn create<P: Platform>(tx: &mut Participant<P>, capacity: u64) -> Result<Handle, Stop> {
    let (handle, payload) = allocate(tx, BlockKind::Queue, WORDS)?;
    fill_plain(tx, payload, [capacity.clamp(1, MOST_PLACES), 0].into_iter());
    fill_absent(tx, CellAddress::new(payload.offset(QUEUE_PREFIX_WORDS)), QUEUE_CELLS);
    Ok(handle)
}

/// How many items it holds at most.
pub fn capacity<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<u64, Stop> {
    Ok(Queue::open(tx, handle)?.capacity)
}

/// How many items it holds. Reads head and tail, so it conflicts with all that put and take.
pub fn len<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<u64, Stop> {
    let queue = Queue::open(tx, handle)?;
    let head = read_count(tx, queue.head(), MOST_OPERATIONS)?;
    let tail = read_count(tx, queue.tail(), MOST_OPERATIONS)?;
    match tail.checked_sub(head) {
        Some(length) if length <= queue.capacity => Ok(length),
        _ => Err(corrupt("head and tail of a queue", queue.head().value_word(), head)),
    }
}

/// Whether an item could be put. Reads what [`try_put`] reads, and so conflicts with those who take only where the queue is full.
pub fn has_room<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<bool, Stop> {
    let queue = Queue::open(tx, handle)?;
    let tail = read_count(tx, queue.tail(), MOST_OPERATIONS)?;
    match queue.slots().find(tx, tail % queue.capacity)? {
        Some(slot) => Ok(tx.read(slot)?.is_absent()),
        None => Ok(true),
    }
}

/// Puts an item. False, and nothing done: the queue is full.
pub fn try_put<P: Platform>(tx: &mut Participant<P>, handle: Handle, value: Value) -> Result<bool, Stop> {
    debug_assert!(!value.is_absent());
    let queue = Queue::open(tx, handle)?;
    let tail = read_count(tx, queue.tail(), MOST_OPERATIONS)?;
    let slot = queue.slots().ensure(tx, tail % queue.capacity)?;
    if !tx.read(slot)?.is_absent() {
        return Ok(false);
    }
    tx.write(slot, value)?;
    write_count(tx, queue.tail(), tail + 1)?;
    Ok(true)
}

/// Takes the oldest item, which is the caller's; `None` if there is none.
pub fn try_get<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Option<Value>, Stop> {
    let queue = Queue::open(tx, handle)?;
    let head = read_count(tx, queue.head(), MOST_OPERATIONS)?;
    let Some(slot) = queue.slots().find(tx, head % queue.capacity)? else { return Ok(None) };
    let value = tx.read(slot)?;
    if value.is_absent() {
        return Ok(None);
    }
    tx.write(slot, Value::ABSENT)?;
    write_count(tx, queue.head(), head + 1)?;
    Ok(Some(value))
}

/// Puts an item; `Err(Stop::Retry)`, to wait for a change and run again, while the queue is full.
pub fn put<P: Platform>(tx: &mut Participant<P>, handle: Handle, value: Value) -> Result<(), Stop> {
    if try_put(tx, handle, value)? { Ok(()) } else { Err(Stop::Retry) }
}

/// Takes the oldest item; `Err(Stop::Retry)`, to wait for a change and run again, while the queue is empty.
pub fn get<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Value, Stop> {
    try_get(tx, handle)?.ok_or(Stop::Retry)
}
