//! What the writers write: objects whose invariants any consistent read can check.
//!
//! ```text
//! bank     List of ACCOUNTS ints       their sum never changes
//! left     Dict } each key of 0..KEYS  is in exactly one of the two, with the value that belongs to it
//! right    Dict }
//! near     List } ITEMS different ints are in one of the two, none twice
//! far      List }
//! inbox    Queue } TOKENS different ints are in one of the two, none twice; often empty, so that takers sleep
//! outbox   Queue }
//! notes    List of NOTES texts         each is whole: one letter, as often as the note says in its first characters
//! counts   List, one int a writer      commits of that writer
//! stop     List                        not empty: writers leave
//! ```

use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{View, dict, list, queue, text, tuple, view};
use pso_engine::platform::native::Native;
use pso_engine::transaction::Participant;
use pso_engine::word::{Handle, Value};

/// Who runs the transactions of this program.
pub type Tx = Participant<Native>;

/// Accounts of the bank.
pub const ACCOUNTS: u64 = 48;
const BALANCE: i64 = 1000;
/// Keys that move between two dicts.
pub const KEYS: i64 = 96;
/// Ints that move between two lists.
pub const ITEMS: i64 = 24;
/// Ints that move between two queues.
pub const TOKENS: i64 = 3;
/// Texts that are replaced.
pub const NOTES: u64 = 8;
/// The longest text: beyond the largest size class, so that large blocks are in play.
pub const NOTE_LENGTH: usize = 40_000;
/// Digits with which a text says its length.
const NOTE_DIGITS: usize = 6;
const OBJECTS: usize = 10;

/// Handles of the objects. They live as long as the space: nothing ever takes them out of the root.
#[derive(Clone, Copy)]
pub struct World {
    pub bank: Handle,
    pub left: Handle,
    pub right: Handle,
    pub near: Handle,
    pub far: Handle,
    pub inbox: Handle,
    pub outbox: Handle,
    pub notes: Handle,
    pub counts: Handle,
    pub stop: Handle,
}

impl World {
    /// Makes everything, and hangs it into the root, in one transaction.
    pub fn build(tx: &mut Tx, writers: u32) -> Result<Self, Stop> {
        tx.run(|tx| {
            let world = Self {
                bank: list::create(tx)?,
                left: dict::create(tx)?,
                right: dict::create(tx)?,
                near: list::create(tx)?,
                far: list::create(tx)?,
                inbox: queue::create(tx, TOKENS as u64)?,
                outbox: queue::create(tx, TOKENS as u64)?,
                notes: list::create(tx)?,
                counts: list::create(tx)?,
                stop: list::create(tx)?,
            };
            world.fill(tx, writers)?;
            let items = world.handles().map(Value::handle);
            let all = tuple::encode(tx, &items)?;
            let root = tx.arena().root();
            tx.write(root, all)?;
            Ok(world)
        })
    }

    /// Finds everything in the root.
    pub fn open(tx: &mut Tx) -> Result<Self, Stop> {
        tx.run(|tx| {
            let root = tx.arena().root();
            let all = handle_of(tx.read(root)?)?;
            let mut next = 0;
            let mut item = || {
                let value = tuple::item(tx, all, next)?;
                next += 1;
                handle_of(value.unwrap_or(Value::NONE))
            };
            Ok(Self {
                bank: item()?,
                left: item()?,
                right: item()?,
                near: item()?,
                far: item()?,
                inbox: item()?,
                outbox: item()?,
                notes: item()?,
                counts: item()?,
                stop: item()?,
            })
        })
    }

    fn handles(&self) -> [Handle; OBJECTS] {
        let Self { bank, left, right, near, far, inbox, outbox, notes, counts, stop } = *self;
        [bank, left, right, near, far, inbox, outbox, notes, counts, stop]
    }

    fn fill(&self, tx: &mut Tx, writers: u32) -> Result<(), Stop> {
        for _ in 0..ACCOUNTS {
            list::push(tx, self.bank, number(BALANCE))?;
        }
        for index in 0..KEYS {
            let half = if index % 2 == 0 { self.left } else { self.right };
            dict::set(tx, half, &key(tx, index), number(belonging(index)))?;
        }
        for item in 0..ITEMS {
            list::push(tx, self.near, number(item))?;
        }
        for token in 0..TOKENS {
            queue::put(tx, self.inbox, number(token))?;
        }
        for _ in 0..NOTES {
            let value = text::encode(tx, &note('a', 0))?;
            list::push(tx, self.notes, value)?;
        }
        for _ in 0..writers {
            list::push(tx, self.counts, number(0))?;
        }
        Ok(())
    }
}

/// An int as a value. All of ours are small.
pub fn number(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// A value as an int; anything else was written by nobody.
pub fn as_number(value: Option<Value>) -> Result<i64, Stop> {
    let word = value.unwrap_or(Value::ABSENT);
    word.as_int().ok_or(Stop::Corrupt(Corrupt { what: "an int of the torture", byte_offset: 0, word: word.raw() }))
}

fn handle_of(value: Value) -> Result<Handle, Stop> {
    let corrupt = Corrupt { what: "the root of the torture", byte_offset: 0, word: value.raw() };
    value.as_handle().ok_or(Stop::Corrupt(corrupt))
}

/// A key of the two dicts. Every fourth is a text, so that keys of all kinds are hashed and compared.
pub fn key(tx: &Tx, index: i64) -> Key<'static> {
    const WORDS: [&str; 4] = ["a", "three words long", "of seven", "and a last one that is longer than most"];
    let view = match index % 4 {
        3 if index < 16 => KeyView::Text(WORDS[index as usize / 4]),
        2 => KeyView::Float(index as f64 + 0.5),
        _ => KeyView::Int(index),
    };
    Key::new(tx.arena().hash_key(), view)
}

/// The value that belongs to a key of the two dicts.
pub fn belonging(index: i64) -> i64 {
    index * 7 + 1
}

/// A text that can be seen to be whole.
pub fn note(letter: char, length: usize) -> String {
    let mut text = format!("{length:0NOTE_DIGITS$}");
    text.extend(std::iter::repeat_n(letter, length));
    text
}

/// Whether a text is whole.
pub fn is_whole_note(text: &str) -> bool {
    let Some((digits, rest)) = text.split_at_checked(NOTE_DIGITS) else { return false };
    let first = rest.chars().next();
    digits.parse() == Ok(rest.len()) && rest.chars().all(|letter| Some(letter) == first)
}

/// What is wrong with the world in the state that one transaction sees, a sentence each. The counts of the writers besides.
pub fn check(tx: &mut Tx, world: &World, writers: u32) -> Result<(Vec<String>, Vec<u64>), Stop> {
    tx.run(|tx| {
        let mut wrong = Vec::new();
        check_bank(tx, world, &mut wrong)?;
        check_dicts(tx, world, &mut wrong)?;
        let near = all_of(tx, world.near)?;
        let far = all_of(tx, world.far)?;
        check_permutation("the lists", near, far, ITEMS, &mut wrong);
        check_queues(tx, world, &mut wrong)?;
        check_notes(tx, world, &mut wrong)?;
        let mut counts = Vec::new();
        for writer in 0..writers {
            counts.push(as_number(list::get(tx, world.counts, writer.into())?)? as u64);
        }
        Ok((wrong, counts))
    })
}

fn check_bank(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let balances = all_of(tx, world.bank)?;
    let (sum, expected) = (balances.iter().sum::<i64>(), BALANCE * ACCOUNTS as i64);
    if balances.len() as u64 != ACCOUNTS || sum != expected {
        wrong.push(format!("the bank: {} accounts with {sum} instead of {expected}", balances.len()));
    }
    Ok(())
}

fn check_dicts(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    for index in 0..KEYS {
        let key = key(tx, index);
        let sides = [dict::get(tx, world.left, &key)?, dict::get(tx, world.right, &key)?];
        let values: Vec<_> = sides.into_iter().flatten().collect();
        if values.len() != 1 || values[0].as_int() != Some(belonging(index)) {
            wrong.push(format!("the dicts: key {index} has {values:?} instead of {}", belonging(index)));
        }
    }
    let total = dict::len(tx, world.left)? + dict::len(tx, world.right)?;
    let walked = walk(tx, world.left)? + walk(tx, world.right)?;
    if (total, walked) != (KEYS as u64, KEYS as u64) {
        wrong.push(format!("the dicts: {total} keys by length and {walked} by iteration instead of {KEYS}"));
    }
    Ok(())
}

fn walk(tx: &mut Tx, dict: Handle) -> Result<u64, Stop> {
    let (mut place, mut count) = (0, 0);
    // At most all keys, twice: more would be a circle.
    while count <= 2 * KEYS as u64 {
        match dict::next(tx, dict, place)? {
            Some((next, _, _)) => place = next,
            None => break,
        }
        count += 1;
    }
    Ok(count)
}

/// The queues cannot be looked into: everything is taken out and put back, in this transaction.
fn check_queues(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let mut sides = [Vec::new(), Vec::new()];
    for (queue, found) in [world.inbox, world.outbox].into_iter().zip(&mut sides) {
        while let Some(token) = queue::try_get(tx, queue)? {
            found.push(as_number(Some(token))?);
        }
        for token in &*found {
            if !queue::try_put(tx, queue, number(*token))? {
                wrong.push(format!("a queue has no room for token {token} that was in it"));
            }
        }
    }
    let [inbox, outbox] = sides;
    check_permutation("the queues", inbox, outbox, TOKENS, wrong);
    Ok(())
}

fn check_notes(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    for index in 0..NOTES {
        let value = list::get(tx, world.notes, index)?.unwrap_or(Value::ABSENT);
        let whole = match view(tx, value)? {
            View::ShortText(text) => std::str::from_utf8(text.as_slice()).is_ok_and(is_whole_note),
            View::Text(handle) => text::with(tx, handle, is_whole_note)?,
            _ => false,
        };
        if !whole {
            wrong.push(format!("note {index} is torn"));
        }
    }
    Ok(())
}

fn all_of(tx: &mut Tx, list: Handle) -> Result<Vec<i64>, Stop> {
    (0..list::len(tx, list)?).map(|index| as_number(list::get(tx, list, index)?)).collect()
}

fn check_permutation(what: &str, one: Vec<i64>, other: Vec<i64>, count: i64, wrong: &mut Vec<String>) {
    let mut all: Vec<i64> = one.iter().chain(&other).copied().collect();
    all.sort_unstable();
    if !all.iter().copied().eq(0..count) {
        wrong.push(format!("{what}: {one:?} and {other:?} instead of 0..{count} among them"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_note_is_seen() {
        assert!(is_whole_note(&note('x', 0)) && is_whole_note(&note('x', 9999)));
        for torn in ["", "00", "000002x", "000001xy", "000002xy", "00000axx"] {
            assert!(!is_whole_note(torn), "{torn}");
        }
    }

    #[test]
    fn a_checker_that_cannot_fail_is_a_defect() {
        let mut wrong = Vec::new();
        check_permutation("x", vec![2, 0], vec![1], 3, &mut wrong);
        assert!(wrong.is_empty());
        for (one, other) in [(vec![0, 1], vec![1]), (vec![0, 1], vec![]), (vec![0, 1, 2, 3], vec![])] {
            check_permutation("x", one, other, 3, &mut wrong);
        }
        assert_eq!(wrong.len(), 3);
    }
}
