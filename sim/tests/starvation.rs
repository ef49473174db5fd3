//! Nobody loses for ever: a transaction that reads much while others overwrite it gets the privilege token in the end.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use pso_engine::arena::HotWord;
use pso_engine::contention::Limits;
use pso_engine::fsck::fsck;
use pso_engine::platform::{Memory, Ordering::Relaxed, System};
use pso_engine::space::Space;
use pso_engine::word::AttemptId;
use pso_model::scenario;
use pso_sim::fault::Fault;
use pso_sim::measure::Verdict;
use pso_sim::system::scheduler;
use pso_sim::{Random, Report, Setup, Simulation};

use support::chiplet;

const ACCOUNTS: u64 = 300;
const WRITERS: usize = 7;
/// How long the writers write, of the simulated machine's time.
const VIRTUAL_MS: u64 = 8;
/// What has the token holds what it reads, at once.
const WITHOUT_LULLS: Limits = Limits { lull_ns: 0, ..Limits::DEFAULT };

/// What became of the reader: its attempts, if it came through.
struct Outcome {
    report: Report,
    attempts: Option<u64>,
    /// Its last attempt began with the token.
    had_the_token: bool,
}

impl Outcome {
    fn came_through_in(&self, most: u64, which: &str) {
        assert_eq!(self.report.verdict, Verdict::Ok, "{which}");
        let attempts = self.attempts.unwrap_or_else(|| panic!("{which}: the reader starved"));
        println!("{which}: {attempts} attempts");
        assert!((1..=most).contains(&attempts), "{which}: {attempts} attempts");
    }
}

/// One sums all accounts in one transaction; seven move money for `virtual_ms`.
fn sum_under_fire(scheduler: &str, limits: Limits, virtual_ms: u64, fault: Option<Fault>) -> Outcome {
    sum_of(ACCOUNTS, 8, false, scheduler, limits, virtual_ms, fault)
}

/// The same with so many accounts on so many cores. `until_read`: the seven end when the one is through.
fn sum_of(
    accounts: u64,
    cores: usize,
    until_read: bool,
    scheduler: &str,
    limits: Limits,
    virtual_ms: u64,
    fault: Option<Fault>,
) -> Outcome {
    let scheduler = scheduler::by_name(scheduler, 11).unwrap();
    let faults = fault.into_iter().collect();
    let mut simulation = Simulation::new(Setup { scheduler, faults, patience_ns: 50_000_000, ..chiplet(cores, 11) });
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout).unwrap();
    let mut judge = space.participant().unwrap();
    let bank = scenario::Bank::found(&mut judge, accounts).unwrap();
    let end_ns = judge.arena().platform().now_ns() + virtual_ms * 1_000_000;
    let attempts = Rc::new(Cell::new(None));
    let token = layout.hot(HotWord::PrivilegeToken);
    let had_the_token = Rc::new(Cell::new(false));
    let (told, seen) = (attempts.clone(), had_the_token.clone());
    simulation.spawn(move |platform| {
        let space = Space::join(platform, layout).unwrap();
        let mut reader = space.participant().unwrap();
        reader.set_limits(limits);
        let mut count = 0;
        let sum = reader.run_until(Some(end_ns), |tx| {
            count += 1;
            let holder = AttemptId::unpack(tx.arena().platform().load(token, Relaxed));
            seen.set(holder.is_some_and(|holder| holder.participant == tx.id()));
            bank.sum(tx)
        });
        if let Ok(sum) = sum {
            assert_eq!(sum, bank.expected(), "a sum of one moment");
            told.set(Some(count));
        }
    });
    for writer in 0..WRITERS {
        let is_read = attempts.clone();
        simulation.spawn(move |platform| {
            let space = Space::join(platform.clone(), layout).unwrap();
            let mut participant = space.participant().unwrap();
            let mut random = Random::split(11, writer as u64 + 100);
            while platform.now_ns() < end_ns && !(until_read && is_read.get().is_some()) {
                let (from, to) = (random.below(accounts), random.below(accounts));
                bank.transfer(&mut participant, from, to, 1).unwrap();
            }
        });
    }
    let report = simulation.run();
    space.recover_dead();
    assert_eq!(judge.arena().platform().load(token, Relaxed), 0, "the dead keep nothing");
    assert_eq!(fsck(&space), [], "{:?}", report.verdict);
    assert_eq!(bank.sum(&mut judge), Ok(bank.expected()));
    Outcome { report, attempts: attempts.get(), had_the_token: had_the_token.get() }
}

/// Ten attempts in vain, and one in a lull; one more that holds what it reads where the lull was not kept, and one where somebody else
/// had the token at that moment.
#[test]
fn a_long_reader_commits_in_bounded_attempts_under_every_scheduler() {
    for limits in [Limits::default(), WITHOUT_LULLS] {
        for scheduler in scheduler::NAMES {
            let outcome = sum_under_fire(scheduler, limits, VIRTUAL_MS, None);
            outcome.came_through_in(13, scheduler);
        }
    }
}

/// The same with 10,000 accounts. What an attempt costs does not change how many there are.
#[test]
fn a_reader_of_ten_thousand_cells_commits_in_as_many_attempts_under_every_scheduler() {
    for (scheduler, cores) in scheduler::NAMES.into_iter().flat_map(|name| [(name, 8), (name, 2)]) {
        let outcome = sum_of(10_000, cores, true, scheduler, Limits::default(), 1_000, None);
        outcome.came_through_in(13, &format!("{scheduler}, {cores} cores"));
    }
}

/// Without the token, which somebody else may have for long: it holds what it reads after twice as many attempts in vain, and is the
/// oldest. Those whom it does not stop it passes, and they may yet cost it some more.
#[test]
fn without_the_token_the_same_reader_commits_by_visible_reads() {
    let limits = Limits { privileged_attempts: u64::MAX, ..Limits::default() };
    for scheduler in scheduler::NAMES {
        let outcome = sum_under_fire(scheduler, limits, VIRTUAL_MS, None);
        outcome.came_through_in(30, scheduler);
    }
}

/// With neither the reader starves. So the tests above can fail.
#[test]
fn without_visible_reads_the_same_reader_starves() {
    let limits = Limits { privileged_attempts: u64::MAX, visible_attempts: u64::MAX, ..Limits::default() };
    let outcome = sum_under_fire("fair", limits, VIRTUAL_MS, None);
    assert!(outcome.attempts.is_none_or(|attempts| attempts > 1_000), "{:?} attempts", outcome.attempts);
}

/// Steps of the reader at which it has the token: the last ones in the same run without a fault. In a lull it reads, in some nine steps
/// a cell; else it locks its cells, and is COMMITTED in the last three.
fn steps_with_the_token(limits: Limits) -> impl Iterator<Item = u64> {
    let outcome = sum_under_fire("fair", limits, VIRTUAL_MS, None);
    assert!(outcome.attempts > Some(limits.privileged_attempts), "it needed no token: {:?} attempts", outcome.attempts);
    let steps = outcome.report.threads[0].steps;
    let before = if limits.lull_ns == 0 { [20, 12, 6, 3] } else { [8, 6, 4, 1] };
    before.map(|steps| steps * ACCOUNTS).into_iter().chain([40]).map(move |before| steps - before)
}

/// The danger: a token of the dead that nobody takes, locks on all that was read; a lull of the dead that nobody ends.
#[test]
fn a_reader_that_is_killed_with_the_token_stops_nobody() {
    for limits in [WITHOUT_LULLS, Limits::default()] {
        for step in steps_with_the_token(limits) {
            let outcome = sum_under_fire("fair", limits, VIRTUAL_MS, Some(Fault::kill(0, step)));
            assert_eq!(outcome.report.verdict, Verdict::Ok, "killed before step {step}");
            assert_eq!(outcome.attempts, None, "killed before step {step}, and came through");
            assert!(outcome.had_the_token, "killed before step {step}, without the token");
            let slowest = outcome.report.threads[1..].iter().map(|thread| thread.commits).min();
            assert!(slowest > Some(10_000), "killed before step {step}: a writer made {slowest:?} commits");
        }
    }
}

/// The danger: everybody who wants to commit waits for somebody who stands still.
#[test]
fn a_reader_that_is_stopped_in_its_lull_puts_others_off_for_a_moment() {
    for step in steps_with_the_token(Limits::default()) {
        let outcome = sum_under_fire("fair", Limits::default(), VIRTUAL_MS, Some(Fault::stop(0, step, 4_000_000)));
        assert_eq!(outcome.report.verdict, Verdict::Ok, "stopped before step {step}");
        let slowest = outcome.report.threads[1..].iter().map(|thread| thread.commits).min();
        assert!(slowest > Some(10_000), "stopped before step {step}: a writer made {slowest:?} commits");
    }
}

/// The danger: a process that is stopped while nobody may stop its attempt stops everybody. Its lease ends that, once those who wait
/// are themselves old enough to keep their place, and it comes through all the same when it goes on.
#[test]
fn a_reader_that_is_stopped_with_the_token_loses_it_with_its_lease() {
    let limits = Limits { hung_ns: 500_000, lease_ns: 2_000_000, ..WITHOUT_LULLS };
    // Before it has committed: from there on nobody may stop it, and its locks are given back within moments of its own.
    for step in steps_with_the_token(limits).take(2) {
        let outcome = sum_under_fire("fair", limits, 28, Some(Fault::stop(0, step, 25_000_000)));
        assert_eq!(outcome.report.verdict, Verdict::Ok, "stopped before step {step}");
        assert!(
            outcome.attempts > Some(limits.privileged_attempts + 1),
            "stopped before step {step}: it kept the token"
        );
        let slowest = outcome.report.threads[1..].iter().map(|thread| thread.commits).min();
        assert!(slowest > Some(1_000), "stopped before step {step}: a writer made {slowest:?} commits");
    }
}

/// The danger: each privileged attempt gets the lease and no more, and a body that computes for longer without a call is stopped in
/// every one of them.
#[test]
fn a_body_that_computes_for_longer_than_the_lease_comes_through() {
    let mut simulation = Simulation::new(Setup { patience_ns: 20_000_000_000, ..chiplet(2, 3) });
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout).unwrap();
    let mut judge = space.participant().unwrap();
    let bank = scenario::Bank::found(&mut judge, 2).unwrap();
    let attempts = Rc::new(Cell::new(None));
    let (told, looked_at) = (attempts.clone(), attempts.clone());
    simulation.spawn(move |platform| {
        let space = Space::join(platform.clone(), layout).unwrap();
        let mut long = space.participant().unwrap();
        long.set_limits(Limits { privileged_attempts: 2, ..WITHOUT_LULLS });
        let mut count = 0;
        let done = long.run(|tx| {
            count += 1;
            let balance = tx.read(bank.account(0))?;
            tx.write(bank.account(0), balance)?;
            platform.pass(2_500_000_000_000);
            bank.sum(tx)
        });
        assert_eq!(done, Ok(bank.expected()));
        told.set(Some(count));
    });
    simulation.spawn(move |platform| {
        let space = Space::join(platform.clone(), layout).unwrap();
        let mut other = space.participant().unwrap();
        // Bounded: longer than all attempts of the other together.
        for _ in 0..400 {
            bank.transfer(&mut other, 0, 1, 1).unwrap();
            if looked_at.get().is_some() {
                break;
            }
            platform.pass(50_000_000_000);
        }
    });
    let report = simulation.run();
    assert_eq!(report.verdict, Verdict::Ok);
    let attempts = attempts.get().expect("it came through");
    assert!((3..=6).contains(&attempts), "{attempts} attempts");
}
