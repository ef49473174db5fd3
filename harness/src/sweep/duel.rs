//! One trace in both worlds: which points, in which order, from the same text.

use std::collections::HashMap;
use std::path::PathBuf;

use pso_engine::contention::PolicyId;
use pso_sim::machine::Profile;
use pso_sim::measure::Measurement;
use pso_sim::player::Pacing;
use pso_sim::simulate;
use pso_sim::simulation::Setup;
use pso_sim::trace::Trace;
use tempfile::TempDir;

use crate::cli::{Pace, Replay};
use crate::failure::Failure;
use crate::interrupt;
use crate::{replay, simulator};

/// A real run that takes longer is stuck.
const PATIENCE_S: u64 = 120;
/// Memory operations of a simulated run: minutes. A run that needs more says so in its verdict.
const BUDGET: u64 = 2_000_000_000;

/// What is simulated: so many cores, so many participants.
pub type Point = (u32, u32);

/// A trace dealt to participants, and its file for real players.
struct Dealt {
    trace: Trace,
    file: PathBuf,
}

/// The runs of one trace.
pub struct Duel<F: Fn(u32) -> Trace> {
    deal: F,
    profile: Profile,
    seed: u64,
    pace: Pace,
    pacing: Pacing,
    folder: TempDir,
    dealt: HashMap<u32, Dealt>,
    real: Vec<u32>,
    simulated: Vec<Point>,
    measurements: Vec<Measurement>,
}

impl<F: Fn(u32) -> Trace> Duel<F> {
    /// `deal` makes the dense trace for a number of participants; it may give more than asked for, if less make no sense.
    pub fn new(deal: F, profile: Profile, seed: u64, (pace, pacing): (Pace, Pacing)) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("pso-sweep-").tempdir();
        let folder = folder.map_err(Failure::system("a folder for traces"))?;
        let (dealt, real, simulated, measurements) = (HashMap::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { deal, profile, seed, pace, pacing, folder, dealt, real, simulated, measurements })
    }

    /// Points of this machine.
    pub fn real(&mut self, participants: &[u32]) {
        let mut counts: Vec<u32> = participants.iter().map(|count| (self.deal)(*count).participants()).collect();
        counts.sort_unstable();
        counts.dedup();
        self.real = counts;
    }

    /// Points of the simulated machine. A point whose trace needs more participants than it has is left out.
    pub fn simulated(&mut self, points: impl IntoIterator<Item = Point>) {
        let fits = |point: &Point| (self.deal)(point.1).participants() == point.1;
        let mut points: Vec<Point> = points.into_iter().filter(fits).collect();
        points.sort_unstable();
        points.dedup();
        self.simulated = points;
    }

    /// Round `round` of `rounds`: every real point once, and a share of the simulated ones.
    pub fn round(&mut self, round: u32, rounds: u32) -> Result<(), Failure> {
        let share: Vec<Point> =
            self.simulated.iter().copied().skip(round as usize).step_by(rounds.max(1) as usize).collect();
        let mut share = share.into_iter();
        for participants in self.real.clone() {
            self.play(participants)?;
            if let Some(point) = share.next() {
                self.simulate(point)?;
            }
        }
        for point in share {
            self.simulate(point)?;
        }
        Ok(())
    }

    /// What was measured.
    pub fn finish(self) -> Vec<Measurement> {
        self.measurements
    }

    fn dealt(&mut self, participants: u32) -> Result<&Dealt, Failure> {
        if !self.dealt.contains_key(&participants) {
            let trace = (self.deal)(participants);
            let file = self.folder.path().join(format!("{participants}.gz"));
            trace.save(&file).map_err(Failure::system(format!("writing {}", file.display())))?;
            self.dealt.insert(participants, Dealt { trace, file });
        }
        let lost = || Failure::Wrong("a trace that was just made is gone".into());
        self.dealt.get(&participants).ok_or_else(lost)
    }

    fn play(&mut self, participants: u32) -> Result<(), Failure> {
        let pace = self.pace;
        let Dealt { trace, file } = self.dealt(participants)?;
        let (file, participants) = (file.clone(), Some(participants));
        let options = Replay {
            file,
            runs: 1,
            participants,
            pace,
            policy: PolicyId::default(),
            patience_s: PATIENCE_S,
            out: None,
        };
        let measured = replay::play(&options, trace)?;
        self.measurements.push(measured);
        Ok(())
    }

    fn simulate(&mut self, (cores, participants): Point) -> Result<(), Failure> {
        interrupt::check()?;
        let (profile, seed, pacing) = (self.profile.clone(), self.seed, self.pacing);
        let trace = &self.dealt(participants)?.trace;
        let setup = Setup { budget: BUDGET, ..simulator::setup(profile, cores, seed, trace)? };
        let played = simulate(trace, setup, pacing);
        let played = played.map_err(|error| Failure::Wrong(format!("simulating {}: {error}", trace.header.name)))?;
        self.measurements.push(Measurement { manner: simulator::manner(self.pace), ..played.measurement });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pso_sim::measure::{Verdict, World};
    use pso_sim::trace::{Contention, Kind, generate};

    fn duel(kind: Kind) -> Duel<impl Fn(u32) -> Trace> {
        let deal = move |participants| generate(kind, Contention::High, participants, 60, 1);
        let profile = Profile::built_in("chiplet").unwrap();
        Duel::new(deal, profile, 1, (Pace::AsWritten, Pacing::AS_WRITTEN)).unwrap()
    }

    /// Real runs need processes of the command, which `tests/sweep.rs` has; here are the simulated points.
    #[test]
    fn every_simulated_point_is_measured_once_over_all_rounds() {
        let mut duel = duel(Kind::Counter);
        duel.simulated([(1, 1), (2, 2), (2, 1), (2, 2), (2, 4), (4, 4)]);
        for round in 0..3 {
            duel.round(round, 3).unwrap();
        }
        let mut found: Vec<Point> = Vec::new();
        for each in duel.finish() {
            assert_eq!(
                (each.world, each.verdict, each.commits.iter().sum::<u64>()),
                (World::Simulated, Verdict::Ok, 60)
            );
            found.push((each.cores, each.participants));
        }
        found.sort_unstable();
        assert_eq!(found, [(1, 1), (2, 1), (2, 2), (2, 4), (4, 4)]);
    }

    #[test]
    fn a_trace_that_needs_two_has_no_point_with_one() {
        let mut duel = duel(Kind::Queue);
        duel.real(&[1, 2, 4]);
        duel.simulated([(1, 1), (2, 2)]);
        assert_eq!(duel.real, [2, 4]);
        assert_eq!(duel.simulated, [(2, 2)]);
    }
}
