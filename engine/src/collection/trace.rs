//! Grey blocks, and what they name: by whoever collects, and by those who help him.

use super::colour::colour;
use super::reach::{Found, each_word, reach, some_words};
use super::role::{Right, Seat};
use crate::allocator;
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
    /// A list could not grow: what is grey is left as it is.
    pub starved: bool,
}

impl Tracer {
    pub fn is_done(&self) -> bool {
        self.objects.is_empty() && self.arrays.is_empty() && self.tracing.is_none()
    }

    /// A block that is grey.
    pub fn push(&mut self, grey: Handle) {
        self.starved |= !push(&mut self.objects, grey);
    }

    /// White to grey.
    pub fn note<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, object: Handle) {
        // What cannot be noted is grey all the same.
        if colour(seat.arena, object, right.cycle) == Colour::White
            && right.change(seat, object, Colour::White, Colour::Grey)
            && self.objects.len() < MOST_PENDING
        {
            push(&mut self.objects, object);
        }
    }

    /// Notes the ends of the ways from a word.
    pub fn reach<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, word: u64) {
        reach(seat.arena, word, &mut |found| match found {
            Found::Array(array) => self.starved |= !push(&mut self.arrays, Part { array, from: 0 }),
            Found::ManyNames(object) => self.note(seat, right, object),
        });
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
            if let Some(traced) = self.tracing.take() {
                right.change(seat, traced, Colour::Grey, Colour::Black);
            }
            let Some(next) = self.objects.pop() else { return };
            if colour(seat.arena, next, right.cycle) != Colour::Grey {
                // Somebody else has traced it.
                continue;
            }
            self.tracing = Some(next);
            if let Ok(state) = allocator::check(seat.arena, next) {
                each_word(seat.arena, next, state.kind, &mut |word| {
                    words += 1;
                    self.reach(seat, right, word);
                });
            }
        }
    }

    /// Gives how many words were traced.
    fn trace_part<P: Platform>(&mut self, seat: &Seat<'_, P>, right: &Right, part: Part, most: u64) -> u64 {
        if allocator::check(seat.arena, part.array).is_err() {
            return 0;
        }
        let mut words = 0;
        let left = some_words(seat.arena, part.array, part.from, most, &mut |word| {
            words += 1;
            self.reach(seat, right, word);
        });
        if let Some(from) = left {
            self.starved |= !push(&mut self.arrays, Part { from, ..part });
        }
        words
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
