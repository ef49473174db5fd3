//! Measurements made by hand, for tests only: nothing here was measured.

use pso_sim::measure::{Latency, Manner, Measurement, Verdict, World};

/// A run that ended well, with `rate` commits a second of all.
pub fn measurement(world: World, trace: &str, cores: u32, participants: u32, rate: f64) -> Measurement {
    let each = rate / f64::from(participants);
    let one = (f64::from(participants) * 1e9 / rate) as u64;
    Measurement {
        world,
        trace: trace.into(),
        policy: "default".into(),
        machine: if world == World::Real { "this machine".into() } else { "local".into() },
        manner: Manner::default(),
        cores,
        participants,
        seed: 7,
        verdict: Verdict::Ok,
        duration_ns: 1_000_000_000,
        attempts: (rate * (1.0 + 0.02 * f64::from(participants - 1))) as u64,
        commits: vec![each as u64; participants as usize],
        rates: (0..participants).map(|number| each * (1.0 - 0.004 * f64::from(number))).collect(),
        latency: Latency { p50: one, p90: one * 2, p99: one * 7, p999: one * 40, max: one * 900 },
    }
}

/// A trace as a sweep measures it: real runs with a spread, simulated ones on 1 to 64 cores.
pub fn sweep(trace: &str) -> Vec<Measurement> {
    let mut runs = Vec::new();
    for participants in [1, 2, 4, 8] {
        for run in 0..15 {
            let noise = 1.0 + 0.02 * f64::from((run * 7) % 15 - 7);
            let rate = 1.1e6 * f64::from(participants.min(2)) * 0.9 * noise;
            runs.push(measurement(World::Real, trace, 2, participants, rate));
        }
    }
    for participants in [1u32, 2, 4, 8, 16, 32, 64] {
        let scaled = 1.15e6 * f64::from(participants) / (1.0 + 0.02 * f64::from(participants));
        runs.push(measurement(World::Simulated, trace, participants, participants, scaled));
        runs.push(measurement(World::Simulated, trace, 2, participants, 1.15e6 * f64::from(participants.min(2))));
    }
    runs
}
