//! Who is next: the earliest of all threads, ties to the lower number.
//!
//! Every thread has one place with the time at which something happens to it, or [`NEVER`]. The places are the leaves of a
//! tournament tree: each inner node names the earlier of its two children, so the winner stands at the root (one load), and a
//! change replays the matches on one way up. That is the heap ordered by (time, thread), without stale entries.

/// The time of a thread to which nothing will happen.
pub const NEVER: u64 = u64::MAX;

/// A tournament of times, in picoseconds.
#[derive(Debug)]
pub struct Agenda {
    times: Vec<u64>,
    /// Inner nodes from 1; the children of `n` are `2n` and `2n + 1`, numbers from `times.len()` on are leaves.
    winners: Vec<u32>,
    /// The thread that runs, whose place is out of date, and the earliest of the others, or something earlier still.
    running: usize,
    horizon: (u64, usize),
}

impl Agenda {
    /// Places for `threads`, nobody has anything before it.
    pub fn new(threads: usize) -> Self {
        let leaves = threads.next_power_of_two().max(2);
        let mut agenda =
            Self { times: vec![NEVER; leaves], winners: vec![0; leaves], running: usize::MAX, horizon: (NEVER, 0) };
        for node in (1..leaves).rev() {
            agenda.winners[node] = agenda.match_at(node);
        }
        agenda
    }

    /// The earliest: its time and its number. `None` if nothing will ever happen.
    #[inline]
    pub fn earliest(&self) -> Option<(u64, usize)> {
        let winner = self.winners[1] as usize;
        (self.times[winner] != NEVER).then_some((self.times[winner], winner))
    }

    /// The earliest, `thread`, begins to run: from now on its place means nothing until it is set again. Finds the horizon:
    /// the earliest of all whom it has beaten on its way up.
    #[inline]
    pub fn start(&mut self, thread: usize) {
        self.running = thread;
        let mut node = thread + self.times.len();
        self.horizon = (NEVER, usize::MAX);
        // Bounded by the height of the tree.
        while node > 1 {
            let beaten = self.winner_of(node ^ 1) as usize;
            self.horizon = self.horizon.min((self.times[beaten], beaten));
            node /= 2;
        }
    }

    /// True if nobody but the running `thread` itself comes before it at `time`. May be false for no reason: then it finds out
    /// by suspending.
    #[inline]
    pub fn comes_first(&self, time: u64, thread: usize) -> bool {
        (time, thread) < self.horizon
    }

    /// Something happens to `thread` at `time`, and nothing else.
    #[inline]
    pub fn set(&mut self, thread: usize, time: u64) {
        self.times[thread] = time;
        if thread != self.running {
            self.horizon = self.horizon.min((time, thread));
        }
        let mut node = (thread + self.times.len()) / 2;
        // Bounded by the height of the tree.
        while node > 0 {
            self.winners[node] = self.match_at(node);
            node /= 2;
        }
    }

    #[inline]
    fn match_at(&self, node: usize) -> u32 {
        let (left, right) = (self.winner_of(2 * node), self.winner_of(2 * node + 1));
        // Left on a tie: its numbers are lower.
        if self.times[left as usize] <= self.times[right as usize] { left } else { right }
    }

    #[inline]
    fn winner_of(&self, node: usize) -> u32 {
        if node >= self.times.len() { (node - self.times.len()) as u32 } else { self.winners[node] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_earliest_wins_and_ties_go_to_the_lower_number() {
        for threads in [1, 2, 3, 7, 64, 100] {
            let mut agenda = Agenda::new(threads);
            let mut times = vec![NEVER; threads];
            let mut random = Random::new(threads as u64);
            assert_eq!(agenda.earliest(), None);
            for _ in 0..1000 {
                let thread = random.below(threads as u64) as usize;
                let time = if random.below(5) == 0 { NEVER } else { random.below(10) };
                times[thread] = time;
                agenda.set(thread, time);
                let expected = times.iter().enumerate().map(|(number, time)| (*time, number)).min().unwrap();
                assert_eq!(agenda.earliest(), (expected.0 != NEVER).then_some(expected));
                agenda.start(expected.1);
                let second = times.iter().enumerate().filter(|(number, _)| *number != expected.1);
                if let Some((second, time)) = second.min_by_key(|(number, time)| (**time, *number)) {
                    assert!(*time == 0 || agenda.comes_first(time - 1, expected.1));
                    assert!(!agenda.comes_first(*time, expected.1) || second > expected.1 || *time == NEVER);
                }
            }
        }
    }
}
