//! A small space with some of everything in it, as words; and damages to it.

use std::collections::HashSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use pso_engine::allocator;
use pso_engine::arena::{Arena, HEADER_WORDS, HotWord, Layout, SUPERBLOCK_HEADER_WORDS};
use pso_engine::object::{dict, key, list, queue, text, tuple};
use pso_engine::platform::native::{self, Native};
use pso_engine::platform::{Memory, Ordering::Relaxed, System};
use pso_engine::shape::{Reference, references};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, Handle, ParticipantId, ProcessSlotId, Value, WordAddress};

const BYTES: u64 = 2 << 20;

/// The words of a space that nobody has open.
pub fn precious() -> &'static [u64] {
    static WORDS: OnceLock<Vec<u64>> = OnceLock::new();
    WORDS.get_or_init(made_anew)
}

/// The same, and what depends on the key of the hash function, which is another one each time, is elsewhere.
pub fn made_anew() -> Vec<u64> {
    let (platform, layout) = native::create_anonymous(BYTES).unwrap();
    let space = Space::join(platform.clone(), layout).unwrap();
    let mut participant = space.participant().unwrap();
    for round in 0..3 {
        fill(&mut participant, round);
    }
    // What it has replaced waits; a container that nothing names, too.
    participant.leave();
    space.leave();
    // Whoever was there is gone, and not this process.
    let slot = layout.process_slot(ProcessSlotId(0));
    (1..3).for_each(|word| platform.store(slot.offset(word), 0, Relaxed));
    (0..layout.geometry().space_words).map(|word| platform.load(WordAddress::new(word), Relaxed)).collect()
}

fn fill(participant: &mut Participant<Native>, round: i64) {
    participant
        .run(|tx| {
            let root = dict::create(tx)?;
            let cell = tx.arena().root();
            tx.write(cell, Value::handle(root))?;
            let hash_key = tx.arena().hash_key();
            for number in 0..60i64 {
                let items = list::create(tx)?;
                for item in 0..number % 9 {
                    let value = text::encode(tx, &format!("an item that is longer than a word {item} {round}"))?;
                    list::push(tx, items, value)?;
                }
                let name = format!("the key with the number {number}");
                let key = key::Key::new(hash_key, key::KeyView::Text(&name));
                dict::set(tx, root, &key, Value::handle(items))?;
            }
            // Longer than a superblock: a run.
            let long = text::encode(tx, &"x".repeat(100_000))?;
            dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Int(1)), long)?;
            let pair = [Value::handle(root), text::encode(tx, "the second of a pair that names the root")?];
            let pair = tuple::encode(tx, &pair)?;
            dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Int(2)), pair)?;
            let tasks = queue::create(tx, 10)?;
            dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Int(3)), Value::handle(tasks))
        })
        .unwrap();
}

/// A space that nobody has open, with these words.
pub fn space_of(words: &[u64]) -> (Native, Layout) {
    let (platform, layout) = native::create_anonymous(BYTES).unwrap();
    platform.commit_pages(WordAddress::new(0), layout.geometry().space_words).unwrap();
    for (index, word) in words.iter().enumerate().skip(HEADER_WORDS as usize).filter(|(_, word)| **word != 0) {
        platform.store(WordAddress::new(index as u64), *word, Relaxed);
    }
    (platform, layout)
}

/// Where a damage is, and what it makes of the word: chosen by numbers, so that failures shrink.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    pub part: u8,
    pub place: u64,
    pub kind: u8,
    pub value: u64,
}

pub fn any_damage() -> impl Strategy<Value = Damage> {
    (0u8..12, any::<u64>(), 0u8..6, any::<u64>()).prop_map(|(part, place, kind, value)| Damage {
        part,
        place,
        kind,
        value,
    })
}

impl Damage {
    /// Which word, and its new value.
    pub fn of(self, layout: &Layout, words: &[u64]) -> (WordAddress, u64) {
        let geometry = layout.geometry();
        let tables = layout.tables_words();
        let within = |from: u64, to: u64| from + self.place % (to - from);
        let used = |start: u64, end: u64| {
            let from = within(start, end);
            (from..end).chain(start..from).find(|word| words[*word as usize] != 0).unwrap_or(from)
        };
        let processes = layout.process_slot(ProcessSlotId(0)).index();
        let participants = layout.participant(ParticipantId(0)).unwrap().index();
        let headers = layout.superblock_header(0).index();
        let superblocks = layout.superblocks() * SUPERBLOCK_HEADER_WORDS;
        let at = match self.part {
            0 => layout.hot(HotWord::VersionClock).index() + self.place % 12 * 16 + self.place / 12 % 3,
            1 => used(processes, participants),
            2 => used(participants, tables),
            3 => within(participants, participants + 128),
            4 | 5 => used(headers, headers + superblocks),
            // The root and what hangs on it is among the words that are used.
            _ => used(layout.superblock(1).index(), geometry.space_words),
        };
        let old = words[at as usize];
        let new = match self.kind {
            0 => self.value,
            1 => old ^ 1 << (self.value % 64),
            2 => 0,
            3 => self.value % 1024,
            4 => old.wrapping_add(self.value % 3 + 1),
            // Another word of the space: what is right elsewhere.
            _ => words[used(layout.superblock(1).index() / 2, geometry.space_words) as usize ^ 1],
        };
        (WordAddress::new(at), new)
    }
}

/// Words that must not change: those of blocks which the root leads to, by blocks and headers that are whole. `broken`: the damaged words.
pub fn sound(arena: &Arena<Native>, broken: &HashSet<u64>) -> Vec<(WordAddress, u64)> {
    let (layout, platform) = (arena.layout(), arena.platform());
    let is_whole = |from: u64, words: u64| (from..from + words).all(|word| !broken.contains(&word));
    let mut sound = Vec::new();
    let (mut known, mut pending) = (HashSet::new(), Vec::new());
    if is_whole(arena.root().lock_word().index(), 2) {
        pending.extend(Value::from_raw(platform.load(arena.root().value_word(), Relaxed)).as_handle());
    }
    while let Some(handle) = pending.pop() {
        let Ok(room) = allocator::payload_words(arena, handle) else { continue };
        let Ok(state) = allocator::check_fully(arena, handle) else { continue };
        let words = BLOCK_HEADER_WORDS + room;
        let superblocks = layout.superblock_of(handle.block()).unwrap()
            ..=layout.superblock_of(handle.block().offset(words - 1)).unwrap();
        let headers = |number| is_whole(layout.superblock_header(number).index(), SUPERBLOCK_HEADER_WORDS);
        if !known.insert(handle.raw()) || !is_whole(handle.block().index(), words) || !superblocks.clone().all(headers)
        {
            continue;
        }
        let mut locks = HashSet::new();
        let _ = references(arena, handle, state.kind, room, &mut |reference| {
            let word = match reference {
                Reference::Cell(cell) => {
                    locks.insert(cell.lock_word().index());
                    platform.load(cell.value_word(), Relaxed)
                }
                Reference::Value(at) => platform.load_plain(at),
            };
            pending.extend(Handle::from_raw(word));
        });
        sound.extend(
            (0..words)
                .filter(|word| *word != 1)
                .map(|word| handle.block().offset(word))
                .filter(|at| !locks.contains(&at.index()))
                .map(|at| (at, platform.load(at, Relaxed))),
        );
    }
    sound
}
