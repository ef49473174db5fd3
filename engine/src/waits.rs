//! Who waits for whom, seen from outside: for whoever kills, stops or explains, and has to know whom that concerns.
//!
//! Reads only. What it says of an attempt that runs may be wrong by the time that it is told; of one that is dead or stopped it
//! holds until somebody clears up.
//!
//! 1. [`Holdings`]: an attempt, its state, and the cells that carry its lock (the privilege token counts as one).
//! 2. [`wait_for`]: whether somebody waits for such an attempt, and where. In its place: the attempt's `queue_to` names the waiter,
//!    who says WAITING. In the second row: the waiter's bit stands in the bucket of one of the cells. Buckets are shared, so
//!    where two attempts have cells of one bucket, whoever sleeps there counts as waiting for either.
//!
//! Not seen: who spins on a PREPARED or COMMITTED attempt, or was stopped by one; nobody writes that down.

use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::contention::Standing;
use crate::error::Corrupt;
use crate::participant::{EntryKind, Slot, WaitingFor, entries, status_of};
use crate::platform::{Ordering, Platform};
use crate::word::{AttemptId, CellAddress, ENTRY_MASK, LockWord, LockedBy, ParticipantId, State, Status};

/// What an attempt holds.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// Which attempt.
    pub attempt: AttemptId,
    /// In which state it was.
    pub state: State,
    /// Whether it had privilege.
    pub standing: Standing,
    /// How many cells carried its lock.
    pub cells: u64,
    /// Their wait buckets, in order.
    buckets: Vec<u64>,
}

/// Where somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In the one place at the owner, keeping what he has.
    InPlace,
    /// In the second row, or for the token, holding nothing.
    SecondRow,
}

impl Holdings {
    /// What the attempt of `id` that is under way holds. Looks at each entry of its record.
    pub fn of<P: Platform>(arena: &Arena<P>, id: ParticipantId) -> Result<Option<Self>, Corrupt> {
        let Some(slot) = Slot::of(arena, id) else { return Ok(None) };
        let Status { seq, state } = status_of(arena, slot)?;
        let attempt = AttemptId { participant: id, seq };
        // Relaxed, here and below: a picture, on which no safety hangs.
        let load = |address| arena.platform().load(address, Ordering::Relaxed);
        let mut held = Self {
            attempt,
            state,
            standing: Standing::from_word(load(slot.starving())),
            cells: 0,
            buckets: Vec::new(),
        };
        for (number, entry) in entries(arena, slot, load(slot.record_start()), load(slot.entries_reserved())) {
            let Some((EntryKind::Write | EntryKind::Hold, cell)) = entry.target(arena) else { continue };
            let lock = LockWord::locked(LockedBy { participant: id, entry: number & ENTRY_MASK, seq });
            // Of an attempt that is over the record may name what has gone, with its pages.
            if allocator::is_of_use(arena, cell.lock_word()) && load(cell.lock_word()) == lock {
                held.add(arena, cell);
            }
        }
        let token = arena.layout().hot(HotWord::PrivilegeToken);
        if AttemptId::unpack(load(token)) == Some(attempt) {
            held.add(arena, CellAddress::new(token));
        }
        held.buckets.sort_unstable();
        held.buckets.dedup();
        Ok(Some(held))
    }

    fn add<P: Platform>(&mut self, arena: &Arena<P>, cell: CellAddress) {
        self.cells += 1;
        self.buckets.push(arena.layout().wait_bucket_of(cell));
    }

    /// True while the attempt stands as it did: nobody has stopped it, finished it or cleared up after it.
    pub fn stand<P: Platform>(&self, arena: &Arena<P>) -> bool {
        let status = Slot::of(arena, self.attempt.participant).map(|slot| status_of(arena, slot));
        status == Some(Ok(Status { seq: self.attempt.seq, state: self.state }))
    }
}

/// Whether `waiter` waits for the attempt of `owner`.
pub fn wait_for<P: Platform>(arena: &Arena<P>, waiter: ParticipantId, owner: &Holdings) -> Option<Wait> {
    let slot = Slot::of(arena, waiter)?;
    let owner_slot = Slot::of(arena, owner.attempt.participant)?;
    let status = status_of(arena, slot).ok()?;
    let load = |address| arena.platform().load(address, Ordering::Relaxed);
    let queued = AttemptId::unpack(load(owner_slot.queue_to()));
    if status.state == State::Waiting && queued == Some(AttemptId { participant: waiter, seq: status.seq }) {
        return Some(Wait::InPlace);
    }
    let (word, bit) = (u64::from(waiter.0) / 64, 1 << (waiter.0 % 64));
    let is_in = |bucket: &u64| load(arena.layout().wait_bucket(*bucket).0.offset(word)) & bit != 0;
    let sleeps = load(slot.waiting_for()) == WaitingFor::Cell as u64 && owner.buckets.iter().any(is_in);
    sleeps.then_some(Wait::SecondRow)
}
