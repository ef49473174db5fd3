//! Who yields when two transactions meet: mechanism in `transaction`, policy here, as pure functions.
//!
//! A [`Policy`] sees both sides of a conflict and says what the one who came later does. A space has one policy, chosen when
//! it is made ([`PolicyId`], a word of its header), so that all members play by the same rules. Safety never hangs on it: a
//! policy may answer whatever it likes, and sees words that may be a moment old.
//!
//! What no policy decides, because deadlocks and the dead hang on it:
//!
//! 1. Nobody sleeps on a sleeper: about an owner that itself waits the answer [`Verdict::Wait`] counts as `Leave`.
//! 2. PREPARED attempts that meet are ranked by age ([`Contender::ranks_above`]), and left alone for no longer than
//!    [`Limits::prepared_ns`].
//! 3. Whoever was stopped lets its stopper finish first, for [`Limits::restart_ns`] at most; an irrevocable one until it is through, unless
//!    [`Limits::visible_attempts`] are lost.
//! 4. The dead are cleared away by whoever meets them.
//! 5. Whoever has lost [`Limits::privileged_attempts`] attempts (or was passed so often in the second row) asks for the privilege token; the one attempt that has it stops whoever is in its way and is stopped by nobody, or, where it
//!    can run again, only if it shows no sign of life for [`Limits::lease_ns`] ([`Contender::privilege_over`]). Whoever cannot have it reads visibly after [`Limits::visible_attempts`].

mod backoff;
mod damped;
mod immediate;
mod one_step;
mod wait_die;
mod wound_wait;

use std::fmt;
use std::str::FromStr;

pub use backoff::Backoff;
pub use damped::Damped;
pub use immediate::Immediate;
pub use one_step::OneStep;
pub use wait_die::WaitDie;
pub use wound_wait::WoundWait;

use crate::word::Priority;

/// Ticks are coarse steps of about a millisecond.
pub const TICK_NS: u64 = 1_000_000;

/// What a policy may know of one side of a conflict.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Age: the time of the first attempt since the last success, kept over retries. The smaller is the older.
    pub priority: Priority,
    /// True after many lost attempts, or many ticks: see [`Limits`].
    pub starving: bool,
    /// True if it has the token: no policy lets anybody stop it.
    pub privileged: bool,
    /// True if, besides, it is not even stopped when it shows no sign of life.
    pub irrevocable: bool,
    /// Mean duration of its attempts in ns.
    pub mean_duration_ns: u64,
}

impl Contender {
    /// True for the older of two. No two are of one age: ticks are told apart by a number of the participant's.
    /// The privileged is above all, but not above another: the token is one's, so of two that are undecided the one has been stopped and does not know it, or is dead.
    pub fn ranks_above(&self, other: &Self) -> bool {
        match (self.privileged, other.privileged) {
            (false, false) => self.priority < other.priority,
            (mine, theirs) => mine && !theirs,
        }
    }

    /// What I do about an owner where one of us is privileged, and no policy is asked. Where he is, too, either of us has lost the token: he, for he is dead,
    /// or I, who was stopped and do not know it. Who is irrevocable is stopped by nobody.
    pub fn privilege_over(&self, owner: &Self) -> Option<Verdict> {
        match (self.privileged, owner.privileged) {
            (true, true) => Some(if self.irrevocable { Verdict::Stop } else { Verdict::Leave }),
            (true, false) => Some(Verdict::Stop),
            (false, true) => Some(Verdict::Wait),
            (false, false) => None,
        }
    }
}

/// What to do about the owner of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stop the owner's attempt and take its locks.
    Stop,
    /// Wait until the owner is over, keeping what I have. Where the one place at the owner is taken: leave.
    Wait,
    /// End my attempt, hold nothing, sleep until the cell is free.
    Leave,
    /// End my attempt, hold nothing, and try again after [`Policy::pause_ns`].
    Retry,
}

/// What a participant's word `starving` says of its attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum Standing {
    /// One of many.
    #[default]
    Ordinary = 0,
    /// It has lost often, or is old: see [`Limits`].
    Starving = 1,
    /// It has the token and runs once.
    Irrevocable = 2,
    /// It has starved for so long that it was given the token; stopped only if it shows no sign of life for
    /// [`Limits::lease_ns`].
    Privileged = 3,
}

impl Standing {
    /// The standing of a word. One that cannot be counts as ordinary.
    pub fn from_word(word: u64) -> Self {
        match word {
            1 => Self::Starving,
            2 => Self::Irrevocable,
            3 => Self::Privileged,
            _ => Self::Ordinary,
        }
    }

    /// True for who has the token.
    pub fn has_token(self) -> bool {
        matches!(self, Self::Irrevocable | Self::Privileged)
    }
}

/// Who yields. Asked on contact only, never on the way of an attempt that meets nobody.
pub trait Policy: fmt::Debug + Send + Sync {
    /// I want a cell of an owner that runs.
    fn meet_running(&self, me: &Contender, owner: &Contender) -> Verdict;

    /// I want a cell of an owner that itself waits for somebody.
    fn meet_waiting(&self, me: &Contender, owner: &Contender) -> Verdict;

    /// Whether I get the place at an owner that `holder` has.
    fn displaces(&self, me: &Contender, holder: &Contender) -> bool {
        self.meet_running(me, holder) == Verdict::Stop
    }

    /// How long to pause after [`Verdict::Retry`], in ns, given how many attempts this transaction has lost and 64 random bits.
    fn pause_ns(&self, _failures: u64, _random: u64) -> u64 {
        0
    }
}

/// The policies by name, as a space's header has them. The numbers never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum PolicyId {
    /// [`Damped`] wound-wait, the default.
    #[default]
    Damped = 0,
    /// Plain [`WoundWait`].
    WoundWait = 1,
    /// [`WaitDie`].
    WaitDie = 2,
    /// The [`OneStep`] queue.
    OneStep = 3,
    /// Exponential [`Backoff`].
    Backoff = 4,
    /// [`Immediate`] retry.
    Immediate = 5,
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no contention policy {name:?}: the policies are {}", PolicyId::ALL.map(PolicyId::name).join(", "))]
pub struct UnknownPolicy {
    /// What was given.
    pub name: String,
}

impl PolicyId {
    /// All, by number.
    pub const ALL: [Self; 6] =
        [Self::Damped, Self::WoundWait, Self::WaitDie, Self::OneStep, Self::Backoff, Self::Immediate];

    /// The policy.
    pub fn policy(self) -> &'static dyn Policy {
        match self {
            Self::Damped => &Damped { theta_ticks: 2, theta_durations: 8 },
            Self::WoundWait => &WoundWait,
            Self::WaitDie => &WaitDie,
            Self::OneStep => &OneStep,
            Self::Backoff => &Backoff { first_ns: 256, doublings: 14 },
            Self::Immediate => &Immediate,
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damped => "damped",
            Self::WoundWait => "wound-wait",
            Self::WaitDie => "wait-die",
            Self::OneStep => "one-step",
            Self::Backoff => "backoff",
            Self::Immediate => "immediate",
        }
    }

    /// The policy of a header's word; `None` for a number that this build does not know.
    pub fn from_word(word: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(word).ok()?).copied()
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for PolicyId {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|id| id.name() == name).ok_or_else(|| UnknownPolicy { name: name.to_owned() })
    }
}

/// What holds under every policy.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Aborted attempts after which a transaction counts as starving.
    pub starving_attempts: u64,
    /// Age in ticks after which a transaction counts as starving.
    pub starving_ticks: u64,
    /// Aborted attempts after which a transaction asks for the token before each attempt; and attempts of younger ones that pass it in one wait in the second row.
    pub privileged_attempts: u64,
    /// Aborted attempts after which a transaction that cannot have the token holds what it reads all the same.
    pub visible_attempts: u64,
    /// So long a commit is put off at most for somebody with the token who asks for a lull. 0: this participant asks for none.
    pub lull_ns: u64,
    /// Who asks for a lull has read so many cells in one of the attempts that it has lost. To hold fewer costs less than the time of all others.
    pub lull_reads: u64,
    /// A privileged attempt without any sign of life for so long is stopped by whoever waits for it.
    pub lease_ns: u64,
    /// How long a PREPARED owner is left alone. Its code runs for about 100 ns.
    pub prepared_ns: u64,
    /// At most so long does a stopped transaction wait for its stopper, if that is not irrevocable.
    pub restart_ns: u64,
    /// An owner without any sign of life for so long is stopped by whoever waits for it.
    pub hung_ns: u64,
    /// Entries of a dead attempt that whoever waits for it sees to at most before it goes on. Of a larger one that was aborted so many are cleared: its locks
    /// are void, and whoever meets one takes it. Of a larger one that has committed the cell that is waited for is finished, if it can be alone,
    /// but of some that the same participant waits for all is. The rest is for those who recover the whole process.
    pub cleared_entries: u64,
}

impl Limits {
    /// Those of every participant, unless a test or a simulation has others.
    pub const DEFAULT: Self = Self {
        starving_attempts: 8,
        starving_ticks: 10,
        privileged_attempts: 10,
        visible_attempts: 16,
        lull_ns: 200_000,
        lull_reads: 32,
        lease_ns: 1_000_000_000,
        prepared_ns: 50_000,
        restart_ns: 1_000_000,
        hung_ns: 100_000_000,
        cleared_entries: 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::{ParticipantId, Tick};

    /// Somebody whose first attempt was at `tick`.
    pub(super) fn contender(tick: u64, starving: bool) -> Contender {
        let priority = Priority::new(Tick(tick), ParticipantId(3));
        Contender { priority, starving, privileged: false, irrevocable: false, mean_duration_ns: 1_000 }
    }

    #[test]
    fn the_privileged_stops_everybody_and_is_stopped_by_nobody() {
        let (privileged, old) = (Contender { privileged: true, ..contender(50, false) }, contender(0, true));
        assert_eq!(privileged.privilege_over(&old), Some(Verdict::Stop));
        assert_eq!(old.privilege_over(&privileged), Some(Verdict::Wait));
        assert_eq!(old.privilege_over(&contender(50, false)), None);
        assert!(privileged.ranks_above(&old) && !old.ranks_above(&privileged));
    }

    /// The danger: one that was stopped for its silence, and goes on, ends the irrevocable one that has got the token since.
    #[test]
    fn who_had_the_token_does_nothing_to_who_has_it_now() {
        let (before, now) = (Contender { privileged: true, ..contender(0, true) }, contender(50, false));
        let now = Contender { privileged: true, irrevocable: true, ..now };
        assert_eq!(before.privilege_over(&now), Some(Verdict::Leave));
        assert_eq!(now.privilege_over(&before), Some(Verdict::Stop), "he is dead, and not cleared up");
        assert!(!before.ranks_above(&now) && !now.ranks_above(&before));
    }

    #[test]
    fn policies_stand_at_their_numbers_and_answer_to_their_names() {
        for (number, id) in PolicyId::ALL.into_iter().enumerate() {
            assert_eq!(PolicyId::from_word(number as u64), Some(id));
            assert_eq!(id as usize, number);
            assert_eq!(id.name().parse(), Ok(id));
        }
        assert_eq!(PolicyId::from_word(6), None);
        let refused = "polite".parse::<PolicyId>().unwrap_err().to_string();
        assert!(refused.contains("polite") && refused.contains("wound-wait"), "{refused}");
    }

    /// The danger: of two that meet each waits for the other, or each stops the other.
    #[test]
    fn no_policy_lets_two_stop_each_other() {
        for id in PolicyId::ALL {
            let policy = id.policy();
            for (mine, yours) in [(10, 11), (10, 50), (10, 1_000)] {
                let (old, young) = (contender(mine, false), contender(yours, false));
                let verdicts = [policy.meet_running(&old, &young), policy.meet_running(&young, &old)];
                assert_ne!(verdicts, [Verdict::Stop, Verdict::Stop], "{id}");
            }
        }
    }
}
