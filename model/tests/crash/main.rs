//! Death at every step. One thread plays all parts, so that every instant can be chosen: a doomed process dies before its n-th
//! access to memory, for every n, times the instants of two survivors' short transactions.
//!
//! After each run: what the dead one wrote is wholly there or not at all and every attempt saw one state (the history is strictly
//! serializable and opaque), both survivors have committed, and `fsck` finds nothing.

use std::collections::BTreeSet;

mod parts;
mod stage;

use parts::Part;
use stage::{Run, Stage};

/// All that a doomed process can be in the middle of.
const PARTS: [Part; 7] =
    [Part::Transfer, Part::Chain, Part::Abandon, Part::Choose, Part::Once, Part::Retry, Part::Read];

/// Runs `run` for the steps 0, 1, ... of one process and, inside, of another, until both get through: `run` says of each
/// whether it did. Where the first got through once, later steps of it are the same run again and are left out. Gives (most steps
/// of the first, runs).
fn all_pairs(stage: &mut Stage, mut run: impl FnMut(&Run, u64, u64) -> (bool, bool)) -> (u64, u64) {
    let mut runs = 0;
    let mut settled = BTreeSet::new();
    for first in 0.. {
        let mut through = true;
        for second in 0.. {
            if settled.contains(&second) {
                continue;
            }
            runs += 1;
            let (first_through, second_through) = stage.run(|it| run(it, first, second), (first, second));
            through &= first_through;
            if second_through {
                break;
            }
            if first_through {
                settled.insert(second);
            }
        }
        if through {
            return (first, runs);
        }
    }
    unreachable!()
}

#[test]
fn survivors_of_a_death_at_every_step_finish_at_every_instant_of_each_other() {
    for part in PARTS {
        let mut stage = Stage::new();
        let (steps, runs) = all_pairs(&mut stage, |run, death, instant| {
            let survived = run.doomed(part, death);
            let through = run.survivors(instant);
            (survived, through)
        });
        println!("{part:?}: {steps} steps, {runs} runs, {} deaths after the commit", stage.unheard);
        assert!(steps > 15 && runs > 500, "{part:?}: {steps} steps, {runs} runs");
        assert_eq!(stage.unheard > 0, part.commits(), "{part:?}: deaths between the commit and its end");
    }
}

#[test]
fn a_death_at_every_step_at_every_instant_of_a_survivor_harms_nobody() {
    for part in PARTS {
        let mut stage = Stage::new();
        let (steps, runs) = all_pairs(&mut stage, |run, death, instant| run.dies_inside(part, death, instant));
        println!("{part:?}: {steps} steps, {runs} runs, {} deaths after the commit", stage.unheard);
        assert!(steps > 15 && runs > 500, "{part:?}: {steps} steps, {runs} runs");
    }
}

#[test]
fn a_death_at_every_step_after_every_instant_of_somebody_elses_transaction_harms_nobody() {
    for part in PARTS {
        let mut stage = Stage::new();
        let (steps, runs) =
            all_pairs(&mut stage, |run, instant, death| run.met_and_doomed(part, instant, instant + death));
        println!("{part:?}: {steps} instants, {runs} runs, {} deaths after the commit", stage.unheard);
        assert!(steps > 15 && runs > 200, "{part:?}: {steps} steps, {runs} runs");
    }
}

#[test]
fn a_death_at_every_step_of_the_recovery_of_a_death_at_every_step_harms_nobody() {
    for part in [Part::Transfer, Part::Abandon] {
        let mut stage = Stage::new();
        let (steps, runs) = all_pairs(&mut stage, |run, death, second| {
            let recoverer = run.bystander();
            let survived = run.doomed(part, death);
            let through = run.recovers(&recoverer, second);
            // The survivors' instants are spread over the runs: each pair of deaths meets one of them.
            run.survivors((death * 31 + second * 7) % 64);
            (survived, through)
        });
        println!("{part:?}: {steps} steps, {runs} runs, {} deaths after the commit", stage.unheard);
        assert!(steps > 15 && runs > 1000, "{part:?}: {steps} steps, {runs} runs");
    }
}

/// The danger: a block of the dead in a superblock that others use, of which nobody knows that it was ever used.
#[test]
fn a_death_at_every_step_of_making_blocks_leaves_none_that_is_nobodys() {
    let mut stage = Stage::new();
    for death in 0.. {
        let survived = stage.run(
            |run| {
                let survived = run.doomed(Part::Makes, death);
                run.survivors(death % 64);
                survived
            },
            (death, death % 64),
        );
        if survived {
            println!("{death} steps");
            assert!(death > 100, "{death} steps");
            return;
        }
    }
}

#[test]
fn a_waiter_that_dies_at_every_step_of_its_wait_is_in_nobodys_way() {
    for part in [Part::Transfer, Part::Chain] {
        let mut stage = Stage::new();
        let (steps, runs) = all_pairs(&mut stage, |run, death, instant| run.waiter_dies(part, death, instant));
        println!("{part:?}: {steps} steps, {runs} runs");
        assert!(steps > 60 && runs > 2000, "{part:?}: {steps} steps, {runs} runs: the wait is not reached");
    }
}
