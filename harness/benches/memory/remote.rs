//! One allocates, another frees: two processes in the engine's case, two threads in that of mimalloc, which has no other.
//!
//! ```text
//! ring    [head: freed so far][tail: made so far][state] a line each, then places. Whoever waits spins, and yields now and then
//! ```
//! Words of 64 blocks are handed over at a time, so that it is the allocator that is measured, and not the ring. The one who frees
//! looks at the first word of each block: its number, or something was lost. Time is from the producer's warmth to the last free.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use pso_engine::allocator::BlockCache;
use pso_engine::arena::Arena;
use pso_engine::platform::Memory;
use pso_engine::platform::native::{Native, Place};
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, WordAddress};
use pso_harness::crew::{self, Crew, Parent, space_in};
use pso_harness::failure::Failure;
use pso_harness::{interrupt, place};

use crate::Bench;
use crate::heap::Heap;
use crate::heap::mimalloc::Mimalloc;
use crate::heap::pso::{Pso, Room, participant};
use crate::work::Draw;

/// Places of the ring, a power of two.
const PLACES: u64 = 4096;
/// Blocks that are handed over at a time.
const AT_ONCE: u64 = 64;
/// Blocks between two looks at the clock.
const BATCH: u64 = 4096;
/// A line, and its neighbour that the processor fetches with it.
const LINE_WORDS: u64 = 16;
const HEAD: u64 = 0;
const TAIL: u64 = LINE_WORDS;
const STATE: u64 = 2 * LINE_WORDS;
const FIRST: u64 = 3 * LINE_WORDS;
const RING_WORDS: u64 = FIRST + PLACES;
/// States: somebody is there to free; no more blocks come.
const ATTENDED: u64 = 1;
const ENDED: u64 = 2;
/// Looks without a yield.
const SPINS: u32 = 256;
/// Yields without a look whether the other side lives.
const YIELDS: u32 = 64;
/// For the other side, between two steps of its; and beyond the time of a run, for its process to start and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The words of a ring.
trait Ring {
    fn load(&self, word: u64, order: Ordering) -> u64;
    fn store(&self, word: u64, value: u64, order: Ordering);
}

/// In a space.
struct Shared {
    arena: Arena<Native>,
    first: WordAddress,
}

impl Ring for Shared {
    #[inline(always)]
    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.arena.platform().load(self.first.offset(word), order)
    }
    #[inline(always)]
    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.arena.platform().store(self.first.offset(word), value, order);
    }
}

impl Ring for [AtomicU64] {
    #[inline(always)]
    fn load(&self, word: u64, order: Ordering) -> u64 {
        self[word as usize].load(order)
    }
    #[inline(always)]
    fn store(&self, word: u64, value: u64, order: Ordering) {
        self[word as usize].store(value, order);
    }
}

/// Waits, and asks now and then `lives` whether there is still somebody to wait for.
#[inline(always)]
fn wait_for(lives: &mut impl FnMut() -> Result<(), Failure>, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let (mut turn, mut since) = (0_u32, None);
    while !done() {
        turn = turn.wrapping_add(1);
        if turn % SPINS != 0 {
            std::hint::spin_loop();
            continue;
        }
        std::thread::yield_now();
        if turn % (SPINS * YIELDS) == 0 {
            lives()?;
        }
        if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            let what = "the other side of the ring does not go on".into();
            return Err(Failure::Stalled { what, seconds: PATIENCE.as_secs() });
        }
    }
    Ok(())
}

/// Allocates for `seconds` and hands over; ns of one block, from hand to hand, and how many there were in all. `lives`: whether somebody frees.
fn produce(
    heap: &mut impl Heap,
    ring: &(impl Ring + ?Sized),
    (seconds, seed): (f64, u64),
    mut lives: impl FnMut() -> Result<(), Failure>,
) -> Result<(f64, u64), Failure> {
    // Acquire and Release: `state` says that the other side is there, `head` that places are free again, `tail` that words stand there.
    wait_for(&mut lives, || ring.load(STATE, Acquire) == ATTENDED)?;
    let (mut draw, mut made) = (Draw::new(seed), 0);
    let begin = Instant::now();
    let mut warm = None;
    loop {
        for _ in 0..BATCH / AT_ONCE {
            wait_for(&mut lives, || made + AT_ONCE - ring.load(HEAD, Acquire) <= PLACES)?;
            for _ in 0..AT_ONCE {
                let block = heap.allocate(draw.bytes(), made);
                let block = block.ok_or_else(|| Failure::Wrong("there is no block".into()))?;
                heap.hand_over(block);
                ring.store(FIRST + made % PLACES, block, Relaxed);
                made += 1;
            }
            ring.store(TAIL, made, Release);
        }
        match warm {
            None if begin.elapsed().as_secs_f64() >= seconds / 8.0 => warm = Some((Instant::now(), made)),
            Some((start, before)) if start.elapsed().as_secs_f64() >= seconds => {
                wait_for(&mut lives, || ring.load(HEAD, Acquire) == made)?;
                let ns = start.elapsed().as_nanos() as f64 / (made - before) as f64;
                ring.store(STATE, ENDED, Release);
                return Ok((ns, made));
            }
            _ => {}
        }
    }
}

/// Frees what comes, to the end; how many.
fn consume(heap: &mut impl Heap, ring: &(impl Ring + ?Sized)) -> Result<u64, Failure> {
    ring.store(STATE, ATTENDED, Release);
    let mut head = 0;
    loop {
        let mut tail = head;
        // Who makes none any more ends us: he is our parent, or says so in the ring.
        wait_for(&mut || Ok(()), || {
            let is_ended = ring.load(STATE, Acquire) == ENDED;
            tail = ring.load(TAIL, Acquire);
            tail != head || is_ended
        })?;
        if tail == head {
            return Ok(head);
        }
        while head < tail {
            for _ in 0..AT_ONCE.min(tail - head) {
                let block = ring.load(FIRST + head % PLACES, Relaxed);
                if heap.stamp(block) != head || !heap.free(block) {
                    return Err(Failure::Wrong(format!("block {head} is not what it was")));
                }
                head += 1;
            }
            ring.store(HEAD, head, Release);
        }
    }
}

fn all_freed(made: u64, freed: u64) -> Result<(), Failure> {
    if made == freed { Ok(()) } else { Err(Failure::Wrong(format!("of {made} blocks {freed} were freed"))) }
}

/// mimalloc: two threads.
///
/// # Errors
/// Blocks that are not what they were.
pub fn by_thread(bench: &Bench) -> Result<Option<f64>, Failure> {
    let ring: Vec<AtomicU64> = (0..RING_WORDS).map(|_| AtomicU64::new(0)).collect();
    let ring = &ring[..];
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(&mut Mimalloc, ring));
        let lives = || {
            interrupt::check()?;
            if consumer.is_finished() { Err(Failure::Wrong("nobody frees any more".into())) } else { Ok(()) }
        };
        let produced = produce(&mut Mimalloc, ring, (bench.seconds, bench.seed), lives);
        if produced.is_err() {
            // Not for ever: the consumer is waited for.
            ring.store(STATE, ENDED, Release);
        }
        let freed = consumer.join().map_err(|_| Failure::Wrong("a thread has panicked".into()))?;
        // If both have failed it began with the one who frees: the other one has found nobody there.
        let freed = freed?;
        let (ns, made) = produced?;
        all_freed(made, freed)?;
        Ok(Some(ns))
    })
}

/// What whoever makes blocks is told if nobody frees any, as `lives` says.
pub fn alone(lives: impl FnMut() -> Result<(), Failure>) -> Result<(f64, u64), Failure> {
    let ring: Vec<AtomicU64> = (0..RING_WORDS).map(|_| AtomicU64::new(0)).collect();
    ring[..].store(STATE, ATTENDED, Relaxed);
    produce(&mut Mimalloc, &ring[..], (0.001, 1), lives)
}

/// For the process that frees, from its start: it warms up for an eighth of the time.
fn patience_s(seconds: f64) -> u64 {
    PATIENCE.as_secs() + (seconds * 1.125).ceil() as u64
}

/// The engine: two processes, the ring in a block of the space.
///
/// # Errors
/// As above; a process that fails.
pub fn by_process(bench: &Bench) -> Result<Option<f64>, Failure> {
    let room = Room::new()?;
    let tx = room.participant()?;
    // Of a cache of its own: no block of the run lies beside it.
    let block = BlockCache::default().allocate(tx.arena(), tx.id(), BlockKind::Log, RING_WORDS + LINE_WORDS);
    let block = block.map_err(Failure::space("the ring"))?;
    let first = block.block().offset(BLOCK_HEADER_WORDS).index().next_multiple_of(LINE_WORDS);
    let ring = Shared { arena: tx.arena().clone(), first: WordAddress::new(first) };
    // Relaxed: whoever reads them is started afterwards.
    [HEAD, TAIL, STATE].iter().for_each(|word| ring.store(*word, 0, Relaxed));
    let arguments = |_| -> Vec<OsString> {
        vec![WORKER.into(), "--dir".into(), room.folder().into(), "--ring".into(), first.to_string().into()]
    };
    let patience_s = patience_s(bench.seconds);
    let mut crew = Crew::start(room.folder(), "process that frees", 1, patience_s, arguments)?;
    let mut heap = Pso::new(&tx, false);
    let (ns, made) = produce(&mut heap, &ring, (bench.seconds, bench.seed), || crew.check())?;
    let freed: Vec<u64> = crew.finish()?;
    all_freed(made, freed.iter().sum())?;
    let left = heap.blocks();
    tx.leave();
    if left == 0 { Ok(Some(ns)) } else { Err(Failure::Wrong(format!("{left} blocks are left"))) }
}

/// The hidden subcommand.
pub const WORKER: &str = "worker";

/// The process that frees.
#[derive(Args)]
pub struct Worker {
    #[command(flatten)]
    parent: Parent,
    /// Folder of the run, which holds the space.
    #[arg(long)]
    dir: PathBuf,
    /// First word of the ring.
    #[arg(long)]
    ring: u64,
}

/// What it does.
///
/// # Errors
/// Blocks that are not what they were, no more that come.
pub fn work(options: &Worker) -> Result<(), Failure> {
    options.parent.end_with()?;
    let joined = place::attach(&Place::Directory(space_in(&options.dir)))?;
    let tx = participant(&joined.space)?;
    let ring = Shared { arena: tx.arena().clone(), first: WordAddress::new(options.ring) };
    let freed = consume(&mut Pso::new(&tx, false), &ring)?;
    tx.leave();
    crew::leave_part(&options.dir, 0, &freed)
}
