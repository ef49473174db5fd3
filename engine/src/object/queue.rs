//! Bounded queue: puts and gets are transactions or part of one, and wait by `retry`.
//!
//! ```text
//! Queue block   [capacity][unused][spine of the slots: first cell, directory cell][ring cell][6 words unused]
//!               [head cell][8 words unused][tail cell]
//!               what all read, the head and the tail are kept off each other's cache lines
//! ```
//! 1. The head counts what was taken, the tail what was put. Items stand in a ring of slots ([`Ring`]). A slot is absent
//!    before something was put there and after it was taken.
//! 2. So whoever puts looks at the tail and one slot, whoever takes at the head and one slot: they conflict with each
//!    other only where the queue is full or empty, and then on that slot, which is also the cell that wakes them; and once each time round a ring that is shorter than the capacity (3).
//! 3. The ring is as large as what is in the queue asks for, not as the capacity: 8 slots, or the capacity if that is less; it is doubled, up to the capacity,
//!    by whoever has come round and finds more than a half taken, or finds all taken. So it has less than four slots for each of the most items that the queue ever held, and 8.
//!    No item is moved for that: a put costs the same, whatever the queue holds. The memory of the slots is kept.
//! 4. The ring cell says how it stands. It is read by all, and written where the ring changes alone. A queue for 8 items or less has no need of it.

use super::block::{allocate, corrupt, fill_absent, fill_plain, open_container, plain, read_count, write_count};
use super::vector::{FIRST_PLACES, MOST_PLACES, Vector};
use crate::error::Stop;
use crate::platform::Platform;
use crate::shape::{QUEUE_CELLS, QUEUE_PREFIX_WORDS, SPINE_CELLS};
use crate::transaction::Participant;
use crate::word::{BlockKind, CELL_WORDS, CellAddress, Handle, INT_MAX, Value, WordAddress};

/// Payload words of a queue block, all but the plain prefix being cells (those between head and tail are never used).
const WORDS: u64 = QUEUE_PREFIX_WORDS + QUEUE_CELLS * CELL_WORDS;

const MOST_OPERATIONS: u64 = INT_MAX as u64 - 1;

/// The cell that says how the ring stands.
const RING_CELL: u64 = SPINE_CELLS;
/// The next one that is on another line, wherever a block begins.
const HEAD_CELL: u64 = RING_CELL + 4;
/// More doublings of the first eight slots lead past [`MOST_PLACES`].
const MOST_DOUBLINGS: u64 = 31;
const _: () = assert!(FIRST_PLACES << MOST_DOUBLINGS >= MOST_PLACES && MOST_PLACES < 1 << 35);

/// The ring of slots: item `first + k` stands on step `k % steps`.
///
/// Where all were taken on the way round, new ones were put in behind: what had been the whole ring, of `turned` slots, are
/// the first steps now, and begin with the slot `first`, that of the oldest item. All other steps are the slots of their number.
///
/// ```text
/// all taken     [4][5][2][3]              2 is the oldest
/// doubled       [4][5][2][3][ ][ ][ ][ ]  turned 4, first 2: steps 0 to 3 are the slots 2, 3, 0, 1
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ring {
    doublings: u64,
    steps: u64,
    turned: u64,
    first: u64,
}

impl Ring {
    /// `doublings`, those that `turned` had, `first`: 5, 5 and 35 bits of the ring cell.
    #[inline]
    fn unpack(word: u64, capacity: u64) -> Option<Self> {
        let (doublings, turned, first) = (word & 31, word >> 5 & 31, word >> 10);
        if doublings > MOST_DOUBLINGS {
            return None;
        }
        let steps = capacity.min(FIRST_PLACES << doublings);
        if first == 0 {
            return Some(Self { doublings, steps, turned: 0, first });
        }
        let turned = FIRST_PLACES << turned;
        (turned < steps && first < turned).then_some(Self { doublings, steps, turned, first })
    }
    fn pack(self) -> u64 {
        let turned = if self.turned == 0 { 0 } else { (self.turned / FIRST_PLACES).ilog2().into() };
        self.doublings | turned << 5 | self.first << 10
    }
    /// The slot of the item, if it is one.
    #[inline]
    fn slot(self, item: u64) -> Option<u64> {
        let step = item.checked_sub(self.first)? % self.steps;
        if step >= self.turned {
            return Some(step);
        }
        let slot = step + self.first;
        Some(if slot < self.turned { slot } else { slot - self.turned })
    }
    /// Whether the ring has been gone round where the tail stands.
    #[inline]
    fn is_round(self, tail: u64) -> bool {
        tail > self.first && (tail - self.first).is_multiple_of(self.steps)
    }
    fn doubled(self, capacity: u64) -> Self {
        Self { doublings: self.doublings + 1, steps: capacity.min(2 * self.steps), ..self }
    }
}

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
        self.cell(HEAD_CELL)
    }
    #[inline]
    fn tail(self) -> CellAddress {
        self.cell(QUEUE_CELLS - 1)
    }
    fn ring_cell(self) -> CellAddress {
        self.cell(RING_CELL)
    }

    #[inline]
    fn ring<P: Platform>(self, tx: &mut Participant<P>) -> Result<Ring, Stop> {
        if self.capacity <= FIRST_PLACES {
            return Ok(Ring { doublings: 0, steps: self.capacity, turned: 0, first: 0 });
        }
        let word = read_count(tx, self.ring_cell(), MOST_OPERATIONS)?;
        Ring::unpack(word, self.capacity)
            .ok_or_else(|| corrupt("the ring of a queue", self.ring_cell().value_word(), word))
    }

    /// The slot of an item.
    #[inline]
    fn slot(self, ring: Ring, item: u64) -> Result<u64, Stop> {
        ring.slot(item).ok_or_else(|| self.disagrees(item))
    }
    #[cold]
    fn disagrees(self, item: u64) -> Stop {
        corrupt("head, tail and ring of a queue", self.ring_cell().value_word(), item)
    }

    /// Head and tail, and how many are in between.
    fn counts<P: Platform>(self, tx: &mut Participant<P>) -> Result<(u64, u64), Stop> {
        let head = read_count(tx, self.head(), MOST_OPERATIONS)?;
        let tail = read_count(tx, self.tail(), MOST_OPERATIONS)?;
        match tail.checked_sub(head) {
            Some(length) if length <= self.capacity => Ok((head, length)),
            _ => Err(corrupt("head and tail of a queue", self.head().value_word(), head)),
        }
    }

    /// The ring changes, and with it the count of the oldest item. Gives the tail. The step that the tail comes to gets its memory first: without, nothing changes.
    fn change<P: Platform>(
        self,
        tx: &mut Participant<P>,
        ring: Ring,
        oldest: (u64, u64),
        length: u64,
    ) -> Result<(Ring, u64), Stop> {
        let (head, now) = oldest;
        let tail = now + length;
        self.slots().ensure(tx, self.slot(ring, tail)?)?;
        write_count(tx, self.ring_cell(), ring.pack())?;
        if now != head {
            write_count(tx, self.head(), now)?;
        }
        write_count(tx, self.tail(), tail)?;
        Ok((ring, tail))
    }

    /// The tail has come round in a ring that could be larger. At most a half taken: all of that is on the second half of the steps, and the first slots serve again.
    /// Otherwise the ring is doubled at its end. Whether it is so the last step of the first half tells, so that the head is left alone.
    #[cold]
    fn come_round<P: Platform>(self, tx: &mut Participant<P>, ring: Ring, tail: u64) -> Result<(Ring, u64), Stop> {
        let middle = self.slot(ring, tail - ring.steps / 2 - 1)?;
        if !self.slots().read(tx, middle)?.is_absent() {
            let (head, length) = self.counts(tx)?;
            // Steps keep their slots: the items are those of the first time round.
            let now = (ring.first + ring.steps).checked_sub(length).filter(|now| *now >= ring.first);
            let now = now.ok_or_else(|| self.disagrees(head))?;
            return self.change(tx, ring.doubled(self.capacity), (head, now), length);
        }
        if ring.first == 0 {
            return Ok((ring, tail));
        }
        // What was turned is empty.
        let (head, length) = self.counts(tx)?;
        let now =
            ring.steps.checked_sub(length).filter(|now| *now >= ring.turned).ok_or_else(|| self.disagrees(head))?;
        self.change(tx, Ring { turned: 0, first: 0, ..ring }, (head, now), length)
    }

    /// All is taken, in the middle of the way round, of a ring that could be larger: it is doubled there.
    #[cold]
    fn open_up<P: Platform>(self, tx: &mut Participant<P>, ring: Ring) -> Result<(Ring, u64), Stop> {
        let (head, length) = self.counts(tx)?;
        let first = head % ring.steps;
        if ring.first != 0 || length != ring.steps || first == 0 {
            return Err(self.disagrees(head));
        }
        let doubled = Ring { turned: ring.steps, first, ..ring.doubled(self.capacity) };
        self.change(tx, doubled, (head, first), length)
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
    Ok(Queue::open(tx, handle)?.counts(tx)?.1)
}

/// Whether an item could be put. Reads no more than [`try_put`], and so conflicts with those who take only where the queue is full.
pub fn has_room<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<bool, Stop> {
    let queue = Queue::open(tx, handle)?;
    let ring = queue.ring(tx)?;
    if ring.steps < queue.capacity {
        return Ok(true);
    }
    let tail = read_count(tx, queue.tail(), MOST_OPERATIONS)?;
    let slot = queue.slot(ring, tail)?;
    Ok(queue.slots().read(tx, slot)?.is_absent())
}

/// Puts an item. False, and nothing done: the queue is full.
pub fn try_put<P: Platform>(tx: &mut Participant<P>, handle: Handle, value: Value) -> Result<bool, Stop> {
    debug_assert!(!value.is_absent());
    let queue = Queue::open(tx, handle)?;
    let mut ring = queue.ring(tx)?;
    let mut tail = read_count(tx, queue.tail(), MOST_OPERATIONS)?;
    if ring.steps < queue.capacity && ring.is_round(tail) {
        (ring, tail) = queue.come_round(tx, ring, tail)?;
    }
    let mut slot = queue.slots().ensure(tx, queue.slot(ring, tail)?)?;
    if !tx.read(slot)?.is_absent() {
        if ring.steps == queue.capacity {
            return Ok(false);
        }
        (ring, tail) = queue.open_up(tx, ring)?;
        slot = queue.slots().ensure(tx, queue.slot(ring, tail)?)?;
    }
    tx.write(slot, value)?;
    write_count(tx, queue.tail(), tail + 1)?;
    Ok(true)
}

/// Takes the oldest item, which is the caller's; `None` if there is none.
pub fn try_get<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Option<Value>, Stop> {
    let queue = Queue::open(tx, handle)?;
    let ring = queue.ring(tx)?;
    let head = read_count(tx, queue.head(), MOST_OPERATIONS)?;
    let Some(slot) = queue.slots().find(tx, queue.slot(ring, head)?)? else { return Ok(None) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step has a slot of its own below the number of steps, and the cell says the same as the ring.
    #[test]
    fn steps_are_slots() {
        for capacity in [9, 10, 15, 16, 17, 40] {
            for doublings in 0..4 {
                for (turned, first) in
                    (0..doublings.max(1)).flat_map(|turned| (0..40).map(move |first| (turned, first)))
                {
                    let Some(ring) = Ring::unpack(doublings | turned << 5 | first << 10, capacity) else { continue };
                    assert_eq!(Ring::unpack(ring.pack(), capacity), Some(ring));
                    let mut slots: Vec<_> = (0..ring.steps).map(|step| ring.slot(first + step).unwrap()).collect();
                    assert_eq!(ring.slot(first), Some(first));
                    slots.sort_unstable();
                    assert!(slots.into_iter().eq(0..ring.steps), "{ring:?}");
                }
            }
        }
    }
}
