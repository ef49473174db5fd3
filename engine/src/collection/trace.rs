//! Grey blocks, and what they name: by whoever collects, and by those who help him.

use super::colour::{colour, is_condemned};
use super::doubt::{Place, damaged_mark, stands};
use super::reach::{Found, Retired, Walk, each_word, some_words};
use super::role::{Right, Seat, is_in_use};
use crate::allocator;
use crate::error::{Corrupt, Stop};
use crate::platform::Platform;
use crate::word::{BlockKind, Colour, Handle};

/// Names that wait to be traced, at most: 512 KiB. What is not noted is grey all the same, and found in a look over all blocks.
pub const MOST_PENDING: usize = 1 << 16;
/// Words that one step traces, or somewhat more: those of containers, and on the ways from them each block of one name, and each item of a tuple.
pub const TRACED_AT_ONCE: u64 = 1024;
/// A tuple of no more items is traced whole in the step that takes it up.
const SMALL: u64 = 64;

/// An array of cells, or a tuple of many names, of which those from a number on are not traced yet.
#[derive(Clone, Copy, Debug)]
struct Part {
    block: Handle,
    from: u64,
    /// Where it was named, if it is an array.
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
    /// The one that is being traced, and what of it is not traced yet: ways from a word of it through blocks of one name, and where that word stands; arrays of cells.
    tracing: Option<Handle>,
    walk: Option<(Walk, Option<Place>)>,
    parts: Vec<Part>,
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
        self.objects.is_empty() && self.parts.is_empty() && !self.is_walking() && self.tracing.is_none()
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

    /// Notes the ends of the ways from a word, or of some of them: `most` words, or somewhat more; then it [walks](Self::is_walking) on the others still. `place`: where the word was read in passing;
    /// `None`: it is known to be one. Gives how many words were looked at.
    pub fn reach<P: Platform>(
        &mut self,
        seat: &Seat<'_, P>,
        right: &Right,
        word: u64,
        place: Option<Place>,
        most: u64,
    ) -> u64 {
        let mut found = |found, cell| self.find(seat, right, place, found, cell);
        match Walk::begin(seat.arena, word, Retired::Passed, &mut found) {
            Some(walk) => {
                self.walk = Some((walk, place));
                self.walk_on(seat, right, most)
            }
            None => 0,
        }
    }

    /// Whether it has begun with the ways from a word, and is not through with them.
    pub fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// Goes on with them. Gives how many words were looked at.
    pub fn walk_on<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, most: u64) -> u64 {
        let Some((mut walk, place)) = self.walk.take() else { return 0 };
        let words = walk.go_on(seat.arena, most, &mut |found, cell| self.find(seat, right, place, found, cell));
        self.walk = Some((walk, place)).filter(|(walk, _)| !walk.is_through());
        words
    }

    fn find<P: Platform>(
        &mut self,
        seat: &Seat<'_, P>,
        right: &Right,
        place: Option<Place>,
        found: Found,
        cell: Option<Place>,
    ) {
        match found {
            Found::Array(block) => self.starved |= !push(&mut self.parts, Part { block, from: 0, place }),
            Found::ManyNames(object) => {
                if !self.note(seat, right, object) {
                    self.doubt(seat, place, cell, Some(object));
                }
            }
            Found::Nothing => self.doubt(seat, place, cell, None),
        }
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
        if let Some(large) = self.tracing.filter(|_| self.is_large())
            && !share.takes(seat, large)
        {
            (self.tracing, self.walk) = (None, None);
            self.parts.clear();
        }
        let mut words = 0;
        while words < most {
            words += 1;
            let left = most.saturating_sub(words).max(1);
            // These first: a block is black once all that it names is shaded, and not before.
            if self.is_walking() {
                words += self.walk_on(seat, right, left);
                continue;
            }
            if let Some(part) = self.parts.pop() {
                words += self.trace_part(seat, right, part, left);
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
            words += self.trace_object(seat, right, next, left);
        }
    }

    /// Whether the one that is being traced has taken more than a step.
    fn is_large(&self) -> bool {
        self.is_walking() || self.parts.last().is_some_and(|part| part.from > 0)
    }

    /// Gives how many words were traced.
    fn trace_object<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, object: Handle, most: u64) -> u64 {
        let Ok(state) = allocator::check(seat.arena, object) else { return 0 };
        if state.kind == BlockKind::Tuple {
            let whole = Part { block: object, from: 0, place: None };
            return self.trace_some(seat, right, whole, state.kind, most.max(SMALL));
        }
        let mut words = 0;
        let read = each_word(seat.arena, object, state.kind, &mut |at, word| {
            let place = Place { word, at, within: Some(object) };
            // To the end: arrays are all that there is.
            words += 1 + self.reach(seat, right, word, Some(place), u64::MAX);
        });
        if let Err(stop) = read {
            self.doubt_block(seat, object, stop);
        }
        words
    }

    /// Gives how many words were traced.
    fn trace_part<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, part: Part, most: u64) -> u64 {
        match allocator::check(seat.arena, part.block) {
            Ok(state) => self.trace_some(seat, right, part, state.kind, most),
            Err(stop) => {
                self.doubt_part(seat, part, stop);
                0
            }
        }
    }

    /// Gives how many words were traced. Where there are more ways from one of them, it is the last.
    fn trace_some<P: Platform>(
        &mut self,
        seat: &Seat<'_, P>,
        right: &Right,
        part: Part,
        kind: BlockKind,
        most: u64,
    ) -> u64 {
        let block = part.block;
        let mut words = 0;
        let read = some_words(seat.arena, block, kind, part.from, most, &mut |at, word| {
            words += 1;
            let place = Place { word, at, within: Some(block) };
            words += self.reach(seat, right, word, Some(place), most.saturating_sub(words).max(1));
            words < most && !self.is_walking()
        });
        match read {
            Ok(Some(from)) => self.starved |= !push(&mut self.parts, Part { from, ..part }),
            Ok(None) => {}
            Err(stop) => self.doubt_part(seat, part, stop),
        }
        words
    }

    /// A part of what is being traced that could not be read.
    #[cold]
    fn doubt_part<P: Platform>(&mut self, seat: &Seat<'_, P>, part: Part, stop: Stop) {
        match self.tracing {
            Some(tracing) if tracing == part.block => self.doubt_block(seat, tracing, stop),
            _ => self.doubt(seat, part.place, None, None),
        }
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
