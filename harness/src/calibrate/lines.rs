//! What it takes to move a cache line. Two threads on two cores take turns: one changes or loads lines, the other times its
//! accesses.
//!
//! A processor does several independent accesses at once, a simulated one does not. So each access here decides where the next
//! goes: what is measured is how long one takes, and not how many fit into a time. (Independent additions to lines that the
//! other core had changed took 3 to 18 ns each on a machine where a single one takes 140.)

use std::hint::{black_box, spin_loop};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Instant;

use pso_sim::Random;

use super::pinned::{self, quantiles, stay_on, turn_ns};
use crate::failure::Failure;
use crate::machine::median;

/// Lines that are handed over at once: they fit the smallest cache, and the clock's own cost is lost among them.
const LINES: usize = 64;
/// Hand-overs.
const ROUNDS: u64 = 61;
/// Additions of each core to one line.
const ADDITIONS: u32 = 20_000;
/// Beyond all caches.
const MEMORY_BYTES: usize = 128 << 20;
const MEMORY_STEPS: usize = 10_000;
const _: () =
    assert!(pinned::BATCHES * MEMORY_STEPS <= MEMORY_BYTES / size_of::<Line>(), "a batch would come by again");

/// Nanoseconds.
pub struct Prices {
    pub load_changed: f64,
    pub load_shared: f64,
    pub store: f64,
    pub exchange_own: f64,
    pub exchange: f64,
    /// An exchange on a line that a load has just brought from the core that changed it.
    pub exchange_loaded: f64,
    /// A load of a line that this core changed and the other has loaded since.
    pub reload: f64,
    /// Single loads of changed lines.
    pub spread: Vec<f64>,
    /// From another core's request until the line is gone.
    pub hold: f64,
    pub fence: f64,
    pub memory: f64,
}

impl Prices {
    /// Whether a load of a changed line takes it away from the core that changed it: then that core has to fetch it again.
    pub fn loads_migrate(&self) -> bool {
        self.reload > self.load_changed / 2.0
    }
}

/// A cache line: where the chain goes on, and a word to change. Four lines apart, so that no prefetcher brings a neighbour.
#[repr(align(256))]
struct Line {
    next: AtomicU64,
    word: AtomicU64,
}

/// Lines in one random chain through all of them: no prefetcher sees where it leads.
struct Chain {
    lines: Vec<Line>,
}

impl Chain {
    fn new(lines: usize) -> Self {
        let mut order: Vec<u64> = (0..lines as u64).collect();
        let mut random = Random::new(7);
        // Sattolo's shuffle: one cycle.
        for last in (1..lines).rev() {
            order.swap(last, random.below(last as u64) as usize);
        }
        let line = |next| Line { next: AtomicU64::new(next), word: AtomicU64::new(0) };
        Self { lines: order.into_iter().map(line).collect() }
    }
    /// `steps` visits, each of which says where the next goes. From the same line each time.
    fn follow(&self, steps: usize, visit: impl Fn(&Line) -> u64) {
        self.follow_from(0, steps, visit);
    }
    /// The same from line `at` on. Gives the line where it would go on.
    fn follow_from(&self, mut at: u64, steps: usize, visit: impl Fn(&Line) -> u64) -> u64 {
        for _ in 0..steps {
            at = visit(&self.lines[at as usize]);
        }
        black_box(at)
    }
    /// Nanoseconds of a visit to lines that no batch has visited before: of the same ones the second batch would find them in a cache.
    fn first_visit_ns(&self, steps: usize, visit: impl Fn(&Line) -> u64) -> f64 {
        let mut at = 0;
        turn_ns(steps as u32, || at = self.follow_from(at, steps, &visit))
    }
    /// Nanoseconds of each visit by itself, the clock included.
    fn time_each(&self, visit: impl Fn(&Line) -> u64) -> Vec<f64> {
        let mut at = 0;
        let mut last = Instant::now();
        let mut each = Vec::with_capacity(self.lines.len());
        for _ in 0..self.lines.len() {
            at = visit(&self.lines[at as usize]);
            // The clock is read once what stands before it is done.
            let now = Instant::now();
            each.push((now - last).as_nanos() as f64);
            last = now;
        }
        black_box(at);
        each
    }
    /// Nanoseconds of a visit on the own core: the median of batches.
    fn visit_ns(&self, visit: impl Fn(&Line) -> u64) -> f64 {
        const TIMES: usize = 4;
        turn_ns((TIMES * LINES) as u32, || self.follow(TIMES * LINES, &visit))
    }
}

/// All prices of lines.
pub fn measure() -> Result<Prices, Failure> {
    let cores = pinned::two_cores()?;
    let lines = Chain::new(LINES);
    // As many lines of the measuring core's own.
    let own = Chain::new(LINES);
    let [own_load, own_exchange, own_swap, own_store, own_fenced, own_drained, clock] = pinned::on(cores[1], || {
        let clock = |_| median(&own.time_each(load));
        [
            own.visit_ns(load),
            own.visit_ns(compare_exchange),
            own.visit_ns(exchange),
            own.visit_ns(store),
            own.visit_ns(store_and_fence),
            turn_ns(LINES as u32, || store_and_drain(&lines, &own)),
            median(&(0..ROUNDS).map(clock).collect::<Vec<_>>()),
        ]
    })?;
    let hand_over = HandOver { cores, lines: &lines };
    let loaded = hand_over.after(change, nothing, |lines| lines.follow(LINES, load));
    let exchanged = hand_over.after(change, nothing, |lines| lines.follow(LINES, exchange));
    let stored = hand_over.after(change, nothing, |lines| store_and_drain(lines, &own));
    let owned = |lines: &Chain| lines.follow(LINES, load);
    let exchange_loaded = hand_over.after(change, owned, |lines| lines.follow(LINES, exchange));
    let reload = hand_over.back(|lines| lines.follow(LINES, load));
    let spread = hand_over.each(change, |lines| lines.time_each(load));
    let additions = additions_in_a_row(cores);
    let own_addition = pinned::on(cores[1], || {
        turn_ns(ADDITIONS, || {
            (0..ADDITIONS).for_each(|_| {
                black_box(own.lines[0].word.fetch_add(1, AcqRel));
            });
        })
    })?;
    let memory = pinned::on(cores[1], || {
        let large = Chain::new(MEMORY_BYTES / size_of::<Line>());
        large.first_visit_ns(MEMORY_STEPS, load)
    })?;
    let above = |ns: f64, own: f64| (ns - own).max(0.0);
    let mut prices = Prices {
        load_changed: above(loaded, own_load),
        load_shared: 0.0,
        store: above(stored, own_drained),
        exchange_own: own_exchange,
        exchange: above(exchanged, own_swap),
        exchange_loaded: above(exchange_loaded, own_swap),
        reload: above(reload, own_load),
        // The first of a row is made when the line comes.
        hold: (additions - 1.0) * own_addition,
        spread: quantiles(spread.into_iter().map(|ns| above(ns, clock)).collect()),
        fence: above(own_fenced, own_store),
        memory: above(memory, own_load),
    };
    // Where loads leave a copy, two cores never see the case: who shares a line has it.
    prices.hold = prices.hold.clamp(0.0, prices.exchange);
    prices.load_shared = if prices.loads_migrate() { prices.reload } else { prices.load_changed };
    Ok(prices)
}

fn load(line: &Line) -> u64 {
    line.next.load(Acquire)
}

/// Leaves the word as it is, which the compiler must not know: else it would make a load of it.
fn exchange(line: &Line) -> u64 {
    line.next.fetch_add(black_box(0), AcqRel)
}

fn compare_exchange(line: &Line) -> u64 {
    let held = line.next.load(Relaxed);
    line.next.compare_exchange(held, held, AcqRel, Relaxed).unwrap_or(held)
}

fn store(line: &Line) -> u64 {
    line.word.store(1, Release);
    load(line)
}

fn store_and_fence(line: &Line) -> u64 {
    line.word.store(1, Release);
    fence(SeqCst);
    load(line)
}

/// Stores to each of `lines` and waits until the store has arrived, by an exchange on a line of `own`, which says where the
/// next store goes. Both chains have the same order.
fn store_and_drain(lines: &Chain, own: &Chain) {
    let mut at = 0;
    for _ in 0..lines.lines.len() {
        lines.lines[at as usize].word.store(1, Release);
        at = exchange(&own.lines[at as usize]);
    }
    black_box(at);
}

/// Changes every line.
fn change(chain: &Chain) {
    for line in &chain.lines {
        line.word.fetch_add(1, AcqRel);
    }
}

fn nothing(_: &Chain) {}

/// Two cores add to one line as fast as they can: how many additions in a row a core makes, in the middle, before the other
/// has taken the line away. All that time the other's request is on its way.
fn additions_in_a_row(cores: [usize; 2]) -> f64 {
    let line = Chain::new(1);
    let word = &line.lines[0].word;
    let here = AtomicU64::new(0);
    let over = AtomicU64::new(0);
    let rows = |core| {
        stay_on(core);
        here.fetch_add(1, AcqRel);
        while here.load(Acquire) < 2 {
            spin_loop();
        }
        let mut rows = vec![1.0];
        let mut last = word.fetch_add(1, AcqRel);
        for number in 1..ADDITIONS {
            let before = word.fetch_add(1, AcqRel);
            match rows.last_mut() {
                Some(row) if before == last + 1 => *row += 1.0,
                _ => rows.push(1.0),
            }
            last = before;
            // Looked at seldom: only what both did at the same time counts.
            if number % 256 == 0 && over.load(Acquire) != 0 {
                break;
            }
        }
        over.store(1, Release);
        rows
    };
    let both = std::thread::scope(|scope| {
        let both = cores.map(|core| scope.spawn(move || rows(core)));
        both.map(|thread| thread.join().unwrap_or_default())
    });
    // At least one row: a core alone makes all its additions in one.
    median(&both.concat()).max(1.0)
}

/// Lines that go from the first core to the second and back.
struct HandOver<'a> {
    cores: [usize; 2],
    lines: &'a Chain,
}

impl HandOver<'_> {
    /// Nanoseconds a line of `access` by the second core, after the first has done `theirs` to all lines and then the second
    /// `mine`, which is not timed: the median of rounds.
    fn after(&self, theirs: impl Fn(&Chain) + Sync, mine: impl Fn(&Chain), access: impl Fn(&Chain)) -> f64 {
        median(&self.rounds(nothing, theirs, |lines| {
            mine(lines);
            timed(lines, &access)
        }))
    }

    /// The same after the second core has changed all lines and then the first has loaded them.
    fn back(&self, access: impl Fn(&Chain)) -> f64 {
        let theirs = |lines: &Chain| lines.follow(LINES, load);
        median(&self.rounds(change, theirs, |lines| timed(lines, &access)))
    }

    /// What `access` by the second core gives after the first has done `theirs`, all rounds together.
    fn each(&self, theirs: impl Fn(&Chain) + Sync, access: impl Fn(&Chain) -> Vec<f64>) -> Vec<f64> {
        self.rounds(nothing, theirs, access).into_iter().flatten().collect()
    }

    /// In each round the second core does `before`, the first `theirs`, the second `access`.
    fn rounds<R>(
        &self,
        before: impl Fn(&Chain),
        theirs: impl Fn(&Chain) + Sync,
        access: impl Fn(&Chain) -> R,
    ) -> Vec<R> {
        // Even: the first core's turn; odd: the second's.
        let turn = AtomicU64::new(1);
        let wait_for = |number| {
            while turn.load(Acquire) != number {
                spin_loop();
            }
        };
        let affinity = rustix::thread::sched_getaffinity(None);
        let gave = std::thread::scope(|scope| {
            scope.spawn(|| {
                stay_on(self.cores[0]);
                for round in 0..ROUNDS {
                    wait_for(2 * round + 2);
                    theirs(self.lines);
                    turn.store(2 * round + 3, Release);
                }
            });
            stay_on(self.cores[1]);
            let round = |round| {
                before(self.lines);
                turn.store(2 * round + 2, Release);
                wait_for(2 * round + 3);
                access(self.lines)
            };
            (0..ROUNDS).map(round).collect()
        });
        if let Ok(affinity) = affinity {
            let _ = rustix::thread::sched_setaffinity(None, &affinity);
        }
        gave
    }
}

/// Nanoseconds a line.
fn timed(lines: &Chain, access: impl Fn(&Chain)) -> f64 {
    let began = Instant::now();
    access(lines);
    began.elapsed().as_nanos() as f64 / LINES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond all caches is only what nobody has just visited.
    #[test]
    fn no_batch_visits_what_another_has_visited() {
        let chain = Chain::new(40 * pinned::BATCHES);
        chain.first_visit_ns(40, |line| {
            line.word.fetch_add(1, AcqRel);
            load(line)
        });
        assert!(chain.lines.iter().all(|line| line.word.load(Acquire) == 1));
    }
}
