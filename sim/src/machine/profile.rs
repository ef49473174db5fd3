//! A machine as data: prices, each with where it comes from.
//!
//! Profiles are TOML files in `sim/profiles/`; `pso calibrate` writes one for the machine at hand. A profile comes from
//! micro-benchmarks and published measurements only, never from the results that the simulator is compared with.

use serde::{Deserialize, Serialize};

use super::picoseconds;
use super::topology::Topology;
use crate::random::Random;

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Nanoseconds.
    pub ns: f64,
    /// Where it comes from: method, or source.
    pub from: String,
}

/// One number for each [`super::Distance`]: within a group, across groups, across sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distances {
    /// Nanoseconds.
    pub ns: [f64; 3],
    /// Where they come from.
    pub from: String,
}

/// A measured distribution: each value is as likely as every other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// Nanoseconds, ascending.
    pub ns: Vec<f64>,
    /// Where they come from.
    pub from: String,
}

/// Whether something holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// It does.
    pub holds: bool,
    /// Where that comes from.
    pub from: String,
}

/// A machine and its system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it stands for, in a sentence.
    pub about: String,
    /// Which cores are near which.
    pub topology: Topology,
    /// A memory operation on a line in the own cache, with the ordinary instructions around it. Part of every operation.
    pub ordinary: Figure,
    /// A load of a line that another cache has changed.
    pub load_changed: Distances,
    /// A load of a line that other caches only share.
    pub load_shared: Distances,
    /// A store to a line that is not the own cache's alone, made in the background: how long whatever waits for stores waits
    /// for it. The line itself travels as for a read-modify-write.
    pub store: Distances,
    /// A read-modify-write of a line that is the own cache's alone, above `ordinary`.
    pub exchange_own: Figure,
    /// A read-modify-write of a line that is not.
    pub exchange: Distances,
    /// A load of a line that another cache has changed takes the line away from it: a change that follows is free. Absent: it
    /// does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads_migrate: Option<Fact>,
    /// How single transfers of a line differ: each takes its price times one of these over their mean. Absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_spread: Option<Samples>,
    /// How long a core still has a line that another one has asked for: it makes all the accesses that it has begun. Absent:
    /// it has lost it at the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Distances>,
    /// A full fence, once the stores before it have drained.
    pub fence: Figure,
    /// The first access of all to a line.
    pub memory: Figure,
    /// Reading the exact clock.
    pub clock: Figure,
    /// Reading the coarse clock.
    pub coarse_clock: Figure,
    /// A step of the coarse clock.
    pub coarse_step: Figure,
    /// A spin hint.
    pub spin_hint: Figure,
    /// How long the engine spins before it sleeps.
    pub spin: Figure,
    /// A call of the kernel that finds nothing to do.
    pub kernel_call: Figure,
    /// Waking somebody on another core, to the caller, above `kernel_call`.
    pub wake_call: Figure,
    /// From one thread to the next on the same core.
    pub context_switch: Figure,
    /// How long a thread runs while others want its core.
    pub slice: Figure,
    /// From the ring until a sleeper on the ringer's own core stands in its queue; and from the end of a timed sleep.
    pub wake_same_core: Samples,
    /// From the ring until a sleeper on another core can run there.
    pub wake_other_core: Samples,
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No profile in this form.
    #[error("the profile cannot be read: {0}")]
    Form(String),
    /// A number that no machine has.
    #[error("the profile has no sensible value of {0}")]
    Value(&'static str),
}

const BUILT_IN: [&str; 2] = [include_str!("../../profiles/chiplet.toml"), include_str!("../../profiles/mesh.toml")];

impl Profile {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|error| ProfileError::Form(error.to_string()))?;
        profile.check()?;
        Ok(profile)
    }

    /// The one of this name that is part of the program.
    pub fn built_in(name: &str) -> Option<Self> {
        BUILT_IN.into_iter().filter_map(|text| Self::parse(text).ok()).find(|profile| profile.name == name)
    }

    /// The text of a profile file.
    pub fn to_text(&self) -> Result<String, ProfileError> {
        toml::to_string_pretty(self).map_err(|error| ProfileError::Form(error.to_string()))
    }

    fn check(&self) -> Result<(), ProfileError> {
        let sensible = |ns: f64| ns.is_finite() && (0.0..1e12).contains(&ns);
        for (name, figure) in self.figures() {
            if !sensible(figure.ns) {
                return Err(ProfileError::Value(name));
            }
        }
        for (name, distances) in self.distances() {
            if !distances.ns.into_iter().all(sensible) {
                return Err(ProfileError::Value(name));
            }
        }
        for (name, samples) in self.samples() {
            if samples.ns.is_empty() || !samples.ns.iter().copied().all(sensible) {
                return Err(ProfileError::Value(name));
            }
        }
        if self.transfer_spread.as_ref().is_some_and(|spread| spread.ns.iter().sum::<f64>() <= 0.0) {
            return Err(ProfileError::Value("transfer_spread"));
        }
        let positive = [("ordinary", &self.ordinary), ("spin_hint", &self.spin_hint), ("slice", &self.slice)];
        for (name, figure) in positive.into_iter().chain([("coarse_step", &self.coarse_step)]) {
            // At 0 time would stand still in a loop.
            if picoseconds(figure.ns) == 0 {
                return Err(ProfileError::Value(name));
            }
        }
        if self.topology.cores_per_group == 0 || self.topology.groups_per_socket == 0 {
            return Err(ProfileError::Value("topology"));
        }
        Ok(())
    }

    /// All single numbers, by name.
    pub fn figures(&self) -> [(&'static str, &Figure); 13] {
        [
            ("ordinary", &self.ordinary),
            ("exchange_own", &self.exchange_own),
            ("fence", &self.fence),
            ("memory", &self.memory),
            ("clock", &self.clock),
            ("coarse_clock", &self.coarse_clock),
            ("coarse_step", &self.coarse_step),
            ("spin_hint", &self.spin_hint),
            ("spin", &self.spin),
            ("kernel_call", &self.kernel_call),
            ("wake_call", &self.wake_call),
            ("context_switch", &self.context_switch),
            ("slice", &self.slice),
        ]
    }
    /// All numbers that depend on the distance, by name.
    pub fn distances(&self) -> Vec<(&'static str, &Distances)> {
        let transfers = [
            ("load_changed", &self.load_changed),
            ("load_shared", &self.load_shared),
            ("store", &self.store),
            ("exchange", &self.exchange),
        ];
        transfers.into_iter().chain(self.hold.iter().map(|hold| ("hold", hold))).collect()
    }
    /// All distributions, by name.
    pub fn samples(&self) -> Vec<(&'static str, &Samples)> {
        let spread = self.transfer_spread.iter().map(|samples| ("transfer_spread", samples));
        let wakes = [("wake_same_core", &self.wake_same_core), ("wake_other_core", &self.wake_other_core)];
        spread.chain(wakes).collect()
    }
}

/// A profile in whole picoseconds, as the simulator computes with it. Field by field as in [`Profile`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "said once, at the fields of Profile")]
pub struct Prices {
    pub ordinary: u64,
    pub load_changed: [u64; 3],
    pub load_shared: [u64; 3],
    pub store: [u64; 3],
    pub exchange_own: u64,
    pub exchange: [u64; 3],
    pub loads_migrate: bool,
    /// In 1,024ths of the mean.
    pub transfer_spread: Vec<u64>,
    pub hold: Option<[u64; 3]>,
    pub fence: u64,
    pub memory: u64,
    pub clock: u64,
    pub coarse_clock: u64,
    pub coarse_step: u64,
    pub spin_hint: u64,
    pub spin_ns: u64,
    pub kernel_call: u64,
    pub wake_call: u64,
    pub context_switch: u64,
    pub slice: u64,
    pub wake_same_core: Vec<u64>,
    pub wake_other_core: Vec<u64>,
}

impl From<&Profile> for Prices {
    fn from(profile: &Profile) -> Self {
        let one = |figure: &Figure| picoseconds(figure.ns);
        let three = |distances: &Distances| distances.ns.map(picoseconds);
        let many = |samples: &Samples| samples.ns.iter().copied().map(picoseconds).collect();
        Self {
            ordinary: one(&profile.ordinary),
            load_changed: three(&profile.load_changed),
            load_shared: three(&profile.load_shared),
            store: three(&profile.store),
            exchange_own: one(&profile.exchange_own),
            exchange: three(&profile.exchange),
            loads_migrate: profile.loads_migrate.as_ref().is_some_and(|fact| fact.holds),
            transfer_spread: profile.transfer_spread.as_ref().map_or_else(Vec::new, spread),
            hold: profile.hold.as_ref().map(three),
            fence: one(&profile.fence),
            memory: one(&profile.memory),
            clock: one(&profile.clock),
            coarse_clock: one(&profile.coarse_clock),
            coarse_step: one(&profile.coarse_step),
            spin_hint: one(&profile.spin_hint),
            spin_ns: one(&profile.spin) / 1000,
            kernel_call: one(&profile.kernel_call),
            wake_call: one(&profile.wake_call),
            context_switch: one(&profile.context_switch),
            slice: one(&profile.slice),
            wake_same_core: many(&profile.wake_same_core),
            wake_other_core: many(&profile.wake_other_core),
        }
    }
}

impl Prices {
    /// What a transfer at `price` takes this time.
    #[inline]
    pub fn transfer(&self, price: u64, random: &mut Random) -> u64 {
        match self.transfer_spread.len() {
            // Nothing is drawn where nothing differs.
            0 => price,
            length => price * self.transfer_spread[random.below(length as u64) as usize] / SPREAD_UNIT,
        }
    }
}

/// A factor of 1 of [`Prices::transfer_spread`].
const SPREAD_UNIT: u64 = 1024;

fn spread(samples: &Samples) -> Vec<u64> {
    let mean = samples.ns.iter().sum::<f64>() / samples.ns.len() as f64;
    samples.ns.iter().map(|ns| (ns / mean * SPREAD_UNIT as f64).round() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_read_and_says_where_each_number_comes_from() {
        for text in BUILT_IN {
            let profile = Profile::parse(text).unwrap();
            assert_eq!(Profile::built_in(&profile.name).as_ref(), Some(&profile));
            assert_eq!(Profile::parse(&profile.to_text().unwrap()).as_ref(), Ok(&profile));
            let origins = profile.figures().map(|(name, figure)| (name, &figure.from)).into_iter();
            let origins =
                origins.chain(profile.distances().into_iter().map(|(name, distances)| (name, &distances.from)));
            for (name, from) in
                origins.chain(profile.samples().into_iter().map(|(name, samples)| (name, &samples.from)))
            {
                assert!(from.len() > 10, "{}: {name} comes from nowhere", profile.name);
            }
        }
        assert_eq!(Profile::built_in("abacus"), None);
    }

    #[test]
    fn a_profile_in_which_time_stands_still_is_refused() {
        let profile = Profile::built_in("chiplet").unwrap();
        let frozen = Profile { spin_hint: Figure { ns: 0.0, from: String::new() }, ..profile.clone() };
        assert_eq!(Profile::parse(&frozen.to_text().unwrap()), Err(ProfileError::Value("spin_hint")));
        let silent = Profile { wake_other_core: Samples { ns: vec![], from: String::new() }, ..profile };
        assert_eq!(Profile::parse(&silent.to_text().unwrap()), Err(ProfileError::Value("wake_other_core")));
        assert!(matches!(Profile::parse("name = 3"), Err(ProfileError::Form(_))));
    }
}
