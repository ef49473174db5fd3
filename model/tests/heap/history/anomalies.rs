//! A checker that cannot fail proves nothing: one anomaly of each kind is put into right histories, and must be found.

use proptest::prelude::*;
use pso_model::history::{Anomaly, History, Outcome, Read, Why, Write};

use super::generate::{CELLS, Plan, Story, plans};

/// Two different cells.
fn two_cells() -> impl Strategy<Value = (u64, u64)> {
    (0..CELLS, 1..CELLS).prop_map(|(one, distance)| (one, (one + distance) % CELLS))
}

/// The right history, with `inject` run at its end.
fn story(plans: &[Plan], inject: impl FnOnce(&mut Story)) -> History {
    let mut story = Story::of(plans);
    inject(&mut story);
    story.finish()
}

fn read(cell: u64, (version, value): (u64, u64)) -> Read {
    Read { cell, version: Some(version), value }
}

impl Story {
    fn now(&self, cell: u64) -> (u64, u64) {
        self.state[&cell]
    }

    /// Somebody commits: reads as told, writes fresh values over the given old ones.
    fn commits(&mut self, times: (u64, u64), reads: Vec<Read>, over: &[(u64, (u64, u64))]) {
        let cells: Vec<u64> = over.iter().map(|(cell, _)| *cell).collect();
        let version = self.next_version(&cells);
        let mut writes = Vec::new();
        for &(cell, old) in over {
            let value = self.fresh();
            writes.push(Write { cell, old: Some(old), value });
            self.state.insert(cell, (version, value));
        }
        self.push(7, (times.0, Some(times.1)), Outcome::Committed(version), reads, writes);
    }

    /// Somebody reads and writes nothing.
    fn reads(&mut self, times: (u64, u64), outcome: Outcome, reads: Vec<Read>) {
        self.push(8, (times.0, Some(times.1)), outcome, reads, Vec::new());
    }
}

/// The kinds of edges of the cycle that was found, sorted by name.
fn cycle_of(found: Result<Vec<usize>, Anomaly>) -> Vec<Why> {
    let anomaly = found.expect_err("the anomaly is found");
    let mut kinds: Vec<Why> =
        anomaly.cycle().unwrap_or_else(|| panic!("{anomaly}")).iter().map(|edge| edge.why).collect();
    kinds.sort_by_key(|why| format!("{why:?}"));
    kinds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_right_history_passes(plans in plans()) {
        let history = Story::of(&plans).finish();
        prop_assert_eq!(history.strictly_serializable().err(), None);
        let order = history.opaque();
        prop_assert_eq!(order.map(|order| order.len()), Ok(history.attempts.len()));
    }

    #[test]
    fn a_dirty_read_is_found(plans in plans(), cell in 0..CELLS) {
        let history = story(&plans, |story| {
            let (point, value, (version, old)) = (story.point(), story.fresh(), story.now(cell));
            let write = Write { cell, old: Some((version, old)), value };
            story.push(7, (point, Some(point + 9)), Outcome::Aborted, vec![], vec![write]);
            story.reads((point + 1, point + 8), Outcome::ReadOnly, vec![read(cell, (version + 1, value))]);
        });
        let found = history.strictly_serializable();
        prop_assert!(matches!(found, Err(Anomaly::Dirty { .. })), "{found:?}");
    }

    #[test]
    fn a_lost_update_is_found(plans in plans(), cell in 0..CELLS) {
        let history = story(&plans, |story| {
            let (point, old) = (story.point(), story.now(cell));
            story.commits((point, point + 8), vec![read(cell, old)], &[(cell, old)]);
            story.commits((point + 1, point + 9), vec![read(cell, old)], &[(cell, old)]);
        });
        let found = history.strictly_serializable();
        prop_assert!(matches!(found, Err(Anomaly::LostUpdate { .. })), "{found:?}");
    }

    #[test]
    fn two_commits_of_one_version_of_a_cell_are_found(plans in plans(), cell in 0..CELLS) {
        let history = story(&plans, |story| {
            let (point, old) = (story.point(), story.now(cell));
            story.commits((point, point + 8), vec![], &[(cell, old)]);
            let (version, value) = (story.now(cell).0, story.fresh());
            let write = Write { cell, old: Some(old), value };
            story.push(6, (point + 1, Some(point + 9)), Outcome::Committed(version), vec![], vec![write]);
        });
        let found = history.strictly_serializable();
        prop_assert!(matches!(found, Err(Anomaly::SameVersion { .. })), "{found:?}");
    }

    #[test]
    fn a_write_skew_is_found(plans in plans(), (one, other) in two_cells()) {
        let history = story(&plans, |story| {
            let point = story.point();
            let both = vec![read(one, story.now(one)), read(other, story.now(other))];
            story.commits((point, point + 8), both.clone(), &[(one, story.now(one))]);
            story.commits((point + 1, point + 9), both, &[(other, story.now(other))]);
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite, Why::ReadWrite]);
    }

    #[test]
    fn a_ring_of_three_readers_and_writers_is_found_and_is_no_longer_than_it_is(plans in plans(), first in 0..CELLS) {
        let history = story(&plans, |story| {
            let point = story.point();
            let cells = [first, (first + 1) % CELLS, (first + 2) % CELLS];
            let olds = cells.map(|cell| story.now(cell));
            for turn in 0..3 {
                let next = (turn + 1) % 3;
                let times = (point + turn as u64, point + 8 + turn as u64);
                story.commits(times, vec![read(cells[turn], olds[turn])], &[(cells[next], olds[next])]);
            }
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite; 3]);
    }

    #[test]
    fn a_read_of_what_was_replaced_before_the_reader_began_is_found(plans in plans(), cell in 0..CELLS) {
        let history = story(&plans, |story| {
            let (point, old) = (story.point(), story.now(cell));
            story.commits((point, point + 1), vec![], &[(cell, old)]);
            story.reads((point + 2, point + 3), Outcome::ReadOnly, vec![read(cell, old)]);
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite, Why::RealTime]);
    }

    #[test]
    fn a_read_that_does_not_repeat_is_found(plans in plans(), cell in 0..CELLS) {
        let history = story(&plans, |story| {
            let (point, old) = (story.point(), story.now(cell));
            story.commits((point + 1, point + 2), vec![], &[(cell, old)]);
            let reads = vec![read(cell, old), read(cell, story.now(cell))];
            story.reads((point, point + 3), Outcome::ReadOnly, reads);
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite, Why::WriteRead]);
    }

    #[test]
    fn a_wrong_value_under_the_right_version_is_found(plans in plans(), which: prop::sample::Index, cell in 0..CELLS) {
        // Somebody's read, wherever it stands; but not the only one that tells of a commit of which nobody heard.
        let mut history = story(&plans, |story| {
            let point = story.point();
            story.reads((point, point + 1), Outcome::ReadOnly, vec![read(cell, story.now(cell))]);
        });
        let unheard: Vec<u64> = history.attempts.iter()
            .filter(|attempt| attempt.outcome == Outcome::Unfinished)
            .flat_map(|attempt| attempt.writes.iter().map(|write| write.value))
            .collect();
        let mut reads: Vec<&mut Read> = history.attempts.iter_mut()
            .filter(|attempt| attempt.outcome != Outcome::Unfinished)
            .flat_map(|attempt| attempt.reads.iter_mut())
            .filter(|read| !unheard.contains(&read.value))
            .collect();
        prop_assume!(!reads.is_empty());
        let index = which.index(reads.len());
        reads[index].value = 77;
        let found = history.opaque();
        prop_assert!(matches!(found, Err(Anomaly::WrongValue { .. })), "{found:?}");
    }

    #[test]
    fn half_a_commit_seen_by_an_attempt_that_aborts_breaks_opacity_alone(plans in plans(), (one, other) in two_cells()) {
        let history = story(&plans, |story| {
            let (point, olds) = (story.point(), (story.now(one), story.now(other)));
            story.commits((point + 1, point + 2), vec![], &[(one, olds.0), (other, olds.1)]);
            let reads = vec![read(one, olds.0), read(other, story.now(other))];
            story.reads((point, point + 3), Outcome::Aborted, reads);
        });
        prop_assert_eq!(history.strictly_serializable().err(), None);
        prop_assert_eq!(cycle_of(history.opaque()), [Why::ReadWrite, Why::WriteRead]);
    }

    #[test]
    fn half_a_commit_seen_by_an_attempt_that_was_killed_breaks_opacity_alone(plans in plans(), (one, other) in two_cells()) {
        let history = story(&plans, |story| {
            let (point, olds) = (story.point(), (story.now(one), story.now(other)));
            story.commits((point + 1, point + 2), vec![], &[(one, olds.0), (other, olds.1)]);
            let seen = [(one, olds.0), (other, story.now(other))];
            let reads = seen.map(|(cell, (_, value))| Read { cell, version: None, value });
            story.push(8, (point, None), Outcome::Unfinished, reads.to_vec(), Vec::new());
        });
        prop_assert_eq!(history.strictly_serializable().err(), None);
        prop_assert_eq!(cycle_of(history.opaque()), [Why::ReadWrite, Why::WriteRead]);
    }

    #[test]
    fn half_of_what_a_killed_one_wrote_is_found(plans in plans(), (one, other) in two_cells()) {
        // It was killed in its commit; one cell has its value, the other keeps the old one for ever.
        let history = story(&plans, |story| {
            let point = story.point();
            let (version, value) = (story.next_version(&[one, other]), story.fresh());
            let never = story.fresh();
            let writes = vec![Write { cell: one, old: None, value }, Write { cell: other, old: None, value: never }];
            story.push(7, (point, None), Outcome::Unfinished, vec![], writes);
            story.state.insert(one, (version, value));
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite, Why::WriteRead]);
    }

    #[test]
    fn a_commit_of_a_dead_one_that_is_seen_after_somebody_who_began_later_did_not_see_it_is_found(
        plans in plans(),
        cell in 0..CELLS,
    ) {
        let history = story(&plans, |story| {
            let (point, old, value) = (story.point(), story.now(cell), story.fresh());
            let version = story.next_version(&[cell]);
            let write = Write { cell, old: None, value };
            story.push(7, (point, Some(point + 1)), Outcome::Unfinished, vec![], vec![write]);
            story.reads((point + 2, point + 3), Outcome::ReadOnly, vec![read(cell, old)]);
            story.reads((point + 4, point + 5), Outcome::ReadOnly, vec![read(cell, (version, value))]);
            story.state.insert(cell, (version, value));
        });
        prop_assert_eq!(cycle_of(history.strictly_serializable()), [Why::ReadWrite, Why::RealTime]);
    }

    #[test]
    fn a_body_that_is_told_something_else_than_it_wrote_is_found(plans in plans(), cell in 0..CELLS) {
        let mut history = Story::of(&plans).finish();
        let last = history.attempts.len() - 1;
        history.attempts[last].untrue.push((cell, 1, Some(2)));
        let found = history.opaque();
        prop_assert!(matches!(found, Err(Anomaly::Untrue { .. })), "{found:?}");
    }
}

#[test]
fn a_cycle_is_told_in_words() {
    let mut story = Story::of(&[]);
    let (point, old) = (story.point(), story.now(3));
    story.commits((point, point + 1), vec![], &[(3, old)]);
    story.reads((point + 2, point + 3), Outcome::ReadOnly, vec![read(3, old)]);
    let words = story.finish().strictly_serializable().unwrap_err().to_string();
    let expected = "no order of these attempts explains what they saw:\n  \
        attempt 0 (participant 7, committed at 1) was over before attempt 1 (participant 8, read only) began\n  \
        attempt 0 (participant 7, committed at 1) replaced in cell 3 what attempt 1 (participant 8, read only) read";
    assert_eq!(words, expected);
}
