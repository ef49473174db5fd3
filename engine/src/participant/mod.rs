//! Who runs transactions: the participant table and the process table, word by word.
//!
//! A participant is the seed's `thread_descriptor`. It belongs to a process (which the kernel can prove dead), a thread
//! borrows it. Slots are type-stable: a lock word that names a participant can always be followed and checked.
//!
//! ```text
//! participant (128 words, line by line)
//!   line 0  owner writes, all read    status, priority, commit version, start, starving, hazard
//!   line 1  others write              queue_to, stopped_by, bell, recoverer
//!   line 2  owner                     record start, entries reserved, read log length, want, what it waits for, retired blocks, detached ones
//!   line 3  owner, seldom             claim, thread number, mean duration, attempts, commits, stops, sleeps, hung limit
//!   32..56  handles of the pieces of the record ring
//!   56..80  handles of the pieces of the read log
//! process slot (48 words)             state, pid, start time, lookers, copies, tickets
//!   16..40  handles of the pieces of the table of what the process holds (see `holding`)
//! ```

mod log;
mod pieces;
mod process;
mod slot;

pub use log::{ENTRY_WORDS, Entry, EntryKind, HELD, Pieces, READ_WORDS, foreign_entry};
pub(crate) use log::{check_record, entries, foreign_reads};
pub(crate) use pieces::{capacity, locate, piece_elements};
pub use process::{ProcessPhase, ProcessSlot, ProcessState, Taking};
pub use slot::{Claim, PIECES, Slot, WaitingFor, is_committed, is_over, participant_is_dead, status_of};
