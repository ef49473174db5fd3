//! Repair of a space that nobody has open. Each kind of damage has its answer; a repairer that is killed leaves a space that the next one mends
//! as if the first had not been there; and what is in use stays as it is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::{MIB, Tx, another, dies_at, unless_killed};
use pso_engine::allocator::{self, BlockCache, Damage as Wrong, Mend, SuperblockState};
use pso_engine::arena::{Arena, Geometry, HotWord, Layout};
use pso_engine::fsck::{Finding, Mended, RepairError, Repaired, fsck_at_rest, repair, repair_unless};
use pso_engine::object::key::{Key, KeyView};
use pso_engine::object::{View, dict, list, text, view};
use pso_engine::participant::{Claim, ProcessSlot, Slot};
use pso_engine::platform::Memory;
use pso_engine::space::Space;
use pso_engine::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, CellAddress, Colour, Handle, LockWord, LockedBy, Mark,
    ParticipantId, ProcessSlotId, State, Status, Value, Version,
};
use pso_model::heap::Heap;

const KEYS: i64 = 12;

fn name(number: i64) -> String {
    format!("the name of a list, longer than a word, number {number}")
}

/// A dict of lists of texts in the root, which replaces the one that was there.
fn fill(tx: &mut Tx) {
    tx.run(|tx| {
        let root = dict::create(tx)?;
        let cell = tx.arena().root();
        tx.write(cell, Value::handle(root))?;
        for number in 0..KEYS {
            let items = list::create(tx)?;
            let item = text::encode(tx, &name(number))?;
            list::push(tx, items, item)?;
            let key = Key::new(tx.arena().hash_key(), KeyView::Int(number));
            dict::set(tx, root, &key, Value::handle(items))?;
        }
        let long = text::encode(tx, &"y".repeat(200_000))?;
        let key = Key::new(tx.arena().hash_key(), KeyView::Int(KEYS));
        dict::set(tx, root, &key, long).map(drop)
    })
    .unwrap();
}

/// A space that was filled twice, and that nobody has open.
fn closed() -> (Heap, Layout) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let process = heap.process();
    let space = Space::join(process, layout).unwrap();
    let mut participant = space.participant().unwrap();
    fill(&mut participant);
    fill(&mut participant);
    participant.leave();
    space.leave();
    (heap, layout)
}

/// All that the root leads to reads as it was written.
fn assert_whole(heap: &Heap, layout: Layout) {
    let space = Space::join(heap.process(), layout).unwrap();
    let mut tx = space.participant().unwrap();
    tx.run(|tx| {
        let cell = tx.arena().root();
        let root = tx.read(cell)?.as_handle().unwrap();
        for number in 0..KEYS {
            let key = Key::new(tx.arena().hash_key(), KeyView::Int(number));
            let items = dict::get(tx, root, &key)?.unwrap().as_handle().unwrap();
            let item = list::get(tx, items, 0)?.unwrap();
            let View::Text(item) = view(tx, item)? else { panic!("no text") };
            assert_eq!(text::with(tx, item, str::to_owned)?, name(number));
        }
        Ok(())
    })
    .unwrap();
    tx.leave();
    space.leave();
}

fn at_rest(heap: &Heap, layout: Layout) -> Vec<Finding> {
    let space = Space::join(heap.process(), layout).unwrap();
    let findings = fsck_at_rest(&space);
    space.leave();
    findings
}

fn arena(heap: &Heap, layout: Layout) -> Arena<Heap> {
    Arena::new(heap.clone(), layout)
}

/// The first block of a kind, as the walk meets it.
fn first(arena: &Arena<Heap>, kind: BlockKind) -> Handle {
    let mut found = None;
    allocator::for_each_block(arena, |handle, state| {
        if state.kind == kind && state.phase == BlockPhase::Live && found.is_none() {
            found = Some(handle);
        }
    });
    found.unwrap()
}

fn slot(arena: &Arena<Heap>, id: u16) -> Slot {
    Slot::of(arena, ParticipantId(id)).unwrap()
}

fn root_block(arena: &Arena<Heap>) -> Handle {
    Handle::from_raw(arena.platform().load(arena.root().value_word(), Relaxed)).unwrap()
}

/// The first cell of the dict in the root, which is in use.
fn cell(arena: &Arena<Heap>) -> CellAddress {
    CellAddress::new(root_block(arena).block().offset(BLOCK_HEADER_WORDS))
}

type Damage = fn(&Arena<Heap>);

/// Each damage that has one answer.
const MENDABLE: [(&str, Damage); 27] = [
    ("nothing", |_| {}),
    ("a lock of an attempt that is over", |arena| {
        let by = LockedBy { participant: ParticipantId(0), entry: 0, seq: 77 };
        arena.platform().store(cell(arena).lock_word(), LockWord::locked(by), Relaxed);
    }),
    ("a lock of somebody who cannot be", |arena| {
        let by = LockedBy { participant: ParticipantId(2000), entry: 0, seq: 1 };
        arena.platform().store(cell(arena).lock_word(), LockWord::locked(by), Relaxed);
    }),
    ("a version ahead of the clock", |arena| {
        arena.platform().store(cell(arena).lock_word(), LockWord::free(Version(1 << 40)), Relaxed);
    }),
    ("a version of somebody who cannot be", |arena| {
        let version = Version::first(1, ParticipantId(2000));
        arena.platform().store(cell(arena).lock_word(), LockWord::free(version), Relaxed);
    }),
    ("a clock that stands at nothing", |arena| {
        arena.platform().store(arena.layout().hot(HotWord::VersionClock), 0, Relaxed);
    }),
    ("a number to retire at that is none", |arena| {
        arena.platform().store(arena.layout().hot(HotWord::Batch), 0, Relaxed);
    }),
    ("a number to retire at that is never reached", |arena| {
        arena.platform().store(arena.layout().hot(HotWord::Batch), u64::MAX, Relaxed);
    }),
    ("a status that is none", |arena| arena.platform().store(slot(arena, 0).status(), 0xf, Relaxed)),
    ("an attempt of nobody that has committed", |arena| {
        let status = Status { seq: 1000, state: State::Committed };
        arena.platform().store(slot(arena, 0).status(), status.pack(), Relaxed);
    }),
    ("a start of nobody", |arena| arena.platform().store(slot(arena, 3).start(), 1, Relaxed)),
    ("a claim that is none", |arena| arena.platform().store(slot(arena, 2).claim(), 5, Relaxed)),
    ("a claim of a process that is gone", |arena| {
        let claim = Claim { process: ProcessSlotId(3), generation: 9 };
        arena.platform().store(slot(arena, 2).claim(), claim.pack(), Relaxed);
    }),
    ("a process that is gone", |arena| {
        let slot = ProcessSlot::of(arena, ProcessSlotId(2)).unwrap();
        arena.platform().store(slot.state_word(), 0x705, Relaxed);
    }),
    ("a log that names another's block", |arena| {
        let other = root_block(arena).raw();
        arena.platform().store(slot(arena, 0).read_log_piece(0), other, Relaxed);
    }),
    ("a lost log", |arena| arena.platform().store(slot(arena, 0).record_piece(0), 0, Relaxed)),
    ("a table that is none", |arena| {
        let slot = ProcessSlot::of(arena, ProcessSlotId(1)).unwrap();
        arena.platform().store(slot.holds_piece(0), 0xabc4, Relaxed);
    }),
    ("a PRIVATE block", |arena| {
        let mut cache = BlockCache::default();
        cache.allocate(arena, ParticipantId(1), BlockKind::Text, 700).unwrap();
    }),
    ("a block in use that is said to be PRIVATE", |arena| {
        let block = root_block(arena).block();
        let state = BlockState::unpack(arena.platform().load(block, Relaxed)).unwrap();
        let private = BlockState { phase: BlockPhase::Private, owner: ParticipantId(7), ..state };
        arena.platform().store(block, private.pack(), Relaxed);
    }),
    ("a block in use that was condemned", |arena| {
        let condemned = Mark { cycle: 0, colour: Colour::Condemned };
        arena.platform().store(root_block(arena).block().offset(1), condemned.pack(), Relaxed);
    }),
    ("counts of superblocks that contradict each other", |arena| {
        arena.platform().store(arena.layout().hot(HotWord::SuperblockFrontier), u64::MAX, Relaxed);
        arena.platform().store(arena.layout().hot(HotWord::FreeSuperblockHint), 1 << 50, Relaxed);
    }),
    ("a frontier below what is in use", |arena| {
        arena.platform().store(arena.layout().hot(HotWord::SuperblockFrontier), 2, Relaxed);
    }),
    ("a run that is cut in the middle", |arena| {
        let long = first(arena, BlockKind::Text);
        let number = arena.layout().superblock_of(long.block()).unwrap();
        let run = (number..).find(|number| is_tail(arena, *number)).unwrap();
        arena.platform().store(arena.layout().superblock_header(run), 0x3fff_ff01, Relaxed);
    }),
    ("a superblock of somebody who is gone", |arena| {
        let at = arena.layout().superblock_header(arena.layout().superblock_of(root_block(arena).block()).unwrap());
        let state = SuperblockState::unpack(arena.platform().load(at, Relaxed), arena.layout().geometry()).unwrap();
        let owned = SuperblockState { owner: Some(ParticipantId(9)), ..state };
        arena.platform().store(at, owned.pack(), Relaxed);
    }),
    ("blocks in use among those that were never used", |arena| {
        let at = arena.layout().superblock_header(arena.layout().superblock_of(root_block(arena).block()).unwrap());
        arena.platform().store(at.offset(1), 0, Relaxed);
    }),
    ("containers where none are said to be", |arena| {
        let at = arena.layout().superblock_header(arena.layout().superblock_of(root_block(arena).block()).unwrap());
        arena.platform().store(at.offset(3), 0, Relaxed);
    }),
    ("a closed space", |arena| arena.platform().store(arena.layout().hot(HotWord::Poison), 3, Relaxed)),
];

fn is_tail(arena: &Arena<Heap>, number: u64) -> bool {
    let word = arena.platform().load(arena.layout().superblock_header(number), Relaxed);
    let state = SuperblockState::unpack(word, arena.layout().geometry());
    state.is_some_and(|state| matches!(state.used_for, allocator::Use::LargeTail { .. }))
}

#[test]
fn each_damage_that_has_an_answer_is_mended_and_said() {
    for (what, damage) in MENDABLE {
        let (heap, layout) = closed();
        assert_eq!(at_rest(&heap, layout), [], "before: {what}");
        damage(&arena(&heap, layout));
        // A dead process, and what it claims, are cleared up by whoever joins.
        let found = at_rest(&heap, layout);
        let done = repair(heap.process(), layout).unwrap();
        assert_eq!((&done.left, done.unnamed), (&vec![], None), "{what}: {found:?}");
        let said = done.mended.iter().filter(|mended| !matches!(mended, Mended::Freed { .. })).count();
        assert!(found.is_empty() || said > 0 || what == "a PRIVATE block", "{what}: {found:?}");
        assert_eq!(at_rest(&heap, layout), [], "{what}");
        assert_whole(&heap, layout);
        assert_eq!(repair(heap.process(), layout).unwrap().left, [], "{what}");
    }
}

#[test]
fn what_nothing_names_is_freed_and_its_superblocks_are_given_back() {
    let (heap, layout) = closed();
    let arena = arena(&heap, layout);
    let blocks = || {
        let mut count = 0;
        allocator::for_each_block(&arena, |_, _| count += 1);
        count
    };
    let before = (blocks(), allocator::usage(&arena).unused);
    let done = repair(heap.process(), layout).unwrap();
    let freed = done.mended.iter().filter(|mended| matches!(mended, Mended::Freed { .. })).count();
    assert!(freed > 3 * KEYS as usize, "the first dict, with its lists and texts: {freed}");
    assert_eq!(blocks(), before.0 - freed);
    assert!(allocator::usage(&arena).unused > before.1, "the run of its long text");
    assert_whole(&heap, layout);
}

#[test]
fn a_header_that_cannot_be_read_over_nothing_in_use_is_quarantined() {
    let (heap, layout) = closed();
    repair(heap.process(), layout).unwrap();
    let arena = arena(&heap, layout);
    let unused = (0..allocator::superblocks_used(&arena)).find(|number| {
        let word = heap.load(layout.superblock_header(*number), Relaxed);
        !layout.is_header_superblock(*number)
            && SuperblockState::unpack(word, layout.geometry()).unwrap().is_unclaimed()
    });
    let (number, word) = (unused.unwrap(), 0x3fff_ff01);
    heap.store(layout.superblock_header(number), word, Relaxed);
    assert_eq!(at_rest(&heap, layout).len(), 1);
    let done = repair(heap.process(), layout).unwrap();
    assert_eq!(done.mended, [Mended::Memory(Mend::Quarantined { superblock: number, word })]);
    assert_eq!(done.left, []);
    // It is no finding, and nobody takes it.
    assert_eq!(at_rest(&heap, layout), []);
    let space = Space::join(heap.process(), layout).unwrap();
    let mut participant = space.participant().unwrap();
    let too_much = participant.run(|tx| {
        for _ in 0..100_000 {
            text::encode(tx, &name(0))?;
        }
        Ok(())
    });
    assert!(too_much.is_err(), "the space is full before");
    assert_eq!(SuperblockState::unpack(heap.load(layout.superblock_header(number), Relaxed), layout.geometry()), None);
}

/// The danger: one wrong bit in the root, and all that it led to would be freed for named by nothing.
#[test]
fn where_a_word_in_use_is_damaged_nothing_is_freed() {
    let damages: [(&str, Damage); 5] = [
        ("no value", |arena| arena.platform().store(cell(arena).value_word(), 0xf, Relaxed)),
        ("a handle to nothing", |arena| {
            let block = root_block(arena);
            let stale = Handle::new(block.block(), block.generation() + 1);
            arena.platform().store(arena.root().value_word(), stale.raw(), Relaxed);
        }),
        ("a block's state", |arena| arena.platform().store(root_block(arena).block(), 0xff, Relaxed)),
        ("a header over blocks in use", |arena| {
            let number = arena.layout().superblock_of(root_block(arena).block()).unwrap();
            arena.platform().store(arena.layout().superblock_header(number), 0x3fff_ff01, Relaxed);
        }),
        ("a header over blocks in use, as of one never used", |arena| {
            let number = arena.layout().superblock_of(root_block(arena).block()).unwrap();
            arena.platform().store(arena.layout().superblock_header(number), 0, Relaxed);
        }),
    ];
    for (what, damage) in damages {
        let (heap, layout) = closed();
        let arena = arena(&heap, layout);
        damage(&arena);
        let done = repair(heap.process(), layout).unwrap();
        assert!(!done.left.is_empty(), "{what}");
        assert!(done.unnamed.is_some_and(|kept| kept.blocks > 3), "{what}: {:?}", done.unnamed);
        assert!(!done.mended.iter().any(|mended| matches!(mended, Mended::Freed { .. })), "{what}");
        assert_eq!(at_rest(&heap, layout), done.left, "{what}");
    }
}

#[test]
fn a_cell_that_names_a_condemned_block_is_found_at_rest() {
    let (heap, layout) = closed();
    let arena = arena(&heap, layout);
    let condemned = Mark { cycle: 0, colour: Colour::Condemned };
    heap.store(root_block(&arena).block().offset(1), condemned.pack(), Relaxed);
    let findings = at_rest(&heap, layout);
    assert!(matches!(findings[..], [Finding::Condemned { .. }]), "{findings:?}");
}

#[test]
fn a_space_that_somebody_has_open_is_refused() {
    let (heap, layout) = closed();
    let other = Space::join(heap.process(), layout).unwrap();
    let refused = repair(heap.process(), layout).unwrap_err();
    assert!(matches!(refused, RepairError::InUse { pid: Some(_), .. }), "{refused}");
    assert!(refused.to_string().contains("is in use by process"), "{refused}");
    // One that has lost its byte, and lives.
    heap.fence_process(other.process());
    assert!(matches!(repair(heap.process(), layout), Err(RepairError::InUse { .. })));
    heap.kill_process(other.process());
    let other = Space::join(heap.process(), layout).unwrap();
    // Whoever was refused has left nothing behind: others can join.
    let third = Space::join(heap.process(), layout).unwrap();
    third.leave();
    other.leave();
}

#[test]
fn what_the_dead_left_is_no_hindrance() {
    let (heap, layout) = closed();
    let space = Space::join(heap.process(), layout).unwrap();
    for step in [50, 200, 800] {
        dies_at(&heap, &space, step, |_| (), fill);
    }
    heap.kill_process(space.process());
    let done = repair(heap.process(), layout).unwrap();
    assert_eq!(done.left, []);
    assert_whole(&heap, layout);
}

/// A repair that dies at its access number `step`; `None`: it got through.
fn dies_in_repair(heap: &Heap, layout: Layout, step: u64) -> Option<Repaired> {
    let process = heap.process();
    process.die_after(step);
    let outcome = unless_killed(|| repair(process.clone(), layout));
    let survived = process.live_on() > 0;
    process.kill();
    outcome.filter(|_| survived).map(Result::unwrap)
}

#[test]
fn a_killed_repairer_leaves_what_fsck_knows_and_the_next_one_mends() {
    for (kills, step) in (0..).step_by(389).enumerate() {
        let (heap, layout) = closed();
        let survived = dies_in_repair(&heap, layout, step).is_some();
        // A run that was freed and is not taken apart yet is a finding: who died is no participant, whom somebody would recover.
        let is_run = |finding: &Finding| matches!(finding, Finding::Memory(Wrong::Unfinished { .. }));
        let others: Vec<_> = at_rest(&heap, layout).into_iter().filter(|finding| !is_run(finding)).collect();
        assert_eq!(others, [], "killed at step {step}");
        assert_whole(&heap, layout);
        assert_eq!(repair(heap.process(), layout).unwrap().left, [], "killed at step {step}");
        assert_whole(&heap, layout);
        if survived {
            assert!(kills > 50, "only {kills} kills");
            return;
        }
    }
}

/// Interrupted before each step, it lets others in, and the next one does the rest.
#[test]
fn an_interrupted_repairer_leaves_what_fsck_knows_and_the_next_one_mends() {
    for asked in 1.. {
        let (heap, layout) = closed();
        let mut looks = 0;
        let outcome = repair_unless(heap.process(), layout, &mut || {
            looks += 1;
            looks == asked
        });
        assert_eq!(at_rest(&heap, layout), [], "interrupted at look {asked}");
        assert_whole(&heap, layout);
        let next = repair(heap.process(), layout).unwrap();
        assert_eq!(next.left, [], "interrupted at look {asked}");
        assert_whole(&heap, layout);
        if outcome != Err(RepairError::Interrupted) {
            assert_eq!((outcome.unwrap().left, next.mended), (vec![], vec![]));
            assert!(asked > 8, "only {asked} looks");
            return;
        }
        assert!(asked > 6 || !next.mended.is_empty(), "nothing was left at look {asked}");
    }
}

/// Two who are dead: one has taken three texts out, the one with the highest address first, and the other was reading them.
fn with_a_list_of_retired() -> (Heap, Layout) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(MIB).unwrap());
    let [reading, writing] = [(); 2].map(|()| Space::join(heap.process(), layout).unwrap());
    let (mut reader, mut writer) = (reading.participant().unwrap(), writing.participant().unwrap());
    let texts = writer
        .run(|tx| {
            let texts = list::create(tx)?;
            for number in 0..3 {
                let text = text::encode(tx, &name(number))?;
                list::push(tx, texts, text)?;
            }
            let root = tx.arena().root();
            tx.write(root, Value::handle(texts)).map(|()| texts)
        })
        .unwrap();
    reader.begin().unwrap();
    (0..3).for_each(|index| _ = list::get(&mut reader, texts, index).unwrap());
    for index in (0..3).rev() {
        writer.run(|tx| list::set(tx, texts, index, Value::NONE).map(drop)).unwrap();
    }
    for (dead, space) in [(reader, reading), (writer, writing)] {
        std::mem::forget(dead);
        heap.kill_process(space.process());
    }
    (heap, layout)
}

/// The danger: a walk along a list ends at the first block that is free, so what comes behind one that was freed too early is in no list.
#[test]
fn a_killed_repairer_leaves_the_rest_of_a_list_in_it() {
    for step in (0..).step_by(3) {
        let (heap, layout) = with_a_list_of_retired();
        let repaired = dies_in_repair(&heap, layout, step);
        assert_eq!(at_rest(&heap, layout), [], "killed at step {step}");
        if let Some(repaired) = repaired {
            let freed = repaired.mended.iter().filter(|mended| matches!(mended, Mended::Freed { .. })).count();
            assert!(freed >= 3, "{:?}", repaired.mended);
            return;
        }
    }
}

#[test]
fn damage_is_mended_by_two_repairers_of_which_the_first_was_killed() {
    // Those that touch the same words leave each other out.
    let together = |what: &str| !matches!(what, "a lock of somebody who cannot be" | "a frontier below what is in use");
    for step in (0..).step_by(1009) {
        let (heap, layout) = closed();
        for (_, damage) in MENDABLE.iter().filter(|(what, _)| together(what)) {
            damage(&arena(&heap, layout));
        }
        let survived = dies_in_repair(&heap, layout, step).is_some();
        let done = repair(heap.process(), layout).unwrap();
        assert_eq!(done.left, [], "killed at step {step}");
        assert_eq!(at_rest(&heap, layout), [], "killed at step {step}");
        assert_whole(&heap, layout);
        if survived {
            assert!(step > 20_000, "only {step} steps");
            return;
        }
    }
}

#[test]
fn a_space_that_was_repaired_is_worked_in_on() {
    let (heap, layout) = closed();
    repair(heap.process(), layout).unwrap();
    let space = Space::join(heap.process(), layout).unwrap();
    let other = another(&heap, &space);
    let mut tx: Tx = other.participant().unwrap();
    for _ in 0..5 {
        fill(&mut tx);
    }
    tx.leave();
    let findings = fsck_at_rest(&space);
    assert_eq!(findings, []);
    let _: Arc<_> = space;
}
