//! How far simulated numbers are from real ones, where both exist for the same cores, participants, policy and pace.

use pso_sim::measure::{Measurement, World};

use super::group::ended_well;
use super::quantity::Quantity;
use super::spread::Spread;

/// One comparison of throughput.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// Contention policy of both.
    pub policy: String,
    /// Cores of both.
    pub cores: u32,
    /// Participants of both.
    pub participants: u32,
    /// Machine profile of the simulated runs.
    pub profile: String,
    /// Of the real runs.
    pub real: Spread,
    /// Of the simulated runs.
    pub simulated: Spread,
}

impl Agreement {
    /// Simulated over real median, less 1: 0.1 is a simulated number that is 10 % too high.
    pub fn deviation(&self) -> f64 {
        if self.real.median == 0.0 { f64::NAN } else { self.simulated.median / self.real.median - 1.0 }
    }
}

/// All comparisons that the measurements of one trace allow, by participants.
pub fn agreements(measurements: &[&Measurement]) -> Vec<Agreement> {
    // No real run was disturbed.
    let is_undisturbed = |each: &Measurement| ended_well(each) && each.manner.faults.is_empty();
    let of =
        |world: World| measurements.iter().copied().filter(move |each| is_undisturbed(each) && each.world == world);
    let key = |each: &Measurement| (each.policy.clone(), each.cores, each.participants, each.manner.pace.clone());
    let machine = |each: &Measurement| (each.machine.clone(), each.manner.scheduler.clone());
    let mut keys: Vec<_> = of(World::Simulated).map(|each| (key(each), machine(each))).collect();
    keys.sort();
    keys.dedup();
    let mut found = Vec::new();
    for (wanted, profile) in keys {
        let same = |each: &&Measurement| key(each) == wanted;
        let throughput = |each: &Measurement| Quantity::Throughput.of(each);
        let real = Spread::of(of(World::Real).filter(same).map(throughput));
        let simulated = of(World::Simulated).filter(same).filter(|each| machine(each) == profile);
        let simulated = Spread::of(simulated.map(throughput));
        if let (Some(real), Some(simulated)) = (real, simulated) {
            let (policy, cores, participants, _) = wanted;
            let profile = profile.0;
            found.push(Agreement { policy, cores, participants, profile, real, simulated });
        }
    }
    found.sort_by_key(|each| (each.cores, each.participants));
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::measurement;
    use super::*;
    use pso_sim::measure::Verdict;

    #[test]
    fn only_like_is_compared_with_like_and_only_what_ended_well() {
        let mut runs = vec![
            measurement(World::Real, "bank", 2, 2, 100.0),
            measurement(World::Real, "bank", 2, 2, 300.0),
            measurement(World::Real, "bank", 2, 2, 200.0),
            measurement(World::Simulated, "bank", 2, 2, 250.0),
            measurement(World::Simulated, "bank", 4, 2, 900.0),
            measurement(World::Simulated, "bank", 2, 4, 900.0),
        ];
        let mut slowed = measurement(World::Simulated, "bank", 2, 2, 9000.0);
        slowed.manner.faults.push("slow 1:5:100".into());
        let mut flat_out = measurement(World::Simulated, "bank", 2, 2, 9000.0);
        flat_out.manner.pace = Some("flat-out".into());
        runs.extend([slowed, flat_out]);
        let mut bad = measurement(World::Simulated, "bank", 2, 2, 9000.0);
        bad.verdict = Verdict::Stuck;
        runs.push(bad);
        let all: Vec<&Measurement> = runs.iter().collect();
        let found = agreements(&all);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].cores, found[0].participants, found[0].real.runs), (2, 2, 3));
        assert!((found[0].deviation() - 0.25).abs() < 1e-9, "{}", found[0].deviation());
    }
}
