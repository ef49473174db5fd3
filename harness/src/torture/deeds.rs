//! What writers do: transactions of every kind on the world, each a body that can run again.
//!
//! Weighed by the time that they take, so that a kill at a random moment meets each of them: a large transaction takes as long as
//! a thousand transfers.

use pso_engine::error::Stop;
use pso_engine::object::{self, dict, list, queue, text};
use pso_engine::word::{Handle, Value};
use rand::Rng;
use rand::rngs::StdRng;

use super::world::{
    ACCOUNTS, BOXES, ITEMS, KEYS, MARKS, NOTE_LENGTH, NOTES, STRIPE, STRIPES, Tx, World, as_number, belonging, boxed,
    handle_of, key, note, number,
};

/// Accounts that an irrevocable transaction levels.
const LEVELLED: u64 = 6;

/// What a writer does; `choose` says how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Transfer,
    MoveKey,
    MoveItem,
    /// Waits by `retry` where the queue is empty.
    MoveToken,
    /// A token from one queue or else from the other; what the first alternative has written is undone where its queue is empty.
    EitherToken,
    /// Irrevocable.
    Decree,
    /// Thousands of cells.
    Large,
    ReplaceNote,
    /// Allocates and gives up.
    AbandonNote,
    /// A list goes from one list to another, or a copy of it does; and something is dropped that nothing named.
    MoveBox,
    /// Frees what nothing names.
    Collect,
}

impl Deed {
    /// All, by the number in the notes.
    pub const ALL: [Self; 11] = [
        Self::Transfer,
        Self::MoveKey,
        Self::MoveItem,
        Self::MoveToken,
        Self::EitherToken,
        Self::Decree,
        Self::Large,
        Self::ReplaceNote,
        Self::AbandonNote,
        Self::MoveBox,
        Self::Collect,
    ];

    /// What people read in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::MoveKey => "move_key",
            Self::MoveItem => "move_item",
            Self::MoveToken => "retry",
            Self::EitherToken => "or_else",
            Self::Decree => "irrevocable",
            Self::Large => "large",
            Self::ReplaceNote => "replace_note",
            Self::AbandonNote => "abandon",
            Self::MoveBox => "move_box",
            Self::Collect => "collect",
        }
    }

    /// The next one.
    pub fn choose(random: &mut StdRng) -> Self {
        match random.random_range(0..10_000) {
            0..2800 => Self::Transfer,
            2800..4800 => Self::MoveKey,
            4800..6800 => Self::MoveItem,
            6800..8150 => Self::MoveBox,
            // As long as some hundred transfers.
            8150..8200 => Self::Collect,
            // Seldom: a writer that sleeps is killed in nothing of interest.
            8200..8260 => Self::MoveToken,
            8260..8900 => Self::EitherToken,
            8900..9600 => Self::Decree,
            9600..9615 => Self::Large,
            9615..9665 => Self::ReplaceNote,
            _ => Self::AbandonNote,
        }
    }

    /// Does it, as a part of the attempt under way.
    pub fn perform(self, tx: &mut Tx, world: &World, writer: u32, draw: &Draw) -> Result<(), Stop> {
        match self {
            Self::Transfer => transfer(tx, world, draw),
            Self::MoveKey => move_key(tx, world, draw),
            Self::MoveItem => move_item(tx, world, draw),
            Self::MoveToken => {
                let (from, to) = draw.ordered(world.inbox, world.outbox);
                move_token(tx, from, to)
            }
            Self::EitherToken => either_token(tx, world, draw),
            Self::Decree => decree(tx, world, writer, draw),
            Self::Large => large(tx, world, draw),
            Self::ReplaceNote => replace_note(tx, world, draw),
            Self::AbandonNote => text::encode(tx, &draw.note()).map(drop),
            Self::MoveBox => move_box(tx, world, draw),
            // No transaction: see `writer`.
            Self::Collect => Ok(()),
        }
    }
}

/// The random part of a deed, drawn before its transaction: a body that is run again does the same.
pub struct Draw {
    one: u64,
    other: u64,
    forward: bool,
}

impl Draw {
    pub fn new(random: &mut StdRng) -> Self {
        Self { one: random.random(), other: random.random(), forward: random.random() }
    }

    fn ordered<T>(&self, one: T, other: T) -> (T, T) {
        if self.forward { (one, other) } else { (other, one) }
    }

    /// Mostly short, seldom longer than the largest size class.
    fn note(&self) -> String {
        let length =
            if self.one.is_multiple_of(8) { self.other as usize % NOTE_LENGTH } else { self.other as usize % 300 };
        note(char::from(b'a' + (self.one >> 8) as u8 % 26), length)
    }
}

/// Adds to an int of a list.
fn add(tx: &mut Tx, list: Handle, index: u64, amount: i64) -> Result<(), Stop> {
    let value = as_number(list::get(tx, list, index)?)? + amount;
    list::set(tx, list, index, number(value))?;
    Ok(())
}

fn transfer(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let amount = (draw.one >> 32) as i64 % 100;
    add(tx, world.bank, draw.one % ACCOUNTS, -amount)?;
    add(tx, world.bank, draw.other % ACCOUNTS, amount)
}

fn move_key(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let index = (draw.one % KEYS as u64) as i64;
    let (from, to) = draw.ordered(world.left, world.right);
    let key = key(tx, index);
    if let Some((name, value)) = dict::remove(tx, from, &key)? {
        object::discard(tx, name)?;
        object::discard(tx, value)?;
        dict::set(tx, to, &key, number(belonging(index)))?;
    }
    Ok(())
}

fn move_item(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let (from, to) = draw.ordered(world.near, world.far);
    let length = list::len(tx, from)?;
    if length == 0 {
        return Ok(());
    }
    if let Some(item) = list::remove(tx, from, draw.one % length)? {
        let place = draw.other % (ITEMS as u64 - length + 1);
        list::insert(tx, to, place, item)?;
    }
    Ok(())
}

fn move_box(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let (from, to) = draw.ordered(world.cellar, world.attic);
    let length = list::len(tx, from)?;
    if length == 0 {
        return Ok(());
    }
    let Some(taken) = list::remove(tx, from, draw.one % length)? else { return Ok(()) };
    let mut moved = handle_of(taken)?;
    if draw.other.is_multiple_of(4) {
        let content = as_number(list::get(tx, moved, 0)?)?;
        let ring = boxed(tx, Value::handle(moved))?;
        list::push(tx, ring, Value::handle(ring))?;
        moved = boxed(tx, number(content))?;
    }
    let place = (draw.other >> 8) % (BOXES as u64 - length + 1);
    list::insert(tx, to, place, Value::handle(moved))
}

fn move_token(tx: &mut Tx, from: Handle, to: Handle) -> Result<(), Stop> {
    let token = queue::get(tx, from)?;
    queue::put(tx, to, token)
}

/// The first alternative marks and pays before it looks whether there is a token, and takes that back itself if there is one. If
/// not, or if it is one that allocates and then always asks to wait, it is undone: over a cell that was written before it.
fn either_token(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let (from, to) = draw.ordered(world.inbox, world.outbox);
    let (mark, account) = (draw.one % MARKS, draw.other % ACCOUNTS);
    let amount = 1 + (draw.one >> 32) as i64 % 100;
    add(tx, world.bank, account, amount)?;
    tx.or_else(
        |tx| {
            add(tx, world.marks, mark, 1)?;
            add(tx, world.marks, (mark + 5) % MARKS, 1)?;
            add(tx, world.bank, account, amount)?;
            if draw.one >> 63 == 1 {
                let draft = text::encode(tx, &draw.note())?;
                list::push(tx, world.drafts, draft)?;
                return Err(Stop::Retry);
            }
            move_token(tx, from, to)?;
            add(tx, world.bank, account, -amount)?;
            add(tx, world.marks, (mark + 5) % MARKS, -1)?;
            add(tx, world.marks, mark, -1)
        },
        // One of the two has a token in any state.
        |tx| match queue::try_get(tx, to)? {
            Some(token) => queue::put(tx, from, token),
            None => move_token(tx, from, to),
        },
    )?;
    add(tx, world.bank, draw.other / ACCOUNTS % ACCOUNTS, -amount)
}

/// Levels some accounts. What it reads is locked, and it runs once.
fn decree(tx: &mut Tx, world: &World, writer: u32, draw: &Draw) -> Result<(), Stop> {
    add(tx, world.decrees, 0, 1)?;
    let accounts = (0..LEVELLED).map(|step| (draw.one + step * 7) % ACCOUNTS);
    let mut sum = 0;
    for account in accounts.clone() {
        sum += as_number(list::get(tx, world.bank, account)?)?;
    }
    let mean = sum.div_euclid(LEVELLED as i64);
    for account in accounts {
        list::set(tx, world.bank, account, number(mean))?;
    }
    add(tx, world.bank, draw.one % ACCOUNTS, sum - mean * LEVELLED as i64)?;
    add(tx, world.decrees, u64::from(writer) + 1, 1)
}

fn large(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let stripes = STRIPES - draw.one % 3;
    (0..stripes * STRIPE).try_for_each(|cell| add(tx, world.field, cell, 1))
}

fn replace_note(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let value = text::encode(tx, &draw.note())?;
    list::set(tx, world.notes, draw.one % NOTES, value)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_stand_at_their_numbers() {
        for (number, deed) in Deed::ALL.into_iter().enumerate() {
            assert_eq!(deed as usize, number);
        }
    }
}
