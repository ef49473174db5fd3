//! Size classes: steps of two words to 16 words, then four to a doubling up to 2,048 words (16 KiB), then a third and a half of a superblock.
//!
//! Sizes include the block header and are even, so that every block starts at an even word. Four classes to a doubling
//! keep the loss within a block below a fifth of it, 10 % on average. More classes above a quarter would not lessen the loss: as many blocks as
//! a superblock holds share it. A block of a third is up to a quarter empty, one of a half up to a third.

use crate::arena::Geometry;
use crate::word::BLOCK_HEADER_WORDS;

/// The smallest block: a header and one cell.
const SMALLEST_WORDS: u64 = 4;
/// Up to here classes are two words apart.
const LINEAR_WORDS: u64 = 16;
/// Classes up to `LINEAR_WORDS`.
const LINEAR_CLASSES: u64 = (LINEAR_WORDS - SMALLEST_WORDS) / 2 + 1;
/// Payloads below this have their class in a table of a few cache lines.
const SMALL_PAYLOAD_WORDS: usize = 128;
/// Doublings from `LINEAR_WORDS` to the largest class.
const DOUBLINGS: u64 = 7;
/// Classes in steps.
const STEP_CLASSES: u64 = LINEAR_CLASSES + 4 * DOUBLINGS;
/// Words of the largest of them: a quarter of a superblock natively.
const STEPS_END: u64 = LINEAR_WORDS << DOUBLINGS;
/// A third of such a superblock, made even, and a half: the classes above.
const SHARES: [u64; 2] = [(4 * STEPS_END / 3) & !1, 2 * STEPS_END];

/// A size class, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// Number of classes. A geometry with small superblocks uses only the first of them.
    pub const COUNT: usize = STEP_CLASSES as usize + SHARES.len();
    const WORDS: [u64; Self::COUNT] = Self::words_of_all();
    /// 2^64 over the size, rounded up. Times an offset below 2^32 the upper half is the quotient, and the lower half is below the reciprocal
    /// exactly where nothing remains (Lemire, Kaser and Kurz, 2019): rounding adds less than 2^32 to it, a remainder a reciprocal or more.
    const RECIPROCALS: [u64; Self::COUNT] = Self::reciprocals_of_all();
    /// The smallest one, which every geometry of any use has.
    pub const SMALLEST: Self = Self(0);
    /// By payload words: looked up, where a processor would guess wrong which side of `LINEAR_WORDS` mixed sizes are on.
    const OF_SMALL: [u8; SMALL_PAYLOAD_WORDS] = Self::of_all_small();

    /// The class for a payload of `payload_words`; `None` if that takes superblocks of its own.
    #[inline]
    pub fn for_payload(payload_words: u64, geometry: &Geometry) -> Option<Self> {
        // Checked before the arithmetic below can overflow.
        let largest = Self::largest_words(geometry);
        if payload_words > largest - BLOCK_HEADER_WORDS {
            return None;
        }
        let class = Self::for_small_payload(payload_words).unwrap_or_else(|| Self::computed(payload_words));
        (class.words() <= largest).then_some(class)
    }

    /// The class for a payload of which it can be looked up, whether or not a geometry has it.
    #[inline(always)]
    pub fn for_small_payload(payload_words: u64) -> Option<Self> {
        Self::OF_SMALL.get(payload_words as usize).map(|class| Self(*class))
    }

    /// Words of the largest class that a geometry has: half a superblock, or a quarter where superblocks are small.
    #[inline]
    fn largest_words(geometry: &Geometry) -> u64 {
        if geometry.superblock_words >= 4 * STEPS_END { 2 * STEPS_END } else { geometry.superblock_words / 4 }
    }

    /// The smallest class that holds `payload_words`, if one does.
    const fn computed(payload_words: u64) -> Self {
        let words = payload_words + BLOCK_HEADER_WORDS;
        let class = if words <= LINEAR_WORDS {
            let words = if words < SMALLEST_WORDS { SMALLEST_WORDS } else { words };
            words.div_ceil(2) - SMALLEST_WORDS / 2
        } else if words > STEPS_END {
            STEP_CLASSES + (words > SHARES[0]) as u64
        } else {
            let top = (words - 1).ilog2() as u64;
            LINEAR_CLASSES + (top - 4) * 4 + ((words - 1) >> (top - 2) & 3)
        };
        Self(class as u8)
    }

    /// The class with this number, if `geometry` has it.
    #[inline]
    pub fn from_number(number: u64, geometry: &Geometry) -> Option<Self> {
        let words = *Self::WORDS.get(number as usize)?;
        (words <= Self::largest_words(geometry)).then_some(Self(number as u8))
    }

    /// Whether a superblock has two or three of it.
    #[inline]
    pub fn is_share(self) -> bool {
        u64::from(self.0) >= STEP_CLASSES
    }

    /// Its number.
    #[inline]
    pub fn number(self) -> usize {
        self.0 as usize
    }

    /// Words of a block, header included.
    #[inline]
    pub fn words(self) -> u64 {
        Self::WORDS[self.0 as usize]
    }

    /// Words of a block behind its header.
    #[inline]
    pub fn payload_words(self) -> u64 {
        self.words() - BLOCK_HEADER_WORDS
    }

    /// `offset / words()`, without a division.
    #[inline]
    pub fn quotient(self, offset: u64) -> u64 {
        debug_assert!(offset < 1 << 32);
        ((u128::from(offset) * u128::from(Self::RECIPROCALS[self.0 as usize])) >> 64) as u64
    }

    /// Whether `offset` is a multiple of `words()`.
    #[inline]
    pub fn starts_at(self, offset: u64) -> bool {
        debug_assert!(offset < 1 << 32);
        let reciprocal = Self::RECIPROCALS[self.0 as usize];
        offset.wrapping_mul(reciprocal) < reciprocal
    }

    /// Blocks of a superblock.
    #[inline]
    pub fn blocks(self, geometry: &Geometry) -> u64 {
        self.quotient(geometry.superblock_words)
    }

    const fn words_of_all() -> [u64; Self::COUNT] {
        let mut all = [0; Self::COUNT];
        let mut class = 0;
        while class < Self::COUNT {
            let number = class as u64;
            all[class] = if number < LINEAR_CLASSES {
                SMALLEST_WORDS + 2 * number
            } else if number >= STEP_CLASSES {
                SHARES[class - STEP_CLASSES as usize]
            } else {
                let base = LINEAR_WORDS << ((number - LINEAR_CLASSES) / 4);
                base + base / 4 * ((number - LINEAR_CLASSES) % 4 + 1)
            };
            class += 1;
        }
        all
    }

    const fn of_all_small() -> [u8; SMALL_PAYLOAD_WORDS] {
        let mut all = [0; SMALL_PAYLOAD_WORDS];
        let mut payload_words = 0;
        while payload_words < all.len() {
            all[payload_words] = Self::computed(payload_words as u64).0;
            payload_words += 1;
        }
        all
    }

    const fn reciprocals_of_all() -> [u64; Self::COUNT] {
        let mut all = [0; Self::COUNT];
        let mut class = 0;
        while class < Self::COUNT {
            all[class] = u64::MAX / Self::WORDS[class] + 1;
            class += 1;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(superblock_words: u64) -> Geometry {
        Geometry { superblock_words, ..Geometry::for_bytes(1 << 20).unwrap() }
    }

    #[test]
    fn each_payload_gets_the_smallest_class_that_holds_it() {
        for superblock_words in [16, 32, 64, 512, 8192] {
            let geometry = geometry(superblock_words);
            for payload in 0..=superblock_words {
                let fits = (0..SizeClass::COUNT as u64)
                    .filter_map(|number| SizeClass::from_number(number, &geometry))
                    .find(|class| class.payload_words() >= payload);
                assert_eq!(SizeClass::for_payload(payload, &geometry), fits, "{payload} of {superblock_words}");
            }
            assert_eq!(SizeClass::for_payload(u64::MAX, &geometry), None);
        }
    }

    #[test]
    fn sizes_rise_are_even_and_end_at_32_kib() {
        assert!(SizeClass::WORDS.is_sorted_by(|a, b| a < b));
        assert!(SizeClass::WORDS.iter().all(|words| words % 2 == 0));
        assert_eq!(SizeClass::WORDS[0], 4);
        assert_eq!(SizeClass::WORDS[STEP_CLASSES as usize - 1] * 8, 16 << 10);
        assert_eq!(SizeClass::WORDS[SizeClass::COUNT - 1] * 8, 32 << 10);
    }

    #[test]
    fn a_superblock_holds_three_of_a_third_and_two_of_a_half() {
        let geometry = geometry(8192);
        let blocks_of = |payload| SizeClass::for_payload(payload, &geometry).map(|class| class.blocks(&geometry));
        assert_eq!(
            [2_046, 2_047, 2_728, 2_729, 4_094, 4_095].map(blocks_of),
            [4, 3, 3, 2, 2, 0].map(|n| (n > 0).then_some(n))
        );
    }

    #[test]
    fn quotients_are_exact() {
        for number in 0..SizeClass::COUNT as u64 {
            let class = SizeClass::from_number(number, &geometry(8192)).unwrap();
            for offset in (0..=8192).chain((1 << 32) - 4096..1 << 32) {
                assert_eq!(class.quotient(offset), offset / class.words());
                assert_eq!(class.starts_at(offset), offset % class.words() == 0);
            }
        }
    }
}
