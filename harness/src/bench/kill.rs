//! `pso bench kill`: a process with much to its name is killed while another waits for a lock of it. How long until that one goes on?
//!
//! Measured from the signal to the waiter's commit: the kernel's part (the victim has to die, which takes longer the more it maps), what
//! is left of the waiter's sleep, and what the waiter does for the dead before it may go on. Each kill has a space, a victim and a
//! waiter of its own; the waiter has waited for up to [`LONGEST_WAIT`] before, so kills fall on all moments of its sleeps.
//!
//! The victim holds `handles` objects, has locked [`CELLS`] cells, among them the waiter's, and
//! - `transaction`: sleeps in the middle of a transaction that has made `blocks` blocks;
//! - `commit`: is writing such a transaction back: the waiter must finish that before it can go on;
//! - `collection`: has `blocks` blocks that are in use, sleeps in a transaction, and collects with a thread beside.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pso_engine::arena::Arena;
use pso_engine::collection;
use pso_engine::contention::Limits;
use pso_engine::fsck::fsck_after_deaths;
use pso_engine::object::{list, text};
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::System;
use pso_engine::platform::native::{Native, Place};
use pso_engine::transaction::Participant;
use pso_engine::waits::{Holdings, wait_for};
use pso_engine::word::{Handle, ParticipantId, State, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::cli::{BenchKill, KillDeed, KillVictim};
use crate::crew::Parent;
use crate::failure::Failure;
use crate::interrupt;
use crate::machine;
use crate::output;
use crate::place::{self, Joined};
use crate::table::Table;
use crate::torture::Latency;

type Tx = Participant<Native>;

const SPACE_BYTES: u64 = 128 << 20;
/// Cells that the victim locks.
const CELLS: u64 = 1000;
/// What the victim writes to them, and what the waiter writes to the first.
const VICTIMS: i64 = 7;
const WAITERS: i64 = 8;
/// The waiter has slept for so long at most before the kill: some turns of its longest sleep.
const LONGEST_WAIT: Duration = Duration::from_millis(25);
/// Everything that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked for a signal meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// A commit that was over before the kill is no kill in a commit; so many are tried for each that counts.
const TRIES: u64 = 20;
/// A victim that sleeps in its transaction is not to be stopped for that.
const NEVER_HUNG: Limits = Limits { hung_ns: 60_000_000_000, ..Limits::DEFAULT };

#[derive(Serialize)]
struct Numbers {
    seed: u64,
    kills: u32,
    blocks: u64,
    handles: u64,
    cells: u64,
    /// By deed. None: it was not measured any more.
    transaction: Option<Times>,
    commit: Option<Times>,
    collection: Option<Times>,
}

#[derive(Serialize)]
struct Times {
    /// From the signal to the waiter's commit.
    goes_on: Latency,
    /// From the signal to the end of the victim, as its parent hears of it.
    dying: Latency,
}

/// What one kill took.
struct Time {
    goes_on: Duration,
    dying: Duration,
}

/// The subcommand.
pub fn run(options: &BenchKill) -> Result<(), Failure> {
    output::line(format_args!(
        "bench kill: {} kills of a process with {} blocks and {} handles, in each of three deeds, seed {}",
        options.kills, options.blocks, options.handles, options.seed
    ))?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut numbers = Numbers {
        seed: options.seed,
        kills: options.kills,
        blocks: options.blocks,
        handles: options.handles,
        cells: CELLS,
        transaction: None,
        commit: None,
        collection: None,
    };
    let deeds = [
        (KillDeed::Transaction, &mut numbers.transaction),
        (KillDeed::Commit, &mut numbers.commit),
        (KillDeed::Collection, &mut numbers.collection),
    ];
    let measured = deeds.into_iter().try_for_each(|(deed, times)| {
        *times = Some(measure(options, deed, &mut random)?);
        Ok(())
    });
    measured.map_err(|failure| machine::rescue(options.out.as_deref(), &numbers, failure))?;
    options.out.as_ref().map_or(Ok(()), |out| machine::write_results(out, &numbers))?;
    output::line(format_args!("\n{}", table(&numbers)))
}

/// So many kills in a deed.
fn measure(options: &BenchKill, deed: KillDeed, random: &mut StdRng) -> Result<Times, Failure> {
    let mut times = Vec::new();
    let mut tries = u64::from(options.kills) * TRIES;
    while (times.len() as u32) < options.kills {
        interrupt::check()?;
        tries -= 1;
        match Kill::prepare(options, deed)?.strike(random.random_range(Duration::ZERO..LONGEST_WAIT))? {
            Some(time) => times.push(time),
            None if tries == 0 => return Err(Failure::Wrong(format!("bench kill: no kill in a {deed:?}"))),
            None => {}
        }
    }
    Ok(Times {
        goes_on: Latency::of(times.iter().map(|time| time.goes_on)),
        dying: Latency::of(times.iter().map(|time| time.dying)),
    })
}

fn table(numbers: &Numbers) -> Table {
    let mut table = Table::new([
        "killed in a",
        "waiter goes on after: p50",
        "p99",
        "longest, ms",
        "the victim dies after: p50",
        "p99",
    ]);
    let rows = [&numbers.transaction, &numbers.commit, &numbers.collection];
    for (name, times) in ["transaction", "commit", "collection"].into_iter().zip(rows) {
        let Some(Times { goes_on, dying }) = times else { continue };
        table.row([
            name.into(),
            format!("{:.2}", goes_on.p50_ms),
            format!("{:.2}", goes_on.p99_ms),
            format!("{:.2}", goes_on.max_ms),
            format!("{:.2}", dying.p50_ms),
            format!("{:.2}", dying.p99_ms),
        ]);
    }
    table
}

/// One kill: a space and a victim that is where it is to be.
struct Kill {
    // First: it goes before its space.
    victim: Victim,
    deed: KillDeed,
    joined: Joined,
    cells: Handle,
    commands: ChildStdin,
    participant: ParticipantId,
    _folder: tempfile::TempDir,
}

/// The victim's process, which goes with this.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kill {
    fn prepare(options: &BenchKill, deed: KillDeed) -> Result<Self, Failure> {
        let folder = place::folder_in_memory("pso-kill-")?;
        let directory = folder.path().join("space");
        let joined = place::create(&Place::Directory(directory.clone()), SPACE_BYTES)?;
        let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
        let cells = tx.run(|tx| {
            let cells = list::create(tx)?;
            for _ in 0..CELLS {
                list::push(tx, cells, int(0))?;
            }
            let root = tx.arena().root();
            tx.write(root, Value::handle(cells))?;
            Ok(cells)
        });
        let cells = cells.map_err(Failure::space("making the cells"))?;
        tx.leave();
        let mut victim = spawn(options, deed, &directory)?;
        let (Some(commands), Some(words)) = (victim.0.stdin.take(), victim.0.stdout.take()) else {
            return Err(Failure::Wrong("bench kill: a victim without pipes".into()));
        };
        let line = listen(words, PATIENCE)?;
        let participant = line.trim().parse().map(ParticipantId);
        let participant = participant.map_err(|_| Failure::Nonsense { who: "the victim".into(), line })?;
        Ok(Self { victim, deed, joined, cells, commands, participant, _folder: folder })
    }

    /// Lets somebody wait, then kills. `None`: the victim was not at what it was to be killed in.
    fn strike(mut self, waited: Duration) -> Result<Option<Time>, Failure> {
        let space = self.joined.space.clone();
        let arena = space.arena();
        let cells = self.cells;
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let space = &space;
            let waiter = thread::Builder::new()
                .name("waiter".into())
                .spawn_scoped(scope, move || -> Result<u64, Failure> {
                    let mut tx = space.participant().map_err(Failure::space("joining"))?;
                    let _ = tell.send(tx.id());
                    let written = tx.run(|tx| list::set(tx, cells, 0, int(WAITERS)));
                    let now_ns = tx.arena().platform().now_ns();
                    written.map_err(Failure::space("waiting"))?;
                    tx.leave();
                    Ok(now_ns)
                })
                .map_err(Failure::system("starting a waiter"))?;
            let struck = told
                .recv()
                .map_err(|_| Failure::Wrong("bench kill: the waiter has not come".into()))
                .and_then(|waiter| self.await_waiter(arena, waiter))
                .and_then(|()| {
                    thread::sleep(waited);
                    self.kill(arena)
                });
            // Whatever went wrong: the waiter must not wait for ever.
            self.victim.0.kill().map_err(Failure::system("killing the victim"))?;
            self.victim.0.wait().map_err(Failure::system("waiting for the victim's end"))?;
            let dead_ns = arena.platform().now_ns();
            let went_on_ns = waiter.join().map_err(|_| Failure::Wrong("bench kill: the waiter failed".into()))??;
            let (killed_ns, met) = struck?;
            self.check(met)?;
            let since = |ns: u64| Duration::from_nanos(ns.saturating_sub(killed_ns));
            Ok(met.then(|| Time { goes_on: since(went_on_ns), dying: since(dead_ns) }))
        })
    }

    /// Until the kernel or a spin has the waiter, in the victim's one place.
    fn await_waiter(&self, arena: &Arena<Native>, waiter: ParticipantId) -> Result<(), Failure> {
        let since = Instant::now();
        loop {
            interrupt::check()?;
            let held = Holdings::of(arena, self.participant).map_err(Failure::space("looking at the victim"))?;
            if held.is_some_and(|held| wait_for(arena, waiter, &held).is_some()) {
                return Ok(());
            }
            self.be_patient(since, "nobody waits for the victim")?;
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// When the signal was sent, and whether it met the deed.
    fn kill(&mut self, arena: &Arena<Native>) -> Result<(u64, bool), Failure> {
        let state =
            || Slot::of(arena, self.participant).and_then(|slot| status_of(arena, slot).ok()).map(|it| it.state);
        let before = state();
        if self.deed == KillDeed::Commit {
            self.commands.write_all(b"go\n").map_err(Failure::system("telling the victim to commit"))?;
            let since = Instant::now();
            while state() == before || state() == Some(State::Prepared) {
                self.be_patient(since, "the victim does not commit")?;
                std::hint::spin_loop();
            }
        }
        let collects = collection::last(arena).under_way;
        let met = match self.deed {
            KillDeed::Transaction => state() == Some(State::Active),
            KillDeed::Commit => state() == Some(State::Committed),
            KillDeed::Collection => collects && state() == Some(State::Active),
        };
        let now_ns = arena.platform().now_ns();
        self.victim.0.kill().map_err(Failure::system("killing the victim"))?;
        Ok((now_ns, met))
    }

    /// The victim's transaction exists wholly or not at all, the waiter's does, and the space is whole.
    fn check(&mut self, met: bool) -> Result<(), Failure> {
        let findings = fsck_after_deaths(&self.joined.space, || {
            thread::sleep(Duration::from_millis(5));
            true
        });
        if let Some(finding) = findings.first() {
            return Err(Failure::Wrong(format!("bench kill, {:?}: fsck: {finding}", self.deed)));
        }
        let mut tx = self.joined.space.participant().map_err(Failure::space("joining"))?;
        let (cells, mut sum) = (self.cells, 0);
        let first = tx.run(|tx| {
            sum = 0;
            for cell in 1..CELLS {
                sum += list::get(tx, cells, cell)?.and_then(Value::as_int).unwrap_or(-1);
            }
            Ok(list::get(tx, cells, 0)?.and_then(Value::as_int))
        });
        let first = first.map_err(Failure::space("reading the cells"))?;
        tx.leave();
        let all = VICTIMS * (CELLS as i64 - 1);
        let right = if self.deed == KillDeed::Commit { sum == all || !met && sum == 0 } else { sum == 0 };
        if first == Some(WAITERS) && right {
            return Ok(());
        }
        Err(Failure::Wrong(format!("bench kill, {:?}: first {first:?}, sum {sum}", self.deed)))
    }

    fn be_patient(&self, since: Instant, what: &str) -> Result<(), Failure> {
        if since.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(Failure::Stalled { what: format!("{what} ({:?})", self.deed), seconds: PATIENCE.as_secs() })
    }
}

fn spawn(options: &BenchKill, deed: KillDeed, directory: &Path) -> Result<Victim, Failure> {
    let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
    let deed = format!("{deed:?}").to_lowercase();
    Command::new(executable)
        .args(["kill-victim", "--deed", &deed, "--blocks", &options.blocks.to_string()])
        .args(["--handles", &options.handles.to_string(), "--dir"])
        .arg(directory)
        .args(Parent::arguments())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Victim)
        .map_err(Failure::system("starting a victim"))
}

/// The first line of what somebody says, within `patience`. It is read in a thread, which ends with whoever speaks.
fn listen(words: impl Read + Send + 'static, patience: Duration) -> Result<String, Failure> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = tell.send(BufReader::new(words).read_line(&mut line).map(|_| line));
    });
    let since = Instant::now();
    loop {
        interrupt::check()?;
        match told.recv_timeout(LOOK) {
            Ok(line) => return line.map_err(Failure::system("listening to the victim")),
            Err(RecvTimeoutError::Timeout) if since.elapsed() < patience => {}
            Err(_) => {
                let what = "the victim does not say that it is where it is to be".into();
                return Err(Failure::Stalled { what, seconds: patience.as_secs() });
            }
        }
    }
}

/// The hidden subcommand `kill-victim`.
pub fn work(options: &KillVictim) -> Result<(), Failure> {
    options.parent.end_with()?;
    let joined = place::attach(&Place::Directory(options.dir.clone()))?;
    let mut tx = joined.space.participant().map_err(Failure::space("joining"))?;
    tx.set_limits(NEVER_HUNG);
    let failed = Failure::space::<pso_engine::error::Stop>;
    let cells = tx.run(|tx| {
        let root = tx.arena().root();
        tx.read(root)?.as_handle().ok_or(pso_engine::error::Stop::Retry)
    });
    let cells = cells.map_err(failed("the cells"))?;
    for _ in 0..options.handles {
        tx.run(|tx| {
            let made = list::create(tx)?;
            tx.hold(made)
        })
        .map_err(failed("holding"))?;
    }
    if options.deed == KillDeed::Collection {
        tx.run(|tx| {
            let made = make(tx, options.blocks)?;
            tx.hold(made)
        })
        .map_err(failed("making blocks"))?;
        let space = joined.space.clone();
        let collector = thread::spawn(move || {
            let mut tx = space.participant().map_err(Failure::space("joining"))?;
            // As long as it goes well.
            loop {
                tx.collect_objects(PATIENCE.as_nanos() as u64).map_err(Failure::space("collecting"))?;
            }
        });
        // The transaction begins when the collection has begun: it could not before.
        await_collection(collector, || collection::last(tx.arena()).under_way)?;
    }
    tx.begin().map_err(failed("the transaction"))?;
    for cell in 0..CELLS {
        list::set(&mut tx, cells, cell, int(VICTIMS)).map_err(failed("the transaction"))?;
    }
    if options.deed != KillDeed::Collection {
        make(&mut tx, options.blocks).map_err(failed("the transaction"))?;
    }
    output::line(format_args!("{}", tx.id().0))?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(Failure::system("waiting for a word"))?;
    tx.commit().map_err(failed("the commit"))?;
    thread::sleep(PATIENCE);
    Ok(())
}

/// Until a collection is under way, or whoever is to collect has ended, which nothing but a failure does.
fn await_collection(
    collector: JoinHandle<Result<Infallible, Failure>>,
    is_under_way: impl Fn() -> bool,
) -> Result<(), Failure> {
    while !is_under_way() {
        if collector.is_finished() {
            let ended = collector.join().map_err(|_| Failure::Wrong("bench kill: the collector failed".into()))?;
            return ended.map(|never| match never {});
        }
        std::hint::spin_loop();
    }
    Ok(())
}

/// A list of so many texts, each a block.
fn make(tx: &mut Tx, blocks: u64) -> Result<Handle, pso_engine::error::Stop> {
    let made = list::create(tx)?;
    for number in 0..blocks {
        let text = text::encode(tx, &format!("the text of block {number}"))?;
        list::push(tx, made, text)?;
    }
    Ok(made)
}

fn int(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_of(command: &str, patience: Duration) -> (Victim, Result<String, Failure>) {
        let mut command_line = Command::new("sh");
        let mut victim = Victim(command_line.args(["-c", command]).stdout(Stdio::piped()).spawn().unwrap());
        let words = victim.0.stdout.take().unwrap();
        (victim, listen(words, patience))
    }

    /// The danger: whoever waits for a word of one that hangs never ends, and neither does that one.
    #[test]
    fn a_victim_that_says_nothing_is_waited_for_in_vain_and_goes() {
        assert_eq!(said_of("echo 7; exec sleep 60", PATIENCE).1.unwrap(), "7\n");
        assert_eq!(said_of("true", PATIENCE).1.unwrap(), "");
        let (victim, said) = said_of("exec sleep 60", Duration::from_millis(200));
        assert!(matches!(said, Err(Failure::Stalled { .. })), "{said:?}");
        let process = std::path::PathBuf::from(format!("/proc/{}", victim.0.id()));
        assert!(process.exists());
        drop(victim);
        assert!(!process.exists());
    }

    #[test]
    fn a_collector_that_has_ended_ends_the_wait_for_its_collection() {
        let failed = thread::spawn(|| Err(Failure::Wrong("no room".into())));
        assert_eq!(await_collection(failed, || false).unwrap_err().to_string(), "no room");
        let panicked = thread::spawn(|| panic!("on purpose"));
        assert!(await_collection(panicked, || false).is_err());
        let busy = thread::spawn(|| {
            loop {
                thread::park()
            }
        });
        await_collection(busy, || true).unwrap();
    }
}
