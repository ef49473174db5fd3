//! The second word of a block's header. Its lowest four bits say what it is:
//!
//! ```text
//! ....0000  nothing: 0, in a block that nobody has written it in
//! ....0100  link: the handle of the block that was retired before this one
//! ....1x00  the same (or none, 0), of a block that goes with all that it owns: bit 3
//! ....1111  mark: cycle:56 | colour:4. Of blocks that may have many names
//! ```

use super::Handle;

const MARK_TAG: u64 = 15;
const WHOLE: u64 = 8;
const COLOUR_SHIFT: u32 = 4;
const CYCLE_SHIFT: u32 = 8;

/// How far a collection has come with a block. Of an earlier cycle: white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Colour {
    /// Not reached.
    White = 0,
    /// Reached; what it names may not be.
    Grey = 1,
    /// Reached, and what it names, too; or made while the collection went on.
    Black = 2,
    /// Found to be garbage: what it names may be gone.
    Condemned = 3,
}

/// A mark: that a block may have many names, and what the collection of that number has found out about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the collection; 0: none yet.
    pub cycle: u64,
    /// What it found.
    pub colour: Colour,
}

impl Mark {
    /// Of a block that no collection has seen.
    pub const NEW: Self = Self { cycle: 0, colour: Colour::White };

    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        self.cycle << CYCLE_SHIFT | (self.colour as u64) << COLOUR_SHIFT | MARK_TAG
    }
    /// Unpacks the word; `None`: it is no mark.
    #[inline]
    pub const fn unpack(word: u64) -> Option<Self> {
        if word & MARK_TAG != MARK_TAG {
            return None;
        }
        let colour = match word >> COLOUR_SHIFT & 15 {
            1 => Colour::Grey,
            2 => Colour::Black,
            3 => Colour::Condemned,
            _ => Colour::White,
        };
        Some(Self { cycle: word >> CYCLE_SHIFT, colour })
    }
    /// The colour that the word of a block of many names has in collection `cycle`.
    #[inline]
    pub const fn colour_in(word: u64, cycle: u64) -> Colour {
        match Self::unpack(word) {
            Some(mark) if mark.cycle == cycle => mark.colour,
            _ => Colour::White,
        }
    }
}

/// The word that says which collection is under way: `under way:1 | helped:1 | 0 | number:56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Number of the last collection that was begun; 0: none yet. The bits of a mark, and never 0 again.
    pub number: u64,
    /// It is not over.
    pub under_way: bool,
    /// Others than the one who collects may trace.
    pub helped: bool,
}

impl Cycle {
    const UNDER_WAY: u64 = 1 << 63;
    const HELPED: u64 = 1 << 62;
    const NUMBERS: u64 = (1 << (u64::BITS - CYCLE_SHIFT)) - 1;

    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        let helped = if self.helped { Self::HELPED } else { 0 };
        if self.under_way { self.number | Self::UNDER_WAY | helped } else { self.number }
    }
    /// Unpacks the word.
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        let under_way = word & Self::UNDER_WAY != 0;
        Self { number: word & Self::NUMBERS, under_way, helped: under_way && word & Self::HELPED != 0 }
    }
    /// The next one, which begins.
    pub const fn next(self) -> Self {
        Self { number: self.number % Self::NUMBERS + 1, under_way: true, helped: false }
    }
    /// Number of the collection under way, 0: none.
    #[inline]
    pub const fn of_one_under_way(word: u64) -> u64 {
        let cycle = Self::unpack(word);
        if cycle.under_way { cycle.number } else { 0 }
    }
}

/// The link of a retired block: which one was retired before it, and whether it takes along what it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The block that was retired before.
    pub before: Option<Handle>,
    /// What only this block names goes with it.
    pub whole: bool,
}

impl Link {
    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        let before = match self.before {
            Some(handle) => handle.raw(),
            None => 0,
        };
        if self.whole { before | WHOLE } else { before }
    }
    /// Unpacks the word of a RETIRED block.
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        Self { before: Handle::from_raw(word & !WHOLE), whole: word & WHOLE != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::WordAddress;
    use proptest::prelude::*;

    const COLOURS: [Colour; 4] = [Colour::White, Colour::Grey, Colour::Black, Colour::Condemned];

    proptest! {
        #[test]
        fn a_mark_survives_packing(cycle in 0u64..1 << 56, colour in 0usize..4) {
            let mark = Mark { cycle, colour: COLOURS[colour] };
            prop_assert_eq!(Mark::unpack(mark.pack()), Some(mark));
            prop_assert_eq!(Mark::colour_in(mark.pack(), cycle), COLOURS[colour]);
            prop_assert_eq!(Mark::colour_in(mark.pack(), cycle ^ 1), Colour::White);
        }

        #[test]
        fn a_cycle_survives_packing(number in 0u64..1 << 56, under_way: bool, helped: bool) {
            let cycle = Cycle { number, under_way, helped: under_way && helped };
            prop_assert_eq!(Cycle::unpack(cycle.pack()), cycle);
            prop_assert_eq!(Cycle::of_one_under_way(cycle.pack()), if under_way { number } else { 0 });
            prop_assert!(!cycle.next().helped);
        }

        #[test]
        fn a_link_survives_packing_and_is_no_mark(block in 0u64..1 << 36, generation in 0u64..1 << 24, whole: bool) {
            let before = Some(Handle::new(WordAddress::new(block * 2), generation));
            for link in [Link { before, whole }, Link { before: None, whole }] {
                prop_assert_eq!(Link::unpack(link.pack()), link);
                prop_assert_eq!(Mark::unpack(link.pack()), None);
            }
        }
    }
}
