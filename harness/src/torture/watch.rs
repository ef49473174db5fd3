//! Who waits for the dead, and for how long: survivors' words are looked at from the kill on.
//!
//! A survivor waits for the dead if it stands in the dead one's place, or sleeps in the second row of one of its cells (see
//! `pso_engine::waits`). It may do so at the death, or run into what the dead one holds later. Each such wait is counted from the
//! last look that did not show it, at the earliest from the death, until two ends:
//!
//! - it *went on*: the first look that no longer shows it;
//! - its *next commit*, as the survivor noted it. That may be a large transaction's, or be delayed by other survivors.
//!
//! The death is when the kernel says so. Before that the victim is slow, not dead: whoever has no processor does not die on the
//! signal, and holds its liveness byte; how long that takes is measured apart. Looks are a tenth of a millisecond apart, or as
//! far as the machine lets us.

use std::time::Duration;

use pso_engine::arena::Arena;
use pso_engine::platform::native::Native;
use pso_engine::waits::{Holdings, Wait, wait_for};
use pso_engine::word::ParticipantId;

use super::progress::Progress;
use crate::failure::Failure;

/// So long what nobody has come across is watched: it may be wanted by nobody.
const UNWANTED: Duration = Duration::from_millis(10);

/// One wait for the dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Where.
    pub place: Wait,
    /// Until it no longer waited for the dead.
    pub went_on: Duration,
    /// Until its next commit.
    pub next_commit: Duration,
}

/// A wait that is not over.
#[derive(Clone, Copy)]
struct Open {
    place: Wait,
    since_ns: u64,
    seen_ns: u64,
    went_on_ns: Option<u64>,
}

/// One survivor.
pub struct Survivor {
    pub writer: u32,
    participant: ParticipantId,
    /// Commits before the kill.
    before: u64,
    /// When it was last seen not to wait for the dead.
    free_ns: u64,
    open: Option<Open>,
    /// From the death to its first commit after it.
    pub committed: Option<Duration>,
    /// Its waits for the dead.
    pub waits: Vec<Waited>,
}

impl Survivor {
    /// Somebody who has made `before` commits, looked at before the kill.
    pub fn new(writer: u32, participant: ParticipantId, before: u64) -> Self {
        Self { writer, participant, before, free_ns: 0, open: None, committed: None, waits: Vec::new() }
    }

    /// True once it has committed since the kill and waits for no dead.
    pub fn is_through(&self) -> bool {
        self.committed.is_some() && self.open.is_none()
    }

    fn look(&mut self, now_ns: u64, place: Option<Wait>) {
        match (place, &mut self.open) {
            (Some(place), None) => {
                self.open = Some(Open { place, since_ns: self.free_ns, seen_ns: now_ns, went_on_ns: None });
            }
            (Some(_), Some(open)) => (open.seen_ns, open.went_on_ns) = (now_ns, None),
            (None, open) => {
                self.free_ns = now_ns;
                if let Some(open) = open {
                    open.went_on_ns.get_or_insert(now_ns);
                }
            }
        }
    }

    /// `committed_since`: when this survivor first committed at a time or later.
    fn note_commits(
        &mut self,
        killed: Moments,
        committed_since: impl Fn(u64) -> Result<Option<u64>, Failure>,
    ) -> Result<(), Failure> {
        if self.committed.is_none() {
            let at = committed_since(killed.dead_ns)?;
            self.committed = at.map(|at| Duration::from_nanos(at - killed.dead_ns));
        }
        // Nobody commits while he waits, so the commit that ends a wait comes after it was last seen.
        if let Some(open) = self.open
            && let Some(at) = committed_since(open.seen_ns)?
        {
            let went_on_ns = open.went_on_ns.map_or(at, |went_on| went_on.min(at));
            self.waits.push(Waited {
                place: open.place,
                went_on: Duration::from_nanos(went_on_ns.saturating_sub(open.since_ns)),
                next_commit: Duration::from_nanos(at.saturating_sub(open.since_ns)),
            });
            self.open = None;
        }
        Ok(())
    }
}

/// When somebody was killed.
#[derive(Clone, Copy)]
pub struct Moments {
    /// Before the signal was sent.
    pub signal_ns: u64,
    /// The kernel has said that it is dead.
    pub dead_ns: u64,
}

impl Moments {
    /// From the signal to the death.
    pub fn dying(self) -> Duration {
        Duration::from_nanos(self.dead_ns - self.signal_ns)
    }
}

/// All survivors of a kill.
pub struct Watch {
    pub killed: Moments,
    pub dead: Vec<Holdings>,
    pub survivors: Vec<Survivor>,
}

impl Watch {
    /// Begins to watch after a kill.
    pub fn new(killed: Moments, dead: Vec<Holdings>, mut survivors: Vec<Survivor>) -> Self {
        survivors.iter_mut().for_each(|survivor| survivor.free_ns = killed.dead_ns);
        Self { killed, dead, survivors }
    }

    /// Looks at everybody once. True: nothing more is to be seen.
    pub fn look(&mut self, arena: &Arena<Native>, progress: &Progress, now_ns: u64) -> Result<bool, Failure> {
        for survivor in &mut self.survivors {
            let place = self.dead.iter().find_map(|dead| wait_for(arena, survivor.participant, dead));
            survivor.look(now_ns, place);
            let (writer, before) = (survivor.writer, survivor.before);
            survivor.note_commits(self.killed, |since_ns| progress.committed_since(writer, before, since_ns))?;
        }
        let watched = Duration::from_nanos(now_ns.saturating_sub(self.killed.dead_ns));
        let wanted = |dead: &Holdings| watched < UNWANTED && dead.cells > 0 && dead.stand(arena);
        Ok(self.survivors.iter().all(Survivor::is_through) && !self.dead.iter().any(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Moments = Moments { signal_ns: 100, dead_ns: 150 };

    fn survivor() -> Survivor {
        Survivor { free_ns: KILLED.dead_ns, ..Survivor::new(1, ParticipantId(2), 10) }
    }

    /// The first of these commits at a time or later.
    fn commits(times: &[u64]) -> impl Fn(u64) -> Result<Option<u64>, Failure> {
        move |since| Ok(times.iter().copied().find(|at| *at >= since))
    }

    #[test]
    fn who_waited_at_the_death_is_timed_from_it_to_its_commit() {
        let mut survivor = survivor();
        for (now, place) in [(160, Some(Wait::InPlace)), (170, Some(Wait::InPlace)), (180, None)] {
            survivor.look(now, place);
            survivor.note_commits(KILLED, commits(&[90])).unwrap();
            assert!(!survivor.is_through());
        }
        survivor.note_commits(KILLED, commits(&[90, 195])).unwrap();
        let [went_on, next_commit] = [30, 45].map(Duration::from_nanos);
        assert_eq!(survivor.waits, [Waited { place: Wait::InPlace, went_on, next_commit }]);
        assert_eq!(survivor.committed, Some(next_commit));
        assert!(survivor.is_through());
    }

    #[test]
    fn who_comes_later_is_timed_from_the_last_look_before() {
        let mut survivor = survivor();
        survivor.look(160, None);
        survivor.note_commits(KILLED, commits(&[155])).unwrap();
        assert_eq!(survivor.committed, Some(Duration::from_nanos(5)));
        // It committed at 162, then began to wait; seen at 170, not at 180, and again at 190.
        for (now, place) in [(170, Some(Wait::SecondRow)), (180, None), (190, Some(Wait::SecondRow))] {
            survivor.look(now, place);
            survivor.note_commits(KILLED, commits(&[155, 162])).unwrap();
            assert!(!survivor.is_through());
        }
        // The commit came before the next look.
        survivor.note_commits(KILLED, commits(&[155, 162, 199])).unwrap();
        let waited = Duration::from_nanos(39);
        assert_eq!(survivor.waits, [Waited { place: Wait::SecondRow, went_on: waited, next_commit: waited }]);
    }
}
