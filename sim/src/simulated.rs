//! The platform of the simulated world: the engine's door to [`System`](crate::system::System).
//!
//! A [`Simulated`] is one process; its clones share the process, [`Simulated::process`] founds another one on the same memory.
//! Every memory operation is a step of the thread that makes it: it waits for its turn, has its effect, and costs what the
//! line costs. Outside all threads (before and after a run) operations take effect at once and cost nothing.
//!
//! What is simulated is sequentially consistent: each operation takes effect at one moment. Orderings are priced (a full
//! fence waits for the stores), never weakened. That they suffice is for other tools to show.

use std::cell::RefCell;
use std::sync::Arc;

use pso_engine::platform::{
    Liveness, Memory, Ordering, OutOfPages, ProcessIdentity, System as PlatformSystem, WaitOutcome, WordKind,
};
use pso_engine::word::{ProcessSlotId, WordAddress};

use crate::fiber::{self, Bound};
use crate::machine::Access;
use crate::player::{self, Pace};
use crate::system::{Members, System, Turn};

/// The world, as its platforms share it.
pub(crate) type World = Arc<Bound<RefCell<System>>>;

/// The clock starts here: nobody takes 0 for a time.
const EPOCH_NS: u64 = 1_000_000_000;
/// Words of a line, as [`crate::machine`] has it.
const LINE_WORDS: u64 = 8;

/// One process of a simulated space.
#[derive(Clone)]
pub struct Simulated {
    world: World,
    process: u32,
}

impl Simulated {
    pub(crate) fn new(world: World) -> Self {
        let process = world.get().borrow_mut().members.found();
        Self { world, process }
    }

    /// Another process on the same memory.
    pub fn process(&self) -> Self {
        Self::new(self.world.clone())
    }

    pub(crate) fn process_number(&self) -> u32 {
        self.process
    }

    /// Waits for the turn of the calling thread, then does `step`. `None`: the thread is over, and does nothing any more.
    #[inline]
    fn step<R>(&self, step: impl FnOnce(&mut System) -> R) -> Option<R> {
        let system = self.world.get();
        // Bounded: each turn of the loop is a turn of another thread.
        loop {
            let mut system = system.borrow_mut();
            match system.turn() {
                Turn::Go => return Some(step(&mut system)),
                Turn::Over => return None,
                Turn::Yield => {
                    // Nobody holds the world while somebody else runs.
                    drop(system);
                    fiber::suspend();
                }
            }
        }
    }

    #[inline]
    fn access<R: Default>(&self, access: Access, address: WordAddress, effect: impl FnOnce(&mut u64) -> R) -> R {
        self.step(|system| system.access(access, address.index(), effect)).unwrap_or_default()
    }

    /// One step over all lines of a payload.
    fn payload(&self, access: Access, address: WordAddress, words: u64, mut each: impl FnMut(u64, &mut u64)) {
        self.step(|system| {
            for index in 0..words {
                let word = address.index() + index;
                // The words of one line cost what one of them costs.
                if index == 0 || word.is_multiple_of(LINE_WORDS) {
                    system.access(access, word, |value| each(index, value));
                } else {
                    system.word(word, |value| each(index, value));
                }
            }
        });
    }
}

impl Memory for Simulated {
    /// As natively on x86-64, which all profiles are of: what runs here is what runs there.
    const EXCHANGE_IS_FENCE: bool = true;

    #[inline]
    fn load(&self, address: WordAddress, _order: Ordering) -> u64 {
        self.access(Access::Load, address, |word| *word)
    }
    #[inline]
    fn store(&self, address: WordAddress, value: u64, _order: Ordering) {
        self.access(Access::Store, address, |word| *word = value);
    }
    #[inline]
    fn swap(&self, address: WordAddress, value: u64, _order: Ordering) -> u64 {
        self.access(Access::Exchange, address, |word| std::mem::replace(word, value))
    }
    #[inline]
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        _success: Ordering,
        _failure: Ordering,
    ) -> Result<u64, u64> {
        let exchange = |word: &mut u64| {
            let held = *word;
            if held == current {
                *word = new;
                Ok(held)
            } else {
                Err(held)
            }
        };
        // Whoever is over loses every race.
        self.step(|system| system.access(Access::Exchange, address.index(), exchange)).unwrap_or(Err(!current))
    }
    #[inline]
    fn fetch_add(&self, address: WordAddress, value: u64, _order: Ordering) -> u64 {
        self.access(Access::Exchange, address, |word| std::mem::replace(word, word.wrapping_add(value)))
    }
    #[inline]
    fn fetch_or(&self, address: WordAddress, bits: u64, _order: Ordering) -> u64 {
        self.access(Access::Exchange, address, |word| std::mem::replace(word, *word | bits))
    }
    #[inline]
    fn fetch_and(&self, address: WordAddress, bits: u64, _order: Ordering) -> u64 {
        self.access(Access::Exchange, address, |word| std::mem::replace(word, *word & bits))
    }

    #[inline]
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.access(Access::Load, address, |word| *word)
    }
    #[inline]
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.load_plain(address)
    }
    #[inline]
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.access(Access::Store, address, |word| *word = value);
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
        self.payload(Access::Load, address, length.div_ceil(8) as u64, |_, word| {
            bytes.extend_from_slice(&word.to_le_bytes());
        });
        bytes.resize(length, 0);
        reader(&bytes)
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        self.payload(Access::Store, address, bytes.len().div_ceil(8) as u64, |index, word| {
            let piece = &bytes[index as usize * 8..bytes.len().min(index as usize * 8 + 8)];
            let mut value = word.to_le_bytes();
            value[..piece.len()].copy_from_slice(piece);
            *word = u64::from_le_bytes(value);
        });
    }
    #[inline]
    fn retype(&self, _address: WordAddress, _words: u64, _kind: WordKind) {}

    #[inline]
    fn fence(&self, order: Ordering) {
        // The others cost nothing on the machines of the profiles.
        if order == Ordering::SeqCst {
            self.world.get().borrow_mut().fence();
        }
    }
    #[inline]
    fn light_fence(&self) {
        self.fence(Ordering::SeqCst);
    }
    #[inline]
    fn heavy_fence(&self) -> bool {
        self.fence(Ordering::SeqCst);
        true
    }
}

impl PlatformSystem for Simulated {
    fn now_ns(&self) -> u64 {
        let mut system = self.world.get().borrow_mut();
        let cost = system.prices.clock;
        system.spend(cost);
        EPOCH_NS + system.time() / 1000
    }
    fn coarse_ns(&self) -> u64 {
        let mut system = self.world.get().borrow_mut();
        let (cost, step) = (system.prices.coarse_clock, system.prices.coarse_step);
        system.spend(cost);
        EPOCH_NS + system.time() / step * step / 1000
    }
    fn spin_hint(&self) {
        self.step(|system| {
            let cost = system.prices.spin_hint;
            system.spend(cost);
        });
    }
    fn spin_ns(&self) -> u64 {
        self.world.get().borrow().prices.spin_ns
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let timeout_ps = timeout_ns.saturating_mul(1000);
        let asleep = self.step(|system| system.fall_asleep(bell.index(), expected, timeout_ps));
        if asleep == Some(true) {
            fiber::suspend();
        }
        let rung = self.world.get().borrow().was_rung();
        if asleep == Some(false) || rung { WaitOutcome::Woken } else { WaitOutcome::TimedOut }
    }
    fn wake(&self, bell: WordAddress) {
        self.step(|system| system.ring(bell.index()));
    }

    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.kernel_call(|system| {
            let fits = address.index().checked_add(words).is_some_and(|end| end <= system.words());
            // As Linux: EINVAL.
            if fits { Ok(()) } else { Err(OutOfPages { bytes: words.saturating_mul(8), errno: 22 }) }
        })
        .unwrap_or(Ok(()))
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.kernel_call(|system| {
            (0..words).for_each(|index| system.word(address.index() + index, |word| *word = 0));
        });
    }

    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.kernel_call(|system| system.members.claim(self.process, slot)).unwrap_or(false)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.kernel_call(|system| system.members.release(self.process, slot));
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.kernel_call(|system| system.members.liveness(slot, identity)).unwrap_or(Liveness::Alive)
    }
    fn identity(&self) -> ProcessIdentity {
        Members::identity(self.process)
    }
    fn thread_number(&self) -> u64 {
        self.world.get().borrow().current.map_or(0, |thread| thread as u64 + 1)
    }
    fn forked(&self) -> bool {
        false
    }
    fn entropy(&self) -> u64 {
        self.world.get().borrow_mut().entropy.next()
    }
}

/// Time that is not the engine's passes by itself, and not turn by turn of a loop that looks at the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass;

impl Pace<Simulated> for Pass {
    fn compute(&mut self, platform: &Simulated, ns: u64) {
        platform.pass(ns.saturating_mul(1000));
    }
    fn rest(&mut self, platform: &Simulated, until_ns: u64) {
        // As real players do: asleep, so that others have the core, but for the last moments.
        if let Some(ns) = until_ns.saturating_sub(platform.at_ns()).checked_sub(player::SPIN_NS) {
            platform.rest(ns.saturating_mul(1000));
        }
        platform.spin(until_ns.saturating_sub(platform.at_ns()).saturating_mul(1000));
    }
}

impl Simulated {
    /// The calling thread computes for `ps`, in pieces at whose ends it can lose its core.
    pub fn pass(&self, ps: u64) {
        let piece = self.world.get().borrow().prices.slice / 8 + 1;
        let mut left = ps;
        while left > 0 {
            let now = left.min(piece);
            self.step(|system| system.spend(now));
            left -= now;
        }
    }

    /// The calling thread is off its core for `ps`.
    fn rest(&self, ps: u64) {
        if self.step(|system| system.rest(ps)) == Some(true) {
            fiber::suspend();
        }
    }

    /// The calling thread looks at the clock for `ps`, however slow it is.
    fn spin(&self, ps: u64) {
        self.step(|system| system.let_pass(ps));
    }

    fn at_ns(&self) -> u64 {
        EPOCH_NS + self.world.get().borrow().time() / 1000
    }

    /// A call of the kernel: a step, and the price of going there and back.
    fn kernel_call<R>(&self, call: impl FnOnce(&mut System) -> R) -> Option<R> {
        self.step(|system| {
            let cost = system.prices.kernel_call;
            system.spend(cost);
            call(system)
        })
    }
}
