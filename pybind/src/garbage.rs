//! When containers that nothing names any more are looked for: on demand, and by the way.
//!
//! By the way: whoever has made many containers, or much more of anything than it has freed, goes on with a collection a little each time that it makes some more,
//! so that no operation takes much longer than another. Between these steps the collection rests, and another process may take over.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pso_engine::allocator;
use pso_engine::collection::{Collection, Patience, Step};
use pso_engine::error::Corrupt;
use pso_engine::transaction::{Progress, WholeCollection};

use crate::ffi::{Any, Kind, Python, Raised, Result, error, gil};
use crate::member::Member;
use crate::space::{Space, Tx};

/// Containers that a process makes before it is worth looking, at least. Else half of what the last look found in use.
const FIRST_DUE: u64 = 4096;
/// Words by which memory grows, the same: 8 MiB. Else by what was in use before all that was made since the last look, which may be garbage: few containers may own much.
const FIRST_DUE_WORDS: u64 = 1 << 20;
/// The next steps come with the next container, or when memory has grown by 4 KiB.
const GROWN_BETWEEN_STEPS: u64 = 1 << 9;
/// Steps by the way, each of some tens of microseconds, in which a thousand words are traced; and blocks freed.
const STEPS_BY_THE_WAY: u32 = 8;
const WORDS_OF_A_STEP: u64 = 1024;
const FREED_BY_THE_WAY: u64 = 256;
/// Steps of freeing something that owns much: a tenth of a millisecond or two. Each frees a block, of four words or more, or looks at some cells.
const STEPS_OF_FREEING: u64 = 2048;
const WORDS_OF_A_STEP_OF_FREEING: u64 = 2;
/// Where somebody else collects: a pause each time that so many containers were made.
const PAUSE_FOR_OTHERS: Duration = Duration::from_micros(500);
const MADE_BETWEEN_PAUSES: u64 = 8;
const GROWN_BETWEEN_PAUSES: u64 = 8 * GROWN_BETWEEN_STEPS;
/// So many, and he is taken for stopped.
const MOST_PAUSES: u32 = 256;
/// What a participant may have retired and not freed before it retires more: 1 MiB.
const MOST_RETIRED_WORDS: u64 = 1 << 17;
/// Pauses before it is worth looking for the dead.
const PAUSES_TO_A_LOOK: u32 = 16;
/// Steps between two looks at Python's signals.
const STEPS_AT_ONCE: u32 = 256;
/// The same where it is to take a share of a processor only: a few milliseconds.
const STEPS_OF_A_SHARE: u32 = 64;
/// Pauses for those who keep memory from going back to the system: they keep it from nobody who wants to use it.
const GIVING_BACK_TRIES: u32 = 16;
/// A wait for somebody else: each pause, and all pauses in a row.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody looks at Python's signals in a pause, at most.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// The longest pause of whoever takes a share only: others take him for stopped after half a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What a space of one interpreter knows about its collections.
#[derive(Default)]
pub struct Garbage {
    /// So many more containers make the next step due.
    due: Cell<u64>,
    /// Or so many words more.
    due_words: Cell<u64>,
    /// A collection that rests.
    resting: RefCell<Option<Collection>>,
    /// The last collection that was known here.
    seen: Cell<u64>,
    /// Pauses for a collection of somebody else.
    pauses: Cell<u32>,
    /// Threads of this interpreter that are in the middle of a whole collection: what they have found nobody else can free.
    collectors: Cell<u32>,
}

/// One of [`Garbage::collectors`], until it is dropped.
struct Collector<'a>(&'a Garbage);

impl<'a> Collector<'a> {
    fn begins(garbage: &'a Garbage) -> Self {
        garbage.collectors.set(garbage.collectors.get() + 1);
        Self(garbage)
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        self.0.collectors.set(self.0.collectors.get().saturating_sub(1));
    }
}

impl Garbage {
    /// Of a space just opened. `last`: the number of the last collection.
    pub fn new(last: u64) -> Self {
        let garbage = Self::default();
        garbage.begin_anew(last);
        garbage
    }

    /// Processes that come and go, and of which each makes little, make as much together as one that stays: so the first look of each is due somewhere before that of one who
    /// makes much, all alike, and so many are begun as if one had made all. (A look that one of them does not finish is begun anew.)
    fn begin_anew(&self, last: u64) {
        // Another one for each process, also for those that are forks of one.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        let random = hasher.finish();
        self.due.set(1 + random % FIRST_DUE);
        self.due_words.set(1 + random / FIRST_DUE % FIRST_DUE_WORDS);
        // One that is over is nothing new.
        self.seen.set(last);
    }

    /// In another life of the space here: what rested was begun in the name of somebody else.
    pub fn forget(&self, last: u64) {
        drop(self.resting.take());
        self.begin_anew(last);
        self.collectors.set(0);
    }

    /// Before the space is closed: a collection that rests is not left to others, who would wait before they take over.
    pub fn close(&self, tx: &mut Tx) {
        if let Some(resting) = self.resting.take() {
            tx.close_collection(resting);
        }
    }

    /// In a full space: waits for the threads of this interpreter that collect, but not for ever. False: there was none.
    ///
    /// # Errors
    /// A signal handler has raised.
    pub fn wait_for_collectors(&self, py: Python<'_>) -> Result<bool> {
        let began = Instant::now();
        let waits = self.collectors.get() != 0;
        while self.collectors.get() != 0 && began.elapsed() < PATIENCE {
            if !leave_to_others(PAUSE) {
                return Err(interrupted(py));
            }
        }
        Ok(waits)
    }

    /// Whether the member has made so much that it is time to go on with a collection.
    #[inline]
    pub fn is_due(&self, member: &mut Member) -> bool {
        member.participant.objects_made() >= self.due.get()
            || (member.participant.may_have_made_garbage() && member.grown_words() >= self.due_words.get())
            || member.participant.is_in_the_middle_of_freeing()
    }

    /// Goes on with a collection, or begins one. The member is at work for nobody.
    #[cold]
    pub fn go_on(&self, member: &mut Member) {
        self.do_a_piece(member);
        member.note_piece();
    }

    /// A piece that keeps pace: whoever makes much at once does as much for it, or the space would be full before the collection is over.
    fn do_a_piece(&self, member: &mut Member) {
        let grown = member.grown_since_piece();
        let tx = &mut member.participant;
        if tx.is_in_the_middle_of_freeing() {
            tx.collect_at_most(STEPS_OF_FREEING.max(grown / WORDS_OF_A_STEP_OF_FREEING));
            return;
        }
        let mut steps = STEPS_BY_THE_WAY;
        let mine = match self.resting.take() {
            Some(resting) => {
                steps = steps.max(u32::try_from(grown / WORDS_OF_A_STEP).unwrap_or(u32::MAX));
                Some(resting).filter(|resting| tx.resume_collection(resting))
            }
            None => {
                let (last, under_way) = tx.last_collection();
                if self.seen.replace(last) != last && !under_way {
                    // Somebody else has been through meanwhile.
                    return self.look_later(member, FIRST_DUE, FIRST_DUE_WORDS);
                }
                tx.open_collection(Patience::BY_THE_WAY)
            }
        };
        let Some(mut collection) = mine else { return self.give_way(member) };
        self.seen.set(tx.last_collection().0);
        self.pauses.set(0);
        for _ in 0..steps {
            // What is condemned can wait: not so what was retired, which goes with this participant only.
            if tx.retired_words() > MOST_RETIRED_WORDS && tx.is_freeing_due() {
                break;
            }
            match tx.collection_step(&mut collection) {
                Step::Went => {}
                Step::Over(collected) => {
                    free_by_the_way(tx);
                    let in_use = allocator::claimed_words(tx.arena());
                    let older = in_use.saturating_sub(member.grown_words());
                    return self.look_later(member, collected.kept / 2, older);
                }
                Step::Lost => return self.give_way(member),
            }
        }
        let tx = &mut member.participant;
        tx.rest_collection(&collection);
        free_by_the_way(tx);
        self.due.set(tx.objects_made() + 1);
        self.due_words.set(member.grown_words() + GROWN_BETWEEN_STEPS);
        self.resting.replace(Some(collection));
    }

    /// Somebody else collects. Who makes containers as fast as ever meanwhile makes more than he can find.
    fn give_way(&self, member: &mut Member) {
        // Not for ever: he may be stopped.
        self.pauses.set(self.pauses.get() + 1);
        if self.pauses.get() > MOST_PAUSES {
            self.pauses.set(0);
            return self.look_later(member, FIRST_DUE, FIRST_DUE_WORDS);
        }
        self.due.set(member.participant.objects_made() + MADE_BETWEEN_PAUSES);
        self.due_words.set(member.grown_words() + GROWN_BETWEEN_PAUSES);
        gil::pause_without_lock(&mut || std::thread::sleep(PAUSE_FOR_OTHERS));
    }

    fn look_later(&self, member: &mut Member, containers: u64, words: u64) {
        member.forget_made();
        self.due.set(containers.max(FIRST_DUE));
        self.due_words.set(words.max(FIRST_DUE_WORDS));
    }
}

/// Somebody may hold much of it for long: then it is left alone as others leave it.
fn free_by_the_way(tx: &mut Tx) {
    if tx.retired_words() <= MOST_RETIRED_WORDS || tx.is_freeing_due() {
        tx.collect_at_most(FREED_BY_THE_WAY);
    }
}

/// How much of one processor a collection takes at most.
#[derive(Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Default for Share {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Share {
    /// Whoever takes less pauses for so long that others take him for stopped.
    const LEAST: f64 = 0.01;

    /// # Errors
    /// `TypeError` if it is no number, `ValueError` if it is no such share.
    pub fn of(py: Python<'_>, share: &Any) -> Result<Self> {
        let share = share.seconds(py)?;
        if !(Self::LEAST..=1.0).contains(&share) {
            return Err(
                Kind::Value.raise(py, format!("a share of a processor is from {} to 1, not {share}", Self::LEAST))
            );
        }
        Ok(Self(share))
    }

    fn steps_at_once(self) -> u32 {
        if self == Self::default() { STEPS_AT_ONCE } else { STEPS_OF_A_SHARE }
    }

    /// How long to leave the processor to others after so much work.
    fn pause_after(self, worked: Duration) -> Duration {
        worked.mul_f64(1.0 / self.0 - 1.0).min(LONGEST_PAUSE)
    }
}

/// What a collection has come to.
pub struct Freed {
    /// What was freed, of whatever kind.
    pub bytes: u64,
    /// What could not be read: then it has found nothing.
    pub damage: Option<Corrupt>,
}

/// One collection from its begin to its end, without the interpreter's lock while it works. Waits for whoever collects, and for those
/// who are in the middle of a transaction, but not for ever.
pub fn collect(py: Python<'_>, space: &Space, share: Share) -> Result<Freed> {
    // Bounded by the forks of signal handlers: what was begun goes on in the parent, the child begins anew.
    loop {
        let mut member = space.take_member(py)?;
        let freed = collect_in(py, space, &mut member, share);
        let forked = member.is_foreign();
        space.put_member(member);
        if !forked || freed.is_err() {
            return freed;
        }
    }
}

/// The same by a member that is in no attempt: in a full space there may be no room for another one. Whoever finds it foreign after knows that nothing was
/// done in this process.
pub fn collect_with(py: Python<'_>, space: &Space, member: &mut Member) -> Result<Freed> {
    collect_in(py, space, member, Share::default())
}

fn collect_in(py: Python<'_>, space: &Space, member: &mut Member, share: Share) -> Result<Freed> {
    let _collector = Collector::begins(&space.garbage);
    let shared = Arc::clone(member.participant.space());
    // What the dead held is not held.
    shared.recover_dead();
    shared.empty_put_off();
    let before = member.participant.freed_words();
    let damage = run(py, member, share, End::AllFreed)?;
    let mut words = member.participant.freed_words() - before;
    // What those had replaced who are gone waits in places that nobody may take for long.
    let mut others = || {
        words += shared.inherit();
        shared.keep_place_ready();
    };
    if !gil::sleep_without_lock(&mut others) {
        return Err(interrupted(py));
    }
    Ok(Freed { bytes: words * 8, damage })
}

/// Sees to it that no collection is under way, or not the one that was: then of what is in use nothing is garbage that is about to be freed. In a transaction, too: another
/// participant goes through it, and keeps what the transaction knows as it keeps what others know. Waits as [`collect`] does, but for nothing that is held to be freed.
pub fn settle(py: Python<'_>, space: &Space) -> Result<()> {
    let mut member = space.take_member(py)?;
    let done = run(py, &mut member, Share::default(), End::AllFound);
    if member.is_foreign() {
        // Whoever asks again does so in the child's own name.
        return done.map(drop);
    }
    // What it has retired nobody else frees. What is held stays, and is not waited for.
    let mut free = || {
        member.participant.collect();
    };
    let goes_on = match &done {
        Ok(_) => gil::sleep_without_lock(&mut free),
        // No handler is to run while what another one has raised is on its way.
        Err(_) => {
            gil::pause_without_lock(&mut free);
            true
        }
    };
    space.put_member(member);
    if goes_on { done.map(drop) } else { Err(interrupted(py)) }
}

/// How far to go with a collection.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// None is under way: all that there was to find is found.
    AllFound,
    /// What was found is freed.
    AllFreed,
}

/// Gives what could not be read.
///
/// In the child of a signal handler that forks it does no more, and drops what it was at, which is the parent's.
fn run(py: Python<'_>, member: &mut Member, share: Share, end: End) -> Result<Option<Corrupt>> {
    let mut whole = WholeCollection::default();
    let (mut pauses, mut waits_since, mut damage) = (0, None, None);
    // Bounded by `PATIENCE` where it waits, by the blocks of the space where it works, by somebody else's marking where it helps.
    let (goes_on, is_over) = loop {
        if member.is_foreign() {
            return Ok(None);
        }
        let mut progress = Progress::Went;
        let tx = &mut member.participant;
        let (freed, mut worked) = (tx.freed_words(), Duration::ZERO);
        let mut goes_on = gil::sleep_without_lock(&mut || {
            let began = Instant::now();
            progress = tx.go_on_with(&mut whole, share.steps_at_once());
            worked = began.elapsed();
        });
        let rest = share.pause_after(worked);
        let is_over = matches!(progress, Progress::Over(_)) || (end == End::AllFound && !tx.last_collection().1);
        let went = matches!(progress, Progress::Went);
        if let Progress::Over(collected) | Progress::Waits(collected) = progress {
            damage = collected.damage;
        }
        // Who only finds out once more that what is left is held goes no further.
        if went && (!whole.has_found_all() || tx.freed_words() != freed) {
            waits_since = None;
        }
        if goes_on && went {
            goes_on = leave_to_others(rest);
        } else if goes_on && !is_over {
            waits_since.get_or_insert_with(Instant::now);
            pauses += 1;
            if pauses % PAUSES_TO_A_LOOK == 0 {
                tx.space().recover_dead();
            }
            goes_on = leave_to_others(rest.max(PAUSE));
        }
        if is_over || !goes_on || waits_since.is_some_and(|since: Instant| since.elapsed() > PATIENCE) {
            break (goes_on, is_over);
        }
    };
    if member.is_foreign() {
        return if goes_on { Ok(None) } else { Err(interrupted(py)) };
    }
    member.participant.give_up(whole);
    if goes_on && (!is_over || end == End::AllFound || give_back(member)) {
        return Ok(damage);
    }
    Err(interrupted(py))
}

/// What a signal handler has raised.
pub fn interrupted(py: Python<'_>) -> Raised {
    error::taken(py).unwrap_or_else(|| Kind::Runtime.raise(py, "interrupted"))
}

/// Gives memory back to the system, with some patience for those who are in the middle of something. False: interrupted.
fn give_back(member: &mut Member) -> bool {
    for _ in 0..GIVING_BACK_TRIES {
        // A signal handler may fork: the pages are the parent's to give.
        let mut is_over = member.is_foreign();
        if !is_over && !gil::sleep_without_lock(&mut || is_over = member.participant.give_back_pages()) {
            return false;
        }
        if is_over {
            break;
        }
        if !leave_to_others(PAUSE) {
            return false;
        }
    }
    true
}

/// A pause without the interpreter's lock.
///
/// # Errors
/// A signal handler has raised.
pub fn pause(py: Python<'_>, rest: Duration) -> Result<()> {
    if leave_to_others(rest) { Ok(()) } else { Err(interrupted(py)) }
}

/// A pause, in pieces where it is long: signals are looked at in between. False: interrupted.
fn leave_to_others(rest: Duration) -> bool {
    let began = Instant::now();
    // To wait for the interpreter's lock is part of it.
    while let Some(left) = rest.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        if !gil::sleep_without_lock(&mut || std::thread::sleep(left.min(LONGEST_SLEEP))) {
            return false;
        }
    }
    true
}
