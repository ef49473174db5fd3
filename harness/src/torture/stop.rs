//! One stop: a writer stands still at a random moment, others go on, then it goes on too.
//!
//! While it stands still the onlooker (this process) does two things in turn, each with a deadline well below a long stop, and
//! counts the sleeps of its own engine:
//!
//! - it *reads* the world in consistent reads, with whatever the stopped one has locked: a reader never waits for it, whatever
//!   it was stopped in. (It may sleep for a millisecond if it holds what it reads, after many attempts in vain, and is stopped itself.)
//! - it *writes* cells of its own, allocating now and then: a writer of other cells never waits, so it never sleeps.
//!
//! The other writers are watched. What the stopped one was found in decides what must hold of them:
//!
//! | found | others |
//! | --- | --- |
//! | idle, or in an attempt that holds nothing or is over | go on |
//! | undecided, with cells | whoever wants them takes them: at once from one that waits or was PREPARED, from one that runs after 100 ms of silence; after a long stop nobody waits for it any more |
//! | COMMITTED, in its write-back of some 100 ns (or, of thousands of cells, 100 us) | who wants its cells waits: by design, counted |
//! | irrevocable, or privileged because it starved | the same: nobody stops it, or not before a second is over |
//!
//! After a long stop of one that blocks nobody each of the others has to commit once more, before it goes on. Then it goes on, and must commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pso_engine::contention::Standing;
use pso_engine::error::Stop;
use pso_engine::object::{list, text};
use pso_engine::transaction::Sleeper;
use pso_engine::waits::{Holdings, wait_for};
use pso_engine::word::{ParticipantId, State};
use rand::Rng;
use rand::rngs::StdRng;

use super::progress::Note;
use super::round::Round;
use super::world::{as_number, glance, note, number, survey};
use crate::failure::Failure;
use crate::interrupt;

/// Shorter than any patience of the engine's with a silent owner.
const SHORT_MS: std::ops::Range<u64> = 5..60;
/// Longer: twice the 100 ms after which whoever waits takes a silent owner for hung, so that there is time for others to
/// come, to queue and to try again.
const LONG_MS: std::ops::Range<u64> = 200..300;
/// A text that is allocated in every so many writes of the onlooker.
const ALLOCATES: u64 = 8;
/// The deadline of each transaction of the onlooker: half of a long stop, and much on a machine that has others to run as well.
const BOUND: Duration = Duration::from_millis(100);

/// In what a stopped writer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Nobody can want anything of it.
    Nothing,
    Active,
    Waiting,
    Prepared,
    Committed,
    Irrevocable,
    Privileged,
}

impl Found {
    fn of(holdings: Option<&Holdings>) -> Self {
        holdings.map_or(Self::Nothing, |holdings| Self::in_state(holdings.state, holdings.standing, holdings.cells))
    }

    fn in_state(state: State, standing: Standing, cells: u64) -> Self {
        match (state, standing) {
            _ if cells == 0 => Self::Nothing,
            (State::Aborted, _) => Self::Nothing,
            (State::Committed, _) => Self::Committed,
            // Between attempts it can hold nothing but the token, for the one to come.
            (State::Idle, _) => Self::Irrevocable,
            (_, Standing::Irrevocable) => Self::Irrevocable,
            (_, Standing::Privileged) => Self::Privileged,
            (State::Waiting, _) => Self::Waiting,
            (State::Prepared, _) => Self::Prepared,
            _ => Self::Active,
        }
    }

    /// Whoever wants its cells may take them.
    pub fn can_be_preempted(self) -> bool {
        matches!(self, Self::Active | Self::Waiting | Self::Prepared)
    }

    /// Whoever wants its cells waits until it goes on.
    pub fn blocks_by_design(self) -> bool {
        matches!(self, Self::Committed | Self::Irrevocable | Self::Privileged)
    }

    /// What people read in results.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What a stop showed.
pub struct Outcome {
    pub found: Found,
    pub long: bool,
    /// Its attempt was undecided, and somebody ended it so long after the stop.
    pub preempted_after: Option<Duration>,
    /// Others were seen to wait for it, or committed nothing.
    pub waited_for: bool,
    /// The onlooker's transactions, and how often it slept in its reads.
    pub sleeps: u64,
    pub reads: Vec<Duration>,
    pub writes: Vec<Duration>,
    /// What the other writers committed meanwhile.
    pub commits_of_others: u64,
    /// From its continuation to its next commit.
    pub went_on: Duration,
}

/// Counts the sleeps of the onlooker.
struct Counting(Arc<AtomicU64>);

impl Sleeper for Counting {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        self.0.fetch_add(1, Relaxed);
        sleep();
        true
    }
}

/// What is seen during a stop.
struct Sight {
    found: Found,
    holdings: Option<Holdings>,
    others: Vec<ParticipantId>,
    began: Instant,
    preempted_after: Option<Duration>,
    waited_for: bool,
    reads: Vec<Duration>,
    writes: Vec<Duration>,
    /// Of the onlooker's engine, in reads and in writes.
    sleeps: (u64, u64),
}

impl Round<'_> {
    /// One stop and all checks in it and after it.
    pub fn stop(&mut self, random: &mut StdRng) -> Result<Outcome, Failure> {
        interrupt::check()?;
        for writer in 0..self.options.writers {
            self.await_commit(writer)?;
        }
        Self::let_some_time_pass(random);
        let victim = random.random_range(0..self.options.writers);
        let long = random.random();
        let hold = Duration::from_millis(random.random_range(if long { LONG_MS } else { SHORT_MS }));
        let participant = self.joined_as(victim)?;
        let others =
            self.others(&[victim]).into_iter().map(|writer| self.joined_as(writer)).collect::<Result<_, _>>()?;

        self.crew.stop(victim)?;
        // Not before it stands still: what others commit until then they do not commit beside it.
        let stopped_ns = self.now_ns();
        let before = self.noted_by_others(victim)?;
        let holdings = Holdings::of(self.joined.space.arena(), participant);
        let holdings = holdings.map_err(Failure::space("looking at the stopped"))?;
        let mut sight = Sight {
            found: Found::of(holdings.as_ref()),
            holdings,
            others,
            began: Instant::now(),
            preempted_after: None,
            waited_for: false,
            reads: Vec::new(),
            writes: Vec::new(),
            sleeps: (0, 0),
        };
        self.look_on(&mut sight, hold)?;
        let waited_for_at_the_end = sight.look(self);
        let after = self.noted_by_others(victim)?;
        let idle = idle(&after, stopped_ns);
        sight.judge(long, waited_for_at_the_end, &idle)?;
        if long && !sight.found.blocks_by_design() {
            self.await_more(&after)?;
        }

        let noted = self.progress.noted(victim)?.commits;
        let went_on = Instant::now();
        self.crew.go_on(victim)?;
        self.await_progress(victim, noted)?;
        let went_on = went_on.elapsed();
        self.check()?;
        let commits = |notes: &[(u32, Note)]| notes.iter().map(|(_, note)| note.commits).sum::<u64>();
        Ok(Outcome {
            found: sight.found,
            long,
            preempted_after: sight.preempted_after,
            waited_for: sight.waited_for || !idle.is_empty(),
            sleeps: sight.sleeps.0,
            reads: sight.reads,
            writes: sight.writes,
            commits_of_others: commits(&after) - commits(&before),
            went_on,
        })
    }

    fn noted_by_others(&self, victim: u32) -> Result<Vec<(u32, Note)>, Failure> {
        let noted = |writer| Ok((writer, self.progress.noted(writer)?));
        self.others(&[victim]).into_iter().map(noted).collect()
    }

    /// Waits until each has committed more than it had noted. At the end of a stop: whoever went on in its beginning may stand since.
    fn await_more(&mut self, noted: &[(u32, Note)]) -> Result<(), Failure> {
        noted.iter().try_for_each(|(writer, note)| self.await_progress(*writer, note.commits))
    }

    /// Reads and writes until the stop is over.
    fn look_on(&mut self, sight: &mut Sight, hold: Duration) -> Result<(), Failure> {
        let sleeps = Arc::new(AtomicU64::new(0));
        self.tx.set_sleeper(Box::new(Counting(sleeps.clone())));
        let mut turn = 0;
        while sight.began.elapsed() < hold {
            interrupt::check()?;
            let read_at = Instant::now();
            let deadline = Some(self.now_ns() + BOUND.as_nanos() as u64);
            let wrong = if turn % 16 == 15 {
                survey(&mut self.tx, &self.world, deadline)
            } else {
                glance(&mut self.tx, &self.world, turn, deadline)
            };
            sight.reads.push(read_at.elapsed());
            sight.sleeps.0 += sleeps.swap(0, Relaxed);
            let wrong = wrong.map_err(|stop| sight.wrong(&format!("reading: {stop}")))?;
            if !wrong.is_empty() {
                return Err(sight.wrong(&wrong.join("; ")));
            }
            let write_at = Instant::now();
            let written = self.write_apart(turn);
            sight.writes.push(write_at.elapsed());
            sight.sleeps.1 += sleeps.swap(0, Relaxed);
            written.map_err(|stop| sight.wrong(&format!("writing other cells: {stop}")))?;
            sight.look(self);
            turn += 1;
            // The others need the processors, too.
            std::thread::sleep(super::round::POLL);
        }
        Ok(())
    }

    /// Writes what nobody else writes.
    fn write_apart(&mut self, turn: u64) -> Result<(), Stop> {
        let apart = self.world.apart;
        let deadline = Some(self.now_ns() + BOUND.as_nanos() as u64);
        self.tx.run_until(deadline, |tx| {
            let value = as_number(list::get(tx, apart, 0)?)? + 1;
            list::set(tx, apart, 0, number(value))?;
            list::set(tx, apart, 1, number(value))?;
            if turn.is_multiple_of(ALLOCATES) {
                // Nobody keeps it: it stays taken until blocks are reclaimed.
                text::encode(tx, &note('z', 40))?;
            }
            Ok(())
        })
    }
}

/// Whose last commit was before `stopped_ns`, when somebody stood still.
fn idle(noted: &[(u32, Note)], stopped_ns: u64) -> Vec<u32> {
    noted.iter().filter(|(_, note)| note.at_ns < stopped_ns).map(|(writer, _)| *writer).collect()
}

impl Sight {
    /// Looks at the stopped one and at who waits for it. True: somebody does.
    fn look(&mut self, round: &Round) -> bool {
        let Some(holdings) = &self.holdings else { return false };
        let arena = round.joined.space.arena();
        if self.found.can_be_preempted() && !holdings.stand(arena) {
            self.preempted_after.get_or_insert(self.began.elapsed());
            return false;
        }
        let waited_for =
            self.found != Found::Nothing && self.others.iter().any(|id| wait_for(arena, *id, holdings).is_some());
        self.waited_for |= waited_for;
        waited_for
    }

    fn wrong(&self, what: &str) -> Failure {
        let after = self.began.elapsed().as_millis();
        Failure::Wrong(format!("a writer stopped {} for {after} ms: {what}", self.found.name()))
    }

    /// What must hold, given what it was found in. `idle`: who has not committed anything in the stop.
    fn judge(&self, long: bool, waited_for_at_the_end: bool, idle: &[u32]) -> Result<(), Failure> {
        let wrong = |what: String| Err(self.wrong(&what));
        if self.sleeps.1 > 0 {
            return wrong(format!("the onlooker slept {} times in writes of other cells", self.sleeps.1));
        }
        let longest = self.reads.iter().chain(&self.writes).max().copied().unwrap_or_default();
        if long && longest >= BOUND {
            return wrong(format!("a read or a write of other cells took {longest:?}"));
        }
        if long && self.found.can_be_preempted() && waited_for_at_the_end {
            return wrong("somebody still waits for it, and nobody has preempted it".into());
        }
        if long && !self.found.blocks_by_design() && !idle.is_empty() {
            return wrong(format!("writers {idle:?} committed nothing in all that time"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(found: Found) -> Sight {
        let (holdings, others, began, preempted_after) = (None, Vec::new(), Instant::now(), None);
        let (reads, writes, sleeps) = (vec![Duration::from_millis(1)], Vec::new(), (2, 0));
        Sight { found, holdings, others, began, preempted_after, waited_for: false, reads, writes, sleeps }
    }

    #[test]
    fn what_was_stopped_in_decides_what_must_hold() {
        let waited_for = |found| Sight { waited_for: true, ..sight(found) };
        for found in [Found::Active, Found::Waiting, Found::Prepared] {
            assert!(waited_for(found).judge(true, false, &[]).is_ok());
            assert!(waited_for(found).judge(false, true, &[2]).is_ok(), "a short stop may be waited through");
            assert!(waited_for(found).judge(true, true, &[]).is_err());
            assert!(waited_for(found).judge(true, false, &[2]).is_err());
        }
        for found in [Found::Committed, Found::Irrevocable, Found::Privileged] {
            // Who waits for a COMMITTED one is not always seen to.
            assert!(waited_for(found).judge(true, true, &[2]).is_ok(), "by design");
            assert!(sight(found).judge(true, false, &[2]).is_ok(), "by design");
        }
        assert!(sight(Found::Nothing).judge(true, false, &[2]).is_err());
    }

    /// The danger: all are found with nothing, and nothing is judged.
    #[test]
    fn what_it_holds_and_how_says_what_was_stopped() {
        let states = [State::Active, State::Waiting, State::Prepared, State::Committed, State::Idle, State::Aborted];
        let found = |standing| states.map(|state| Found::in_state(state, standing, 3));
        let committed = Found::Committed;
        let (once, first) = (Found::Irrevocable, Found::Privileged);
        let usual = [Found::Active, Found::Waiting, Found::Prepared, committed, once, Found::Nothing];
        assert_eq!([found(Standing::Ordinary), found(Standing::Starving)], [usual, usual]);
        assert_eq!(found(Standing::Irrevocable), [once, once, once, committed, once, Found::Nothing]);
        assert_eq!(found(Standing::Privileged), [first, first, first, committed, once, Found::Nothing]);
        assert!(states.iter().all(|state| Found::in_state(*state, Standing::Ordinary, 0) == Found::Nothing));
        assert_eq!(Found::of(None), Found::Nothing);
    }

    /// The danger: commits between a look at the others and the stop pass for commits beside the stopped one.
    #[test]
    fn who_committed_before_the_stop_only_is_idle_in_it() {
        let note = |at_ns| Note { commits: at_ns / 10, at_ns, deed: 0 };
        let noted = [(0, note(990)), (2, note(1010)), (3, Note::default())];
        assert_eq!(idle(&noted, 1000), [0, 3]);
    }

    #[test]
    fn an_onlooker_that_waits_is_seen() {
        let committed = || sight(Found::Committed);
        assert!(committed().judge(false, false, &[]).is_ok());
        assert!(Sight { sleeps: (0, 1), ..committed() }.judge(false, false, &[]).is_err());
        assert!(Sight { writes: vec![BOUND], ..committed() }.judge(true, false, &[]).is_err());
    }
}
