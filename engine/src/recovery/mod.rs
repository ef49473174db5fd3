//! Finishing what the dead left.
//!
//! Dead is proven by the platform, never guessed from silence. What decides is a list of compare-exchanges, each with the dead
//! attempt's seq or the slot's generation in its expected value (what is stored between them, only one at a time may), so that whoever recovers may die at any step and the next
//! one begins again:
//!
//! 1. the participant's `recoverer` word: one recoverer, named by its process slot and that slot's generation; the next may
//!    take over only when that process is proven dead, too;
//! 2. the attempt: undecided becomes ABORTED and its locks are cleared; COMMITTED is written back in the owner's order
//!    (values, blocks, locks), each value only while the cell still holds that lock; then IDLE with the next seq. Whoever waits for one cell of a
//!    large attempt does no more than he needs and goes on: of one that was aborted he clears a part, of one that has committed he finishes that cell,
//!    if it is to name no block, and of some cells all. It stays ABORTED, or COMMITTED, until step 4;
//!    A status that cannot be read, or a COMMITTED record that cannot be read to its end: the participant stays as it is, and the claim with it. What the
//!    record was to publish others may name by then;
//! 3. who waited for it is rung;
//! 4. (whole participant) the block that it was retiring retired, log cleared, pieces of its logs and of its process's table
//!    (`holding`) published, PRIVATE blocks freed, superblocks orphaned, claim freed;
//! 5. (whole process, once no participant claims it) with its liveness byte in hand: its slot taken by an exchange, from which on the dead is dead to all; then its table
//!    emptied, and the slot freed.
//!
//! Invariants: I4 (one writer of a value word), I6 (no cell holds a lock of a seq that is gone), I11.

mod attempt;
mod process;

pub use attempt::finish_attempt;
pub(crate) use attempt::process_is_dead;
pub(crate) use process::anybody_claims;
pub use process::recover_dead;
