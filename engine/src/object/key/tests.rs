//! A dict finds a key under any of its spellings, so equal numbers must have equal hashes; and unequal keys must not be
//! taken for each other. What needs shared memory (stored keys in blocks) is tested with the dict.

use proptest::prelude::*;

use super::number::{FloatInteger, Number, trimmed};
use super::*;

const HASH_KEY: (u64, u64) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);

fn hash(view: KeyView) -> u64 {
    Key::new(HASH_KEY, view).hash()
}

/// An integral float as sign and magnitude, by another way than the code: repeated division by 256 is exact.
fn by_division(value: f64) -> Vec<u8> {
    let mut rest = value.abs();
    let mut bytes = Vec::new();
    while rest > 0.0 {
        let digit = rest % 256.0;
        bytes.push(digit as u8);
        rest = (rest - digit) / 256.0;
    }
    bytes
}

proptest! {
    #[test]
    fn ints_and_integral_floats_hash_alike(value in -(1i64 << 53)..=1i64 << 53) {
        let magnitude = value.unsigned_abs().to_le_bytes();
        let negative = value < 0;
        prop_assert_eq!(hash(KeyView::Int(value)), hash(KeyView::Float(value as f64)));
        prop_assert_eq!(hash(KeyView::Int(value)), hash(KeyView::LargeInt { negative, magnitude: &magnitude }));
    }

    #[test]
    fn large_floats_hash_as_the_int_that_they_are(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite() && value.abs() >= 1e19);
        let magnitude = by_division(value);
        let view = KeyView::LargeInt { negative: value < 0.0, magnitude: &magnitude };
        prop_assert_eq!(hash(KeyView::Float(value)), hash(view));
        let mut storage = FloatInteger::new();
        let number = Number::float(value, &mut storage);
        prop_assert_eq!(number, Number::Large { negative: value < 0.0, magnitude: &magnitude });
    }

    #[test]
    fn a_large_int_is_small_exactly_if_it_fits(value: i128) {
        let magnitude = value.unsigned_abs().to_le_bytes();
        let number = Number::integer(value < 0, &magnitude);
        match i64::try_from(value) {
            Ok(value) => prop_assert_eq!(number, Number::Small(value)),
            Err(_) => {
                prop_assert_eq!(number, Number::Large { negative: value < 0, magnitude: trimmed(&magnitude) });
            }
        }
    }

    #[test]
    fn different_texts_hash_differently(a: String, b: String) {
        prop_assert_eq!(hash(KeyView::Text(&a)) == hash(KeyView::Text(&b)), a == b);
    }

    #[test]
    fn no_float_panics(bits: u64) {
        let _ = hash(KeyView::Float(f64::from_bits(bits)));
    }
}

#[test]
fn edges_of_numbers() {
    let float = |value| Number::float(value, Box::leak(Box::new(FloatInteger::new())));
    assert_eq!(float(-0.0), Number::Small(0));
    assert_eq!(float(-9_223_372_036_854_775_808.0), Number::Small(i64::MIN));
    assert_eq!(
        float(9_223_372_036_854_775_808.0),
        Number::Large { negative: false, magnitude: &[0, 0, 0, 0, 0, 0, 0, 128] }
    );
    assert!(matches!(float(f64::MAX), Number::Large { negative: false, magnitude } if magnitude.len() == 128));
    assert_eq!(float(f64::INFINITY), Number::Fraction(f64::INFINITY));
    assert_ne!(float(f64::NAN), float(f64::NAN));
    assert_eq!(float(0.5), Number::Fraction(0.5));
    assert_eq!(Number::integer(true, &[0, 0, 0, 0, 0, 0, 0, 128]), Number::Small(i64::MIN));
    assert_eq!(Number::integer(true, &[]), Number::Small(0));
}

#[test]
fn true_is_one() {
    assert_eq!(hash(KeyView::Bool(true)), hash(KeyView::Int(1)));
    assert_eq!(hash(KeyView::Bool(false)), hash(KeyView::Float(-0.0)));
    let tuple = |first| KeyView::Tuple(vec![first, KeyView::Text("x")]);
    assert_eq!(hash(tuple(KeyView::Bool(true))), hash(tuple(KeyView::Float(1.0))));
    assert_ne!(hash(tuple(KeyView::Bool(true))), hash(tuple(KeyView::Float(1.5))));
}

#[test]
fn the_key_of_the_space_matters() {
    let other = Key::new((1, 2), KeyView::Text("carts")).hash();
    assert_ne!(hash(KeyView::Text("carts")), other);
}
