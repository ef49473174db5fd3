//! What nothing names any more, and had more than one name: containers, and tuples that were made to be shared. Rings among them,
//! too. Found by marking from a snapshot at the beginning (Yuasa, 1990): one process collects, any others help it to mark, and all go on meanwhile; nobody
//! is stopped, reading writes nothing, and nobody is waited for.
//!
//! ```text
//! colour     the mark of a block, and the barriers of those who do not collect     role      who collects, and who takes over
//! reach      from a word to the next blocks of many names                          roots     where marking begins
//! trace      grey blocks, and what they name                                   help      marking by others than who collects
//! passes     one collection, from its begin to its end
//! ```
//!
//! **Protocol.** A collection has a number `n`. The mark of a block (`word::Mark`) is white, grey, black or condemned in `n`; what has an older number is
//! white. The marks are the only truth: whoever is killed or stopped, and whatever list is lost, the next one finds out from them and begins with `n + 1`.
//!
//! 1. *Open.* The word beside the clock, by compare-exchange from `n - 1`, over or not, to `n`, under way (T0). Fence. Note who is COMMITTED.
//!    A commit fences behind COMMITTED and looks at the word: every one that is not noted knows of `n`, or of a later one. Nobody is waited for.
//! 2. *Meanwhile*, a commit that sees `n`, before it stores anything: **shades** (white to grey) what leads from the old value of each cell
//!    that it overwrites, what its attempt has named, and, if it had not seen `n` before it looked at its reads for the last time, all that it has read; makes black what it has made. Whoever begins to hold an object, or lets go of it, shades it.
//! 3. *Roots.* Of those who were noted and are COMMITTED still: the values that they store, and the ones before; what they
//!    have made is black. Then the root cell, and what processes hold (`holding`). Then the read logs of all who are in an attempt, and what they lead to (`reclamation::hazards`).
//! 4. *Mark.* Each grey block is traced and made black. From here on whoever would collect, too, may help, if he has asked for it: the word says so.
//! 5. *Look.* Over all blocks: what is grey is traced. Again, until one look has found none. Where others were admitted they are dismissed then, by the word; then
//!    what each of them is about to change is noted, and it is looked again, until one look has found none.
//! 6. *Condemn* all that is LIVE and white, then *retire* what is condemned (`reclamation`), with all that it owns. None is retired before all are
//!    condemned: what is condemned may name what is gone, nothing else may.
//! 7. *Close*: `n`, over.
//!
//! **Why nothing is freed that somebody can reach.** Take the state at T0 with the commits that were noted as done. *By cells.* Say that a path of cells leads from a root
//! to a block in it; then it is black at the end. For take the first block of the path that is not: the one before it was traced, and its cell did not name
//! the next one then. If it did not yet, a commit that was noted has stored it since, or not even that: it stands among the values that were traced as roots, or the commit was through before
//! its record was looked at, and before anything was traced. If it did not any more, a commit had overwritten the cell after T0, and had shaded the old value before it stored the new
//! one, which the tracer acquired; so the block was grey when the last look began, and would have been found. The path may begin
//! at a name in the log of an attempt, which is traced like a root.
//! *By what attempts know.* What an attempt has read before T0 stands in its log when the logs are looked at, unless it is through by then: then
//! it has dropped it; or its process holds it (its entry is found, or it saw `n` and shaded: a fence on either side); or it was held and *named*
//! (`Participant::name`), and the commit has shaded it; or it has committed it, after T0, and may have looked at the cell that it had read it from for the last time before. If it saw `n` before that look (and before F2), the cell
//! leads to it at T0, or one who knows of `n` has overwritten it since: who is noted, and COMMITTED behind a fence, is found in the look, and the attempt lost. If not, one who knows nothing may have
//! overwritten the cell between the look and T0: then the commit has shaded all that it had read, through what was taken out meanwhile, too; its log keeps that. What is read after T0 comes from a path at T0, from such a commit, or was
//! made since. An entry of a log that the collector does not find was looked at a second time after the collector's fence: the
//! cell named the block after T0.
//! *What is made.* PRIVATE until its commit, which makes it black before it is LIVE, or is noted, and then the collector does. What it names its attempt knew: see above;
//! and of a noted commit each block that it has made is traced.
//! And what nobody reached by then nobody comes to reach: no grey is left, and all names that anybody knows are black.
//!
//! Every name comes from a cell, from what a process holds, or from an export whose ticket stands. Where that is not sure (a pickle that is
//! loaded twice), whoever takes the name up asks [`is_beyond_doubt`], and looks again, once
//! his entry stands and before he shades, whether a collection has begun since: it may have been through the tables before.
//!
//! **Taken over at any access.** A collector reads optimistically (`Memory::load_optimistic`): of a block that is freed under his eyes what he reads means nothing, and does no harm but that something is kept. What he
//! *changes* he protects: he stores the name as his hazard pointer, fences, and looks whether the word beside the clock is still his, and the block still in use. Whoever takes over changes
//! that word, fences, and looks at the hazard pointers with the logs. Either the first one finds that he has lost, or the second one finds the name, and leaves alone what it names: if it is garbage it is
//! condemned, so that it may name what is gone, and not retired; if it has no mark any more it is left as it is, for it is being retired by the other. It is no root.
//! So at most one block for each who stands still is kept too long, with what it owns.
//! Who rests between two steps, has gone no step further for a while ([`Patience`]), or is dead is taken over from. A mark of a later number is changed by nobody with an earlier one.
//!
//! **Helped by others.** Whoever helps finds what is grey in looks of his own, and what he makes grey waits in his own list; the marks are the only truth, so what he drops, or does not come to, others
//! find. He changes a mark as the collector does: hazard pointer, fence, a look at the word. So at the dismissal (the word is changed, then all fence) each of them has at most one change under way, and his hazard
//! pointer names it; all that he has changed before is seen. If it makes a block black, all that the block names was made grey before. If it makes a block grey that the collector does not find to be so, that block is noted now:
//! it may come from a word that meant nothing, and must not become grey behind the last look. (But where it is left alone anyway, for somebody's sake who stands still: it is condemned if it is grey in the end, too.) No other change comes after the dismissal, so the looks behind it are those of one who marks alone, and the argument above holds. What
//! is large is left to the collector while he is at it.
//!
//! **Killed at any step.** Whoever helps: what he was tracing is grey still. A collector: the word says `n`, which costs commits some work until somebody takes over. The list of what was retired may have lost
//! its last step; recovery mends that, and until then his hazard pointer stands. Condemned blocks that were not retired are white again, and nobody can reach them; that they name what is gone, `fsck`
//! knows. White for being condemned once more, that is: whoever is led to one by a word that meant nothing does not make it grey. Whoever is killed in a commit has shaded before any store; else his recoverer finds all locks, and his log, and shades all that he had read. What he has published already is not made black but grey: his log may be gone.
//!
//! *Trees in pieces.* A cell may lead to a tree of very many blocks of one name. A tracer leaves it where a step ends, and goes on there in the next one; the container is grey until then. What it has not come to
//! then leads from the old value of a cell to whoever takes it out meanwhile, who shades it.
//!
//! *Bounds.* A look is a load for each block of the superblocks in which blocks of many names were made. Memory of the collector:
//! `trace::MOST_PENDING` names, and as many of each who helps; and some blocks for each level at which tuples are nested. What processes hold is looked at in one step, and so is each record of a
//! commit, with all trees that they name: in those the collector shows that he is at it.

mod colour;
mod doubt;
mod help;
mod passes;
mod reach;
mod role;
mod roots;
mod trace;

pub(crate) use colour::{born, is_under_way, note_commit, under_way};
pub use colour::{is_beyond_doubt, note_held, note_released};
pub use help::{Help, Helping};
pub use passes::{Collected, Collection, Step};
pub use role::{Patience, last};
pub(crate) use role::{Seat, known};
pub use trace::TRACED_AT_ONCE;
