//! What it costs to move a reference: the writer's stores, and with what becomes garbage by them.
//!
//! The peer is what a reference count costs: an atomic increment of what is named and a decrement of what was. The engine counts
//! nothing; a store takes a lock and writes a record, whatever its value is. So each workload is run with ints as well, and the
//! difference is the price of a reference. All is the processor time of one thread, transactions begun and committed included.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use pso_engine::error::Stop;
use pso_engine::object::{discard, list, text};
use pso_engine::platform::native::Native;
use pso_engine::transaction::{CollectionEnd, Participant};
use pso_engine::word::{CellAddress, Handle, Value};
use pso_harness::failure::Failure;
use pso_sim::stage::Stage;

use crate::Bench;
use crate::heap::pso::Room;
use crate::work::{Draw, processor_time, timed};

type Tx = Participant<Native>;

/// Cells that references are moved between: they and the record stay in the nearest cache.
const CELLS: usize = 256;
/// Transactions between two looks at the clock.
const BATCH: u64 = 16;
/// How often each cell is written by those who have its lock already, and once before.
const PASSES: usize = 64;
/// References that are moved over texts in one transaction.
const OVERWRITTEN: usize = 256;
/// Too long to stand in a cell.
const TEXT: &str = "a text that has a block of its own";
/// Lists that are dropped and found by one collection.
const LISTS: usize = 65_536;
/// Cells that texts are stored in, and how many a transaction stores.
const TEXT_CELLS: usize = 4096;
const TEXTS_AT_ONCE: usize = 64;
/// Long enough for a collection with nobody else there.
const PATIENCE_NS: u64 = 10_000_000_000;

/// A space with cells and somebody who writes them.
pub struct Scene {
    // Before the room: it goes first.
    pub tx: Tx,
    pub cells: Vec<CellAddress>,
    _room: Room,
}

impl Scene {
    /// `count` cells, each 0.
    ///
    /// # Errors
    /// The system gives no space.
    pub fn new(count: usize) -> Result<Self, Failure> {
        let room = Room::new()?;
        let mut tx = room.participant()?;
        let stage = Stage::build(&mut tx, count as u64).map_err(Failure::space("making the cells"))?;
        let cells = (0..stage.cells()).filter_map(|number| stage.cell(number)).collect();
        Ok(Self { tx, cells, _room: room })
    }

    /// Puts a list of its own into each of the cells; their handles.
    ///
    /// # Errors
    /// The space is full.
    pub fn fill_with_lists(&mut self) -> Result<Vec<Handle>, Failure> {
        let mut lists = Vec::new();
        for cells in self.cells.chunks(CELLS) {
            let made = self.tx.run(|tx| {
                let make = |cell: &CellAddress| {
                    let list = list::create(tx)?;
                    tx.write(*cell, Value::handle(list)).map(|()| list)
                };
                cells.iter().map(make).collect::<Result<Vec<_>, Stop>>()
            });
            lists.extend(made.map_err(Failure::space("making lists"))?);
        }
        Ok(lists)
    }
}

fn failed(stop: Stop) -> Failure {
    Failure::space("a transaction")(stop)
}

/// A count on a line of its own, as that of an object.
#[repr(align(64))]
struct Count(AtomicU64);

/// The peer: counts of as many objects as there are cells, one up and one down for each reference moved.
pub fn counted(bench: &Bench) -> Result<Option<f64>, Failure> {
    let counts: Vec<Count> = (0..CELLS).map(|_| Count(AtomicU64::new(1))).collect();
    let mut named: Vec<usize> = (0..CELLS).collect();
    let mut shift = 0;
    let (batches, ns) = timed(bench.seconds, || {
        for _ in 0..BATCH {
            shift += 1;
            count_all(&counts, &mut named, shift);
        }
        Ok(())
    })?;
    let sum: u64 = counts.iter().map(|count| count.0.load(Relaxed)).sum();
    if sum == CELLS as u64 {
        return Ok(Some(ns / (batches * BATCH * CELLS as u64) as f64));
    }
    Err(Failure::Wrong(format!("{CELLS} objects have {sum} names")))
}

#[inline(never)]
fn count_all(counts: &[Count], named: &mut [usize], shift: usize) {
    for (number, name) in named.iter_mut().enumerate() {
        let new = (number + shift) % CELLS;
        // Orderings: those of std's `Arc`.
        counts[new].0.fetch_add(1, Relaxed);
        counts[std::mem::replace(name, new)].0.fetch_sub(1, Release);
    }
}

/// Names of lists, moved on by one cell in each transaction.
///
/// # Errors
/// A transaction that fails; cells that do not hold what was moved there.
pub fn handles(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(CELLS)?;
    let values: Vec<Value> = scene.fill_with_lists()?.into_iter().map(Value::handle).collect();
    moved(bench, scene, &values, 1)
}

/// The same with each cell written many times in one transaction: the name is looked at once, when it commits.
///
/// # Errors
/// As above.
pub fn handles_again(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(CELLS)?;
    let values: Vec<Value> = scene.fill_with_lists()?.into_iter().map(Value::handle).collect();
    moved(bench, scene, &values, PASSES)
}

/// The same with ints.
///
/// # Errors
/// As above.
pub fn ints(bench: &Bench) -> Result<Option<f64>, Failure> {
    let values: Vec<Value> = (0..CELLS as i64).filter_map(Value::int).collect();
    moved(bench, Scene::new(CELLS)?, &values, 1)
}

fn moved(bench: &Bench, mut scene: Scene, values: &[Value], passes: usize) -> Result<Option<f64>, Failure> {
    let mut shift = 0;
    let (batches, ns) = timed(bench.seconds, || {
        for _ in 0..BATCH {
            scene.tx.run(|tx| move_all(tx, &scene.cells, values, shift, passes)).map_err(failed)?;
            shift += passes;
        }
        Ok(())
    })?;
    let held: Vec<Value> =
        scene.tx.run(|tx| scene.cells.iter().map(|cell| tx.read(*cell)).collect::<Result<_, _>>()).map_err(failed)?;
    scene.tx.leave();
    if (0..CELLS).any(|number| held[number] != values[(number + shift - 1) % CELLS]) {
        return Err(Failure::Wrong("a cell does not hold what was moved there".into()));
    }
    Ok(Some(ns / (batches * BATCH * (CELLS * passes) as u64) as f64))
}

#[inline(never)]
fn move_all(tx: &mut Tx, cells: &[CellAddress], values: &[Value], shift: usize, passes: usize) -> Result<(), Stop> {
    for pass in shift..shift + passes {
        for (number, cell) in cells.iter().enumerate() {
            tx.write(*cell, values[(number + pass) % CELLS])?;
        }
    }
    Ok(())
}

/// Each reference comes out of one cell and over the last name of a text in another, whose block is retired and freed.
///
/// # Errors
/// A transaction that fails; blocks that were not freed.
pub fn over_texts(bench: &Bench) -> Result<Option<f64>, Failure> {
    overwritten(bench, true)
}

/// The same with ints, of which nothing becomes garbage.
///
/// # Errors
/// A transaction that fails.
pub fn over_ints(bench: &Bench) -> Result<Option<f64>, Failure> {
    overwritten(bench, false)
}

fn overwritten(bench: &Bench, is_text: bool) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(2 * OVERWRITTEN)?;
    let (into, from) = scene.cells.split_at(OVERWRITTEN);
    let tx = &mut scene.tx;
    let (mut moved, mut ns, mut spent) = (0, 0.0, 0.0);
    // An eighth goes untimed, as everywhere. Bounded by time: each turn takes some.
    while spent < bench.seconds * 1.125e9 {
        tx.run(|tx| fill(tx, from, is_text)).map_err(failed)?;
        let start = processor_time();
        tx.run(|tx| move_over(tx, from, into)).map_err(failed)?;
        tx.collect();
        let took = (processor_time() - start).as_nanos() as f64;
        if tx.retired_words() != 0 {
            return Err(Failure::Wrong("what was replaced waits, though nobody is there to hold it".into()));
        }
        if spent >= bench.seconds * 0.125e9 {
            moved += OVERWRITTEN;
            ns += took;
        }
        spent += took;
    }
    let has_freed = tx.freed_words() >= if is_text { moved as u64 } else { 0 };
    scene.tx.leave();
    if has_freed { Ok(Some(ns / moved as f64)) } else { Err(Failure::Wrong("blocks were not freed".into())) }
}

fn fill(tx: &mut Tx, cells: &[CellAddress], is_text: bool) -> Result<(), Stop> {
    for (number, cell) in cells.iter().enumerate() {
        let value = if is_text { text::encode(tx, TEXT)? } else { Value::int(number as i64).unwrap_or(Value::NONE) };
        tx.write(*cell, value)?;
    }
    Ok(())
}

#[inline(never)]
fn move_over(tx: &mut Tx, from: &[CellAddress], into: &[CellAddress]) -> Result<(), Stop> {
    for (from, into) in from.iter().zip(into) {
        let value = tx.read(*from)?;
        let old = tx.read(*into)?;
        tx.write(*into, value)?;
        tx.write(*from, Value::NONE)?;
        discard(tx, old)?;
    }
    Ok(())
}

/// Lists that are dropped, and the collection that finds them: processor time for each.
///
/// # Errors
/// A transaction that fails; lists that were not found.
pub fn lists_collected(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(LISTS)?;
    let (mut dropped, mut ns) = (0, 0.0);
    while ns < bench.seconds * 1e9 {
        scene.fill_with_lists()?;
        for cells in scene.cells.chunks(CELLS) {
            let drop = |tx: &mut Tx| cells.iter().try_for_each(|cell| tx.write(*cell, Value::NONE));
            scene.tx.run(drop).map_err(failed)?;
        }
        let start = processor_time();
        let end = scene.tx.collect_objects(PATIENCE_NS).map_err(failed)?;
        ns += (processor_time() - start).as_nanos() as f64;
        dropped += LISTS;
        match end {
            CollectionEnd::Finished(collected) if collected.objects == LISTS as u64 => {}
            end => return Err(Failure::Wrong(format!("a collection of {LISTS} lists ended so: {end:?}"))),
        }
    }
    scene.tx.leave();
    Ok(Some(ns / dropped as f64))
}

/// What a user does: a new text of 16 to 256 bytes over another one in a cell, by transactions of some such stores.
///
/// # Errors
/// A transaction that fails.
pub fn texts_stored(bench: &Bench) -> Result<Option<f64>, Failure> {
    let mut scene = Scene::new(TEXT_CELLS)?;
    let text = "x".repeat(256);
    let mut draw = Draw::new(bench.seed);
    let (batches, ns) = timed(bench.seconds, || {
        for _ in 0..BATCH {
            scene.tx.run(|tx| store_texts(tx, &scene.cells, &text, &mut draw)).map_err(failed)?;
        }
        Ok(())
    })?;
    let freed = scene.tx.freed_words();
    scene.tx.leave();
    let stored = batches * BATCH * TEXTS_AT_ONCE as u64;
    if freed > stored { Ok(Some(ns / stored as f64)) } else { Err(Failure::Wrong(format!("{freed} words freed"))) }
}

fn store_texts(tx: &mut Tx, cells: &[CellAddress], text: &str, draw: &mut Draw) -> Result<(), Stop> {
    for _ in 0..TEXTS_AT_ONCE {
        let cell = cells[draw.below(cells.len() as u64) as usize];
        let value = text::encode(tx, &text[..draw.bytes() as usize])?;
        let old = tx.read(cell)?;
        tx.write(cell, value)?;
        discard(tx, old)?;
    }
    Ok(())
}
