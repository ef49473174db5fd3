//! Who runs operations: a participant of the engine, with a sleeper that gives the interpreter's lock up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pso_engine::platform::System;
use pso_engine::platform::native::Native;
use pso_engine::space::JoinError;
use pso_engine::transaction::{Participant, Sleeper};

use crate::ffi::gil;
use crate::registry::Membership;

/// A participant and its share of the membership. Belongs to the space object of one interpreter; whoever uses it has
/// taken it out of its place, so nobody meets it at work.
pub struct Member {
    /// The engine's.
    pub participant: Participant<Native>,
    membership: Arc<Membership>,
    /// The incarnation of the process that has the place.
    incarnation: u64,
    /// Which recording it takes part in: the number of the membership's, as last looked at.
    recording: u64,
    /// What [`Participant::grown_words`] said when it was lowest, since [`Self::forget_made`].
    lowest: i64,
    /// What it said after the last piece of a collection.
    at_last_piece: i64,
}

impl Member {
    /// Takes a place in the participant table. `closed` ends its sleeps.
    pub fn join(membership: &Arc<Membership>, closed: &Arc<AtomicBool>) -> Result<Box<Self>, JoinError> {
        let mut participant = membership.participant()?;
        participant.set_sleeper(Box::new(PythonSleeper { closed: Arc::clone(closed) }));
        let mut member = Box::new(Self {
            participant,
            membership: Arc::clone(membership),
            incarnation: membership.native().incarnation(),
            recording: 0,
            lowest: 0,
            at_last_piece: 0,
        });
        member.attend();
        Ok(member)
    }
    /// Whether its place is that of the process that this one was forked from: then it is dropped, and touches nothing on its way.
    #[inline]
    pub fn is_foreign(&self) -> bool {
        !self.participant.is_surely_at_home() && self.membership.native().incarnation() != self.incarnation
    }
    /// The same while nobody has joined for this process.
    #[inline]
    pub fn is_forked(&self) -> bool {
        !self.participant.is_surely_at_home() && self.membership.native().forked()
    }
    /// After a transaction, which has committed or not: nothing of it is left.
    #[inline]
    pub fn end(&mut self, committed: bool) {
        if committed {
            self.participant.abort_committed();
        } else {
            self.participant.abort();
        }
        self.participant.set_deadline(None);
        self.participant.set_read_only(false);
    }
    /// Before it works: takes part in a recording that has begun, and in one that has ended no longer.
    #[inline]
    pub fn attend(&mut self) {
        let number = self.membership.recordings().number();
        if number != self.recording {
            self.change_recording(number);
        }
    }
    /// Words by which memory has grown through this member since it was least: what is freed in the meantime is no credit for what is made after.
    #[inline]
    pub fn grown_words(&mut self) -> u64 {
        let now = self.participant.grown_words();
        self.lowest = self.lowest.min(now);
        now.abs_diff(self.lowest)
    }
    /// Words by which it has grown since the last piece of a collection, which this one has to keep pace with.
    pub fn grown_since_piece(&self) -> u64 {
        u64::try_from(self.participant.grown_words() - self.at_last_piece).unwrap_or(0)
    }
    /// A piece of a collection is over.
    pub fn note_piece(&mut self) {
        self.at_last_piece = self.participant.grown_words();
    }
    /// Counts what it makes from 0 again: objects, and words.
    pub fn forget_made(&mut self) {
        self.participant.forget_objects_made();
        self.lowest = self.participant.grown_words();
    }
    #[cold]
    fn change_recording(&mut self, number: u64) {
        self.recording = number;
        self.participant.set_observer(self.membership.recordings().observer(self.membership.space()));
    }
    /// Gives the place back.
    pub fn leave(self: Box<Self>) {
        let Self { participant, membership: _membership, .. } = *self;
        participant.leave();
    }
}

/// Sleeps without the interpreter's lock and runs signal handlers after.
struct PythonSleeper {
    closed: Arc<AtomicBool>,
}

impl Sleeper for PythonSleeper {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        // Acquire: pairs with the Release in `Space::close`, though nothing else is published by it.
        gil::sleep_without_lock(sleep) && !self.closed.load(Ordering::Acquire)
    }
}
