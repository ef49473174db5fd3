//! A checker that cannot fail is a defect: each kind of damage is made, and found; and a space that was only worked in, or
//! killed in and recovered, is clean.

use std::sync::Arc;

use pso_engine::allocator::BlockCache;
use pso_engine::arena::{Geometry, HotWord};
use pso_engine::error::Stop;
use pso_engine::fsck::{CLEARING_TRIES, Finding, fsck, fsck_after_deaths, fsck_at_rest};
use pso_engine::object::{dict, key, list, text};
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, Ordering::Relaxed, System};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{
    BLOCK_HEADER_WORDS, BlockKind, CellAddress, Handle, LockWord, LockedBy, ParticipantId, Value, Version,
};
use pso_model::heap::Heap;
use pso_model::scenario::Bank;

use crate::support::{dies_at, unless_killed};

fn space() -> (Heap, Arc<Space<Heap>>) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(8 << 20).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    (heap, space)
}

/// A bank whose first account is damaged by `damage`; what fsck says.
fn after(damage: impl Fn(&Heap, &Arc<Space<Heap>>, CellAddress)) -> Vec<Finding> {
    let (heap, space) = space();
    let mut participant = space.participant().unwrap();
    let bank = Bank::found(&mut participant, 4).unwrap();
    assert_eq!(fsck_at_rest(&space), vec![], "clean before the damage");
    damage(&heap, &space, bank.account(0));
    fsck(&space)
}

#[test]
fn a_space_with_all_kinds_of_objects_is_clean() {
    let (_, space) = space();
    let mut participant = space.participant().unwrap();
    participant
        .run(|tx| {
            let root = dict::create(tx)?;
            let cell = tx.arena().root();
            tx.write(cell, Value::handle(root))?;
            let hash_key = tx.arena().hash_key();
            for number in 0..500i64 {
                let name = format!("a key that is longer than a word {number}");
                let items = list::create(tx)?;
                let value = text::encode(tx, &name)?;
                list::push(tx, items, value)?;
                let key = key::Key::new(hash_key, key::KeyView::Text(&name));
                dict::set(tx, root, &key, Value::handle(items))?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(fsck(&space), vec![]);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn a_lock_of_an_attempt_that_is_over_is_found() {
    let by = LockedBy { participant: ParticipantId(0), entry: 0, seq: 77 };
    let findings = after(|heap, _, cell| heap.store(cell.lock_word(), LockWord::locked(by), Relaxed));
    assert!(matches!(findings[..], [Finding::Lock { .. }]), "{findings:?}");
}

#[test]
fn a_version_ahead_of_the_clock_is_found() {
    let findings = after(|heap, _, cell| heap.store(cell.lock_word(), LockWord::free(Version(1 << 40)), Relaxed));
    assert!(matches!(findings[..], [Finding::Version { .. }]), "{findings:?}");
}

#[test]
fn a_version_that_nobody_gives_is_found() {
    // Of somebody who has no place; of nobody, but with a count; of somebody before the clock starts.
    let versions = [
        Version::first(1, ParticipantId(2000)),
        Version(Version::start_of(1).0 + 1),
        Version::first(0, ParticipantId(1)),
    ];
    for version in versions {
        let findings = after(|heap, _, cell| heap.store(cell.lock_word(), LockWord::free(version), Relaxed));
        assert!(matches!(findings[..], [Finding::Version { .. }]), "{version:?}: {findings:?}");
    }
}

#[test]
fn a_word_that_is_no_value_is_found() {
    let findings = after(|heap, _, cell| heap.store(cell.value_word(), 0xf, Relaxed));
    assert!(matches!(findings[..], [Finding::Value { .. }]), "{findings:?}");
}

#[test]
fn a_handle_to_nothing_is_found() {
    let findings = after(|heap, space, cell| {
        let block = Handle::from_raw(heap.load(space.arena().root().value_word(), Relaxed)).unwrap();
        let stale = Handle::new(block.block(), block.generation() + 1);
        heap.store(cell.value_word(), stale.raw(), Relaxed);
    });
    assert!(matches!(findings[..], [Finding::Dangling { .. }]), "{findings:?}");
}

#[test]
fn a_status_that_nobody_writes_is_found() {
    let findings = after(|heap, space, _| {
        let slot = Slot::of(space.arena(), ParticipantId(0)).unwrap();
        heap.store(slot.status(), 15, Relaxed);
    });
    assert!(matches!(findings[..], [Finding::Status { .. }]), "{findings:?}");
}

#[test]
fn a_length_that_does_not_fit_its_block_is_found() {
    let findings = after(|heap, space, _| {
        // The accounts are one block of cells, whose number is its first payload word.
        let block = Handle::from_raw(heap.load(space.arena().root().value_word(), Relaxed)).unwrap();
        heap.store(block.block().offset(BLOCK_HEADER_WORDS), 1 << 40, Relaxed);
    });
    assert!(matches!(findings[..], [Finding::Block { .. }]), "{findings:?}");
}

#[test]
fn a_lost_log_is_found_from_both_sides() {
    let findings = after(|heap, space, _| {
        let slot = Slot::of(space.arena(), ParticipantId(0)).unwrap();
        heap.store(slot.read_log_piece(0), heap.load(slot.record_piece(0), Relaxed), Relaxed);
    });
    assert!(matches!(findings[..], [Finding::LogPiece { .. }]), "{findings:?}");
    let (heap, space) = space();
    let participant = space.participant().unwrap();
    let slot = Slot::of(space.arena(), participant.id()).unwrap();
    heap.store(slot.read_log_piece(0), 0, Relaxed);
    let findings = fsck_at_rest(&space);
    assert!(matches!(findings[..], [Finding::UnnamedLogPiece { .. }]), "{findings:?}");
}

#[test]
fn a_private_block_of_one_at_rest_is_found() {
    let (_, space) = space();
    let participant = space.participant().unwrap();
    let mut cache = BlockCache::default();
    cache.allocate(space.arena(), participant.id(), BlockKind::Text, 3).unwrap();
    assert_eq!(fsck(&space), vec![]);
    let findings = fsck_at_rest(&space);
    assert!(matches!(findings[..], [Finding::Private { .. }]), "{findings:?}");
}

#[test]
fn poison_is_found() {
    let findings = after(|_, space, _| space.poison(3));
    assert!(matches!(findings[..], [Finding::Poisoned { reason: 3 }]), "{findings:?}");
}

#[test]
fn a_frontier_beyond_the_space_is_found() {
    let findings = after(|heap, space, _| {
        let word = space.arena().layout().hot(HotWord::SuperblockFrontier);
        heap.store(word, u64::MAX, Relaxed);
    });
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Memory(_))), "{findings:?}");
}

#[test]
fn what_the_dead_hold_is_found_until_it_is_recovered() {
    let (heap, space) = space();
    let mut participant = space.participant().unwrap();
    let bank = Bank::found(&mut participant, 4).unwrap();
    let doomed = Space::join(heap.process(), *space.arena().layout()).unwrap();
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    bank.transfer_in(&mut victim, 0, 1, 5).unwrap();
    assert_eq!(fsck(&space), vec![], "the living may hold locks");
    assert!(fsck_at_rest(&space).iter().any(|finding| matches!(finding, Finding::Lock { .. })));
    heap.kill_process(doomed.process());
    let findings = fsck(&space);
    assert!(findings.iter().any(|finding| matches!(finding, Finding::HeldByTheDead { .. })), "{findings:?}");
    assert!(findings.iter().any(|finding| matches!(finding, Finding::DeadProcess { .. })), "{findings:?}");
    space.recover_dead();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// A living process is just clearing up after the dead one: that is waited for, and no finding however long it takes.
#[test]
fn what_somebody_is_clearing_up_is_waited_for_and_no_finding() {
    let (heap, space) = space();
    let doomed = Space::join(heap.process(), *space.arena().layout()).unwrap();
    let victim = doomed.participant().unwrap();
    let slot = Slot::of(space.arena(), victim.id()).unwrap();
    let other = Space::join(heap.process(), *space.arena().layout()).unwrap();
    heap.kill_process(doomed.process());
    let mut pauses = 0;
    heap.store(slot.recoverer(), other.claim().pack(), Relaxed);
    let findings = fsck_after_deaths(&space, || {
        pauses += 1;
        true
    });
    assert_eq!((findings, pauses), (vec![], CLEARING_TRIES - 1));
    assert_eq!(fsck_after_deaths(&space, || false), vec![], "nobody waits longer than he is let");
    let findings = fsck_after_deaths(&space, || {
        heap.store(slot.recoverer(), 0, Relaxed);
        true
    });
    assert_eq!(findings, vec![]);
}

/// The danger: somebody takes long to clear up after the dead, stopped at any step of it, and `fsck` calls that damage.
#[test]
fn beside_whoever_stands_still_in_a_recovery_a_sound_space_is_sound() {
    for killed_at in [60, 130, 200] {
        for step in 0.. {
            let (heap, space) = space();
            let mut survivor = space.participant().unwrap();
            let dict = dict_of(&mut survivor, 5);
            let process = heap.process();
            let slow = Space::join(process.clone(), *space.arena().layout()).unwrap();
            dies_at(&heap, &space, killed_at, |_| (), |tx| (0..5).for_each(|key| remove(tx, dict, key, None).unwrap()));
            process.die_after(step);
            let through = unless_killed(|| slow.recover_dead()).is_some() && process.live_on() > 0;
            assert_eq!(fsck_after_deaths(&space, || true), vec![], "stands still at step {step}, dead at {killed_at}");
            if through {
                assert!(step > 100, "only {step} steps");
                break;
            }
        }
    }
}

/// Every step of work that allocates, grows and drops: killed there, recovered, the space is clean.
#[test]
fn a_space_is_clean_after_a_kill_at_every_step_of_work_on_objects() {
    let work = |participant: &mut Participant<Heap>, round: u64| {
        participant
            .run(|tx| {
                let cell = tx.arena().root();
                let root = match tx.read(cell)?.as_handle() {
                    Some(root) => root,
                    None => {
                        let root = dict::create(tx)?;
                        tx.write(cell, Value::handle(root))?;
                        root
                    }
                };
                let hash_key = tx.arena().hash_key();
                for number in 0..4 {
                    let name = format!("key {round} {number}");
                    let value = text::encode(tx, &name)?;
                    let key = key::Key::new(hash_key, key::KeyView::Text(&name));
                    dict::set(tx, root, &key, value)?;
                }
                let gone = format!("key {} 1", round.wrapping_sub(1));
                let key = key::Key::new(hash_key, key::KeyView::Text(&gone));
                dict::remove(tx, root, &key).map(|_| ())
            })
            .unwrap();
    };
    let (heap, space) = space();
    let mut survivor = space.participant().unwrap();
    work(&mut survivor, 0);
    for step in (1..).step_by(7) {
        let process = heap.process();
        let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
        process.die_after(step);
        let outcome = unless_killed(|| {
            let mut participant = doomed.participant().unwrap();
            work(&mut participant, step);
            std::mem::forget(participant);
        });
        let through = process.live_on() > 0 && outcome.is_some();
        heap.kill_process(doomed.process());
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}");
        if through {
            assert!(step > 300, "only {step} steps");
            return;
        }
    }
}

fn dict_of(participant: &mut Participant<Heap>, keys: i64) -> Handle {
    participant
        .run(|tx| {
            let handle = dict::create(tx)?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(handle))?;
            for number in 0..keys {
                let key = key::Key::new(tx.arena().hash_key(), key::KeyView::Int(number));
                dict::set(tx, handle, &key, Value::int(number).unwrap())?;
            }
            Ok(handle)
        })
        .unwrap()
}

fn remove(participant: &mut Participant<Heap>, dict: Handle, number: i64, by: Option<u64>) -> Result<(), Stop> {
    let key = key::Key::new(participant.arena().hash_key(), key::KeyView::Int(number));
    participant.run_until(by, |tx| dict::remove(tx, dict, &key).map(drop))
}

/// Found by torture with eight writers on two processors. The danger: whoever loses the processor when the cells of its commit
/// are free, and the bucket that it has replaced is not retired yet, leaves that bucket LIVE, while others go on and retire the
/// entries that it names. Nobody can reach it: no damage.
#[test]
fn who_stands_still_in_the_middle_of_a_commit_is_no_damage() {
    const KEYS: i64 = 40;
    let mut passed = 0;
    for step in 0.. {
        let (heap, space) = space();
        let mut survivor = space.participant().unwrap();
        let dict = dict_of(&mut survivor, KEYS);
        let process = heap.process();
        let elsewhere = Space::join(process.clone(), *space.arena().layout()).unwrap();
        let mut still = elsewhere.participant().unwrap();
        remove(&mut still, dict, 0, None).unwrap();
        process.die_after(step);
        // Stands still there: to all others it is alive.
        let through = unless_killed(|| (1..4).for_each(|key| remove(&mut still, dict, key, None).unwrap())).is_some();
        std::mem::forget(still);
        for key in 4..KEYS {
            if remove(&mut survivor, dict, key, Some(heap.now_ns() + 1_000_000)).is_err() {
                break;
            }
            passed += 1;
        }
        assert_eq!(fsck(&space), vec![], "stands still at step {step}");
        if through {
            assert!(step > 200 && passed > 1000, "only {step} steps, {passed} removals beside them");
            return;
        }
    }
}

/// A slot names a block that is no log: whoever takes the slot would write its own over it.
#[test]
fn who_takes_a_slot_writes_its_log_over_nothing_else() {
    let (heap, space) = space();
    let mut tx = space.participant().unwrap();
    let long = "precious ".repeat(2000);
    let list = tx
        .run(|tx| {
            let list = list::create(tx)?;
            let cell = tx.arena().root();
            tx.write(cell, Value::handle(list))?;
            let value = text::encode(tx, &long)?;
            list::push(tx, list, value)?;
            Ok(list)
        })
        .unwrap();
    let named = tx.run(|tx| Ok(list::get(tx, list, 0)?.and_then(|value| value.as_handle()))).unwrap().unwrap();
    let other = space.participant().unwrap();
    let (id, slot) = (other.id(), Slot::of(space.arena(), other.id()).unwrap());
    other.leave();
    for word in [slot.read_log_piece(0), slot.record_piece(0)] {
        let before = heap.load(word, Relaxed);
        assert_ne!(before, 0, "a slot keeps its logs");
        heap.store(word, named.raw(), Relaxed);
        let next = space.participant().expect("another slot is whole");
        assert_ne!(next.id(), id);
        next.leave();
        heap.store(word, before, Relaxed);
    }
    assert_eq!(tx.run(|tx| text::with(tx, named, str::to_owned)).unwrap(), long);
    assert_eq!(fsck(&space), vec![]);
}
