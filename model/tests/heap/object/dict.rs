//! Dict against a `Vec` of pairs in the order of insertion.

use proptest::prelude::*;
use pso_engine::error::Stop;
use pso_engine::object::dict::{self, Met};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::word::{BlockKind, Handle, Value};

use super::keys::{TestKey, any_key, decode};
use super::support::{MIB, Tx, aborted, generate, integer, one, run_steps, two};

#[derive(Clone, Debug)]
enum Op {
    Set(TestKey, i64),
    Get(TestKey),
    Remove(TestKey),
    PopLast,
    Clear,
}

type Pairs = Vec<(TestKey, i64)>;

fn operation() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any_key(), any::<i32>()).prop_map(|(key, value)| Op::Set(key, i64::from(value))),
        2 => any_key().prop_map(Op::Get),
        5 => any_key().prop_map(Op::Remove),
        2 => Just(Op::PopLast),
        1 => proptest::bool::weighted(0.1).prop_map(|clear| if clear { Op::Clear } else { Op::PopLast }),
    ]
}

fn find(pairs: &Pairs, key: &TestKey) -> Option<usize> {
    pairs.iter().position(|(present, _)| present.equals(key))
}

fn apply(tx: &mut Tx, dict: Handle, pairs: &mut Pairs, operation: &Op) -> Result<(), Stop> {
    match operation {
        Op::Set(key, value) => {
            let old = key.with(tx, |tx, key| dict::set(tx, dict, key, integer(*value)))?;
            match find(pairs, key) {
                Some(index) => {
                    assert_eq!(old, Some(integer(pairs[index].1)));
                    pairs[index].1 = *value;
                }
                None => {
                    assert_eq!(old, None);
                    pairs.push((key.clone(), *value));
                }
            }
        }
        Op::Get(key) => {
            let expected = find(pairs, key).map(|index| integer(pairs[index].1));
            assert_eq!(key.with(tx, |tx, key| dict::get(tx, dict, key))?, expected);
            assert_eq!(key.with(tx, |tx, key| dict::contains(tx, dict, key))?, expected.is_some());
        }
        Op::Remove(key) => {
            let removed = key.with(tx, |tx, key| dict::remove(tx, dict, key))?;
            let expected = find(pairs, key).map(|index| pairs.remove(index));
            same_pair(tx, removed, expected);
        }
        Op::PopLast => {
            let last = dict::last(tx, dict)?;
            let popped = dict::pop_last(tx, dict)?;
            assert_eq!(last, popped);
            same_pair(tx, popped, pairs.pop());
        }
        Op::Clear => {
            dict::clear(tx, dict)?;
            pairs.clear();
        }
    }
    Ok(())
}

fn same_pair(tx: &Tx, seen: Option<(Value, Value)>, expected: Option<(TestKey, i64)>) {
    match (seen, expected) {
        (None, None) => {}
        (Some((key, value)), Some(expected)) => {
            assert!(decode(tx, key).equals(&expected.0));
            assert_eq!(value, integer(expected.1));
        }
        other => panic!("{other:?}"),
    }
}

/// Length, order both ways, and each key.
fn compare(tx: &mut Tx, dict: Handle, pairs: &Pairs) -> Result<(), Stop> {
    assert_eq!(dict::len(tx, dict)?, pairs.len() as u64);
    let (mut place, mut below) = (0, u64::MAX);
    let (mut entries, mut keys) = (dict::cursor(tx, dict)?, dict::cursor(tx, dict)?);
    for (ahead, back) in pairs.iter().zip(pairs.iter().rev()) {
        let (next, key, value) = dict::next(tx, dict, place)?.unwrap();
        same_pair(tx, Some((key, value)), Some(ahead.clone()));
        assert_eq!((entries.next(tx)?, keys.next_key(tx)?), (Some((key, value)), Some(key)));
        place = next;
        let (next, key, value) = dict::previous(tx, dict, below)?.unwrap();
        same_pair(tx, Some((key, value)), Some(back.clone()));
        below = next;
        assert_eq!(ahead.0.with(tx, |tx, key| dict::get(tx, dict, key))?, Some(integer(ahead.1)));
    }
    assert_eq!(dict::next(tx, dict, place)?, None);
    assert_eq!(dict::previous(tx, dict, below)?, None);
    assert_eq!((entries.next(tx)?, keys.next_key(tx)?), (None, None));
    assert_eq!((entries.next(tx)?, keys.next_key(tx)?), (None, None));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_dict_is_a_list_of_pairs(steps in generate::steps(operation(), 40)) {
        let mut participants = two(4 * MIB);
        let dict = participants[0].run(dict::create).unwrap();
        run_steps(
            &mut participants,
            &mut Vec::new(),
            &steps,
            |tx, pairs, operation| apply(tx, dict, pairs, operation),
            |tx, pairs| compare(tx, dict, pairs),
        );
    }

    /// Few keys go in, many out, at random: compaction begins, goes on, and is given up, at all moments.
    #[test]
    fn order_survives_compaction(seed in proptest::collection::vec((0i64..200, 0u8..10), 1000..2000)) {
        let mut tx = one(4 * MIB);
        let dict = tx.run(dict::create).unwrap();
        let mut pairs: Pairs = Vec::new();
        for (number, (key, dice)) in seed.iter().enumerate() {
            // Waves: first more goes in than out, then the other way round.
            let inserts = if number / 250 % 2 == 0 { 8 } else { 3 };
            let operation = match *dice {
                dice if dice < inserts => Op::Set(TestKey::Int(*key), number as i64),
                9 => Op::PopLast,
                _ => Op::Remove(TestKey::Int(*key)),
            };
            tx.run(|tx| {
                let mut now = pairs.clone();
                apply(tx, dict, &mut now, &operation)?;
                Ok(now)
            })
            .map(|now| pairs = now)
            .unwrap();
            if number % 16 == 0 {
                tx.run(|tx| compare(tx, dict, &pairs)).unwrap();
            }
        }
        tx.run(|tx| compare(tx, dict, &pairs)).unwrap();
    }
}

fn number(tx: &Tx, value: i64) -> Key<'static> {
    Key::new(tx.arena().hash_key(), KeyView::Int(value))
}

/// A dict grows to 100,000 keys, one transaction each thousand, shrinks to a tenth, and is filled again: nothing is lost,
/// nothing comes out of order, and the places that were given up are used again.
#[test]
fn a_large_dict_keeps_everything_in_order() {
    const KEYS: i64 = 100_000;
    let mut tx = one(256 * MIB);
    let dict = tx.run(dict::create).unwrap();
    for thousand in 0..KEYS / 1000 {
        tx.run(|tx| {
            for key in thousand * 1000..(thousand + 1) * 1000 {
                let key_view = number(tx, key);
                assert_eq!(dict::set(tx, dict, &key_view, integer(key * 2))?, None);
            }
            Ok(())
        })
        .unwrap();
    }
    let keys = |tx: &mut Tx| {
        tx.run(|tx| {
            let (mut place, mut keys) = (0, Vec::new());
            while let Some((next, key, value)) = dict::next(tx, dict, place)? {
                assert_eq!(key.as_int().unwrap() * 2, value.as_int().unwrap());
                keys.push(key.as_int().unwrap());
                place = next;
            }
            assert_eq!(dict::len(tx, dict)?, keys.len() as u64);
            Ok((place, keys))
        })
        .unwrap()
    };
    assert_eq!(keys(&mut tx).1, (0..KEYS).collect::<Vec<_>>());
    for key in (0..KEYS).filter(|key| key % 10 != 0) {
        let key = number(&tx, key);
        assert!(tx.run(|tx| dict::remove(tx, dict, &key)).unwrap().is_some());
    }
    let tenth: Vec<i64> = (0..KEYS).step_by(10).collect();
    assert_eq!(keys(&mut tx).1, tenth);
    for key in KEYS..KEYS + 20_000 {
        let key_view = number(&tx, key);
        assert_eq!(tx.run(|tx| dict::set(tx, dict, &key_view, integer(key * 2))).unwrap(), None);
    }
    let (places, all) = keys(&mut tx);
    assert_eq!(all, tenth.into_iter().chain(KEYS..KEYS + 20_000).collect::<Vec<_>>());
    assert!(places < 40_000, "{places} places for 30,000 keys: nothing was compacted");
    for key in [0, 10, KEYS, KEYS + 19_999] {
        let key_view = number(&tx, key);
        assert_eq!(tx.run(|tx| dict::get(tx, dict, &key_view)).unwrap(), Some(integer(key * 2)));
    }
}

#[test]
fn a_key_that_is_set_again_keeps_its_place_and_its_spelling() {
    let mut tx = one(MIB);
    let dict = tx.run(dict::create).unwrap();
    tx.run(|tx| {
        TestKey::Int(1).with(tx, |tx, key| dict::set(tx, dict, key, integer(10)))?;
        TestKey::Int(2).with(tx, |tx, key| dict::set(tx, dict, key, integer(20)))?;
        TestKey::Float(1.0).with(tx, |tx, key| dict::set(tx, dict, key, integer(11)))?;
        TestKey::Bool(true).with(tx, |tx, key| dict::set(tx, dict, key, integer(12)))?;
        assert_eq!(dict::next(tx, dict, 0)?, Some((1, integer(1), integer(12))));
        assert_eq!(dict::len(tx, dict)?, 2);
        Ok(())
    })
    .unwrap();
}

#[test]
fn nan_is_never_found_and_a_live_object_is_found_as_itself() {
    let mut tx = one(MIB);
    tx.run(|tx| {
        let dict = dict::create(tx)?;
        let nan = TestKey::Float(f64::NAN);
        nan.with(tx, |tx, key| dict::set(tx, dict, key, integer(1)))?;
        assert_eq!(nan.with(tx, |tx, key| dict::get(tx, dict, key))?, None);
        let (hash_key, other) = (tx.arena().hash_key(), dict::create(tx)?);
        let identity = |handle| Key::new(hash_key, KeyView::Identity(handle));
        dict::set(tx, dict, &identity(other), integer(2))?;
        assert_eq!(dict::get(tx, dict, &identity(other))?, Some(integer(2)));
        assert_eq!(dict::get(tx, dict, &identity(dict))?, None);
        assert_eq!(dict::last(tx, dict)?, Some((Value::handle(other), integer(2))));
        Ok(())
    })
    .unwrap();
}

/// The danger: one bucket for all, which each insertion writes anew, as long as it has become by then.
#[test]
fn many_nans_have_no_bucket_in_common() {
    const MANY: u64 = 2000;
    let mut tx = one(16 * MIB);
    tx.run(|tx| {
        let dict = dict::create(tx)?;
        for number in 0..MANY as i64 {
            let key = [KeyView::Float(f64::NAN), KeyView::Tuple(vec![KeyView::Float(f64::NAN)])];
            for (place, view) in key.into_iter().enumerate() {
                let key = Key::new(tx.arena().hash_key(), view);
                dict::set(tx, dict, &key, integer(2 * number + place as i64))?;
            }
        }
        for number in (0..2 * MANY as i64).rev() {
            let last = dict::pop_last(tx, dict)?;
            assert_eq!(last.map(|(_, value)| value), Some(integer(number)));
        }
        Ok(())
    })
    .unwrap();
}

/// Two open transactions change different present keys: neither stops the other. This is the bound that the layout is for.
#[test]
fn updates_of_different_keys_do_not_conflict() {
    let [mut one, mut two] = two(4 * MIB);
    let dict = one.run(dict::create).unwrap();
    for key in 0..100 {
        let key_view = number(&one, key);
        one.run(|tx| dict::set(tx, dict, &key_view, integer(0))).unwrap();
    }
    for round in 1..50 {
        one.begin().unwrap();
        two.begin().unwrap();
        let (first, second) = (number(&one, round), number(&two, round + 50));
        dict::set(&mut one, dict, &first, integer(round)).unwrap();
        dict::set(&mut two, dict, &second, integer(round)).unwrap();
        let third = number(&one, (round + 7) % 100);
        dict::get(&mut one, dict, &third).unwrap();
        one.commit().unwrap();
        two.commit().unwrap();
    }
}

/// Compaction stands at place 48 of 67 when the keys from the end on are taken away, past it: it must be given up, or the
/// places that are handed out next would be taken for such as it has moved from.
#[test]
fn compaction_is_given_up_when_the_end_falls_below_it() {
    let mut tx = one(4 * MIB);
    let dict = tx.run(dict::create).unwrap();
    let mut pairs: Pairs = Vec::new();
    let mut act = |operation: Op| {
        let operate = |tx: &mut Tx| {
            let mut now = pairs.clone();
            apply(tx, dict, &mut now, &operation)?;
            compare(tx, dict, &now)?;
            Ok(now)
        };
        pairs = tx.run(operate).unwrap();
    };
    (0..64).for_each(|key| act(Op::Set(TestKey::Int(key), key)));
    (0..33).for_each(|key| act(Op::Remove(TestKey::Int(key))));
    (64..67).for_each(|key| act(Op::Set(TestKey::Int(key), key)));
    (0..25).for_each(|_| act(Op::PopLast));
    (100..200).for_each(|key| act(Op::Set(TestKey::Int(key), key)));
}

#[test]
fn what_was_aborted_never_was() {
    let [mut one, mut two] = two(4 * MIB);
    let dict = one.run(dict::create).unwrap();
    aborted(&mut one, |tx| {
        for key in 0..1000 {
            let key_view = number(tx, key);
            dict::set(tx, dict, &key_view, integer(key))?;
        }
        assert_eq!(dict::len(tx, dict)?, 1000);
        Ok(())
    });
    two.run(|tx| compare(tx, dict, &Vec::new())).unwrap();
    two.run(|tx| TestKey::Int(5).with(tx, |tx, key| dict::set(tx, dict, key, integer(1)))).unwrap();
    aborted(&mut one, |tx| dict::clear(tx, dict));
    one.run(|tx| compare(tx, dict, &vec![(TestKey::Int(5), 1)])).unwrap();
}

/// What it takes to go through a dict in transactions of a few entries each while others change it.
struct Walk {
    forwards: bool,
    /// The very last one first.
    met: Vec<Met>,
    keys: Vec<i64>,
}

impl Walk {
    /// Up to `count` entries more. False: there is none.
    fn go_on(&mut self, tx: &mut Tx, dict: Handle, count: usize) -> bool {
        let Self { forwards, met, keys } = self;
        let found = tx.run(|tx| {
            let stands = dict::place_of_met(tx, dict, met.iter().copied())?;
            let mut place = match (stands, *forwards) {
                (Some(place), true) => place + 1,
                (Some(place), false) => place,
                (None, true) => 0,
                (None, false) => met.first().map_or(u64::MAX, Met::place),
            };
            let mut found = vec![];
            while found.len() < count {
                let next =
                    if *forwards { dict::meet_next(tx, dict, place)? } else { dict::meet_previous(tx, dict, place)? };
                let Some((met, key, _)) = next else { break };
                place = if *forwards { met.place() + 1 } else { met.place() };
                found.push((met, key.as_int().unwrap()));
            }
            Ok(found)
        });
        let found = found.unwrap();
        for (entry, key) in &found {
            met.insert(0, *entry);
            keys.push(*key);
        }
        !found.is_empty()
    }
}

/// The danger: what is left moves down while others take much out and put some in, and who goes on from where he was misses what has moved past him, or, backwards,
/// meets again what has moved below.
#[test]
fn who_goes_through_in_pieces_meets_once_what_is_there_all_the_time() {
    let mut moved = 0;
    for (round, forwards) in (0..200).map(|round| (round, round % 2 == 0)) {
        let mut tx = one(4 * MIB);
        let dict = tx.run(dict::create).unwrap();
        let set = |tx: &mut Tx, number: i64| {
            tx.run(|tx| TestKey::Int(number).with(tx, |tx, key| dict::set(tx, dict, key, integer(0)))).unwrap();
        };
        (0..120).for_each(|number| set(&mut tx, number));
        let mut walk = Walk { forwards, met: vec![], keys: vec![] };
        let (mut there, mut random) = ((0..120).collect::<Vec<i64>>(), round as u64 + 1);
        let mut fresh = 1000;
        while walk.go_on(&mut tx, dict, 1 + round % 9) {
            // Of those that have been met mostly, and a third as many new ones.
            for _ in 0..(round % 23) {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let at = (random >> 33) as usize % there.len().max(1);
                if there.len() > 20 {
                    let gone = there.remove(at);
                    tx.run(|tx| TestKey::Int(gone).with(tx, |tx, key| dict::remove(tx, dict, key))).unwrap();
                }
                if random % 3 == 0 && fresh < 1300 {
                    set(&mut tx, fresh);
                    fresh += 1;
                }
            }
        }
        for number in there {
            let times = walk.keys.iter().filter(|met| **met == number).count();
            assert_eq!(times, 1, "round {round}: {number}, forwards: {forwards}");
        }
        moved += u64::from(walk.met.iter().any(|met| met.place() < 20) && fresh > 1000);
    }
    assert!(moved > 0);
}

/// The danger: a removal goes on with the splitting of buckets, for which it has to make some, and where the space has become full just before those nothing can be taken out any more.
#[test]
fn a_dict_in_a_full_space_can_be_emptied_however_large_it_is() {
    for count in (300..1700).step_by(5) {
        let mut tx = one(2 * MIB);
        let dict = tx.run(dict::create).unwrap();
        let keys: Vec<Key> = (0..count).map(|key| number(&tx, key)).collect();
        for key in &keys {
            assert_eq!(tx.run(|tx| dict::set(tx, dict, key, integer(0))), Ok(None));
        }
        // Large blocks, then small ones, as long as there is room.
        for words in [8000, 2000, 500, 100, 20, 4, 1] {
            while tx.run(|tx| tx.allocate(BlockKind::Bytes, words)).is_ok() {}
        }
        let mut left = keys.len();
        while left > 0 {
            let before = left;
            for key in &keys {
                left -= usize::from(tx.run(|tx| dict::remove(tx, dict, key)).is_ok_and(|taken| taken.is_some()));
            }
            assert!(left < before, "{left} of {count} keys cannot be taken out");
        }
        assert_eq!(tx.run(|tx| dict::len(tx, dict)), Ok(0));
    }
}

/// The danger: a smaller bucket wants a block of a size of which there is none, though one as large as before is there, and a dict of a few keys in a full space keeps what it has.
#[test]
fn keys_of_one_bucket_can_be_taken_out_in_a_full_space() {
    for count in 3..8 {
        let mut tx = one(2 * MIB);
        let dict = tx.run(dict::create).unwrap();
        let alike = |key: &Key| key.hash() % 8 == 5;
        let keys: Vec<Key> = (0..).map(|key| number(&tx, key)).filter(alike).take(count).collect();
        for key in &keys {
            assert_eq!(tx.run(|tx| dict::set(tx, dict, key, integer(0))), Ok(None));
        }
        // All sizes that are smaller than the bucket is, and larger ones: a count, then two words a key, and classes are of two words up to 16, then of four.
        let bucket = 1 + 2 * count as u64;
        let class = |words: u64| if words <= 14 { words.div_ceil(2) } else { 7 + (words - 14).div_ceil(4) };
        let others = [8000, 4000, 2000, 500, 100, 20].into_iter().chain((1..20).rev());
        for words in others.filter(|words| class(*words) != class(bucket)) {
            while tx.run(|tx| tx.allocate(BlockKind::Bytes, words)).is_ok() {}
        }
        assert!(tx.run(|tx| tx.allocate(BlockKind::Bytes, 2 * count as u64 - 1)).is_err());
        for key in &keys {
            assert!(tx.run(|tx| dict::remove(tx, dict, key)).is_ok_and(|taken| taken.is_some()), "{count}");
        }
        assert_eq!(tx.run(|tx| dict::len(tx, dict)), Ok(0));
    }
}

/// The danger: what was emptied from the front is as long as ever for whoever looks for the last or the first of what is there.
#[test]
fn a_dict_that_was_emptied_from_the_front_is_short() {
    let mut tx = one(16 * MIB);
    let dict = tx.run(dict::create).unwrap();
    let looks = |tx: &mut Tx| {
        tx.begin().unwrap();
        assert!(dict::pop_last(tx, dict).unwrap().is_none());
        assert!(dict::next(tx, dict, 0).unwrap().is_none());
        let reads = tx.arena().platform().load(Slot::of(tx.arena(), tx.id()).unwrap().read_log_length(), Relaxed);
        tx.abort();
        reads
    };
    for count in [100, 10_000] {
        for key in 0..count {
            let key = number(&tx, key);
            tx.run(|tx| dict::set(tx, dict, &key, integer(0))).unwrap();
        }
        for key in 0..count {
            let key = number(&tx, key);
            assert!(tx.run(|tx| dict::remove(tx, dict, &key)).unwrap().is_some());
        }
        let reads = looks(&mut tx);
        assert!(reads < 20, "{reads} reads of a dict from which {count} were taken");
        assert_eq!(tx.run(|tx| dict::len(tx, dict)), Ok(0));
    }
}
