//! When workers die: spread over the run, at moments that the seed chooses.

use rand::Rng;
use rand::rngs::StdRng;

/// Part of the run in which workers are killed: not before all have begun, not when the end is near.
const FROM: f64 = 0.05;
const TO: f64 = 0.9;
/// After its mark is passed a kill waits up to so long, so that it is not tied to the end of a merge.
const JITTER_MICROSECONDS: u64 = 20_000;

/// Numbers of merged files at which somebody dies, in order.
pub struct KillPlan {
    marks: Vec<u64>,
    next: usize,
}

impl KillPlan {
    /// One mark in each of `kills` equal parts of the run over `files`.
    pub fn new(kills: u32, files: u64, random: &mut StdRng) -> Self {
        let mark = |number: u32, random: &mut StdRng| {
            let within = (f64::from(number) + random.random::<f64>()) / f64::from(kills);
            ((FROM + (TO - FROM) * within) * files as f64) as u64
        };
        Self { marks: (0..kills).map(|number| mark(number, random)).collect(), next: 0 }
    }

    /// Whether somebody has to die now that `done` files are merged. Each mark answers yes once.
    pub fn due(&mut self, done: u64) -> bool {
        let due = self.marks.get(self.next).is_some_and(|mark| done >= *mark);
        self.next += usize::from(due);
        due
    }

    /// How long the kill waits after its mark.
    pub fn jitter(random: &mut StdRng) -> std::time::Duration {
        std::time::Duration::from_micros(random.random_range(0..JITTER_MICROSECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_kill_falls_into_the_run_and_comes_once() {
        for (kills, files) in [(0, 100), (1, 1), (3, 179), (50, 1790), (10, 3)] {
            let mut plan = KillPlan::new(kills, files, &mut StdRng::seed_from_u64(7));
            assert!(plan.marks.is_sorted() && plan.marks.iter().all(|mark| *mark < files), "{:?}", plan.marks);
            let mut deaths = 0;
            for done in 0..files {
                while plan.due(done) {
                    deaths += 1;
                }
            }
            assert_eq!(deaths, kills);
        }
    }
}
