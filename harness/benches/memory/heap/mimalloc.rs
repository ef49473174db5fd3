//! mimalloc (Leijen, Zorn, de Moura, 2019), the allocator that this one is compared with: the memory of one process.
//!
//! Fair use: its own calls, not as the allocator of the process, so that nothing else lies in its heaps. Each run has a thread of
//! its own, and with it a new heap. It is called over the border of two languages, as by any Rust program.

use pso_harness::failure::Failure;

use super::Heap;
use crate::Bench;
use crate::work::Work;

/// A thread's hand.
pub struct Mimalloc;

impl Heap for Mimalloc {
    #[inline(always)]
    fn allocate(&mut self, bytes: u64, stamp: u64) -> Option<u64> {
        // SAFETY: any size may be asked for.
        let block = unsafe { libmimalloc_sys::mi_malloc(bytes as usize) }.cast::<u64>();
        if block.is_null() {
            return None;
        }
        // SAFETY: nobody else knows the block, it is aligned for a word, and no size that is drawn is smaller than one.
        unsafe { block.write(stamp) };
        Some(block.expose_provenance() as u64)
    }
    #[inline(always)]
    fn free(&mut self, block: u64) -> bool {
        // SAFETY: the word is what `allocate` gave, and whoever works with a heap frees each once.
        unsafe { libmimalloc_sys::mi_free(std::ptr::with_exposed_provenance_mut(block as usize)) };
        true
    }
    fn stamp(&self, block: u64) -> u64 {
        // SAFETY: as in `free`; written by `allocate`, before the word was given to anybody.
        unsafe { std::ptr::with_exposed_provenance::<u64>(block as usize).read() }
    }
}

/// `work` by one thread.
///
/// # Errors
/// Those of the work.
pub fn alone(bench: &Bench, work: &Work) -> Result<Option<f64>, Failure> {
    let (seconds, seed) = (bench.seconds, bench.seed);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| work.run(&mut Mimalloc, seconds, seed));
        let tally = thread.join().map_err(|_| Failure::Wrong("a thread has panicked".into()))??;
        Ok(Some(tally.ns_each()))
    })
}
