//! Deliberate faults of the protocol, as lenses over any platform: each checker must find those that it is for.
//!
//! Each has its name in `model/expected/mutants.json`, which says which tool finds it (`papers/verification.md`); the numbers beside
//! some are those of a first list, not all of which was built. A fault is made at the door to memory: a fence is left out, a store
//! is held back until later, a load is answered with what another participant showed before, an exchange compares less than it says.
//! So the engine that is checked stays the engine that ships, without a switch.
//!
//! One lens belongs to one process with one participant at a time, which is how scenes are cast.
//!
//! ```text
//! fault    which there are            memo      what a faulty process remembers
//! memory   those of the memory part: blocks, superblocks, pages, what processes hold; and of bells
//! ```

mod fault;
mod memo;
mod memory;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use fault::Fault;
use memo::{Kept, Memo, Place};
use pso_engine::arena::{HotWord, Layout};
use pso_engine::participant::HELD;
use pso_engine::platform::{Liveness, Ordering, Platform, ProcessIdentity, WaitOutcome};
use pso_engine::word::{
    Colour, Cycle, LockWord, Mark, ParticipantId, ProcessSlotId, State, Status, Version, WordAddress,
};

use crate::lens::{Access, Lens, Operation, ProcessLens};

/// The lens with a fault.
#[derive(Debug)]
pub struct Mutant {
    fault: Fault,
    layout: Layout,
    memo: Mutex<Memo>,
}

impl Mutant {
    /// A process with this fault in a space of this layout.
    pub fn new(fault: Fault, layout: Layout) -> Self {
        Self { fault, layout, memo: Mutex::default() }
    }

    /// Never held over an access: where memory is a model's, that may be a switch to another thread.
    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> WordAddress {
        self.layout.hot(HotWord::VersionClock)
    }

    /// Does what was held back.
    fn release<P: Platform>(&self, inner: &P, which: Kept) {
        let kept = self.memo().take(which);
        kept.into_iter().for_each(|access| {
            let _ = access.on(inner);
        });
    }

    fn keep(&self, which: Kept, access: Access) -> Result<u64, u64> {
        self.memo().keep(which, access);
        Ok(0)
    }

    /// The access with its fault.
    fn act<P: Platform>(&self, inner: &P, access: Access) -> Result<u64, u64> {
        let place = Place::of(&self.layout, access.address);
        if let Some(answer) = self.act_on_memory(inner, access, place) {
            return answer;
        }
        match access.operation {
            Operation::Fence(_) => self.fence(inner, access),
            Operation::Load(order) => self.load(inner, access, place, order),
            Operation::Store(value, _) => self.store(inner, access, place, value),
            Operation::CompareExchange(words, _) => self.exchange(inner, access, place, words),
            Operation::FetchOr(..) if self.fault == Fault::ArmsAfterLooking && self.memo().retries => {
                self.keep(Kept::Arms, access)
            }
            _ => access.on(inner),
        }
    }

    fn fence<P: Platform>(&self, inner: &P, access: Access) -> Result<u64, u64> {
        let became = |state| {
            let last = self.memo().last;
            last.is_some_and(|last| match last.operation {
                Operation::CompareExchange([_, new], _) => {
                    Place::of(&self.layout, last.address) == Place::STATUS && state_of(new) == Some(state)
                }
                _ => false,
            })
        };
        let left_out = access.operation != Operation::Fence(Ordering::Acquire)
            && match self.fault {
                Fault::NoFenceAtBegin => self.memo().last.is_some_and(|last| last.address == self.clock()),
                Fault::NoFenceWhenPrepared => became(State::Prepared),
                Fault::NoFenceWhenWaiting => became(State::Waiting),
                Fault::NoFenceWhenCommitted => became(State::Committed),
                _ => false,
            };
        if left_out { Ok(0) } else { access.on(inner) }
    }

    fn load<P: Platform>(&self, inner: &P, access: Access, place: Place, order: Ordering) -> Result<u64, u64> {
        let file = |name| access.site.file().ends_with(name);
        let own = self.memo().owns(access.address);
        let waits = self.memo().waits;
        let pass = || access.on(inner);
        let other_as = |from, to| {
            pass().map(|word| match Status::unpack(word) {
                Some(status) if status.state == from => Status { state: to, ..status }.pack(),
                _ => word,
            })
        };
        match self.fault {
            Fault::ClockBeforePrepared if access.address == self.clock() => {
                let sampled = self.memo().clock.take();
                sampled.map_or_else(pass, Ok)
            }
            Fault::ReadsPastPrepared if place == Place::STATUS && !own && file("transaction/read.rs") => {
                other_as(State::Prepared, State::Active)
            }
            Fault::SnapshotIncludesTheClock if access.address == self.clock() && self.memo().begins => {
                pass().map(|clock| clock + 1)
            }
            Fault::ExtensionSkipsLocked if place == Place::Heap && order == Ordering::Acquire => {
                let memo = self.memo().clone();
                pass().map(|word| {
                    let skipped = file("transaction/validate.rs") && !memo.prepared && memo.is_foreign_lock(word);
                    if skipped { LockWord::free(Version(memo.validated)) } else { word }
                })
            }
            Fault::SettlesAnyRead if place == Place::Heap && file("transaction/validate.rs") => {
                let mut memo = self.memo();
                if let Some((cell, version)) = memo.just_locked() {
                    memo.settles = Some(version);
                    return Ok(cell.index());
                }
                let version = memo.settles.take();
                drop(memo);
                version.map_or_else(pass, Ok)
            }
            Fault::NoSecondLook
                if place == Place::Heap && order == Ordering::Relaxed && file("transaction/read.rs") =>
            {
                let first = self.memo().looks.get(&access.address.index()).copied();
                first.map_or_else(pass, Ok)
            }
            Fault::RollsCommittedBack if place == Place::STATUS && file("recovery/attempt.rs") => {
                self.redecide(inner, pass()?, &[State::Committed], State::Aborted, access.address)
            }
            Fault::RollsUndecidedForward if place == Place::STATUS && file("recovery/attempt.rs") => {
                let undecided = [State::Active, State::Waiting, State::Prepared];
                self.redecide(inner, pass()?, &undecided, State::Committed, access.address)
            }
            Fault::StartUnseen if place == Place::START && !own => Ok(0),
            Fault::StartCountsAsLater if place == Place::START && !own => {
                pass().map(|start| start + u64::from(start != 0))
            }
            Fault::OverwritesUnshaded
                if access.address == self.layout.collection() && file("transaction/commit.rs") =>
            {
                Ok(0)
            }
            Fault::LogsUnread if place == Place::STATUS && !own && file("reclamation/hazards.rs") => Ok(0),
            Fault::HazardUnseen if place == Place::HAZARD && !own => Ok(0),
            Fault::DismissedGoesOn if access.address == self.layout.collection() && self.memo().helps => {
                pass().map(|word| {
                    let cycle = Cycle::unpack(word);
                    Cycle { helped: cycle.under_way, ..cycle }.pack()
                })
            }
            Fault::CommitsUnread if place == Place::STATUS && file("collection/roots.rs") => Ok(0),
            Fault::ManyRecoverers if place == Place::RECOVERER => Ok(0),
            Fault::PreparedWaitsForPrepared if place == Place::STATUS && !own && self.memo().prepared => {
                // For ever, if the other waits for us: that is the fault.
                loop {
                    let word = pass()?;
                    if state_of(word) != Some(State::Prepared) {
                        return Ok(word);
                    }
                    inner.spin_hint();
                }
            }
            Fault::RingsBeforeOver if place == Place::QUEUE && own => {
                let answer = pass();
                self.release(inner, Kept::Frees);
                self.release(inner, Kept::Idle);
                answer
            }
            Fault::StatusBeforeLoads
                if place == Place::Heap && order == Ordering::Acquire && file("transaction/read.rs") =>
            {
                // Before the lock word, which is read first: what is sampled between it and the value is behind the load that matters.
                let status = self.memo().status_before(access);
                if let Some(status) = status {
                    self.memo().sampled = Some(inner.load(status, Ordering::Acquire));
                }
                pass()
            }
            Fault::StatusBeforeLoads if place == Place::STATUS && own => {
                let sampled = self.memo().sampled.take();
                sampled.map_or_else(pass, Ok)
            }
            Fault::NoRingAfterIdle if place == Place::QUEUE && own && self.memo().idle => Ok(0),
            Fault::OwnQueueUnseen if place == Place::QUEUE && own && waits => Ok(0),
            Fault::DisplacedSleepsOn if place == Place::QUEUE && !own && waits => Ok(self.memo().place_taken),
            Fault::SleepsOnASleeper if place == Place::STATUS && !own && waits => {
                other_as(State::Waiting, State::Active)
            }
            _ => pass(),
        }
    }

    /// What a recoverer reads of a dead one's fate, changed in memory, too.
    fn redecide<P: Platform>(
        &self,
        inner: &P,
        word: u64,
        from: &[State],
        to: State,
        address: WordAddress,
    ) -> Result<u64, u64> {
        match Status::unpack(word) {
            Some(status) if from.contains(&status.state) => {
                let decided = Status { state: to, ..status }.pack();
                let _ = inner.compare_exchange(address, word, decided, Ordering::AcqRel, Ordering::Acquire);
                Ok(decided)
            }
            _ => Ok(word),
        }
    }

    fn store<P: Platform>(&self, inner: &P, access: Access, place: Place, value: u64) -> Result<u64, u64> {
        let file = |name| access.site.file().ends_with(name);
        let own = self.memo().owns(access.address);
        let is_value = place == Place::Heap && access.address.index() % 2 == 1 && file("transaction/commit.rs");
        let frees = self.memo().frees(access.address) && file("transaction/commit.rs");
        match self.fault {
            Fault::ValueAfterFree if is_value && access.operation == Operation::Store(value, Ordering::Release) => {
                self.keep(Kept::Values, access)
            }
            Fault::ValueAfterFree if frees => {
                let answer = access.on(inner);
                self.release(inner, Kept::Values);
                answer
            }
            Fault::DismissedGoesOn if file("collection/role.rs") && place == Place::Tables => {
                // Whoever collects says other things there first, and sees the word as it is.
                self.memo().helps = access.address == self.layout.hot(HotWord::Collector).offset(2);
                access.on(inner)
            }
            Fault::IdleBeforeFree if frees => self.keep(Kept::Frees, access),
            Fault::IdleBeforeFree if place == Place::STATUS && state_of(value) == Some(State::Idle) => {
                let answer = access.on(inner);
                self.release(inner, Kept::Frees);
                answer
            }
            Fault::CountsAfterLocking if place == Place::RESERVED && value > 0 => self.keep(Kept::Counts, access),
            Fault::RingsBeforeOver if frees => self.keep(Kept::Frees, access),
            Fault::RingsBeforeOver
                if place == Place::STATUS && state_of(value) == Some(State::Idle) && self.memo().locks =>
            {
                self.keep(Kept::Idle, access)
            }
            Fault::RingsBeforeOver if place == Place::STATUS => {
                self.release(inner, Kept::Frees);
                self.release(inner, Kept::Idle);
                access.on(inner)
            }
            Fault::ArmsAfterLooking if place == Place::WAITING_FOR && value == 0 => {
                self.release(inner, Kept::Arms);
                access.on(inner)
            }
            Fault::WriterMistaken if place == Place::COMMIT_VERSION || frees => {
                inner.store(access.address, of_the_neighbour(value), Ordering::Release);
                Ok(0)
            }
            Fault::StampsRepeat if place == Place::COMMIT_VERSION || frees => {
                let version = Version(value);
                let first = version.writer().map_or(version, |writer| Version::first(version.clock(), writer));
                inner.store(access.address, first.0, Ordering::Release);
                Ok(0)
            }
            Fault::NoStopper if place == Place::STOPPED_BY && !own => Ok(0),
            Fault::CellWithoutItsValue
                if place == Place::Heap
                    && file("recovery/attempt/cell.rs")
                    && access.operation == Operation::Store(value, Ordering::Release) =>
            {
                Ok(0)
            }
            Fault::HoldsNothing if file("transaction/commit.rs") && self.memo().frees_unheld(access.address) => Ok(0),
            _ => access.on(inner),
        }
    }

    fn exchange<P: Platform>(
        &self,
        inner: &P,
        access: Access,
        place: Place,
        [current, new]: [u64; 2],
    ) -> Result<u64, u64> {
        let (from, to) = (LockWord::unpack(current), LockWord::unpack(new));
        let locks = place == Place::Heap && matches!(to, LockWord::Locked(_));
        let file = |name| access.site.file().ends_with(name);
        match self.fault {
            Fault::ClockBeforePrepared if place == Place::STATUS && state_of(new) == Some(State::Prepared) => {
                let clock = inner.load(self.clock(), Ordering::Acquire);
                self.memo().clock = Some(clock);
                access.on(inner)
            }
            Fault::ExtendsBeyondTheClock if access.address == self.clock() => match access.on(inner) {
                Ok(seen) => Err(seen + 2),
                lost => lost,
            },
            Fault::ClearsBlindly if place == Place::Heap && !locks && matches!(from, LockWord::Locked(_)) => {
                inner.store(access.address, new, Ordering::Release);
                Ok(current)
            }
            Fault::CountsAfterLocking if locks => {
                let answer = access.on(inner);
                self.release(inner, Kept::Counts);
                answer
            }
            Fault::MadeWhite if file("collection/colour.rs") && is_made(current, new) => Ok(current),
            Fault::ManyRecoverers if place == Place::RECOVERER => Ok(current),
            Fault::HoldsNothing if locks && self.memo().filled == HELD => {
                self.memo().unheld.push(access.address);
                Ok(current)
            }
            Fault::StopsThePrivileged if place == Place::STATUS && state_of(new) == Some(State::Active) => {
                let is_own = self.memo().owns(access.address);
                let aborted = Status::unpack(new).map(|status| Status { state: State::Aborted, ..status }.pack());
                match aborted {
                    Some(aborted) if !is_own => {
                        inner.compare_exchange(access.address, current, aborted, Ordering::AcqRel, Ordering::Relaxed)
                    }
                    _ => access.on(inner),
                }
            }
            Fault::StopsCommitted if place == Place::STATUS && state_of(new) == Some(State::Aborted) => {
                let mine = self.memo().owns(access.address);
                let answer = access.on(inner);
                let committed = Status::unpack(new).map(|status| Status { state: State::Committed, ..status }.pack());
                match answer {
                    Err(word)
                        if !mine && inner.load(access.address, Ordering::Acquire) == committed.unwrap_or(word) =>
                    {
                        inner.store(access.address, new, Ordering::Release);
                        Ok(current)
                    }
                    answer => answer,
                }
            }
            Fault::StealsWithItsOwnVersion if locks && matches!(from, LockWord::Locked(_)) => {
                let snapshot = self.memo().snapshot;
                let old_version = self.memo().old_version;
                if let Some(old_version) = old_version {
                    inner.store(old_version, Version::start_of(snapshot).0, Ordering::Relaxed);
                }
                access.on(inner)
            }
            _ => access.on(inner),
        }
    }
}

/// The version, of the one in the slot beside its writer's: of the first and the second each is the other's.
fn of_the_neighbour(version: u64) -> u64 {
    let version = Version(version);
    let Some(writer) = version.writer() else { return version.0 };
    let count = version.0 - Version::first(version.clock(), writer).0;
    Version::first(version.clock(), ParticipantId(writer.0 ^ 1)).0 + count
}

/// Whether a mark becomes black that was not grey before.
fn is_made(current: u64, new: u64) -> bool {
    Mark::unpack(new)
        .is_some_and(|new| new.colour == Colour::Black && Mark::colour_in(current, new.cycle) == Colour::White)
}

/// The state that a status word says.
fn state_of(word: u64) -> Option<State> {
    Status::unpack(word).map(|status| status.state)
}

impl<P: Platform> Lens<P> for Mutant {
    fn access(&self, inner: &P, access: Access) -> Result<u64, u64> {
        if self.fault == Fault::None {
            return access.on(inner);
        }
        let answer = self.act(inner, access);
        self.memo().note(&self.layout, access, answer);
        answer
    }
    fn wait(&self, inner: &P, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        self.memo().waited = true;
        self.release(inner, Kept::Arms);
        self.memo().slept = true;
        let expected = self.memo().bell.take().unwrap_or(expected);
        inner.wait(bell, expected, timeout_ns)
    }
    fn liveness(&self, inner: &P, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        match (self.fault, inner.liveness(slot, identity)) {
            (Fault::DeathByTimeOut, _) if self.memo().waited && identity != inner.identity() => Liveness::Dead,
            (Fault::TrustsTheByteAlone, Liveness::Fenced) => Liveness::Dead,
            (Fault::TrustsTheNumberAlone, Liveness::Dead) => Liveness::Fenced,
            (_, liveness) => liveness,
        }
    }
}

impl<P: Platform> ProcessLens<P> for Mutant {
    fn another(&self) -> Self {
        Self::new(self.fault, self.layout)
    }
}
