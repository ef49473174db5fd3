//! Words that lead where nothing is, or where something else is: out of a damaged record, a damaged kind, a handle that nobody holds any more. Each is an error or nothing,
//! for whoever comes; never an access outside of the space, or to what has the memory by now.

use std::sync::atomic::Ordering::Relaxed;

use pso_engine::allocator::{self, BlockCache};
use pso_engine::arena::HotWord;
use pso_engine::collection::{Patience, Step};
use pso_engine::error::{Stale, Stop};
use pso_engine::fsck::{Finding, fsck, fsck_at_rest};
use pso_engine::object::list;
use pso_engine::participant::Slot;
use pso_engine::platform::Memory;
use pso_engine::space::JoinError;
use pso_engine::transaction::CollectionEnd;
use pso_engine::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, Handle, ParticipantId, State, Status, Value, Version,
    WordAddress,
};

use crate::support::{MIB, another, attempt_of, cells, contents, integer, space_of};

/// The danger: whoever recovers the dead dies of it, and so does whoever comes next.
#[test]
fn a_record_of_the_dead_that_takes_out_what_cannot_be_costs_nobody_anything() {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let cells = cells(&mut survivor, 1);
    let doomed = another(&heap, &space);
    let mut victim = doomed.participant().unwrap();
    victim.begin().unwrap();
    victim.write(cells[0], integer(7)).unwrap();
    for block in [1 << 35, space.arena().layout().geometry().space_words, 2, 0] {
        victim.discard(Handle::new(WordAddress::new(block), 1)).unwrap();
    }
    let slot = Slot::of(space.arena(), victim.id()).unwrap();
    let now = heap.load(space.arena().layout().hot(HotWord::VersionClock), Relaxed);
    heap.store(slot.commit_version(), Version::first(now, victim.id()).0, Relaxed);
    let status = Status { seq: attempt_of(&victim).seq, state: State::Committed };
    heap.store(slot.status(), status.pack(), Relaxed);
    std::mem::forget(victim);
    heap.kill_process(doomed.process());
    space.recover_dead();
    assert_eq!(contents(&mut survivor, &cells), [7]);
    assert_eq!(fsck(&space), vec![]);
}

/// The danger: a collection reads what a dict has, behind the end of a list that is the last block of all.
#[test]
fn a_list_at_the_end_of_the_space_that_is_said_to_be_a_dict_is_not_read_beyond_it() {
    const LIST_WORDS: u64 = 6;
    let (heap, space) = space_of(MIB);
    let mut tx = space.participant().unwrap();
    let mut make = || {
        tx.run(|tx| {
            let list = tx.allocate(BlockKind::List, LIST_WORDS)?;
            let payload = list.block().offset(BLOCK_HEADER_WORDS);
            (0..LIST_WORDS).for_each(|word| tx.arena().platform().store_plain(payload.offset(word), 0));
            Ok(list)
        })
    };
    let lists: Vec<Handle> = std::iter::from_fn(|| make().ok()).collect();
    let last = *lists.iter().max_by_key(|list| list.block().index()).unwrap();
    let end = space.arena().layout().geometry().space_words;
    assert_eq!(last.block().index() + BLOCK_HEADER_WORDS + LIST_WORDS, end, "the last block of all");
    heap.store(space.arena().root().value_word(), Value::handle(last).raw(), Relaxed);
    let state = BlockState::unpack(heap.load(last.block(), Relaxed)).unwrap();
    heap.store(last.block(), BlockState { kind: BlockKind::Dict, ..state }.pack(), Relaxed);
    let mut collects = || match tx.collect_objects(0).unwrap() {
        CollectionEnd::Finished(collected) => collected,
        other => panic!("nobody is at work: {other:?}"),
    };
    let found = collects();
    // What would be named behind its end nobody knows.
    assert_eq!((found.objects, found.damage.is_some()), (0, true));
    assert_eq!(allocator::check(space.arena(), last).unwrap().phase, BlockPhase::Live);
    heap.store(last.block(), state.pack(), Relaxed);
    assert_eq!(collects().objects, lists.len() as u64 - 1, "nothing names the others");
}

/// The danger: between the check of such a handle and what is done with it the memory becomes somebody else's.
#[test]
fn what_was_taken_out_is_stale_for_whoever_does_not_hold_it() {
    let (_, space) = space_of(4 * MIB);
    let [mut tx, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let made = tx.run(list::create).unwrap();
    assert_eq!(other.run(|tx| list::len(tx, made)), Ok(0));
    let mut collection = tx.open_collection(Patience { rests_ns: 0, silent_ns: 0 }).unwrap();
    while tx.collection_step(&mut collection) == Step::Went {}
    assert_eq!(allocator::check(space.arena(), made).unwrap().phase, BlockPhase::Retired);
    assert_eq!(other.run(|tx| list::len(tx, made)), Err(Stop::Stale(Stale { handle: made })));
    assert_eq!(other.run(|tx| list::push(tx, made, integer(1))), Err(Stop::Stale(Stale { handle: made })));
    tx.collect();
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// The danger: who reads writes into what lies behind it.
#[test]
fn a_piece_of_a_log_that_is_too_small_is_taken_by_nobody() {
    let (heap, space) = space_of(4 * MIB);
    let first = space.participant().unwrap();
    let slot = Slot::of(space.arena(), first.id()).unwrap();
    first.leave();
    let mut cache = BlockCache::default();
    let small = cache.allocate(space.arena(), ParticipantId(5), BlockKind::Log, 4).unwrap();
    heap.store(slot.read_log_piece(1), small.raw(), Relaxed);
    let second = space.participant().expect("the other places are whole");
    assert_ne!(second.id(), ParticipantId(0));
    // Where there is no other place the damage is named: as if all others were taken.
    let others: Vec<_> = (2..64).map(|number| Slot::of(space.arena(), ParticipantId(number)).unwrap()).collect();
    others.iter().for_each(|slot| heap.store(slot.claim(), space.claim().pack(), Relaxed));
    assert!(matches!(space.participant(), Err(JoinError::Corrupt(corrupt)) if corrupt.what == "a log's piece"));
}

/// The danger: whoever begins with it keeps nothing that he reads from being freed.
#[test]
fn a_number_to_retire_at_that_is_none_is_damage() {
    for word in [0, 1 << 63, u64::MAX] {
        let (heap, space) = space_of(4 * MIB);
        heap.store(space.arena().layout().hot(HotWord::Batch), word, Relaxed);
        assert_eq!(fsck(&space), vec![Finding::Batch { word }]);
        let refused = space.participant();
        assert!(matches!(refused, Err(JoinError::Corrupt(corrupt)) if corrupt.word == word));
    }
}

/// The danger: whoever validates what he has read looks where no memory is.
#[test]
fn a_read_log_that_names_what_is_no_cell_is_damage() {
    let (heap, space) = space_of(4 * MIB);
    let [mut tx, mut other] = [(); 2].map(|()| space.participant().unwrap());
    let cells = cells(&mut tx, 2);
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    let log = Handle::from_raw(heap.load(slot.read_log_piece(0), Relaxed)).unwrap();
    let first = log.block().offset(BLOCK_HEADER_WORDS);
    for wild in [space.arena().layout().geometry().space_words - 1, 1 << 40, u64::MAX] {
        tx.begin().unwrap();
        tx.read(cells[0]).unwrap();
        assert_eq!(heap.load(first, Relaxed), cells[0].index(), "the log begins there");
        heap.store(first, wild, Relaxed);
        other.run(|tx| tx.write(cells[1], integer(1))).unwrap();
        let ended = tx.write(cells[1], integer(2)).and_then(|()| tx.commit());
        assert!(matches!(ended, Err(Stop::Corrupt(ref found)) if found.word == wild), "{wild}: {ended:?}");
        tx.abort();
    }
    assert_eq!(contents(&mut other, &cells), [0, 1]);
    assert_eq!(fsck(&space), vec![]);
}
