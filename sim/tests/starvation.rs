//! Nobody loses for ever: a transaction that reads much while others overwrite it gets the privilege token in the end.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use pso_engine::contention::Limits;
use pso_engine::fsck::fsck;
use pso_engine::platform::System;
use pso_engine::space::Space;
use pso_model::scenario;
use pso_sim::fault::Fault;
use pso_sim::measure::Verdict;
use pso_sim::system::scheduler;
use pso_sim::{Random, Report, Setup, Simulation};

use support::chiplet;

const ACCOUNTS: u64 = 300;
const WRITERS: usize = 7;

/// What became of the reader: its attempts, if it came through.
struct Outcome {
    report: Report,
    attempts: Option<u64>,
}

/// One sums all accounts in one transaction; seven move money for `virtual_ms`.
fn sum_under_fire(scheduler: &str, limits: Limits, virtual_ms: u64, fault: Option<Fault>) -> Outcome {
    let scheduler = scheduler::by_name(scheduler, 11).unwrap();
    let faults = fault.into_iter().collect();
    let mut simulation = Simulation::new(Setup { scheduler, faults, patience_ns: 50_000_000, ..chiplet(8, 11) });
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout).unwrap();
    let mut judge = space.participant().unwrap();
    let bank = scenario::Bank::found(&mut judge, ACCOUNTS).unwrap();
    let end_ns = judge.arena().platform().now_ns() + virtual_ms * 1_000_000;
    let attempts = Rc::new(Cell::new(None));
    let told = attempts.clone();
    simulation.spawn(move |platform| {
        let space = Space::join(platform, layout).unwrap();
        let mut reader = space.participant().unwrap();
        reader.set_limits(limits);
        let mut count = 0;
        let sum = reader.run_until(Some(end_ns), |tx| {
            count += 1;
            bank.sum(tx)
        });
        if let Ok(sum) = sum {
            assert_eq!(sum, bank.expected(), "a sum of one moment");
            told.set(Some(count));
        }
    });
    for writer in 0..WRITERS {
        simulation.spawn(move |platform| {
            let space = Space::join(platform.clone(), layout).unwrap();
            let mut participant = space.participant().unwrap();
            let mut random = Random::split(11, writer as u64 + 100);
            while platform.now_ns() < end_ns {
                let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
                bank.transfer(&mut participant, from, to, 1).unwrap();
            }
        });
    }
    let report = simulation.run();
    space.recover_dead();
    assert_eq!(fsck(&space), [], "{:?}", report.verdict);
    assert_eq!(bank.sum(&mut judge), Ok(bank.expected()));
    Outcome { report, attempts: attempts.get() }
}

/// Eight attempts in vain, and the one with the token; two more where somebody else has it at that moment.
#[test]
fn a_long_reader_commits_in_bounded_attempts_under_every_scheduler() {
    for scheduler in ["fair", "round-robin", "adversary"] {
        let outcome = sum_under_fire(scheduler, Limits::default(), 8, None);
        assert_eq!(outcome.report.verdict, Verdict::Ok, "{scheduler}");
        let attempts = outcome.attempts.unwrap_or_else(|| panic!("{scheduler}: the reader starved"));
        assert!((1..=11).contains(&attempts), "{scheduler}: {attempts} attempts");
    }
}

/// The same without the token: the reader starves. So the test above can fail.
#[test]
fn without_the_token_the_same_reader_starves() {
    let limits = Limits { privileged_attempts: u64::MAX, ..Limits::default() };
    let outcome = sum_under_fire("fair", limits, 8, None);
    assert!(outcome.attempts.is_none_or(|attempts| attempts > 1_000), "{:?} attempts", outcome.attempts);
}

/// Steps of the reader at which it may have the token, for all that the writers do: from its eighth attempt on.
fn steps_with_the_token() -> impl Iterator<Item = u64> {
    (4_000..16_000).step_by(3_700)
}

/// The danger: a token of the dead that nobody takes, locks on all that was read.
#[test]
fn a_reader_that_is_killed_with_the_token_stops_nobody() {
    for step in steps_with_the_token() {
        let outcome = sum_under_fire("fair", Limits::default(), 3, Some(Fault::kill(0, step)));
        assert_eq!(outcome.report.verdict, Verdict::Ok, "killed before step {step}");
    }
}

/// The danger: a process that is stopped while nobody may stop its attempt stops everybody. Its lease ends that, and it
/// comes through all the same when it goes on.
#[test]
fn a_reader_that_is_stopped_with_the_token_loses_it_with_its_lease() {
    let limits = Limits { lease_ns: 1_000_000, ..Limits::default() };
    for step in steps_with_the_token() {
        let outcome = sum_under_fire("fair", limits, 8, Some(Fault::stop(0, step, 4_000_000)));
        assert_eq!(outcome.report.verdict, Verdict::Ok, "stopped before step {step}");
        let slowest = outcome.report.threads[1..].iter().map(|thread| thread.commits).min();
        assert!(slowest > Some(100), "stopped before step {step}: a writer made {slowest:?} commits");
        assert!(outcome.attempts.is_some(), "stopped before step {step}: the reader starved");
    }
}
