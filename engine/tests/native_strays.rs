//! Addresses that are none: what a stray or dangling write of another part of a process comes to, and what it does not.
//!
//! The danger: a program with a wild pointer writes into the space. Around the mapping lie guards, and the engine keeps no address outside of its
//! calls and gives none away; what is written inside the mapping no hardware catches, and then it is for the checks of the engine, and of `fsck`.

mod native_support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;

use native_support::{Helper, Scratch, role, say};
use pso_engine::error::Stop;
use pso_engine::fsck::{fsck, fsck_at_rest};
use pso_engine::object::{list, text};
use pso_engine::platform::native::{self, Native, Place};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, Handle, Value, WordAddress};

/// Words of a text before its letters: length and hash.
const TEXT_PREFIX: u64 = 2;
const GUARD: usize = 2 << 20;
const LONG: &str = "a text that needs a block of its own";

fn join(path: &Path) -> Arc<Space<Native>> {
    let (memory, layout) = native::attach(&Place::Directory(path.into())).unwrap();
    Space::join(memory, layout).unwrap()
}

/// The list at the root, and the text in it.
fn found(tx: &mut Participant<Native>) -> (Handle, Handle) {
    tx.run(|tx| {
        let root = tx.arena().root();
        let list = tx.read(root)?.as_handle().unwrap();
        let text = list::get(tx, list, 0)?.unwrap().as_handle().unwrap();
        Ok((list, text))
    })
    .unwrap()
}

fn content(tx: &mut Participant<Native>) -> Result<String, Stop> {
    tx.run(|tx| {
        let root = tx.arena().root();
        let list = tx.read(root)?.as_handle().unwrap();
        let text = list::get(tx, list, 0)?.unwrap().as_handle().unwrap();
        text::with(tx, text, str::to_owned)
    })
}

/// Where the arena of the space is mapped: its first byte and the one behind its last.
fn mapped(path: &Path) -> (usize, usize) {
    let arena = path.join("arena").display().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with(&arena)).unwrap();
    let mut ends = line.split(' ').next().unwrap().split('-').map(|end| usize::from_str_radix(end, 16).unwrap());
    (ends.next().unwrap(), ends.next().unwrap())
}

fn strays_to(address: usize) {
    // SAFETY: none: this is the fault that the test is about, in a process of its own.
    unsafe { (address as *mut u64).write_volatile(0xbad0_bad0_bad0_bad0) };
}

#[test]
#[ignore = "run by the other tests, in processes of its own"]
fn child_role() {
    let Some((role, path)) = role() else { return };
    let space = join(&path);
    let mut tx = space.participant().unwrap();
    let (_, text) = found(&mut tx);
    let (first, end) = mapped(&path);
    let byte = |word: WordAddress| first + word.index() as usize * 8;
    let letters = byte(text.block().offset(BLOCK_HEADER_WORDS + TEXT_PREFIX));
    let address = match role.as_str() {
        "right before" => first - 8,
        "far before" => first - GUARD,
        "right behind" => end,
        "far behind" => end + GUARD - 8,
        "dangling" | "letters" => letters,
        "state" => byte(text.block()),
        other => panic!("no role {other}"),
    };
    if role == "dangling" {
        tx.leave();
        space.leave();
        drop(space);
    }
    say("strays");
    strays_to(address);
    say("got away with it");
    // Killed there: what it was in the middle of is nothing.
    std::process::abort();
}

/// A space with a list of one text at its root.
fn space_at(scratch: &Scratch) -> Arc<Space<Native>> {
    scratch.space("space");
    let space = join(&scratch.path("space"));
    let mut tx = space.participant().unwrap();
    tx.run(|tx| {
        let list = list::create(tx)?;
        let value = text::encode(tx, LONG)?;
        list::push(tx, list, value)?;
        let root = tx.arena().root();
        tx.write(root, Value::handle(list))
    })
    .unwrap();
    tx.leave();
    space
}

/// Lets a process write to such an address. True: it was killed for that.
fn is_caught(scratch: &Scratch, where_to: &str) -> bool {
    let mut stray = Helper::start(where_to, &scratch.path("space"));
    assert_eq!(stray.hear(), "strays");
    let status = stray.process.wait().unwrap();
    match status.signal() {
        Some(libc::SIGSEGV) => true,
        Some(libc::SIGABRT) => false,
        other => panic!("{where_to}: {other:?}"),
    }
}

#[test]
fn a_write_beside_the_mapping_or_into_one_that_is_gone_is_caught_and_changes_nothing() {
    let scratch = Scratch::new();
    let space = space_at(&scratch);
    for where_to in ["right before", "far before", "right behind", "far behind", "dangling"] {
        assert!(is_caught(&scratch, where_to), "{where_to}");
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), [], "{where_to}");
        let mut tx = space.participant().unwrap();
        assert_eq!(content(&mut tx).as_deref(), Ok(LONG), "{where_to}");
    }
}

#[test]
fn a_write_over_the_state_of_a_block_is_not_caught_and_found_by_whoever_looks() {
    let scratch = Scratch::new();
    let space = space_at(&scratch);
    assert!(!is_caught(&scratch, "state"));
    space.recover_dead();
    assert_ne!(fsck(&space), []);
    let mut tx = space.participant().unwrap();
    let answer = content(&mut tx);
    assert!(answer.is_err(), "{answer:?}");
    // All else can be used.
    let list = tx.run(|tx| tx.read(tx.arena().root())).unwrap().as_handle().unwrap();
    tx.run(|tx| list::push(tx, list, Value::NONE)).unwrap();
}

#[test]
fn a_write_over_the_letters_of_a_text_is_not_caught_and_not_found() {
    let scratch = Scratch::new();
    let space = space_at(&scratch);
    assert!(!is_caught(&scratch, "letters"));
    space.recover_dead();
    // Nothing but whoever knows the text can know: that is the limit of what is checked. Bytes that are no UTF-8 are an error.
    let mut tx = space.participant().unwrap();
    let answer = content(&mut tx);
    assert!(!matches!(&answer, Ok(text) if text == LONG), "{answer:?}");
}
