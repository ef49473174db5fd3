//! Nobody loses for ever, on real processes: one that reads much while others overwrite it comes through.
//!
//! The danger: each attempt of a long reader takes longer than the time between two writes of what it has read, so that it never
//! commits. It asks for privilege after ten attempts in vain.

mod native_support;

use native_support::{Helper, Scratch, role, say};
use pso_engine::arena::HotWord;
use pso_engine::contention::Limits;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::platform::native::{self, Native, Place};
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{AttemptId, BLOCK_HEADER_WORDS, BlockKind, CELL_WORDS, CellAddress, Value};

const BYTES: u64 = 16 << 20;
const CELLS: u64 = 10_000;
const WRITERS: usize = 7;
const SUMS: usize = 40;
/// The same, if none of them lost an attempt.
const MOST_SUMS: usize = 1000 * SUMS;
/// Attempts with the token: one in a lull, one that holds what it reads; and those that have passed a cell of somebody who had lost the processor while he wrote
/// back what he had committed: a reader waits for him as long as a wake-up takes, and the cell may be overwritten before its end.
const WITH_THE_TOKEN: u64 = 5;
/// After those in vain: these, and those in which somebody else had the token, each of which costs one more.
const MORE_ATTEMPTS: u64 = 8;

fn integer(value: i64) -> Value {
    Value::int(value).unwrap()
}

fn at(first: CellAddress, number: u64) -> CellAddress {
    first.offset(number % CELLS)
}

/// 10,000 cells of 1, the first of which the root names.
fn found(tx: &mut Participant<Native>) -> CellAddress {
    tx.run(|tx| {
        let block = tx.allocate(BlockKind::Cells, 2 + CELLS * CELL_WORDS)?;
        let first = first_of(block);
        tx.arena().platform().store_plain(block.block().offset(BLOCK_HEADER_WORDS), CELLS);
        (0..CELLS).for_each(|number| tx.initialize(at(first, number), integer(1)));
        let root = tx.arena().root();
        tx.write(root, Value::handle(block))?;
        Ok(first)
    })
    .unwrap()
}

fn first_of(block: pso_engine::word::Handle) -> CellAddress {
    CellAddress::new(block.block().offset(BLOCK_HEADER_WORDS + 2))
}

#[test]
#[ignore = "run by the other test, in processes of its own"]
fn child_role() {
    let Some((role, path)) = role() else { return };
    let (memory, layout) = native::attach(&Place::Directory(path)).unwrap();
    let space = Space::join(memory, layout).unwrap();
    let mut tx = space.participant().unwrap();
    let root = space.arena().root();
    let first = first_of(tx.run(|tx| tx.read(root)).unwrap().as_handle().unwrap());
    say("writes");
    let mut number = role.len() as u64;
    // Until it is killed.
    loop {
        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let (from, to) = (at(first, number >> 33), at(first, number >> 17));
        let moved = |tx: &mut Participant<Native>| -> Result<(), Stop> {
            let seen = tx.read(from)?.as_int().unwrap();
            tx.write(from, integer(seen - 1))?;
            let seen = tx.read(to)?.as_int().unwrap();
            tx.write(to, integer(seen + 1))
        };
        tx.run(moved).unwrap();
    }
}

#[test]
fn a_reader_of_ten_thousand_cells_that_seven_processes_overwrite_comes_through() {
    let scratch = Scratch::new();
    let (memory, layout) = native::create(&scratch.place("fire"), BYTES).unwrap();
    let space = Space::join(memory, layout).unwrap();
    let mut reader = space.participant().unwrap();
    let first = found(&mut reader);
    let path = scratch.path("fire");
    let mut writers: Vec<Helper> = (0..WRITERS).map(|number| Helper::start(&"w".repeat(number + 1), &path)).collect();
    writers.iter_mut().for_each(|writer| assert_eq!(writer.hear(), "writes"));
    let token = space.arena().layout().hot(HotWord::PrivilegeToken);
    let (mut most, mut most_with_token, mut sums) = (0, 0, 0);
    // If the reader never lost, this has shown nothing: where the machine has much to do the writers may come late.
    while sums < SUMS || (most == 1 && sums < MOST_SUMS) {
        sums += 1;
        let (mut attempts, mut with_token) = (0, 0);
        let sum = reader.run(|tx| {
            attempts += 1;
            let holder = AttemptId::unpack(tx.arena().platform().load(token, Relaxed));
            with_token += u64::from(holder.is_some_and(|holder| holder.participant == tx.id()));
            (0..CELLS).try_fold(0, |sum, number| Ok(sum + tx.read(at(first, number))?.as_int().unwrap()))
        });
        assert_eq!(sum, Ok(CELLS as i64));
        most = most.max(attempts);
        most_with_token = most_with_token.max(with_token);
    }
    println!("at most {most} attempts, {most_with_token} with the token");
    drop(writers);
    space.recover_dead();
    assert_eq!(fsck(&space), []);
    let limit = Limits::default().privileged_attempts + MORE_ATTEMPTS;
    assert!(most_with_token <= WITH_THE_TOKEN, "{most_with_token} attempts with the token for one sum");
    assert!(most <= limit, "{most} attempts for one sum");
    assert!(most > 1, "the writers never came between");
}
