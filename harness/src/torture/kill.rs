//! One kill, and all that is looked at after it.

use std::time::{Duration, Instant};

use pso_engine::waits::Holdings;
use pso_engine::word::State;
use rand::Rng;
use rand::rngs::StdRng;

use super::deeds::Deed;
use super::round::{POLL, Round};
use super::watch::{Moments, Survivor, Waited, Watch};
use crate::failure::Failure;
use crate::interrupt;

/// One kill in so many hits the writer that was started last, as a rule before it has joined; one in so many takes two at once.
const WHILE_JOINING: u32 = 8;
const TWO_AT_ONCE: u32 = 12;

/// What a dead writer was at.
pub struct Death {
    /// What it was about to do, was doing, or had just done. `None` if it had not committed anything.
    pub deed: Option<Deed>,
    /// The state of its last attempt as it was found. Somebody may have cleared up already.
    pub state: Option<State>,
}

/// What a kill showed.
pub struct Outcome {
    /// Writers that were killed, one or two.
    pub dead: Vec<Death>,
    /// The victim had not committed anything yet.
    pub while_joining: bool,
    /// From the signal until the kernel said that it is dead: both, if two.
    pub dying: Duration,
    /// How long each survivor took to commit again.
    pub commits: Vec<Duration>,
    /// How long those took that waited for the dead.
    pub waits: Vec<Waited>,
}

impl Round<'_> {
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
        Self::let_some_time_pass(random);
        let while_joining = self.progress.noted(victim)?.commits == self.started_at[victim as usize];
        let (watch, dead) = self.strike(&victims)?;
        let watch = self.await_survivors(watch)?;
        let counts = self.check()?;
        for victim in &victims {
            self.check_count(*victim, counts[*victim as usize])?;
            self.started_at[*victim as usize] = self.progress.noted(*victim)?.commits;
            self.crew.replace(*victim, random.random())?;
            self.latest = *victim;
        }
        let dying = watch.killed.dying();
        let commits = watch.survivors.iter().filter_map(|survivor| survivor.committed).collect();
        let waits = watch.survivors.into_iter().flat_map(|survivor| survivor.waits).collect();
        Ok(Outcome { dead, while_joining, dying, commits, waits })
    }

    /// All but the victims, as they stand before the kill.
    pub fn survivors(&self, victims: &[u32]) -> Result<Vec<Survivor>, Failure> {
        let survivor = |writer| {
            let before = self.progress.noted(writer)?.commits;
            Ok(Survivor::new(writer, self.joined_as(writer)?, before))
        };
        self.others(victims).into_iter().map(survivor).collect()
    }

    /// Kills, and begins to watch the others.
    fn strike(&mut self, victims: &[u32]) -> Result<(Watch, Vec<Death>), Failure> {
        let survivors = self.survivors(victims)?;
        let participants: Vec<_> = victims.iter().map(|victim| self.participant_of(*victim)).collect();
        let signal_ns = self.now_ns();
        for victim in victims {
            self.crew.kill(*victim)?;
        }
        let killed = Moments { signal_ns, dead_ns: self.now_ns() };
        let (mut left, mut dead) = (Vec::new(), Vec::new());
        for (victim, participant) in victims.iter().zip(participants) {
            let holdings = participant.map(|id| Holdings::of(self.joined.space.arena(), id));
            let holdings = holdings.transpose().map_err(Failure::space("looking at the dead"))?.flatten();
            let note = self.progress.noted(*victim)?;
            let joined = note.commits > self.started_at[*victim as usize];
            let deed = joined.then(|| Deed::ALL.get(note.deed as usize).copied()).flatten();
            dead.push(Death { deed, state: holdings.as_ref().map(|holdings| holdings.state) });
            left.extend(holdings);
        }
        Ok((Watch::new(killed, left, survivors), dead))
    }

    /// Waits until each survivor has committed once more, and until those who wait for the dead have.
    fn await_survivors(&mut self, mut watch: Watch) -> Result<Watch, Failure> {
        let since = Instant::now();
        while !watch.look(self.joined.space.arena(), &self.progress, self.now_ns())? {
            for survivor in watch.survivors.iter().filter(|survivor| !survivor.is_through()) {
                self.be_patient(survivor.writer, since.elapsed())?;
            }
            std::thread::sleep(POLL);
        }
        Ok(watch)
    }
}
