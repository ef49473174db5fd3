//! One writer: endless transactions of every kind on the world, until it is killed or told to leave.
//!
//! Each transaction that changes something also counts itself in `counts`, so that a commit and its count exist together
//! or not at all. One thing it does is undone: an attempt that allocates and then ends without a commit.

use std::time::Duration;

use pso_engine::error::Stop;
use pso_engine::object::list;
use pso_engine::platform::System as _;
use pso_engine::platform::native::Place;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::deeds::{Deed, Draw};
use super::progress::{Note, Progress};
use super::round::SPACE;
use super::world::{Tx, World, as_number, number};
use crate::cli::TortureWorker;
use crate::failure::Failure;
use crate::place;

/// How long a writer sleeps for a token before it does something else: all takers may wait at the same queue.
const TOKEN_PATIENCE: Duration = Duration::from_micros(200);

/// How long a writer waits for others in a collection: one that is stopped holds it up.
const COLLECTOR_PATIENCE: Duration = Duration::from_millis(2);

/// The hidden subcommand `torture-worker`.
pub fn work(options: &TortureWorker) -> Result<(), Failure> {
    // Whoever kills us may be killed itself.
    options.parent.end_with()?;
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
    let mut note = progress.noted(writer)?;
    let mut deed = Deed::choose(random);
    loop {
        // Drawn before the transaction: a body that is run again does the same.
        let draw = Draw::new(random);
        match perform(tx, world, writer, deed, &draw) {
            Ok(Done::Committed(commits)) => {
                note = Note { commits, at_ns: tx.arena().platform().now_ns(), ..note };
            }
            Ok(Done::Nothing) | Err(Stop::TimedOut) => {}
            Ok(Done::Told) => return Ok(()),
            Err(stop) => return Err(Failure::Wrong(format!("writer {writer}, {deed:?}: {stop}"))),
        }
        deed = Deed::choose(random);
        note.deed = deed as u64;
        progress.note(writer, note)?;
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

fn perform(tx: &mut Tx, world: &World, writer: u32, deed: Deed, draw: &Draw) -> Result<Done, Stop> {
    let body = |tx: &mut Tx| {
        if list::len(tx, world.stop)? > 0 {
            return Ok(Done::Told);
        }
        deed.perform(tx, world, writer, draw)?;
        let commits = as_number(list::get(tx, world.counts, writer.into())?)? + 1;
        list::set(tx, world.counts, writer.into(), number(commits))?;
        Ok(Done::Committed(commits as u64))
    };
    match deed {
        Deed::Collect => {
            tx.collect_objects(COLLECTOR_PATIENCE.as_nanos() as u64)?;
            Ok(Done::Nothing)
        }
        Deed::AbandonNote => {
            // Ends the attempt without a commit: everything has to be given back.
            tx.begin()?;
            let made = deed.perform(tx, world, writer, draw);
            tx.abort();
            made.map(|()| Done::Nothing)
        }
        Deed::MoveToken => {
            let deadline = tx.arena().platform().now_ns() + TOKEN_PATIENCE.as_nanos() as u64;
            tx.run_until(Some(deadline), body)
        }
        // A conflict would be an error here: nobody stops it.
        Deed::Decree => tx.run_irrevocable(None, body),
        _ => tx.run(body),
    }
}
