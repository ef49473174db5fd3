//! Grey blocks, and what they name: by whoever collects, and by those who help him.

use super::colour::{colour, is_condemned};
use super::doubt::{Place, damaged_mark, stands};
use super::reach::{Found, Retired, each_word, reach, some_words};
use super::role::{Right, Seat, is_in_use};
use crate::allocator;
use crate::error::{Corrupt, Stop};
use crate::platform::Platform;
use crate::word::{Colour, Handle};

/// Names that wait to be traced, at most: 512 KiB. What is not noted is grey all the same, and found in a look over all blocks.
pub const MOST_PENDING: usize = 1 << 16;
/// Words that one step traces, or somewhat more.
pub const TRACED_AT_ONCE: u64 = 1024;

/// An array of cells, of which those from a number on are not traced yet.
#[derive(Clone, Copy, Debug)]
struct Part {
    array: Handle,
    from: u64,
    /// Where it was named.
    place: Option<Place>,
}

/// Who traces what is large. Two at the same object find the same; it would be in vain, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Whatever there is, and nobody else does.
    All,
    /// Whatever there is, and says so.
    First,
    /// What the first one is not at.
    Rest,
}

impl Share {
    /// Whether to go on with an object.
    fn takes<P: Platform>(self, seat: &Seat<'_, P>, large: Handle) -> bool {
        match self {
            Self::All => true,
            Self::First => {
                seat.say_large(large);
                true
            }
            Self::Rest => !seat.is_large_of_another(large),
        }
    }
}

/// What one process has found to be grey and not traced yet.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    objects: Vec<Handle>,
    /// The one that is being traced, and its arrays of cells that are not traced yet.
    tracing: Option<Handle>,
    arrays: Vec<Part>,
    /// A list could not grow, or something is condemned that can be reached: what is grey is left as it is.
    pub starved: bool,
    /// What could not be read.
    pub damage: Option<Corrupt>,
}

impl Tracer {
    /// What is left grey others find, or who collects ends it.
    pub fn has_to_end(&self) -> bool {
        self.starved || self.damage.is_some()
    }

    pub fn is_done(&self) -> bool {
        self.objects.is_empty() && self.arrays.is_empty() && self.tracing.is_none()
    }

    /// A block that is grey.
    pub fn push(&mut self, grey: Handle) {
        self.starved |= !push(&mut self.objects, grey);
    }

    /// White to grey. False: it stays white.
    pub fn note<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, object: Handle) -> bool {
        if colour(seat.arena, object, right.cycle) != Colour::White {
            return true;
        }
        if right.change(seat, object, Colour::White, Colour::Grey) {
            // What cannot be noted is grey all the same.
            if self.objects.len() < MOST_PENDING {
                push(&mut self.objects, object);
            }
            return true;
        }
        colour(seat.arena, object, right.cycle) != Colour::White || self.notes_no_damage(seat, right, object)
    }

    /// Of an object that could not be made grey: it may be gone by now, or the right. False: not because of its mark.
    #[cold]
    fn notes_no_damage<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, object: Handle) -> bool {
        let damage = damaged_mark(seat.arena, object, right.cycle);
        if !right.is_valid(seat) {
            return true;
        }
        if damage.is_some() && is_in_use(seat.arena, object) {
            self.damage = damage;
        }
        false
    }

    /// Notes the ends of the ways from a word that is known to be one.
    pub fn reach<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, word: u64) {
        self.follow(seat, right, word, None);
    }

    /// The same from a word that was read in passing.
    pub fn reach_from<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, place: Place) {
        self.follow(seat, right, place.word, Some(place));
    }

    fn follow<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, word: u64, place: Option<Place>) {
        reach(seat.arena, word, Retired::Passed, &mut |found, cell| match found {
            Found::Array(array) => self.starved |= !push(&mut self.arrays, Part { array, from: 0, place }),
            Found::ManyNames(object) => {
                if !self.note(seat, right, object) {
                    self.doubt(seat, place, cell, Some(object));
                }
            }
            Found::Nothing => self.doubt(seat, place, cell, None),
        });
    }

    /// A word led nowhere, or to an object that cannot be made grey. `cell`: the last one on the way from there, if it is another one.
    #[cold]
    fn doubt<P: Platform>(
        &mut self,
        seat: &Seat<'_, P>,
        place: Option<Place>,
        cell: Option<Place>,
        object: Option<Handle>,
    ) {
        let condemned = object.is_some_and(|object| is_condemned(seat.arena, object));
        let stands = |place: &Place| place.stands(seat.arena, self.tracing);
        let Some(place) = place.filter(|place| stands(place) && cell.as_ref().is_none_or(stands)) else { return };
        match condemned {
            true => self.starved = true,
            false => self.damage = self.damage.or(Some(cell.unwrap_or(place).damage())),
        }
    }

    /// Traces some of what is grey: `most` words, or somewhat more.
    pub fn trace<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, share: Share, most: u64) {
        let mut words = 0;
        while words < most {
            words += 1;
            // Arrays first: a block is black once all its arrays are traced, and not before.
            if let Some(part) = self.arrays.pop() {
                match self.tracing.filter(|_| part.from > 0) {
                    Some(large) if !share.takes(seat, large) => {
                        self.arrays.clear();
                        self.tracing = None;
                    }
                    _ => words += self.trace_part(seat, right, part, most.saturating_sub(words).max(1)),
                }
                continue;
            }
            // What is not traced whole stays grey.
            if self.has_to_end() {
                return;
            }
            if let Some(traced) = self.tracing.take() {
                right.change(seat, traced, Colour::Grey, Colour::Black);
            }
            let Some(next) = self.objects.pop() else { return };
            if colour(seat.arena, next, right.cycle) != Colour::Grey {
                // Somebody else has traced it.
                continue;
            }
            self.tracing = Some(next);
            let Ok(state) = allocator::check(seat.arena, next) else { continue };
            let read = each_word(seat.arena, next, state.kind, &mut |at, word| {
                words += 1;
                self.reach_from(seat, right, Place { word, at, within: Some(next) });
            });
            if let Err(stop) = read {
                self.doubt_block(seat, next, stop);
            }
        }
    }

    /// Gives how many words were traced.
    fn trace_part<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, part: Part, most: u64) -> u64 {
        let Part { array, from, place } = part;
        let mut words = 0;
        let read = allocator::check(seat.arena, array).and_then(|_| {
            some_words(seat.arena, array, from, most, &mut |at, word| {
                words += 1;
                self.reach_from(seat, right, Place { word, at, within: Some(array) });
            })
        });
        match read {
            Ok(Some(from)) => self.starved |= !push(&mut self.arrays, Part { from, ..part }),
            Ok(None) => {}
            Err(_) => self.doubt(seat, place, None, None),
        }
        words
    }

    /// A block of many names that could not be read.
    #[cold]
    fn doubt_block<P: Platform>(&mut self, seat: &Seat<'_, P>, block: Handle, stop: Stop) {
        if let Stop::Corrupt(corrupt) = stop
            && stands(seat.arena, block)
        {
            self.damage = self.damage.or(Some(*corrupt));
        }
    }
}

/// Puts a word on a list. False: this process has no memory for that.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) -> bool {
    let has_room = list.try_reserve(1).is_ok();
    if has_room {
        list.push(item);
    }
    has_room
}
