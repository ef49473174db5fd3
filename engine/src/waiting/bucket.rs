//! Wait buckets: bitmaps in which the sleepers of a cell are found.
//!
//! A cell belongs to a bucket by hash; a bucket has one bit a participant. Bits, not counters: a killed sleeper leaves
//! bits that whoever meets them clears, or who takes his place over. A summary of one bit a bucket keeps a commit that nobody waits for to a few loads
//! of one shared line.
//!
//! Summary and bucket: a sleeper sets its bit, then the summary's. A ringer that finds a bucket empty clears the summary's
//! bit, fences and looks at the bucket again; if a sleeper has come in between it sets the bit again, and rings him. A ringer that has taken a bit that
//! was not for it sets both again, and rings. So a set bit is found through the summary, or somebody is about to set the summary, its owner or who is
//! about to ring him. A ringer that is killed or stopped in the middle keeps that from being so: who sleeps for a change announces himself at each look.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

use super::bell::ring;
use crate::arena::Arena;
use crate::participant::{Slot, WaitingFor};
use crate::platform::Platform;
use crate::word::{CellAddress, ParticipantId, Priority, WordAddress};

fn bit_of<P: Platform>(arena: &Arena<P>, bucket: u64, id: ParticipantId) -> (WordAddress, u64) {
    let (first, _) = arena.layout().wait_bucket(bucket);
    (first.offset(id.0 as u64 / 64), 1 << (id.0 % 64))
}

fn summary_of<P: Platform>(arena: &Arena<P>, bucket: u64) -> (WordAddress, u64) {
    (arena.layout().wait_summary().0.offset(bucket / 64), 1 << (bucket % 64))
}

/// Makes `id` findable through `cell`. The caller has written why it waits, and fences and looks again afterwards (W1).
pub fn announce<P: Platform>(arena: &Arena<P>, cell: CellAddress, id: ParticipantId) {
    let bucket = arena.layout().wait_bucket_of(cell);
    let (word, bit) = bit_of(arena, bucket, id);
    // AcqRel: `waiting_for` and the priority, written before, are seen by a ringer that acquires the bit.
    arena.platform().fetch_or(word, bit, AcqRel);
    let (summary, summary_bit) = summary_of(arena, bucket);
    arena.platform().fetch_or(summary, summary_bit, AcqRel);
}

/// Makes `id` findable through all of `cells`: each bucket once, however many of them are in it.
pub fn announce_all<P: Platform>(arena: &Arena<P>, cells: impl Iterator<Item = CellAddress>, id: ParticipantId) {
    let mut done = vec![0_u64; arena.layout().geometry().wait_buckets.div_ceil(64) as usize];
    for cell in cells {
        let bucket = arena.layout().wait_bucket_of(cell);
        let (word, bit) = (&mut done[bucket as usize / 64], 1 << (bucket % 64));
        if *word & bit == 0 {
            *word |= bit;
            announce(arena, cell, id);
        }
    }
}

/// Takes the bit back. Returns whether it still was there: if not, somebody rang for it.
pub fn withdraw<P: Platform>(arena: &Arena<P>, cell: CellAddress, id: ParticipantId) -> bool {
    let (word, bit) = bit_of(arena, arena.layout().wait_bucket_of(cell), id);
    arena.platform().fetch_and(word, !bit, AcqRel) & bit != 0
}

/// Takes all bits back that the last owner of a place has left, who was killed while he waited: with the next owner's waits they would be taken for his.
///
/// Cost: a load for each bucket.
pub(super) fn withdraw_all<P: Platform>(arena: &Arena<P>, id: ParticipantId) {
    for bucket in 0..arena.layout().geometry().wait_buckets {
        let (word, bit) = bit_of(arena, bucket, id);
        // Relaxed: whoever has it set was here before.
        if arena.platform().load(word, Relaxed) & bit != 0 {
            arena.platform().fetch_and(word, !bit, AcqRel);
        }
    }
}

/// True if the bucket of `cell` may have sleepers. The caller has fenced after changing the cell.
#[inline]
fn may_have_sleepers<P: Platform>(arena: &Arena<P>, bucket: u64) -> bool {
    let (summary, bit) = summary_of(arena, bucket);
    // Relaxed: the fence of the caller is one half of W1, the sleeper's fence the other.
    arena.platform().load(summary, Relaxed) & bit != 0
}

/// After `cell` got a new value: wakes all who wait for a change in its bucket, and the oldest who waits for the cell. Gives how
/// many were asleep, as the two below.
#[inline]
pub fn ring_changes<P: Platform>(arena: &Arena<P>, cell: CellAddress) -> u64 {
    let bucket = arena.layout().wait_bucket_of(cell);
    if may_have_sleepers(arena, bucket) { ring_bucket(arena, bucket, true, 0) } else { 0 }
}

/// After `cell` became free without a new value: wakes the oldest who waits for it.
#[inline]
pub fn ring_cell<P: Platform>(arena: &Arena<P>, cell: CellAddress) -> u64 {
    let bucket = arena.layout().wait_bucket_of(cell);
    if may_have_sleepers(arena, bucket) { ring_bucket(arena, bucket, false, 0) } else { 0 }
}

/// Passes on a ring that was not for the caller: wakes the oldest of those who wait for a cell of the bucket and are younger
/// than `priority`.
pub fn ring_younger<P: Platform>(arena: &Arena<P>, cell: CellAddress, priority: Priority) -> u64 {
    let bucket = arena.layout().wait_bucket_of(cell);
    let from = priority.0.saturating_add(1);
    if may_have_sleepers(arena, bucket) { ring_bucket(arena, bucket, false, from) } else { 0 }
}

/// Bounded: each further turn means that the oldest one has gone meanwhile, by himself or rung by somebody else. He owes this ring to nobody.
#[cold]
fn ring_bucket<P: Platform>(arena: &Arena<P>, bucket: u64, changed: bool, from: u64) -> u64 {
    let mut woken = 0;
    while !ring_oldest(arena, bucket, changed, from, &mut woken) {
        arena.platform().spin_hint();
    }
    woken
}

/// False: the one to be rung does not wait for a cell any more.
fn ring_oldest<P: Platform>(arena: &Arena<P>, bucket: u64, changed: bool, from: u64, woken: &mut u64) -> bool {
    let platform = arena.platform();
    let (first, words) = arena.layout().wait_bucket(bucket);
    let mut oldest: Option<(u64, WordAddress, u64, Slot)> = None;
    let mut empty = true;
    for index in 0..words {
        let word = first.offset(index);
        // Acquire: pairs with `announce`.
        let bits = platform.load(word, Acquire);
        empty &= bits == 0;
        for (id, bit) in members(index, bits) {
            let Some(slot) = Slot::of(arena, id) else { continue };
            let waits_for = platform.load(slot.waiting_for(), Acquire);
            if waits_for == WaitingFor::Cell as u64 {
                let priority = platform.load(slot.priority(), Relaxed);
                if priority >= from && oldest.is_none_or(|(least, ..)| priority < least) {
                    oldest = Some((priority, word, bit, slot));
                }
            } else if waits_for == WaitingFor::Nothing as u64 {
                // It died or is just leaving: its bit means nothing.
                take_bit(arena, bucket, word, bit, slot, WaitingFor::Nothing, woken);
            } else if changed {
                *woken += ring(arena, slot);
            }
        }
    }
    if empty {
        *woken += forget_summary(arena, bucket);
    }
    let Some((_, word, bit, slot)) = oldest else { return true };
    // The ringer clears the bit that it rings, so that the next ringer wakes the next, and who is rung knows it.
    let is_his = take_bit(arena, bucket, word, bit, slot, WaitingFor::Cell, woken);
    if is_his {
        *woken += ring(arena, slot);
    }
    is_his
}

/// Takes the bit of somebody who was seen to wait for `seen`. Who waits for something else by now may have set it for that: it is given back, and he is
/// rung, for others may have missed it meanwhile. False: that, or the bit was gone. Counts who was asleep.
fn take_bit<P: Platform>(
    arena: &Arena<P>,
    bucket: u64,
    word: WordAddress,
    bit: u64,
    slot: Slot,
    seen: WaitingFor,
    woken: &mut u64,
) -> bool {
    let platform = arena.platform();
    let before = platform.fetch_and(word, !bit, AcqRel);
    // Acquire, behind the exchange: pairs with `announce`, which says what for before it sets the bit.
    let now = platform.load(slot.waiting_for(), Acquire);
    if now == seen as u64 || now == WaitingFor::Nothing as u64 {
        return before & bit != 0;
    }
    give_back(arena, bucket, word, bit);
    *woken += ring(arena, slot);
    false
}

/// Sets a bit again, as [`announce`] does: without it somebody may have found the bucket empty, and taken it out of the summary. Whoever is rung behind it
/// finds what those have changed who have missed the bit.
fn give_back<P: Platform>(arena: &Arena<P>, bucket: u64, word: WordAddress, bit: u64) {
    // Relaxed: an exchange carries on what the sleeper has released with this word.
    arena.platform().fetch_or(word, bit, Relaxed);
    let (summary, summary_bit) = summary_of(arena, bucket);
    // AcqRel: as in `announce`.
    arena.platform().fetch_or(summary, summary_bit, AcqRel);
    // With the fences of those who have looked meanwhile: the ring comes behind what they have changed.
    arena.platform().fence(SeqCst);
}

/// Takes the bit of an empty bucket out of the summary. Gives how many were asleep of those who have come in between.
fn forget_summary<P: Platform>(arena: &Arena<P>, bucket: u64) -> u64 {
    let platform = arena.platform();
    let (summary, bit) = summary_of(arena, bucket);
    platform.fetch_and(summary, !bit, AcqRel);
    // Pairs with the atomic additions of `announce`: a sleeper whose bit this look misses sets the summary after us.
    platform.fence(SeqCst);
    let (first, words) = arena.layout().wait_bucket(bucket);
    if (0..words).all(|index| platform.load(first.offset(index), Acquire) == 0) {
        return 0;
    }
    platform.fetch_or(summary, bit, AcqRel);
    // Meanwhile others may have looked at the summary and passed them by. With their fences: who is rung finds what they have changed.
    platform.fence(SeqCst);
    let found = (0..words).flat_map(|index| members(index, platform.load(first.offset(index), Acquire)));
    found.filter_map(|(id, _)| Slot::of(arena, id)).map(|slot| ring(arena, slot)).sum()
}

/// Whose bits are set in this word of a bucket, and their bits.
fn members(index: u64, mut bits: u64) -> impl Iterator<Item = (ParticipantId, u64)> {
    std::iter::from_fn(move || {
        let bit = bits & bits.wrapping_neg();
        bits ^= bit;
        (bit != 0).then(|| (ParticipantId((index * 64 + u64::from(bit.trailing_zeros())) as u16), bit))
    })
}
