//! One space of the torture: made, worked on, killed in, checked, and checked again at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use pso_engine::fsck::Finding;
use pso_engine::object::list;
use pso_engine::platform::native::{Choice, Place};
use rand::Rng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::crew::Crew;
use super::progress::Progress;
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
/// Memory that a directory is put into if the machine has it: a disk would be measured with it.
const SHARED_MEMORY: &str = "/dev/shm";
/// One kill in so many hits the writer that was started last, as a rule before it has joined; one in so many takes two at once.
const WHILE_JOINING: u32 = 8;
const TWO_AT_ONCE: u32 = 12;
/// A victim dies within so many microseconds after its next commit, or after its start.
const MOMENT_MICROSECONDS: u64 = 3000;
/// How often the notes of the writers are looked at.
const POLL: Duration = Duration::from_micros(100);

/// So long has a survivor that is clearing up after the dead before we look again.
const CLEARING_PAUSE: Duration = Duration::from_millis(5);

/// A space, its world and its writers.
pub struct Round<'a> {
    options: &'a Torture,
    progress: Progress,
    crew: Crew,
    world: World,
    /// Commits noted when each writer was last started: what it must exceed to count as joined.
    started_at: Vec<u64>,
    /// Who was started last.
    latest: u32,
    tx: Tx,
    joined: Joined,
    // Last: removed when everything above has gone.
    _folder: TempDir,
}

/// What a kill showed.
pub struct Outcome {
    /// Writers that were killed: 1 or 2.
    pub killed: u32,
    /// The victim had not committed anything yet.
    pub while_joining: bool,
    /// How long each survivor took to commit again.
    pub waits: Vec<Duration>,
}

impl<'a> Round<'a> {
    /// Makes a space and its world, and starts the writers.
    pub fn start(options: &'a Torture, random: &mut StdRng) -> Result<Self, Failure> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("pso-torture-");
        let folder =
            if Path::new(SHARED_MEMORY).is_dir() { builder.tempdir_in(SHARED_MEMORY) } else { builder.tempdir() };
        let folder = folder.map_err(Failure::system("a folder for the space"))?;
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

    /// One kill, of at most `most` writers, and all checks after it.
    pub fn kill(&mut self, most: u32, random: &mut StdRng) -> Result<Outcome, Failure> {
        interrupt::check()?;
        let joining = random.random_ratio(1, WHILE_JOINING);
        let victim = if joining { self.latest } else { random.random_range(0..self.options.writers) };
        let mut victims = vec![victim];
        // Somebody must survive.
        if most > 1 && self.options.writers > 2 && random.random_ratio(1, TWO_AT_ONCE) {
            victims.push((victim + random.random_range(1..self.options.writers)) % self.options.writers);
        }
        // Survivors have joined, so that what they wait for afterwards is not their own start.
        for writer in (0..self.options.writers).filter(|writer| !joining || !victims.contains(writer)) {
            self.await_commit(writer)?;
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..MOMENT_MICROSECONDS)));
        let while_joining = self.progress.noted(victim)? == self.started_at[victim as usize];
        for victim in &victims {
            self.crew.kill(*victim)?;
        }
        let waits = self.await_survivors(&victims)?;
        let counts = self.check()?;
        for victim in &victims {
            self.check_count(*victim, counts[*victim as usize])?;
            self.started_at[*victim as usize] = self.progress.noted(*victim)?;
            self.crew.replace(*victim, random.random())?;
            self.latest = *victim;
        }
        Ok(Outcome { killed: victims.len() as u32, while_joining, waits })
    }

    /// Tells the writers to leave and checks everything at rest. All commits that were made.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let stop = self.world.stop;
        self.tx.run(|tx| list::push(tx, stop, number(1))).map_err(Failure::space("telling the writers to leave"))?;
        self.crew.dismiss()?;
        let counts = self.check()?;
        for (writer, count) in (0..self.options.writers).zip(&counts) {
            self.check_count(writer, *count)?;
        }
        self.tx.leave();
        let findings = fsck::findings_at_rest(&self.joined.space);
        if findings.is_empty() { Ok(counts.iter().sum()) } else { Err(Failure::Wrong(findings.join("; "))) }
    }

    /// Waits until `writer` has committed something since it was started.
    fn await_commit(&mut self, writer: u32) -> Result<(), Failure> {
        let before = self.started_at[writer as usize];
        self.await_progress(writer, before, Instant::now())?;
        Ok(())
    }

    /// Waits until each survivor has committed once more; how long each took, counted from now.
    fn await_survivors(&mut self, victims: &[u32]) -> Result<Vec<Duration>, Failure> {
        let killed_at = Instant::now();
        let survivors: Vec<u32> = (0..self.options.writers).filter(|writer| !victims.contains(writer)).collect();
        let before: Vec<u64> = survivors.iter().map(|writer| self.progress.noted(*writer)).collect::<Result<_, _>>()?;
        survivors
            .iter()
            .zip(before)
            .map(|(survivor, before)| self.await_progress(*survivor, before, killed_at))
            .collect()
    }

    fn await_progress(&mut self, writer: u32, before: u64, since: Instant) -> Result<Duration, Failure> {
        let patience = Duration::from_millis(self.options.patience_ms);
        loop {
            if self.progress.noted(writer)? > before {
                return Ok(since.elapsed());
            }
            self.crew.check(writer)?;
            if since.elapsed() > patience {
                let everybody = inspect::snapshot(&self.joined.space);
                let what = format!("writer {writer} lives and commits nothing\n{everybody}");
                return Err(Failure::Stalled { what, seconds: patience.as_secs() });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Invariants in a consistent read, with what the dead left still there; then recovery, then fsck. The writers' counts.
    fn check(&mut self) -> Result<Vec<u64>, Failure> {
        let (mut wrong, counts) =
            check(&mut self.tx, &self.world, self.options.writers).map_err(Failure::space("reading the world"))?;
        wrong.extend(self.damage().into_iter().map(|finding| format!("fsck: {finding}")));
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
    fn check_count(&self, writer: u32, count: u64) -> Result<(), Failure> {
        let noted = self.progress.noted(writer)?;
        if (noted..=noted + 1).contains(&count) {
            // The next one goes on from what the space says.
            return self.progress.note(writer, count);
        }
        Err(Failure::Wrong(format!("writer {writer} noted {noted} commits, the space has {count}")))
    }
}
