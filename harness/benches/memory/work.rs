//! What one thread does with a heap: pairs of alloc and free, and blocks at random places replaced.
//!
//! Sizes are drawn evenly from 16 to 256 bytes, by a generator of a nanosecond that is part of what is measured, the same for all.
//! A block gets a word when it is made. At the end all that live are looked at and freed: a block that does not hold its word, and
//! one that cannot be freed, fail the run.

use std::time::Duration;

use pso_harness::failure::Failure;
use rustix::time::{ClockId, clock_gettime};

use crate::heap::Heap;

/// Operations between two looks at the clock.
const BATCH: u64 = 4096;
const SMALLEST_BYTES: u64 = 16;
const LARGEST_BYTES: u64 = 256;

/// What is done.
pub struct Work {
    /// Blocks that live all the time. 0: each is freed at once.
    pub live: u64,
}

/// A block, and at once free.
pub const PAIR: Work = Work { live: 0 };
/// So few that they stay in the caches.
pub const FEW: Work = Work { live: 4096 };
/// So many that they do not.
pub const MANY: Work = Work { live: 262_144 };

/// Random numbers: xorshift (Marsaglia, 2003).
pub struct Draw(u64);

impl Draw {
    /// By seed, any.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// The next one.
    #[inline(always)]
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// One below `end`, which is at most 2^32, by the upper half of a number.
    #[inline(always)]
    pub fn below(&mut self, end: u64) -> u64 {
        ((self.number() >> 32) * end) >> 32
    }
    /// The size of a block.
    #[inline(always)]
    pub fn bytes(&mut self) -> u64 {
        SMALLEST_BYTES + self.below(LARGEST_BYTES - SMALLEST_BYTES + 1)
    }
}

/// What a run gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// How many, timed.
    pub operations: u64,
    /// What they took.
    pub ns: f64,
    /// Blocks that lived at the end.
    pub live: u64,
}

impl Tally {
    /// ns of one operation.
    pub fn ns_each(self) -> f64 {
        self.ns / self.operations as f64
    }
}

/// Processor time of the calling thread.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `batch` for about `seconds` of processor time, after an eighth of it untimed. How often, and ns in all.
///
/// # Errors
/// Those of a batch.
pub fn timed(seconds: f64, mut batch: impl FnMut() -> Result<(), Failure>) -> Result<(u64, f64), Failure> {
    let mut go = |time: Duration| {
        let (start, mut batches) = (processor_time(), 0);
        loop {
            batch()?;
            batches += 1;
            let elapsed = processor_time() - start;
            if elapsed >= time {
                return Ok::<_, Failure>((batches, elapsed.as_nanos() as f64));
            }
        }
    };
    go(Duration::from_secs_f64(seconds / 8.0))?;
    go(Duration::from_secs_f64(seconds))
}

impl Work {
    /// Does it with `heap`.
    ///
    /// # Errors
    /// A heap that is full, or not in order.
    pub fn run(&self, heap: &mut impl Heap, seconds: f64, seed: u64) -> Result<Tally, Failure> {
        let mut draw = Draw::new(seed);
        if self.live == 0 {
            let (batches, ns) = timed(seconds, || pairs(heap, &mut draw).ok_or_else(lost))?;
            return Ok(Tally { operations: batches * BATCH, ns, live: 0 });
        }
        let mut blocks = Vec::new();
        for stamp in 0..self.live {
            blocks.push((heap.allocate(draw.bytes(), stamp).ok_or_else(lost)?, stamp));
        }
        let mut stamp = self.live;
        // As often as there are blocks: from then on they lie as they come.
        for _ in 0..self.live.div_ceil(BATCH) {
            replace(heap, &mut draw, &mut blocks, &mut stamp).ok_or_else(lost)?;
        }
        let (batches, ns) = timed(seconds, || replace(heap, &mut draw, &mut blocks, &mut stamp).ok_or_else(lost))?;
        for (block, stamp) in &blocks {
            if heap.stamp(*block) != *stamp || !heap.free(*block) {
                return Err(Failure::Wrong(format!("block {stamp} of {} is not what it was", self.live)));
            }
        }
        Ok(Tally { operations: batches * BATCH, ns, live: blocks.len() as u64 })
    }
}

#[inline(never)]
fn pairs(heap: &mut impl Heap, draw: &mut Draw) -> Option<()> {
    for stamp in 0..BATCH {
        let block = heap.allocate(draw.bytes(), stamp)?;
        heap.free(block).then_some(())?;
    }
    Some(())
}

#[inline(never)]
fn replace(heap: &mut impl Heap, draw: &mut Draw, blocks: &mut [(u64, u64)], stamp: &mut u64) -> Option<()> {
    for _ in 0..BATCH {
        let place = draw.below(blocks.len() as u64) as usize;
        heap.free(blocks[place].0).then_some(())?;
        *stamp += 1;
        blocks[place] = (heap.allocate(draw.bytes(), *stamp)?, *stamp);
    }
    Some(())
}

fn lost() -> Failure {
    Failure::Wrong("no block, or one that cannot be freed".into())
}
