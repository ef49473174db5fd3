//! What a process is in the middle of when it dies.

use pso_engine::allocator::{self, BlockCache};
use pso_engine::error::Stop;
use pso_engine::platform::Platform;
use pso_engine::transaction::Participant;
use pso_engine::word::{BlockKind, CellAddress};
use pso_model::history::Recorder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reads two cells, writes both.
    Transfer,
    /// Reads the third cell, writes the second, then the first: the other order.
    Chain,
    /// Writes and gives up. (Blocks of the dead are the business of `tests/heap/allocator` and `tests/heap/transaction.rs`.)
    Abandon,
    /// Writes the second cell and asks to wait; instead, in the same attempt, reads and writes the third and the second.
    Choose,
    /// Reads the first cell, writes the others, irrevocably.
    Once,
    /// Waits for a change of what it has read, for a while.
    Retry,
    /// Reads all.
    Read,
    /// Makes many blocks beside one that is LIVE, outside of transactions, and leaves them to whoever clears up.
    Makes,
}

/// How long a retry sleeps.
const SLEEP_NS: u64 = 10_000_000;
/// Blocks of one size: more than a magazine holds.
const MADE: usize = 36;

impl Part {
    pub fn commits(self) -> bool {
        matches!(self, Self::Transfer | Self::Chain | Self::Choose | Self::Once)
    }

    /// Plays it; waits for others at most so long.
    pub fn play<P: Platform>(
        self,
        recorder: &Recorder,
        participant: &mut Participant<P>,
        cells: &[CellAddress],
        patience_ns: u64,
    ) -> Result<(), Stop> {
        let now = participant.arena().platform().now_ns();
        let deadline = Some(now + patience_ns);
        let write = |tx: &mut Participant<P>, cell| recorder.write(tx, cell, recorder.fresh());
        match self {
            Self::Transfer => participant.run_until(deadline, |tx| {
                recorder.read(tx, cells[0])?;
                write(tx, cells[0])?;
                recorder.read(tx, cells[1])?;
                write(tx, cells[1])?;
                recorder.read(tx, cells[0]).map(drop)
            }),
            Self::Chain => participant.run_until(deadline, |tx| {
                recorder.read(tx, cells[2])?;
                write(tx, cells[1])?;
                write(tx, cells[0])
            }),
            Self::Abandon => {
                participant.set_deadline(deadline);
                participant.begin()?;
                let given_up = write(participant, cells[1]).and_then(|()| write(participant, cells[0]));
                participant.abort();
                participant.set_deadline(None);
                given_up
            }
            Self::Choose => participant.run_until(deadline, |tx| {
                tx.or_else(
                    |tx| {
                        recorder.read(tx, cells[0])?;
                        // Not noted: nobody may ever see it.
                        tx.write(cells[1], recorder.fresh())?;
                        Err(Stop::Retry)
                    },
                    |tx| {
                        recorder.read(tx, cells[2])?;
                        write(tx, cells[2])?;
                        recorder.read(tx, cells[1])?;
                        write(tx, cells[1])
                    },
                )
            }),
            Self::Once => participant.run_irrevocable(deadline, |tx| {
                write(tx, cells[2])?;
                recorder.read(tx, cells[0])?;
                write(tx, cells[1])
            }),
            Self::Retry => {
                let patience = Some(now + SLEEP_NS);
                let mut turns = 0;
                let ended = participant.run_until(patience, |tx| {
                    turns += 1;
                    recorder.read(tx, cells[0])?;
                    recorder.read(tx, cells[2])?;
                    if turns < 3 { Err(Stop::Retry) } else { Ok(()) }
                });
                if ended == Err(Stop::TimedOut) { Ok(()) } else { ended }
            }
            Self::Read => participant
                .run_until(deadline, |tx| cells.iter().try_for_each(|cell| recorder.read(tx, *cell).map(drop))),
            Self::Makes => {
                let (arena, id, mut cache) = (participant.arena(), participant.id(), BlockCache::default());
                let mut make = || cache.allocate(arena, id, BlockKind::Bytes, 2).map_err(Stop::from);
                let live = make()?;
                allocator::publish(arena, live);
                (1..MADE).try_for_each(|_| make().map(drop))?;
                cache.free(arena, id, live);
                Ok(())
            }
        }
    }
}
