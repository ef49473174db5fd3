//! Every contention policy keeps what the protocol promises whatever a policy says: sums, and nothing held by the dead.

mod support;

use pso_engine::contention::{Limits, PolicyId};
use pso_sim::fault::Fault;
use pso_sim::machine::{Fact, Profile};
use pso_sim::measure::Verdict;
use pso_sim::player::Pacing;
use pso_sim::system::scheduler;
use pso_sim::trace::{Contention, Kind, generate};
use pso_sim::{Setup, simulate};

use support::{Bank, chiplet};

/// Few accounts: nearly every transfer meets another.
const BANK: Bank = Bank { threads: 6, accounts: 3, transfers: 100 };

fn under(policy: PolicyId, cores: usize, seed: u64) -> Setup {
    Setup { policy, ..chiplet(cores, seed) }
}

#[test]
fn a_crowded_bank_keeps_its_sum_under_each_policy() {
    for policy in PolicyId::ALL {
        for (cores, seed) in [(1, 1), (2, 2), (6, 3)] {
            let report = BANK.run(under(policy, cores, seed));
            assert_eq!(report.verdict, Verdict::Ok, "{policy} on {cores} cores");
            let commits: u64 = report.threads.iter().map(|thread| thread.commits).sum();
            assert!(commits >= 600, "{policy} on {cores} cores: {commits} commits");
        }
    }
}

/// The danger: a policy under which nobody ever waits is a policy under which nobody ever finds out that an owner is dead.
#[test]
fn the_dead_stop_nobody_under_any_policy() {
    for policy in PolicyId::ALL {
        let mut killed = 0;
        for step in (400..4_000).step_by(97) {
            let mut setup = under(policy, 4, step);
            setup.faults = vec![Fault::kill(1, step)];
            let report = BANK.run(setup);
            assert_eq!(report.verdict, Verdict::Ok, "{policy}, killed before step {step}");
            let through = report.threads.iter().filter(|thread| thread.through).count();
            killed += u32::from(!report.threads[1].through);
            assert!(through >= 5, "{policy}, killed before step {step}: {through} are through");
        }
        assert!(killed > 5, "{policy}: {killed} were killed");
    }
}

/// Under an adversary that takes the core from whoever holds a lock, and delays the oldest, everybody finishes under each policy:
/// whoever has lost ten times is given the token. Without it those finish whose policy promises progress, and immediate retry
/// does not. That is also how this simulator shows that it can find a livelock in the engine itself.
#[test]
fn an_adversary_finds_the_policy_that_promises_nothing() {
    let verdict = |policy, limits| {
        let scheduler = scheduler::by_name("adversary", 5).unwrap();
        let setup = Setup { scheduler, patience_ns: 30_000_000, ..under(policy, 4, 5) };
        BANK.run_within(setup, limits, |platform| platform).verdict
    };
    for policy in PolicyId::ALL {
        assert_eq!(verdict(policy, Limits::default()), Verdict::Ok, "{policy}");
    }
    let without_token = Limits { privileged_attempts: u64::MAX, visible_attempts: u64::MAX, ..Limits::default() };
    for policy in [PolicyId::Damped, PolicyId::WoundWait] {
        assert_eq!(verdict(policy, without_token), Verdict::Ok, "{policy}, without the token");
    }
    assert_eq!(verdict(PolicyId::Immediate, without_token), Verdict::Livelocked);
}

/// Commits a second of so many who change one cell as fast as they can, on a core each, 80 ns from each other.
fn counted_by(participants: u32) -> f64 {
    let mut profile = Profile::built_in("chiplet").unwrap();
    profile.topology.cores_per_group = 256;
    for distances in [&mut profile.load_changed, &mut profile.load_shared, &mut profile.exchange] {
        distances.ns = [80.0; 3];
    }
    profile.store.ns = [20.0; 3];
    profile.loads_migrate = Some(Fact { holds: true, from: "for this test".into() });
    let trace = generate(Kind::Counter, Contention::High, participants, 4_000, 1);
    let played = simulate(&trace, Setup::new(profile, participants as usize, 1), Pacing::FLAT_OUT).unwrap();
    assert_eq!(played.measurement.verdict, Verdict::Ok);
    played.measurement.throughput()
}

/// The danger: those who starve take the others' attempts from them, who starve for that, and all commits go one by one through the token. (With a lull for each that
/// has lost ten attempts 64 made a thirtieth of what they make without.)
#[test]
fn a_crowd_at_one_cell_does_not_fall_into_a_row_of_lulls() {
    let [few, crowd, throng] = [8, 32, 64].map(counted_by);
    assert!(crowd > few / 3.0 && throng > few / 5.0, "{few:.0}, {crowd:.0} and {throng:.0} a second");
}
