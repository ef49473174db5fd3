//! Which runs of traces show a fault of the engine: those that end with exit code 1.

use pso_engine::contention::PolicyId;
use pso_sim::measure::{Measurement, Verdict};

use crate::failure::Failure;
use crate::plot::{verdict_words, world_word};

/// What must not be, if nobody was killed, stopped or slowed in the run. One that was too long for its budget shows nothing.
pub fn of(measurement: &Measurement) -> Option<String> {
    let Measurement { trace, world, policy, verdict, cores, participants, seed, .. } = measurement;
    let is_fault = match verdict {
        Verdict::Ok | Verdict::OutOfBudget => false,
        Verdict::Livelocked => policy.parse().map_or(true, promises_progress),
        Verdict::Stuck | Verdict::Wrong(_) => true,
    };
    is_fault.then(|| {
        format!(
            "the trace {trace} played by {participants} participants on {cores} cores ({}, policy {policy}, seed {seed}): {}",
            world_word(*world),
            verdict_words(verdict)
        )
    })
}

/// No fault in any of the runs, or a sentence with all of them. `who` has made them.
pub fn none_in(who: &str, measurements: &[Measurement]) -> Result<(), Failure> {
    let faults: Vec<String> = measurements.iter().filter_map(of).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::Wrong(format!("{who}: {}", faults.join("; ")))) }
}

/// Whether somebody always gets through, whatever the scheduler does. Each policy opens with its promise; none may be stuck.
fn promises_progress(policy: PolicyId) -> bool {
    match policy {
        PolicyId::Damped | PolicyId::WoundWait => true,
        PolicyId::WaitDie | PolicyId::OneStep | PolicyId::Backoff | PolicyId::Immediate => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::fixture;
    use pso_sim::measure::World;

    fn ended(verdict: Verdict, policy: &str) -> Measurement {
        let measurement = fixture::measurement(World::Simulated, "demo", 2, 2, 5.0);
        Measurement { verdict, policy: policy.into(), ..measurement }
    }

    #[test]
    fn a_run_that_shows_a_fault_is_told() {
        assert_eq!(of(&ended(Verdict::Ok, "damped")), None);
        assert_eq!(of(&ended(Verdict::OutOfBudget, "damped")), None);
        for (verdict, wanted) in
            [(Verdict::Stuck, "stuck"), (Verdict::Livelocked, "livelocked"), (Verdict::Wrong("a sum".into()), "a sum")]
        {
            let told = of(&ended(verdict, "damped")).unwrap();
            assert!(told.contains(wanted) && told.contains("simulated"), "{told}");
        }
    }

    #[test]
    fn who_promises_nothing_may_be_livelocked_and_neither_stuck_nor_wrong() {
        for policy in PolicyId::ALL.map(PolicyId::name) {
            let is_fault = |verdict| of(&ended(verdict, policy)).is_some();
            assert_eq!(is_fault(Verdict::Livelocked), ["damped", "wound-wait"].contains(&policy), "{policy}");
            assert!(is_fault(Verdict::Stuck) && is_fault(Verdict::Wrong("a sum".into())), "{policy}");
        }
    }

    #[test]
    fn runs_are_well_if_all_of_them_are() {
        let well = ended(Verdict::Ok, "damped");
        assert!(none_in("sweep", &[well.clone(), well.clone()]).is_ok());
        let bad = [Verdict::Wrong("an update is lost".into()), Verdict::Stuck].map(|verdict| ended(verdict, "damped"));
        let said = none_in("sweep", &[&[well], &bad[..]].concat()).unwrap_err().to_string();
        assert!(
            said.starts_with("sweep: ") && said.contains("an update is lost; ") && said.ends_with("stuck"),
            "{said}"
        );
    }
}
