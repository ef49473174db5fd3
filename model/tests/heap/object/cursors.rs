//! Whole reads of lists and dicts beside somebody who changes them.

use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{dict, list};
use pso_engine::word::Handle;

use super::support::{MIB, Tx, integer, two};

fn key(tx: &Tx, number: i64) -> Key<'static> {
    Key::new(tx.arena().hash_key(), KeyView::Int(number))
}

fn insert(tx: &mut Tx, dict: Handle, number: i64) {
    let key = key(tx, number);
    tx.run(|tx| dict::set(tx, dict, &key, integer(number)).map(drop)).unwrap();
}

/// The danger: who reads a whole list beside somebody who appends as fast as that never comes to its end.
#[test]
fn who_reads_a_whole_list_does_not_chase_who_appends() {
    for count in [0, 5, 300] {
        let [mut reader, mut writer] = two(4 * MIB);
        let list = reader.run(list::create).unwrap();
        reader.run(|tx| (0..count).try_for_each(|value| list::push(tx, list, integer(value)))).unwrap();
        reader.begin().unwrap();
        let mut cursor = list::cursor(&mut reader, list, 0).unwrap();
        for value in 0.. {
            writer.run(|tx| list::push(tx, list, integer(count + value))).unwrap();
            let Some(item) = cursor.next(&mut reader).unwrap() else { break };
            assert_eq!((item, cursor.place()), (integer(value), value as u64 + 1));
            assert!(value < 2 * count + 2, "in pursuit of item {value} of a list that had {count}");
        }
        // What was read is the list of one moment, and he writes nothing: so it stands, whatever was appended since.
        reader.commit().unwrap();
        assert!(cursor.place() >= count as u64);
    }
}

/// The danger: the same of a dict.
#[test]
fn who_reads_a_whole_dict_does_not_chase_who_inserts() {
    for (count, keys_alone) in [(0, false), (5, false), (300, true), (300, false)] {
        let [mut reader, mut writer] = two(4 * MIB);
        let dict = reader.run(dict::create).unwrap();
        (0..count).for_each(|number| insert(&mut writer, dict, number));
        reader.begin().unwrap();
        let mut cursor = dict::cursor(&mut reader, dict).unwrap();
        let mut met = 0;
        loop {
            insert(&mut writer, dict, count + met);
            let next = match keys_alone {
                true => cursor.next_key(&mut reader).unwrap().map(|key| (key, key)),
                false => cursor.next(&mut reader).unwrap(),
            };
            let Some(next) = next else { break };
            assert_eq!(next, (integer(met), integer(met)));
            met += 1;
            assert!(met < 2 * count + 2, "in pursuit of entry {met} of a dict that had {count}");
        }
        reader.commit().unwrap();
        assert!(met >= count);
    }
}

/// The danger: who goes through the keys alone loses against whoever gives one of them another value.
#[test]
fn who_reads_the_keys_does_not_conflict_with_new_values() {
    let [mut reader, mut writer] = two(MIB);
    let (dict, own) = reader.run(|tx| Ok((dict::create(tx)?, list::create(tx)?))).unwrap();
    (0..40).for_each(|number| insert(&mut writer, dict, number));
    reader.begin().unwrap();
    let (mut cursor, mut ahead, mut back) = (dict::cursor(&mut reader, dict).unwrap(), 0, u64::MAX);
    for number in 0..40 {
        let there = dict::meet_next_key(&mut reader, dict, ahead).unwrap().unwrap();
        let last = dict::meet_previous_key(&mut reader, dict, back).unwrap().unwrap();
        (ahead, back) = (there.0.place() + 1, last.0.place());
        assert_eq!((there.1, last.1), (integer(number), integer(39 - number)));
        assert_eq!(cursor.next_key(&mut reader).unwrap(), Some(integer(number)));
        insert(&mut writer, dict, 0);
        insert(&mut writer, dict, 39);
    }
    // It writes, so all that it has read is looked at once more.
    list::push(&mut reader, own, integer(1)).unwrap();
    reader.commit().unwrap();
}
