//! One input, from its bytes to a verdict: a space file that is wrong somewhere, or no space file at all, is attached, checked, worked in and
//! repaired. Each step refuses with an error or does what it is for; none panics, touches memory outside, or goes on for ever.
//!
//! ```text
//! byte 0 even    all that follows is the file
//! byte 0 odd     records of 11 bytes, little-endian: which word of a small space (24 bits, modulo their number), and what it is
//! ```

#![allow(dead_code)] // the seeds are not for everybody who includes this

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pso_engine::allocator;
use pso_engine::census::census;
use pso_engine::fsck::{RepairError, fsck, fsck_at_rest, repair};
use pso_engine::object::{View, dict, key, list, queue, text, tuple, view};
use pso_engine::platform::System;
use pso_engine::platform::native::{Native, Place, attach, create};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BlockKind, Handle, Value};

/// The space that words are overwritten in.
const BYTES: u64 = 1 << 20;
const RECORD: usize = 11;
/// What is looked at in one input, at most.
const MOST_RECORDS: usize = 64;
/// For one transaction on a damaged space.
const PATIENCE_NS: u64 = 20_000_000;
/// For everything: a walk of a MiB takes milliseconds, also under a sanitizer on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// The two files of a space with some of everything in it, closed.
struct Precious {
    arena: Vec<u8>,
    live: Vec<u8>,
}

fn precious() -> &'static Precious {
    static MADE: OnceLock<Precious> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = folder();
        let directory = folder.path().join("space");
        let (platform, layout) = create(&Place::Directory(directory.clone()), BYTES).expect("a space is made");
        let space = Space::join(platform, layout).expect("it is joined");
        let mut participant = space.participant().expect("it has room");
        participant.run(fill).expect("it takes a few objects");
        participant.leave();
        space.leave();
        let read = |name| fs::read(directory.join(name)).expect("a file of the space");
        Precious { arena: read("arena"), live: read("live") }
    })
}

fn fill(tx: &mut Participant<Native>) -> Result<(), pso_engine::error::Stop> {
    let (root, hash_key) = (dict::create(tx)?, tx.arena().hash_key());
    let cell = tx.arena().root();
    tx.write(cell, Value::handle(root))?;
    for number in 0..20i64 {
        let items = list::create(tx)?;
        let value = text::encode(tx, "a text that has a block of its own")?;
        list::push(tx, items, value)?;
        dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Int(number)), Value::handle(items))?;
    }
    let pair = [Value::handle(root), text::encode(tx, "the second of a pair")?];
    let pair = tuple::encode(tx, &pair)?;
    dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Text("a pair, under a long key")), pair)?;
    let tasks = queue::create(tx, 4)?;
    dict::set(tx, root, &key::Key::new(hash_key, key::KeyView::Text("tasks")), Value::handle(tasks))?;
    Ok(())
}

fn folder() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("pso-fuzz-");
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
    folder.expect("a folder for the space")
}

/// Which bytes of the space are not zero: where a record is worth most.
pub fn used_words() -> Vec<u32> {
    let words = precious().arena.as_chunks::<8>().0.iter().enumerate();
    words.filter(|(_, word)| **word != [0; 8]).map(|(number, _)| number as u32).collect()
}

/// An input that overwrites these words.
pub fn overwriting(words: &[(u32, u64)]) -> Vec<u8> {
    let mut input = vec![1];
    for (number, word) in words {
        input.extend_from_slice(&number.to_le_bytes()[..3]);
        input.extend_from_slice(&word.to_le_bytes());
    }
    input
}

/// Inputs that a search begins with: nothing wrong; each used word in turn, with a bit more; no file, an empty one, a header alone.
pub fn seeds() -> Vec<Vec<u8>> {
    let arena = &precious().arena;
    let word = |number: u32| u64::from_le_bytes(arena.as_chunks::<8>().0[number as usize]);
    let used = used_words();
    let mut seeds = vec![vec![1], vec![0], [&[0], &arena[..4096]].concat()];
    seeds.extend(used.iter().step_by(used.len() / 64 + 1).map(|at| overwriting(&[(*at, word(*at) ^ 0x10)])));
    seeds
}

/// The whole of it. Whether the space could be attached.
pub fn attach_and_use(input: &[u8]) -> bool {
    let begin = Instant::now();
    let (arena, words) = match input.split_first() {
        Some((kind, rest)) if kind & 1 == 1 => overwritten(rest),
        Some((_, rest)) => (rest.to_vec(), Vec::new()),
        None => return false,
    };
    let folder = folder();
    let directory = folder.path().join("space");
    fs::DirBuilder::new().mode(0o700).create(&directory).expect("a folder");
    for (name, content) in [("arena", &arena), ("live", &precious().live)] {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).mode(0o600).open(directory.join(name)).expect("a file");
        std::io::Write::write_all(&mut file, content).expect("its bytes");
    }
    let place = Place::Directory(directory);
    let attached = use_and_leave(&place, &words).is_some();
    mend(&place);
    assert!(begin.elapsed() < BOUND, "it took {:?}", begin.elapsed());
    attached
}

fn overwritten(records: &[u8]) -> (Vec<u8>, Vec<u64>) {
    let mut arena = precious().arena.clone();
    let (count, mut words) = (arena.len() / 8, Vec::new());
    for record in records.as_chunks::<RECORD>().0.iter().take(MOST_RECORDS) {
        let place = u32::from_le_bytes([record[0], record[1], record[2], 0]) as usize % count;
        arena[place * 8..place * 8 + 8].copy_from_slice(&record[3..]);
        words.extend(record[3..].try_into().map(u64::from_le_bytes));
    }
    (arena, words)
}

fn use_and_leave(place: &Place, words: &[u64]) -> Option<()> {
    let (platform, layout) = attach(place).ok()?;
    let space = Space::join(platform, layout).ok()?;
    fsck(&space).iter().for_each(|finding| assert!(!finding.to_string().is_empty()));
    fsck_at_rest(&space);
    space.look(|| census(space.arena()));
    for handle in words.iter().filter_map(|word| Handle::from_raw(*word)) {
        // An error or an answer; of a block that is there, room within the space.
        let _ = (allocator::check(space.arena(), handle), allocator::check_fully(space.arena(), handle));
        if let Ok(room) = allocator::payload_words(space.arena(), handle) {
            assert!(handle.block().index() + room < layout.geometry().space_words);
        }
    }
    if let Ok(mut participant) = space.participant() {
        let words: Vec<Value> = words.iter().map(|word| Value::from_raw(*word)).collect();
        let by = |tx: &Participant<Native>| Some(tx.arena().platform().now_ns() + PATIENCE_NS);
        let deadline = by(&participant);
        let _ = participant.run_until(deadline, |tx| words.iter().try_for_each(|word| look_at(tx, *word)));
        let deadline = by(&participant);
        let _ = participant.run_until(deadline, |tx| {
            let root = tx.arena().root();
            let root = tx.read(root)?;
            look_at(tx, root)
        });
        let deadline = by(&participant);
        let _ = participant.run_until(deadline, fill);
        participant.leave();
    }
    space.leave();
    Some(())
}

/// What a value is, and a part of what it holds.
fn look_at(tx: &mut Participant<Native>, value: Value) -> Result<(), pso_engine::error::Stop> {
    match view(tx, value)? {
        View::Text(handle) => text::with(tx, handle, |text| assert!(text.len() as u64 <= BYTES)),
        View::Tuple(handle) => {
            for index in 0..tuple::len(tx, handle)?.min(100) {
                tuple::item(tx, handle, index)?;
            }
            Ok(())
        }
        View::Shared(BlockKind::List, handle) => {
            for index in 0..list::len(tx, handle)?.min(100) {
                list::get(tx, handle, index)?;
            }
            Ok(())
        }
        View::Shared(BlockKind::Dict, handle) => {
            let hash_key = tx.arena().hash_key();
            for number in 0..20 {
                dict::get(tx, handle, &key::Key::new(hash_key, key::KeyView::Int(number)))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn mend(place: &Place) {
    let Ok((platform, layout)) = attach(place) else { return };
    match repair(platform.clone(), layout) {
        Ok(repaired) => {
            let Ok(space) = Space::join(platform, layout) else { return };
            assert_eq!(fsck_at_rest(&space), repaired.left, "a second check says what the repair has left");
            space.leave();
        }
        // A damaged process slot may name this process, which lives.
        Err(RepairError::InUse { .. } | RepairError::Join(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
