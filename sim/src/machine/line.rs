//! One cache line: who has it, and what an access costs whom.
//!
//! Accesses reach a line in the order of time, so its state is a plain state machine: untouched, in one cache alone (which
//! may have changed it), or shared by several. A transfer occupies the line until it has arrived; whoever wants the line
//! meanwhile queues behind it. Readers that share an unchanged line do not queue on each other.

use super::profile::Prices;
use super::topology::{Cores, Distance, Topology};

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
}

impl Line {
    /// `core` accesses the line at `now`; `drained` is when its earlier stores have arrived. Times in ps.
    #[inline]
    pub fn access(
        &mut self,
        access: Access,
        core: usize,
        now: u64,
        drained: u64,
        prices: &Prices,
        topology: &Topology,
    ) -> Charge {
        let own = usize::from(self.owner) == core + 1;
        match access {
            Access::Load if own || self.holders.contains(core) => Charge { done: now + prices.ordinary, drained },
            Access::Load => Charge { done: self.fetch(core, now, prices, topology) + prices.ordinary, drained },
            Access::Store if own => Charge { done: now + prices.ordinary, drained },
            Access::Store => {
                // The store waits in the store buffer, the thread does not.
                let arrived = self.take(core, now, &prices.store, prices, topology);
                Charge { done: now + prices.ordinary, drained: drained.max(arrived) }
            }
            Access::Exchange => {
                // A read-modify-write waits until the stores before it have drained.
                let now = now.max(drained);
                let taken = if own { now } else { self.take(core, now, &prices.exchange, prices, topology) };
                let done = taken + prices.exchange_own + prices.ordinary;
                Charge { done, drained: done }
            }
        }
    }

    /// A copy for `core`, which has none. Returns when it is there.
    fn fetch(&mut self, core: usize, now: u64, prices: &Prices, topology: &Topology) -> u64 {
        let begins = now.max(self.busy_until);
        if !self.touched {
            *self = Self::owned_by(core, begins + prices.memory);
            return self.busy_until;
        }
        if self.owner != 0 {
            let distance = topology.distance(core, usize::from(self.owner) - 1);
            self.busy_until = begins + prices.load_changed[distance as usize];
            self.owner = 0;
            self.holders.insert(core);
            return self.busy_until;
        }
        let nearest = self.holders.iter().map(|holder| topology.distance(core, holder)).min();
        self.holders.insert(core);
        begins + prices.load_shared[nearest.unwrap_or(Distance::Near) as usize]
    }

    /// The line for `core` alone. Returns when it is there.
    fn take(&mut self, core: usize, now: u64, transfer: &[u64; 3], prices: &Prices, topology: &Topology) -> u64 {
        let begins = now.max(self.busy_until);
        let cost = if !self.touched {
            prices.memory
        } else if self.owner != 0 {
            transfer[topology.distance(core, usize::from(self.owner) - 1) as usize]
        } else {
            // Every other copy is to be invalidated: the farthest answers last.
            let others = self.holders.iter().filter(|&holder| holder != core);
            let farthest = others.map(|holder| topology.distance(core, holder)).max();
            farthest.map_or(0, |distance| transfer[distance as usize])
        };
        *self = Self::owned_by(core, begins + cost);
        self.busy_until
    }

    fn owned_by(core: usize, from: u64) -> Self {
        Self { busy_until: from, holders: Cores::only(core), owner: core as u16 + 1, touched: true }
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
    }

    impl Scene {
        fn new() -> Self {
            Self { line: Line::default(), prices: prices() }
        }
        /// When `core` goes on after an access at `now`.
        fn done(&mut self, access: Access, core: usize, now: u64) -> u64 {
            self.line.access(access, core, now, 0, &self.prices, &TOPOLOGY).done
        }
    }

    #[test]
    fn the_first_touch_comes_from_memory_and_the_second_from_the_own_cache() {
        let mut scene = Scene::new();
        assert_eq!(scene.done(Access::Load, 0, 1000), 1081);
        assert_eq!(scene.done(Access::Load, 0, 2000), 2001);
        // Alone: a store needs nobody's leave.
        let charge = scene.line.access(Access::Store, 0, 3000, 0, &scene.prices, &TOPOLOGY);
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
        let charge = scene.line.access(Access::Store, 2, 1000, 0, &scene.prices, &TOPOLOGY);
        assert_eq!(charge, Charge { done: 1001, drained: 1110 });
        let mut other = Line::default();
        other.access(Access::Store, 2, 0, 0, &scene.prices, &TOPOLOGY);
        let charge = other.access(Access::Exchange, 2, charge.done, charge.drained, &scene.prices, &TOPOLOGY);
        assert_eq!(charge, Charge { done: 1116, drained: 1116 });
    }
}
