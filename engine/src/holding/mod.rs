//! What processes hold outside of the space: a table for each, in the arena.
//!
//! An object that nothing in the space names may still be in use: a process has a proxy of it, or somebody has pickled it and
//! nobody has loaded it yet. Whoever frees objects has to know. So each process writes down what it holds, and whoever looks for
//! what is in use reads all tables ([`for_each_held`]).
//!
//! ```text
//! process slot   4 copies: generation:40 | children to come:24       5 tickets so far       16..40 handles of the pieces
//! piece          a block of kind `Holds`: entries of two words. Piece 0 has 2 x log_base of them, each further one as many as
//!                all before it together, so an entry has one index for ever and never moves
//! entry          word     0, or a handle whose tag says what it is: held, leaving, put off, exported, expiring
//!                ticket   of an export that nobody has taken out; 0 in all other entries
//! ```
//!
//! **Protocol**
//!
//! 1. *Hold* (`Participant::hold`), inside an attempt that has found the handle: an entry goes from 0 to the handle by
//!    compare-exchange; then `collection::note_held` is told. As long as the attempt runs its log holds what it has read. So the object is
//!    held before the attempt ends, and there is no moment between.
//! 2. *Release* ([`Space::release`]): the entry says that it is on its way out, then whether a child has to copy it is looked at; if none has,
//!    `collection::note_released` is told, and the entry goes to 0. The token names the entry; whoever has it is the only one who writes the entry, so
//!    those are stores.
//! 3. *Export* ([`Space::export`]): a hold becomes an export. First the ticket, then the word. The ticket is a number that this
//!    process slot gives once, in all its lives.
//! 4. *Adopt* ([`Space::adopt`]), by whoever has loaded the object and holds it himself by then: the ticket goes to 0 by a
//!    compare-exchange from that very number. Nobody can take out another export, though it be of the same object and in the same
//!    entry. The entry itself is made 0 by the process that it belongs to, when it looks for free entries.
//! 5. *Growing*: a piece is zeroed, then named in the process slot by compare-exchange, then published. Pieces stay with the slot
//!    for its next owner.
//! 6. *End*: who leaves empties its entries before its slot is free. The entries of a dead process are emptied by whoever has taken the slot, by an exchange
//!    with its liveness byte in hand: to keep it (`Space::join`) or to free it (`recovery`). So there is one who does it, and if he is killed in it the slot is a
//!    dead one's again. An export it first makes an *expiring* one, which is visited whatever its ticket says, and then looks whether somebody has taken it out: what nobody keeps may
//!    be another object in the middle of what is said of it to a collection.
//! 7. *Fork*: see below.
//!
//! **Invariants**
//!
//! - H1 from the return of `hold` to the call of `release` (or, for an export, to the adoption or the end of its process)
//!   `for_each_held` visits the handle. H2 an entry of a process is changed by that process, or by whoever has its liveness
//!   byte; its ticket also by adopters. H3 the entries of a slot that is Free are 0. H4 an entry whose block is gone is no damage: the
//!   attempt that held it may have been rolled back, and its guard has not been dropped yet; until then the memory stays backed
//!   (`transaction::pages`), so whoever follows the guard finds that the block is gone, and no signal. H5 hints (here, and those of
//!   `Participant`) may be wrong or lost; the words in the arena are the only truth.
//!
//! **Fork.** The child has all tokens of its parent, so all that the parent held at the fork must stay until the child has copied
//! it. `Space::before_fork` raises the count of children to come in the parent's slot, and notes what is held. While the count is not 0 a release *puts
//! off*: the entry keeps its handle under another tag, and is visited as before. The child (`Space::rejoin`) takes a slot,
//! copies what its parent had noted into entries of the same indices, in
//! an attempt and with `note_held` for each, and then lowers the count of the parent. Whoever of the parent releases next,
//! or looks for free entries, empties what was put off. A child without a note (a fork that nobody announced, or one in the middle of another
//! thread's note), and one whose parent does not hold all of that any more behind the copy (it has been killed, and its table was emptied), holds nothing and is told so:
//! its tokens are void, and whoever has them takes the objects up anew.
//! - What another thread lets go of at the moment of the fork: its entry says so before the count is looked at, and the count is raised before the entries are
//!   noted, with a fence between each two. So the count is seen, and the entry stays as one that is put off; or the entry is not noted, and the child, which
//!   has no thread with that token, does not ask for it.
//! - Not emptied wrongly: one thread at a time does it (the lock of the hints, only ever tried for), and it looks at the count after
//!   it has seen that an entry is put off. Count 0 then says that all children before have copied, and a later one was forked after the
//!   token was gone.
//! - The child holds what it has tokens of, and no more: what was put off for a sibling, and what the parent took hold of since, its copy of the
//!   parent's note does not name. (An index that was let go of and taken again between `before_fork` and the copy is put off, not taken.)
//!
//! **Not covered.** A child that is killed before it has copied, and a fork that fails, leave the count up until somebody says so (`Space::after_fork_failed`): natively
//! `platform::native::children` finds out, where the system has a pipe for the fork, once all children of the process are through; else that parent's releases are put off as
//! long as it lives, and so is the end of its slot if it leaves the space. A fork that runs no handlers, and a parent that dies before its child has copied: an object that nothing else names or holds may be
//! gone before the child takes it up. Its handles are checked wherever they are followed, so that it meets errors and never somebody
//! else's object. What a child releases before it has joined stays held until it ends.
//!
//! **Who else touches these words**: `recovery` and `space` (the end of a process), `fsck`; `collection` and `transaction::pages` read them.

mod entry;
mod face;
mod table;

pub(crate) use entry::{empty, for_each_entry, piece_entries, publish_pieces};
pub(crate) use table::{Spare, Table, hold, hold_at};

pub use entry::{Content, ENTRY_WORDS, Entry, for_each_held};

use crate::word::{Handle, ProcessSlotId};

/// A token of something held: which entry. Good in this process, and in a child that it has forked and that has joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    index: u32,
    handle: Handle,
}

impl Hold {
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.index
    }
    /// What is held.
    #[inline]
    pub fn handle(self) -> Handle {
        self.handle
    }
}

/// Names an export, in every process of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// In whose table it is.
    pub process: ProcessSlotId,
    /// Its entry.
    pub index: u32,
    /// Which export of that process slot it is.
    pub ticket: u64,
}
