//! Exponential back-off.
//!
//! **From** Ethernet (Metcalfe, Boggs: Ethernet: Distributed Packet Switching for Local Computer Networks, CACM 19(7), 1976), into
//! transactional memory by Polite (Herlihy, Luchangco, Moir, Scherer: Software Transactional Memory for Dynamic-Sized Data
//! Structures, PODC 2003): whoever finds a cell taken ends its attempt and begins again after a random time below a bound that
//! doubles with each attempt lost.
//!
//! **Promise**: none that is certain. The pauses make it likely that one of those who meet gets through; those that lose wait ever
//! longer while newcomers do not, so the old are the ones that starve.

use super::{Contender, Policy, Verdict};

/// End, pause, begin again.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Bound of the first pause in ns.
    pub first_ns: u64,
    /// How often the bound doubles, at most.
    pub doublings: u32,
}

impl Policy for Backoff {
    fn meet_running(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Retry
    }

    fn meet_waiting(&self, _me: &Contender, _owner: &Contender) -> Verdict {
        Verdict::Retry
    }

    fn pause_ns(&self, failures: u64, random: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(u64::from(self.doublings));
        random % (self.first_ns << doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let policy = Backoff { first_ns: 256, doublings: 14 };
        assert_eq!(policy.meet_running(&contender(1, true), &contender(9, false)), Verdict::Retry);
        let longest =
            |failures| (0..4096).map(|random| policy.pause_ns(failures, (random << 30) | (random * 7919))).max();
        assert!(longest(1) < Some(256) && longest(4) >= Some(1_024) && longest(4) < Some(2_048));
        assert!(longest(1_000) < Some(256 << 14));
    }
}
