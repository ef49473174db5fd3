//! Damped wound-wait, the default.
//!
//! **From** Greedy (Guerraoui, Herlihy, Pochon: Toward a Theory of Transactional Contention Managers, PODC 2005), with a
//! threshold: a running owner is stopped only by somebody older by more than `theta`, so that short transactions that began
//! together run one after the other instead of stopping each other. A waiting owner loses its locks to whoever runs, unless it
//! starves.
//!
//! **Promise**: of all transactions that conflict the oldest by more than `theta` is stopped by nobody while it runs, nor, once it starves,
//! while it waits; and it waits for nobody but owners that run, each for one attempt at most; so nobody starves while attempts end.

use super::{Contender, Policy, TICK_NS, Verdict};

/// Older by more than `max(theta_ticks, theta_durations mean durations)` stops the running.
#[derive(Clone, Copy, Debug)]
pub struct Damped {
    /// How many ticks older one must be, at least, to stop a running owner.
    pub theta_ticks: u64,
    /// How many mean durations older, at least, of the one of both that takes longer.
    pub theta_durations: u64,
}

impl Policy for Damped {
    fn meet_running(&self, me: &Contender, owner: &Contender) -> Verdict {
        // Words of others may hold anything.
        let durations_ns = self.theta_durations.saturating_mul(me.mean_duration_ns.max(owner.mean_duration_ns));
        let theta = self.theta_ticks.max(durations_ns / TICK_NS);
        if me.priority.tick().0.saturating_add(theta) < owner.priority.tick().0 { Verdict::Stop } else { Verdict::Wait }
    }

    fn meet_waiting(&self, me: &Contender, owner: &Contender) -> Verdict {
        if me.ranks_above(owner) || !owner.starving { Verdict::Stop } else { Verdict::Leave }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    const POLICY: Damped = Damped { theta_ticks: 2, theta_durations: 8 };

    #[test]
    fn a_little_older_waits_and_much_older_stops() {
        assert_eq!(POLICY.meet_running(&contender(10, false), &contender(11, false)), Verdict::Wait);
        assert_eq!(POLICY.meet_running(&contender(10, false), &contender(12, false)), Verdict::Wait);
        assert_eq!(POLICY.meet_running(&contender(10, false), &contender(13, false)), Verdict::Stop);
        assert_eq!(POLICY.meet_running(&contender(13, false), &contender(10, false)), Verdict::Wait);
    }

    #[test]
    fn long_transactions_are_damped_by_their_length() {
        let long = Contender { mean_duration_ns: 5 * TICK_NS, ..contender(30, false) };
        assert_eq!(POLICY.meet_running(&contender(10, false), &long), Verdict::Wait);
        assert_eq!(POLICY.meet_running(&contender(10, false), &contender(51, false)), Verdict::Stop);
    }

    /// What somebody else's words say is not to be trusted.
    #[test]
    fn words_that_cannot_be_stop_nobody() {
        let endless = Contender { mean_duration_ns: u64::MAX, ..contender(1_000, false) };
        assert_eq!(POLICY.meet_running(&contender(10, false), &endless), Verdict::Wait);
        assert_eq!(POLICY.meet_running(&contender(u64::from(u32::MAX), false), &endless), Verdict::Wait);
    }

    #[test]
    fn a_waiter_is_revoked_unless_it_starves() {
        assert_eq!(POLICY.meet_waiting(&contender(20, false), &contender(10, false)), Verdict::Stop);
        assert_eq!(POLICY.meet_waiting(&contender(20, false), &contender(10, true)), Verdict::Leave);
        assert_eq!(POLICY.meet_waiting(&contender(5, false), &contender(10, true)), Verdict::Stop);
    }
}
