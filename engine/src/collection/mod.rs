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
//! 1. *Open.* Take the collector's word, by compare-exchange from 0 or from the dead. Store `n` in the word beside the clock; fence; wait until
//!    those who are COMMITTED then are through. A commit fences behind COMMITTED and looks at the word: from here (T0) on every commit
//!    that exists knows of `n`. Who is in an attempt goes on, and may stand still for ever.
//! 2. *Meanwhile*, a commit that sees `n`, before it stores anything: **shades** (white to grey) what leads from the old value of each cell
//!    that it overwrites, and what its attempt has named; makes black what it has made. Whoever begins to hold an object, or lets go of it, shades it.
//! 3. *Roots.* The root cell; what processes hold (`holding`); then the read logs of all who are in an attempt, and what they lead to
//!    (`reclamation::hazards`). Of somebody it may not be said just then: wait, and look at the logs again.
//! 4. *Mark.* Each grey block is traced and made black.
//! 5. *Look.* Over all blocks: what is grey is traced. Again, until one look has found none.
//! 6. *Condemn* all that is LIVE and white, then *retire* what is condemned (`reclamation`), with all that it owns. None is retired before all are
//!    condemned: what is condemned may name what is gone, nothing else may.
//! 7. *Close*: 0 in the word beside the clock, 0 in the collector's.
//!
//! Between two steps a collector may *rest* (it collects by the way, and may not come back soon): whoever is in a hurry, or finds it resting for
//! long, takes the word from it, and begins with `n + 1`.
//!
//! **Why nothing is freed that somebody can reach.** *By cells.* Say that at T0 a path of cells leads from a root to a block; then it is black at
//! the end. For take the first block of the path that is not: the one before it was traced, and its cell did not name
//! the next one then. So a commit had overwritten that cell after T0; it had shaded the old value before it stored the new
//! one, which the tracer acquired; so the block was grey when the last look began, and would have been found. The path may begin
//! at a name in the log of an attempt, which is traced like a root.
//! *By what attempts know.* What an attempt has read before T0 stands in its log when the logs are looked at, unless it is through by then: then
//! it has dropped it; or its process holds it (its entry is found, or it saw `n` and shaded: a fence on either side); or it has committed it,
//! after T0, and then the cell that it had read it from is unchanged and leads to it at T0, or it was held and *named*
//! (`Participant::name`), and the commit has shaded it. What is read after T0 comes from a path at T0, from such a commit, or was
//! made since. An entry of a log that the collector does not find was looked at a second time after the collector's fence: the
//! cell named the block after T0.
//! *What is made.* PRIVATE until its commit, which makes it black before it is LIVE. What it names its attempt knew: see above.
//! And what nobody reached by then nobody comes to reach: no grey is left, and all names that anybody knows are black.
//!
//! Every name comes from a cell, from what a process holds, or from an export whose ticket stands. Where that is not sure (a pickle that is
//! loaded twice), whoever takes the name up asks [`is_beyond_doubt`].
//!
//! **Killed at any step.** A collector: the word beside the clock stays `n`, which costs commits some work until the next one takes over;
//! no mark of `n` counts for `n + 1`. Before it takes over, the dead one's participants are recovered: the list of what was retired may have lost
//! its last step. Condemned blocks that were not retired are white again, and nobody can reach them; that they name what is gone, `fsck`
//! knows. Whoever is killed in a commit has shaded before any store; else his recoverer finds all locks, and his log, and shades.
//!
//! *Bounds.* A look is a load for each block of the superblocks in which blocks of many names were made. Memory of the collector:
//! `passes::MOST_PENDING` names. A collector under SIGSTOP keeps others from collecting; so does somebody who stands still between COMMITTED
//! and the end of its write-back, or in the middle of a look at the logs. What processes hold is looked at in one step, so are the logs, and so is each array of cells.

mod colour;
mod passes;
mod reach;
mod role;
mod roots;

pub(crate) use colour::{born, note_commit};
pub use colour::{is_beyond_doubt, note_held, note_released};
pub use passes::{Collected, Collection, Step};
pub(crate) use role::Seat;
pub use role::{Patience, last};
