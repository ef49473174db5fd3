//! The tagged word: what a cell, a tuple item or a key holds. Small values are in place, all else is a handle.
//!
//! ```text
//! ....0000  constants: 0 absent (nothing was ever here), then None, False, True
//! ....0001  int: 60 bits, signed, in the upper bits
//! ....0011  str of up to 7 bytes: length in bits 4..8, UTF-8 in the upper 56 bits, first byte lowest
//! ....0101  bytes of up to 7 bytes, the same way
//! ....0100  handle (see `Handle`)
//! ....xx10  float of magnitude 1e-77 to 1e77, and 0.0: rotated left by three, exponent's end in the two upper tag bits
//! ```
//! The float encoding is the one of Ruby's flonum (Koichi Sasada, 2012): all but the lowest bit of the three leading
//! exponent bits are implied.

use super::Handle;

const TAG_MASK: u64 = 15;
const TAG_INT: u64 = 1;
const TAG_TEXT: u64 = 3;
const TAG_BYTES: u64 = 5;
const FLOAT_TAG: u64 = 2;
const FLOAT_TAG_MASK: u64 = 3;
const FLOAT_ZERO: u64 = 0x8000_0000_0000_0002;

/// Longest str or bytes in place.
pub const INLINE_BYTES_MAX: usize = 7;
/// Largest int in place.
pub const INT_MAX: i64 = (1 << 59) - 1;
/// Smallest int in place.
pub const INT_MIN: i64 = -(1 << 59);

/// A tagged word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(u64);

/// Up to seven bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineBytes {
    bytes: [u8; 8],
    length: u8,
}

impl InlineBytes {
    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }
}

/// A decoded value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unpacked {
    /// Nothing is here.
    Absent,
    /// Python's None.
    None,
    /// True or False.
    Bool(bool),
    /// A small int.
    Int(i64),
    /// A float in place.
    Float(f64),
    /// Short text. UTF-8 as it was written; check it before you trust it.
    Text(InlineBytes),
    /// Short bytes.
    Bytes(InlineBytes),
    /// All else.
    Handle(Handle),
}

impl Value {
    /// Nothing is here.
    pub const ABSENT: Self = Self(0);
    /// Python's None.
    pub const NONE: Self = Self(1 << 4);
    /// Python's False.
    pub const FALSE: Self = Self(2 << 4);
    /// Python's True.
    pub const TRUE: Self = Self(3 << 4);

    /// The word as stored.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// A stored word, not yet looked at.
    #[inline]
    pub const fn from_raw(word: u64) -> Self {
        Self(word)
    }
    /// True for a word that was never written or was emptied.
    #[inline]
    pub const fn is_absent(self) -> bool {
        self.0 == 0
    }
    /// True or False.
    #[inline]
    pub const fn bool(value: bool) -> Self {
        if value { Self::TRUE } else { Self::FALSE }
    }
    /// An int, if it fits in place.
    #[inline]
    pub const fn int(value: i64) -> Option<Self> {
        if value >= INT_MIN && value <= INT_MAX { Some(Self((value as u64) << 4 | TAG_INT)) } else { None }
    }
    /// The int in place, if it is one.
    #[inline]
    pub const fn as_int(self) -> Option<i64> {
        if self.0 & TAG_MASK == TAG_INT { Some(self.0 as i64 >> 4) } else { None }
    }
    /// A float, if it fits in place.
    #[inline]
    pub const fn float(value: f64) -> Option<Self> {
        let bits = value.to_bits();
        if bits == 0 {
            return Some(Self(FLOAT_ZERO));
        }
        let exponent = bits >> 60 & 7;
        if (exponent != 3 && exponent != 4) || bits == 0x3000_0000_0000_0000 {
            return None;
        }
        Some(Self(bits.rotate_left(3) & !FLOAT_TAG_MASK | FLOAT_TAG))
    }
    /// Short text, if it fits in place.
    #[inline]
    pub fn text(bytes: &[u8]) -> Option<Self> {
        Self::short(bytes, TAG_TEXT)
    }
    /// Short bytes, if they fit in place.
    #[inline]
    pub fn bytes(bytes: &[u8]) -> Option<Self> {
        Self::short(bytes, TAG_BYTES)
    }
    /// A reference to a block.
    #[inline]
    pub const fn handle(handle: Handle) -> Self {
        Self(handle.raw())
    }
    /// The handle, if it is one.
    #[inline]
    pub const fn as_handle(self) -> Option<Handle> {
        Handle::from_raw(self.0)
    }

    #[inline]
    fn short(bytes: &[u8], tag: u64) -> Option<Self> {
        // From two overlapping loads: bytes stored one by one and loaded as a word would wait for the stores.
        let half =
            |from: usize| bytes.get(from..from + 4).and_then(|half| half.try_into().ok()).map(u32::from_le_bytes);
        let word = match bytes.len() {
            length @ 4..=INLINE_BYTES_MAX => u64::from(half(0)?) | u64::from(half(length - 4)?) << (8 * (length - 4)),
            0..=3 => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            _ => return None,
        };
        Some(Self(word << 8 | (bytes.len() as u64) << 4 | tag))
    }

    /// What the word says; `None` for a word that nothing of ours writes.
    #[inline]
    pub fn unpack(self) -> Option<Unpacked> {
        let word = self.0;
        match word & TAG_MASK {
            TAG_INT => Some(Unpacked::Int(word as i64 >> 4)),
            Handle::TAG => Handle::from_raw(word).map(Unpacked::Handle),
            TAG_TEXT => Self::inline(word).map(Unpacked::Text),
            TAG_BYTES => Self::inline(word).map(Unpacked::Bytes),
            0 => match self {
                Self::ABSENT => Some(Unpacked::Absent),
                Self::NONE => Some(Unpacked::None),
                Self::FALSE => Some(Unpacked::Bool(false)),
                Self::TRUE => Some(Unpacked::Bool(true)),
                _ => None,
            },
            tag if tag & FLOAT_TAG_MASK == FLOAT_TAG => Some(Unpacked::Float(Self::unpack_float(word))),
            _ => None,
        }
    }

    #[inline]
    fn unpack_float(word: u64) -> f64 {
        if word == FLOAT_ZERO {
            return 0.0;
        }
        // The two implied bits are 10 where the kept exponent bit is 0, and 01 where it is 1.
        let kept = word >> 63;
        f64::from_bits(((2 - kept) | word & !FLOAT_TAG_MASK).rotate_right(3))
    }

    #[inline]
    fn inline(word: u64) -> Option<InlineBytes> {
        let length = (word >> 4 & 15) as u8;
        if length as usize > INLINE_BYTES_MAX {
            return None;
        }
        Some(InlineBytes { bytes: (word >> 8).to_le_bytes(), length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ints_in_place_survive(value in INT_MIN..=INT_MAX) {
            let word = Value::int(value).unwrap();
            prop_assert_eq!(word.unpack(), Some(Unpacked::Int(value)));
            prop_assert_eq!(word.as_int(), Some(value));
        }

        #[test]
        fn a_float_in_place_survives_to_the_bit(bits: u64) {
            let value = f64::from_bits(bits);
            if let Some(word) = Value::float(value) {
                match word.unpack() {
                    Some(Unpacked::Float(back)) => prop_assert_eq!(back.to_bits(), bits),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }

        #[test]
        fn everyday_floats_are_in_place(value in 1e-76f64..1e76) {
            prop_assert!(Value::float(value).is_some());
            prop_assert!(Value::float(-value).is_some());
        }

        #[test]
        fn short_text_survives(bytes in proptest::collection::vec(any::<u8>(), 0..=7)) {
            match Value::text(&bytes).unwrap().unpack() {
                Some(Unpacked::Text(back)) => prop_assert_eq!(back.as_slice(), &bytes[..]),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn unpacking_anything_never_panics(word: u64) {
            let _ = Value::from_raw(word).unpack();
        }
    }

    #[test]
    fn edges() {
        assert_eq!(Value::int(INT_MAX + 1), None);
        assert_eq!(Value::int(INT_MIN - 1), None);
        assert_eq!(Value::float(-0.0), None);
        assert_eq!(Value::float(f64::NAN), None);
        assert_eq!(Value::float(0.0).unwrap().unpack(), Some(Unpacked::Float(0.0)));
        assert_eq!(Value::text(b"12345678"), None);
        assert_eq!(Value::ABSENT.unpack(), Some(Unpacked::Absent));
        assert_eq!(Value::NONE.unpack(), Some(Unpacked::None));
    }
}
