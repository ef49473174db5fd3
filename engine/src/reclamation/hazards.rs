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
//! after `b` was taken out with all that leads to it. So he has read the name, found all blocks on the way as they were, and `b` among them.
//!
//! *The entry behind the last one counted* may be one that is being noted, or is left from an earlier attempt. It counts like the others.
//!
//! *Who collects* (`collection`) is in no attempt and has no log. It is IDLE, and has a start while it goes on, and one hazard pointer: the block whose mark it is about to change.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::is_shared;
use super::limbo::others;
use super::retire::link;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::{Slot, foreign_reads, status_of};
use crate::platform::Platform;
use crate::shape::references;
use crate::word::{BlockKind, BlockPhase, BlockState, Handle, Link, ParticipantId, State, Value};

/// Names of a log that are looked at together.
const CHUNK: usize = 64;

/// What those who are in an attempt may hold.
#[derive(Debug)]
pub(super) struct Held(HashSet<u64>);

impl Held {
    /// Looks at all attempts but the caller's, who is `me`. `None`: it cannot be known (see [`look_at_logs`]), or this process has no memory to write it down.
    pub(super) fn look<P: Platform>(arena: &Arena<P>, me: ParticipantId) -> Option<Self> {
        let (mut names, mut starved) = (HashSet::new(), false);
        let has_looked = look_at_logs(arena, me, &mut |handle| match names.try_reserve(1) {
            Ok(()) => {
                names.insert(handle.raw());
            }
            Err(_) => starved = true,
        });
        (has_looked && !starved).then_some(Self(names))
    }

    /// Whether a block must stay.
    pub(super) fn holds(&self, handle: Handle) -> bool {
        self.0.contains(&handle.raw())
    }
}

/// Visits all blocks that others than `me` can come to from their read logs without noting it, as far as the first of many names, and that one,
/// too; some more than once, and some that nobody holds any more. False: the system does not let this process make others fence, or it has no memory
/// for its list; then some may be missing.
///
/// Cost: a fence on all processors, three loads for each entry of a log and for each word on the ways from it.
pub(crate) fn look_at_logs<P: Platform>(arena: &Arena<P>, me: ParticipantId, visit: &mut impl FnMut(Handle)) -> bool {
    let platform = arena.platform();
    // Who had begun before the caller's last look at anything is seen; and of who goes on with what he has found at his second look, the entry in his log.
    platform.heavy_fence()
        && others(arena, me).all(|slot| {
            // Acquire, here and below: pairs with the release that clears a start.
            let began = platform.load(slot.start(), Acquire);
            if began == 0 {
                return true;
            }
            look_at_log(arena, slot, began, visit)
        })
}

fn hazard<P: Platform>(arena: &Arena<P>, slot: Slot) -> Option<Handle> {
    // Acquire: who has gone on to the next one is through with the last.
    Handle::from_raw(arena.platform().load(slot.hazard(), Acquire))
}

/// Of one who has a start. False: no memory for the list.
fn look_at_log<P: Platform>(arena: &Arena<P>, slot: Slot, began: u64, visit: &mut impl FnMut(Handle)) -> bool {
    let platform = arena.platform();
    let Ok(status) = status_of(arena, slot) else { return true };
    if status.state == State::Idle {
        // In a step of a collection. In an attempt the pointer is left from the last one, and names what nobody need hold.
        hazard(arena, slot).into_iter().for_each(visit);
        return true;
    }
    // Acquire: the entries that it counts are seen.
    let counted = platform.load(slot.read_log_length(), Acquire);
    let mut first = 0;
    // Bound: the log had so many entries, and one is noted behind them.
    while first <= counted {
        let mut chunk = [(0, 0); CHUNK];
        let wanted = (counted + 1 - first).min(CHUNK as u64) as usize;
        let found = foreign_reads(arena, slot, first, &mut chunk[..wanted]);
        // The names are read before it is asked whose they were.
        platform.fence(Acquire);
        let is_same = status_of(arena, slot).is_ok_and(|now| now.seq == status.seq);
        if !is_same || platform.load(slot.start(), Acquire) != began {
            return true;
        }
        let handles = chunk[..found].iter().filter_map(|(_, value)| Value::from_raw(*value).as_handle());
        for handle in handles {
            if !follow(arena, handle, visit) {
                return false;
            }
        }
        if found < wanted {
            return true;
        }
        first += found as u64;
    }
    true
}

/// The state of a block that is in use, or waits to be freed.
fn check<P: Platform>(arena: &Arena<P>, handle: Handle) -> Option<BlockState> {
    let state = allocator::check_fully(arena, handle).ok()?;
    matches!(state.phase, BlockPhase::Live | BlockPhase::Retired).then_some(state)
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

/// All ways from a name, if it is one of a block that is in use. False: no memory for the list.
fn follow<P: Platform>(arena: &Arena<P>, first: Handle, visit: &mut impl FnMut(Handle)) -> bool {
    let mut pending = Vec::new();
    let mut next = Some(first);
    let mut has_memory = true;
    // Bound: a space has no more blocks; damage may close them to a ring.
    for _ in 0..arena.layout().geometry().space_words / 4 {
        let Some(handle) = next.take().or_else(|| pending.pop()) else { break };
        let Some(state) = check(arena, handle) else { continue };
        visit(handle);
        if !leads_on(arena, handle, state) {
            continue;
        }
        let Ok(room) = allocator::payload_words(arena, handle) else { continue };
        // A block whose counts contradict its room leads nowhere: `fsck` says so.
        let _ = references(arena, handle, state.kind, room, &mut |reference| {
            if let Some(part) = Value::from_raw(arena.platform().load_optimistic(reference.word())).as_handle() {
                match pending.try_reserve(1) {
                    Ok(()) => pending.push(part),
                    Err(_) => has_memory = false,
                }
            }
        });
    }
    has_memory
}
