//! Plain wound-wait.
//!
//! **From** Rosenkrantz, Stearns, Lewis: System Level Concurrency Control for Distributed Database Systems, ACM TODS 3(2),
//! 1978. The older wounds the younger, the younger waits for the older; the age is kept over restarts.
//!
//! **Promise**: no deadlock, no starvation: the oldest is never stopped. Short transactions of nearly one age stop each other
//! all the time, which is what the default damps.

use super::{Contender, Policy, Verdict};

/// The older stops, the younger waits.
#[derive(Clone, Copy, Debug)]
pub struct WoundWait;

impl Policy for WoundWait {
    fn meet_running(&self, me: &Contender, owner: &Contender) -> Verdict {
        if me.ranks_above(owner) { Verdict::Stop } else { Verdict::Wait }
    }

    fn meet_waiting(&self, me: &Contender, owner: &Contender) -> Verdict {
        if me.ranks_above(owner) { Verdict::Stop } else { Verdict::Leave }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn the_older_stops_and_the_younger_waits() {
        assert_eq!(WoundWait.meet_running(&contender(10, false), &contender(11, false)), Verdict::Stop);
        assert_eq!(WoundWait.meet_running(&contender(11, false), &contender(10, false)), Verdict::Wait);
        assert_eq!(WoundWait.meet_waiting(&contender(11, false), &contender(10, false)), Verdict::Leave);
    }
}
