//! One writer: endless transactions of every kind on the world, until it is killed or told to leave.
//!
//! Each transaction that changes something also counts itself in `counts`, so that a commit and its count exist together
//! or not at all. One thing it does is undone: an attempt that allocates and then ends without a commit.

use std::time::Duration;

use pso_engine::error::Stop;
use pso_engine::object::{dict, list, queue, text};
use pso_engine::platform::System as _;
use pso_engine::platform::native::Place;
use pso_engine::word::Handle;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::progress::Progress;
use super::round::SPACE;
use super::world::{ACCOUNTS, ITEMS, KEYS, NOTE_LENGTH, NOTES, Tx, World, as_number, belonging, key, note, number};
use crate::cli::TortureWorker;
use crate::failure::Failure;
use crate::place;

/// How long a writer sleeps for a token before it does something else: all takers may wait at the same queue.
const TOKEN_PATIENCE: Duration = Duration::from_micros(200);

/// What a writer does next; `choose` says how often, in a thousand.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Transfer,
    MoveKey,
    MoveItem,
    MoveToken,
    ReplaceNote,
    AbandonNote,
}

fn choose(random: &mut StdRng) -> Deed {
    match random.random_range(0..1000) {
        0..400 => Deed::Transfer,
        400..670 => Deed::MoveKey,
        670..940 => Deed::MoveItem,
        // Seldom: a writer that sleeps is killed in nothing of interest.
        940..955 => Deed::MoveToken,
        955..960 => Deed::ReplaceNote,
        _ => Deed::AbandonNote,
    }
}

/// The hidden subcommand `torture-worker`.
pub fn work(options: &TortureWorker) -> Result<(), Failure> {
    // Whoever kills us may be killed itself.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Failure::system("asking for our parent's death")(error.into()))?;
    let progress = Progress::open(&options.dir)?;
    let joined = place::attach(&Place::Directory(options.dir.join(SPACE)))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    let world = World::open(&mut tx).map_err(Failure::space("the world"))?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let outcome = labour(&mut tx, &world, options.writer, &progress, &mut random);
    tx.leave();
    outcome
}

fn labour(tx: &mut Tx, world: &World, writer: u32, progress: &Progress, random: &mut StdRng) -> Result<(), Failure> {
    loop {
        let deed = choose(random);
        match perform(tx, world, writer, deed, random) {
            Ok(Done::Committed(commits)) => progress.note(writer, commits)?,
            Ok(Done::Nothing) | Err(Stop::TimedOut) => {}
            Ok(Done::Told) => return Ok(()),
            Err(stop) => return Err(Failure::Wrong(format!("writer {writer}, {deed:?}: {stop}"))),
        }
    }
}

/// How a deed ended.
enum Done {
    /// So many commits has this writer made with it.
    Committed(u64),
    /// Nothing changed.
    Nothing,
    /// The writer is told to leave.
    Told,
}

fn perform(tx: &mut Tx, world: &World, writer: u32, deed: Deed, random: &mut StdRng) -> Result<Done, Stop> {
    if let Deed::AbandonNote = deed {
        return abandon(tx, random);
    }
    let deadline = tx.arena().platform().now_ns() + TOKEN_PATIENCE.as_nanos() as u64;
    let patience = matches!(deed, Deed::MoveToken).then_some(deadline);
    // Drawn before the transaction: a body that is run again does the same.
    let draw = Draw::new(random);
    tx.run_until(patience, |tx| {
        if list::len(tx, world.stop)? > 0 {
            return Ok(Done::Told);
        }
        match deed {
            Deed::Transfer => transfer(tx, world, &draw)?,
            Deed::MoveKey => move_key(tx, world, &draw)?,
            Deed::MoveItem => move_item(tx, world, &draw)?,
            Deed::MoveToken => move_token(tx, world, &draw)?,
            Deed::ReplaceNote => replace_note(tx, world, &draw)?,
            Deed::AbandonNote => {}
        }
        let commits = as_number(list::get(tx, world.counts, writer.into())?)? + 1;
        list::set(tx, world.counts, writer.into(), number(commits))?;
        Ok(Done::Committed(commits as u64))
    })
}

/// The random part of a deed.
struct Draw {
    one: u64,
    other: u64,
    forward: bool,
}

impl Draw {
    fn new(random: &mut StdRng) -> Self {
        Self { one: random.random(), other: random.random(), forward: random.random() }
    }
    fn ordered<T>(&self, one: T, other: T) -> (T, T) {
        if self.forward { (one, other) } else { (other, one) }
    }
}

fn transfer(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let (from, to) = (draw.one % ACCOUNTS, draw.other % ACCOUNTS);
    let amount = (draw.one >> 32) as i64 % 100;
    let taken = as_number(list::get(tx, world.bank, from)?)? - amount;
    list::set(tx, world.bank, from, number(taken))?;
    let given = as_number(list::get(tx, world.bank, to)?)? + amount;
    list::set(tx, world.bank, to, number(given))?;
    Ok(())
}

fn move_key(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let index = (draw.one % KEYS as u64) as i64;
    let (from, to) = draw.ordered(world.left, world.right);
    let key = key(tx, index);
    if dict::remove(tx, from, &key)?.is_some() {
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

fn move_token(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let (from, to): (Handle, Handle) = draw.ordered(world.inbox, world.outbox);
    let token = queue::get(tx, from)?;
    queue::put(tx, to, token)
}

fn replace_note(tx: &mut Tx, world: &World, draw: &Draw) -> Result<(), Stop> {
    let value = text::encode(tx, &draw_note(draw))?;
    list::set(tx, world.notes, draw.one % NOTES, value)?;
    Ok(())
}

/// Mostly short, seldom longer than the largest size class.
fn draw_note(draw: &Draw) -> String {
    let length = if draw.one.is_multiple_of(8) { draw.other as usize % NOTE_LENGTH } else { draw.other as usize % 300 };
    note(char::from(b'a' + (draw.one >> 8) as u8 % 26), length)
}

/// Allocates, and ends the attempt without a commit: everything has to be given back.
fn abandon(tx: &mut Tx, random: &mut StdRng) -> Result<Done, Stop> {
    tx.begin()?;
    let made = text::encode(tx, &draw_note(&Draw::new(random)));
    tx.abort();
    made.map(|_| Done::Nothing)
}
