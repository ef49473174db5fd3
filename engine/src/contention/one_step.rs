//! The plain one-step queue.
//!
//! **From** the first idea of this project: a running owner has one place, and whoever comes first gets it; who finds it taken
//! ends its attempt and waits behind, holding nothing. The running take what they need from the waiting. No ages.
//!
//! **Promise**: no deadlock: the running wait for nobody, and nobody waits for the waiting. Nothing about starvation: a
//! transaction that waits often loses its locks as often.

use super::{Contender, Policy, Verdict};

/// First come, first served, one step deep.
#[derive(Clone, Copy, Debug)]
pub struct OneStep;

impl Policy for OneStep {
    fn meet_running(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Wait
    }

    fn meet_waiting(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Stop
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn the_place_is_kept_and_the_waiting_lose_their_locks() {
        let (old, young) = (contender(10, false), contender(1_000, true));
        assert_eq!(OneStep.meet_running(&old, &young), Verdict::Wait);
        assert_eq!(OneStep.meet_waiting(&young, &old), Verdict::Stop);
        assert!(!OneStep.displaces(&old, &young));
    }
}
