//! What is empty goes back to the system: not while somebody may be checking a handle there; and what a large transaction's logs took, too.
//! The heap panics at an access to a page that has no memory.

use std::ops::Range;

use super::*;
use pso_engine::arena::Geometry;
use pso_model::heap::hide_deaths;

/// Texts of their own kind: 16 to 24 KiB.
const LONG_TEXT: usize = 2000;

pub(super) fn space_with_pages_watched() -> (Heap, Arc<Space<Heap>>) {
    let (heap, space) = space_of(8 * MIB);
    heap.watch_pages();
    (heap, space)
}

pub(super) fn push(tx: &mut Tx, list: Handle, numbers: Range<u64>) {
    tx.run(|tx| {
        for number in numbers.clone() {
            let value = text::encode(tx, &"x".repeat(LONG_TEXT + number as usize))?;
            list::push(tx, list, value)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_deleted_goes_back_and_serves_again() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 0);
    let mut before = 0;
    for round in 0..5 {
        push(&mut tx, list, 0..1500);
        let full = heap.committed_words();
        tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
        tx.collect();
        assert!(tx.give_back_pages());
        let now = heap.committed_words();
        assert!(full > 3 * now, "round {round}: {now} words of {full} are left");
        assert!(round == 0 || now <= before + 4 * 8192, "round {round}: {now} words are left, {before} before");
        before = now;
        assert_eq!(fsck_at_rest(&space), vec![]);
    }
}

/// The danger: what is due is told from what was ever in use. After a peak all that is stored and deleted stays backed.
#[test]
fn what_was_in_use_long_ago_keeps_nothing_back() {
    let (heap, space) = space_of(256 * MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 0);
    tx.run(|tx| {
        let made: Vec<Handle> = (0..4).map(|_| tx.allocate(BlockKind::Bytes, 58 << 17)).collect::<Result<_, _>>()?;
        made.into_iter().try_for_each(|made| tx.discard(made))
    })
    .unwrap();
    tx.collect();
    assert!(tx.give_back_pages());
    let peak = allocator::superblocks_used(space.arena());
    assert!(peak > 3600, "{peak}");
    let before = heap.committed_words();
    push(&mut tx, list, 0..2800);
    let stored = heap.committed_words() - before;
    assert!(stored < peak / 16 * 8192, "less than a sixteenth of what was ever used");
    tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
    tx.collect();
    let left = heap.committed_words() - before;
    assert!(left < stored / 2, "{left} words of {stored} are left");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn who_is_in_an_attempt_or_looks_keeps_it_back() {
    let (heap, space) = space_with_pages_watched();
    let mut tx = space.participant().unwrap();
    let other = another(&heap, &space);
    let mut reader = other.participant().unwrap();
    let list = texts(&mut tx, 0);
    push(&mut tx, list, 0..1000);
    // More than by the way, and the reader is in the middle of something: nothing goes back.
    reader.begin().unwrap();
    tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
    tx.collect();
    let freed = in_phase(&space, BlockPhase::Live);
    let full = heap.committed_words();
    assert!(!tx.give_back_pages());
    assert_eq!(heap.committed_words(), full);
    reader.abort();
    other.look(|| assert!(!tx.give_back_pages()));
    assert_eq!(heap.committed_words(), full);
    // Somebody who has begun since keeps nothing back.
    reader.begin().unwrap();
    assert!(tx.give_back_pages());
    assert!(heap.committed_words() < full / 2);
    reader.abort();
    // What somebody keeps back can be used meanwhile.
    push(&mut tx, list, 0..1000);
    reader.begin().unwrap();
    tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
    tx.collect();
    assert!(!tx.give_back_pages());
    let full = heap.committed_words();
    push(&mut tx, list, 0..900);
    assert!(heap.committed_words() <= full);
    reader.abort();
    assert_eq!(in_phase(&space, BlockPhase::Live), freed + 900);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Somebody who is killed anywhere in giving memory back, or getting it again, leaves nothing but what recovery clears up.
#[test]
fn who_is_killed_while_memory_goes_back_loses_none() {
    let mut most = 0;
    for step in (0..).map(|step| step * 37) {
        let (heap, space) = space_with_pages_watched();
        let mut survivor = space.participant().unwrap();
        let list = texts(&mut survivor, 3);
        let through = dies_at(
            &heap,
            &space,
            step,
            |tx| push(tx, list, 0..400),
            |tx| {
                tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
                tx.give_back_pages();
                push(tx, list, 0..100);
            },
        );
        let live = live_after_a_kill(&space, &mut survivor, step);
        most = most.max(live);
        survivor.run(|tx| list::truncate(tx, list, 0)).unwrap();
        survivor.collect();
        assert!(survivor.give_back_pages());
        let usage = allocator::usage(space.arena());
        let backed = allocator::backed_words(space.arena());
        assert_eq!(backed, heap.committed_words(), "killed at step {step}: what the headers say");
        assert!(usage.committed - usage.punched < 40, "killed at step {step}: {usage:?}");
        push(&mut survivor, list, 0..400);
        assert_eq!(fsck_at_rest(&space), vec![], "killed at step {step}");
        if through {
            assert!(step > 20_000, "{step} accesses");
            return;
        }
    }
}

/// A transaction that read and wrote a great deal keeps nothing of what its logs took; whoever is killed while they go, neither.
#[test]
fn large_logs_go_when_their_transaction_is_over() {
    const READS: u64 = 20_000;
    let mut tried = 0;
    for step in (0..).map(|step| step * 37) {
        let (heap, space) = space_with_pages_watched();
        let mut survivor = space.participant().unwrap();
        let cells = crate::support::cells(&mut survivor, READS);
        let before = allocator::usage(space.arena());
        let through = dies_at(
            &heap,
            &space,
            step,
            |tx| {
                tx.begin().unwrap();
                cells.iter().for_each(|cell| assert!(tx.read(*cell).is_ok()));
                tx.write(cells[0], Value::int(7).unwrap()).unwrap();
            },
            |tx| {
                // Of the validation of so many reads a death each would say nothing new.
                tx.commit().unwrap();
                assert_eq!(tx.run(|tx| tx.read(cells[0])).unwrap(), Value::int(7).unwrap());
                tx.collect();
            },
        );
        tried += 1;
        live_after_a_kill(&space, &mut survivor, step);
        survivor.collect();
        assert!(survivor.give_back_pages());
        // The same number reads as much again.
        let mut heir = space.participant().unwrap();
        heir.run(|tx| cells.iter().try_for_each(|cell| tx.read(*cell).map(|_| ()))).unwrap();
        heir.leave();
        survivor.collect();
        let now = allocator::usage(space.arena());
        assert!(now.small + now.large <= before.small + before.large + 16, "killed at step {step}: {before:?} {now:?}");
        assert_eq!(fsck_at_rest(&space), vec![], "killed at step {step}");
        if through {
            assert!(tried > 10, "{tried} deaths");
            return;
        }
    }
}

/// Somebody checks a handle that nothing keeps, in a look: whatever access of his another squeezes the whole way back of that memory in before, from
/// its use to the system, he touches nothing that is not there. Without the look he does: the checker can fail.
#[test]
fn who_checks_a_handle_in_a_look_meets_no_page_that_is_gone() {
    use pso_model::interpose::Interposed;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Mutex;

    hide_deaths();
    for with_look in [true, false] {
        let mut touched = 0;
        for step in 0.. {
            let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
            heap.watch_pages();
            let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
            let other = Space::join(heap.process(), layout).unwrap();
            let mut tx = other.participant().unwrap();
            let list = texts(&mut tx, 0);
            push(&mut tx, list, 0..300);
            let handle = tx.run(|tx| Ok(list::get(tx, list, 150)?.unwrap().as_handle().unwrap())).unwrap();
            let tx = Mutex::new(tx);
            space.arena().platform().at(step, move || {
                let mut tx = tx.lock().unwrap();
                tx.run(|tx| list::truncate(tx, list, 0)).unwrap();
                tx.collect();
                tx.give_back_pages();
            });
            let check = || allocator::check_fully(space.arena(), handle).is_ok();
            let checked = catch_unwind(AssertUnwindSafe(|| if with_look { space.look(check) } else { check() }));
            if let Err(reason) = checked {
                let said = reason.downcast_ref::<String>();
                match said.is_some_and(|said| said.ends_with("was touched before its page was committed")) {
                    true => touched += 1,
                    false => resume_unwind(reason),
                }
            }
            if space.arena().platform().forget() {
                break;
            }
        }
        assert_eq!(touched > 0, !with_look, "{touched} pages were touched that were gone");
    }
}

/// Somebody frees the last blocks of a superblock that is nobody's. Whatever access of his another squeezes the sweep and the punching in before: what he
/// still looks at there is there.
#[test]
fn who_frees_in_a_superblock_of_the_dead_meets_no_page_that_is_gone() {
    use pso_model::interpose::Interposed;
    use std::sync::Mutex;

    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
        heap.watch_pages();
        let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
        let other = Space::join(heap.process(), layout).unwrap();
        let mut tx = other.participant().unwrap();
        let list = texts(&mut tx, 0);
        // Of whoever is dead: all superblocks of these texts.
        let process = Space::join(heap.process(), layout).unwrap();
        let mut dead = process.participant().unwrap();
        push(&mut dead, list, 0..70);
        std::mem::forget(dead);
        heap.kill_process(process.process());
        other.recover_dead();
        let mut freer = space.participant().unwrap();
        freer.run(|tx| list::truncate(tx, list, 0)).unwrap();
        let tx = Mutex::new(tx);
        space.arena().platform().at(step, move || {
            tx.lock().unwrap().give_back_pages();
        });
        freer.collect();
        if space.arena().platform().forget() {
            assert!(step > 500, "{step} accesses");
            drop(freer);
            return;
        }
    }
}

/// What the system gave of a large block before it refused the rest serves others, and goes back.
#[test]
fn what_a_refused_run_had_got_is_anybodys() {
    let (heap, space) = space_of(32 << 20);
    let mut tx = space.participant().unwrap();
    let before = heap.committed_words();
    let large = 10 << 20;
    let limit = before + large / 8 / 2;
    heap.limit_pages(Some(limit));
    let full = tx.run(|tx| tx.allocate(BlockKind::Bytes, large / 8)).unwrap_err();
    assert!(matches!(&full, Stop::Full(full) if matches!(**full, pso_engine::error::Full::System(_))), "{full}");
    let left = heap.committed_words();
    assert!(left <= before + 2 * (1 << 20) / 8, "{left} words are left, {before} before");
    assert_eq!(fsck_at_rest(&space), vec![]);
    // The same without a participant who gives it back: it is there for smaller ones.
    let mut cache = allocator::BlockCache::default();
    // Of somebody who does nothing else.
    let owner = another(&heap, &space).participant().unwrap().id();
    assert!(cache.allocate(space.arena(), owner, BlockKind::Bytes, large / 8).is_err());
    let got = heap.committed_words();
    assert!(got > left);
    let blocks: Vec<Handle> =
        (0..16).map(|_| cache.allocate(space.arena(), owner, BlockKind::Bytes, 16_000).unwrap()).collect();
    assert_eq!(heap.committed_words(), got);
    blocks.iter().for_each(|block| assert!(cache.free(space.arena(), owner, *block)));
    heap.limit_pages(None);
    assert!(tx.run(|tx| tx.allocate(BlockKind::Bytes, large / 8)).is_ok());
}

/// Killed anywhere between two pieces of a large block, or while what there was goes back: nothing is lost, and the next one gets its block.
#[test]
fn who_is_killed_while_a_large_block_is_refused_loses_nothing() {
    const WORDS: u64 = (10 << 20) / 8;
    let mut refused = 0;
    for step in 0.. {
        let (heap, space) = space_of(32 * MIB);
        let mut survivor = space.participant().unwrap();
        heap.limit_pages(Some(heap.committed_words() + WORDS / 2));
        let through = dies_at(
            &heap,
            &space,
            step,
            |_| {},
            |tx| {
                assert!(matches!(tx.run(|tx| tx.allocate(BlockKind::Bytes, WORDS)), Err(Stop::Full(_))));
                refused += 1;
            },
        );
        pso_engine::recovery::recover_dead(&space);
        assert_eq!(fsck_at_rest(&space), vec![], "killed at step {step}");
        heap.limit_pages(None);
        assert!(survivor.run(|tx| tx.allocate(BlockKind::Bytes, WORDS)).is_ok(), "killed at step {step}");
        if through {
            assert!(refused > 0 && step > 1000, "{step} accesses");
            return;
        }
    }
}

/// Whoever stands still while he gives memory back keeps little of it from others, however much he gives.
#[test]
fn who_stands_still_while_memory_goes_back_keeps_little_of_it() {
    use pso_model::interpose::Interposed;

    let mut most = 0;
    for step in (0..).map(|step| step * 101) {
        let (heap, layout) = Heap::space(Geometry::for_bytes(32 * MIB).unwrap());
        let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
        let mut tx = space.participant().unwrap();
        tx.run(|tx| tx.allocate(BlockKind::Bytes, 30 << 17).and_then(|made| tx.discard(made))).unwrap();
        let mut other = Space::join(heap.process(), layout).unwrap().participant().unwrap();
        space.arena().platform().at(step, move || {
            let made = other.run(|tx| tx.allocate(BlockKind::Bytes, 12 << 17).and_then(|made| tx.discard(made)));
            assert!(made.is_ok(), "access {step}: {made:?}");
        });
        tx.collect();
        assert!(tx.give_back_pages());
        if space.arena().platform().forget() {
            let usage = allocator::usage(space.arena());
            assert!(usage.punched > 460, "{usage:?}");
            break;
        }
        most = step;
    }
    assert!(most > 2000, "{most} accesses");
}
