//! The protocol on threads and on processes that die at chosen steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::support::{MIB, MS, another, attempt_of, cells, contents, dies_at, integer, space_of, stop, unless_killed};
use proptest::prelude::*;
use pso_engine::allocator;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::participant::{Entry, EntryKind, Slot};
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::transaction::{Participant, Sleeper};
use pso_engine::word::{BlockKind, BlockPhase, CellAddress, State};
use pso_model::heap::Heap;
use pso_model::scenario::Bank;

fn space() -> (Heap, Arc<Space<Heap>>) {
    space_of(4 * MIB)
}

#[test]
fn an_attempt_reads_its_own_writes_and_an_abort_leaves_no_trace() {
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    one.begin().unwrap();
    one.write(cells[0], integer(7)).unwrap();
    assert_eq!(one.read(cells[0]).unwrap(), integer(7));
    one.write(cells[0], integer(8)).unwrap();
    assert_eq!(one.read(cells[0]).unwrap(), integer(8));
    one.abort();
    assert_eq!(one.run(|tx| tx.read(cells[0])).unwrap(), integer(0));
}

#[test]
fn a_reader_passes_an_uncommitted_lock_and_its_writer_then_makes_a_reading_writer_fail() {
    let (heap, space) = space();
    let other = another(&heap, &space);
    let (mut one, mut two) = (space.participant().unwrap(), other.participant().unwrap());
    let cells = cells(&mut one, 2);
    one.begin().unwrap();
    one.write(cells[0], integer(7)).unwrap();
    two.begin().unwrap();
    assert_eq!(two.read(cells[0]).unwrap(), integer(0));
    one.commit().unwrap();
    // Its snapshot is from before: it may go on reading, but not write on that ground.
    assert_eq!(two.read(cells[1]).unwrap(), integer(0));
    let committed = two.write(cells[1], integer(1)).and_then(|()| two.commit());
    assert_eq!(committed, Err(Stop::Conflict));
    assert_eq!(two.run(|tx| tx.read(cells[1])).unwrap(), integer(0));
}

#[test]
fn a_new_owner_of_a_place_counts_from_0() {
    let (heap, space) = space();
    let mut one = space.participant().unwrap();
    let cell = cells(&mut one, 1)[0];
    (0..100).for_each(|number| one.run(|tx| tx.write(cell, integer(number))).unwrap());
    let commits = Slot::of(space.arena(), one.id()).unwrap().commits();
    one.leave();
    assert!(heap.load(commits, Relaxed) > 100);
    let _next = space.participant().unwrap();
    assert_eq!(heap.load(commits, Relaxed), 0);
}

#[test]
fn two_that_read_what_the_other_writes_do_not_both_commit() {
    // Write skew: at least one of the two cells stays 0.
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let threads: Vec<_> = (0..2)
        .map(|me| {
            let (space, cells) = (Arc::clone(&space), cells.clone());
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                for _ in 0..20_000 {
                    participant
                        .run(|tx| {
                            let other = tx.read(cells[1 - me])?;
                            let mine = tx.read(cells[me])?;
                            assert!(other == integer(0) || mine == integer(0), "skewed");
                            tx.write(cells[me], if other == integer(0) { integer(1) } else { integer(0) })
                        })
                        .unwrap();
                    participant.run(|tx| tx.write(cells[me], integer(0))).unwrap();
                }
                participant.leave();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn sums_are_kept_in_every_attempt_of_every_thread() {
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let bank = Bank::found(&mut one, 8).unwrap();
    let threads: Vec<_> = (0..4u64)
        .map(|me| {
            let space = Arc::clone(&space);
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                for round in 0..10_000u64 {
                    if round % 8 == me {
                        // The assertion stands inside the body: attempts that abort are looked at, too.
                        let sum = participant.run(|tx| {
                            let sum = bank.sum_in(tx)?;
                            assert_eq!(sum, bank.expected());
                            Ok(sum)
                        });
                        assert_eq!(sum, Ok(bank.expected()));
                    } else {
                        bank.transfer(&mut participant, round * 7 + me, round * 3 + 1, 1).unwrap();
                    }
                }
                participant.leave();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(bank.sum(&mut one), Ok(bank.expected()));
}

#[test]
fn a_transaction_of_many_thousand_cells_commits_and_aborts() {
    // More entries than a lock word can number (4,096), more than one piece of the logs.
    let (heap, space) = space_of(64 * MIB);
    let mut one = space.participant().unwrap();
    let all: Vec<CellAddress> = (0..40).flat_map(|_| cells(&mut one, 512)).collect();
    one.begin().unwrap();
    for (number, &cell) in all.iter().enumerate() {
        one.write(cell, integer(number as i64)).unwrap();
    }
    let mut two = another(&heap, &space).participant().unwrap();
    two.run(|tx| {
        for &cell in &all {
            assert_eq!(tx.read(cell)?, integer(0));
        }
        Ok(())
    })
    .unwrap();
    for (number, &cell) in all.iter().enumerate().rev() {
        assert_eq!(one.read(cell).unwrap(), integer(number as i64));
    }
    one.commit().unwrap();
    one.begin().unwrap();
    for &cell in &all {
        one.write(cell, integer(-1)).unwrap();
    }
    one.abort();
    two.run(|tx| {
        for (number, &cell) in all.iter().enumerate() {
            assert_eq!(tx.read(cell)?, integer(number as i64));
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn retry_sleeps_until_a_cell_that_was_read_changes() {
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let waiter = {
        let (space, cells) = (Arc::clone(&space), cells.clone());
        std::thread::spawn(move || {
            let mut participant = space.participant().unwrap();
            for round in 1..=500 {
                let seen = participant.run(|tx| {
                    let value = tx.read(cells[0])?.as_int().unwrap();
                    if value < round { Err(Stop::Retry) } else { Ok(value) }
                });
                assert!(seen.unwrap() >= round);
            }
        })
    };
    for round in 1..=500 {
        one.run(|tx| tx.write(cells[0], integer(round))).unwrap();
        if round % 5 == 0 {
            std::thread::yield_now();
        }
    }
    waiter.join().unwrap();
}

/// Wake-ups a commit are promised to be few, and measured: a count that missed them would keep any promise.
#[test]
fn a_participant_counts_those_whom_it_wakes() {
    const ROUNDS: i64 = 20;
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let commit = |one: &mut Participant<Heap>, value| one.run(|tx| tx.write(cells[0], integer(value))).unwrap();
    (-ROUNDS..0).for_each(|value| commit(&mut one, value));
    assert_eq!(one.woken(), 0, "nobody sleeps");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut two = space.participant().unwrap();
            let last = |value: i64| if value < ROUNDS { Err(Stop::Retry) } else { Ok(()) };
            two.run(|tx| last(tx.read(cells[0])?.as_int().unwrap())).unwrap();
        });
        for value in 1..=ROUNDS {
            std::thread::sleep(std::time::Duration::from_millis(5));
            commit(&mut one, value);
        }
    });
    let woken = one.woken();
    assert!((1..=ROUNDS as u64).contains(&woken), "{woken} wake-ups of one sleeper by {ROUNDS} commits");
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    let (heap, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let deadline = heap.now_ns() + 5_000_000;
    let ended: Result<(), Stop> = one.run_until(Some(deadline), |tx| tx.read(cells[0]).and(Err(Stop::Retry)));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!(!one.in_attempt());
    one.run(|tx| tx.write(cells[0], integer(1))).unwrap();
}

#[test]
fn a_waiter_goes_on_when_the_owner_dies_undecided() {
    let (heap, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let doomed = another(&heap, &space);
    let mut two = doomed.participant().unwrap();
    two.begin().unwrap();
    two.write(cells[0], integer(9)).unwrap();
    heap.kill_process(doomed.process());
    one.run(|tx| {
        assert_eq!(tx.read(cells[0])?, integer(0));
        tx.write(cells[0], integer(1))
    })
    .unwrap();
    assert_eq!(one.run(|tx| tx.read(cells[0])), Ok(integer(1)));
}

/// Kills a process at its n-th access to memory while it does `body`, for every n until it gets through, and has a
/// survivor check the sum, transfer and clear up after each death.
fn killed_at_every_step(body: impl Fn(&Bank, &mut Participant<Heap>)) -> u64 {
    let (heap, space) = space();
    let mut survivor = space.participant().unwrap();
    let bank = Bank::found(&mut survivor, 4).unwrap();
    for step in 1.. {
        let survived = dies_at(&heap, &space, step, |_| (), |victim| body(&bank, victim));
        assert_eq!(bank.sum(&mut survivor), Ok(bank.expected()), "sum after a kill at step {step}");
        bank.transfer(&mut survivor, step, step + 1, 1).unwrap();
        space.recover_dead();
        assert_eq!(bank.sum(&mut survivor), Ok(bank.expected()), "sum after recovery from a kill at step {step}");
        if survived {
            return step;
        }
    }
    unreachable!()
}

#[test]
fn a_transfer_killed_at_every_step_is_wholly_there_or_not_at_all() {
    let steps = killed_at_every_step(|bank, participant| bank.transfer(participant, 0, 1, 5).unwrap());
    assert!(steps > 30, "only {steps} steps: the kill does not reach the protocol");
}

#[test]
fn an_abort_killed_at_every_step_leaves_no_trace() {
    killed_at_every_step(|bank, participant| {
        participant.begin().unwrap();
        bank.transfer_in(participant, 2, 3, 7).unwrap();
        participant.allocate(BlockKind::Cells, 8).unwrap();
        participant.abort();
    });
}

#[test]
fn everybody_gets_through_when_many_want_the_same_cell() {
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (space, cells, stop) = (Arc::clone(&space), cells.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                let mut done = 0u64;
                while !stop.load(Relaxed) {
                    participant
                        .run(|tx| {
                            let value = tx.read(cells[0])?.as_int().unwrap();
                            tx.write(cells[0], integer(value + 1))
                        })
                        .unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    stop.store(true, Relaxed);
    let counts: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let total = one.run(|tx| tx.read(cells[0])).unwrap().as_int().unwrap();
    assert_eq!(counts.iter().sum::<u64>(), total as u64, "lost updates");
    assert!(counts.iter().all(|&count| count > 0), "somebody starved: {counts:?}");
}

#[test]
fn a_recovery_killed_at_every_step_is_finished_by_the_next() {
    // The first dies in its transfer (at steps spread over it: after COMMITTED above all), the second while it recovers the
    // first, at every step; the third finds all at rest after its own recovery.
    let (heap, space) = space();
    let mut survivor = space.participant().unwrap();
    let bank = Bank::found(&mut survivor, 4).unwrap();
    let mut transfers_done = 0;
    for first in (1..).step_by(3) {
        let mut through = false;
        for second in (1..).step_by(2) {
            let before = survivor.run(|tx| tx.read(bank.account(1))).unwrap();
            // Joining recovers the dead, too: the second joins while the first still lives.
            let process = heap.process();
            let recoverer = Space::join(process.clone(), *space.arena().layout()).unwrap();
            through = dies_at(&heap, &space, first, |_| (), |victim| bank.transfer(victim, 0, 1, 1).unwrap());
            process.die_after(second);
            let outcome = unless_killed(|| recoverer.recover_dead());
            let recovered = process.live_on() > 0 && outcome.is_some();
            heap.kill_process(recoverer.process());
            space.recover_dead();
            assert_eq!(bank.sum(&mut survivor), Ok(bank.expected()), "kills at {first} and {second}");
            transfers_done += (survivor.run(|tx| tx.read(bank.account(1))).unwrap() != before) as u64;
            if recovered {
                break;
            }
        }
        if through {
            break;
        }
    }
    assert!(transfers_done > 100, "only {transfers_done} kills fell after the commit");
}

#[test]
fn a_slot_whose_owner_was_killed_in_its_sleep_sleeps_again() {
    // `pso torture --kills 300 --seed 7`, kill 97: the killed sleeper's bell said SLEEPING, so no sleep of the slot's next owner
    // ever began, and it spun.
    let (heap, space) = space();
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let doomed = another(&heap, &space);
    let asleep = {
        let (doomed, cells) = (Arc::clone(&doomed), cells.clone());
        std::thread::spawn(move || {
            let mut participant = doomed.participant().unwrap();
            let _: Result<(), Stop> = participant.run(|tx| tx.read(cells[0]).and(Err(Stop::Retry)));
        })
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    heap.kill_process(doomed.process());
    assert_eq!(space.recover_dead(), 1);
    let mut two = space.participant().unwrap();
    let began = heap.now_ns();
    let ended: Result<(), Stop> =
        two.run_until(Some(heap.now_ns() + 30_000_000), |tx| tx.read(cells[0]).and(Err(Stop::Retry)));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!(heap.now_ns() - began >= 30_000_000);
    let sleeps = |participant: &Participant<Heap>| {
        let slot = pso_engine::participant::Slot::of(participant.arena(), participant.id()).unwrap();
        pso_engine::platform::Memory::load(participant.arena().platform(), slot.sleeps(), Relaxed)
    };
    assert!(sleeps(&two) < 50, "{} sleeps in 30 ms: it spins", sleeps(&two));
    drop(asleep);
}

#[test]
fn who_reads_what_a_dead_owner_committed_can_commit() {
    // `pso torture --kills 2000 --seed 761843`, kill 1413: the owner died between COMMITTED and its write-back; readers read
    // through its record, and then their own validation failed on the lock, for ever.
    let (heap, space) = space();
    let mut survivor = space.participant().unwrap();
    let bank = Bank::found(&mut survivor, 4).unwrap();
    let mut read_through = 0;
    for step in 1.. {
        let survived = dies_at(&heap, &space, step, |_| (), |victim| bank.transfer(victim, 0, 1, 5).unwrap());
        let before = survivor.failures();
        let locked = |cell: CellAddress| {
            pso_engine::platform::Memory::load(&heap, cell.lock_word(), pso_engine::platform::Ordering::Relaxed) >> 63
                == 1
        };
        let was_locked = locked(bank.account(1));
        let deadline = Some(heap.now_ns() + 2_000_000_000);
        survivor
            .run_until(deadline, |tx| {
                let seen = tx.read(bank.account(1))?;
                tx.write(bank.account(3), seen)?;
                tx.write(bank.account(3), integer(100))
            })
            .unwrap();
        read_through += u64::from(was_locked && locked(bank.account(1)));
        assert_eq!(before, survivor.failures());
        space.recover_dead();
        if survived {
            break;
        }
    }
    assert!(read_through > 0, "no kill fell between the commit and the write-back");
}

#[test]
fn between_attempts_nothing_is_allocated() {
    let (_, space) = space();
    let mut one = space.participant().unwrap();
    one.begin().unwrap();
    one.abort();
    assert_eq!(one.allocate(BlockKind::Cells, 8), Err(Stop::Conflict));
    one.run(|_| Ok(())).unwrap();
    assert_eq!(fsck_at_rest(&space), vec![]);
    let mut private = 0;
    allocator::for_each_block(space.arena(), |_, state| private += u32::from(state.phase == BlockPhase::Private));
    assert_eq!(private, 0);
}

/// The danger: who is interrupted (Ctrl-C) in a wait, and stopped by somebody before it has its status back, is only told of the latter.
#[test]
fn an_interruption_is_told_whoever_has_stopped_the_waiter_meanwhile() {
    struct Interrupted(Heap, Slot);
    impl Sleeper for Interrupted {
        fn sleep(&mut self, _: &mut dyn FnMut()) -> bool {
            let Self(heap, slot) = self;
            assert_eq!(stop(heap, *slot), State::Waiting);
            false
        }
    }
    let (heap, space) = space();
    let mut owner = space.participant().unwrap();
    let cell = cells(&mut owner, 1)[0];
    owner.begin().unwrap();
    owner.write(cell, integer(1)).unwrap();
    let mut waiter = space.participant().unwrap();
    let slot = Slot::of(space.arena(), waiter.id()).unwrap();
    waiter.set_sleeper(Box::new(Interrupted(heap, slot)));
    assert_eq!(waiter.run(|tx| tx.write(cell, integer(2))), Err(Stop::Interrupted));
    owner.commit().unwrap();
    assert_eq!(contents(&mut owner, &[cell]), [1]);
}

/// The danger: who is killed in the one place at an owner keeps it, and everybody else is kept waiting behind nobody.
#[test]
fn who_is_killed_in_his_place_does_not_keep_it() {
    let (heap, space) = space();
    let mut owner = space.participant().unwrap();
    let cell = cells(&mut owner, 1)[0];
    owner.begin().unwrap();
    owner.write(cell, integer(1)).unwrap();
    let doomed = another(&heap, &space);
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    // What `take_place` does.
    let place = attempt_of(&victim).pack();
    let queue = Slot::of(space.arena(), owner.id()).unwrap().queue_to();
    heap.store(queue, place, Relaxed);
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    let mut visitor = space.participant().unwrap();
    assert_eq!(visitor.run_until(Some(heap.now_ns() + 20 * MS), |tx| tx.write(cell, integer(2))), Err(Stop::TimedOut));
    assert_ne!(heap.load(queue, Relaxed), place);
    owner.commit().unwrap();
    assert_eq!(contents(&mut visitor, &[cell]), [1]);
}

proptest! {
    /// The quick way and the whole one agree about whatever stands in a record; the last words of the space are no cells.
    #[test]
    fn a_write_is_known_by_its_word_alone(any: u64, kind in 0u64..16, near in 0u64..6, is_near: bool) {
        let (_, space) = space();
        let arena = space.arena();
        let end = arena.layout().geometry().space_words;
        let word = if is_near { kind << 60 | (end + 2 - near) } else { any };
        // Any word that nobody else looks at.
        let unit = arena.root().value_word();
        arena.platform().store(unit, word, Relaxed);
        let entry = Entry::at(unit);
        let written = entry.target(arena).filter(|(kind, _)| *kind == EntryKind::Write).map(|(_, cell)| cell);
        prop_assert_eq!(entry.written(arena), written);
    }
}
