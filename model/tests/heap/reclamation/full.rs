//! Who finds the space full: what he leaves, what he may still do, and who may join.

use super::*;
use crate::support::{cells, contents, integer};
use pso_engine::error::Full;
use pso_engine::transaction::Participant as Engine;

/// Blocks of every size, until not even the smallest fits: their cells, each of which names one.
fn fill(tx: &mut Tx, cells: &[CellAddress]) {
    let mut free = cells.iter();
    for words in (0..14).rev().map(|bits| 1 << bits) {
        while let Some(cell) = free.as_slice().first() {
            let made = tx.run(|tx| {
                let handle = tx.allocate(BlockKind::Bytes, words)?;
                tx.arena().platform().store_plain(handle.block().offset(BLOCK_HEADER_WORDS), 0);
                tx.write(*cell, Value::handle(handle))
            });
            match made {
                Ok(()) => _ = free.next(),
                Err(Stop::Full(_)) => break,
                Err(stop) => panic!("{stop}"),
            }
        }
    }
    assert!(!free.as_slice().is_empty(), "the space is larger than the test");
}

/// The danger: in a small space a few who read much now and then have most of it for good.
#[test]
fn those_who_read_much_keep_a_share_of_the_space() {
    let (heap, space) = space_of(4 * MIB);
    let mut first = space.participant().unwrap();
    let cells = cells(&mut first, 9_000);
    let before = log_words(&space);
    let mut readers: Vec<Tx> = (0..8).map(|_| another(&heap, &space).participant().unwrap()).collect();
    for reader in &mut readers {
        assert_eq!(contents(reader, &cells).len(), 9_000);
    }
    let each = (log_words(&space) - before) / readers.len() as u64;
    let share = space.arena().layout().geometry().space_words / 2 / 64;
    assert!(each <= share + share / 4, "{each} words of logs each, of {share}");
    drop(readers);
}

/// The same where the transaction is run again, and commits then.
#[test]
fn who_is_refused_and_commits_after_all_keeps_the_first_pieces() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let cells = cells(&mut tx, 300);
    let before = log_words(&space);
    tx.begin().unwrap();
    cells.iter().for_each(|cell| assert!(tx.read(*cell).is_ok()));
    assert!(matches!(tx.allocate(BlockKind::Text, 1 << 19), Err(Stop::Full(_))));
    tx.begin().unwrap();
    assert!(tx.read(cells[0]).is_ok());
    tx.commit().unwrap();
    assert!(log_words(&space) > before);
    tx.abort_committed();
    assert_eq!(log_words(&space), before);
    tx.leave();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// What it had grown by others need more.
#[test]
fn who_is_refused_keeps_the_first_pieces() {
    let (_, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let cells = cells(&mut tx, 300);
    let before = log_words(&space);
    assert_eq!(contents(&mut tx, &cells).len(), 300);
    assert!(log_words(&space) > before, "a log of 512 stays where there is room");
    let refused = tx.run(|tx| tx.allocate(BlockKind::Text, 1 << 19).map(drop));
    assert!(matches!(refused, Err(Stop::Full(_))), "{refused:?}");
    assert_eq!(log_words(&space), before);
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "it waits for nobody");
    assert_eq!(contents(&mut tx, &cells).len(), 300);
    tx.leave();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: the dead one is recovered by the way, in vain as it seems, and nobody tries again.
#[test]
fn what_the_dead_had_is_room_though_somebody_holds_what_was_taken_out() {
    const MOST: u64 = 40 * 8192;
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let list = texts(&mut tx, 1);
    let mut reader = another(&heap, &space).participant().unwrap();
    reader.begin().unwrap();
    assert_eq!(item(&mut reader, list, 0), Ok(long(0)));
    tx.run(|tx| replace(tx, list, 0, 1)).unwrap();
    let doomed = another(&heap, &space);
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    victim.allocate(BlockKind::Bytes, MOST).unwrap();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    tx.begin().unwrap();
    assert!(tx.allocate(BlockKind::Bytes, MOST).is_ok());
    tx.abort();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 1, "the reader holds it");
    reader.abort();
}

/// Runs what needs a larger log in a full space in which something that was taken out waits to be freed.
fn grows_into_what_was_taken_out(grow: impl Fn(&mut Tx, &[CellAddress]) -> Result<(), Stop>) {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let all = cells(&mut tx, 1000);
    let large = |tx: &mut Tx, cell: CellAddress| {
        let handle = tx.allocate(BlockKind::Bytes, 3000)?;
        tx.write(cell, Value::handle(handle))?;
        Ok(handle)
    };
    let handle = tx.run(|tx| large(tx, all[0])).unwrap();
    fill(&mut tx, &all[1..]);
    // One word less than makes a collection due.
    tx.run(|tx| tx.write(all[0], Value::NONE).and_then(|()| tx.discard(handle))).unwrap();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 1, "it waits");
    assert_eq!(tx.run(|tx| grow(tx, &all)), Ok(()));
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn a_read_log_grows_into_what_was_taken_out() {
    grows_into_what_was_taken_out(|tx, cells| cells[..250].iter().try_for_each(|cell| tx.read(*cell).map(drop)));
}

#[test]
fn a_record_grows_into_what_was_taken_out() {
    // What they name goes, as far as this test cares.
    grows_into_what_was_taken_out(|tx, cells| {
        cells[1..200].iter().try_for_each(|cell| {
            let value = tx.read(*cell)?;
            tx.write(*cell, Value::NONE)?;
            value.as_handle().map_or(Ok(()), |handle| tx.discard(handle))
        })
    });
}

/// The danger: what fits is refused, each time anew, for the record of one that was refused begins where the last one had ended.
#[test]
fn who_was_refused_begins_his_record_where_most_fits() {
    let (_, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let all = cells(&mut tx, 1000);
    let (mine, others) = all.split_at(100);
    fill(&mut tx, others);
    let write = |tx: &mut Tx, cells: &[CellAddress]| cells.iter().try_for_each(|cell| tx.write(*cell, integer(1)));
    // The ring has room for 127 entries and a header.
    tx.run(|tx| write(tx, &mine[..20])).unwrap();
    tx.run(|tx| write(tx, &mine[..20])).unwrap();
    let refused = (0..2).map(|_| tx.run(|tx| write(tx, mine))).collect::<Vec<_>>();
    assert!(matches!(refused[..], [Err(Stop::Full(_)), Ok(())]), "{refused:?}");
}

/// The danger: a space full of garbage, and nobody in it who collects; who comes to do it has no room for his logs.
#[test]
fn who_joins_a_full_space_takes_the_place_that_is_ready() {
    for is_ready in [false, true] {
        let (heap, space) = space_of(8 * MIB);
        let mut tx = space.participant().unwrap();
        assert!(!is_ready || space.keep_place_ready());
        let all = cells(&mut tx, 1000);
        fill(&mut tx, &all);
        let joined = another(&heap, &space).participant();
        match joined {
            Ok(mut joined) if is_ready => {
                assert_eq!(joined.run(|tx| tx.read(all[999])), Ok(integer(0)));
                joined.leave();
                assert!(space.keep_place_ready(), "he leaves his logs");
            }
            Err(JoinError::Full(Full::Space { .. })) if !is_ready => assert!(!space.keep_place_ready()),
            other => panic!("{:?} with {is_ready}", other.map(Engine::leave)),
        }
        assert_eq!(fsck_at_rest(&space), vec![]);
    }
}

/// One of them is killed in it: the place is for the next one, and nothing is lost.
#[test]
fn who_is_killed_while_he_makes_a_place_ready_costs_nothing() {
    for step in 0.. {
        let (heap, space) = space_of(8 * MIB);
        let tx = space.participant().unwrap();
        let process = heap.process();
        let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
        process.die_after(step);
        let through = crate::support::unless_killed(|| doomed.keep_place_ready()).is_some() && process.live_on() > 0;
        heap.kill_process(doomed.process());
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        assert!(space.keep_place_ready(), "step {step}");
        let logs = log_words(&space);
        space.keep_place_ready();
        assert_eq!(log_words(&space), logs, "step {step}: one is enough");
        tx.leave();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        if through {
            assert!(step > 30, "{step}");
            return;
        }
    }
}
