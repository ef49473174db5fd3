//! Measurements that belong on one curve: same world, same policy, same machine, played in the same manner, and either the same number of cores
//! or a core for each participant.
//!
//! Invariant: the name of a group of simulated runs begins with the word `simulated`. It is made in one place,
//! [`Name::of`], from the world of the runs; there is no other way to get a name, and nothing is drawn without one.

use pso_sim::measure::{Manner, Measurement, Verdict, World};

use super::input::world_word;
use super::quantity::Quantity;
use super::spread::Spread;

/// Cores of the runs of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cores {
    /// So many in all of them.
    Fixed(u32),
    /// In each run as many as participants.
    OneEach,
}

/// What a curve is called; says in which world it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    world: World,
    detail: String,
}

impl Name {
    fn of(world: World, detail: String) -> Self {
        Self { world, detail }
    }

    /// Its world.
    pub fn world(&self) -> World {
        self.world
    }

    /// The text: first the word for the world.
    pub fn text(&self) -> String {
        let word = world_word(self.world);
        if self.detail.is_empty() { word.into() } else { format!("{word}, {}", self.detail) }
    }

    /// The same detail in the world of `other`.
    pub fn with_world_of(&self, other: &Self) -> Self {
        other.with(&self.detail)
    }

    /// The same world, with one detail instead of others.
    pub fn with(&self, detail: &str) -> Self {
        Self::of(self.world, detail.into())
    }
}

/// Runs of one curve.
pub struct Group<'a> {
    /// What it is called.
    pub name: Name,
    /// How many cores.
    pub cores: Cores,
    manner: &'a Manner,
    runs: Vec<&'a Measurement>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// How many participants.
    pub participants: u32,
    /// What the runs gave.
    pub spread: Spread,
}

impl Group<'_> {
    /// The curve of `quantity`, by participants.
    pub fn points(&self, quantity: Quantity) -> Vec<Point> {
        let mut counts: Vec<u32> = self.runs.iter().map(|run| run.participants).collect();
        counts.sort_unstable();
        counts.dedup();
        let at = |count: u32| {
            let runs = self.runs.iter().filter(|run| run.participants == count);
            Spread::of(runs.map(|run| quantity.of(run))).map(|spread| Point { participants: count, spread })
        };
        counts.into_iter().filter_map(at).collect()
    }
}

/// Whether a run ended well. Only such runs are drawn; the others are told in words.
pub fn ended_well(measurement: &Measurement) -> bool {
    measurement.verdict == Verdict::Ok
}

/// Sorts the runs of one trace that ended well into groups: real ones first, then by cores.
///
/// A fixed number of cores makes a group if it has two counts of participants, or if its runs would else be nowhere.
pub fn groups<'a>(measurements: &[&'a Measurement]) -> Vec<Group<'a>> {
    let runs: Vec<&Measurement> = measurements.iter().copied().filter(|each| ended_well(each)).collect();
    let kind_of = |run: &'a Measurement| (run.world, run.policy.as_str(), run.machine.as_str(), &run.manner);
    let mut kinds: Vec<KindOfRun> = Vec::new();
    for run in &runs {
        let kind = kind_of(run);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_by_key(|(world, ..)| *world == World::Simulated);
    let told = Told::of(&kinds);
    let mut groups = Vec::new();
    for kind in kinds {
        let of_kind: Vec<&Measurement> = runs.iter().copied().filter(|run| kind_of(run) == kind).collect();
        for (cores, runs) in by_cores(&of_kind) {
            let name = Name::of(kind.0, told.detail(cores, kind));
            groups.push(Group { name, cores, manner: kind.3, runs });
        }
    }
    groups
}

fn by_cores<'a>(runs: &[&'a Measurement]) -> Vec<(Cores, Vec<&'a Measurement>)> {
    let several = |runs: &[&Measurement]| runs.iter().any(|run| run.participants != runs[0].participants);
    let each: Vec<&Measurement> = runs.iter().copied().filter(|run| run.cores == run.participants).collect();
    let mut counts: Vec<u32> = runs.iter().map(|run| run.cores).collect();
    counts.sort_unstable();
    counts.dedup();
    // One real machine has one number of cores: "a core for each" is a way to read simulated runs.
    let diagonal = counts.len() > 1 && several(&each);
    let mut found = Vec::new();
    for count in counts {
        let fixed: Vec<&Measurement> = runs.iter().copied().filter(|run| run.cores == count).collect();
        let on_diagonal = diagonal && fixed.iter().all(|run| run.participants == count);
        if several(&fixed) || !on_diagonal {
            found.push((Cores::Fixed(count), fixed));
        }
    }
    if diagonal {
        found.push((Cores::OneEach, each));
    }
    found
}

/// World, policy, machine and manner.
type KindOfRun<'a> = (World, &'a str, &'a str, &'a Manner);

/// Which details tell the groups apart.
struct Told {
    policies: bool,
    machines: bool,
    paces: bool,
    schedulers: bool,
    faults: bool,
}

impl Told {
    fn of(kinds: &[KindOfRun<'_>]) -> Self {
        let simulated = || kinds.iter().filter(|(world, ..)| *world == World::Simulated);
        Self {
            policies: kinds.iter().any(|(_, policy, ..)| *policy != kinds[0].1),
            machines: simulated().zip(simulated().skip(1)).any(|(one, other)| one.2 != other.2),
            paces: kinds.iter().any(|kind| kind.3.pace != kinds[0].3.pace),
            schedulers: simulated().zip(simulated().skip(1)).any(|(one, other)| one.3.scheduler != other.3.scheduler),
            faults: kinds.iter().any(|kind| !kind.3.faults.is_empty()),
        }
    }

    fn detail(&self, cores: Cores, (world, policy, machine, manner): KindOfRun<'_>) -> String {
        let cores = match cores {
            Cores::Fixed(1) => "1 core".into(),
            Cores::Fixed(count) => format!("{count} cores"),
            Cores::OneEach => "a core each".into(),
        };
        let unknown = |what: &str| format!("{what} unknown");
        let mut details: Vec<String> = vec![cores];
        details.extend(self.policies.then(|| policy.into()));
        details.extend(self.machines.then(|| machine.into()));
        details.extend(self.paces.then(|| manner.pace.clone().unwrap_or_else(|| unknown("pace"))));
        let has_scheduler = self.schedulers && world == World::Simulated;
        details.extend(has_scheduler.then(|| manner.scheduler.clone().unwrap_or_else(|| unknown("scheduler"))));
        details.extend(self.faults.then(|| manner.faults.join(", ")).filter(|faults| !faults.is_empty()));
        details.join(", ")
    }
}

/// The two groups that a chart of several quantities shows: a real one, and the simulated one that is most like it.
pub fn pair<'g, 'a>(groups: &'g [Group<'a>]) -> (Option<&'g Group<'a>>, Option<&'g Group<'a>>) {
    let of = |world: World| groups.iter().filter(move |group| group.name.world() == world);
    let real = of(World::Real).max_by_key(|group| group.runs.len());
    let alike = |group: &&&Group<'_>| {
        let is_alike = |real: &Group<'_>| real.cores == group.cores && real.manner.pace == group.manner.pace;
        real.is_some_and(is_alike) && group.manner.faults.is_empty()
    };
    let widest = || of(World::Simulated).max_by_key(|group| group.points(Quantity::Throughput).len());
    (real, of(World::Simulated).find(|group| alike(&group)).or_else(widest))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{measurement, sweep};
    use super::*;

    #[test]
    fn every_simulated_group_says_so_whatever_it_is_called() {
        let mut runs = sweep("real bank");
        for (number, run) in runs.iter_mut().enumerate() {
            run.policy = ["real", "", "default"][number % 3].into();
            run.machine = ["this machine", "real", ""][number % 2].into();
        }
        let runs: Vec<&Measurement> = runs.iter().collect();
        let groups = groups(&runs);
        assert!(groups.len() > 2);
        for group in &groups {
            let simulated = group.runs.iter().all(|run| run.world == World::Simulated);
            let real = group.runs.iter().all(|run| run.world == World::Real);
            assert!(simulated != real, "no group mixes worlds");
            for name in [group.name.clone(), group.name.with("p99"), group.name.with("")] {
                assert_eq!(simulated, name.text().starts_with("simulated"), "{}", name.text());
                assert_eq!(real, name.text().starts_with("real"), "{}", name.text());
            }
        }
    }

    /// The danger: a run as written and one flat out are the ends of one line.
    #[test]
    fn runs_that_were_played_in_different_manners_are_no_curve() {
        let mut runs: Vec<Measurement> = (0..4).map(|_| measurement(World::Simulated, "bank", 2, 2, 5.0)).collect();
        runs[1].manner.pace = Some("flat-out".into());
        runs[2].manner = Manner { scheduler: Some("adversary".into()), ..runs[1].manner.clone() };
        runs[3].manner = Manner { faults: vec!["kill 1:20".into()], ..runs[2].manner.clone() };
        let all: Vec<&Measurement> = runs.iter().collect();
        let names: Vec<String> = groups(&all).iter().map(|group| group.name.text()).collect();
        assert_eq!(
            names,
            [
                "simulated, 2 cores, pace unknown, scheduler unknown",
                "simulated, 2 cores, flat-out, scheduler unknown",
                "simulated, 2 cores, flat-out, adversary",
                "simulated, 2 cores, flat-out, adversary, kill 1:20",
            ]
        );
    }

    #[test]
    fn a_run_that_ended_well_is_in_a_group_and_no_other_is() {
        let mut runs = sweep("bank");
        runs.push(measurement(World::Simulated, "bank", 7, 3, 5.0));
        let good = runs.len();
        for verdict in [Verdict::Stuck, Verdict::Livelocked, Verdict::OutOfBudget, Verdict::Wrong("sum".into())] {
            let mut bad = measurement(World::Simulated, "bank", 2, 2, 5.0);
            bad.verdict = verdict;
            runs.push(bad);
        }
        let all: Vec<&Measurement> = runs.iter().collect();
        let groups = groups(&all);
        for (number, run) in all.iter().enumerate() {
            let found = groups.iter().any(|group| group.runs.iter().any(|each| std::ptr::eq(*each, *run)));
            assert_eq!(found, number < good, "{number}");
        }
    }

    #[test]
    fn a_core_each_is_a_curve_of_its_own() {
        let runs: Vec<Measurement> = [(1, 1), (2, 2), (4, 4), (2, 1), (2, 4)]
            .into_iter()
            .map(|(cores, participants)| measurement(World::Simulated, "bank", cores, participants, 9.0))
            .collect();
        let all: Vec<&Measurement> = runs.iter().collect();
        let found = groups(&all);
        let names: Vec<String> = found.iter().map(|group| group.name.text()).collect();
        assert_eq!(names, ["simulated, 2 cores", "simulated, a core each"]);
        assert_eq!(found[1].points(Quantity::Throughput).len(), 3);
    }

    #[test]
    fn the_simulated_group_beside_a_real_one_has_its_cores() {
        let runs = sweep("bank");
        let all: Vec<&Measurement> = runs.iter().collect();
        let found = groups(&all);
        let (real, simulated) = pair(&found);
        assert_eq!(real.unwrap().cores, Cores::Fixed(2));
        assert_eq!(simulated.unwrap().cores, Cores::Fixed(2));
        assert!(pair(&[]).0.is_none());
    }
}
