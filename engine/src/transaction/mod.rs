//! Transactions: a body runs until it commits, as if it were alone.
//!
//! **Protocol.** A cell is a version and a value. An attempt reads invisibly against a deferred version clock, keeps new
//! values in its own record in the arena, locks a cell when it first writes it, and commits by one compare-exchange on its
//! status word.
//!
//! 1. `begin`: seq is ACTIVE, the snapshot is of the clock's time, fence F1.
//! 2. `read`: look at the cell, note (cell, version, value) in the read log, look again. A lock of an undecided attempt is
//!    passed (the old value counts), a lock of a committed one is read through its record, a prepared one is waited for. A
//!    version that is not of the past extends the snapshot: the clock moves on, all reads are validated, it follows.
//! 3. `write`: fill an entry, count it, then put the lock into the cell by compare-exchange. Locks of aborted attempts are
//!    taken directly; about the living `contention` decides.
//! 4. `commit`: ACTIVE to PREPARED, fence F2, load the clock, validate the reads (not if each was settled: its cell locked right
//!    behind it), store the commit version, PREPARED to COMMITTED: from here on the writes exist. Then values into cells, record
//!    DONE, locks free, IDLE with the next seq.
//! 5. `abort`: whoever flips ACTIVE, WAITING or PREPARED to ABORTED has taken all locks of the attempt at once. Anybody may
//!    clear them.
//! 6. What a commit takes out of the space (`discard`) is retired between the write-back and IDLE, and freed when nobody can
//!    hold it (`reclamation`).
//! 7. `or_else` (`alternatives`): a part of an attempt that asks to wait is undone, and another runs in its place.
//! 8. Who has lost often gets `privilege`: first in a `lull`, in which others put their commits off; then by `visible` reads, which others
//!    cannot overwrite. The last also without privilege, where somebody else keeps it.
//!
//! **Invariants** (the numbers are those of `papers/transactions.md`)
//!
//! - I1 one live lock per cell. I2 all reads of an attempt come from one state, in doomed attempts too. I3 the committed
//!   history is strictly serializable. I4 a value word changes only under a COMMITTED lock, by the owner or the one
//!   recoverer. I5 versions rise. I6 the status leaves COMMITTED and ABORTED only by the next seq, and then no cell holds
//!   the old lock. I7 no cycle of waiters. I8 no lost wake-up. I11 after a kill at any step everybody comes to rest.
//!
//! **Who else touches these words**: `recovery` finishes what the dead left, with the same order of steps.

mod abort;
mod allocate;
mod alternatives;
mod begin;
mod collect;
mod commit;
mod conflict;
mod counters;
mod discard;
mod hold;
mod hooks;
mod logs;
mod lull;
mod observe;
mod own_entries;
mod pages;
mod privilege;
mod read;
mod record;
mod repeats;
mod run;
mod second_row;
mod silence;
mod snapshot;
mod validate;
mod visible;
mod write;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::allocator::{self, BlockCache};
use crate::arena::Arena;
use crate::contention::{Contender, Limits, Standing};
use crate::error::{Corrupt, Stop};
use crate::holding;
use crate::participant::{Claim, ENTRY_WORDS, Pieces, READ_WORDS, Slot};
use crate::platform::Platform;
use crate::reclamation::{Limbo, Logs};
use crate::space::Space;
use crate::waiting::Bell;
use crate::word::{
    AttemptId, BLOCK_HEADER_WORDS, BlockKind, Handle, LockWord, LockedBy, ParticipantId, Priority, State, Status,
    WordAddress,
};

pub use alternatives::Savepoint;
pub use collect::{CollectionEnd, Progress, WholeCollection};
use counters::{Counters, SAMPLE, TIMED};
pub use hooks::{Hooks, HooksMark};
pub(crate) use logs::{Stay, have_grown};
pub use observe::{Attempt, Observer, Outcome};
use own_entries::OwnEntries;
pub use run::Sleeper;
use second_row::Want;
use silence::Watches;
use snapshot::{Snapshot, Stamps};

/// Who runs transactions. Owned by one thread at a time; it may move between threads of its process.
///
/// Dropping it does no protocol work: the slot stays taken until [`Participant::leave`] or the end of the process.
pub struct Participant<P: Platform> {
    space: Arc<Space<P>>,
    /// The space's, a copy of it: what each access needs stands in the participant's own lines, and no store into the space
    /// can be taken for one that changes it.
    arena: Arena<P>,
    id: ParticipantId,
    slot: Slot,
    claim: Claim,
    /// Of the process that took the slot. A fork copies this value, and must not use it.
    incarnation: u64,
    /// Of the attempt under way, or of the next one.
    seq: u64,
    /// The status word of the attempt under way; 0 between attempts (no ACTIVE status is 0).
    active: u64,
    /// All reads are of its past.
    snapshot: Snapshot,
    stamps: Stamps,
    reads: u64,
    /// How many of them hold whatever others do.
    settled: u64,
    /// The attempt that has named something, and what it has named last.
    named: (u64, u64),
    read_log: Pieces<READ_WORDS>,
    repeats: repeats::Repeats,
    entries: u64,
    /// What the first cell holds that this attempt has locked; the others differ in the entry. And what it would be in attempt 0.
    first_lock: u64,
    any_lock: u64,
    own_entries: Box<OwnEntries>,
    /// Unit of the current record's header in the ring.
    record_start: u64,
    /// Where its first entry is, and how many lie side by side from there on.
    first_entry: WordAddress,
    entries_beside: u64,
    /// One of the two is larger than what stays when a transaction is over.
    has_large_logs: bool,
    /// The collection that was under way before the attempt was PREPARED, if it then had to look at what it had read.
    collection_known: Option<u64>,
    /// The transaction has found the space full.
    was_refused: bool,
    record_ring: Pieces<ENTRY_WORDS>,
    cache: BlockCache,
    /// Entries of the process's table that may be free.
    spare_holds: holding::Spare,
    /// Blocks that the attempt under way takes out of the space.
    discards: usize,
    /// What was taken out, and is not freed yet.
    limbo: Limbo,
    pages: pages::Pages,
    waits_for_pages: u32,
    /// Containers made so far, for whoever decides when to collect.
    objects_made: u64,
    /// Whether it has taken out a name of something that others may name.
    has_dropped_names: bool,
    /// Whether the body of a transaction is running.
    works: bool,
    /// Age of the transaction; `None` before its first attempt.
    priority: Option<Priority>,
    /// Attempts of this transaction that failed, or what stands for them: to be passed in the second row.
    failures: u64,
    /// What ended an attempt that did not just lose, and the number of the next one.
    ended_by: Option<(u64, Stop)>,
    pause: Pause,
    /// A cell whose next sleeper is owed a wake-up at the end of the attempt.
    owed_wake: Option<crate::word::CellAddress>,
    /// Whom the attempt `victims_of` has stopped: rung at its end.
    victims: Vec<ParticipantId>,
    victims_of: u64,
    limits: Limits,
    sleeper: Box<dyn Sleeper + Send>,
    observer: Option<Box<dyn Observer<P> + Send>>,
    deadline_ns: Option<u64>,
    counters: Counters,
    /// Sleepers that it has woken. Of the participant alone: it stands in no shared word.
    woken: Cell<u64>,
    alternatives: Box<alternatives::Alternatives>,
    hooks: Hooks<hooks::Hook>,
    /// The attempt whose record has cells that are held and keep their values.
    holds_in: u64,
    /// The attempt whose reads are visible, its snapshot, and how many of its reads are not held.
    visible_in: u64,
    visible_snapshot: Snapshot,
    passed: u64,
    /// The attempt of the dead whose cells were met last, and how many were.
    met_dead: (AttemptId, u32),
    watches: Watches,
    /// Whether the transaction under way has had a lull.
    had_lull: bool,
    /// Of its lost attempts, how much the one read that read most.
    most_reads: u64,
    /// Whether the transaction under way must not write.
    read_only: bool,
    /// Whether the attempt under way is irrevocable.
    standing: Standing,
    /// Whether names that it is handed may be of what is gone, its memory too.
    names_in_doubt: bool,
}

/// What to wait for before the next attempt, holding nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    No,
    /// Somebody stopped the attempt: let him finish.
    Stopped,
    /// The cell was in use: the second row, for what is wanted of it.
    Row(crate::word::CellAddress, Want),
    /// The policy has everybody try again after so many ns.
    For(u64),
}

/// No attempt has this number.
const NO_SEQ: u64 = u64::MAX;

impl<P: Platform> Participant<P> {
    /// Takes the slot `id`, which the caller has claimed for `space`, for a stay with logs or without.
    pub(crate) fn adopt(
        space: Arc<Space<P>>,
        id: ParticipantId,
        slot: Slot,
        stay: Stay,
    ) -> Result<Self, crate::space::JoinError> {
        let arena = space.arena();
        let base = arena.layout().geometry().log_base;
        let status = crate::participant::status_of(arena, slot)?;
        let mut cache = BlockCache::default();
        let mut read_log = Pieces::adopt(arena, slot.read_log_piece(0), base)?;
        let mut record_ring = Pieces::adopt(arena, slot.record_piece(0), base)?;
        let needs_logs = stay == Stay::ToWork;
        if needs_logs && read_log.capacity() == 0 {
            read_log.grow(arena, &mut cache, id)?;
        }
        if needs_logs && record_ring.capacity() == 0 {
            record_ring.grow(arena, &mut cache, id)?;
        }
        arena.platform().store(slot.thread_number(), arena.platform().thread_number(), Relaxed);
        arena.platform().store(slot.hung_limit(), Limits::default().hung_ns, Relaxed);
        let limbo = Limbo::adopt(arena, slot, id);
        // The slot's last owner may have been killed in its sleep.
        crate::waiting::reset(arena, slot, id);
        let participant = Self {
            id,
            slot,
            claim: space.claim(),
            incarnation: arena.platform().incarnation(),
            seq: status.seq,
            active: 0,
            snapshot: Snapshot::none(id),
            stamps: Stamps::new(arena, id)?,
            reads: 0,
            settled: 0,
            named: (NO_SEQ, 0),
            read_log,
            repeats: repeats::Repeats::default(),
            entries: 0,
            // No lock is like it.
            first_lock: !0,
            any_lock: LockWord::locked(LockedBy { participant: id, entry: 0, seq: 0 }),
            own_entries: Box::default(),
            record_start: 0,
            first_entry: WordAddress::new(0),
            entries_beside: 0,
            // A dead one may have left them.
            has_large_logs: true,
            collection_known: None,
            was_refused: false,
            record_ring,
            cache,
            spare_holds: holding::Spare::default(),
            discards: 0,
            limbo,
            pages: pages::Pages::default(),
            waits_for_pages: 0,
            objects_made: 0,
            has_dropped_names: false,
            works: false,
            priority: None,
            failures: 0,
            ended_by: None,
            pause: Pause::No,
            owed_wake: None,
            victims: Vec::new(),
            victims_of: NO_SEQ,
            limits: Limits::default(),
            sleeper: Box::new(run::JustSleep),
            observer: None,
            deadline_ns: None,
            counters: Counters::default(),
            woken: Cell::new(0),
            alternatives: Box::default(),
            hooks: Hooks::default(),
            holds_in: NO_SEQ,
            visible_in: NO_SEQ,
            visible_snapshot: Snapshot::none(id),
            passed: 0,
            met_dead: (AttemptId { participant: id, seq: NO_SEQ }, 0),
            watches: Watches::default(),
            had_lull: false,
            most_reads: 0,
            read_only: false,
            standing: Standing::default(),
            names_in_doubt: false,
            arena: arena.clone(),
            space,
        };
        // Its numbers are the last owner's.
        participant.write_counters();
        Ok(participant)
    }

    /// The space.
    #[inline]
    pub fn space(&self) -> &Arc<Space<P>> {
        &self.space
    }
    /// The memory.
    #[inline]
    pub fn arena(&self) -> &Arena<P> {
        &self.arena
    }
    #[inline]
    fn platform(&self) -> &P {
        self.arena.platform()
    }
    /// Its number.
    #[inline]
    pub fn id(&self) -> ParticipantId {
        self.id
    }
    /// True between `begin` and the end of the attempt.
    #[inline]
    pub fn in_attempt(&self) -> bool {
        self.active != 0
    }
    /// Attempts that the transaction under way has lost so far.
    #[inline]
    pub fn failures(&self) -> u64 {
        self.failures
    }
    /// How many sleepers it has woken so far: a system call each.
    pub fn woken(&self) -> u64 {
        self.woken.get()
    }
    /// Counts those whom a ring woke.
    #[inline]
    fn note_woken(&self, woken: u64) {
        self.woken.set(self.woken.get() + woken);
    }
    /// Replaces what happens around a sleep (a GIL to release, signals to look at).
    pub fn set_sleeper(&mut self, sleeper: Box<dyn Sleeper + Send>) {
        self.sleeper = sleeper;
    }
    /// When waits inside an attempt end with [`Stop::TimedOut`], in ns of `System::now_ns`. Stays until changed.
    pub fn set_deadline(&mut self, deadline_ns: Option<u64>) {
        self.deadline_ns = deadline_ns;
    }

    /// Replaces the limits that this participant holds itself to. For simulations and tests: they are tuned as they are.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        // Relaxed: read by those who wait for an attempt of mine, which may err.
        self.platform().store(self.slot.hung_limit(), limits.hung_ns, Relaxed);
    }

    /// Whether the parts of a transaction that run from here on must not write. Returns what was said before.
    pub fn set_read_only(&mut self, read_only: bool) -> bool {
        std::mem::replace(&mut self.read_only, read_only)
    }

    /// True in a child of the process that took the slot, joined by itself or not: the slot is the parent's.
    #[inline]
    fn is_foreign(&self) -> bool {
        self.platform().incarnation() != self.incarnation
    }
    /// True if it is known at once that this is the process that took the slot: for the everyday ways, which leave the question to the others.
    #[inline(always)]
    pub fn is_surely_at_home(&self) -> bool {
        self.platform().is_surely(self.incarnation)
    }
    /// Whether a lock is of the attempt under way.
    #[inline]
    fn is_mine(&self, by: LockedBy) -> bool {
        by.participant == self.id && by.seq == self.seq
    }
    fn me(&self) -> AttemptId {
        AttemptId { participant: self.id, seq: self.seq }
    }
    #[inline]
    fn status(&self, state: State) -> u64 {
        Status { seq: self.seq, state }.pack()
    }
    /// True while nobody has stopped the attempt. Acquire on the loads before it makes it a check *after* them.
    #[inline]
    #[track_caller]
    fn still(&self, status: u64) -> bool {
        self.platform().load(self.slot.status(), Acquire) == status
    }
    #[cold]
    #[inline(never)]
    fn corrupt(&self, what: &'static str, at: WordAddress, word: u64) -> Stop {
        Corrupt { what, byte_offset: at.byte_offset(), word }.into()
    }

    /// Myself as a policy sees me.
    fn contender(&self) -> Contender {
        let priority = self.priority.unwrap_or(Priority(u64::MAX));
        let mean_duration_ns = self.counters.mean_duration_ns;
        Contender {
            priority,
            starving: self.starves(),
            privileged: self.standing.has_token(),
            irrevocable: self.standing == Standing::Irrevocable,
            mean_duration_ns,
        }
    }
    /// Somebody else as a policy sees him. Relaxed: policy may err, safety does not hang on it. The caller has looked at his
    /// status.
    fn contender_at(&self, slot: Slot) -> Contender {
        let platform = self.platform();
        let priority = Priority(platform.load(slot.priority(), Relaxed));
        // Privilege is no matter of policy: it was stored before the status that the caller has acquired.
        let standing = Standing::from_word(platform.load(slot.starving(), Relaxed));
        Contender {
            priority,
            starving: standing != Standing::Ordinary,
            privileged: standing.has_token(),
            irrevocable: standing == Standing::Irrevocable,
            mean_duration_ns: platform.load(slot.mean_duration(), Relaxed),
        }
    }
    fn starves(&self) -> bool {
        let age = self.priority.map_or(0, |priority| self.tick().0.saturating_sub(priority.tick().0));
        self.failures >= self.limits.starving_attempts || age >= self.limits.starving_ticks
    }

    /// First payload word of the block behind `handle`, which must be of `kind`.
    pub fn open(&self, handle: Handle, kind: BlockKind) -> Result<WordAddress, Stop> {
        let found = self.kind(handle)?;
        if found != kind {
            return Err(Stop::WrongKind { wanted: kind, found });
        }
        Ok(handle.block().offset(BLOCK_HEADER_WORDS))
    }
    /// Kind of the block behind `handle`.
    #[inline]
    pub fn kind(&self, handle: Handle) -> Result<BlockKind, Stop> {
        Ok(allocator::check(self.arena(), handle)?.kind)
    }

    /// Gives the slot back. An attempt under way is aborted.
    pub fn leave(mut self) {
        if self.is_foreign() {
            return;
        }
        self.abort();
        self.free_retired(u64::MAX, Logs::InAnyCase);
        self.write_counters();
        // Relaxed: a number for people.
        self.platform().store(self.slot.retired_words(), self.limbo.words(), Relaxed);
        let arena = &self.arena;
        self.cache = BlockCache::default(); // What is mine goes, and nothing is to remember it.
        let empty = self.space.look(|| allocator::recover(arena, self.id));
        if self.pages.is_due(arena, empty) {
            self.pages.finish(&self.space, self.id, &mut self.cache);
        }
        // Release: pairs with the acquire of the next claim; the slot is at rest.
        let _ = arena.platform().compare_exchange(self.slot.claim(), self.claim.pack(), 0, Release, Relaxed);
    }

    /// Sleeps on the own bell, at most `timeout_ns` and not beyond the deadline.
    ///
    /// `Forked`: it slept in a parent, whose sleeper has run a handler that forked. All that is shared is the parent's, who
    /// sleeps on, and nothing of this attempt is left: the caller goes, and touches no shared word on its way.
    fn sleep(&mut self, bell: Bell, timeout_ns: u64) -> Result<(), Stop> {
        const SLICE_NS: u64 = 50_000_000;
        let mut timeout_ns = timeout_ns.min(SLICE_NS);
        if let Some(deadline) = self.deadline_ns {
            let now = self.platform().now_ns();
            if now >= deadline {
                return Err(Stop::TimedOut);
            }
            timeout_ns = timeout_ns.min(deadline - now);
        }
        self.counters.sleeps += 1;
        self.write_counters();
        let arena = &self.arena;
        let worked_ns = self.counters.began_ns.map(|began| arena.platform().now_ns().saturating_sub(began));
        let go_on = self.sleeper.sleep(&mut || {
            bell.sleep(arena, timeout_ns);
        });
        if self.is_foreign() {
            self.forget();
            return Err(Stop::Forked);
        }
        // What it waits for is no part of how long it takes: who counts as slow is stopped by nobody for his age, and nor are those near him.
        self.counters.began_ns = worked_ns.map(|worked| self.platform().now_ns().saturating_sub(worked));
        if go_on { Ok(()) } else { Err(Stop::Interrupted) }
    }
}
