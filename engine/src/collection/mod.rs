//! What nothing names any more, and had more than one name: containers, and tuples that were made to be shared. Rings among them,
//! too. Found by marking from a snapshot at the beginning (Yuasa, 1990), by one process at a time, while all others go on; nobody
//! is stopped, and reading writes nothing.
//!
//! ```text
//! colour     the mark of a block, and who sets it        reach     from a word to the next blocks of many names
//! passes     one collection, from its begin to its end
//! ```
//!
//! **Protocol.** A collection has a number `n`. The mark of a block (`word::Mark`) is white, grey or black in `n`; what has an older number is
//! white. The marks are the only truth: whoever is killed, and whatever list is lost, the next one finds out from them or begins with `n + 1`.
//!
//! 1. *Open.* Take the collector's word, by compare-exchange from 0 or from the dead. Store `n` in the word beside the clock; fence; load the batch
//!    number `b`; wait until no attempt with a start of at most `b` is left. From here (T0) on every attempt sees `n`.
//! 2. *Meanwhile*, whoever sees `n`: makes blocks of many names black; **shades** (white to grey) what leads from the old value of each cell
//!    that its commit overwrites, before it stores the new one; shades what its process begins to hold, and what it lets go of.
//! 3. *Mark.* From the root cell and from what processes hold (`holding`): each grey block is traced and made black.
//! 4. *Settle.* Fence; the batch number again; wait until all who began before are through.
//! 5. *Look.* Over all blocks: what is grey is traced. Again, until one look has found none.
//! 6. *Condemn* all that is LIVE and white, then *retire* what is condemned (`reclamation`), with all that it owns. None is retired before all are
//!    condemned: what is condemned may name what is gone, nothing else may.
//! 7. *Close*: 0 in the word beside the clock, 0 in the collector's.
//!
//! Between two steps a collector may *rest* (it collects by the way, and may not come back soon): whoever is in a hurry, or finds it resting for
//! long, takes the word from it, and begins with `n + 1`.
//!
//! **Why nothing is freed that somebody can reach.** Everybody who began before T0 with an older view of the word is through
//! at T0. (His start was seen, or his F1 came after the fence of step 1, and then he sees `n`: as in `reclamation`.) Say
//! that at T0 a path of cells leads from a root to a block; then it is black at the end. For take the first block of the
//! path that is not: the one before it was traced, and its cell did not name the next one then. So a commit had overwritten
//! that cell after T0; it had shaded the old value before it stored the new one, which the tracer acquired; so the block was
//! grey when the last look began, and would have been found. A root that is let go of is shaded like a cell that is
//! overwritten.
//! Who can name a block that no path leads to at T0? Who made it since: it is black. And an attempt that has read the name
//! before T0: what it commits is not that name (the cell has changed: it is not valid, or it has locked the cell); what its
//! process holds of it from then on was shaded when it began to hold it, inside that attempt, which was through when step 4
//! was; and when it is through it holds nothing else.
//!
//! Every name comes from a cell, from what a process holds, or from an export whose ticket stands. Where that is not sure (a pickle that is
//! loaded twice), whoever takes the name up asks [`is_beyond_doubt`].
//!
//! **Killed at any step.** A collector: the word beside the clock stays `n`, which costs commits some work until the next one takes over;
//! no mark of `n` counts for `n + 1`. Before it takes over, the dead one's participants are recovered: the list of what was retired may have lost
//! its last step. Condemned blocks that were not retired are white again, and nobody can reach them; that they name what is gone, `fsck`
//! knows. Whoever is killed in a commit has shaded before any store; else his recoverer finds all locks and shades.
//!
//! *Bounds.* A look is a load for each block of the superblocks in which blocks of many names were made. Memory of the collector:
//! `passes::MOST_PENDING` names. A collector under SIGSTOP keeps others from collecting; so does an attempt under SIGSTOP. What processes
//! hold is looked at in one step, and so is each array of cells.

mod colour;
mod passes;
mod reach;

pub(crate) use colour::{born, note_commit};
pub use colour::{is_beyond_doubt, note_held, note_released};
pub(crate) use passes::Seat;
pub use passes::{Collected, Collection, Step};
