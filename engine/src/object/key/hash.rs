//! The hash of a key: SipHash-1-3 under the key of the space, over
//! ```text
//! str, bytes             the bytes
//! integral numbers       of 64 bits: 8 bytes, little-endian; larger: a tag with the sign, the magnitude
//! all else               a tag, and what tells it from its like
//! ```
//! Bytes of up to 7 are one block of the hash and ints are two: these are computed in line. All else is left to the
//! `siphasher` crate, which the short forms equal (there is a test).

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use siphasher::sip::SipHasher13;

use super::KeyView;
use super::number::{FloatInteger, Number};
use crate::word::Value;

const NONE_TAG: u64 = u64::from_le_bytes(*b"none    ");
const IDENTITY_TAG: u64 = u64::from_le_bytes(*b"identity");
const TUPLE_TAG: u64 = u64::from_le_bytes(*b"tuple   ");
const LARGE_TAGS: [u64; 2] = [u64::from_le_bytes(*b"large   "), u64::from_le_bytes(*b"-large  ")];
const NAN_TAG: u64 = u64::from_le_bytes(*b"no numbr");
const FRACTION_TAG: u64 = u64::from_le_bytes(*b"fraction");

/// The key of the hash function of a space.
#[derive(Clone, Copy)]
pub(super) struct HashKey(u64, u64);

impl HashKey {
    #[inline]
    pub(super) fn new(key: (u64, u64)) -> Self {
        Self(key.0, key.1)
    }

    fn hasher(self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }

    /// The hash of bytes.
    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> u64 {
        match Value::bytes(bytes) {
            Some(word) => self.short_bytes(word, bytes.len()),
            None => self.hasher().hash(bytes),
        }
    }

    /// The hash of bytes of which the in-place form is known: their one block is that word without its lowest byte.
    #[inline]
    pub(super) fn short_bytes(self, in_place: Value, length: usize) -> u64 {
        State::new(self).finish((length as u64) << 56 | in_place.raw() >> 8)
    }

    /// The hash of an integral number.
    #[inline]
    pub(super) fn int(self, value: i64) -> u64 {
        let mut state = State::new(self);
        state.absorb(value as u64);
        state.finish(8 << 56)
    }

    fn words(self, words: [u64; 2]) -> u64 {
        let mut state = State::new(self);
        words.into_iter().for_each(|word| state.absorb(word));
        state.finish(16 << 56)
    }
}

/// SipHash as its authors write it, one round for a block and three to finish.
struct State([u64; 4]);

impl State {
    #[inline]
    fn new(key: HashKey) -> Self {
        Self([
            key.0 ^ 0x736f_6d65_7073_6575,
            key.1 ^ 0x646f_7261_6e64_6f6d,
            key.0 ^ 0x6c79_6765_6e65_7261,
            key.1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }

    #[inline]
    fn absorb(&mut self, block: u64) {
        self.0[3] ^= block;
        self.round();
        self.0[0] ^= block;
    }

    #[inline]
    fn finish(mut self, last_block: u64) -> u64 {
        self.absorb(last_block);
        self.0[2] ^= 0xff;
        (0..3).for_each(|_| self.round());
        self.0.into_iter().fold(0, |hash, word| hash ^ word)
    }
}

/// The hash of any key.
pub(super) fn hash_view(key: HashKey, view: &KeyView) -> u64 {
    match view {
        KeyView::None => key.words([NONE_TAG, 0]),
        KeyView::Bool(value) => key.int(i64::from(*value)),
        KeyView::Int(value) => key.int(*value),
        KeyView::LargeInt { negative, magnitude } => hash_number(key, Number::integer(*negative, magnitude)),
        KeyView::Float(value) => hash_number(key, Number::float(*value, &mut FloatInteger::new())),
        KeyView::Text(text) => key.bytes(text.as_bytes()),
        KeyView::Bytes(bytes) => key.bytes(bytes),
        KeyView::Identity(handle) => key.words([IDENTITY_TAG, handle.raw()]),
        KeyView::Tuple(items) => {
            let mut all = key.hasher();
            all.write(&TUPLE_TAG.to_le_bytes());
            for item in items {
                all.write(&hash_view(key, item).to_le_bytes());
            }
            all.finish()
        }
    }
}

/// Equal to nothing, itself included, so each gets a hash of its own: with one for all they would fill one bucket, in a time that grows with the square of their number.
#[cold]
fn nan(key: HashKey) -> u64 {
    static HASHED: AtomicU64 = AtomicU64::new(0);
    // Relaxed: a number that no other has in this process.
    key.words([NAN_TAG ^ u64::from(std::process::id()), HASHED.fetch_add(1, Relaxed)])
}

fn hash_number(key: HashKey, number: Number) -> u64 {
    match number {
        Number::Small(value) => key.int(value),
        Number::Fraction(value) if value.is_nan() => nan(key),
        Number::Fraction(value) => key.words([FRACTION_TAG, value.to_bits()]),
        Number::Large { negative, magnitude } => {
            let mut hasher = key.hasher();
            hasher.write(&LARGE_TAGS[usize::from(negative)].to_le_bytes());
            hasher.write(magnitude);
            hasher.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Hashes are stored: the short forms must be the function that the crate computes.
        #[test]
        fn short_forms_are_siphash(key: (u64, u64), bytes in proptest::collection::vec(any::<u8>(), 0..20), int: i64) {
            let key = HashKey::new(key);
            prop_assert_eq!(key.bytes(&bytes), key.hasher().hash(&bytes));
            prop_assert_eq!(key.int(int), key.hasher().hash(&int.to_le_bytes()));
            let words = [key.0, int as u64];
            let spelled: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            prop_assert_eq!(key.words(words), key.hasher().hash(&spelled));
        }
    }
}
