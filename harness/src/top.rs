//! `pso top`: what goes on in a space, a line a process, each second; and `pso inspect --classes` and `--kinds`: what its memory is used for.
//!
//! Reads words that others write, and changes nothing but that this process joins as long as it looks. Processes that are dead and not
//! cleared up yet are called so: whoever looks clears up nothing while it looks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Instant;

use pso_engine::allocator;
use pso_engine::arena::Arena;
use pso_engine::census::{Class, census};
use pso_engine::collection;
use pso_engine::participant::{Claim, ProcessPhase, ProcessSlot, Slot};
use pso_engine::platform::native::Native;
use pso_engine::platform::{Liveness, Memory as _, Ordering, System as _};
use pso_engine::word::{BlockPhase, ParticipantId, ProcessSlotId, WordAddress};

use crate::cli::Top;
use crate::failure::Failure;
use crate::inspect::{ONCE, REFRESH, pause};
use crate::interrupt;
use crate::output;
use crate::place;
use crate::table::{Table, bytes, thousands};

/// What one process does.
#[derive(Clone, Default)]
struct Row {
    pid: u32,
    dead: bool,
    participants: u64,
    commits: u64,
    attempts: u64,
    stops: u64,
    sleeps: u64,
}

/// A space at one moment.
struct Look {
    /// By slot and its generation: rates are of one process.
    processes: BTreeMap<(u16, u64), Row>,
    size: u64,
    used: u64,
    free: u64,
    garbage: u64,
    held: u64,
    collections: u64,
    collecting: bool,
}

/// The subcommand.
pub fn run(options: &Top) -> Result<(), Failure> {
    let joined = place::attach(&place::chosen(&options.space))?;
    let arena = joined.space.arena();
    let live = std::io::stdout().is_terminal() && !options.once;
    let (mut earlier, mut earlier_at) = (joined.space.look(|| look(arena)), Instant::now());
    loop {
        pause(if options.once { ONCE } else { REFRESH });
        let now = joined.space.look(|| look(arena));
        let mut text = if live { "\x1b[2J\x1b[H".to_owned() } else { String::new() };
        text += &describe(&joined.title, &earlier, &now, earlier_at.elapsed().as_secs_f64());
        output::text(text)?;
        // Whoever looks at a live space ends it with Ctrl-C: that is no failure.
        if options.once || interrupt::requested() {
            return Ok(());
        }
        (earlier, earlier_at) = (now, Instant::now());
    }
}

fn look(arena: &Arena<Native>) -> Look {
    let geometry = arena.layout().geometry();
    let mut processes = BTreeMap::new();
    for number in 0..geometry.process_slots as u16 {
        let Some(slot) = ProcessSlot::of(arena, ProcessSlotId(number)) else { continue };
        let state = slot.state(arena);
        if state.phase == ProcessPhase::Used {
            let identity = slot.identity(arena);
            let dead = arena.platform().liveness(ProcessSlotId(number), identity) == Liveness::Dead;
            processes.insert((number, state.generation), Row { pid: identity.pid, dead, ..Row::default() });
        }
    }
    let mut garbage = 0_u64;
    for number in 0..geometry.participants as u16 {
        let Some(slot) = Slot::of(arena, ParticipantId(number)) else { continue };
        // What nobody has taken over yet is garbage, too.
        garbage = garbage.saturating_add(load(arena, slot.retired_words()).saturating_mul(8));
        let Some(claim) = Claim::unpack(load(arena, slot.claim())) else { continue };
        let Some(row) = processes.get_mut(&(claim.process.0, claim.generation)) else { continue };
        row.participants += 1;
        // Words of a damaged space may be any.
        let add = |count: &mut u64, address| *count = count.saturating_add(load(arena, address));
        add(&mut row.commits, slot.commits());
        add(&mut row.attempts, slot.attempts());
        add(&mut row.stops, slot.stops());
        add(&mut row.sleeps, slot.sleeps());
    }
    let usage = allocator::usage(arena);
    let superblock = geometry.superblock_words * 8;
    let used = usage.small + usage.large;
    let cycle = collection::last(arena);
    let mut held = 0;
    let _ = pso_engine::holding::for_each_held(arena, &mut |_| held += 1);
    Look {
        processes,
        size: geometry.space_words * 8,
        used: used * superblock,
        free: usage.superblocks.saturating_sub(used) * superblock,
        garbage,
        held,
        collections: cycle.number,
        collecting: cycle.under_way,
    }
}

fn describe(title: &str, earlier: &Look, now: &Look, seconds: f64) -> String {
    let rate = |count: u64| thousands((count as f64 / seconds).round() as u64);
    let mut table =
        Table::new(["process", "participants", "commits/s", "attempts/s", "stopped/s", "sleeps/s", "commits"]);
    let (mut participants, mut commits) = (0, 0_u64);
    for (slot, row) in &now.processes {
        let before = earlier.processes.get(slot).cloned().unwrap_or_default();
        // A participant that has left takes its counts along.
        let step = |now: u64, before: u64| now.saturating_sub(before);
        participants += row.participants;
        commits = commits.saturating_add(step(row.commits, before.commits));
        table.row([
            format!("{}{}", row.pid, if row.dead { " (dead)" } else { "" }),
            row.participants.to_string(),
            rate(step(row.commits, before.commits)),
            rate(step(row.attempts, before.attempts)),
            rate(step(row.stops, before.stops)),
            rate(step(row.sleeps, before.sleeps)),
            thousands(row.commits),
        ]);
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{title}: {} processes, {participants} participants, {} commits/s\n{} in use, {} free, of {}; {} of it garbage; {} objects held\n{} \
         collections{}\n\n{table}",
        now.processes.len(),
        rate(commits),
        bytes(now.used),
        bytes(now.free),
        bytes(now.size),
        bytes(now.garbage),
        thousands(now.held),
        thousands(now.collections),
        if now.collecting { ", one under way" } else { "" },
    );
    text
}

/// Blocks of one size.
#[derive(Clone, Copy, Default)]
struct Room {
    live: u64,
    private: u64,
    retired: u64,
}

/// What the blocks of a space are, by their room: a size class, or whole superblocks. A look at each block.
pub fn classes(arena: &Arena<Native>) -> String {
    let mut classes: BTreeMap<u64, Room> = BTreeMap::new();
    allocator::for_each_block(arena, |handle, state| {
        let Ok(words) = allocator::payload_words(arena, handle) else { return };
        let class = classes.entry(words * 8).or_default();
        match state.phase {
            BlockPhase::Private => class.private += 1,
            BlockPhase::Retired => class.retired += 1,
            _ => class.live += 1,
        }
    });
    let mut table = Table::new(["room of a block", "in use", "being made", "replaced", "bytes"]);
    for (room, class) in classes {
        let blocks = class.live + class.private + class.retired;
        let counts = [class.live, class.private, class.retired].map(thousands);
        table.row([bytes(room)].into_iter().chain(counts).chain([bytes(room * blocks)]));
    }
    table.to_string()
}

/// How many objects of which kind there are. A look at each block.
pub fn kinds(arena: &Arena<Native>) -> String {
    let counts = census(arena);
    let mut table = Table::new(["kind", "objects", "blocks", "bytes"]);
    for class in Class::ALL {
        if let Some(count) = counts.get(&class) {
            let numbers = [thousands(count.objects), thousands(count.blocks), bytes(count.bytes)];
            table.row([class.name().to_owned()].into_iter().chain(numbers));
        }
    }
    let cycle = collection::last(arena);
    let collections = thousands(cycle.number);
    let under_way = if cycle.under_way { ", one under way" } else { "" };
    format!("{table}\n{collections} collections{under_way}\n")
}

/// A number that is shown and never acted on.
fn load(arena: &Arena<Native>, address: WordAddress) -> u64 {
    // Relaxed: nothing is read through it.
    arena.platform().load(address, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(commits: u64, generation: u64) -> Look {
        let row = Row { pid: 4711, participants: 2, commits, attempts: commits, ..Row::default() };
        Look {
            processes: BTreeMap::from([((3, generation), row)]),
            size: 1 << 30,
            used: 1 << 20,
            free: 1 << 21,
            garbage: 2048,
            held: 1234,
            collections: 5,
            collecting: true,
        }
    }

    #[test]
    fn rates_are_of_one_process() {
        let text = describe("shop", &look_at(100, 1), &look_at(300, 1), 2.0);
        assert!(text.starts_with("shop: 1 processes, 2 participants, 100 commits/s\n"), "{text}");
        assert!(
            text.contains("1.0 MiB in use, 2.0 MiB free, of 1.0 GiB; 2.0 KiB of it garbage; 1,234 objects"),
            "{text}"
        );
        assert!(text.contains("5 collections, one under way") && text.contains("4711"), "{text}");
        // Another process has the slot: all that it has committed is new.
        let text = describe("shop", &look_at(100, 1), &look_at(300, 2), 2.0);
        assert!(text.contains("150 commits/s"), "{text}");
    }
}
