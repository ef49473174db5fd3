//! What it takes to move a cache line. Two threads on two cores take turns: one changes lines, the other times its accesses.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Instant;

use pso_sim::Random;

use super::pinned::{self, stay_on, turn_ns};
use crate::failure::Failure;
use crate::machine::median;

/// Lines that are handed over at once: they fit the smallest cache, and the clock's own cost is lost among them.
const LINES: usize = 256;
/// Hand-overs.
const ROUNDS: u64 = 61;
/// Beyond all caches.
const MEMORY_BYTES: usize = 128 << 20;
const MEMORY_STEPS: usize = 10_000;

/// Nanoseconds.
pub struct Prices {
    pub load_changed: f64,
    pub store: f64,
    pub exchange_own: f64,
    pub exchange: f64,
    pub fence: f64,
    pub memory: f64,
}

/// A cache line: where the chain goes on, and a word to change.
#[repr(align(64))]
struct Line {
    next: AtomicU64,
    word: AtomicU64,
}

/// Lines in one random chain through all of them: no prefetcher sees where it leads.
struct Chain {
    lines: Vec<Line>,
    /// All lines in another random order.
    order: Vec<u32>,
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
        let visits = order.iter().map(|&line| line as u32).collect();
        Self { lines: order.into_iter().map(line).collect(), order: visits }
    }
    fn next(&self, at: u64) -> u64 {
        self.lines[at as usize].next.load(Acquire)
    }
    /// Each load waits for the one before.
    fn follow(&self, steps: usize) {
        let mut at = 0;
        for _ in 0..steps {
            at = self.next(at);
        }
        black_box(at);
    }
    fn for_each(&self, visit: impl Fn(&Line)) {
        self.order.iter().for_each(|&line| visit(&self.lines[line as usize]));
    }
    /// Nanoseconds of a visit on the own core: the median of batches.
    fn visit_ns(&self, visit: impl Fn(&Line)) -> f64 {
        const TIMES: usize = 4;
        turn_ns((TIMES * LINES) as u32, || (0..TIMES).for_each(|_| self.for_each(&visit)))
    }
}

/// All prices of lines.
pub fn measure() -> Result<Prices, Failure> {
    let cores = pinned::two_cores()?;
    let small = Chain::new(LINES);
    let [own_load, own_add, own_exchange, own_store, own_fenced] = pinned::on(cores[1], || {
        [
            turn_ns(LINES as u32, || small.follow(LINES)),
            small.visit_ns(add),
            small.visit_ns(exchange),
            small.visit_ns(store),
            small.visit_ns(store_and_fence),
        ]
    })?;
    let load = handed_over(cores, &small, |chain| chain.follow(LINES));
    let stored = handed_over(cores, &small, |chain| chain.for_each(store_and_fence));
    let added = handed_over(cores, &small, |chain| chain.for_each(add));
    let memory = pinned::on(cores[1], || {
        let large = Chain::new(MEMORY_BYTES / size_of::<Line>());
        turn_ns(MEMORY_STEPS as u32, || large.follow(MEMORY_STEPS))
    })?;
    Ok(Prices {
        load_changed: (load - own_load).max(0.0),
        store: (stored - own_fenced).max(0.0),
        exchange_own: own_exchange,
        exchange: (added - own_add).max(0.0),
        fence: (own_fenced - own_store).max(0.0),
        memory: (memory - own_load).max(0.0),
    })
}

fn exchange(line: &Line) {
    let held = line.word.load(Relaxed);
    let _ = black_box(line.word.compare_exchange(held, held + 1, AcqRel, Relaxed));
}

fn store(line: &Line) {
    line.word.store(1, Release);
}

fn store_and_fence(line: &Line) {
    store(line);
    fence(SeqCst);
}

fn add(line: &Line) {
    black_box(line.word.fetch_add(1, AcqRel));
}

/// Nanoseconds a line of `access` by the second core, after the first one has changed all lines: the median of rounds.
fn handed_over(cores: [usize; 2], chain: &Chain, access: impl Fn(&Chain)) -> f64 {
    // Even: the first core's turn; odd: the second's.
    let turn = AtomicU64::new(0);
    let wait_for = |number| {
        while turn.load(Acquire) != number {
            spin_loop();
        }
    };
    let before = rustix::thread::sched_getaffinity(None);
    let measured = std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(cores[0]);
            for round in 0..ROUNDS {
                wait_for(2 * round);
                chain.for_each(add);
                turn.store(2 * round + 1, Release);
            }
        });
        stay_on(cores[1]);
        let round = |round| {
            wait_for(2 * round + 1);
            let began = Instant::now();
            access(chain);
            let ns = began.elapsed().as_nanos() as f64 / LINES as f64;
            turn.store(2 * round + 2, Release);
            ns
        };
        median(&(0..ROUNDS).map(round).collect::<Vec<_>>())
    });
    if let Ok(before) = before {
        let _ = rustix::thread::sched_setaffinity(None, &before);
    }
    measured
}
