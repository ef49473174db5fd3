//! (signatures; the protocol follows)
use std::sync::Arc;

use crate::arena::Arena;
use crate::error::Stop;
use crate::platform::Platform;
use crate::space::Space;
use crate::word::{BlockKind, CellAddress, Handle, ParticipantId, Value, WordAddress};

/// Who runs transactions.
pub struct Participant<P: Platform> {
    space: Arc<Space<P>>,
    id: ParticipantId,
}

impl<P: Platform> Participant<P> {
    /// The arena.
    #[inline]
    pub fn arena(&self) -> &Arena<P> {
        self.space.arena()
    }
    /// Its number.
    pub fn id(&self) -> ParticipantId {
        self.id
    }
    /// True between `begin` and the end of the attempt.
    pub fn in_attempt(&self) -> bool {
        todo!()
    }
    /// Begins an attempt.
    pub fn begin(&mut self) -> Result<(), Stop> {
        todo!()
    }
    /// Reads a cell.
    pub fn read(&mut self, _cell: CellAddress) -> Result<Value, Stop> {
        todo!()
    }
    /// Reads a cell that is written once (absent, then one handle for ever); not logged once it is there.
    pub fn read_stable(&mut self, _cell: CellAddress) -> Result<Value, Stop> {
        todo!()
    }
    /// Writes a cell.
    pub fn write(&mut self, _cell: CellAddress, _value: Value) -> Result<(), Stop> {
        todo!()
    }
    /// Makes a block that is this attempt's own until it commits. Its payload holds anything: initialise all of it.
    pub fn allocate(&mut self, _kind: BlockKind, _payload_words: u64) -> Result<Handle, Stop> {
        todo!()
    }
    /// First payload word of the block behind `handle`, which must be of `kind`.
    pub fn open(&self, _handle: Handle, _kind: BlockKind) -> Result<WordAddress, Stop> {
        todo!()
    }
    /// Kind of the block behind `handle`.
    pub fn kind(&self, _handle: Handle) -> Result<BlockKind, Stop> {
        todo!()
    }
    /// Gives a cell of a block that this attempt allocated its first value.
    pub fn initialize(&mut self, _cell: CellAddress, _value: Value) {
        todo!()
    }
    /// Commits. `Err(Stop::Conflict)`: run the body again.
    pub fn commit(&mut self) -> Result<(), Stop> {
        todo!()
    }
    /// Ends the attempt; nothing that it wrote exists. Does nothing between attempts.
    pub fn abort(&mut self) {
        todo!()
    }
    /// After `Stop::Retry`: ends the attempt and sleeps until a cell that it has read changes, or until `deadline_ns`
    /// (of `System::now_ns`). `Err(Stop::TimedOut)`, `Err(Stop::Interrupted)`.
    pub fn wait_for_change(&mut self, _deadline_ns: Option<u64>) -> Result<(), Stop> {
        todo!()
    }
    /// Runs `body` as one transaction, as often as it takes.
    pub fn run<T>(&mut self, _body: impl FnMut(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        todo!()
    }
    /// The same with an end to its patience, at `deadline_ns` of `System::now_ns`.
    pub fn run_until<T>(
        &mut self,
        _deadline_ns: Option<u64>,
        _body: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        todo!()
    }
    /// Replaces what happens around a sleep (a GIL to release, signals to look at).
    pub fn set_sleeper(&mut self, _sleeper: Box<dyn Sleeper + Send>) {
        todo!()
    }
    /// Gives the place in the participant table back.
    pub fn leave(self) {
        todo!()
    }
}

/// What surrounds a sleep of a participant.
pub trait Sleeper {
    /// Runs `sleep` (which blocks in the kernel for at most 50 ms) and says whether to go on. False: the wait is interrupted.
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool;
}
