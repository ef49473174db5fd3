//! Readers beside somebody who stands still, and beside others who go on: they get through.
//!
//! Somebody else writes what a reader has read, in each of its attempts, so that it needs new snapshots, and loses them.

use std::sync::{Arc, Mutex};

use pso_engine::arena::Geometry;
use pso_engine::contention::Limits;
use pso_engine::error::Stop;
use pso_engine::platform::{Memory, Ordering::Relaxed, System};
use pso_engine::space::Space;
use pso_engine::transaction::{Participant, Sleeper};
use pso_engine::word::AttemptId;
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;
use pso_model::scenario::Bank;

use crate::support::{MIB, MS, Tx, another, integer, space_of};

const ACCOUNTS: u64 = 4;
/// Of whoever runs on the thread of somebody else.
const PATIENCE_NS: u64 = 300 * MS;

/// A bank, somebody who can be interrupted at every access to memory, and two of another process.
struct Stage {
    heap: Heap,
    space: Arc<Space<Interposed<Heap>>>,
    watched: Participant<Interposed<Heap>>,
    two: Arc<Mutex<[Tx; 2]>>,
    bank: Bank,
}

fn stage() -> Stage {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut watched = space.participant().unwrap();
    let bank = Bank::found(&mut watched, ACCOUNTS).unwrap();
    let two = Arc::new(Mutex::new([others.participant().unwrap(), others.participant().unwrap()]));
    Stage { heap, space, watched, two, bank }
}

/// Reads all accounts; after each one that it reads `meddle` runs. Gives the attempts that it took.
fn sum_beside(reader: &mut Tx, bank: &Bank, mut meddle: impl FnMut(u64)) -> u64 {
    let deadline = reader.arena().platform().now_ns() + PATIENCE_NS;
    let mut attempts = 0;
    let sum = reader.run_until(Some(deadline), |tx| {
        attempts += 1;
        let mut sum = 0;
        for account in 0..ACCOUNTS {
            sum += tx.read(bank.account(account))?.as_int().unwrap();
            meddle(account);
        }
        Ok(sum)
    });
    assert_eq!(sum, Ok(bank.expected()), "after {attempts} attempts");
    attempts
}

/// At every step of a transfer its owner stands still, and a reader sums while a third one writes other cells: the snapshot has to
/// be extended past the cells of the one who stands still, whatever state that is in.
fn who_stands_still(transfer: impl Fn(&mut Participant<Interposed<Heap>>, &Bank)) {
    let Stage { space, mut watched, two, bank, .. } = stage();
    for step in 0.. {
        let two = Arc::clone(&two);
        space.arena().platform().at(step, move || {
            let [reader, writer] = &mut *two.lock().unwrap();
            let attempts = sum_beside(reader, &bank, |account| {
                if account == 1 {
                    bank.transfer(writer, 2, 3, 1).unwrap();
                }
            });
            assert!(attempts <= 2, "{attempts} attempts beside one who stands still at step {step}");
        });
        transfer(&mut watched, &bank);
        if space.arena().platform().forget() {
            assert!(step > 40, "only {step} accesses");
            return;
        }
    }
}

#[test]
fn who_stands_still_in_the_middle_of_a_commit_keeps_no_reader() {
    who_stands_still(|watched, bank| bank.transfer(watched, 0, 1, 5).unwrap());
}

/// It is pushed back where it was PREPARED, and commits all the same, in its one attempt.
#[test]
fn an_irrevocable_one_who_stands_still_keeps_no_reader() {
    who_stands_still(|watched, bank| {
        let mut attempts = 0;
        let done = watched.run_irrevocable(None, |tx| {
            attempts += 1;
            bank.transfer_in(tx, 0, 1, 5)
        });
        assert_eq!((done, attempts), (Ok(()), 1));
    });
}

/// What a reader has read is overwritten in every attempt, and somebody who stands still has the privilege token.
#[test]
fn a_reader_that_cannot_have_the_token_holds_what_it_reads() {
    let (heap, space) = space_of(4 * MIB);
    let (of_reader, of_writer) = (another(&heap, &space), another(&heap, &space));
    let mut silent = space.participant().unwrap();
    let bank = Bank::found(&mut silent, ACCOUNTS).unwrap();
    silent.begin_irrevocable(None).unwrap();
    bank.transfer_in(&mut silent, 0, 1, 7).unwrap();

    let (mut reader, mut writer) = (of_reader.participant().unwrap(), of_writer.participant().unwrap());
    let (mut written, mut refused) = (0, 0);
    let attempts = sum_beside(&mut reader, &bank, |account| {
        if account == 2 {
            let deadline = Some(heap.now_ns() + 3 * MS);
            match writer.run_until(deadline, |tx| bank.transfer_in(tx, 2, 3, 1)) {
                Ok(()) => written += 1,
                Err(Stop::TimedOut) => refused += 1,
                Err(stop) => panic!("{stop}"),
            }
        }
    });
    assert_eq!((attempts, written, refused), (Limits::default().visible_attempts + 1, 16, 1));
    // Who was kept out goes on, and so does who stood still.
    bank.transfer(&mut writer, 2, 3, 1).unwrap();
    silent.commit().unwrap();
    assert_eq!(bank.sum(&mut reader), Ok(bank.expected()));
}

/// The same beside a COMMITTED one that stands still. The token is to be had, and who has it stops everybody else; but nobody
/// stops that one, or takes its cells.
#[test]
fn a_reader_with_the_token_passes_who_stands_still_in_his_write_back() {
    let Stage { heap, space, mut watched, two, bank } = stage();
    two.lock().unwrap()[0].set_limits(Limits { lull_reads: 0, ..Limits::default() });
    let most = Arc::new(Mutex::new(0));
    for step in 0.. {
        let (two, highest, heap) = (Arc::clone(&two), Arc::clone(&most), heap.clone());
        space.arena().platform().at(step, move || {
            let [reader, writer] = &mut *two.lock().unwrap();
            let attempts = sum_beside(reader, &bank, |account| {
                if account == 2 {
                    let _ = writer.run_until(Some(heap.now_ns() + 3 * MS), |tx| bank.transfer_in(tx, 2, 3, 1));
                }
            });
            let mut highest = highest.lock().unwrap();
            *highest = attempts.max(*highest);
        });
        bank.transfer(&mut watched, 0, 1, 5).unwrap();
        if space.arena().platform().forget() {
            // One in a lull, which the third keeps for a moment and no longer, and one that holds what it reads.
            assert_eq!(*most.lock().unwrap(), Limits::default().privileged_attempts + 2);
            return;
        }
    }
}

/// Others put their commits off, and do not sleep: a writer that is put off by somebody who stands still commits all the same.
#[test]
fn a_lull_is_kept_for_a_moment() {
    assert_eq!(sleeps_in_a_lull(2_000), 0);
}

/// The asker would get no further beside a writer who spins.
#[test]
fn a_lull_is_slept_through_where_there_is_one_processor() {
    assert!(sleeps_in_a_lull(0) >= 1);
}

fn sleeps_in_a_lull(spin_ns: u64) -> u64 {
    let (heap, space) = space_of(4 * MIB);
    heap.set_spin(spin_ns);
    let (of_reader, of_writer) = (another(&heap, &space), another(&heap, &space));
    let mut founder = space.participant().unwrap();
    let bank = Bank::found(&mut founder, ACCOUNTS).unwrap();
    let (mut reader, mut writer) = (of_reader.participant().unwrap(), of_writer.participant().unwrap());
    let sleeps = Arc::new(Mutex::new(0));
    writer.set_sleeper(Box::new(Counting(Arc::clone(&sleeps))));
    reader.set_limits(Limits { privileged_attempts: 1, lull_ns: 5 * MS, lull_reads: 0, ..Limits::default() });
    writer.set_limits(Limits { lull_ns: 5 * MS, ..Limits::default() });
    let lull = space.arena().layout().lull();
    let (mut times, mut asked) = (Vec::new(), Vec::new());
    let attempts = sum_beside(&mut reader, &bank, |account| {
        // In the third attempt what it has read is held, and nobody can wait for that here.
        if account == 2 && times.len() < 2 {
            asked.push(heap.load(lull, Relaxed) != 0);
            let began = heap.now_ns();
            bank.transfer(&mut writer, 1, 3, 1).unwrap();
            times.push(heap.now_ns() - began);
            assert_eq!(heap.load(lull, Relaxed), 0, "nobody is put off for longer");
        }
    });
    assert_eq!(attempts, 3, "in vain, in a lull, and holding");
    assert_eq!(asked, [false, true]);
    assert!(times[1] >= 5 * MS, "{times:?}");
    *sleeps.lock().unwrap()
}

struct Counting(Arc<Mutex<u64>>);

/// An asker was killed in its lull, and its name stands there still. The danger: a signal, or the end of the time, in a sleep that keeps it, and what cannot
/// be taken back is not committed.
#[test]
fn who_is_irrevocable_does_not_sleep_for_a_lull() {
    let (heap, space) = space_of(4 * MIB);
    heap.set_spin(0);
    let asker = another(&heap, &space).participant().unwrap();
    let mut founder = space.participant().unwrap();
    let bank = Bank::found(&mut founder, ACCOUNTS).unwrap();
    founder.set_sleeper(Box::new(Interrupted));
    heap.store(space.arena().layout().lull(), AttemptId { participant: asker.id(), seq: 7 }.pack(), Relaxed);
    founder.run_irrevocable(None, |tx| bank.transfer_in(tx, 0, 1, 5)).unwrap();
    assert_eq!(heap.load(space.arena().layout().lull(), Relaxed), 0, "nobody is put off again");
}

struct Interrupted;

impl Sleeper for Interrupted {
    fn sleep(&mut self, _sleep: &mut dyn FnMut()) -> bool {
        false
    }
}

impl Sleeper for Counting {
    fn sleep(&mut self, sleep: &mut dyn FnMut()) -> bool {
        *self.0.lock().unwrap() += 1;
        sleep();
        true
    }
}

/// The same at every step of the reader: whoever comes between sees it in the middle of a visible read.
#[test]
fn a_transfer_at_every_instant_of_a_visible_reader_is_seen_whole_or_not_at_all() {
    let Stage { space, mut watched, two, bank, .. } = stage();
    watched.set_limits(Limits { privileged_attempts: u64::MAX, visible_attempts: 1, ..Limits::default() });
    for step in 0.. {
        {
            let [half_way, writer] = &mut *two.lock().unwrap();
            half_way.abort();
            lose(&mut watched, &bank, writer);
            half_way.begin().unwrap();
            half_way.write(bank.account(0), integer(100 - 7)).unwrap();
        }
        let others = Arc::clone(&two);
        space.arena().platform().at(step, move || {
            let [half_way, writer] = &mut *others.lock().unwrap();
            // What the reader has passed changes after all, and with it what it comes to later.
            half_way.set_deadline(Some(half_way.arena().platform().now_ns() + MS));
            let _ = half_way.write(bank.account(3), integer(100 + 7)).and_then(|()| half_way.commit());
            let deadline = Some(writer.arena().platform().now_ns() + MS);
            let _ = writer.run_until(deadline, |tx| bank.transfer_in(tx, 2, 1, 1));
        });
        let sum = watched.run(|tx| {
            let sum = bank.sum_in(tx)?;
            assert_eq!(sum, bank.expected(), "a visible reader saw half a transfer, step {step}");
            Ok(sum)
        });
        assert_eq!(sum, Ok(bank.expected()));
        watched.run(|tx| (0..ACCOUNTS).try_for_each(|account| tx.write(bank.account(account), integer(100)))).unwrap();
        if space.arena().platform().forget() {
            assert!(step > 40, "only {step} accesses");
            return;
        }
    }
}

/// Loses an attempt, so that the next is the second of its transaction.
fn lose(who: &mut Participant<Interposed<Heap>>, bank: &Bank, other: &mut Tx) {
    who.begin().unwrap();
    who.read(bank.account(2)).unwrap();
    bank.transfer(other, 2, 3, 1).unwrap();
    let lost = who.read(bank.account(3));
    assert_eq!((lost, who.failures()), (Err(Stop::Conflict), 1));
    bank.transfer(other, 3, 2, 1).unwrap();
}

/// Whoever waits for a change of a cell that a COMMITTED one has only held sleeps: that cell keeps its version.
#[test]
fn a_hold_that_is_not_given_back_yet_is_no_change() {
    let Stage { heap, space, mut watched, two, bank } = stage();
    for step in 0.. {
        let (two, heap) = (Arc::clone(&two), heap.clone());
        space.arena().platform().at(step, move || {
            let [waits, _] = &mut *two.lock().unwrap();
            let mut attempts = 0;
            let waited: Result<(), Stop> = waits.run_until(Some(heap.now_ns() + 2 * MS), |tx| {
                attempts += 1;
                // Here, for without a sleep nobody looks at the deadline.
                assert!(attempts <= 2, "woken for nothing, step {step}");
                tx.read(bank.account(2))?;
                Err(Stop::Retry)
            });
            assert_eq!(waited, Err(Stop::TimedOut));
        });
        watched
            .run_irrevocable(None, |tx| tx.read(bank.account(2)).and_then(|_| bank.transfer_in(tx, 0, 1, 5)))
            .unwrap();
        if space.arena().platform().forget() {
            assert!(step > 40, "only {step} accesses");
            return;
        }
    }
}
