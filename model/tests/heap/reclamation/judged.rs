//! Looks at long logs, and freeing what nobody holds, go in pieces; and others go on in between.
//!
//! The danger: what was found at the first piece is taken for what is at the last. A block that somebody holds is freed, or one that nobody holds stays.

use std::sync::Arc;

use super::{in_phase, live_after_a_kill, replace, texts};
use crate::support::{MIB, Tx, another, space_of_few, unless_killed};
use proptest::prelude::*;
use pso_engine::allocator;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::{list, text};
use pso_engine::space::Space;
use pso_engine::word::{BlockKind, BlockPhase, BlockState, Handle, Value};
use pso_model::heap::Heap;

const TEXTS: u64 = 3000;
/// Of these a reader reads at first: its log takes some pieces to look at.
const READ: u64 = 2900;
/// Blocks that go by the way.
const BY_THE_WAY: u64 = 256;

/// A reader in an attempt, with what it has read.
struct Reader {
    tx: Tx,
    seen: Vec<(Handle, String)>,
}

impl Reader {
    fn begin(space: &Arc<Space<Heap>>, heap: &Heap) -> Self {
        let mut tx = another(heap, space).participant().unwrap();
        tx.begin().unwrap();
        Self { tx, seen: Vec::new() }
    }

    /// Reads some of the texts. If what it has read before does not go with them it begins anew.
    fn read(&mut self, list: Handle, from: u64, count: u64) {
        for index in (from..from + count).map(|index| index % TEXTS) {
            match list::get(&mut self.tx, list, index) {
                Ok(value) => {
                    let handle = value.and_then(Value::as_handle).unwrap();
                    let content = text::with(&self.tx, handle, str::to_owned).unwrap();
                    self.seen.push((handle, content));
                }
                Err(_) => return self.begin_anew(list),
            }
        }
    }

    /// With a log that takes more than one piece.
    fn begin_anew(&mut self, list: Handle) {
        self.tx.abort();
        self.tx.begin().unwrap();
        self.seen.clear();
        self.read(list, 0, READ);
    }

    fn check(&self) {
        for (handle, content) in &self.seen {
            let found = text::with(&self.tx, *handle, str::to_owned);
            assert_eq!(found.as_ref(), Ok(content), "what a reader has read");
        }
    }
}

#[test]
fn a_long_log_is_looked_at_in_pieces() {
    let (heap, space) = space_of_few(8 * MIB);
    let mut writer = space.participant().unwrap();
    let list = texts(&mut writer, TEXTS);
    let mut reader = Reader::begin(&space, &heap);
    reader.read(list, 0, READ);
    (0..TEXTS).for_each(|index| writer.run(|tx| replace(tx, list, index, TEXTS + index)).unwrap());
    writer.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired) as u64, READ);
    // So few that none of these collects.
    (0..600).for_each(|index| writer.run(|tx| replace(tx, list, index, 2 * TEXTS + index)).unwrap());
    assert_eq!(in_phase(&space, BlockPhase::Retired) as u64, READ + 600);
    let mut pieces = 0;
    while in_phase(&space, BlockPhase::Retired) as u64 > READ {
        writer.collect_at_most(BY_THE_WAY);
        pieces += 1;
        assert!(pieces < 100, "{} wait", in_phase(&space, BlockPhase::Retired));
        reader.check();
    }
    assert!(pieces > 4, "{pieces} pieces");
    assert_eq!(in_phase(&space, BlockPhase::Retired) as u64, READ);
    reader.tx.abort();
    writer.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    assert_eq!(fsck_at_rest(&space), vec![]);
}

/// A look that goes on for a few commits has passed a log when a text is read and counted there, and taken out: it says nothing of that one.
#[test]
fn what_is_read_and_taken_out_in_the_middle_of_a_look_stays() {
    let (heap, space) = space_of_few(8 * MIB);
    let mut writer = space.participant().unwrap();
    let list = texts(&mut writer, TEXTS);
    let mut reader = Reader::begin(&space, &heap);
    for turn in 0..12 {
        writer.collect();
        // The clock moves on, so that what the last turn has written is of the reader's past.
        (0..20).for_each(|index| writer.run(|tx| replace(tx, list, index, turn)).unwrap());
        reader.begin_anew(list);
        (0..800).for_each(|index| writer.run(|tx| replace(tx, list, index, turn)).unwrap());
        for _ in 0..turn % 6 {
            writer.collect_at_most(BY_THE_WAY);
        }
        // The entry behind those that count is looked at, too.
        reader.read(list, READ + turn, 4);
        assert_eq!(reader.seen.len() as u64, READ + 4, "nothing has changed that it reads");
        writer.run(|tx| replace(tx, list, READ + turn + 3, turn)).unwrap();
        for _ in 0..4 {
            writer.collect_at_most(BY_THE_WAY);
            reader.check();
        }
    }
}

/// What was found to be held is not asked for again at once.
#[test]
fn who_finds_that_all_is_held_leaves_it_for_a_while() {
    let (heap, space) = space_of_few(8 * MIB);
    let mut writer = space.participant().unwrap();
    let list = texts(&mut writer, TEXTS);
    let mut reader = Reader::begin(&space, &heap);
    reader.read(list, 0, READ);
    (0..READ).for_each(|index| writer.run(|tx| replace(tx, list, index, 1)).unwrap());
    writer.collect();
    assert_eq!(in_phase(&space, BlockPhase::Retired) as u64, READ);
    for index in 0..READ {
        writer.run(|tx| replace(tx, list, index, 2)).unwrap();
        assert!(!writer.is_finding_out(), "{index} more");
    }
}

/// Whoever takes out much at once gets ahead of it, whatever others hold.
#[test]
fn who_takes_out_much_with_each_commit_frees_as_much() {
    let (heap, space) = space_of_few(16 * MIB);
    let mut writer = space.participant().unwrap();
    let list = texts(&mut writer, TEXTS);
    let mut reader = Reader::begin(&space, &heap);
    reader.read(list, 0, READ);
    for turn in 0..40 {
        writer.run(|tx| (0..TEXTS).try_for_each(|index| replace(tx, list, index, turn))).unwrap();
        let waiting = in_phase(&space, BlockPhase::Retired) as u64;
        assert!(waiting < 5 * TEXTS, "{waiting} wait after {turn} turns");
        reader.check();
    }
}

/// What one of several does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Replace {
        who: usize,
        from: u64,
        count: u64,
    },
    Collect {
        who: usize,
    },
    CollectAll {
        who: usize,
    },
    Read {
        from: u64,
        count: u64,
    },
    BeginAnew,
    /// Somebody else takes texts out and dies while he frees them.
    Die {
        from: u64,
        step: u64,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..2usize, 0..TEXTS, 1..400u64).prop_map(|(who, from, count)| Deed::Replace { who, from, count }),
        8 => (0..2usize).prop_map(|who| Deed::Collect { who }),
        1 => (0..2usize).prop_map(|who| Deed::CollectAll { who }),
        6 => (0..TEXTS, 1..100u64).prop_map(|(from, count)| Deed::Read { from, count }),
        1 => Just(Deed::BeginAnew),
        1 => (0..TEXTS, 0..20_000u64).prop_map(|(from, step)| Deed::Die { from, step }),
    ]
}

fn replace_some(tx: &mut Tx, list: Handle, from: u64, count: u64) {
    for index in (from..from + count).map(|index| index % TEXTS) {
        tx.run(|tx| replace(tx, list, index, from * 10_000 + index)).unwrap();
    }
}

fn texts_in_use(space: &Space<Heap>) -> u64 {
    let mut count = 0;
    let is_text = |state: BlockState| state.phase == BlockPhase::Live && state.kind == BlockKind::Text;
    allocator::for_each_block(space.arena(), |_, state| count += u64::from(is_text(state)));
    count
}

/// Whether he died.
fn die(heap: &Heap, space: &Arc<Space<Heap>>, list: Handle, from: u64, step: u64) -> bool {
    let process = heap.process();
    let doomed = Space::join(process.clone(), *space.arena().layout()).unwrap();
    let mut tx = doomed.participant().unwrap();
    replace_some(&mut tx, list, from, 200);
    process.die_after(step);
    let freed = unless_killed(|| (0..8).map(|_| tx.collect_at_most(BY_THE_WAY)).sum::<u64>());
    process.live_on();
    std::mem::forget(tx);
    heap.kill_process(doomed.process());
    space.recover_dead();
    freed.is_none()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn what_somebody_holds_stays_and_all_else_goes_whoever_does_what_in_between(deeds in prop::collection::vec(deed(), 20..100)) {
        let (heap, space) = space_of_few(16 * MIB);
        let mut writers = [space.participant().unwrap(), another(&heap, &space).participant().unwrap()];
        let list = texts(&mut writers[0], TEXTS);
        let mut reader = Reader::begin(&space, &heap);
        reader.read(list, 0, READ);
        for deed in deeds {
            match deed {
                Deed::Replace { who, from, count } => replace_some(&mut writers[who], list, from, count),
                Deed::Collect { who } => {
                    writers[who].collect_at_most(BY_THE_WAY);
                },
                Deed::CollectAll { who } => {
                    writers[who].collect();
                },
                Deed::Read { from, count } => reader.read(list, from, count),
                Deed::BeginAnew => reader.begin_anew(list),
                Deed::Die { from, step } => {
                    die(&heap, &space, list, from, step);
                },
            }
            reader.check();
        }
        reader.tx.abort();
        let [mut first, mut second] = writers;
        second.collect();
        live_after_a_kill(&space, &mut first, 0);
        prop_assert_eq!(texts_in_use(&space), TEXTS);
        prop_assert_eq!(in_phase(&space, BlockPhase::Retired), 0);
    }
}
