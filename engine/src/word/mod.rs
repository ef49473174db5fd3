//! Bit layouts: every word that processes share is packed and unpacked here and nowhere else.
//!
//! Pure functions, no memory access. Words come from memory that anybody may have damaged, so decoding is fallible or
//! total, never a transmute. Each layout is round-trip tested.

mod address;
mod block;
mod handle;
mod identity;
mod lock;
mod mark;
mod status;
mod value;
mod version;

pub use address::{CELL_WORDS, CellAddress, WordAddress};
pub use block::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState};
pub use handle::Handle;
pub use identity::{AttemptId, ParticipantId, Priority, ProcessSlotId, Tick};
pub use lock::{ENTRY_MASK, LockWord, LockedBy};
pub use mark::{Colour, Cycle, Link, Mark};
pub use status::{State, Status};
pub use value::{INLINE_BYTES_MAX, INT_MAX, INT_MIN, InlineBytes, Unpacked, Value};
pub use version::Version;
