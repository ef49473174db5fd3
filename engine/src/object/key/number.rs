//! Numbers in one form, whatever their types: what makes `1 == 1.0 == True` and equal hashes of them.
//!
//! An integral number of up to 64 bits is `Small`, a larger one is sign and magnitude without leading zeros, whether it
//! came as an int or as a float. All else, NaN and the infinities included, is a `Fraction`.

/// A number in its one form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number<'a> {
    /// Integral, in the range of `i64`.
    Small(i64),
    /// Integral, outside that range.
    Large {
        /// Below zero.
        negative: bool,
        /// Little-endian, the last byte not 0.
        magnitude: &'a [u8],
    },
    /// Not integral. `PartialEq` is the floats' own: NaN is not equal to itself.
    Fraction(f64),
}

/// Room for the magnitude of the largest integral float: 1,024 bits.
pub(super) struct FloatInteger([u8; 128]);

impl FloatInteger {
    pub(super) fn new() -> Self {
        Self([0; 128])
    }
}

/// Sign and magnitude as an `i64`, if it fits.
pub(in crate::object) fn small(negative: bool, magnitude: &[u8]) -> Option<i64> {
    let mut word = [0; 8];
    let magnitude = trimmed(magnitude);
    word.get_mut(..magnitude.len())?.copy_from_slice(magnitude);
    let absolute = u64::from_le_bytes(word);
    if negative { 0i64.checked_sub_unsigned(absolute) } else { i64::try_from(absolute).ok() }
}

/// The magnitude without leading zeros.
pub(in crate::object) fn trimmed(magnitude: &[u8]) -> &[u8] {
    let length = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &magnitude[..length]
}

impl<'a> Number<'a> {
    /// An int.
    pub(super) fn integer(negative: bool, magnitude: &'a [u8]) -> Self {
        match small(negative, magnitude) {
            Some(value) => Self::Small(value),
            None => Self::Large { negative, magnitude: trimmed(magnitude) },
        }
    }

    /// A float. A large integral one is spelled out in `storage`.
    pub(super) fn float(value: f64, storage: &'a mut FloatInteger) -> Self {
        const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
        if !value.is_finite() || value.fract() != 0.0 {
            return Self::Fraction(value);
        }
        if (-TWO_TO_63..TWO_TO_63).contains(&value) {
            return Self::Small(value as i64);
        }
        // At least 2^63, so integral: 53 bits of mantissa, shifted left by 11 to 971.
        let bits = value.to_bits();
        let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
        let shift = (bits >> 52 & 0x7ff) as usize - 1075;
        let shifted = (mantissa << (shift % 8)).to_le_bytes();
        for (byte, shifted) in storage.0[shift / 8..].iter_mut().zip(shifted) {
            *byte = shifted;
        }
        Self::Large { negative: value < 0.0, magnitude: trimmed(&storage.0) }
    }
}
