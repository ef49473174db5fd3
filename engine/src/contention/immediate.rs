//! Immediate retry.
//!
//! **From** the simplest of TinySTM's contention managers, "suicide" (Felber, Fetzer, Riegel: Dynamic Performance Tuning of
//! Word-Based Software Transactional Memory, PPoPP 2008): whoever finds a cell taken ends its attempt and begins again at once.
//!
//! **Promise**: none. Nobody waits, so there is no deadlock; two that take the same cells in opposite orders may end each other
//! for ever, and whoever needs many cells starves behind those that need one.

use super::{Contender, Policy, Verdict};

/// End, begin again.
#[derive(Clone, Copy, Debug)]
pub struct Immediate;

impl Policy for Immediate {
    fn meet_running(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Retry
    }

    fn meet_waiting(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Retry
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn whoever_comes_later_tries_again_at_once() {
        assert_eq!(Immediate.meet_running(&contender(1, true), &contender(9, false)), Verdict::Retry);
        assert_eq!(Immediate.pause_ns(1_000, u64::MAX), 0);
    }
}
