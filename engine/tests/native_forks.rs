//! A process that forks in the middle of a collection.
//!
//! The danger: the child goes on with it in its parent's name, and frees what that frees; or waits for ever for what its parent waits for.

mod native_support;

use native_support::forks::{exit_code, exit_now, fork};
use native_support::{Helper, Scratch, role, say};
use pso_engine::error::Stop;
use pso_engine::object::{list, text};
use pso_engine::participant::Slot;
use pso_engine::platform::native::{self, Native, Place};
use pso_engine::platform::{Memory, Ordering};
use pso_engine::space::Space;
use pso_engine::transaction::{Participant, Progress, WholeCollection};
use pso_engine::word::Value;

#[test]
#[ignore = "run by the other tests, in processes of its own"]
fn child_role() {
    let Some((role, path)) = role() else { return };
    assert_eq!(role, "fork_in_a_collection");
    let (native, layout) = native::attach(&Place::Directory(path)).unwrap();
    let space = Space::join(native, layout).unwrap();
    let (mut tx, mut other) = (space.participant().unwrap(), space.participant().unwrap());
    let mut codes = Vec::new();
    let list = tx.run(list::create).unwrap();
    tx.run(|tx| tx.write(tx.arena().root(), Value::handle(list))).unwrap();
    for stage in 0..4 {
        tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
        // Few enough that one look at the log of who has read them is through, or not.
        let texts = if stage == 2 { 5000 } else { 40 };
        tx.run(|tx| (0..texts).try_for_each(|_| long(tx).and_then(|text| list::push(tx, list, text)))).unwrap();
        other.begin().unwrap();
        (0..texts).for_each(|index| assert!(list::get(&mut other, list, index).unwrap().is_some()));
        for index in 0..texts {
            tx.run(|tx| {
                let new = long(tx)?;
                list::set(tx, list, index, new).map(drop)
            })
            .unwrap();
        }
        let mut whole = WholeCollection::default();
        let is_there = |tx: &Participant<Native>, whole: &WholeCollection, progress| match stage {
            0 => true,
            1 => progress == Some(Progress::Went),
            2 => tx.is_finding_out() && whole.has_found_all(),
            _ => matches!(progress, Some(Progress::Waits(_))),
        };
        let mut progress = None;
        for _ in 0..100_000 {
            if is_there(&tx, &whole, progress) {
                break;
            }
            progress = Some(tx.go_on_with(&mut whole, 1));
        }
        let is_it = is_there(&tx, &whole, progress);
        for joins in [false, true] {
            codes.push(if is_it { in_a_child(&space, &mut tx, &mut whole, joins) } else { -2 });
        }
        other.abort();
        // What was asked for once and held is left alone for a while.
        while !matches!(tx.go_on_with(&mut whole, 1), Progress::Over(_)) {}
    }
    say(format!("codes {codes:?}"));
}

fn long(tx: &mut Participant<Native>) -> Result<Value, Stop> {
    text::encode(tx, "a text that is no word")
}

/// What becomes of a child that goes on.
fn in_a_child(space: &Space<Native>, tx: &mut Participant<Native>, whole: &mut WholeCollection, joins: bool) -> i32 {
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    let words = || {
        let words = [slot.status(), slot.retired(), slot.retired_words(), slot.detached()];
        let words = words.map(|word| space.arena().platform().load(word, Ordering::Relaxed));
        (words, tx_words(space))
    };
    let before = words();
    let pid = fork();
    if pid == 0 {
        if joins && space.arena().platform().rejoin_after_fork().is_err() {
            exit_now(1);
        }
        let refused = (0..3).all(|_| tx.go_on_with(whole, 16) == Progress::Busy);
        let refuses_all = tx.collect_objects(u64::MAX) == Err(Stop::Forked);
        exit_now(match (refused, refuses_all) {
            (false, _) => 2,
            (true, false) => 3,
            _ if words() != before => 4,
            _ => 0,
        });
    }
    exit_code(pid)
}

/// Who collects, as everybody sees it.
fn tx_words(space: &Space<Native>) -> u64 {
    space.arena().platform().load(space.arena().layout().collection(), Ordering::Relaxed)
}

#[test]
fn a_child_cannot_go_on_with_a_collection_of_its_parent() {
    let scratch = Scratch::new();
    native::create(&scratch.place("space"), 16 << 20).unwrap();
    let codes = Helper::start("fork_in_a_collection", &scratch.path("space")).hear();
    assert_eq!(codes, format!("codes {:?}", [0; 8]));
}
