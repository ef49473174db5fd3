//! What must hold of a space, looked for word by word. Reads only; what the dead left is `Space::recover_dead`'s business, and
//! damage in a space that nobody has open is that of [`repair()`].
//!
//! - superblock headers against block states, hints against both, owners against participants (`allocator::audit`);
//! - participants against processes: nothing is held by the dead;
//! - every cell of every LIVE block: its lock word names a living attempt or a version that can be and the clock has reached, its value
//!   decodes, a handle in it names a block in use;
//! - every immutable value likewise;
//! - the pieces of records and read logs: each one that a participant slot names is there, and nothing else is one;
//! - the tables of what processes hold: likewise, and each entry is empty or a handle, and empty where the slot is nobody's;
//! - retired blocks: none is named by a cell or a value, each hangs in the list of a participant; but what a collection has found to be
//!   garbage may name what is gone.
//!
//! A space may be checked while others work in it. Then what the living are in the middle of is not damage, and a word that
//! changed while it was looked at is looked at again.

mod cells;
pub(crate) mod doomed;
mod finding;
mod holds;
mod logs;
mod members;
mod repair;
mod retired;

pub use finding::Finding;
pub use repair::{Mended, RepairError, Repaired, Unnamed, repair, repair_unless};

use crate::allocator;
use crate::arena::HotWord;
use crate::platform::{Ordering, Platform};
use crate::reclamation;
use crate::space::Space;
use crate::word::Version;

/// Checks a space in which others may be at work.
pub fn fsck<P: Platform>(space: &Space<P>) -> Vec<Finding> {
    check(space, false)
}

/// Checks a space at rest: nobody is in an attempt. Every lock is a finding then.
pub fn fsck_at_rest<P: Platform>(space: &Space<P>) -> Vec<Finding> {
    check(space, true)
}

/// How often [`fsck_after_deaths`] clears up before it calls what the dead still hold a finding.
pub const CLEARING_TRIES: u32 = 20;

/// Clears up after the dead and checks: what a dead process left is not damage while there is somebody to clear it up.
///
/// A living process may be at the same dead one, and only one at a time has the right: `pause` gives it time (some
/// milliseconds of sleep; false: no more patience) and all is looked at again, at most [`CLEARING_TRIES`] times. What he is still at then is
/// no damage either.
pub fn fsck_after_deaths<P: Platform>(space: &Space<P>, mut pause: impl FnMut() -> bool) -> Vec<Finding> {
    let mut tries = CLEARING_TRIES;
    loop {
        space.recover_dead();
        let findings = fsck(space);
        let dead = findings
            .iter()
            .any(|finding| matches!(finding, Finding::DeadProcess { .. } | Finding::HeldByTheDead { .. }));
        tries -= 1;
        if !dead {
            return findings;
        }
        if tries == 0 || !pause() {
            let is_left = |finding: &Finding| members::is_left_alone(space.arena(), finding);
            return findings.into_iter().filter(is_left).collect();
        }
    }
}

fn check<P: Platform>(space: &Space<P>, at_rest: bool) -> Vec<Finding> {
    space.look(|| check_all(space, at_rest))
}

fn check_all<P: Platform>(space: &Space<P>, at_rest: bool) -> Vec<Finding> {
    let arena = space.arena();
    let mut findings = Vec::new();
    let poison = arena.platform().load(arena.layout().hot(HotWord::Poison), Ordering::Relaxed);
    if poison != 0 {
        findings.push(Finding::Poisoned { reason: poison });
    }
    // Relaxed: the word itself.
    let clock = arena.platform().load(arena.layout().hot(HotWord::VersionClock), Ordering::Relaxed);
    if !Version::is_clock(clock) {
        findings.push(Finding::Clock { word: clock });
    }
    let batch = reclamation::stamp(arena);
    if !reclamation::is_batch(batch) {
        findings.push(Finding::Batch { word: batch });
    }
    members::check(arena, at_rest, &mut |finding| findings.push(finding));
    allocator::audit(
        arena,
        at_rest,
        |id| members::is_claimed(arena, id),
        |damage| findings.push(Finding::Memory(damage)),
    );
    logs::check(arena, at_rest, &mut |finding| findings.push(finding));
    holds::check(arena, at_rest, &mut |finding| findings.push(finding));
    retired::check(arena, at_rest, &mut |finding| findings.push(finding));
    cells::check(arena, at_rest, &mut |finding| findings.push(finding));
    findings
}
