//! A million cells in one transaction, and more: 244 entries for each number that a lock word can hold, logs of pieces that are as large as they become.

use crate::support::{MIB, Tx, another, cells, integer, space_of, unless_killed};
use pso_engine::error::Stop;
use pso_engine::fsck::{fsck, fsck_at_rest};
use pso_engine::space::Space;
use pso_engine::word::CellAddress;

const CELLS: u64 = 1_000_000;
/// More accesses than a test makes.
const LONG: u64 = 1 << 60;

/// Adds one to every cell, in an attempt that the caller has begun.
fn add_one(tx: &mut Tx, cells: &[CellAddress]) -> Result<(), Stop> {
    for &cell in cells {
        let value = tx.read(cell)?.as_int().unwrap();
        tx.write(cell, integer(value + 1))?;
    }
    Ok(())
}

/// The same, all reads first: those are validated at the commit, for what is read and then locked at once is not.
fn add_one_to_what_was_read(tx: &mut Tx, cells: &[CellAddress]) -> Result<(), Stop> {
    let values = cells.iter().map(|cell| tx.read(*cell)).collect::<Result<Vec<_>, _>>()?;
    cells.iter().zip(values).try_for_each(|(cell, value)| tx.write(*cell, integer(value.as_int().unwrap() + 1)))
}

/// What stands in all cells; a transaction that is there in part only is a failure.
fn common(tx: &mut Tx, cells: &[CellAddress]) -> i64 {
    tx.run(|tx| {
        let first = tx.read(cells[0])?.as_int().unwrap();
        for (number, &cell) in cells.iter().enumerate() {
            assert_eq!(tx.read(cell)?.as_int(), Some(first), "cell {number} beside cell 0");
        }
        Ok(first)
    })
    .unwrap()
}

#[test]
fn a_million_cells_change_together_or_not_at_all() {
    let (heap, space) = space_of(512 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, CELLS);
    let mut two = another(&heap, &space).participant().unwrap();
    one.begin().unwrap();
    add_one(&mut one, &cells).unwrap();
    assert_eq!(one.read(cells[CELLS as usize - 1]).unwrap(), integer(1), "its own writes are what it reads");
    assert_eq!(common(&mut two, &cells), 0, "nobody else sees them before the commit");
    one.commit().unwrap();
    assert_eq!(common(&mut two, &cells), 1);
    one.begin().unwrap();
    add_one(&mut one, &cells).unwrap();
    one.abort();
    assert_eq!(common(&mut two, &cells), 1);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Killed in its validation, between values, between values and locks, between locks: wholly there or not at all, for whoever
/// meets what is left, and after recovery.
#[test]
fn a_million_cells_survive_a_kill_in_the_middle_of_their_commit() {
    let (heap, space) = space_of(512 * MIB);
    let mut survivor = space.participant().unwrap();
    let cells = cells(&mut survivor, CELLS);
    let length = {
        let process = heap.process();
        let mut other = Space::join(process.clone(), *space.arena().layout()).unwrap().participant().unwrap();
        other.begin().unwrap();
        add_one_to_what_was_read(&mut other, &cells).unwrap();
        process.die_after(LONG);
        other.commit().unwrap();
        LONG - process.live_on()
    };
    assert!(length > 3 * CELLS, "a commit of {length} accesses");
    let mut expected = 1;
    // The last accesses free a million locks, one each; those before write as many values.
    let moments = [
        (0, false),
        (length / 3, false),
        (length - 3 * CELLS, true),
        (length - CELLS / 2, true),
        (length - CELLS / 10, true),
    ];
    for (part, through) in moments {
        let process = heap.process();
        let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
        let mut victim = doomed.participant().unwrap();
        victim.begin().unwrap();
        add_one_to_what_was_read(&mut victim, &cells).unwrap();
        process.die_after(part + 1);
        assert!(unless_killed(|| victim.commit().unwrap()).is_none(), "killed at {part} of {length}");
        std::mem::forget(victim);
        process.live_on();
        heap.kill_process(doomed.process());
        expected += i64::from(through);
        assert_eq!(common(&mut survivor, &cells), expected, "killed at {part} of {length}");
        survivor.begin().unwrap();
        add_one(&mut survivor, &cells[..2]).unwrap();
        survivor.abort();
        space.recover_dead();
        assert_eq!(common(&mut survivor, &cells), expected, "recovered from a kill at {part} of {length}");
        assert_eq!(fsck(&space), vec![]);
    }
}

/// Logs go on behind the last piece that is as large as all before it: the two largest are equal.
#[test]
fn more_than_two_million_cells_change_together_or_not_at_all() {
    const MORE: u64 = 2_200_000;
    let (heap, space) = space_of(512 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, MORE);
    one.begin().unwrap();
    add_one_to_what_was_read(&mut one, &cells).unwrap();
    one.commit().unwrap();
    assert_eq!(common(&mut one, &cells), 1);
    let process = heap.process();
    let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    add_one(&mut victim, &cells).unwrap();
    // In the middle of its write-back: a store for each value comes before one for each lock.
    process.die_after(2 * MORE + MORE / 2);
    assert!(unless_killed(|| victim.commit().unwrap()).is_none());
    std::mem::forget(victim);
    process.live_on();
    heap.kill_process(doomed.process());
    space.recover_dead();
    let now = common(&mut one, &cells);
    assert_eq!(fsck(&space), vec![]);
    assert_eq!(now, 2, "killed before it was COMMITTED: this shows nothing");
}

/// The cells in an order in which no two that were written one after the other are side by side.
fn shuffled(cells: &[CellAddress]) -> impl Iterator<Item = (usize, CellAddress)> {
    let count = cells.len();
    (0..count).map(move |number| number * 7919 % count).map(|number| (number, cells[number]))
}

#[test]
fn what_a_large_transaction_has_written_it_finds_at_once_in_any_order() {
    const MANY: u64 = 300_000;
    let (heap, space) = space_of(128 * MIB);
    let mut maker = space.participant().unwrap();
    let cells = cells(&mut maker, MANY);
    let process = heap.process();
    let mut tx = Space::join(process.clone(), *space.arena().layout()).unwrap().participant().unwrap();
    tx.begin().unwrap();
    for (number, &cell) in cells.iter().enumerate() {
        tx.write(cell, integer(number as i64)).unwrap();
    }
    process.die_after(LONG);
    for (number, cell) in shuffled(&cells) {
        assert_eq!(tx.read(cell), Ok(integer(number as i64)));
    }
    let accesses = LONG - process.live_on();
    // By the numbers in lock words alone it would be 36 entries more, on the average.
    assert!(accesses < 16 * MANY, "{accesses} accesses for {MANY} reads");
    tx.commit().unwrap();
}

/// What an alternative has written that was undone is not taken for what the next one has written in its place.
#[test]
fn what_was_undone_of_a_large_transaction_is_not_found() {
    const SOME: usize = 20_000;
    let (_, space) = space_of(64 * MIB);
    let mut tx = space.participant().unwrap();
    let cells = cells(&mut tx, 2 * SOME as u64);
    let (first, second) = cells.split_at(SOME);
    let write = |tx: &mut Tx, cells: &[CellAddress], what: i64| {
        shuffled(cells).try_for_each(|(number, cell)| tx.write(cell, integer(what + number as i64)))
    };
    let read = |tx: &mut Tx, cells: &[CellAddress], what: i64| {
        cells.iter().zip(what..).for_each(|(&cell, what)| assert_eq!(tx.read(cell), Ok(integer(what))));
    };
    tx.run(|tx| {
        write(tx, &first[..SOME / 2], 1000)?;
        tx.or_else(
            |tx| {
                write(tx, first, 2000)?;
                read(tx, first, 2000);
                Err::<(), _>(Stop::Retry)
            },
            |tx| {
                write(tx, second, 3000)?;
                read(tx, second, 3000);
                read(tx, &first[..SOME / 2], 1000);
                write(tx, &first[..SOME / 2], 4000)
            },
        )
    })
    .unwrap();
    read_committed(&mut tx, &first[..SOME / 2], 4000);
    read_committed(&mut tx, second, 3000);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

fn read_committed(tx: &mut Tx, cells: &[CellAddress], what: i64) {
    tx.run(|tx| {
        for (&cell, what) in cells.iter().zip(what..) {
            assert_eq!(tx.read(cell)?, integer(what));
        }
        Ok(())
    })
    .unwrap();
}
