//! Attempts that go round and round over the same objects.

use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::{View, list, text, view};
use pso_engine::platform::Memory;
use pso_engine::word::Value;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::{MIB, Tx, another, cells, integer, space_of};
use pso_engine::participant::Slot;

const ROUNDS: u64 = 200_000;
/// What is noted before anybody looks whether it is there.
const MANY: u64 = 1 << 14;

fn reads(tx: &Tx) -> u64 {
    let slot = Slot::of(tx.arena(), tx.id()).unwrap();
    tx.arena().platform().load(slot.read_log_length(), Relaxed)
}

/// The danger: a space of 4 MiB is full of the notes of a transaction that reads three cells.
#[test]
fn what_is_read_again_and_again_is_noted_no_more() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let cells = cells(&mut tx, 3);
    let lists = [(); 2].map(|()| tx.run(list::create).unwrap());
    let done = tx.run(|tx| {
        for round in 0..ROUNDS {
            tx.name(lists[round as usize % 2])?;
            for cell in &cells[..2] {
                tx.read(*cell)?;
            }
            if round == ROUNDS / 2 {
                tx.write(cells[2], integer(1))?;
            }
            assert_eq!(tx.read(cells[2])?, integer(i64::from(round >= ROUNDS / 2)));
        }
        Ok(reads(tx))
    });
    let noted = done.unwrap();
    // One of 4,096 is noted all the same: it shows that the attempt goes on.
    let most = MANY + 20 + 5 * ROUNDS / 4096;
    assert!((MANY + 100..most).contains(&noted), "{noted}");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: what is noted no more is not validated; of an attempt before, or of another version.
#[test]
fn what_was_noted_once_is_validated() {
    for (changed, attempts) in [(None, 1), (Some(0), 2), (Some(1), 2)] {
        let (heap, space) = space_of(4 * MIB);
        let mut tx = space.participant().unwrap();
        let mut other = another(&heap, &space).participant().unwrap();
        let cells = cells(&mut tx, 3);
        let mut tries = 0;
        let sum = tx.run(|tx| {
            tries += 1;
            let mut sum = 0;
            for round in 0..MANY {
                sum = 0;
                for cell in &cells[..2] {
                    sum += tx.read(*cell)?.as_int().unwrap();
                }
                // Long after it has been noted, and looked up.
                if round == MANY - 5 && tries == 1 {
                    changed.iter().for_each(|&cell| other.run(|tx| tx.write(cells[cell], integer(7))).unwrap());
                }
            }
            tx.write(cells[2], integer(sum))?;
            Ok(sum)
        });
        let expected = if changed.is_some() { 7 } else { 0 };
        assert_eq!((sum, tries), (Ok(expected), attempts));
    }
}

/// The danger: a text that was read, and is noted no more, is freed and used again under the eyes of the attempt.
#[test]
fn what_was_noted_once_is_kept() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    let cells = cells(&mut tx, 1);
    let long = |letter: &str| letter.repeat(500);
    let store = |tx: &mut Tx, letter: &str| {
        tx.run(|tx| {
            let value = text::encode(tx, &long(letter))?;
            let before = tx.read(cells[0])?;
            tx.write(cells[0], value)?;
            before.as_handle().map_or(Ok(()), |handle| tx.discard(handle))
        })
        .unwrap();
    };
    store(&mut other, "a");
    let mut tries = 0;
    let ended = tx.run(|tx| {
        tries += 1;
        let mut value = Value::NONE;
        for _ in 0..MANY + 100 {
            value = tx.read(cells[0])?;
        }
        if tries == 1 {
            for letter in ["b", "c", "d"] {
                store(&mut other, letter);
                other.collect();
            }
            let View::Text(handle) = view(tx, value)? else { panic!("{value:?} is no text") };
            text::with(tx, handle, |seen| assert_eq!(seen, long("a")))?;
            return Err(Stop::Conflict);
        }
        Ok(())
    });
    assert_eq!((ended, tries), (Ok(()), 2));
    tx.leave();
    other.leave();
    assert_eq!(fsck_at_rest(&space), vec![]);
}
