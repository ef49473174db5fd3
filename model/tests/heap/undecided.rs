//! Whoever was killed in a commit, and a word of his that says whether there was one, or what it wrote, is damaged. The danger: what the commit has made
//! is freed, for one that made it for nothing, or is never published; and others have seen it, and its names stand in cells.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pso_engine::error::Stop;
use pso_engine::fsck::{Finding, fsck, repair};
use pso_engine::object::{View, list, text, view};
use pso_engine::participant::{Slot, status_of};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{CellAddress, LockWord, ParticipantId, State, Value, WordAddress};
use pso_model::heap::Heap;

use crate::support::{MIB, Tx, cells, dies_at, integer, space_of, version};

/// Stores the dead one's commit, by which a text comes, and a list moves from one cell to another.
struct Scene {
    heap: Heap,
    space: Arc<Space<Heap>>,
    cells: Vec<CellAddress>,
    slot: Slot,
}

fn words(tx: &mut Tx, value: Value) -> String {
    let View::Text(handle) = view(tx, value).unwrap() else { panic!("{value:?} is no text") };
    text::with(tx, handle, str::to_owned).unwrap()
}

const MOVED: &str = "in a list that a commit moves";
const MADE: &str = "made by a commit, and longer than a word";

fn moves(tx: &mut Tx, cells: &[CellAddress]) {
    tx.run(|tx| {
        let list = tx.read(cells[0])?;
        tx.write(cells[0], integer(0))?;
        let made = text::encode(tx, MADE)?;
        tx.write(cells[1], made)?;
        tx.write(cells[2], list)
    })
    .unwrap();
}

/// For each step of that commit at which whoever is killed has committed.
fn at_each_step(mut play: impl FnMut(Scene, u64)) {
    let mut plays = 0;
    for step in 0.. {
        let (heap, space) = space_of(4 * MIB);
        let mut tx = space.participant().unwrap();
        let cells = cells(&mut tx, 3);
        tx.run(|tx| {
            let moved = list::create(tx)?;
            let item = text::encode(tx, MOVED)?;
            list::push(tx, moved, item)?;
            tx.write(cells[0], Value::handle(moved))
        })
        .unwrap();
        tx.leave();
        if dies_at(&heap, &space, step, |_| (), |tx| moves(tx, &cells)) {
            assert!(plays > 10, "{plays} steps of a commit");
            return;
        }
        let mut slots = (0..space.arena().layout().geometry().participants)
            .filter_map(|number| Slot::of(space.arena(), ParticipantId(number as u16)));
        let is_committed =
            |slot: &Slot| status_of(space.arena(), *slot).is_ok_and(|status| status.state == State::Committed);
        let found = slots.find(is_committed);
        if let Some(slot) = found {
            plays += 1;
            play(Scene { heap, space, cells, slot }, step);
        }
    }
}

impl Scene {
    /// The dead one's words that say what it was at; damaged each by itself, and with what for.
    fn damages(&self) -> [(WordAddress, u64, &'static str); 3] {
        [
            (self.slot.status(), 0xf, "a status that is none"),
            (self.slot.record_piece(0), 0, "no record"),
            (self.slot.entries_reserved(), 1 << 40, "a record longer than any"),
        ]
    }

    fn is_claimed(&self) -> bool {
        self.heap.load(self.slot.claim(), Relaxed) != 0
    }

    fn is_locked(&self, cell: CellAddress) -> bool {
        matches!(LockWord::unpack(version(&self.heap, cell)), LockWord::Locked(_))
    }

    /// The word is what it was, by whoever knows better: all is finished, and there.
    fn expect_whole(self, at: WordAddress, word: u64, step: u64) {
        self.heap.store(at, word, Relaxed);
        self.space.recover_dead();
        assert!(!self.is_claimed(), "killed at step {step}");
        let mut tx = self.space.participant().unwrap();
        assert_eq!(fsck(&self.space), [], "killed at step {step}");
        tx.begin().unwrap();
        assert_eq!(tx.read(self.cells[0]).unwrap(), integer(0));
        let made = tx.read(self.cells[1]).unwrap();
        assert_eq!(words(&mut tx, made), MADE, "killed at step {step}");
        let moved = tx.read(self.cells[2]).unwrap().as_handle().unwrap();
        let item = list::get(&mut tx, moved, 0).unwrap().unwrap();
        assert_eq!(words(&mut tx, item), MOVED, "killed at step {step}");
        tx.abort();
    }
}

fn for_each_damage(mut play: impl FnMut(&Scene, u64)) {
    for number in 0..3 {
        at_each_step(|scene, step| {
            let (at, damaged, what) = scene.damages()[number];
            let word = scene.heap.swap(at, damaged, Relaxed);
            play(&scene, step);
            assert!(scene.is_claimed(), "{what}, killed at step {step}");
            scene.expect_whole(at, word, step);
        });
    }
}

#[test]
fn a_recovery_leaves_all_as_it_is() {
    for_each_damage(|scene, step| {
        let is_told = |finding: &Finding| matches!(finding, Finding::HeldByTheDead { .. });
        for _ in 0..2 {
            assert_eq!(scene.space.recover_dead(), 0, "killed at step {step}");
            assert!(fsck(&scene.space).iter().any(is_told), "killed at step {step}");
        }
    });
}

#[test]
fn a_collection_frees_nothing_that_the_commit_names() {
    for_each_damage(|scene, _| {
        let mut tx = scene.space.participant().unwrap();
        for _ in 0..3 {
            tx.collect_objects(0).unwrap();
        }
        tx.leave();
    });
}

/// The danger: he waits for ever for what nobody will do.
#[test]
fn whoever_wants_a_cell_of_it_hears_of_the_damage() {
    for_each_damage(|scene, step| {
        let mut tx = scene.space.participant().unwrap();
        for cell in scene.cells.iter().filter(|cell| scene.is_locked(**cell)) {
            let written = tx.run(|tx| tx.write(*cell, integer(7)));
            assert!(matches!(written, Err(Stop::Corrupt(_))), "{written:?}, killed at step {step}");
        }
        // Who has read from the commit, and changes something else.
        if scene.cells.iter().any(|cell| scene.is_locked(*cell)) {
            let root = scene.space.arena().root();
            let changed = tx.run(|tx| {
                scene.cells.iter().try_for_each(|cell| tx.read(*cell).map(drop))?;
                let value = tx.read(root)?;
                tx.write(root, value)
            });
            assert!(matches!(changed, Err(Stop::Corrupt(_))), "{changed:?}, killed at step {step}");
        }
        tx.leave();
    });
}

/// With locks of it in cells that are in use.
#[test]
fn a_repair_leaves_what_it_cannot_judge() {
    for number in 0..3 {
        at_each_step(|scene, step| {
            if !scene.cells.iter().all(|cell| scene.is_locked(*cell)) {
                return;
            }
            let (at, damaged, what) = scene.damages()[number];
            let word = scene.heap.swap(at, damaged, Relaxed);
            scene.space.leave();
            let layout = *scene.space.arena().layout();
            let done = repair(scene.heap.process(), layout).unwrap();
            assert!(!done.left.is_empty(), "{what}, killed at step {step}");
            let again = repair(scene.heap.process(), layout).unwrap();
            assert_eq!((again.mended, again.left), (vec![], done.left), "{what}, killed at step {step}");
            let space = Space::join(scene.heap.process(), layout).unwrap();
            Scene { space, ..scene }.expect_whole(at, word, step);
        });
    }
}
