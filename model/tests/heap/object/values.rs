//! Immutable values: what goes in comes out, to the bit, for everybody.

use proptest::prelude::*;
use pso_engine::error::Stop;
use pso_engine::object::{View, bytes, dict, float, int, list, text, tuple, view};
use pso_engine::word::{BlockKind, Value};

use super::support::{MIB, Tx, integer, one, two};

/// Stores a value in one process and views it in another.
fn passed(encode: impl Fn(&mut Tx) -> Result<Value, Stop>, look: impl FnOnce(&Tx, View)) {
    let [mut one, mut two] = two(4 * MIB);
    one.run(|tx| {
        let (value, root) = (encode(tx)?, tx.arena().root());
        tx.write(root, value)
    })
    .unwrap();
    two.begin().unwrap();
    let root = two.arena().root();
    let value = two.read(root).unwrap();
    let seen = view(&two, value).unwrap();
    look(&two, seen);
    two.commit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_comes_out_as_it_went_in(expected in ".{0,40}") {
        passed(|tx| text::encode(tx, &expected), |tx, seen| match seen {
            View::ShortText(short) => assert_eq!(short.as_slice(), expected.as_bytes()),
            View::Text(handle) => text::with(tx, handle, |seen| assert_eq!(seen, expected)).unwrap(),
            other => panic!("{other:?}"),
        });
    }

    #[test]
    fn bytes_come_out_as_they_went_in(expected in proptest::collection::vec(any::<u8>(), 0..40)) {
        passed(|tx| bytes::encode(tx, &expected), |tx, seen| match seen {
            View::ShortBytes(short) => assert_eq!(short.as_slice(), expected),
            View::Bytes(handle) => {
                assert_eq!(bytes::len(tx, handle), Ok(expected.len() as u64));
                bytes::with(tx, handle, |seen| assert_eq!(seen, expected)).unwrap();
            }
            other => panic!("{other:?}"),
        });
    }

    #[test]
    fn ints_come_out_as_they_went_in(expected: i64) {
        passed(|tx| int::encode(tx, expected), |_, seen| assert_eq!(seen, View::Int(expected)));
    }

    #[test]
    fn large_ints_come_out_without_leading_zeros(
        magnitude in proptest::collection::vec(any::<u8>(), 0..40),
        negative: bool,
    ) {
        let end = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        passed(|tx| int::encode_large(tx, negative, &magnitude), |tx, seen| match seen {
            View::Int(value) => {
                let mut bytes = [0; 16];
                bytes[..end].copy_from_slice(&magnitude[..end]);
                let absolute = i128::from_le_bytes(bytes);
                assert_eq!(i128::from(value), if negative { -absolute } else { absolute });
            }
            View::LargeInt(handle) => {
                int::with(tx, handle, |sign, seen| assert_eq!((sign, seen), (negative, &magnitude[..end]))).unwrap();
            }
            other => panic!("{other:?}"),
        });
    }

    #[test]
    fn floats_come_out_to_the_bit(bits: u64) {
        passed(|tx| float::encode(tx, f64::from_bits(bits)), |_, seen| match seen {
            View::Float(value) => assert_eq!(value.to_bits(), bits),
            other => panic!("{other:?}"),
        });
    }
}

/// Larger than the largest block of a superblock: a block of superblocks of its own.
#[test]
fn a_text_of_a_megabyte_is_a_value_like_any_other() {
    let expected = "zwölf".repeat(200_000);
    let mut tx = one(16 * MIB);
    tx.run(|tx| {
        let value = text::encode(tx, &expected)?;
        let View::Text(handle) = view(tx, value)? else { panic!() };
        text::with(tx, handle, |seen| assert_eq!(seen, expected))
    })
    .unwrap();
}

#[test]
fn a_tuple_holds_values_and_live_objects() {
    let mut tx = one(MIB);
    tx.run(|tx| {
        let list = list::create(tx)?;
        let inner = tuple::encode(tx, &[])?;
        let long = text::encode(tx, "longer than seven")?;
        let value = tuple::encode(tx, &[integer(1), Value::handle(list), inner, long])?;
        let View::Tuple(handle) = view(tx, value)? else { panic!() };
        assert_eq!(tuple::len(tx, handle)?, 4);
        assert_eq!(tuple::item(tx, handle, 0)?, Some(integer(1)));
        assert_eq!(tuple::item(tx, handle, 2)?, Some(inner));
        assert_eq!(tuple::item(tx, handle, 4)?, None);
        let item = tuple::item(tx, handle, 1)?.unwrap();
        assert_eq!(view(tx, item)?, View::Shared(BlockKind::List, list));
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_object_of_another_kind_is_refused_by_name() {
    let mut tx = one(MIB);
    let list = tx.run(list::create).unwrap();
    tx.begin().unwrap();
    assert_eq!(dict::len(&mut tx, list), Err(Stop::WrongKind { wanted: BlockKind::Dict, found: BlockKind::List }));
    tx.abort();
}
