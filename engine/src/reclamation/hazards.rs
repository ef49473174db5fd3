//! What those hold who stand still: their read logs say it, to whoever looks.
//!
//! An attempt notes the name that it has read, fences, looks at the cell once more, and only then counts the entry (`transaction::read`): a hazard
//! pointer (Michael, IEEE TPDS 2004) for each read, all of which stay until the attempt is through. What is counted was in the space after its
//! entry stood in the log; so whoever takes it out later, and looks at the log after a fence of his own, finds it. From a counted name
//! the attempt may go on without further reads that are noted: to the parts of a tuple, to key and value of an entry of a
//! dict, from a bucket to its entries. Whoever looks at the log has to go the same ways, over blocks that may have been taken
//! out long ago, by somebody else, who may free them just when the attempt is through. So he *stands in* for it:
//!
//! 1. He stores the oldest start of all attempts under way, his own among them, as his own, with `NO_LOG`: who says so may hold all that was taken out since.
//!    Then he fences.
//! 2. For each attempt: some names of its log, then whether it is the same attempt still, then the ways from these names. A name that was
//!    in the log when he had already stored his start stays as long as he does: whoever frees it has found the attempt
//!    through, and looks for `NO_LOG` after that, behind a fence (step 3).
//! 3. He fences, and looks at all starts for `NO_LOG`.
//! 4. He stores the start that he had.
//!
//! *The entry behind the last one counted* may be one that is being noted, or is left from an earlier attempt. Its name counts; the ways from it are gone
//! only if the block is LIVE: it was in use when he stood in already, and stays. If it is RETIRED it may be free any moment, and what lies behind it is
//! *in doubt*: then the attempt holds all since its start, as ever. The same if somebody is COMMITTED meanwhile, and has taken the block out and
//! not come to saying so. An attempt that is stopped just there is rare, and loses nobody anything but memory for a time.
//!
//! *Killed anywhere here*: the start is left with the dead, who are recovered; nothing else is written.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::is_shared;
use super::limbo::others;
use super::retire::link;
use crate::allocator;
use crate::arena::Arena;
use crate::participant::{NO_LOG, Slot, foreign_reads, status_of};
use crate::platform::Platform;
use crate::shape::{Reference, references};
use crate::word::{BlockKind, BlockPhase, BlockState, Handle, Link, ParticipantId, State, Value};

/// Names of a log that are looked at together.
const CHUNK: usize = 64;

/// What those who are in an attempt may hold.
#[derive(Debug)]
pub(super) struct Held {
    /// All that was retired at this stamp or a later one.
    since: u64,
    /// And these.
    names: HashSet<u64>,
}

impl Held {
    /// Looks at all attempts but the caller's, who is `me`.
    pub(super) fn look<P: Platform>(arena: &Arena<P>, me: ParticipantId) -> Self {
        let (mut names, mut starved) = (HashSet::new(), false);
        let since = look_at_logs(arena, me, &mut |handle| match names.try_reserve(1) {
            Ok(()) => {
                names.insert(handle.raw());
            }
            Err(_) => starved = true,
        });
        // Without memory to write down what is held, all is.
        Self { since: if starved { 0 } else { since }, names }
    }

    /// Whether a block that was retired at `stamp` must stay.
    pub(super) fn holds(&self, stamp: u64, handle: Handle) -> bool {
        stamp >= self.since || self.names.contains(&handle.raw())
    }
}

/// Where nothing but names is held.
pub(crate) const NOTHING_ELSE: u64 = u64::MAX;

/// Visits all blocks that others than `me` can come to from their read logs without noting it, as far as the first of many names, and that one,
/// too; some more than once. While `visit` runs they stay. Gives the stamp from which on all may be held besides.
pub(crate) fn look_at_logs<P: Platform>(arena: &Arena<P>, me: ParticipantId, visit: &mut impl FnMut(Handle)) -> u64 {
    let platform = arena.platform();
    let Some(mine) = Slot::of(arena, me) else { return 0 };
    let others = || others(arena, me);
    // Acquire, here and below: pairs with the release that clears a start.
    let start = |slot: &Slot| platform.load(slot.start(), Acquire);
    // Who had begun before the caller's last look at anything is seen; and of who goes on with what he has found at his second look, the entry in his log.
    if !platform.heavy_fence() {
        return 0;
    }
    let oldest = others().map(|slot| start(&slot)).filter(|start| *start != 0 && start & NO_LOG == 0).min();
    // Relaxed: the caller's own.
    let own = platform.load(mine.start(), Relaxed);
    if let Some(oldest) = oldest {
        // In an attempt of its own that is older the caller goes on to hold what that may hold.
        let oldest = if own == 0 { oldest } else { oldest.min(own & !NO_LOG) };
        // Relaxed, and the fence: as in `begin`.
        platform.store(mine.start(), oldest | NO_LOG, Relaxed);
        platform.fence(SeqCst);
    }
    let (mut doubts, mut since) = (Vec::new(), NOTHING_ELSE);
    for slot in others().filter(|_| oldest.is_some()) {
        let began = start(&slot);
        if began != 0 && began & NO_LOG == 0 {
            doubts.extend(look_at_log(arena, slot, began, visit).map(|handle| (began, handle)));
        }
        // He stands in for others just now, or did meanwhile, and may be in an attempt whose log was not looked at.
        let now = start(&slot);
        for unlogged in [began, now].into_iter().filter(|start| start & NO_LOG != 0) {
            since = since.min(unlogged & !NO_LOG);
        }
    }
    // Either we find who has gone over to `NO_LOG` meanwhile, or he finds us in the attempt that he looks at.
    platform.fence(SeqCst);
    let unlogged = others().map(|slot| start(&slot)).filter(|start| start & NO_LOG != 0).map(|start| start & !NO_LOG);
    since = since.min(unlogged.min().unwrap_or(NOTHING_ELSE));
    if !doubts.is_empty() {
        let commits = |slot| status_of(arena, slot).is_ok_and(|status| status.state == State::Committed);
        let anybody_commits = others().any(commits);
        let is_out = |handle| check(arena, handle).is_some_and(|state| state.phase == BlockPhase::Retired);
        let doubtful = doubts.iter().filter(|(_, handle)| anybody_commits || is_out(*handle)).map(|(began, _)| *began);
        since = since.min(doubtful.min().unwrap_or(NOTHING_ELSE));
    }
    if oldest.is_some() {
        // Release: what was looked at was looked at before anybody frees it.
        platform.store(mine.start(), own, Release);
    }
    since
}

/// Step 2 for one attempt. Gives a name that is in doubt.
fn look_at_log<P: Platform>(
    arena: &Arena<P>,
    slot: Slot,
    began: u64,
    visit: &mut impl FnMut(Handle),
) -> Option<Handle> {
    let platform = arena.platform();
    let status = status_of(arena, slot).ok().filter(|status| status.state != State::Idle)?;
    // Acquire: the entries that it counts are seen.
    let counted = platform.load(slot.read_log_length(), Acquire);
    let mut first = 0;
    // Bound: the log had so many entries.
    while first <= counted {
        let mut chunk = [(0, 0); CHUNK];
        let wanted = (counted + 1 - first).min(CHUNK as u64) as usize;
        let found = foreign_reads(arena, slot, first, &mut chunk[..wanted]);
        // The names are read before it is asked whose they were.
        platform.fence(Acquire);
        let is_same = status_of(arena, slot).is_ok_and(|now| now.seq == status.seq);
        if !is_same || platform.load(slot.start(), Acquire) != began {
            return None;
        }
        for (number, (_, value)) in (first..).zip(&chunk[..found]) {
            let Some(handle) = Value::from_raw(*value).as_handle() else { continue };
            if number < counted {
                follow(arena, handle, visit);
            } else if let Some(state) = check(arena, handle) {
                visit(handle);
                if !leads_on(arena, handle, state) {
                    return None;
                }
                if state.phase == BlockPhase::Live {
                    follow(arena, handle, visit);
                }
                return Some(handle);
            }
        }
        if found < wanted {
            return None;
        }
        first += found as u64;
    }
    None
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

/// All ways from a block that stays as long as the caller stands in.
fn follow<P: Platform>(arena: &Arena<P>, first: Handle, visit: &mut impl FnMut(Handle)) {
    let platform = arena.platform();
    let mut pending = vec![first];
    // Bound: a space has no more blocks; damage may close them to a ring.
    for _ in 0..arena.layout().geometry().space_words / 4 {
        let Some(handle) = pending.pop() else { return };
        let Some(state) = check(arena, handle) else { continue };
        visit(handle);
        if !leads_on(arena, handle, state) {
            continue;
        }
        let Ok(room) = allocator::payload_words(arena, handle) else { continue };
        let mut note = |word: u64| pending.extend(Value::from_raw(word).as_handle());
        // A block whose counts contradict its room leads nowhere: `fsck` says so.
        let _ = references(arena, handle, state.kind, room, &mut |reference| match reference {
            // Acquire: what the word names is seen.
            Reference::Cell(cell) => note(platform.load(cell.value_word(), Acquire)),
            Reference::Value(at) => note(platform.load_plain(at)),
        });
    }
}
