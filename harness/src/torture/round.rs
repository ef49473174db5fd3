//! One space of the torture: made, worked on, checked, and checked again at rest. What is done to the writers in between is in
//! `kill` and `stop`.

use std::time::{Duration, Instant};

use pso_engine::error::Stop;
use pso_engine::fsck::Finding;
use pso_engine::object::list;
use pso_engine::platform::System as _;
use pso_engine::platform::native::{Choice, Place};
use pso_engine::word::ParticipantId;
use rand::Rng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::crew::Crew;
use super::deeds::Deed;
use super::progress::{Note, Progress};
use super::world::{Tx, World, check, number};
use crate::cli::Torture;
use crate::failure::Failure;
use crate::place::{self, Joined};
use crate::{fsck, inspect, interrupt};

/// The space, in the folder of the round; notes and last words of the writers lie beside it.
pub const SPACE: &str = "space";
const SPACE_BYTES: u64 = 1 << 30;
/// A space that has taken so much is exchanged for a new one: fsck walks all of it after each kill.
const GROWN_BYTES: u64 = 48 << 20;
/// A victim is met within so many microseconds after its next commit, or after its start.
const MOMENT_MICROSECONDS: u64 = 3000;
/// How often the writers are looked at.
pub const POLL: Duration = Duration::from_micros(100);

/// So long has a survivor that is clearing up after the dead before we look again.
const CLEARING_PAUSE: Duration = Duration::from_millis(5);

/// What fsck finds is looked for again after so long.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// A space, its world and its writers.
pub struct Round<'a> {
    pub options: &'a Torture,
    pub progress: Progress,
    pub crew: Crew,
    pub world: World,
    /// Commits noted when each writer was last started: what it must exceed to count as joined.
    pub started_at: Vec<u64>,
    /// Who was started last.
    pub latest: u32,
    pub tx: Tx,
    pub joined: Joined,
    // Last: removed when everything above has gone.
    _folder: TempDir,
}

impl<'a> Round<'a> {
    /// Makes a space and its world, and starts the writers.
    pub fn start(options: &'a Torture, random: &mut StdRng) -> Result<Self, Failure> {
        let folder = place::folder_in_memory("pso-torture-")?;
        let choice = Choice { bytes: SPACE_BYTES, policy: options.policy };
        let joined = place::create(&Place::Directory(folder.path().join(SPACE)), choice)?;
        let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
        let world = World::build(&mut tx, options.writers).map_err(Failure::space("making the world"))?;
        let progress = Progress::open(folder.path())?;
        let crew = Crew::start(folder.path(), options.writers, || random.random())?;
        let started_at = vec![0; options.writers as usize];
        Ok(Self { options, progress, crew, world, started_at, latest: 0, tx, joined, _folder: folder })
    }

    /// True for a space that is to be exchanged.
    pub fn is_grown(&self) -> bool {
        inspect::memory(&self.joined.space).committed_bytes > GROWN_BYTES
    }

    /// Tells the writers to leave and checks everything at rest. All commits that were made.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let stop = self.world.stop;
        let deadline_ns = self.deadline_ns();
        let told = self.tx.run_until(deadline_ns, |tx| list::push(tx, stop, number(1)));
        told.map_err(|stop| self.gave_up("telling the writers to leave", stop))?;
        self.crew.dismiss()?;
        let counts = self.check()?;
        for (writer, count) in (0..self.options.writers).zip(&counts) {
            self.check_count(writer, *count)?;
        }
        self.tx.leave();
        let findings = fsck::findings_at_rest(&self.joined.space);
        if findings.is_empty() { Ok(counts.iter().sum()) } else { Err(Failure::Wrong(findings.join("; "))) }
    }

    /// All writers but those.
    pub fn others(&self, but: &[u32]) -> Vec<u32> {
        (0..self.options.writers).filter(|writer| !but.contains(writer)).collect()
    }

    /// Lets a random moment come.
    pub fn let_some_time_pass(random: &mut StdRng) {
        std::thread::sleep(Duration::from_micros(random.random_range(0..MOMENT_MICROSECONDS)));
    }

    /// What the deeds and words of a participant are found by, if the writer has joined.
    pub fn participant_of(&self, writer: u32) -> Option<ParticipantId> {
        inspect::participant_of(self.joined.space.arena(), self.crew.pid(writer))
    }

    /// That of a writer that has committed, so it has joined. Where it is not found nobody could be watched, and all would seem well.
    pub fn joined_as(&self, writer: u32) -> Result<ParticipantId, Failure> {
        let missing = || Failure::Wrong(format!("writer {writer} has committed, and no participant is its"));
        self.participant_of(writer).ok_or_else(missing)
    }

    /// Now, on the clock of the notes.
    pub fn now_ns(&self) -> u64 {
        self.joined.space.arena().platform().now_ns()
    }

    /// When our own transactions have waited for too long: what the dead hold may be wanted by nobody but us.
    fn deadline_ns(&self) -> Option<u64> {
        Some(self.now_ns().saturating_add(self.patience().as_nanos() as u64))
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.options.patience_ms)
    }

    /// Why a transaction of our own has failed.
    fn gave_up(&self, what: &str, stop: Stop) -> Failure {
        if stop != Stop::TimedOut {
            return Failure::space(what)(stop);
        }
        self.stalled(&format!("{what}: the checker waits"))
    }

    /// Patience is at its end; with everybody who takes part, for whoever looks for the reason.
    fn stalled(&self, what: &str) -> Failure {
        let everybody = inspect::snapshot(&self.joined.space);
        Failure::Stalled { what: format!("{what}\n{everybody}"), seconds: self.patience().as_secs() }
    }

    /// Waits until `writer` has committed something since it was started.
    pub fn await_commit(&mut self, writer: u32) -> Result<(), Failure> {
        let before = self.started_at[writer as usize];
        self.await_progress(writer, before)
    }

    /// Waits until `writer` has made more than `before` commits.
    pub fn await_progress(&mut self, writer: u32, before: u64) -> Result<(), Failure> {
        let since = Instant::now();
        while self.progress.noted(writer)?.commits <= before {
            self.be_patient(writer, since.elapsed())?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// An error once a writer that should commit has ended, or has not done so for too long.
    pub fn be_patient(&mut self, writer: u32, waited: Duration) -> Result<(), Failure> {
        interrupt::check()?;
        self.crew.check(writer)?;
        if waited <= self.patience() {
            return Ok(());
        }
        let deed = Deed::ALL.get(self.progress.noted(writer)?.deed as usize).map_or("?", |deed| deed.name());
        let stands = self.crew.stands(writer);
        Err(self.stalled(&format!("writer {writer} lives and commits nothing, in {deed}: {stands}")))
    }

    /// Invariants in a consistent read, with what the dead left still there; then recovery, then fsck. The writers' counts.
    pub fn check(&mut self) -> Result<Vec<u64>, Failure> {
        let deadline_ns = self.deadline_ns();
        let looked = check(&mut self.tx, &self.world, self.options.writers, deadline_ns);
        let (mut wrong, counts) = looked.map_err(|stop| self.gave_up("reading the world", stop))?;
        let damage = self.damage();
        wrong.extend(damage.iter().map(|finding| format!("fsck: {finding}")));
        if !damage.is_empty() {
            // Whoever reads this has to know whether it was a moment.
            std::thread::sleep(SECOND_LOOK);
            wrong.extend(self.damage().iter().map(|finding| format!("fsck on a second look: {finding}")));
            wrong.extend(damage.iter().filter_map(|finding| inspect::around(self.joined.space.arena(), finding)));
        }
        if wrong.is_empty() { Ok(counts) } else { Err(Failure::Wrong(wrong.join("; "))) }
    }

    /// What fsck finds once the dead are cleared up after. The survivors have gone on without that; what is left of the dead has
    /// to be gone after it. It is left out where a survivor is just at the same, so it is tried again.
    fn damage(&self) -> Vec<Finding> {
        pso_engine::fsck::fsck_after_deaths(&self.joined.space, || {
            std::thread::sleep(CLEARING_PAUSE);
            true
        })
    }

    /// A writer that is gone has committed what it noted, or one more: it died between the two.
    pub fn check_count(&self, writer: u32, count: u64) -> Result<(), Failure> {
        let note = self.progress.noted(writer)?;
        if (note.commits..=note.commits + 1).contains(&count) {
            // The next one goes on from what the space says.
            return self.progress.note(writer, Note { commits: count, ..note });
        }
        Err(Failure::Wrong(format!("writer {writer} noted {} commits, the space has {count}", note.commits)))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use pso_engine::contention::PolicyId;
    use pso_engine::object::queue;
    use pso_engine::platform::{Memory as _, Ordering::Relaxed, native};
    use pso_engine::space::Space;
    use pso_engine::word::{LockWord, Version};

    use super::*;

    fn options() -> Torture {
        let (kills, stops, writers, patience_ms) = (None, 0, 2, 1000);
        Torture { kills, stops, writers, seed: None, patience_ms, policy: PolicyId::default(), quiet: true, out: None }
    }

    /// A round with these processes for writers.
    fn round(options: &Torture, writers: Vec<Child>) -> Round<'_> {
        let folder = tempfile::tempdir().unwrap();
        let (platform, layout) = native::create_anonymous(32 << 20).unwrap();
        let joined = Joined { space: Space::join(platform, layout).unwrap(), title: String::new() };
        let mut tx = joined.space.participant().unwrap();
        let world = World::build(&mut tx, options.writers).unwrap();
        let progress = Progress::open(folder.path()).unwrap();
        let crew = Crew::of(folder.path(), writers);
        Round { options, progress, crew, world, started_at: vec![0; 2], latest: 0, tx, joined, _folder: folder }
    }

    fn said<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> String {
        outcome.unwrap_err().to_string()
    }

    #[test]
    fn a_commit_that_is_lost_and_one_that_nobody_made_are_seen() {
        let options = options();
        let round = round(&options, Vec::new());
        round.progress.note(1, Note { commits: 5, at_ns: 0, deed: 0 }).unwrap();
        for count in [4, 7] {
            let expected = format!("writer 1 noted 5 commits, the space has {count}");
            assert_eq!(said(round.check_count(1, count)), expected);
        }
        round.check_count(1, 5).unwrap();
        round.check_count(1, 6).unwrap();
        assert!(said(round.check_count(1, 5)).contains("noted 6"), "the next one goes on from there");
    }

    #[test]
    fn a_writer_that_commits_nothing_or_is_gone_ends_the_patience() {
        let options = options();
        let started = |name: &str| Command::new(name).arg("60").spawn().unwrap();
        let mut round = round(&options, vec![started("sleep"), started("true")]);
        round.crew.check(0).unwrap();
        round.be_patient(0, Duration::from_millis(1000)).unwrap();
        let waited = said(round.be_patient(0, Duration::from_millis(1001)));
        assert!(waited.contains("writer 0 lives and commits nothing"), "{waited}");
        // Until it is gone, whenever that is: where nobody sees it, the test does not end.
        while round.be_patient(1, Duration::ZERO).is_ok() {
            std::thread::yield_now();
        }
        assert!(matches!(round.await_progress(1, 0), Err(Failure::Child { .. })));
    }

    /// The danger: who is not found is not watched, and a kill passes for survived.
    #[test]
    fn a_survivor_that_cannot_be_watched_is_said() {
        let options = options();
        let started = || Command::new("sleep").arg("60").spawn().unwrap();
        let round = round(&options, vec![started(), started()]);
        assert!(round.survivors(&[0, 1]).is_ok_and(|survivors| survivors.is_empty()));
        let said = round.survivors(&[0]).err().unwrap().to_string();
        assert!(said.contains("writer 1 has committed, and no participant is its"), "{said}");
    }

    /// The danger: what the dead hold and no survivor wants holds up the checker alone, which then says nothing for ever.
    #[test]
    fn a_checker_that_waits_for_too_long_says_so() {
        let options = Torture { patience_ms: 100, ..options() };
        type Hold = fn(&mut Tx, &World) -> Result<(), Stop>;
        // What it only reads does not hold it up; the queues it empties and fills again.
        let looks: Hold = |tx, world| queue::try_get(tx, world.inbox).map(drop);
        let ends: Hold = |tx, world| list::push(tx, world.stop, number(1));
        for (at, hold, is_end) in [("reading the world", looks, false), ("telling the writers to leave", ends, true)] {
            let mut round = round(&options, Vec::new());
            let mut other = round.joined.space.participant().unwrap();
            other.begin_irrevocable(None).unwrap();
            hold(&mut other, &round.world).unwrap();
            let outcome = if is_end { round.finish().map(drop) } else { round.check().map(drop) };
            let failure = outcome.unwrap_err();
            assert!(matches!(failure, Failure::Stalled { .. }), "{failure}");
            let said = failure.to_string();
            assert!(said.contains(at) && said.contains("2 participants"), "{said}");
            other.abort();
        }
    }

    #[test]
    fn what_fsck_finds_and_what_the_world_says_is_wrong_fails_the_check() {
        let options = options();
        let mut round = round(&options, Vec::new());
        assert_eq!(round.check().unwrap(), [0, 0]);
        assert_eq!(round.damage(), []);
        // A cell that no check of the world reads.
        let arena = round.joined.space.arena();
        let lock = arena.root().lock_word();
        let before = arena.platform().load(lock, Relaxed);
        arena.platform().store(lock, LockWord::free(Version(1 << 40)), Relaxed);
        assert!(matches!(round.damage()[..], [Finding::Version { .. }]));
        let wrong = said(round.check());
        assert!(wrong.contains("fsck: ") && wrong.contains("fsck on a second look: "), "{wrong}");
        round.joined.space.arena().platform().store(lock, before, Relaxed);
        round.check().unwrap();
        let bank = round.world.bank;
        round.tx.run(|tx| list::truncate(tx, bank, 1)).unwrap();
        assert!(said(round.check()).contains("the bank"));
    }
}
