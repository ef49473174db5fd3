//! A platform seen through a lens: each access to memory passes through one function that may look, stop, or lie.
//!
//! Everything that a test does *to* a platform is a lens over it, so that the engine stays as it is and the same adapter works
//! over every world: preemption at a chosen access (`interpose`), death at a chosen access (`crash`), deliberate faults
//! (`mutant`). A lens that overrides nothing changes nothing.
//!
//! The place in the engine's source from which an access comes is known by `#[track_caller]` on [`Memory`].

use std::panic::Location;
use std::sync::Arc;

use pso_engine::platform::{
    Liveness, Memory, Ordering, OutOfPages, Platform, ProcessIdentity, System, WaitOutcome, WordKind,
};
use pso_engine::word::{ProcessSlotId, WordAddress};

use crate::scenario::World;

/// What is done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `Memory::load`.
    Load(Ordering),
    /// `Memory::store` of a value.
    Store(u64, Ordering),
    /// `Memory::swap` with a value.
    Swap(u64, Ordering),
    /// `Memory::compare_exchange`: current, new; success, failure.
    CompareExchange([u64; 2], [Ordering; 2]),
    /// `Memory::fetch_add`.
    FetchAdd(u64, Ordering),
    /// `Memory::fetch_or`.
    FetchOr(u64, Ordering),
    /// `Memory::fetch_and`.
    FetchAnd(u64, Ordering),
    /// `Memory::load_plain`.
    LoadPlain,
    /// `Memory::load_optimistic`.
    LoadOptimistic,
    /// `Memory::store_plain` of a value.
    StorePlain(u64),
    /// Payload is about to be read or written, so many bytes. The answer `Err` swallows it: zeros are read, nothing is
    /// written.
    Payload(usize),
    /// `Memory::fence`. Its address means nothing.
    Fence(Ordering),
    /// `Memory::light_fence`. Its address means nothing.
    LightFence,
    /// `Memory::heavy_fence`. Its address means nothing; not 0: it could be had.
    HeavyFence,
}

/// One access.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Which word.
    pub address: WordAddress,
    /// What is done to it.
    pub operation: Operation,
    /// From where in the engine.
    pub site: &'static Location<'static>,
}

impl Access {
    /// Does it. `Ok` holds what the word held (0 for a store); a compare-exchange answers as `Memory` does.
    pub fn on(self, memory: &impl Memory) -> Result<u64, u64> {
        let address = self.address;
        match self.operation {
            Operation::Load(order) => Ok(memory.load(address, order)),
            Operation::Store(value, order) => {
                memory.store(address, value, order);
                Ok(0)
            }
            Operation::Swap(value, order) => Ok(memory.swap(address, value, order)),
            Operation::CompareExchange([current, new], [success, failure]) => {
                memory.compare_exchange(address, current, new, success, failure)
            }
            Operation::FetchAdd(value, order) => Ok(memory.fetch_add(address, value, order)),
            Operation::FetchOr(bits, order) => Ok(memory.fetch_or(address, bits, order)),
            Operation::FetchAnd(bits, order) => Ok(memory.fetch_and(address, bits, order)),
            Operation::LoadPlain => Ok(memory.load_plain(address)),
            Operation::LoadOptimistic => Ok(memory.load_optimistic(address)),
            Operation::StorePlain(value) => {
                memory.store_plain(address, value);
                Ok(0)
            }
            Operation::Payload(_) => Ok(0),
            Operation::Fence(order) => {
                memory.fence(order);
                Ok(0)
            }
            Operation::LightFence => {
                memory.light_fence();
                Ok(0)
            }
            Operation::HeavyFence => Ok(u64::from(memory.heavy_fence())),
        }
    }

    /// True for all but fences.
    pub fn touches_memory(&self) -> bool {
        !matches!(self.operation, Operation::Fence(_) | Operation::LightFence | Operation::HeavyFence)
    }
}

/// What lies between the engine and a platform. All defaults pass on.
pub trait Lens<P: Platform>: Send + Sync + 'static {
    /// An access to memory.
    fn access(&self, inner: &P, access: Access) -> Result<u64, u64> {
        access.on(inner)
    }
    /// `System::now_ns`.
    fn now_ns(&self, inner: &P) -> u64 {
        inner.now_ns()
    }
    /// `System::coarse_ns`.
    fn coarse_ns(&self, inner: &P) -> u64 {
        inner.coarse_ns()
    }
    /// `System::spin_hint`.
    fn spin_hint(&self, inner: &P) {
        inner.spin_hint();
    }
    /// `System::wait`.
    fn wait(&self, inner: &P, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        inner.wait(bell, expected, timeout_ns)
    }
    /// `System::wake`.
    fn wake(&self, inner: &P, bell: WordAddress) {
        inner.wake(bell);
    }
    /// `System::forked`.
    fn forked(&self, inner: &P) -> bool {
        inner.forked()
    }
    /// `System::liveness`.
    fn liveness(&self, inner: &P, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        inner.liveness(slot, identity)
    }
}

/// The platform `P` through the lens `L`. Clones share the lens.
#[derive(Debug)]
pub struct Through<P, L> {
    inner: P,
    lens: Arc<L>,
}

impl<P: Clone, L> Clone for Through<P, L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), lens: Arc::clone(&self.lens) }
    }
}

impl<P, L> Through<P, L> {
    /// Puts a lens before a platform.
    pub fn over(inner: P, lens: L) -> Self {
        Self { inner, lens: Arc::new(lens) }
    }
    /// The platform behind.
    pub fn inner(&self) -> &P {
        &self.inner
    }
    /// The lens.
    pub fn lens(&self) -> &Arc<L> {
        &self.lens
    }
}

/// A lens that knows what it is for another process: scenes make their processes themselves.
pub trait ProcessLens<P: Platform>: Lens<P> {
    /// The lens of another process. May share what all of them share.
    fn another(&self) -> Self;
}

impl<W: World, L: ProcessLens<W>> World for Through<W, L> {
    fn process(&self) -> Self {
        Self::over(self.inner.process(), self.lens.another())
    }
    fn kill_process(&self, slot: ProcessSlotId) {
        self.inner.kill_process(slot);
    }
    fn fence_process(&self, slot: ProcessSlotId) {
        self.inner.fence_process(slot);
    }
}

impl<P: Platform, L: Lens<P>> Through<P, L> {
    #[track_caller]
    fn access(&self, address: WordAddress, operation: Operation) -> Result<u64, u64> {
        self.lens.access(&self.inner, Access { address, operation, site: Location::caller() })
    }
    /// The answer of an access that cannot fail.
    #[track_caller]
    fn answer(&self, address: WordAddress, operation: Operation) -> u64 {
        self.access(address, operation).unwrap_or_else(|answer| answer)
    }
}

/// Fences have no address.
const NOWHERE: WordAddress = WordAddress::new(0);

impl<P: Platform, L: Lens<P>> Memory for Through<P, L> {
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.answer(address, Operation::Load(order))
    }
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.answer(address, Operation::Store(value, order));
    }
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.answer(address, Operation::Swap(value, order))
    }
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.access(address, Operation::CompareExchange([current, new], [success, failure]))
    }
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.answer(address, Operation::FetchAdd(value, order))
    }
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.answer(address, Operation::FetchOr(bits, order))
    }
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.answer(address, Operation::FetchAnd(bits, order))
    }
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.answer(address, Operation::LoadPlain)
    }
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.answer(address, Operation::LoadOptimistic)
    }
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.answer(address, Operation::StorePlain(value));
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        match self.access(address, Operation::Payload(length)) {
            Ok(_) => self.inner.with_payload(address, length, reader),
            Err(_) => reader(&vec![0; length]),
        }
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        if self.access(address, Operation::Payload(bytes.len())).is_ok() {
            self.inner.write_payload(address, bytes);
        }
    }
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind) {
        self.inner.retype(address, words, kind);
    }
    fn fence(&self, order: Ordering) {
        self.answer(NOWHERE, Operation::Fence(order));
    }
    fn light_fence(&self) {
        self.answer(NOWHERE, Operation::LightFence);
    }
    fn heavy_fence(&self) -> bool {
        self.answer(NOWHERE, Operation::HeavyFence) != 0
    }
}

impl<P: Platform, L: Lens<P>> System for Through<P, L> {
    fn now_ns(&self) -> u64 {
        self.lens.now_ns(&self.inner)
    }
    fn coarse_ns(&self) -> u64 {
        self.lens.coarse_ns(&self.inner)
    }
    fn spin_hint(&self) {
        self.lens.spin_hint(&self.inner);
    }
    fn spin_ns(&self) -> u64 {
        self.inner.spin_ns()
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        self.lens.wait(&self.inner, bell, expected, timeout_ns)
    }
    fn wake(&self, bell: WordAddress) {
        self.lens.wake(&self.inner, bell);
    }
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.inner.commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.inner.punch_pages(address, words);
    }
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.inner.claim_liveness(slot)
    }
    fn liveness_refusal(&self) -> Option<i32> {
        self.inner.liveness_refusal()
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.inner.release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.lens.liveness(&self.inner, slot, identity)
    }
    fn identity(&self) -> ProcessIdentity {
        self.inner.identity()
    }
    fn thread_number(&self) -> u64 {
        self.inner.thread_number()
    }
    fn forked(&self) -> bool {
        self.lens.forked(&self.inner)
    }
    fn has_joined(&self) {
        self.inner.has_joined();
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
}
