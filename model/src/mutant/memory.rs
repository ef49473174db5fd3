//! The faults of the memory part: blocks, superblocks, pages, what processes hold; and of bells.

use pso_engine::allocator::{Pages, SuperblockState, Use};
use pso_engine::platform::{Ordering, Platform};
use pso_engine::word::{BlockPhase, BlockState, ProcessSlotId, State};

use super::memo::{Kept, Place};
use super::{Fault, Mutant, state_of};
use crate::lens::{Access, Operation};

/// The word of a superblock's header that says how many of its blocks were ever used.
const FRESH: u64 = 1;
/// Words of a process slot that hold counts, and how much of such a word is the count.
const LOOKS: u64 = 3;
const COPIES: u64 = 4;
const COUNT_MASK: u64 = (1 << 24) - 1;
/// How the word of an export ends.
const EXPORT_TAG: u64 = 12;
const TAG_MASK: u64 = 15;
const SLEEPING: u64 = 1;

impl Mutant {
    /// The answer of an access that one of these faults is about.
    pub(super) fn act_on_memory<P: Platform>(
        &self,
        inner: &P,
        access: Access,
        place: Place,
    ) -> Option<Result<u64, u64>> {
        let file = |name| access.site.file().ends_with(name);
        match (self.fault, access.operation) {
            (Fault::GenerationNotRaised, operation) if place == Place::Heap && file("allocator/cache.rs") => {
                let operation = match operation {
                    // Relaxed: the state of a block that was never used.
                    Operation::Store(value, Ordering::Release) => Operation::Store(one_less(value)?, Ordering::Release),
                    Operation::CompareExchange([current, new], orders) => {
                        Operation::CompareExchange([current, one_less(new)?], orders)
                    }
                    _ => return None,
                };
                Some(Access { operation, ..access }.on(inner))
            }
            (Fault::FreedByAStore, Operation::CompareExchange([current, new], _))
                if place == Place::Heap && file("allocator/cache.rs") && one_less(new).is_some() =>
            {
                inner.store(access.address, new, Ordering::Release);
                Some(Ok(current))
            }
            (Fault::GenerationLostWhenPunched, Operation::CompareExchange([current, new], orders))
                if file("allocator/superblock.rs") =>
            {
                let to = self.superblock(new)?;
                let is_punched = to.owner.is_none() && to.used_for == Use::Unused(Pages::Punched);
                let forgetful = SuperblockState { generation: 0, ..to }.pack();
                let operation = Operation::CompareExchange([current, forgetful], orders);
                is_punched.then(|| {
                    let done = Access { operation, ..access }.on(inner);
                    // With the rest of the header: one that says that nobody ever had it, and how much of it was used, is nobody's for good.
                    if done.is_ok() {
                        inner.store(access.address.offset(1), 0, Ordering::Relaxed);
                    }
                    done
                })
            }
            (Fault::AdoptedWithoutExchange, Operation::CompareExchange([current, new], _))
                if file("allocator/superblock.rs") =>
            {
                let [from, to] = [self.superblock(current)?, self.superblock(new)?];
                (from.owner.is_none() && to.owner.is_some()).then(|| {
                    inner.store(access.address, new, Ordering::Release);
                    Ok(current)
                })
            }
            (Fault::UsedBeforeCounted, Operation::Store(value, _)) if value > 0 && self.is_fresh(access) => {
                Some(self.keep(Kept::Fresh, access))
            }
            (Fault::UsedBeforeCounted, Operation::Store(value, _))
                if file("allocator/cache.rs") && phase_of(value) == Some(BlockPhase::Private) =>
            {
                let answer = access.on(inner);
                self.release(inner, Kept::Fresh);
                Some(answer)
            }
            (Fault::PublishedBeforeFilled, Operation::StorePlain(_)) if self.memo().attempts => {
                Some(self.keep(Kept::Payload, access))
            }
            (Fault::LiveAfterFree, Operation::CompareExchange([current, _], _))
                if file("allocator/mod.rs") && self.memo().committed =>
            {
                let _ = self.keep(Kept::Lives, access);
                Some(Ok(current))
            }
            (Fault::PublishedBeforeFilled | Fault::LiveAfterFree, Operation::Store(value, _))
                if place == Place::STATUS && state_of(value) == Some(State::Idle) =>
            {
                let committed = self.memo().committed;
                let answer = access.on(inner);
                match committed {
                    true => [Kept::Payload, Kept::Lives].into_iter().for_each(|which| self.release(inner, which)),
                    // Of one that was given up the blocks are free.
                    false => drop(self.memo().take(Kept::Payload)),
                }
                Some(answer)
            }
            (Fault::PunchedBesideAttempts, Operation::Fence(_)) => {
                self.memo().punches = file("transaction/pages.rs");
                None
            }
            (Fault::PunchedBesideAttempts, Operation::Load(_)) if place == Place::START => {
                self.memo().punches.then_some(Ok(0))
            }
            (Fault::NoFenceWhenPunching, Operation::Fence(_)) => file("transaction/pages.rs").then_some(Ok(0)),
            (Fault::PunchedBesideLooks, Operation::Load(Ordering::Acquire)) if self.is_count(access, LOOKS) => {
                Some(access.on(inner).map(|word| word & !COUNT_MASK))
            }
            (Fault::PutOffClearedAtOnce, Operation::Load(Ordering::Acquire)) if self.is_count(access, COPIES) => {
                Some(access.on(inner).map(|word| word & !COUNT_MASK))
            }
            (Fault::NoFenceWhenLooking, Operation::Fence(_)) => file("participant/process.rs").then_some(Ok(0)),
            (Fault::ExportedBeforeItsTicket, Operation::Store(..)) if file("holding/face.rs") => {
                Some(self.keep(Kept::Tickets, access))
            }
            (Fault::ExportedBeforeItsTicket, Operation::Store(value, _))
                if file("holding/entry.rs") && value & TAG_MASK == EXPORT_TAG =>
            {
                let answer = access.on(inner);
                self.release(inner, Kept::Tickets);
                Some(answer)
            }
            (Fault::HeldUnshaded, Operation::Load(_))
                if access.address == self.layout.collection() && file("collection/colour.rs") =>
            {
                self.memo().last_was_by("holding/table.rs").then_some(Ok(0))
            }
            (Fault::ReleasedUnshaded, Operation::Load(_))
                if access.address == self.layout.collection() && file("collection/colour.rs") =>
            {
                self.memo().last_was_by("holding/entry.rs").then_some(Ok(0))
            }
            (Fault::SleepsAfterTheCheck, Operation::CompareExchange([seen, _], _)) if file("waiting/bell.rs") => {
                let before = inner.fetch_or(access.address, SLEEPING, Ordering::AcqRel);
                self.memo().bell = Some((before | SLEEPING) as u32);
                Some(Ok(seen))
            }
            // Of a sleep there is one right after it.
            (Fault::BellStaysAsleep, Operation::FetchAnd(..)) if file("waiting/bell.rs") => {
                (!std::mem::take(&mut self.memo().slept)).then_some(Ok(0))
            }
            _ => None,
        }
    }

    fn superblock(&self, word: u64) -> Option<SuperblockState> {
        SuperblockState::unpack(word, self.layout.geometry())
    }

    /// Whether it is to the word of a superblock from which on no block was used.
    fn is_fresh(&self, access: Access) -> bool {
        let mut headers = (0..self.layout.superblocks()).map(|number| self.layout.superblock_header(number));
        access.site.file().ends_with("allocator/superblock.rs")
            && headers.any(|header| header.offset(FRESH) == access.address)
    }

    /// Whether it is to this word of some process's slot.
    fn is_count(&self, access: Access, word: u64) -> bool {
        let slots = 0..self.layout.geometry().process_slots as u16;
        let mut words = slots.map(|slot| self.layout.process_slot(ProcessSlotId(slot)).offset(word));
        access.site.file().ends_with("participant/process.rs") && words.any(|at| at == access.address)
    }
}

/// The phase that a block's state word says.
fn phase_of(word: u64) -> Option<BlockPhase> {
    BlockState::unpack(word).map(|state| state.phase)
}

/// The state of a FREE block, in the generation before.
fn one_less(word: u64) -> Option<u64> {
    let state = BlockState::unpack(word).filter(|state| state.phase == BlockPhase::Free)?;
    Some(BlockState { generation: state.generation.wrapping_sub(1), ..state }.pack())
}
