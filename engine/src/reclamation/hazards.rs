//! What those hold who stand still: their read logs say it, to whoever looks.
//!
//! An attempt notes the name that it has read, fences, looks at the cell once more, and only then counts the entry (`transaction::read`): a hazard
//! pointer (Michael, IEEE TPDS 2004) for each read, all of which stay until the attempt is through. What is counted was in the space after its
//! entry stood in the log; so whoever takes it out later, and looks at the log after a fence of his own, finds it. From a counted name
//! the attempt may go on without further reads that are noted: to the parts of a tuple, to key and value of an entry of a
//! dict, from a bucket to its entries. Whoever looks at the log goes the same ways, over blocks that may have been taken
//! out long ago, by somebody else, who may free them as soon as the attempt is through.
//!
//! *He holds nothing for that*: he reads *optimistically* (as under a sequence lock: Boehm, MSPC 2012). A block on a way from a name that an attempt holds is not freed while
//! it holds it, so what he reads there is right. If it is freed the attempt is through, and whatever he reads means nothing: a name too many, of a
//! block that is in use, is held a little longer than it would have to be. Hence no look keeps anybody from freeing anything, however long it stands still;
//! memory that is being looked at stays backed (`Space::look`).
//!
//! *Why nobody frees what is held.* Take the first free that does, of a block `b` that an attempt had come to. Until then no block on its way there was freed.
//! The name at the begin of the way was counted, or noted and looked at again, before the fence of whoever freed `b`, or else that second look came after it, and
//! after `b` was taken out with all that leads to it. So he has read the name, found all blocks on the way as they were, and `b` among them. If he goes on with the ways from a name
//! later he asks first whether the attempt does: as long as it does they are as they were.
//!
//! *The entry behind the last one counted* may be one that is being noted, or is left from an earlier attempt. It counts like the others.
//!
//! *Who collects* (`collection`) is in no attempt and has no log. It is IDLE, and has a start while it goes on, and one hazard pointer: the block whose mark it is about to change.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::is_shared;
use super::retire::link;
use crate::allocator;
use crate::arena::Arena;
use crate::error::Stop;
use crate::participant::{Slot, foreign_reads, status_of};
use crate::platform::Platform;
use crate::shape::{references, some_references};
use crate::word::{BlockKind, BlockPhase, BlockState, Handle, Link, ParticipantId, State, Value};

/// Names of a log that are looked at together, and items of a tuple on the ways from them.
const CHUNK: usize = 64;

/// Sets that the names are spread over: none of them is ever so large that to make it grow takes long.
const SETS: usize = 64;

/// What those who are in an attempt may hold.
#[derive(Debug)]
pub(super) struct Held(Vec<HashSet<u64>>);

impl Held {
    /// Nothing yet. `None`: this process has no memory for it.
    pub(super) fn nothing() -> Option<Self> {
        let mut sets = Vec::new();
        sets.try_reserve(SETS).ok()?;
        sets.resize_with(SETS, HashSet::new);
        Some(Self(sets))
    }

    /// Goes on with a look at all attempts but the caller's, who is `me`.
    pub(super) fn go_on<P: Platform>(
        &mut self,
        look: &mut Look,
        arena: &Arena<P>,
        me: ParticipantId,
        most: u64,
    ) -> Looked {
        let mut starved = false;
        let looked = look.go_on(arena, me, most, &mut |handle, _| {
            let set = &mut self.0[Self::set_of(handle)];
            match set.try_reserve(1) {
                Ok(()) => {
                    set.insert(handle.raw());
                }
                Err(_) => starved = true,
            }
        });
        if starved { Looked::Unknown } else { looked }
    }

    /// Whether a block must stay.
    pub(super) fn holds(&self, handle: Handle) -> bool {
        self.0[Self::set_of(handle)].contains(&handle.raw())
    }

    fn set_of(handle: Handle) -> usize {
        // Fibonacci hashing: blocks lie at multiples of their size.
        (handle.raw().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SETS
    }
}

/// Who keeps a block from being freed that a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    /// Somebody in an attempt, who goes on from there to whatever it names.
    Attempt,
    /// Somebody who collects and is about to change its mark. What it names is nothing to him.
    Collector,
}

/// What a piece of a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There is more to look at.
    Some,
    All,
    /// This process has no memory for its lists, or a log cannot be read: nothing is known.
    Unknown,
}

/// A look at all logs, in pieces. It says what was held when it began, of what had been taken out by then: whoever comes to a block later finds another in
/// its place. Who has ended his attempt since holds none of it, and of who goes on the entries that he had then still stand in his log.
#[derive(Debug)]
pub(crate) struct Look {
    /// Number of the next participant.
    next: u64,
    /// The log that is being looked at.
    log: Option<Log>,
    /// What it has cost so far.
    steps: u64,
}

/// Of one who is in an attempt.
#[derive(Debug)]
struct Log {
    slot: Slot,
    seq: u64,
    began: u64,
    /// Entries that counted at the first look, and how many were looked at.
    counted: u64,
    first: u64,
    /// Ways from the last of them that are not gone yet: blocks, each with the number of the first word to look at.
    ways: Vec<(Handle, u64)>,
    /// Bound: each name is a word, and what is gone through has one name; damage may close blocks to a ring.
    names_left: u64,
}

impl Look {
    /// `None`: the system does not let this process make others fence, and nothing can be known.
    ///
    /// Cost: a fence on all processors.
    pub(crate) fn begin<P: Platform>(arena: &Arena<P>) -> Option<Self> {
        // Who had begun before the caller's last look at anything is seen; and of who goes on with what he has found at his second look, the entry in his log.
        arena.platform().heavy_fence().then_some(Self { next: 0, log: None, steps: 0 })
    }

    /// Visits all blocks that others than `me` can come to from their read logs without noting it, as far as the first of many names, and that one,
    /// too; some more than once, and some that nobody holds any more. In about `most` steps.
    ///
    /// Cost: three loads for each entry of a log and for each block on the ways from it: a step each. What leads on from one entry may be much, and is gone in pieces, too.
    pub(crate) fn go_on<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        me: ParticipantId,
        most: u64,
        visit: &mut impl FnMut(Handle, HeldBy),
    ) -> Looked {
        let end = self.steps.saturating_add(most);
        while self.steps < end {
            match self.log.take() {
                Some(log) => match log.go_on(arena, &mut self.steps, end, &mut |by| visit(by, HeldBy::Attempt)) {
                    Ok(log) => self.log = log,
                    Err(Unknown) => return Looked::Unknown,
                },
                None if self.next == arena.layout().geometry().participants => return Looked::All,
                None => {
                    let id = ParticipantId(self.next as u16);
                    self.next += 1;
                    if id != me
                        && let Some(slot) = Slot::of(arena, id)
                    {
                        match open(arena, slot, &mut |handle| visit(handle, HeldBy::Collector)) {
                            Ok(log) => self.log = log,
                            Err(Unknown) => return Looked::Unknown,
                        }
                    }
                }
            }
        }
        Looked::Some
    }

    /// Steps that were made so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

/// Visits the blocks whose marks others than `me` may be about to change, one for each of them.
pub(crate) fn for_each_hazard<P: Platform>(arena: &Arena<P>, me: ParticipantId, visit: &mut impl FnMut(Handle)) {
    let others = (0..arena.layout().geometry().participants).map(|id| ParticipantId(id as u16)).filter(|id| *id != me);
    for slot in others.filter_map(|id| Slot::of(arena, id)) {
        let _ = open(arena, slot, visit);
    }
}

fn hazard<P: Platform>(arena: &Arena<P>, slot: Slot) -> Option<Handle> {
    // Acquire: who has gone on to the next one is through with the last.
    Handle::from_raw(arena.platform().load(slot.hazard(), Acquire))
}

/// A list could not grow, or somebody's words mean nothing.
#[derive(Clone, Copy)]
struct Unknown;

/// The log of somebody, if he is in an attempt; if he collects, his hazard pointer is visited.
fn open<P: Platform>(arena: &Arena<P>, slot: Slot, visit: &mut impl FnMut(Handle)) -> Result<Option<Log>, Unknown> {
    let platform = arena.platform();
    // Acquire, here and below: pairs with the release that clears a start.
    let began = platform.load(slot.start(), Acquire);
    if began == 0 {
        return Ok(None);
    }
    let Ok(status) = status_of(arena, slot) else {
        // Whether he collects or is in an attempt nobody knows.
        hazard(arena, slot).into_iter().for_each(visit);
        return if platform.load(slot.start(), Acquire) == began { Err(Unknown) } else { Ok(None) };
    };
    if status.state == State::Idle {
        // In a step of a collection. In an attempt the pointer is left from the last one, and names what nobody need hold.
        hazard(arena, slot).into_iter().for_each(visit);
        return Ok(None);
    }
    // Acquire: the entries that it counts are seen.
    let counted = platform.load(slot.read_log_length(), Acquire);
    Ok(Some(Log { slot, seq: status.seq, began, counted, first: 0, ways: Vec::new(), names_left: 0 }))
}

impl Log {
    /// Looks at some entries, and at what they lead to, until `steps` has come to `end`, or somewhat further. Gives what is left, if something is.
    fn go_on<P: Platform>(
        mut self,
        arena: &Arena<P>,
        steps: &mut u64,
        end: u64,
        visit: &mut impl FnMut(Handle),
    ) -> Result<Option<Self>, Unknown> {
        let platform = arena.platform();
        if !self.ways.is_empty() {
            // As long as the attempt goes on all that it leads to is there.
            if !self.goes_on(arena) {
                return Ok(None);
            }
            self.follow(arena, steps, end, visit)?;
            return Ok(Some(self));
        }
        let mut chunk = [(0, 0); CHUNK];
        // The log had so many entries, and one is noted behind them.
        let wanted = (self.counted.saturating_add(1) - self.first).min(CHUNK as u64) as usize;
        let found = foreign_reads(arena, self.slot, self.first, &mut chunk[..wanted]);
        // The names are read before it is asked whose they were.
        platform.fence(Acquire);
        if !self.goes_on(arena) {
            return Ok(None);
        }
        // Those that counted are there: their pieces stand in the slot before they count.
        if found < wanted && self.first + (found as u64) < self.counted {
            return Err(Unknown);
        }
        for (_, value) in &chunk[..found] {
            self.first += 1;
            *steps += 1;
            if let Some(handle) = Value::from_raw(*value).as_handle() {
                self.names_left = arena.layout().geometry().space_words;
                self.note(handle, 0)?;
                self.follow(arena, steps, end, visit)?;
            }
            // What comes behind is read again: it stays.
            if !self.ways.is_empty() {
                return Ok(Some(self));
            }
        }
        Ok((found > 0 && found == wanted && self.first <= self.counted).then_some(self))
    }

    /// Whether the attempt whose log it is does.
    fn goes_on<P: Platform>(&self, arena: &Arena<P>) -> bool {
        let is_same = status_of(arena, self.slot).is_ok_and(|now| now.seq == self.seq);
        is_same && arena.platform().load(self.slot.start(), Acquire) == self.began
    }

    fn note(&mut self, handle: Handle, from: u64) -> Result<(), Unknown> {
        self.ways.try_reserve(1).map_err(|_| Unknown)?;
        self.ways.push((handle, from));
        Ok(())
    }

    /// Goes on with the ways from a name, if it is one of a block that is in use.
    fn follow<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        steps: &mut u64,
        end: u64,
        visit: &mut impl FnMut(Handle),
    ) -> Result<(), Unknown> {
        while *steps < end
            && let Some((handle, from)) = self.ways.pop()
        {
            self.names_left = self.names_left.checked_sub(1).ok_or(Unknown)?;
            let Some(state) = check(arena, handle)? else { continue };
            *steps += 1;
            if from == 0 {
                visit(handle);
            }
            if leads_on(arena, handle, state) {
                self.note_parts(arena, handle, state.kind, from)?;
            }
        }
        Ok(())
    }

    /// What a block names: of a tuple some, and what is left of it waits until all that they lead to was visited.
    fn note_parts<P: Platform>(
        &mut self,
        arena: &Arena<P>,
        handle: Handle,
        kind: BlockKind,
        from: u64,
    ) -> Result<(), Unknown> {
        let Ok(room) = allocator::payload_words(arena, handle) else { return Ok(()) };
        let part_at = |at| Value::from_raw(arena.platform().load_optimistic(at)).as_handle();
        // A block whose counts contradict its room leads nowhere: `fsck` says so.
        if kind == BlockKind::Tuple {
            let Ok((items, left)) = some_references(arena, handle, kind, room, from, CHUNK as u64) else {
                return Ok(());
            };
            left.map_or(Ok(()), |left| self.note(handle, left))?;
            return items.filter_map(part_at).try_for_each(|part| self.note(part, 0));
        }
        let mut noted = Ok(());
        let _ = references(arena, handle, kind, room, &mut |reference| {
            if let Some(part) = part_at(reference.word()) {
                noted = noted.and_then(|()| self.note(part, 0));
            }
        });
        noted
    }
}

/// The state of a block that is in use, or waits to be freed.
fn check<P: Platform>(arena: &Arena<P>, handle: Handle) -> Result<Option<BlockState>, Unknown> {
    match allocator::check_fully(arena, handle) {
        Ok(state) => Ok(Some(state).filter(|state| matches!(state.phase, BlockPhase::Live | BlockPhase::Retired))),
        // The block of that name, and nobody knows what it is.
        Err(Stop::Corrupt(_)) => Err(Unknown),
        Err(_) => Ok(None),
    }
}

/// Whether there is a way on from a block that is not noted. Who comes to a block of many names reads cells there.
fn leads_on<P: Platform>(arena: &Arena<P>, handle: Handle, state: BlockState) -> bool {
    let many_names = match state.phase {
        // Relaxed: acquired with the state.
        BlockPhase::Retired => Link::unpack(arena.platform().load(link(handle), Relaxed)).whole,
        _ => is_shared(arena, handle),
    };
    matches!(state.kind, BlockKind::Tuple | BlockKind::DictEntry | BlockKind::DictBucket) && !many_names
}
