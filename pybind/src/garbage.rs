//! When containers that nothing names any more are looked for: on demand, and by the way.
//!
//! By the way: whoever has made many containers goes on with a collection a little each time that it makes one more, so that no operation
//! takes much longer than another. Between these steps the collection rests, and another process may take over.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pso_engine::collection::{Collection, Step};

use crate::ffi::{Kind, Python, Result, error, gil};
use crate::member::Member;
use crate::space::Space;

/// Containers that a process makes before it is worth looking, at least. Else half of what the last look found in use.
const FIRST_DUE: u64 = 4096;
/// Steps by the way, each of some tens of microseconds; and blocks freed.
const STEPS_BY_THE_WAY: u32 = 8;
const FREED_BY_THE_WAY: u64 = 256;
/// Steps between two looks at Python's signals.
const STEPS_AT_ONCE: u32 = 256;
/// A wait for somebody else: each, and all together.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(1);

/// What a space of one interpreter knows about its collections.
#[derive(Default)]
pub struct Garbage {
    /// So many more containers make the next step due.
    due: Cell<u64>,
    /// A collection that rests.
    resting: RefCell<Option<Collection>>,
}

impl Garbage {
    /// Of a space just opened.
    pub fn new() -> Self {
        Self { due: Cell::new(FIRST_DUE), resting: RefCell::default() }
    }

    /// Whether the member has made so many containers that it is time to go on with a collection.
    #[inline]
    pub fn is_due(&self, member: &Member) -> bool {
        member.participant.objects_made() >= self.due.get()
    }

    /// Goes on with a collection, or begins one. The member is at work for nobody.
    #[cold]
    pub fn go_on(&self, member: &mut Member) {
        let tx = &mut member.participant;
        let resting = self.resting.take().filter(|collection| tx.resume_collection(collection));
        let Some(mut collection) = resting.or_else(|| tx.open_collection()) else {
            // Somebody else is at it.
            return self.look_later(member, FIRST_DUE);
        };
        for _ in 0..STEPS_BY_THE_WAY {
            match tx.collection_step(&mut collection) {
                Step::Went => {}
                Step::Waits => break,
                Step::Over(collected) => return self.look_later(member, collected.kept / 2),
                Step::Lost => return self.look_later(member, FIRST_DUE),
            }
        }
        tx.rest_collection(&collection);
        tx.collect_at_most(FREED_BY_THE_WAY);
        // Again with the next container that is made.
        self.due.set(tx.objects_made() + 1);
        self.resting.replace(Some(collection));
    }

    fn look_later(&self, member: &mut Member, containers: u64) {
        member.participant.forget_objects_made();
        self.due.set(containers.max(FIRST_DUE));
    }
}

/// One collection from its begin to its end, without the interpreter's lock while it works. Waits for whoever collects, and for those who are in
/// the middle of a transaction, but not for ever.
/// Gives the bytes that were freed.
pub fn collect(py: Python<'_>, space: &Space) -> Result<u64> {
    // What the dead held is not held.
    let membership = space.membership(py)?;
    membership.space().recover_dead();
    membership.space().empty_put_off();
    let mut member = space.take_member(py)?;
    let before = member.participant.freed_words();
    let result = collect_with(py, &mut member);
    let freed = member.participant.freed_words() - before;
    space.put_member(member);
    result.map(|()| freed * 8)
}

fn collect_with(py: Python<'_>, member: &mut Member) -> Result<()> {
    let began = Instant::now();
    let mut under_way: Option<Collection> = None;
    // Bounded by `PATIENCE` where it waits, by the blocks of the space where it works.
    loop {
        let tx = &mut member.participant;
        let mut waits = false;
        let mut over = false;
        let mut work = || {
            let Some(collection) = under_way.as_mut() else {
                under_way = tx.open_collection();
                waits = under_way.is_none();
                return;
            };
            for _ in 0..STEPS_AT_ONCE {
                match tx.collection_step(collection) {
                    Step::Went => continue,
                    Step::Waits => waits = true,
                    Step::Over(_) | Step::Lost => over = true,
                }
                break;
            }
            if over {
                tx.collect();
            }
        };
        let mut go_on = gil::sleep_without_lock(&mut work);
        let out_of_time = waits && began.elapsed() > PATIENCE;
        if go_on && waits && !out_of_time {
            member.participant.space().recover_dead();
            go_on = gil::sleep_without_lock(&mut || std::thread::sleep(PAUSE));
        }
        if go_on && !over && !out_of_time {
            continue;
        }
        if let Some(collection) = under_way.filter(|_| !over) {
            member.participant.close_collection(collection);
        }
        let raised = || error::taken(py).unwrap_or_else(|| Kind::Runtime.raise(py, "interrupted"));
        return if go_on { Ok(()) } else { Err(raised()) };
    }
}
