//! What somebody had retired who is gone, and whom nobody follows: anybody may free it.

use super::*;
use crate::support::{integer, unless_killed};
use pso_engine::arena::Geometry;

/// Somebody dies who has replaced `count` texts that a reader of before holds. Gives the reader.
fn left(heap: &Heap, space: &Arc<Space<Heap>>, count: u64) -> Tx {
    let mut reader = space.participant().unwrap();
    let list = texts(&mut reader, count);
    reader.begin().unwrap();
    (0..count).for_each(|index| assert_eq!(item(&mut reader, list, index), Ok(long(index))));
    let doomed = another(heap, space);
    let mut victim = doomed.participant().unwrap();
    victim.run(|tx| (0..count).try_for_each(|index| replace(tx, list, index, 7))).unwrap();
    victim.collect();
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    space.recover_dead();
    reader
}

#[test]
fn what_the_dead_had_retired_goes_once_nobody_holds_it() {
    let (heap, space) = space_of(4 * MIB);
    let mut reader = left(&heap, &space, 10);
    let retired = || in_phase(&space, BlockPhase::Retired);
    assert_eq!((space.inherit(), retired()), (0, 10), "the reader holds it");
    reader.abort();
    assert!(space.inherit() >= 10 * LENGTH as u64 / 8);
    assert_eq!((space.inherit(), retired()), (0, 0));
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// Whoever is killed in it is one of the gone.
#[test]
fn who_dies_of_it_leaves_no_more_than_he_found() {
    for step in 0.. {
        let (heap, space) = space_of(4 * MIB);
        left(&heap, &space, 3).abort();
        let process = heap.process();
        let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
        process.die_after(step);
        let through = unless_killed(|| doomed.inherit()).is_some() && process.live_on() > 0;
        heap.kill_process(doomed.process());
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        space.inherit();
        assert_eq!(in_phase(&space, BlockPhase::Retired), 0, "step {step}");
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        if through {
            assert!(step > 50, "{step}");
            return;
        }
    }
}

/// Entries of the first piece of a log: what stays of one is 128 times as many.
const BASE: u64 = 4;
const MANY: i64 = 20_000;
/// What stays of both: seven words for an element of each, and what blocks are larger than was asked for.
const KEPT: u64 = BASE * 128 * 7 * 8 * 5 / 4;

/// A list of many ints, in a space whose logs begin small; and what its logs take, in bytes.
fn many() -> (Heap, Arc<Space<Heap>>, Handle, impl Fn() -> u64) {
    let (heap, layout) = Heap::space(Geometry { log_base: BASE, ..Geometry::for_bytes(4 * MIB).unwrap() });
    let space = Space::join(heap.clone(), layout).unwrap();
    let mut tx = space.participant().unwrap();
    let list = tx.run(list::create).unwrap();
    (0..MANY).for_each(|number| tx.run(|tx| list::push(tx, list, integer(number))).unwrap());
    tx.run(|tx| tx.write(tx.arena().root(), Value::handle(list))).unwrap();
    tx.leave();
    let looks_on = another(&heap, &space);
    let logs = move || {
        let mut words = 0;
        allocator::for_each_block(looks_on.arena(), |handle, state| {
            let is_log = state.kind == BlockKind::Log && state.phase == BlockPhase::Live;
            words += if is_log { allocator::payload_words(looks_on.arena(), handle).unwrap() } else { 0 };
        });
        words * 8
    };
    (heap, space, list, logs)
}

fn read_and_change_all(tx: &mut Tx, list: Handle) -> Result<(), Stop> {
    (0..MANY as u64).try_for_each(|index| list::set(tx, list, index, integer(0)).map(drop))
}

/// The danger: what it had grown by stays for ever, and with a few such ends the space is full of logs.
#[test]
fn what_the_logs_of_the_dead_had_grown_by_goes_with_the_rest() {
    let (heap, space, list, logs) = many();
    let before = logs();
    let doomed = another(&heap, &space);
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    read_and_change_all(&mut victim, list).unwrap();
    heap.kill_process(doomed.process());
    std::mem::forget(victim);
    space.recover_dead();
    assert!(logs() > before + 40 * MANY as u64, "{} bytes of {before}", logs());
    let freed = 8 * space.inherit();
    assert!(freed > 40 * MANY as u64, "{freed} bytes");
    assert!(logs() < before + KEPT, "{} bytes of {before}", logs());
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The same of one who lives on, and does small things or none.
#[test]
fn what_the_logs_of_a_large_attempt_that_failed_had_grown_by_goes_at_its_end() {
    let (_, space, list, logs) = many();
    let before = logs();
    let mut tx = space.participant().unwrap();
    let ended = tx.run(|tx| {
        read_and_change_all(tx, list)?;
        tx.allocate(BlockKind::Text, 1 << 40).map(drop)
    });
    assert!(matches!(ended, Err(Stop::Full(_))), "{ended:?}");
    assert!(logs() < before + KEPT, "{} bytes of {before}", logs());
    tx.leave();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// As many as find room, who each have changed something, and are gone again. Their places, and what is in use then, in words.
fn burst(space: &Arc<Space<Heap>>) -> (usize, u64) {
    let mut all: Vec<Tx> = vec![];
    while let Ok(tx) = space.participant() {
        all.push(tx);
    }
    let places = all.len();
    all.into_iter().for_each(Tx::leave);
    (places, log_words(space))
}

/// The danger: many are there at once, in a small space, and each leaves logs behind that are his place's. Nothing is stored, and the space is full for good.
#[test]
fn places_that_nobody_has_do_not_keep_a_space_full() {
    let (heap, layout) = Heap::space(Geometry { participants: 256, ..Geometry::for_bytes(2 * MIB).unwrap() });
    let space = Space::join(heap.clone(), layout).unwrap();
    let (places, words) = burst(&space);
    assert!(places > 16, "{places} places");
    // One more comes: there is room for logs where somebody has left them, and none for anything else.
    let mut tx = space.participant().unwrap();
    assert!(matches!(tx.run(|tx| text::encode(tx, &"x".repeat(200_000))), Err(Stop::Full(_))));
    assert!(space.inherit() > words * 8 / 10);
    assert_eq!(log_words(&space), 3 * words / places as u64, "his own, and two places'");
    let made = tx.run(|tx| {
        let text = text::encode(tx, &"x".repeat(200_000))?;
        tx.write(tx.arena().root(), text)
    });
    assert_eq!(made, Ok(()));
    tx.leave();
    assert!(burst(&space).0 >= places - 4, "a text of four superblocks less");
    assert_eq!(fsck_at_rest(&space), vec![]);
}

#[test]
fn who_dies_while_he_gives_up_the_logs_of_others_leaves_them_whole() {
    for step in (0..).step_by(7) {
        let (heap, layout) = Heap::space(Geometry { participants: 256, ..Geometry::for_bytes(MIB).unwrap() });
        let space = Space::join(heap.clone(), layout).unwrap();
        burst(&space);
        let process = heap.process();
        let doomed = Space::join(process.clone(), layout).unwrap();
        process.die_after(step);
        let through = unless_killed(|| doomed.inherit()).is_some() && process.live_on() > 0;
        heap.kill_process(doomed.process());
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        space.inherit();
        let mut tx = space.participant().unwrap();
        assert_eq!(tx.run(|tx| text::encode(tx, &"x".repeat(200_000)).map(drop)), Ok(()), "step {step}");
        tx.leave();
        assert_eq!(fsck_at_rest(&space), vec![], "step {step}");
        if through {
            assert!(step > 500, "{step}");
            return;
        }
    }
}
