//! Wait-die.
//!
//! **From** Rosenkrantz, Stearns, Lewis: System Level Concurrency Control for Distributed Database Systems, ACM TODS 3(2),
//! 1978. The older waits for the younger, the younger dies: it ends its attempt, keeps its age, and comes back when the cell is
//! free. Nobody ever stops anybody who runs. (Of two that came to wait for each other at once the older stops the younger: nobody sleeps on a
//! sleeper. The dead and the silent are stopped under any policy.)
//!
//! **Promise**: no deadlock, for waits go from the older to the younger only. The oldest does not die of a running owner; of
//! one that itself waits it does here, because nobody sleeps on a sleeper. So starvation is unlikely and not excluded, and an owner
//! that computes for long is waited for, however old the others are.

use super::{Contender, Policy, Verdict};

/// The older waits, the younger ends.
#[derive(Clone, Copy, Debug)]
pub struct WaitDie;

impl Policy for WaitDie {
    fn meet_running(&self, me: &Contender, owner: &Contender) -> Verdict {
        if me.ranks_above(owner) { Verdict::Wait } else { Verdict::Leave }
    }

    fn meet_waiting(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Leave
    }

    fn displaces(&self, me: &Contender, holder: &Contender) -> bool {
        me.ranks_above(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn the_older_waits_and_the_younger_ends() {
        assert_eq!(WaitDie.meet_running(&contender(10, false), &contender(11, false)), Verdict::Wait);
        assert_eq!(WaitDie.meet_running(&contender(11, false), &contender(10, false)), Verdict::Leave);
        assert!(WaitDie.displaces(&contender(10, false), &contender(11, false)));
    }
}
