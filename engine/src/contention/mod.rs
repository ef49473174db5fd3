//! Who yields when two transactions meet: mechanism elsewhere, policy here, as a pure function.
//!
//! The rule of this version is the damped wound-wait that Greedy (Guerraoui, Herlihy, Pochon: Toward a Theory of
//! Transactional Contention Managers, PODC 2005) proves bounded: priority is the time of the first attempt since the last
//! success, kept over retries; only a running owner is waited for; a waiting owner's locks may be taken. It differs from
//! Greedy in the threshold `theta`: a running owner is stopped only by somebody older by more than that, so that short
//! transactions that began together run one after the other instead of stopping each other.

use crate::word::Priority;

/// What a policy may know of one side of a conflict.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Age; the smaller is the older.
    pub priority: Priority,
    /// True if its locks are not to be taken by the younger while it waits.
    pub starving: bool,
    /// True if it is irrevocable: it is stopped by nobody.
    pub privileged: bool,
    /// Mean duration of its attempts in ns.
    pub mean_duration_ns: u64,
}

/// What to do about the owner of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stop the owner's attempt and take its locks.
    Stop,
    /// Wait until the owner is over, keeping what I have.
    Wait,
    /// End my attempt, hold nothing, wait for the cell to be free.
    Leave,
}

/// What a participant's word `starving` holds for an attempt that is irrevocable.
pub const PRIVILEGED: u64 = 2;

/// The thresholds.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// How many ticks older one must be, at least, to stop a running owner.
    pub theta_ticks: u64,
    /// How many mean durations older, at least.
    pub theta_durations: u64,
    /// Aborted attempts after which a transaction counts as starving.
    pub starving_attempts: u64,
    /// Age in ticks after which a transaction counts as starving.
    pub starving_ticks: u64,
    /// How long a PREPARED owner is left alone. Its code runs for about 100 ns.
    pub prepared_ns: u64,
    /// At most so long does a stopped transaction wait for its stopper.
    pub restart_ns: u64,
    /// An owner without any sign of life for so long is stopped.
    pub hung_ns: u64,
}

/// Ticks are coarse steps of about a millisecond.
pub const TICK_NS: u64 = 1_000_000;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            theta_ticks: 2,
            theta_durations: 8,
            starving_attempts: 8,
            starving_ticks: 10,
            prepared_ns: 50_000,
            restart_ns: 1_000_000,
            hung_ns: 100_000_000,
        }
    }
}

impl Parameters {
    /// I want a cell of an owner that runs.
    pub fn meet_running(&self, me: Contender, owner: Contender) -> Verdict {
        if me.privileged || owner.privileged {
            return if me.privileged { Verdict::Stop } else { Verdict::Wait };
        }
        let durations_ns = self.theta_durations * me.mean_duration_ns.max(owner.mean_duration_ns);
        let theta = self.theta_ticks.max(durations_ns / TICK_NS);
        if me.priority.tick().0 + theta < owner.priority.tick().0 { Verdict::Stop } else { Verdict::Wait }
    }

    /// I want a cell of an owner that itself waits for somebody: nobody sleeps on a sleeper.
    pub fn meet_waiting(&self, me: Contender, owner: Contender) -> Verdict {
        if me.privileged || me.priority < owner.priority || !owner.starving { Verdict::Stop } else { Verdict::Leave }
    }

    /// Two attempts meet while both are being decided, or one is older than it should be: who is above?
    pub fn ranks_above(&self, me: Contender, other: Contender) -> bool {
        if me.privileged || other.privileged { me.privileged } else { me.priority < other.priority }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::{ParticipantId, Tick};

    fn contender(tick: u64, starving: bool) -> Contender {
        let priority = Priority::new(Tick(tick), ParticipantId(3));
        Contender { priority, starving, privileged: false, mean_duration_ns: 1_000 }
    }

    #[test]
    fn the_privileged_stops_everybody_and_is_stopped_by_nobody() {
        let policy = Parameters::default();
        let (privileged, old) = (Contender { privileged: true, ..contender(50, false) }, contender(0, true));
        assert_eq!(policy.meet_running(privileged, old), Verdict::Stop);
        assert_eq!(policy.meet_waiting(privileged, old), Verdict::Stop);
        assert_eq!(policy.meet_running(old, privileged), Verdict::Wait);
        assert!(policy.ranks_above(privileged, old) && !policy.ranks_above(old, privileged));
    }

    #[test]
    fn a_little_older_waits_and_much_older_stops() {
        let policy = Parameters::default();
        assert_eq!(policy.meet_running(contender(10, false), contender(11, false)), Verdict::Wait);
        assert_eq!(policy.meet_running(contender(10, false), contender(12, false)), Verdict::Wait);
        assert_eq!(policy.meet_running(contender(10, false), contender(13, false)), Verdict::Stop);
        assert_eq!(policy.meet_running(contender(13, false), contender(10, false)), Verdict::Wait);
    }

    #[test]
    fn long_transactions_are_damped_by_their_length() {
        let policy = Parameters::default();
        let long = Contender { mean_duration_ns: 5 * TICK_NS, ..contender(30, false) };
        assert_eq!(policy.meet_running(contender(10, false), long), Verdict::Wait);
        assert_eq!(policy.meet_running(contender(10, false), Contender { ..contender(51, false) }), Verdict::Stop);
    }

    #[test]
    fn a_waiter_is_revoked_unless_it_starves() {
        let policy = Parameters::default();
        assert_eq!(policy.meet_waiting(contender(20, false), contender(10, false)), Verdict::Stop);
        assert_eq!(policy.meet_waiting(contender(20, false), contender(10, true)), Verdict::Leave);
        assert_eq!(policy.meet_waiting(contender(5, false), contender(10, true)), Verdict::Stop);
    }
}
