//! Irrevocable transactions: one attempt, whatever others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pso_engine::arena::HEADER_WORDS;
use pso_engine::contention::Standing;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::word::{State, Status, WordAddress};

use crate::support::{MIB, MS, Tx, attempt_of, cells, contents, integer, space_of, version};

#[test]
fn an_irrevocable_transaction_runs_once_beside_many_others() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = Arc::new(cells(&mut one, 4));
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..3)
        .map(|me| {
            let (space, cells, stop) = (Arc::clone(&space), Arc::clone(&cells), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                let mut done = 0;
                while !stop.load(Relaxed) {
                    let add = |tx: &mut Tx| {
                        for cell in 0..4 {
                            let cell = cells[(cell + me) % 4];
                            let seen = tx.read(cell)?.as_int().unwrap();
                            tx.write(cell, integer(seen + 1))?;
                        }
                        Ok(())
                    };
                    participant.run(add).unwrap();
                    done += 1;
                }
                participant.leave();
                done
            })
        })
        .collect();
    for round in 0..500 {
        if round % 50 == 0 {
            // Time for the others to come between.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let mut runs = 0;
        let seen = one.run_irrevocable(None, |tx| {
            runs += 1;
            let seen: Result<Vec<i64>, Stop> = cells.iter().map(|&cell| Ok(tx.read(cell)?.as_int().unwrap())).collect();
            let seen = seen?;
            assert!(seen.iter().all(|value| *value == seen[0]), "half of a transaction was seen: {seen:?}");
            cells.iter().try_for_each(|&cell| tx.write(cell, integer(seen[0] + 1)))
        });
        assert_eq!((seen, runs), (Ok(()), 1));
        assert!(!one.is_irrevocable());
    }
    stop.store(true, Relaxed);
    let done: i64 = others.into_iter().map(|other| other.join().unwrap()).sum();
    assert_eq!(contents(&mut one, &cells), [500 + done; 4]);
    assert!(done > 0, "the others never had a turn");
}

#[test]
fn what_an_irrevocable_transaction_has_only_read_keeps_its_version() {
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let before = version(&heap, cells[0]);
    one.run_irrevocable(None, |tx| {
        let seen = tx.read(cells[0])?;
        assert_eq!(tx.read(cells[0])?, seen, "through its own lock");
        tx.write(cells[1], integer(5))?;
        assert_eq!(tx.read(cells[1])?, integer(5));
        // A part that only reads takes locks all the same.
        assert_eq!(tx.run_read_only(None, |tx| tx.read(cells[1])), Ok(integer(5)));
        Ok(())
    })
    .unwrap();
    assert_eq!(version(&heap, cells[0]), before);
    assert_ne!(version(&heap, cells[1]), before);
}

#[test]
fn nobody_stops_an_irrevocable_transaction_that_shows_no_sign_of_life() {
    // The other waits longer than the 100 ms after which any other owner counts as hung, and is older by far.
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let cell = cells[0];
    one.begin_irrevocable(None).unwrap();
    one.write(cell, integer(1)).unwrap();
    let other = {
        let (heap, space) = (heap.clone(), Arc::clone(&space));
        std::thread::spawn(move || {
            let mut participant = space.participant().unwrap();
            let early = participant.run_until(Some(heap.now_ns() + 250 * MS), |tx| tx.write(cell, integer(2)));
            let second = participant.run_irrevocable(Some(heap.now_ns() + 20 * MS), |tx| tx.write(cell, integer(3)));
            let late = participant.run(|tx| {
                let seen = tx.read(cell)?.as_int().unwrap();
                tx.write(cell, integer(seen + 10))
            });
            (early, second, late)
        })
    };
    std::thread::sleep(std::time::Duration::from_millis(400));
    one.write(cells[1], integer(1)).unwrap();
    one.commit().unwrap();
    let (early, second, late) = other.join().unwrap();
    assert_eq!((early, second, late), (Err(Stop::TimedOut), Err(Stop::TimedOut), Ok(())));
    assert_eq!(contents(&mut one, &cells), [11, 1]);
}

#[test]
fn an_irrevocable_transaction_gives_up_by_itself_only() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let waits: Result<(), Stop> = one.run_irrevocable(None, |tx| {
        tx.write(cells[0], integer(1))?;
        Err(Stop::Retry)
    });
    assert_eq!(waits, Err(Stop::Irrevocable));
    let fails: Result<(), Stop> = one.run_irrevocable(None, |tx| {
        tx.write(cells[0], integer(1))?;
        Err(Stop::Interrupted)
    });
    assert_eq!(fails, Err(Stop::Interrupted));
    // Alternatives do not wait.
    let chosen = one.run_irrevocable(None, |tx| {
        tx.or_else(
            |tx| tx.write(cells[0], integer(1)).and(Err(Stop::Retry)),
            |tx| tx.read(cells[0]).map(|seen| seen.as_int().unwrap()),
        )
    });
    assert_eq!(chosen, Ok(0));
    assert_eq!(contents(&mut one, &cells), [0]);
}

#[test]
fn the_privilege_of_the_dead_is_nobodys() {
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let doomed = Space::join(heap.process(), *space.arena().layout()).unwrap();
    let mut victim = doomed.participant().unwrap();
    victim.begin_irrevocable(None).unwrap();
    victim.write(cells[0], integer(9)).unwrap();
    victim.read(cells[1]).unwrap();
    heap.kill_process(doomed.process());
    let deadline = Some(heap.now_ns() + 2_000 * MS);
    one.run_until(deadline, |tx| tx.write(cells[1], integer(1))).unwrap();
    one.run_irrevocable(deadline, |tx| {
        let seen = tx.read(cells[0])?.as_int().unwrap();
        tx.write(cells[0], integer(seen + 1))
    })
    .unwrap();
    assert_eq!(contents(&mut one, &cells), [1, 1]);
    // The slot's next owner is an ordinary one.
    space.recover_dead();
    one.run_irrevocable(deadline, |tx| tx.read(cells[0])).unwrap();
    let mut next = space.participant().unwrap();
    next.begin().unwrap();
    next.write(cells[0], integer(5)).unwrap();
    one.run_irrevocable(deadline, |tx| tx.write(cells[0], integer(2))).unwrap();
    assert_eq!(next.commit(), Err(Stop::Conflict));
}

/// The danger: he has the token by his words, too, and who is irrevocable leaves him, which is to lose. In whatever state he was, and whether or not he could run again.
#[test]
fn who_runs_once_meets_the_dead_who_had_the_token() {
    for (standing, state) in [
        (Standing::Irrevocable, State::Active),
        (Standing::Privileged, State::Active),
        (Standing::Irrevocable, State::Prepared),
        (Standing::Privileged, State::Waiting),
    ] {
        let (heap, space) = space_of(4 * MIB);
        let mut one = space.participant().unwrap();
        let cells = cells(&mut one, 2);
        let doomed = Space::join(heap.process(), *space.arena().layout()).unwrap();
        let mut victim = doomed.participant().unwrap();
        victim.begin_irrevocable(None).unwrap();
        victim.write(cells[0], integer(9)).unwrap();
        victim.read(cells[1]).unwrap();
        let slot = Slot::of(space.arena(), victim.id()).unwrap();
        heap.store(slot.starving(), standing as u64, Relaxed);
        heap.store(slot.status(), Status { seq: attempt_of(&victim).seq, state }.pack(), Relaxed);
        heap.kill_process(doomed.process());
        let deadline = Some(heap.now_ns() + 2_000 * MS);
        let mut runs = 0;
        let added = one.run_irrevocable(deadline, |tx| {
            runs += 1;
            let seen = tx.read(cells[0])?.as_int().unwrap();
            tx.write(cells[1], integer(seen + 1))
        });
        assert_eq!((added, runs), (Ok(()), 1), "{standing:?}, {state:?}");
        assert_eq!(contents(&mut one, &cells), [0, 1]);
        space.recover_dead();
        assert_eq!(fsck(&space), vec![]);
    }
}

/// The danger: such an attempt has opened no record, and writes back what stands where its own would be. The ring is used up more than once.
#[test]
fn irrevocable_transactions_in_which_nothing_happens_leave_no_trace() {
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let before: Vec<u64> = (0..HEADER_WORDS).map(|word| heap.load(WordAddress::new(word), Relaxed)).collect();
    for round in 0..5_000 {
        one.run_irrevocable(None, |_| Ok(())).unwrap();
        // A record that ends anywhere.
        if round % 700 == 0 {
            one.run(|tx| (0..=round / 700).try_for_each(|_| tx.write(cells[0], integer(round)))).unwrap();
        }
    }
    let after: Vec<u64> = (0..HEADER_WORDS).map(|word| heap.load(WordAddress::new(word), Relaxed)).collect();
    assert_eq!(after, before, "the header");
    assert_eq!(contents(&mut one, &cells), [4_900, 0]);
    assert_eq!(fsck(&space), vec![]);
}
