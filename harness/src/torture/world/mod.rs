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
//! cellar   List } BOXES lists with an int each are in one of the two, none twice; others are made and dropped, rings too
//! attic    List }
//! notes    List of NOTES texts         each is whole: one letter, as often as the note says in its first characters
//! marks    List of MARKS zeros         other than 0 only inside an alternative that is undone, or undoes it by itself
//! drafts   List                        empty but inside of such an alternative
//! decrees  List, an int, one a writer  the first is the sum of the others: irrevocable transactions, of all and of each
//! field    List of STRIPES parts       within a part all ints are equal; no part is behind a later one
//! apart    List of two equal ints      written by the onlooker only
//! counts   List, one int a writer      commits of that writer
//! stop     List                        not empty: writers leave
//! ```

mod check;

use pso_engine::error::{Corrupt, Stop};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{dict, list, queue, text, tuple};
use pso_engine::platform::native::Native;
use pso_engine::transaction::Participant;
use pso_engine::word::{Handle, Value};

pub use check::{check, glance, survey};

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
/// Lists that move between two lists.
pub const BOXES: i64 = 12;
/// Texts that are replaced.
pub const NOTES: u64 = 8;
/// The longest text: beyond the largest size class, so that large blocks are in play.
pub const NOTE_LENGTH: usize = 40_000;
/// Digits with which a text says its length.
const NOTE_DIGITS: usize = 6;
/// Ints that are 0 in every committed state.
pub const MARKS: u64 = 16;
/// Parts of the field; a large transaction changes the first three, four or five.
pub const STRIPES: u64 = 5;
/// Cells of a part. So a large transaction writes 3,600, 4,800 or 6,000 cells: lock words name entries modulo 4,096.
pub const STRIPE: u64 = 1200;
const OBJECTS: usize = 17;

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
    pub cellar: Handle,
    pub attic: Handle,
    pub notes: Handle,
    pub marks: Handle,
    pub drafts: Handle,
    pub decrees: Handle,
    pub field: Handle,
    pub apart: Handle,
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
                cellar: list::create(tx)?,
                attic: list::create(tx)?,
                notes: list::create(tx)?,
                marks: list::create(tx)?,
                drafts: list::create(tx)?,
                decrees: list::create(tx)?,
                field: list::create(tx)?,
                apart: list::create(tx)?,
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
                cellar: item()?,
                attic: item()?,
                notes: item()?,
                marks: item()?,
                drafts: item()?,
                decrees: item()?,
                field: item()?,
                apart: item()?,
                counts: item()?,
                stop: item()?,
            })
        })
    }

    fn handles(&self) -> [Handle; OBJECTS] {
        let Self { bank, left, right, near, far, inbox, outbox, notes, counts, stop, .. } = *self;
        let Self { cellar, attic, marks, drafts, decrees, field, apart, .. } = *self;
        let moved = [bank, left, right, near, far, inbox, outbox, cellar, attic];
        let written = [notes, marks, drafts, decrees, field, apart, counts, stop];
        std::array::from_fn(|index| if index < moved.len() { moved[index] } else { written[index - moved.len()] })
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
        for item in 0..BOXES {
            let made = boxed(tx, number(item))?;
            list::push(tx, self.cellar, Value::handle(made))?;
        }
        for token in 0..TOKENS {
            queue::put(tx, self.inbox, number(token))?;
        }
        for _ in 0..NOTES {
            let value = text::encode(tx, &note('a', 0))?;
            list::push(tx, self.notes, value)?;
        }
        let zeros = [
            (self.marks, MARKS),
            (self.decrees, u64::from(writers) + 1),
            (self.field, STRIPES * STRIPE),
            (self.apart, 2),
            (self.counts, writers.into()),
        ];
        for (list, length) in zeros {
            for _ in 0..length {
                list::push(tx, list, number(0))?;
            }
        }
        Ok(())
    }
}

/// A list of one value.
pub fn boxed(tx: &mut Tx, value: Value) -> Result<Handle, Stop> {
    let made = list::create(tx)?;
    list::push(tx, made, value)?;
    Ok(made)
}

/// An int as a value. All of ours are small.
pub fn number(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// A value as an int; anything else was written by nobody.
pub fn as_number(value: Option<Value>) -> Result<i64, Stop> {
    let word = value.unwrap_or(Value::ABSENT);
    word.as_int().ok_or_else(|| Corrupt { what: "an int of the torture", byte_offset: 0, word: word.raw() }.into())
}

/// An object that a value of the torture names.
pub fn handle_of(value: Value) -> Result<Handle, Stop> {
    let corrupt = Corrupt { what: "an object of the torture", byte_offset: 0, word: value.raw() };
    value.as_handle().ok_or_else(|| corrupt.into())
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
}
