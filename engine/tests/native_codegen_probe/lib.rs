//! Functions whose machine code `native_codegen.rs` compares: the same access through the `Memory` trait and by hand.
//!
//! Not a program to run. Each `generic_*` has a `hand_*` that must compile to the same instructions, and `other_*` must not
//! (so that the comparison can be seen to fail).

use std::sync::atomic::{AtomicU64, Ordering};

use pso_engine::platform::{Memory, native::Native};
use pso_engine::word::WordAddress;

/// What one would write without a platform. Laid out as [`Native`] begins.
#[repr(C)]
pub struct Handwritten {
    base: *mut AtomicU64,
    words: u64,
}

impl Handwritten {
    #[inline(always)]
    fn word(&self, index: u64) -> &AtomicU64 {
        // SAFETY: never run.
        unsafe { &*self.base.add(index as usize) }
    }
}

/// As the engine does it: generic over the memory.
#[inline(always)]
fn probe<M: Memory>(memory: &M, address: WordAddress) -> u64 {
    memory.load(address, Ordering::Acquire)
}

/// The same for a lock word.
#[inline(always)]
fn lock<M: Memory>(memory: &M, address: WordAddress, current: u64, new: u64) -> Result<u64, u64> {
    memory.compare_exchange(address, current, new, Ordering::AcqRel, Ordering::Acquire)
}

/// A load through the trait.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn generic_load(native: &Native, index: u64) -> u64 {
    probe(native, WordAddress::new(index))
}
/// A load by hand.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn hand_load(memory: &Handwritten, index: u64) -> u64 {
    memory.word(index).load(Ordering::Acquire)
}
/// A load that asks first: different code.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn other_load(memory: &Handwritten, index: u64) -> u64 {
    if index < memory.words { memory.word(index).load(Ordering::Acquire) } else { 0 }
}

/// A compare-exchange through the trait.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn generic_compare_exchange(native: &Native, index: u64, current: u64, new: u64) -> Result<u64, u64> {
    lock(native, WordAddress::new(index), current, new)
}
/// A compare-exchange by hand.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn hand_compare_exchange(memory: &Handwritten, index: u64, current: u64, new: u64) -> Result<u64, u64> {
    memory.word(index).compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
}

/// A store through the trait.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn generic_store(native: &Native, index: u64, value: u64) {
    native.store(WordAddress::new(index), value, Ordering::Release);
}
/// A store by hand.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn hand_store(memory: &Handwritten, index: u64, value: u64) {
    memory.word(index).store(value, Ordering::Release);
}
