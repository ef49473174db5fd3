//! Faults at every step: who dies, stands still or becomes slow there, and what the others and the space say to it.

mod support;

use pso_sim::Setup;
use pso_sim::fault::Fault;
use pso_sim::measure::Verdict;

use support::{Bank, chiplet};

/// Killed at every step of joining, of its transfers and of leaving, a process takes nothing with it: the others come through,
/// the sum is kept, and after recovery fsck finds nothing. Three on three accounts, so that the victim often holds what the
/// others want; two cores, so that somebody waits for a core, too.
#[test]
fn a_process_killed_at_any_step_takes_nothing_with_it() {
    let bank = Bank { threads: 3, accounts: 3, transfers: 3 };
    let whole = bank.run(chiplet(2, 5));
    assert_eq!(whole.verdict, Verdict::Ok);
    let steps = whole.threads[1].steps;
    assert!(steps > 200, "only {steps} steps");
    let mut uncommitted = 0;
    for step in 1..=steps {
        let report = bank.run(Setup { faults: vec![Fault::kill(1, step)], ..chiplet(2, 5) });
        assert_eq!(report.verdict, Verdict::Ok, "killed at step {step}");
        assert!(!report.threads[1].through, "killed at step {step}");
        assert_eq!(report.threads[1].steps, step - 1);
        assert!(report.threads[0].through && report.threads[2].through, "killed at step {step}");
        uncommitted += u64::from(report.threads[1].commits < 3);
    }
    assert!(uncommitted > 100, "most kills come before the last commit, not {uncommitted}");
}

/// The same with a second victim, which often is the one that recovers the first.
#[test]
fn two_processes_killed_one_after_the_other_take_nothing_with_them() {
    let bank = Bank { threads: 3, accounts: 2, transfers: 2 };
    let steps = bank.run(chiplet(3, 6)).threads[1].steps;
    for first in (1..=steps).step_by(13) {
        for second in (1..=steps).step_by(17) {
            let faults = vec![Fault::kill(1, first), Fault::kill(2, second)];
            let report = bank.run(Setup { faults, ..chiplet(3, 6) });
            assert_eq!(report.verdict, Verdict::Ok, "killed at steps {first} and {second}");
            assert!(report.threads[0].through, "killed at steps {first} and {second}");
        }
    }
}

/// Who stands still for half a second, at any step, holding what it holds, is overtaken: the others do not wait for it that
/// long. Afterwards it goes on and comes through as well.
#[test]
fn a_process_that_stands_still_is_overtaken_and_comes_through_later() {
    const HALF_A_SECOND_NS: u64 = 500_000_000;
    let bank = Bank { threads: 2, accounts: 2, transfers: 2 };
    let steps = bank.run(chiplet(2, 7)).threads[1].steps;
    let mut waited = Vec::new();
    for step in 1..=steps {
        let report = bank.run(Setup { faults: vec![Fault::stop(1, step, HALF_A_SECOND_NS)], ..chiplet(2, 7) });
        assert_eq!(report.verdict, Verdict::Ok, "stopped at step {step}");
        assert!(report.threads.iter().all(|thread| thread.through), "stopped at step {step}");
        assert!(report.ended_ns > HALF_A_SECOND_NS);
        // T_hung is 100 ms: whoever shows no sign of life for so long is stopped.
        if report.threads[0].committed_ns > 250_000_000 {
            waited.push(step);
        }
    }
    assert!(waited.len() < 10, "somebody waited {waited:?} of {steps}");
}

#[test]
fn a_slow_process_is_slow_and_nothing_else() {
    let bank = Bank { threads: 2, accounts: 100, transfers: 300 };
    let ordinary = bank.run(chiplet(2, 8));
    let slow = bank.run(Setup { faults: vec![Fault::slow(1, 1, 10)], ..chiplet(2, 8) });
    assert_eq!(slow.verdict, Verdict::Ok);
    let times = slow.threads[1].committed_ns as f64 / ordinary.threads[1].committed_ns as f64;
    assert!((5.0..15.0).contains(&times), "{times:.1} times as long");
    assert!(slow.threads[0].committed_ns < 2 * ordinary.threads[0].committed_ns);
}

/// The danger: the second of two for one step strikes a step later.
#[test]
fn all_that_is_to_happen_before_a_step_happens_before_it() {
    let bank = Bank { threads: 2, accounts: 2, transfers: 3 };
    let faults = vec![Fault::slow(1, 50, 3), Fault::slow(1, 50, 2), Fault::kill(1, 50)];
    let report = bank.run(Setup { faults, ..chiplet(2, 9) });
    assert_eq!((report.verdict, report.threads[1].steps), (Verdict::Ok, 49));
}
