//! What the system does to threads: slices, fairness, wake-ups that take their time, and an enemy.

mod support;

use pso_engine::platform::System;
use pso_sim::machine::{Profile, Samples};
use pso_sim::measure::Verdict;
use pso_sim::system::scheduler::{self, Adversary, Candidate, Fair, RoundRobin, Scheduler};
use pso_sim::{Report, Setup, Simulation};

use support::{Bank, chiplet};

const MS: u64 = 1_000_000;

/// `threads` threads that look at the clock until each has had `ns` of a core.
fn spinners(setup: Setup, threads: usize, ns: u64) -> Report {
    let mut simulation = Simulation::new(setup);
    for _ in 0..threads {
        simulation.spawn(move |platform| platform.pass(ns * 1000));
    }
    simulation.run()
}

fn named(name: &str, cores: usize) -> Setup {
    Setup { scheduler: scheduler::by_name(name, 9).unwrap(), ..chiplet(cores, 9) }
}

#[test]
fn threads_that_share_a_core_take_as_long_as_all_of_them_together() {
    for name in ["fair", "round-robin"] {
        for (threads, cores, least_ms) in [(1, 1, 40), (3, 1, 120), (2, 2, 40), (3, 2, 60), (8, 4, 80)] {
            let report = spinners(named(name, cores), threads, 40 * MS);
            assert_eq!(report.verdict, Verdict::Ok);
            let ms = report.ended_ns as f64 / MS as f64;
            let expected = f64::from(least_ms);
            // A slice more where the threads do not divide evenly among the cores.
            assert!((expected..expected + 9.0).contains(&ms), "{name}: {threads} on {cores} took {ms:.1} ms");
        }
    }
}

#[test]
fn every_scheduler_brings_a_contended_bank_to_its_end() {
    for name in scheduler::NAMES {
        let report = Bank { threads: 8, accounts: 4, transfers: 100 }.run(named(name, 3));
        assert_eq!(report.verdict, Verdict::Ok, "{name}");
        assert!(report.threads.iter().all(|thread| thread.commits == 100), "{name}");
    }
}

#[test]
fn an_adversary_costs_time() {
    let bank = Bank { threads: 4, accounts: 4, transfers: 200 };
    let (fair, enemy) = (bank.run(named("fair", 4)), bank.run(named("adversary", 4)));
    assert!(enemy.ended_ns > 2 * fair.ended_ns, "{} ns against {} ns", enemy.ended_ns, fair.ended_ns);
}

#[test]
fn wake_ups_take_what_was_measured() {
    let setup = chiplet(2, 1);
    let profile =
        Profile { wake_other_core: Samples { ns: vec![30_000.0], from: "a test".into() }, ..setup.profile.clone() };
    let mut simulation = Simulation::new(Setup { profile, ..setup });
    let bell = pso_engine::word::WordAddress::new(simulation.layout().tables_words() + 64);
    simulation.spawn(move |platform| {
        platform.wait(bell, 0, 100 * MS);
    });
    simulation.spawn(move |platform| {
        platform.pass(10 * MS * 1000);
        platform.wake(bell);
    });
    let report = simulation.run();
    assert_eq!(report.verdict, Verdict::Ok);
    let late_ns = report.ended_ns - 10 * MS;
    assert!((30_000..45_000).contains(&late_ns), "{late_ns} ns after the ring");
}

#[test]
fn a_bell_that_has_rung_is_not_slept_on_and_a_time_out_is_told() {
    use pso_engine::platform::{Memory, Ordering::Release, WaitOutcome};
    let mut simulation = Simulation::new(chiplet(1, 1));
    let bell = pso_engine::word::WordAddress::new(simulation.layout().tables_words() + 64);
    simulation.spawn(move |platform| {
        assert_eq!(platform.wait(bell, 0, 3 * MS), WaitOutcome::TimedOut);
        platform.store(bell, 2, Release);
        assert_eq!(platform.wait(bell, 0, 3 * MS), WaitOutcome::Woken);
    });
    let report = simulation.run();
    assert_eq!(report.verdict, Verdict::Ok);
    assert!((3 * MS..3 * MS + 100_000).contains(&report.ended_ns));
}

#[test]
fn the_coarse_clock_goes_in_steps() {
    let mut simulation = Simulation::new(chiplet(1, 1));
    simulation.spawn(move |platform| {
        let before = platform.coarse_ns();
        platform.pass(3 * MS * 1000);
        assert_eq!(platform.coarse_ns(), before);
        platform.pass(2 * MS * 1000);
        assert_eq!(platform.coarse_ns(), before + 4 * MS);
        assert!(platform.now_ns() > before + 5 * MS);
    });
    assert_eq!(simulation.run().verdict, Verdict::Ok);
}

fn candidate(thread: usize, since: u64, ran: u64, transaction_since: Option<u64>) -> Candidate {
    Candidate { thread, since, ran, locks: 0, transaction_since }
}

#[test]
fn round_robin_takes_who_has_waited_longest_and_fair_who_has_run_least() {
    let ready = [candidate(4, 30, 1, None), candidate(5, 10, 9, None), candidate(6, 20, 5, None)];
    assert_eq!(RoundRobin.choose(40, &ready), 5);
    assert_eq!(Fair.choose(40, &ready), 4);
    assert!(Fair.preempts(&ready[0], &candidate(7, 0, 60, None), 100));
    assert!(!Fair.preempts(&ready[0], &candidate(7, 0, 20, None), 100));
    assert!(!RoundRobin.preempts(&ready[0], &candidate(7, 0, 60, None), 100));
    assert_eq!(Fair.credit_of_sleeper(0, 500, 100), 400);
}

#[test]
fn the_adversary_delays_the_oldest_and_takes_the_core_from_a_holder() {
    let mut adversary = Adversary::new(1);
    let holder = Candidate { locks: 1, ..candidate(0, 0, 0, Some(5)) };
    let idle = candidate(0, 0, 0, Some(5));
    let mut taken = 0;
    for _ in 0..1600 {
        assert_eq!(adversary.takes_away(0, &idle, 1_000), None, "it holds nothing");
        taken += u32::from(adversary.takes_away(0, &holder, 1_000) == Some(1_000));
        assert_eq!(adversary.takes_away(0, &holder, 1_000), None, "no new lock");
    }
    assert!((60..150).contains(&taken), "{taken} of 1600");
    let ready = [candidate(1, 90, 0, Some(10)), candidate(2, 95, 0, Some(20)), candidate(3, 80, 0, Some(30))];
    assert_eq!(adversary.choose(100, &ready), 3, "the youngest");
    // Who has waited for more than ten slices runs.
    assert_eq!(adversary.choose(10_093, &ready[..2]), 1);
}
