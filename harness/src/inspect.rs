//! `pso inspect`: who takes part in a space, its memory, its rates. Reads words that others write; changes nothing but that
//! this process joins as long as it looks.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pso_engine::allocator;
use pso_engine::arena::Arena;
use pso_engine::fsck::Finding;
use pso_engine::participant::{Claim, ProcessSlot, Slot, participant_is_dead, status_of};
use pso_engine::platform::Memory as _;
use pso_engine::platform::native::Native;
use pso_engine::space::Space;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockState, Handle, ParticipantId, State, WordAddress};

use crate::cli::Inspect;
use crate::failure::Failure;
use crate::interrupt;
use crate::output;
use crate::place::{self, Joined};
use crate::table::{Table, bytes, thousands};
use crate::top;

/// Between two looks at a space that is watched.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Between the two looks that rates need.
pub const ONCE: Duration = Duration::from_millis(200);
/// How often a refresh looks whether it is to end.
const POLL: Duration = Duration::from_millis(50);

/// Memory of a space.
pub struct Memory {
    /// What it may grow to.
    pub space_bytes: u64,
    /// What it has taken from the system.
    pub committed_bytes: u64,
}

/// One participant at one moment.
struct Look {
    claim: u64,
    process: u32,
    thread: u64,
    state: Option<State>,
    dead: bool,
    counts: Counts,
}

/// What a participant has done so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    attempts: u64,
    commits: u64,
    stops: u64,
    sleeps: u64,
}

impl Counts {
    /// Nothing, where the place has passed to another of the same process, who counts anew.
    fn since(self, earlier: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(earlier.attempts),
            commits: self.commits.saturating_sub(earlier.commits),
            stops: self.stops.saturating_sub(earlier.stops),
            sleeps: self.sleeps.saturating_sub(earlier.sleeps),
        }
    }
    /// Words of a damaged space may be any.
    fn plus(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_add(other.attempts),
            commits: self.commits.saturating_add(other.commits),
            stops: self.stops.saturating_add(other.stops),
            sleeps: self.sleeps.saturating_add(other.sleeps),
        }
    }
}

/// The subcommand.
pub fn run(options: &Inspect) -> Result<(), Failure> {
    let joined = place::attach(&place::chosen(&options.space))?;
    let looks_at_blocks =
        [(options.classes, top::classes as fn(&Arena<Native>) -> String), (options.kinds, top::kinds)];
    let texts: Vec<String> = looks_at_blocks
        .into_iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, text)| joined.space.look(|| text(joined.space.arena())))
        .collect();
    if !texts.is_empty() {
        return output::text(texts.join("\n"));
    }
    let live = std::io::stdout().is_terminal() && !options.once;
    let mut earlier = looks(joined.space.arena());
    let mut earlier_at = Instant::now();
    loop {
        pause(if options.once { ONCE } else { REFRESH });
        let now = looks(joined.space.arena());
        let seconds = earlier_at.elapsed().as_secs_f64();
        let mut text = if live { "\x1b[2J\x1b[H".to_owned() } else { String::new() };
        text += &describe(&title(&joined), &memory(&joined.space), &earlier, &now, seconds);
        output::text(text)?;
        // Whoever looks at a live space ends it with Ctrl-C: that is no failure.
        if options.once || interrupt::requested() {
            return Ok(());
        }
        (earlier, earlier_at) = (now, Instant::now());
    }
}

/// The space, and by which policy its members settle conflicts.
fn title(joined: &Joined) -> String {
    format!("{} (policy {})", joined.title, joined.space.arena().policy())
}

/// Memory of a space, now.
pub fn memory(space: &Space<Native>) -> Memory {
    let platform = space.arena().platform();
    Memory { space_bytes: platform.bytes(), committed_bytes: platform.committed_bytes() }
}

/// What everybody does, over a moment: for whoever has to explain why a space stands still.
pub fn snapshot(space: &Space<Native>) -> String {
    let earlier = looks(space.arena());
    std::thread::sleep(ONCE);
    describe("space", &memory(space), &earlier, &looks(space.arena()), ONCE.as_secs_f64())
}

fn describe(
    title: &str,
    memory: &Memory,
    earlier: &HashMap<u16, Look>,
    now: &HashMap<u16, Look>,
    seconds: f64,
) -> String {
    let mut table = Table::new([
        "participant",
        "process",
        "thread",
        "state",
        "commits/s",
        "attempts/s",
        "stopped/s",
        "sleeps/s",
        "commits",
    ]);
    let mut ids: Vec<&u16> = now.keys().collect();
    ids.sort();
    let rate = |count: u64| thousands((count as f64 / seconds).round() as u64);
    let mut total = Counts::default();
    for id in ids {
        let look = &now[id];
        let before = earlier.get(id).filter(|before| before.claim == look.claim);
        let step = look.counts.since(before.map_or_else(Counts::default, |before| before.counts));
        total = total.plus(step);
        let state = match (look.dead, look.state) {
            (true, _) => "dead".into(),
            (false, None) => "damaged".into(),
            (false, Some(state)) => format!("{state:?}").to_lowercase(),
        };
        table.row([
            id.to_string(),
            look.process.to_string(),
            look.thread.to_string(),
            state,
            rate(step.commits),
            rate(step.attempts),
            rate(step.stops),
            rate(step.sleeps),
            thousands(look.counts.commits),
        ]);
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{title}: {} of {} backed by memory, {} participants, {} commits/s, {} attempts/s\n\n{table}",
        bytes(memory.committed_bytes),
        bytes(memory.space_bytes),
        now.len(),
        rate(total.commits),
        rate(total.attempts),
    );
    text
}

/// The block in which a handle was found that names nothing, and what stands where it points.
pub fn around(arena: &Arena<Native>, finding: &Finding) -> Option<String> {
    let Finding::Dangling { at, word } = *finding else { return None };
    let named = Handle::from_raw(word)?;
    let mut within = String::from("no block");
    allocator::for_each_block(arena, |handle, state| {
        let room = allocator::payload_words(arena, handle).unwrap_or(0) + BLOCK_HEADER_WORDS;
        let begin = handle.block().index();
        if (begin..begin + room).contains(&at.index()) {
            within = format!("{state:?} at word {} of it", at.index() - begin);
        }
    });
    let there = BlockState::unpack(load(arena, named.block()));
    Some(format!("named in {within}; {named:?} is generation {}, there is {there:?}", named.generation()))
}

/// The participant of a process, the first if it has several.
pub fn participant_of(arena: &Arena<Native>, pid: u32) -> Option<ParticipantId> {
    let is_of = |id: &ParticipantId| {
        let claim = Claim::unpack(load(arena, Slot::of(arena, *id)?.claim()))?;
        Some(ProcessSlot::of(arena, claim.process)?.identity(arena).pid == pid)
    };
    let count = arena.layout().geometry().participants;
    (0..count).map(|id| ParticipantId(id as u16)).find(|id| is_of(id) == Some(true))
}

/// All participants that belong to somebody.
fn looks(arena: &Arena<Native>) -> HashMap<u16, Look> {
    let count = arena.layout().geometry().participants;
    (0..count).filter_map(|id| Some((id as u16, look(arena, ParticipantId(id as u16))?))).collect()
}

fn look(arena: &Arena<Native>, id: ParticipantId) -> Option<Look> {
    let slot = Slot::of(arena, id)?;
    let claim = load(arena, slot.claim());
    let process = ProcessSlot::of(arena, Claim::unpack(claim)?.process)?.identity(arena).pid;
    Some(Look {
        claim,
        process,
        thread: load(arena, slot.thread_number()),
        state: status_of(arena, slot).ok().map(|status| status.state),
        dead: participant_is_dead(arena, id),
        counts: Counts {
            attempts: load(arena, slot.attempts()),
            commits: load(arena, slot.commits()),
            stops: load(arena, slot.stops()),
            sleeps: load(arena, slot.sleeps()),
        },
    })
}

/// A number that is shown and never acted on.
fn load(arena: &Arena<Native>, address: WordAddress) -> u64 {
    // Relaxed: nothing is read through it.
    arena.platform().load(address, Relaxed)
}

/// Sleeps, unless it is to end.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while !interrupt::requested() && Instant::now() < until {
        std::thread::sleep(POLL.min(until.saturating_duration_since(Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(claim: u64, commits: u64) -> Look {
        let counts = Counts { commits, attempts: commits, ..Counts::default() };
        Look { claim, process: 7, thread: 8, state: Some(State::Idle), dead: false, counts }
    }

    #[test]
    fn rates_are_of_the_same_owner_of_a_slot() {
        let memory = Memory { space_bytes: 1 << 30, committed_bytes: 1 << 20 };
        let earlier = HashMap::from([(0, look_at(1, 100)), (1, look_at(1, 5000))]);
        let now = HashMap::from([(0, look_at(1, 300)), (1, look_at(2, 10))]);
        let text = describe("shop", &memory, &earlier, &now, 2.0);
        assert!(text.contains("1.0 MiB of 1.0 GiB backed by memory, 2 participants, 105 commits/s"), "{text}");
    }

    /// The danger: a number below the one before, as a large one.
    #[test]
    fn whoever_counts_anew_in_the_place_of_another_has_no_huge_rate() {
        let memory = Memory { space_bytes: 1 << 30, committed_bytes: 1 << 20 };
        let earlier = HashMap::from([(0, look_at(1, 5000)), (1, look_at(2, 5000))]);
        let now = HashMap::from([(0, look_at(1, 10)), (1, look_at(2, 5200))]);
        let text = describe("shop", &memory, &earlier, &now, 2.0);
        assert!(text.contains("2 participants, 100 commits/s, 100 attempts/s"), "{text}");
        let all = Counts { commits: u64::MAX, ..Counts::default() };
        assert_eq!(all.plus(all).commits, u64::MAX);
    }
}
