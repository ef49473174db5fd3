//! Memory of what was replaced: used again when nobody can hold it any more, and no sooner.
//!
//! A block has *one name* if exactly one word of the space names it: a value that is no mutable object, an entry or a bucket
//! of a dict. Whoever overwrites that word, in an attempt that commits, has taken the block out of the space. Those who had
//! read the name before may go on reading the block until their attempt ends. Nobody counts, and reading writes nothing.
//!
//! **Protocol**
//!
//! 1. *Discard*, in an attempt: an entry of the record says that its commit takes the block out.
//! 2. *Retire*, by the owner of the commit, or by whoever finishes it for the dead: after COMMITTED and the write-back comes the
//!    fence F5, then `stamp` = batch number; the block is linked into the participant's list and goes from LIVE to RETIRED.
//! 3. *Collect*, by the owner between two attempts: the batch number goes on, fence F6, the starts of all participants are
//!    looked at. What was retired at a stamp below the oldest start is freed, the oldest first. Whoever is idle has no start.
//!
//! **Why nobody reads what is freed.** An attempt stores the batch number that it finds as its start, and then fences (F1).
//! Say that it holds the name of a retired block. (a) Its start is at most the stamp: if F1 came after F5, it would have found
//! the commit, and not the name; so F1 came before F5, and what it had loaded before is no newer than what the retirer loads
//! after. (b) The collector sees that start: if F6 came before F1 the commit did, too, and again the name would not have been
//! found; so F1 came before F6, and the start is seen, or the 0 that says that the attempt has ended.
//!
//! **Killed at any step.** The list hangs in the participant's slot, link by link in the count words of its blocks, the youngest
//! first. The link is stored before the head is, the head before RETIRED: whoever finishes a commit again finds out which of
//! the three are done. Blocks are freed from the old end on, so a walk from the head ends at the first that is not RETIRED in the
//! generation that its link says; behind it nothing is left. Whoever takes the slot next takes the list over, with the batch
//! number of that moment as the stamp.
//!
//! **Who else touches these words**: `recovery` retires into the list of the dead. `fsck` walks all lists.
//!
//! *Not done here.* Mutable objects may have many names and are not freed. An attempt that runs, or is stopped, for long holds
//! back all that is retired meanwhile: its read log says what it really holds, and is not looked at yet.

mod limbo;
mod retire;

pub use limbo::Limbo;
pub(crate) use retire::{for_each_retired, retire};
pub use retire::{is_shared, share, stamp};
