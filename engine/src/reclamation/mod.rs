//! Memory of what was replaced: used again when nobody can hold it any more, and no sooner.
//!
//! A block has *one name* if exactly one word of the space names it: a value that is no mutable object, an entry or a bucket
//! of a dict. Whoever overwrites that word, in an attempt that commits, has taken the block out of the space. Those who had
//! read the name before may go on reading the block until their attempt ends. Nobody counts, and reading writes nothing.
//!
//! **Protocol**
//!
//! 1. *Discard*, in an attempt: an entry of the record says that its commit takes the block out.
//! 2. *Retire*, by the owner of the commit, or by whoever finishes it for the dead: after COMMITTED and the write-back the batch
//!    number is the `stamp`; the block is linked into the participant's list and goes from LIVE to RETIRED.
//! 3. *Collect*, by the owner, now and then: the batch number goes on, and the starts of all participants are looked at. What was
//!    retired at a stamp below the oldest start is freed, the oldest first. Whoever is idle has no start.
//! 4. *Look at the logs*, if that left something, and it is worth it: an attempt that stands still, or takes long, holds what its read log
//!    leads to and nothing else (`hazards`). All but that is freed. In pieces: no operation pays for a long log, or for all that waits.
//!
//! **Why nobody reads what is freed.** The handshake of F1 and F2, which opacity rests on, does it; there is no fence here. An
//! attempt stores the batch number that it finds as its start, and then fences (F1). The committer is PREPARED, fences (F2), and
//! commits. Say that the attempt holds the name of a block that this commit took out. If F2 came before F1 it found the
//! committer at least PREPARED, never passed its lock, and has the name that came after. So F1 came before F2. Then (a) what it
//! had loaded as the batch number before F1 is no newer than what is loaded as the stamp after F2: its start is at most the stamp;
//! and (b) whoever looks at the starts after F2 finds that start, or the 0 that says that the attempt has ended. Recovery and
//! who takes a list over come after F2 through the status and the claim. For step 4 it is the fence after a handle was logged, and one
//! before the logs are looked at (the light and the heavy one of `Memory`): a reader that has missed the commit finds the cell changed at its second look, or its entry is seen.
//!
//! **Killed at any step.** The list hangs in the participant's slot, link by link in the second words of its blocks, the youngest
//! first. The link is stored before the head is, the head before RETIRED: whoever finishes a commit again finds out which of
//! the three are done. Blocks are freed from the old end on, so a walk from the head ends at the first that is not RETIRED in the
//! generation that its link says; behind it nothing is left. What goes from the middle of the list is first a list of its own (`detached`), whose
//! blocks hang in both for a moment; the slot's next owner hangs it to the end again. Whoever takes the slot next takes the list over, with the
//! batch number of that moment as the stamp.
//!
//! **Who else touches these words**: `recovery` retires into the list of the dead. `fsck` walks all lists.
//!
//! *Not done here.* What may have many names, `collection` finds and retires. What is free and empty goes back to the system (`transaction::pages`).

mod dismantle;
mod hazards;
mod limbo;
mod retire;

pub use dismantle::for_each_part;
pub(crate) use hazards::{HeldBy, Look, Looked, for_each_hazard};
pub use limbo::{Limbo, Logs};
pub(crate) use limbo::{advance, oldest_start};
pub(crate) use retire::{finish_retiring, retire, retire_whole};
pub use retire::{for_each_retired, is_batch, is_shared, stamp};
