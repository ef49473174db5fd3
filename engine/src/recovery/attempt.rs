//! One dead participant's last attempt.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use crate::allocator;
use crate::arena::{Arena, HotWord};
use crate::collection;
use crate::error::Corrupt;
use crate::participant::{
    Claim, Entry, EntryKind, ProcessPhase, ProcessSlot, Slot, WaitingFor, check_record, entries, foreign_reads,
    participant_is_dead, status_of,
};
use crate::platform::{Liveness, Platform};
use crate::reclamation;
use crate::space::Space;
use crate::waiting;
use crate::word::{
    AttemptId, CellAddress, ENTRY_MASK, Handle, LockWord, LockedBy, ParticipantId, State, Status, Version, WordAddress,
};

mod cell;

/// The right to recover one participant. Not given back when dropped: whoever panics in a recovery keeps it until its process ends, and others wait for what is not written back.
pub(super) struct Recoverer {
    word: WordAddress,
    me: u64,
}

impl Recoverer {
    /// Takes the right, from nobody or from a process that is dead. `None`: somebody living has it.
    pub(super) fn take<P: Platform>(space: &Space<P>, slot: Slot) -> Option<Self> {
        let platform = space.arena().platform();
        let me = space.claim().pack();
        // Acquire: pairs with the release below; what the last recoverer did is seen.
        let seen = platform.load(slot.recoverer(), Acquire);
        if seen != 0 && !Claim::unpack(seen).is_none_or(|claim| process_is_dead(space.arena(), claim)) {
            return None;
        }
        // AcqRel: as above.
        platform.compare_exchange(slot.recoverer(), seen, me, AcqRel, Relaxed).ok()?;
        Some(Self { word: slot.recoverer(), me })
    }

    pub(super) fn give_back<P: Platform>(self, arena: &Arena<P>) {
        // AcqRel: releases what was done to the next recoverer or owner.
        let _ = arena.platform().compare_exchange(self.word, self.me, 0, AcqRel, Relaxed);
    }
}

/// Whether the process that a claim names is proven dead. Its own process is alive.
pub(crate) fn process_is_dead<P: Platform>(arena: &Arena<P>, claim: Claim) -> bool {
    let Some(slot) = ProcessSlot::of(arena, claim.process) else { return true };
    let state = slot.state(arena);
    if state.generation != claim.generation || state.phase != ProcessPhase::Used {
        return true;
    }
    arena.platform().liveness(claim.process, slot.identity(arena)) == Liveness::Dead
}

/// Ends the last attempt of a dead participant. Does nothing if somebody living is at it, or if it is not dead.
///
/// `wanted` is the cell that the caller waits for. Of an attempt with more than `most` entries that is all that is seen to, where it can be: one
/// that has committed stays COMMITTED then (see [`Leftover::finish_cell`]), one that has not stays ABORTED with `most` entries looked at, as whoever stops
/// an attempt leaves it, and its locks are void. Whoever recovers the whole participant does the rest.
///
/// # Errors
/// As [`end_attempt`]: nobody ever ends it.
pub fn finish_attempt<P: Platform>(
    space: &Space<P>,
    dead: ParticipantId,
    most: u64,
    wanted: CellAddress,
) -> Result<(), Corrupt> {
    let arena = space.arena();
    let Some(slot) = Slot::of(arena, dead) else { return Ok(()) };
    let Some(right) = Recoverer::take(space, slot) else { return Ok(()) };
    // Looked at again with the right in hand: the slot may have been recovered and given to somebody who lives.
    let ended = match participant_is_dead(arena, dead) {
        true => end_attempt(arena, dead, slot, Some(Haste { most, wanted })),
        false => Ok(()),
    };
    right.give_back(arena);
    ended
}

/// Of whoever waits for one cell.
#[derive(Clone, Copy)]
pub(super) struct Haste {
    most: u64,
    wanted: CellAddress,
}

/// Steps 2 and 3. The caller holds the right and has seen the participant dead.
///
/// # Errors
/// Damage: nobody can say whether it has committed, or what. Then nothing of it is changed, and nothing that it has made may be freed: what others see
/// may name it.
pub(super) fn end_attempt<P: Platform>(
    arena: &Arena<P>,
    dead: ParticipantId,
    slot: Slot,
    haste: Option<Haste>,
) -> Result<(), Corrupt> {
    let decided = decide(arena, slot)?;
    let mut leftover = Leftover::of(arena, dead, slot, decided.seq);
    if decided.state == State::Committed {
        check_record(arena, slot, leftover.start, leftover.reserved)?;
    }
    let haste = haste.filter(|haste| leftover.reserved > haste.most);
    let whole = match (decided.state, haste) {
        (State::Committed, Some(haste)) if leftover.finish_cell(arena, haste.wanted) => false,
        (State::Committed, _) => {
            leftover.write_back(arena, slot);
            true
        }
        (State::Aborted, haste) => {
            leftover.cells_end = haste.map_or(leftover.reserved, |haste| haste.most);
            leftover.clear(arena);
            haste.is_none()
        }
        _ => true,
    };
    let idle = Status { seq: (decided.seq + 1) & ((1 << 40) - 1), state: State::Idle };
    // Who has taken the token and not begun has named his next attempt: nobody else is to have that number, or whoever has seen that the token is
    // of the dead would take it from him.
    let names_next =
        || decided.state == State::Idle && has_token(arena, AttemptId { participant: dead, seq: decided.seq });
    if (decided.state != State::Idle || names_next()) && whole {
        // AcqRel: whoever sees the seq gone sees the cells as we left them.
        let _ = arena.platform().compare_exchange(slot.status(), decided.pack(), idle.pack(), AcqRel, Relaxed);
    }
    // Relaxed stores to the dead one's lines: nobody else writes them while we hold the right.
    arena.platform().store(slot.waiting_for(), WaitingFor::Nothing as u64, Relaxed);
    // Privilege goes with its holder; the next owner of the slot begins without.
    arena.platform().store(slot.starving(), 0, Relaxed);
    let privilege = take_privilege(arena, dead);
    // Pairs with the fences of sleepers (W1).
    arena.platform().fence(SeqCst);
    if let Some(waiter) = AttemptId::unpack(arena.platform().load(slot.queue_to(), Acquire))
        && let Some(waiter) = Slot::of(arena, waiter.participant)
    {
        waiting::ring(arena, waiter);
    }
    match haste {
        Some(haste) if !whole && decided.state == State::Committed => drop(waiting::ring_changes(arena, haste.wanted)),
        _ => leftover.ring(arena, decided.state),
    }
    if let Some(token) = privilege {
        waiting::ring_cell(arena, token);
    }
    Ok(())
}

fn has_token<P: Platform>(arena: &Arena<P>, attempt: AttemptId) -> bool {
    // Acquire: as below.
    let word = arena.platform().load(arena.layout().hot(HotWord::PrivilegeToken), Acquire);
    AttemptId::unpack(word) == Some(attempt)
}

/// Takes the token from the dead. It may have taken it and not begun: then its seq is not over, and its slot's next owner would
/// seem to have it. Gives the cell whose bucket is to be rung for it.
fn take_privilege<P: Platform>(arena: &Arena<P>, dead: ParticipantId) -> Option<CellAddress> {
    let token = arena.layout().hot(HotWord::PrivilegeToken);
    let word = arena.platform().load(token, Acquire);
    AttemptId::unpack(word).filter(|holder| holder.participant == dead)?;
    // AcqRel: passes on what the dead one released with it. Lost: somebody has taken it from the dead.
    arena.platform().compare_exchange(token, word, 0, AcqRel, Relaxed).ok()?;
    Some(CellAddress::new(token))
}

/// The fate of the dead one's attempt: COMMITTED and ABORTED stand, IDLE is at rest, all else becomes ABORTED.
fn decide<P: Platform>(arena: &Arena<P>, slot: Slot) -> Result<Status, Corrupt> {
    let mut status = status_of(arena, slot)?;
    // Bounded: others only ever move it to ABORTED, once. (Who moves on all the same is not dead, whatever is said of him.)
    for _ in 0..4 {
        if matches!(status.state, State::Idle | State::Committed | State::Aborted) {
            return Ok(status);
        }
        let aborted = Status { state: State::Aborted, ..status };
        if arena.platform().compare_exchange(slot.status(), status.pack(), aborted.pack(), AcqRel, Acquire).is_ok() {
            return Ok(aborted);
        }
        status = status_of(arena, slot)?;
    }
    let at = slot.status();
    Err(Corrupt { what: "the status of a dead participant", byte_offset: at.byte_offset(), word: status.pack() })
}

/// A cell that still holds a lock of a dead attempt.
struct Held {
    number: u64,
    kind: EntryKind,
    cell: CellAddress,
    entry: Entry,
}

/// New blocks of a commit of the dead, made LIVE some at a time: the lines of all are asked for before the first is changed. A changed word holds up
/// the reads behind it, and each of these waits for memory that another processor has written.
struct Blocks {
    handles: [Option<Handle>; Self::TOGETHER],
    count: usize,
}

impl Blocks {
    const TOGETHER: usize = 32;

    fn add<P: Platform>(&mut self, arena: &Arena<P>, handle: Handle) {
        arena.platform().prefetch(handle.block());
        self.handles[self.count] = Some(handle);
        self.count += 1;
        if self.count == Self::TOGETHER {
            self.publish(arena);
        }
    }

    fn publish<P: Platform>(&mut self, arena: &Arena<P>) {
        for handle in self.handles[..self.count].iter_mut().filter_map(Option::take) {
            if allocator::check_fully(arena, handle).is_ok() {
                allocator::publish(arena, handle);
            }
        }
        self.count = 0;
    }
}

/// The record of a dead attempt.
struct Leftover {
    dead: ParticipantId,
    slot: Slot,
    seq: u64,
    start: u64,
    reserved: u64,
    /// Behind this entry there is none of a cell. At most `reserved`.
    cells_end: u64,
}

impl Leftover {
    fn of<P: Platform>(arena: &Arena<P>, dead: ParticipantId, slot: Slot, seq: u64) -> Self {
        let platform = arena.platform();
        // Relaxed: the death of the owner was learned through the kernel; the status was read with acquire.
        let start = platform.load(slot.record_start(), Relaxed);
        let reserved = platform.load(slot.entries_reserved(), Relaxed);
        Self { dead, slot, seq, start, reserved, cells_end: reserved }
    }

    fn lock_word(&self, number: u64) -> u64 {
        LockWord::locked(LockedBy { participant: self.dead, entry: number & ENTRY_MASK, seq: self.seq })
    }

    /// The cells that still hold a lock of this attempt, with their entries. An entry without its lock was never locked, or
    /// is freed already, or belongs to an earlier attempt: its lock word would carry another seq.
    fn held<'a, P: Platform>(&'a self, arena: &'a Arena<P>) -> impl Iterator<Item = Held> + 'a {
        self.entries(arena, self.cells_end).filter_map(move |(number, entry)| {
            let (kind @ (EntryKind::Write | EntryKind::Hold), cell) = entry.target(arena)? else { return None };
            self.held_at(arena, number, kind, cell, entry)
        })
    }

    fn held_at<P: Platform>(
        &self,
        arena: &Arena<P>,
        number: u64,
        kind: EntryKind,
        cell: CellAddress,
        entry: Entry,
    ) -> Option<Held> {
        // Who was killed in his last steps, his start taken back, holds nothing: what he wrote may be out of the space by now, and its pages with the system.
        if !allocator::is_of_use(arena, cell.lock_word()) {
            return None;
        }
        // Acquire: the lock's compare-exchange released the entry.
        let word = arena.platform().load(cell.lock_word(), Acquire);
        (word == self.lock_word(number)).then_some(Held { number, kind, cell, entry })
    }

    fn entries<'a, P: Platform>(&self, arena: &'a Arena<P>, end: u64) -> impl Iterator<Item = (u64, Entry)> + 'a {
        entries(arena, self.slot, self.start, end)
    }

    /// COMMITTED: values, blocks, locks, retired blocks. The owner's order; running it again changes nothing.
    ///
    /// One look at each entry, and further ones at those that stand before the last of their kind: somebody waits.
    fn write_back<P: Platform>(&mut self, arena: &Arena<P>, slot: Slot) {
        let platform = arena.platform();
        // As behind COMMITTED: the collector has not seen it, or we see his number.
        platform.fence(SeqCst);
        let written = self.held(arena).filter(|held| held.kind == EntryKind::Write);
        let overwritten = written.map(|held| held.entry.old_value(arena));
        let read = std::iter::once_with(|| self.logged(arena)).flatten();
        collection::note_commit(arena, Some(0), overwritten, read, self.made(arena));
        let (mut cells_end, mut discards_end) = (0, 0);
        let mut blocks = Blocks { handles: [None; Blocks::TOGETHER], count: 0 };
        for (number, entry) in self.entries(arena, self.reserved) {
            match entry.target(arena) {
                Some((kind @ (EntryKind::Write | EntryKind::Hold), cell)) => {
                    cells_end = number + 1;
                    if kind == EntryKind::Write && self.held_at(arena, number, kind, cell, entry).is_some() {
                        // Release: whoever reads a handle from the cell sees the block behind it.
                        platform.store(cell.value_word(), entry.new_value(arena), Release);
                    }
                }
                Some((EntryKind::Allocation, _)) => {
                    if let Some(handle) = Handle::from_raw(entry.old_version(arena)) {
                        blocks.add(arena, handle);
                    }
                }
                Some((EntryKind::Discard, _)) => discards_end = number + 1,
                None => {}
            }
        }
        blocks.publish(arena);
        self.cells_end = cells_end;
        let version = Version(platform.load(slot.commit_version(), Relaxed));
        for Held { number, kind, cell, entry } in self.held(arena) {
            let version = if kind == EntryKind::Write { version } else { Version(entry.old_version(arena)) };
            // AcqRel: as the owner's release; only while the lock stands.
            let free = LockWord::free(version);
            let _ = platform.compare_exchange(cell.lock_word(), self.lock_word(number), free, AcqRel, Relaxed);
        }
        self.retire(arena, discards_end);
    }

    /// The blocks that the attempt has made.
    fn made<'a, P: Platform>(&'a self, arena: &'a Arena<P>) -> impl Iterator<Item = Handle> + 'a {
        entries(arena, self.slot, self.start, self.reserved).filter_map(|(_, entry)| {
            let Some((EntryKind::Allocation, _)) = entry.target(arena) else { return None };
            Handle::from_raw(entry.old_version(arena)).filter(|made| allocator::check_fully(arena, *made).is_ok())
        })
    }

    /// What it has read and named: cells and values.
    fn logged<P: Platform>(&self, arena: &Arena<P>) -> Vec<(u64, u64)> {
        // Relaxed: of the dead all is seen.
        let counted = arena.platform().load(self.slot.read_log_length(), Relaxed);
        let mut reads = Vec::new();
        // One by one: a damaged length ends where the log does.
        let mut read = [(0, 0)];
        while (reads.len() as u64) < counted && foreign_reads(arena, self.slot, reads.len() as u64, &mut read) == 1 {
            reads.push(read[0]);
        }
        reads
    }

    /// What the commit took out goes into the list of the dead, for whoever takes the slot next.
    fn retire<P: Platform>(&self, arena: &Arena<P>, end: u64) {
        for (_, entry) in self.entries(arena, end) {
            if let Some((EntryKind::Discard, _)) = entry.target(arena)
                && let Some(handle) = Handle::from_raw(entry.old_version(arena))
            {
                reclamation::retire(arena, self.slot, self.dead, handle);
            }
        }
    }

    /// ABORTED: locks back to the versions before. Blocks are freed with the participant.
    fn clear<P: Platform>(&self, arena: &Arena<P>) {
        for Held { number, cell, entry, .. } in self.held(arena) {
            let free = LockWord::free(Version(entry.old_version(arena)));
            // AcqRel: a thief may have the lock by now, then it is his.
            let _ = arena.platform().compare_exchange(cell.lock_word(), self.lock_word(number), free, AcqRel, Relaxed);
        }
    }

    fn ring<P: Platform>(&self, arena: &Arena<P>, state: State) {
        for (_, entry) in self.entries(arena, self.cells_end) {
            let Some((kind @ (EntryKind::Write | EntryKind::Hold), cell)) = entry.target(arena) else { continue };
            match state {
                State::Committed if kind == EntryKind::Write => waiting::ring_changes(arena, cell),
                _ => waiting::ring_cell(arena, cell),
            };
        }
    }
}
