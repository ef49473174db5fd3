//! A participant's part in collections (see `collection`).

use super::Participant;
use crate::collection::{self, Collected, Collection, Help, Helping, Patience, Seat, Step};
use crate::error::Stop;
use crate::holding;
use crate::platform::Platform;
use crate::reclamation::Logs;
use crate::recovery;

/// How a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionEnd {
    /// All was looked at. Some of it may wait to be freed, for somebody in the middle of an attempt holds it.
    Finished(Collected),
    /// Somebody else collects.
    Busy,
}

/// A collection from its begin to the end of what it frees. Whoever drops it without [`Participant::give_up`] leaves it to others, who take over after a while.
#[derive(Debug, Default)]
pub struct WholeCollection(Stage);

impl WholeCollection {
    /// Whether all is found, and what is left is to free it.
    pub fn has_found_all(&self) -> bool {
        matches!(self.0, Stage::Frees(_))
    }
}

/// How far it has come.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Begins,
    /// Somebody else collects.
    Helps(Box<Helping>),
    Goes(Box<Collection>),
    /// All is found; some may be held by those who have begun before.
    Frees(Collected),
}

/// What a piece of a whole collection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Went,
    /// All is found; somebody in the middle of an attempt holds some of it: nothing can be done but wait.
    Waits(Collected),
    /// Somebody else collects, and there is nothing to help with, or he has taken over: it begins anew with the next piece.
    Busy,
    /// All is freed.
    Over(Collected),
}

/// Blocks that one step frees, about: as long as another step takes.
const FREED_IN_A_STEP: u64 = 1024;
/// What may be retired before some of it is freed while a collection goes on.
const MOST_RETIRED_WORDS: u64 = 1 << 17;
/// A pause of whoever waits for those who began before.
const PAUSE_NS: u64 = 100_000;
/// Pauses between two looks for the dead.
const PAUSES_TO_A_LOOK: u32 = 20;

impl<P: Platform> Participant<P> {
    /// Frees what nothing in the space names any more and no process holds: containers, with all that only they own, rings of them
    /// too, and tuples that were shared. Others go on meanwhile. Where somebody in the middle of an attempt
    /// holds some of it, it is waited for at most `patience_ns`. Not inside an attempt.
    ///
    /// Cost: three loads for each block of the space or so; commits of others read twice what they overwrite.
    ///
    /// # Errors
    /// `Interrupted` from a wait. `Forked` in a child of the process that took the slot.
    pub fn collect_objects(&mut self, patience_ns: u64) -> Result<CollectionEnd, Stop> {
        let mut whole = WholeCollection::default();
        let (mut pauses, mut waits_since) = (0, None);
        // Bound: a step that went is one of finitely many (see `passes`), one that waits is under the caller's patience.
        loop {
            match self.go_on_with(&mut whole, 1) {
                Progress::Went => {}
                Progress::Over(collected) => return Ok(CollectionEnd::Finished(collected)),
                Progress::Busy if self.is_foreign() => return Err(Stop::Forked),
                Progress::Busy => return Ok(CollectionEnd::Busy),
                Progress::Waits(collected) => {
                    let now = self.platform().now_ns();
                    if now.saturating_sub(*waits_since.get_or_insert(now)) > patience_ns {
                        return Ok(CollectionEnd::Finished(collected));
                    }
                    pauses += 1;
                    if pauses % PAUSES_TO_A_LOOK == 0 {
                        recovery::recover_dead(&self.space);
                    }
                    self.pause_for(PAUSE_NS)?;
                }
            }
        }
    }

    /// Goes on with a whole collection: up to `steps` steps of some tens of microseconds. The caller pauses where it waits, looks for the dead now and
    /// then, and does not wait for ever. In a child of a fork somebody else collects: the parent.
    pub fn go_on_with(&mut self, whole: &mut WholeCollection, steps: u32) -> Progress {
        if self.is_foreign() {
            *whole = WholeCollection::default();
            return Progress::Busy;
        }
        match &mut whole.0 {
            Stage::Begins => match self.open_collection(Patience::IN_A_HURRY) {
                Some(collection) => whole.0 = Stage::Goes(Box::new(collection)),
                None => match self.offer_help() {
                    Some(helping) => whole.0 = Stage::Helps(Box::new(helping)),
                    None => return Progress::Busy,
                },
            },
            Stage::Helps(helping) => {
                let end = (0..steps)
                    .map(|_| self.helping_step(helping, collection::TRACED_AT_ONCE))
                    .find(|help| *help != Help::Went);
                if let Some(end) = end {
                    *whole = WholeCollection::default();
                    // Who has nothing to do asks again whether he can collect himself.
                    return if end == Help::Idle { Progress::Busy } else { Progress::Went };
                }
            }
            Stage::Goes(collection) => {
                for _ in 0..steps {
                    match self.collection_step(collection) {
                        Step::Went => continue,
                        Step::Over(collected) => whole.0 = Stage::Frees(collected),
                        Step::Lost => {
                            *whole = WholeCollection::default();
                            return Progress::Busy;
                        }
                    }
                    break;
                }
                // What is retired nobody else frees: whoever is stopped in the middle is not to keep it all.
                if self.retired_words() > MOST_RETIRED_WORDS && self.is_freeing_due() {
                    self.collect_with(u64::from(steps) * FREED_IN_A_STEP, Logs::InAnyCase);
                }
            }
            Stage::Frees(collected) => {
                let collected = *collected;
                let freed = self.collect_with(u64::from(steps) * FREED_IN_A_STEP, Logs::InAnyCase);
                return match self.retired_words() {
                    0 => Progress::Over(collected),
                    _ if freed > 0 || self.is_finding_out() => Progress::Went,
                    _ => Progress::Waits(collected),
                };
            }
        }
        Progress::Went
    }

    /// Ends one that is not over.
    pub fn give_up(&mut self, whole: WholeCollection) {
        if let Stage::Goes(collection) = whole.0 {
            self.close_collection(*collection);
        }
    }

    /// Would help whoever collects, by tracing what he has found. `None`: there is nobody who admits help, or not yet; or this participant is in an
    /// attempt.
    pub fn offer_help(&mut self) -> Option<Helping> {
        if self.active != 0 || self.is_foreign() {
            return None;
        }
        Helping::offer(&self.seat())
    }

    /// Helps by tracing `most` words, or somewhat more: 1,024 take some tens of microseconds.
    pub fn helping_step(&mut self, helping: &mut Helping, most: u64) -> Help {
        if self.active != 0 || self.is_foreign() {
            return Help::Over;
        }
        let space = std::sync::Arc::clone(&self.space);
        space.look(|| helping.step(&self.seat(), most))
    }

    /// Begins a collection, to be gone on with by [`Self::collection_step`]. From somebody who collects it is taken as `patience` says. `None`:
    /// it is to be left to somebody else, or this participant is in an attempt.
    pub fn open_collection(&mut self, patience: Patience) -> Option<Collection> {
        if self.active != 0 || self.is_foreign() {
            return None;
        }
        let space = std::sync::Arc::clone(&self.space);
        Collection::open(&self.seat(), patience, |claim| {
            // Its participants first: what one was about to retire is left alone as long as it seems to be at it.
            recovery::process_is_dead(space.arena(), claim) && {
                recovery::recover_dead(&space);
                !recovery::anybody_claims(space.arena(), claim)
            }
        })
    }

    /// Lets a collection rest: somebody else may begin anew meanwhile.
    pub fn rest_collection(&mut self, collection: &Collection) {
        if !self.is_foreign() {
            collection.rest(&self.seat());
        }
    }

    /// Takes it up again. False: somebody else has taken over, and this one is to be dropped.
    pub fn resume_collection(&mut self, collection: &Collection) -> bool {
        self.active == 0 && !self.is_foreign() && collection.resume(&self.seat())
    }

    /// Number of the last collection that was begun, by anybody; and whether one is under way.
    pub fn last_collection(&self) -> (u64, bool) {
        let last = collection::last(self.arena());
        (last.number, last.under_way)
    }

    /// How many objects this participant has made since [`Self::forget_objects_made`]: containers, whether or not their attempt committed.
    #[inline]
    pub fn objects_made(&self) -> u64 {
        self.objects_made
    }

    /// Notes that the attempt takes out a name of an object that goes when no name is left.
    pub(crate) fn note_dropped_name(&mut self) {
        self.has_dropped_names = true;
    }

    /// Whether it may have made garbage since [`Self::forget_objects_made`]: it has made objects, or taken out names of some, whether or not the attempt committed.
    #[inline]
    pub fn may_have_made_garbage(&self) -> bool {
        self.objects_made != 0 || self.has_dropped_names
    }

    /// Begins to count anew.
    pub fn forget_objects_made(&mut self) {
        self.objects_made = 0;
        self.has_dropped_names = false;
    }

    /// By how many words of memory what this participant has made, of whatever kind, exceeds what it has freed, whoever had made that. For whoever decides when to
    /// collect: what nothing names is not freed before. Exact but for what is made in advance, 32 blocks of a size at most.
    #[inline]
    pub fn grown_words(&self) -> i64 {
        self.cache.grown_words()
    }

    /// Some tens of microseconds of a collection.
    pub fn collection_step(&mut self, collection: &mut Collection) -> Step {
        if self.active != 0 || self.is_foreign() {
            return Step::Lost;
        }
        let space = std::sync::Arc::clone(&self.space);
        space.look(|| collection.step(&mut self.seat(), |visit| holding::for_each_held(space.arena(), visit)))
    }

    /// Ends a collection that is not over.
    pub fn close_collection(&mut self, mut collection: Collection) {
        if !self.is_foreign() {
            collection.close(&self.seat());
        }
    }

    fn seat(&mut self) -> Seat<'_, P> {
        Seat { arena: &self.arena, id: self.id, slot: self.slot, claim: self.claim, limbo: &mut self.limbo }
    }
}
