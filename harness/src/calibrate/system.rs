//! Clocks, calls of the kernel, sleeping and waking, slices.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use pso_engine::platform::System;
use pso_engine::platform::native;
use rustix::thread::futex;
use rustix::time::{ClockId, clock_getres, clock_gettime};

use super::pinned::{self, quantiles, stay_on, turn_ns};
use crate::failure::Failure;
use crate::machine::median;

/// A space only to be asked how long to spin.
const SPACE_BYTES: u64 = 1 << 20;
const WAKES: u32 = 121;
const PING_PONGS: u32 = 2_000;
/// So long a sleeper is left alone before it is rung: its core is idle by then.
const DEEP_SLEEP: Duration = Duration::from_micros(300);
const SLICES_FOR: Duration = Duration::from_millis(200);
/// A gap in a thread's time that means that somebody else ran.
const GAP_NS: u64 = 100_000;

/// Nanoseconds.
pub struct Prices {
    pub clock: f64,
    pub coarse_clock: f64,
    pub coarse_step: f64,
    pub spin_hint: f64,
    pub spin: f64,
    pub kernel_call: f64,
    pub wake_call: f64,
    pub context_switch: f64,
    pub slice: f64,
    pub wake_same_core: Vec<f64>,
    pub wake_other_core: Vec<f64>,
}

/// All prices of the system.
pub fn measure() -> Result<Prices, Failure> {
    const TURNS: u32 = 1_000;
    let cores = pinned::two_cores()?;
    let (platform, _) = native::create_anonymous(SPACE_BYTES).map_err(Failure::space("an anonymous space"))?;
    let thousand = |body: fn()| turn_ns(TURNS, || (0..TURNS).for_each(|_| body()));
    let (clock, coarse_clock, spin_hint, kernel_call) = pinned::on(cores[1], || {
        let nobody = AtomicU32::new(0);
        (
            thousand(|| read_clock(ClockId::Monotonic)),
            thousand(|| read_clock(ClockId::MonotonicCoarse)),
            thousand(spin_loop),
            turn_ns(TURNS, || (0..TURNS).for_each(|_| wake(&nobody))),
        )
    })?;
    let other = wakes(cores)?;
    let wake_call = median(&other.iter().map(|wake| wake.call_ns).collect::<Vec<_>>());
    let there_and_back = ping_pong(cores[1])?;
    let step = clock_getres(ClockId::MonotonicCoarse);
    Ok(Prices {
        clock,
        coarse_clock,
        coarse_step: step.tv_sec as f64 * 1e9 + step.tv_nsec as f64,
        spin_hint,
        spin: platform.spin_ns() as f64,
        kernel_call,
        wake_call: (wake_call - kernel_call).max(0.0),
        context_switch: (there_and_back / 2.0 - 2.0 * kernel_call).max(0.0),
        slice: slice(cores[1])?,
        wake_same_core: vec![kernel_call],
        wake_other_core: quantiles(other.iter().map(|wake| wake.latency_ns).collect()),
    })
}

fn read_clock(clock: ClockId) {
    black_box(clock_gettime(clock));
}

fn wake(word: &AtomicU32) {
    // Fails for a bad address only.
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}

/// Sleeps until `word` is no longer `value`.
fn sleep_while(word: &AtomicU32, value: u32) {
    while word.load(Acquire) == value {
        // Returns early for no reason, too.
        let _ = futex::wait(word, futex::Flags::PRIVATE, value, None);
    }
}

struct Wake {
    /// What the ring took for the ringer.
    call_ns: f64,
    /// From the ring to the sleeper's first instruction.
    latency_ns: f64,
}

/// A ringer on the first core wakes a sleeper on the second, again and again.
fn wakes(cores: [usize; 2]) -> Result<Vec<Wake>, Failure> {
    let (bell, answer) = (AtomicU32::new(0), AtomicU32::new(0));
    let joined = std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            stay_on(cores[1]);
            let round = |round| {
                sleep_while(&bell, round);
                let woken = Instant::now();
                answer.store(round + 1, Release);
                wake(&answer);
                woken
            };
            (0..WAKES).map(round).collect::<Vec<_>>()
        });
        let ringer = scope.spawn(|| {
            stay_on(cores[0]);
            let round = |round| {
                std::thread::sleep(DEEP_SLEEP);
                let rung = Instant::now();
                bell.store(round + 1, Release);
                wake(&bell);
                let call_ns = rung.elapsed().as_nanos() as f64;
                sleep_while(&answer, round);
                (rung, call_ns)
            };
            (0..WAKES).map(round).collect::<Vec<_>>()
        });
        Some((ringer.join().ok()?, sleeper.join().ok()?))
    });
    let (rings, woken) = joined.ok_or_else(|| Failure::Wrong("calibrate: a measuring thread panicked".into()))?;
    let wake = |((rung, call_ns), woken): ((Instant, f64), Instant)| Wake {
        call_ns,
        latency_ns: woken.saturating_duration_since(rung).as_nanos() as f64,
    };
    Ok(rings.into_iter().zip(woken).map(wake).collect())
}

/// Two threads on one core wake each other and sleep: nanoseconds there and back.
fn ping_pong(core: usize) -> Result<f64, Failure> {
    let (ping, pong) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(core);
            for round in 0..PING_PONGS {
                sleep_while(&ping, round);
                pong.store(round + 1, Release);
                wake(&pong);
            }
        });
        let first = scope.spawn(|| {
            stay_on(core);
            let round = |round| {
                let began = Instant::now();
                ping.store(round + 1, Release);
                wake(&ping);
                sleep_while(&pong, round);
                began.elapsed().as_nanos() as f64
            };
            median(&(0..PING_PONGS).map(round).collect::<Vec<_>>())
        });
        first.join().map_err(|_| Failure::Wrong("calibrate: a measuring thread panicked".into()))
    })
}

/// Two threads spin on one core: how long one runs before the other does.
fn slice(core: usize) -> Result<f64, Failure> {
    let spinner = || {
        stay_on(core);
        let began = Instant::now();
        let (mut runs, mut since, mut last) = (Vec::new(), began, began);
        while began.elapsed() < SLICES_FOR {
            let now = Instant::now();
            if now.duration_since(last).as_nanos() as u64 > GAP_NS {
                runs.push(last.duration_since(since).as_nanos() as f64);
                since = now;
            }
            last = now;
        }
        runs
    };
    let runs = std::thread::scope(|scope| {
        let both = [scope.spawn(spinner), scope.spawn(spinner)];
        both.map(|thread| thread.join().ok())
    });
    let runs: Vec<f64> = runs.into_iter().flatten().flatten().collect();
    if runs.is_empty() {
        return Err(Failure::Wrong("calibrate: two threads on one core never took turns".into()));
    }
    Ok(median(&runs))
}
