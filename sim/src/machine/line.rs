//! One cache line: who has it, and what an access costs whom.
//!
//! Accesses reach a line in the order of time, so its state is a plain state machine: untouched, in one cache alone (changed
//! by it or not), or shared by several. A transfer occupies the line until it has arrived; whoever wants the line meanwhile
//! queues behind it. Readers that share an unchanged line do not queue on each other.
//!
//! A load of a line that another cache has changed gives it to both, or, on machines that take it for the first half of a
//! change (*migration*: Cox and Fowler, Stenström and others, both ISCA 1993), to the loader alone. Which of the two is a
//! matter of the profile. No two transfers take quite the same time: where the profile has their distribution, each draws.
//! And a line does not leave its holder at the moment at which another core asks for it: where the profile says for how long,
//! the holder goes on using it.

use super::profile::Prices;
use super::topology::{Cores, Distance, Topology};
use crate::random::Random;

/// What is done to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Load,
    /// Written.
    Store,
    /// Read, changed and written in one step, successfully or not.
    Exchange,
}

/// What an access cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// When the thread goes on.
    pub done: u64,
    /// When all its stores so far have reached its cache.
    pub drained: u64,
}

/// The state of one line. Zero is untouched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Until then it is on its way to somebody.
    busy_until: u64,
    /// The caches that have it.
    holders: Cores,
    /// 1 + the core whose cache alone has it; 0: nobody's, or shared.
    owner: u16,
    touched: bool,
    /// The owner has changed it since it came.
    changed: bool,
    /// 1 + the core that it is leaving, and until when that core still has it.
    leaving: u16,
    leaves: u64,
}

/// The one who accesses.
pub struct Visitor<'a> {
    /// On which core.
    pub core: usize,
    /// Since when, in ps.
    pub now: u64,
    /// When its earlier stores have arrived.
    pub drained: u64,
    /// Its draws.
    pub random: &'a mut Random,
}

impl Line {
    /// An access. Times in ps.
    #[inline]
    pub fn access(&mut self, access: Access, visitor: Visitor<'_>, prices: &Prices, topology: &Topology) -> Charge {
        let Visitor { core, now, drained, random } = visitor;
        let own = usize::from(self.owner) == core + 1;
        let still_own = usize::from(self.leaving) == core + 1 && now < self.leaves;
        match access {
            Access::Load if own || still_own || self.holders.contains(core) => {
                Charge { done: now + prices.ordinary, drained }
            }
            Access::Load => Charge { done: self.fetch(core, now, random, prices, topology) + prices.ordinary, drained },
            Access::Store if own || still_own => {
                self.changed |= own;
                Charge { done: now + prices.ordinary, drained }
            }
            Access::Store => {
                // The store waits in the store buffer, the thread does not. Processors go on past an instruction that waits for
                // stores before these have arrived: so whoever waits does not wait for as long as the line travels.
                let (begins, arrives, distance) = self.take(core, now, random, prices, topology);
                let waits = distance.map_or(arrives, |distance| begins + prices.store[distance]);
                Charge { done: now + prices.ordinary, drained: drained.max(waits) }
            }
            Access::Exchange => {
                // A read-modify-write waits until the stores before it have drained.
                let now = now.max(drained);
                let still_own = still_own && now < self.leaves;
                let ready = if own || still_own {
                    self.changed |= own;
                    now
                } else {
                    self.take(core, now, random, prices, topology).1
                };
                let done = ready + prices.exchange_own + prices.ordinary;
                Charge { done, drained: done }
            }
        }
    }

    /// A copy for `core`, which has none. Returns when it is there.
    fn fetch(&mut self, core: usize, now: u64, random: &mut Random, prices: &Prices, topology: &Topology) -> u64 {
        let begins = now.max(self.busy_until);
        if !self.touched {
            *self = Self::owned_by(core, begins + prices.memory, false);
            return self.busy_until;
        }
        if self.owner != 0 {
            let distance = topology.distance(core, usize::from(self.owner) - 1) as usize;
            if !self.changed && prices.loads_migrate {
                self.holders.insert(core);
                self.owner = 0;
                self.busy_until = begins + prices.transfer(prices.load_shared[distance], random);
                return self.busy_until;
            }
            self.busy_until = begins + prices.transfer(prices.load_changed[distance], random);
            if prices.loads_migrate {
                self.hand_over(core, begins, self.busy_until, false, prices, distance);
            } else {
                self.owner = 0;
                self.holders.insert(core);
            }
            return self.busy_until;
        }
        let nearest = self.holders.iter().map(|holder| topology.distance(core, holder)).min();
        self.holders.insert(core);
        begins + prices.transfer(prices.load_shared[nearest.unwrap_or(Distance::Near) as usize], random)
    }

    /// The line for `core` alone. Returns when it sets off, when it is there, and from how far it comes, if from another cache.
    fn take(
        &mut self,
        core: usize,
        now: u64,
        random: &mut Random,
        prices: &Prices,
        topology: &Topology,
    ) -> (u64, u64, Option<usize>) {
        let begins = now.max(self.busy_until);
        if self.touched && self.owner != 0 {
            let distance = topology.distance(core, usize::from(self.owner) - 1) as usize;
            let arrives = begins + prices.transfer(prices.exchange[distance], random);
            self.hand_over(core, begins, arrives, true, prices, distance);
            return (begins, arrives, Some(distance));
        }
        // Every other copy is to be invalidated: the farthest answers last.
        let others = self.holders.iter().filter(|&holder| holder != core);
        let farthest = others.map(|holder| topology.distance(core, holder) as usize).max();
        let cost = match farthest {
            Some(distance) => prices.transfer(prices.exchange[distance], random),
            None if self.touched => 0,
            None => prices.memory,
        };
        *self = Self::owned_by(core, begins + cost, true);
        (begins, begins + cost, farthest)
    }

    fn owned_by(core: usize, from: u64, changed: bool) -> Self {
        let (holders, owner) = (Cores::only(core), core as u16 + 1);
        Self { busy_until: from, holders, owner, touched: true, changed, leaving: 0, leaves: 0 }
    }

    /// From its owner to `core`. The owner goes on using it for a while.
    fn hand_over(&mut self, core: usize, begins: u64, arrives: u64, changed: bool, prices: &Prices, distance: usize) {
        let leaving = self.owner;
        *self = Self::owned_by(core, arrives, changed);
        if let Some(hold) = prices.hold {
            (self.leaving, self.leaves) = (leaving, (begins + hold[distance]).min(arrives));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    /// The chiplet profile with round prices.
    fn prices() -> Prices {
        let mut prices = Prices::from(&Profile::built_in("chiplet").unwrap());
        prices.ordinary = 1;
        prices.load_changed = [20, 100, 200];
        prices.load_shared = [10, 90, 190];
        prices.store = [30, 110, 210];
        prices.exchange = [40, 120, 220];
        prices.exchange_own = 5;
        prices.memory = 80;
        prices
    }

    const TOPOLOGY: Topology = Topology { cores_per_group: 2, groups_per_socket: 2 };

    struct Scene {
        line: Line,
        prices: Prices,
        random: Random,
    }

    impl Scene {
        fn new() -> Self {
            Self { line: Line::default(), prices: prices(), random: Random::new(1) }
        }
        /// When `core` goes on after an access at `now`.
        fn done(&mut self, access: Access, core: usize, now: u64) -> u64 {
            self.charge(access, core, now, 0).done
        }
        fn charge(&mut self, access: Access, core: usize, now: u64, drained: u64) -> Charge {
            let visitor = Visitor { core, now, drained, random: &mut self.random };
            self.line.access(access, visitor, &self.prices, &TOPOLOGY)
        }
    }

    #[test]
    fn the_first_touch_comes_from_memory_and_the_second_from_the_own_cache() {
        let mut scene = Scene::new();
        assert_eq!(scene.done(Access::Load, 0, 1000), 1081);
        assert_eq!(scene.done(Access::Load, 0, 2000), 2001);
        // Alone: a store needs nobody's leave.
        let charge = scene.charge(Access::Store, 0, 3000, 0);
        assert_eq!(charge, Charge { done: 3001, drained: 0 });
    }

    #[test]
    fn a_changed_line_costs_by_distance() {
        for (reader, cost) in [(1, 20), (2, 100), (4, 200)] {
            let mut scene = Scene::new();
            scene.done(Access::Store, 0, 0);
            assert_eq!(scene.done(Access::Load, reader, 1000), 1000 + cost + 1, "core {reader}");
        }
    }

    #[test]
    fn a_shared_line_comes_from_the_nearest_and_is_invalidated_at_the_farthest() {
        let mut scene = Scene::new();
        scene.done(Access::Store, 0, 0);
        scene.done(Access::Load, 4, 1000);
        assert_eq!(scene.done(Access::Load, 5, 2000), 2011, "core 4 is near");
        assert_eq!(scene.done(Access::Load, 5, 3000), 3001);
        assert_eq!(scene.done(Access::Exchange, 5, 4000), 4226, "core 0 is far");
        assert_eq!(scene.done(Access::Exchange, 5, 5000), 5006);
        assert_eq!(scene.done(Access::Load, 4, 6000), 6021);
    }

    #[test]
    fn readers_of_a_shared_line_do_not_queue_and_writers_do() {
        let mut scene = Scene::new();
        scene.done(Access::Store, 0, 0);
        scene.done(Access::Load, 1, 1000);
        assert_eq!((scene.done(Access::Load, 2, 2000), scene.done(Access::Load, 4, 2000)), (2091, 2191));
        assert_eq!(scene.done(Access::Exchange, 0, 3000), 3226, "core 4 is far");
        // The line arrives at core 0 at 3220, and then goes to core 1.
        assert_eq!(scene.done(Access::Exchange, 1, 3000), 3266);
        assert_eq!(scene.done(Access::Exchange, 1, 4000), 4006);
    }

    #[test]
    fn a_store_drains_in_the_background_and_an_exchange_waits_for_it() {
        let mut scene = Scene::new();
        scene.done(Access::Store, 0, 0);
        let charge = scene.charge(Access::Store, 2, 1000, 0);
        assert_eq!(charge, Charge { done: 1001, drained: 1110 });
        let mut other = Scene::new();
        other.done(Access::Store, 2, 0);
        let charge = other.charge(Access::Exchange, 2, charge.done, charge.drained);
        assert_eq!(charge, Charge { done: 1116, drained: 1116 });
    }

    /// A load before a change is the first half of a change: such machines move the line at once, and the change is free.
    #[test]
    fn where_loads_migrate_a_changed_line_goes_to_its_loader_alone() {
        let mut scene = Scene::new();
        scene.prices.loads_migrate = true;
        scene.done(Access::Store, 0, 0);
        assert_eq!(scene.done(Access::Load, 1, 1000), 1021);
        assert_eq!(scene.done(Access::Exchange, 1, 2000), 2006, "it came with the right to change it");
        assert_eq!(scene.done(Access::Load, 0, 3000), 3021, "who changed it has lost it");
        // Not changed since it came: the next load leaves a copy behind, and a change has to call that in.
        assert_eq!(scene.done(Access::Load, 1, 4000), 4011);
        assert_eq!(scene.done(Access::Load, 0, 5000), 5001);
        assert_eq!(scene.done(Access::Exchange, 0, 6000), 6046);
    }

    #[test]
    fn transfers_differ_as_the_profile_says_and_keep_their_mean() {
        let mut scene = Scene::new();
        scene.prices.load_changed = [20_000; 3];
        scene.prices.transfer_spread = vec![512, 1024, 1536];
        let mut took = Vec::new();
        for round in 1..=3000 {
            let now = round * 1_000_000;
            scene.done(Access::Store, 0, now - 500_000);
            took.push(scene.done(Access::Load, 1, now) - now - 1);
        }
        let mean = took.iter().sum::<u64>() / 3000;
        assert!((19_500..20_500).contains(&mean), "{mean}");
        took.sort_unstable();
        took.dedup();
        assert_eq!(took, [10_000, 20_000, 30_000]);
    }

    /// Else a core that others want a line of would lose it after each single access.
    #[test]
    fn a_holder_goes_on_using_a_line_that_another_core_has_asked_for() {
        let mut scene = Scene::new();
        (scene.prices.hold, scene.prices.loads_migrate) = (Some([8; 3]), true);
        scene.done(Access::Store, 0, 0);
        assert_eq!(scene.done(Access::Exchange, 1, 1000), 1046, "it arrives at core 1");
        assert_eq!(scene.done(Access::Exchange, 0, 1007), 1013, "core 0 still has it");
        assert_eq!(scene.done(Access::Load, 0, 1008), 1061, "no more: it comes back from core 1");
        assert_eq!(scene.done(Access::Load, 1, 1047), 1048, "core 1 had it from 1040 and has it for 8 more");
        assert_eq!(scene.done(Access::Load, 1, 1048), 1071, "as soon as it has arrived at core 0");
    }
}
