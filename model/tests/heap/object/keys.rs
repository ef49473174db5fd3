//! Keys of all types, with an equality of their own: Python's, decided by another way than the engine's.

use proptest::prelude::*;
use pso_engine::object::key::{Key, KeyView};
use pso_engine::word::Value;

use super::support::Tx;

#[derive(Clone, Debug)]
pub enum TestKey {
    None,
    Bool(bool),
    Int(i64),
    Large(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<TestKey>),
}

/// What decides: numbers exactly, and never a number equal to something else.
#[derive(PartialEq)]
enum Canonical<'a> {
    None,
    Integer(i128),
    Fraction(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Tuple(Vec<Canonical<'a>>),
}

impl TestKey {
    fn canonical(&self) -> Canonical<'_> {
        match self {
            Self::None => Canonical::None,
            Self::Bool(value) => Canonical::Integer(i128::from(*value)),
            Self::Int(value) => Canonical::Integer(i128::from(*value)),
            Self::Large(value) => Canonical::Integer(*value),
            // All generated floats that are integral are far below 2^127.
            Self::Float(value) if value.fract() == 0.0 => Canonical::Integer(*value as i128),
            Self::Float(value) => Canonical::Fraction(*value),
            Self::Text(text) => Canonical::Text(text),
            Self::Bytes(bytes) => Canonical::Bytes(bytes),
            Self::Tuple(items) => Canonical::Tuple(items.iter().map(Self::canonical).collect()),
        }
    }

    pub fn equals(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }

    /// Lends the key to `body`.
    pub fn with<R>(&self, tx: &mut Tx, body: impl FnOnce(&mut Tx, &Key) -> R) -> R {
        let magnitudes = self.magnitudes();
        let view = self.view(&mut magnitudes.iter());
        let key = Key::new(tx.arena().hash_key(), view);
        body(tx, &key)
    }

    fn magnitudes(&self) -> Vec<[u8; 16]> {
        match self {
            Self::Large(value) => vec![value.unsigned_abs().to_le_bytes()],
            Self::Tuple(items) => items.iter().flat_map(Self::magnitudes).collect(),
            _ => Vec::new(),
        }
    }

    fn view<'a>(&'a self, magnitudes: &mut impl Iterator<Item = &'a [u8; 16]>) -> KeyView<'a> {
        match self {
            Self::None => KeyView::None,
            Self::Bool(value) => KeyView::Bool(*value),
            Self::Int(value) => KeyView::Int(*value),
            Self::Large(value) => KeyView::LargeInt { negative: *value < 0, magnitude: magnitudes.next().unwrap() },
            Self::Float(value) => KeyView::Float(*value),
            Self::Text(text) => KeyView::Text(text),
            Self::Bytes(bytes) => KeyView::Bytes(bytes),
            Self::Tuple(items) => KeyView::Tuple(items.iter().map(|item| item.view(magnitudes)).collect()),
        }
    }
}

/// Whether a stored key is `key`, asked of the engine: a dict that holds `key` alone must find it, and the stored value
/// must decode to something equal.
pub fn decode(tx: &Tx, value: Value) -> TestKey {
    use pso_engine::object::{View, bytes, int, text, tuple, view};
    match view(tx, value).unwrap() {
        View::None => TestKey::None,
        View::Bool(value) => TestKey::Bool(value),
        View::Int(value) => TestKey::Int(value),
        View::Float(value) => TestKey::Float(value),
        View::ShortText(text) => TestKey::Text(std::str::from_utf8(text.as_slice()).unwrap().into()),
        View::ShortBytes(bytes) => TestKey::Bytes(bytes.as_slice().to_vec()),
        View::Text(handle) => TestKey::Text(text::with(tx, handle, str::to_owned).unwrap()),
        View::Bytes(handle) => TestKey::Bytes(bytes::with(tx, handle, <[u8]>::to_vec).unwrap()),
        View::LargeInt(handle) => int::with(tx, handle, |negative, magnitude| {
            let mut bytes = [0; 16];
            bytes[..magnitude.len()].copy_from_slice(magnitude);
            let absolute = i128::from_le_bytes(bytes);
            TestKey::Large(if negative { -absolute } else { absolute })
        })
        .unwrap(),
        View::Tuple(handle) => {
            let length = tuple::len(tx, handle).unwrap();
            TestKey::Tuple(
                (0..length).map(|item| decode(tx, tuple::item(tx, handle, item).unwrap().unwrap())).collect(),
            )
        }
        other => panic!("{other:?} is no key"),
    }
}

/// Few enough that they meet again, in all spellings.
pub fn any_key() -> impl Strategy<Value = TestKey> {
    let small = -3i64..40;
    let leaf = prop_oneof![
        Just(TestKey::None),
        any::<bool>().prop_map(TestKey::Bool),
        small.clone().prop_map(TestKey::Int),
        small.clone().prop_map(|value| TestKey::Float(value as f64)),
        small.clone().prop_map(|value| TestKey::Float(value as f64 + 0.5)),
        small.clone().prop_map(|value| TestKey::Large(i128::from(value))),
        (62u32..66, -1i64..2).prop_map(|(bits, off)| TestKey::Large((1i128 << bits) + i128::from(off))),
        (62u32..66).prop_map(|bits| TestKey::Float((bits as f64).exp2())),
        (-2i64..3).prop_map(|off| TestKey::Int(i64::MAX / 8 + off)),
        small.clone().prop_map(|value| TestKey::Text(value.to_string())),
        small.clone().prop_map(|value| TestKey::Text(format!("a key of more than seven bytes {value}"))),
        small.prop_map(|value| TestKey::Bytes(value.to_string().into_bytes())),
        (0u8..3).prop_map(|value| TestKey::Bytes(vec![value; 9])),
    ];
    let tuple =
        leaf.clone().prop_recursive(2, 8, 3, |inner| proptest::collection::vec(inner, 0..3).prop_map(TestKey::Tuple));
    prop_oneof![3 => leaf, 1 => tuple]
}
