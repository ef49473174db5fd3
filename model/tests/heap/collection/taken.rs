//! Who stands still: in the middle of a step of a collection, or of a commit. Others collect meanwhile, and he goes on when he comes back.

use super::helped::{begin, help};
use super::*;
use pso_engine::collection::{self, Collection, Patience};
use pso_engine::word::{Colour, Mark, Status};

/// Whoever collects is taken for one who does not come back.
const AT_ONCE: Patience = Patience { rests_ns: 0, silent_ns: 0 };
const TREASURE: Value = match Value::int(42) {
    Some(value) => value,
    None => panic!("it fits"),
};

/// The root names two lists, the first of them the treasure.
fn found<P: Platform>(tx: &mut Participant<P>) -> Handle {
    let root = root_list(tx);
    tx.run(|tx| {
        let treasure = list_of(tx, &[TREASURE])?;
        let lists = [list_of(tx, &[Value::handle(treasure)])?, list_of(tx, &[])?];
        lists.into_iter().try_for_each(|list| list::push(tx, root, Value::handle(list)))
    })
    .unwrap();
    root
}

/// Takes it from the one list to the other, and into a new one in between.
fn move_treasure<P: Platform>(tx: &mut Participant<P>, root: Handle) {
    let (from, to) = tx
        .run(|tx| {
            let first = item(tx, root, 0)?;
            Ok(if list::len(tx, first)? == 1 { (0, 1) } else { (1, 0) })
        })
        .unwrap();
    tx.run(|tx| {
        let (from, to) = (item(tx, root, from)?, item(tx, root, to)?);
        let treasure = list::get(tx, from, 0)?.unwrap();
        list::truncate(tx, from, 0)?;
        let wrapped = list_of(tx, &[treasure])?;
        list::push(tx, to, Value::handle(wrapped))
    })
    .unwrap();
    tx.run(|tx| {
        let to = item(tx, root, to)?;
        let wrapped = item(tx, to, 0)?;
        let treasure = list::get(tx, wrapped, 0)?.unwrap();
        list::set(tx, to, 0, treasure).map(drop)
    })
    .unwrap();
}

/// Puts the treasure into a new list, which stays, in one transaction: one in the list at the root, or that at the root.
fn rewrap<P: Platform>(tx: &mut Participant<P>, at_root: bool) {
    tx.run(|tx| {
        let cell = tx.arena().root();
        let root = tx.read(cell)?.as_handle().unwrap();
        let first = list::get(tx, root, 0)?.unwrap();
        if at_root {
            let new = list_of(tx, &[first])?;
            return tx.write(cell, Value::handle(new));
        }
        let treasure = list::get(tx, first.as_handle().unwrap(), 0)?.unwrap();
        let new = list_of(tx, &[treasure])?;
        list::set(tx, root, 0, Value::handle(new)).map(drop)
    })
    .unwrap();
}

/// Puts a new list in the place of the one that is empty.
fn renew<P: Platform>(tx: &mut Participant<P>, root: Handle) {
    tx.run(|tx| {
        let first = item(tx, root, 0)?;
        let empty = u64::from(list::len(tx, first)? == 1);
        let new = list::create(tx)?;
        list::set(tx, root, empty, Value::handle(new)).map(drop)
    })
    .unwrap();
}

fn treasure<P: Platform>(tx: &mut Participant<P>, root: Handle) -> Result<Option<Value>, Stop> {
    tx.run(|tx| {
        let first = item(tx, root, 0)?;
        let list = if list::len(tx, first)? == 1 { first } else { item(tx, root, 1)? };
        let treasure = item(tx, list, 0)?;
        list::get(tx, treasure, 0)
    })
}

fn first_treasure<P: Platform>(tx: &mut Participant<P>) -> Result<Option<Value>, Stop> {
    tx.run(|tx| {
        let root = tx.read(tx.arena().root())?.as_handle().unwrap();
        let first = item(tx, root, 0)?;
        let treasure = item(tx, first, 0)?;
        list::get(tx, treasure, 0)
    })
}

/// Goes on by `steps`. True: it is over.
fn go_on<P: Platform>(tx: &mut Participant<P>, collection: &mut Collection, steps: usize) -> bool {
    (0..steps).any(|_| match tx.collection_step(collection) {
        Step::Went => false,
        Step::Over(_) => true,
        Step::Lost => panic!("nobody else takes over"),
    })
}

/// A collector stands still before an access. Another one takes over, and goes `steps` steps; the treasure moves; the first one goes on, and so does the second.
fn taken_over_after(steps: usize) {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut first = space.participant().unwrap();
    let second = Arc::new(Mutex::new(others.participant().unwrap()));
    let mut mover = others.participant().unwrap();
    let root = found(&mut mover);
    let mover = Arc::new(Mutex::new(mover));
    let mut at_rest = None;
    for step in (0..).step_by(5) {
        garbage(&mut mover.lock().unwrap());
        let (second_of, mover_of) = (Arc::clone(&second), Arc::clone(&mover));
        let rest = Arc::new(Mutex::new(None));
        let rest_of = Arc::clone(&rest);
        space.arena().platform().at(step, move || {
            let (mut tx, mut mover) = (second_of.lock().unwrap(), mover_of.lock().unwrap());
            // Made after the first one has begun, and found all the same.
            garbage(&mut mover);
            let mut collection = tx.open_collection(AT_ONCE).unwrap();
            let is_over = go_on(&mut tx, &mut collection, steps);
            move_treasure(&mut mover, root);
            if is_over {
                // Who stands still holds at most the block that he was about to change.
                tx.collect();
                assert_eq!(tx.retired_words(), 0, "step {step}");
                // Over what was freed, and some of it stays.
                garbage(&mut mover);
                renew(&mut mover, root);
            } else {
                *rest_of.lock().unwrap() = Some(collection);
            }
        });
        let end = first.collect_objects(NO_PATIENCE).unwrap();
        let through = space.arena().platform().forget();
        assert!(through || matches!(end, CollectionEnd::Busy | CollectionEnd::Finished(_)), "step {step}: {end:?}");
        let (mut second, mut mover) = (second.lock().unwrap(), mover.lock().unwrap());
        if let Some(mut collection) = rest.lock().unwrap().take() {
            assert!(go_on(&mut second, &mut collection, usize::MAX), "step {step}");
        }
        assert_eq!(treasure(&mut mover, root), Ok(Some(TREASURE)), "step {step}");
        assert_eq!(fsck_at_rest(&others), vec![], "step {step}");
        for number in 0..2 {
            let list = mover.run(|tx| item(tx, root, number)).unwrap();
            assert!(collection::is_beyond_doubt(others.arena(), list), "step {step}: list {number}");
        }
        first.collect();
        second.collect();
        assert_eq!(fsck_at_rest(&others), vec![], "step {step}");
        collected(&mut mover);
        nothing_waits(&others);
        assert_eq!(treasure(&mut mover, root), Ok(Some(TREASURE)), "step {step}");
        let live = live(&others);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after step {step}");
        if through {
            assert!(step > 1000, "only {step} accesses");
            return;
        }
    }
}

#[test]
fn who_is_taken_over_from_takes_nothing_back_when_he_comes_again() {
    [1, 3, 6, 10, 20].into_iter().for_each(taken_over_after);
}

#[test]
fn a_collection_is_over_while_another_collector_stands_still() {
    taken_over_after(usize::MAX);
}

/// Somebody stands still before an access of a commit. A collection begins, and goes `steps` steps; he goes on; and so does the collection.
fn goes_on_after(steps: usize, at_root: bool) -> bool {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut mover = space.participant().unwrap();
    let collector = Arc::new(Mutex::new(others.participant().unwrap()));
    found(&mut collector.lock().unwrap());
    let slot = Slot::of(space.arena(), mover.id()).unwrap();
    let (mut commits, mut overs) = (0, 0);
    for step in 0.. {
        let (collector_of, heap_of) = (Arc::clone(&collector), heap.clone());
        let rest = Arc::new(Mutex::new(None));
        let rest_of = Arc::clone(&rest);
        space.arena().platform().at(step, move || {
            let word = heap_of.load(slot.status(), Relaxed);
            let commits = Status::unpack(word).is_some_and(|status| status.state == State::Committed);
            let mut tx = collector_of.lock().unwrap();
            let mut collection = tx.open_collection(AT_ONCE).unwrap();
            let is_over = go_on(&mut tx, &mut collection, steps);
            *rest_of.lock().unwrap() = Some((commits, is_over, collection));
        });
        rewrap(&mut mover, at_root);
        let through = space.arena().platform().forget();
        let mut tx = collector.lock().unwrap();
        if let Some((commit, is_over, mut collection)) = rest.lock().unwrap().take() {
            commits += u64::from(commit);
            overs += u64::from(is_over);
            assert!(is_over || go_on(&mut tx, &mut collection, usize::MAX), "step {step}");
        }
        tx.collect();
        assert_eq!(first_treasure(&mut tx), Ok(Some(TREASURE)), "step {step}");
        assert_eq!(fsck_at_rest(&others), vec![], "step {step}");
        mover.collect();
        collected(&mut tx);
        assert_eq!(first_treasure(&mut tx), Ok(Some(TREASURE)), "step {step}");
        if through {
            assert!(step > 100 && commits > 10, "only {step} steps, {commits} of them in a write-back");
            return overs == step;
        }
    }
    unreachable!()
}

#[test]
fn who_stands_still_in_a_commit_loses_nothing_to_a_collection() {
    // Until it is over before he goes on.
    for at_root in [false, true] {
        assert!((0..100).any(|steps| goes_on_after(steps, at_root)));
    }
}

/// The same, and he does not come again: he is killed where he stands, after the other one is through.
#[test]
fn who_is_taken_over_from_and_killed_keeps_nothing() {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = found(&mut survivor);
    let mut at_rest = None;
    for step in (0..).step_by(7) {
        let (through, stands) = stands_at(&heap, &space, step, garbage, |victim| {
            let _ = victim.collect_objects(NO_PATIENCE);
        });
        garbage(&mut survivor);
        let mut collection = survivor.open_collection(AT_ONCE).unwrap();
        assert!(go_on(&mut survivor, &mut collection, usize::MAX), "step {step}");
        survivor.collect();
        move_treasure(&mut survivor, root);
        let process = stands.space().process();
        std::mem::forget(stands);
        heap.kill_process(process);
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(treasure(&mut survivor, root), Ok(Some(TREASURE)), "step {step}");
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 1000, "only {step} steps");
            return;
        }
    }
}

/// Hangs a chain of lists into `root`, each of which names the next one.
fn hang_chain<P: Platform>(tx: &mut Participant<P>, root: Handle) {
    tx.run(|tx| {
        let mut next = list::create(tx)?;
        for _ in 1..CHAIN {
            next = list_of(tx, &[Value::handle(next)])?;
        }
        list::push(tx, root, Value::handle(next))
    })
    .unwrap();
}

const CHAIN: usize = 16;

/// Somebody stands still in a collection, and a chain goes; others collect, twice: the second time they find what was condemned the first time. Gives how many blocks he
/// keeps, at most.
fn kept_by_who_stands_still(mut collect: impl FnMut(&mut Tx)) -> usize {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = root_list(&mut survivor);
    let (mut most, mut at_rest) = (0, None);
    for step in (0..).step_by(7) {
        hang_chain(&mut survivor, root);
        let (through, stands) = stands_at(
            &heap,
            &space,
            step,
            |_| (),
            |victim| {
                let _ = victim.collect_objects(NO_PATIENCE);
            },
        );
        survivor.run(|tx| list::truncate(tx, root, 0)).unwrap();
        for _ in 0..2 {
            collect(&mut survivor);
            survivor.collect();
        }
        let (with_him, process) = (live(&space), stands.space().process());
        std::mem::forget(stands);
        heap.kill_process(process);
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        most = most.max(with_him - live);
        if through {
            assert!(step > 1000, "only {step} steps");
            return most;
        }
    }
    unreachable!()
}

/// A list and its cells.
const ONE_LIST: usize = 2;

/// What somebody was about to mark is no root: of a chain he keeps one link, whichever he has come to.
#[test]
fn who_stands_still_in_a_collection_keeps_one_object() {
    let kept = kept_by_who_stands_still(|survivor| {
        let mut collection = survivor.open_collection(AT_ONCE).unwrap();
        assert!(go_on(survivor, &mut collection, usize::MAX));
    });
    assert_eq!(kept, ONE_LIST);
}

/// Nor does he where the others help each other, and whoever is dismissed may be about to mark something, too.
#[test]
fn who_stands_still_keeps_one_object_of_a_collection_with_help() {
    let kept = kept_by_who_stands_still(|survivor| {
        let mut helper = survivor.space().participant().unwrap();
        let (mut collection, mut helping) = begin(survivor, &mut helper);
        help(&mut helper, &mut helping);
        helper.leave();
        assert!(go_on(survivor, &mut collection, usize::MAX));
    });
    assert_eq!(kept, ONE_LIST);
}

/// What somebody stands still at becomes grey, late, by a helper who was dismissed in the middle of it: it is no more reached than before, and what it names may go.
#[test]
fn what_becomes_grey_behind_the_last_look_is_condemned_if_somebody_stands_still_at_it() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let mut helper = another(&heap, &space).participant().unwrap();
    let stands = space.participant().unwrap();
    let slot = Slot::of(space.arena(), stands.id()).unwrap();
    let root = root_list(&mut tx);
    let mut late = 0;
    for steps in 0.. {
        hang_chain(&mut tx, root);
        let link = tx.run(|tx| item(tx, root, 0).and_then(|first| item(tx, first, 0))).unwrap();
        heap.store(slot.hazard(), link.raw(), Relaxed);
        heap.store(slot.start(), 1, Relaxed);
        tx.run(|tx| list::truncate(tx, root, 0)).unwrap();
        let (mut collection, mut helping) = begin(&mut tx, &mut helper);
        help(&mut helper, &mut helping);
        let is_over = go_on(&mut tx, &mut collection, steps);
        let (mark, cycle) = (link.block().offset(1), collection::last(space.arena()).number);
        if Mark::colour_in(heap.load(mark, Relaxed), cycle) == Colour::White {
            heap.store(mark, Mark { cycle, colour: Colour::Grey }.pack(), Relaxed);
        }
        assert!(is_over || go_on(&mut tx, &mut collection, usize::MAX));
        tx.collect();
        assert_eq!(fsck_at_rest(&space), vec![], "grey after {steps} steps");
        late += usize::from(live(&space) < CHAIN);
        heap.store(slot.start(), 0, Relaxed);
        collected(&mut tx);
        nothing_waits(&space);
        if is_over {
            break;
        }
    }
    assert!(late > 2, "{late} times it was too late to be looked at");
}

/// What was condemned and is there still, for somebody stands at it, is nothing that the next collection reaches, whatever word has led whoever shades it there: what it
/// names is gone.
#[test]
fn what_was_condemned_is_shaded_by_nobody() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let stands = space.participant().unwrap();
    let slot = Slot::of(space.arena(), stands.id()).unwrap();
    let root = root_list(&mut tx);
    hang_chain(&mut tx, root);
    let link = tx.run(|tx| item(tx, root, 0).and_then(|first| item(tx, first, 0))).unwrap();
    heap.store(slot.hazard(), link.raw(), Relaxed);
    heap.store(slot.start(), 1, Relaxed);
    tx.run(|tx| list::truncate(tx, root, 0)).unwrap();
    let mut collection = tx.open_collection(AT_ONCE).unwrap();
    assert!(go_on(&mut tx, &mut collection, usize::MAX));
    tx.collect();
    let colour = || Mark::unpack(heap.load(link.block().offset(1), Relaxed)).map(|mark| mark.colour);
    assert_eq!(colour(), Some(Colour::Condemned));
    let mut collection = tx.open_collection(AT_ONCE).unwrap();
    collection::note_released(space.arena(), link);
    assert_eq!(colour(), Some(Colour::Condemned));
    assert!(!collection::is_beyond_doubt(space.arena(), link));
    assert!(go_on(&mut tx, &mut collection, usize::MAX));
    tx.collect();
    assert_eq!(fsck_at_rest(&space), vec![]);
    heap.store(slot.start(), 0, Relaxed);
    collected(&mut tx);
    nothing_waits(&space);
}

/// Whoever collects around one who stands still is killed before any access: the next one does the same, and when he has gone on nothing is left.
#[test]
fn who_is_killed_while_he_leaves_something_alone_leaves_nothing_else() {
    let (heap, space) = space_of(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let stands = space.participant().unwrap();
    let slot = Slot::of(space.arena(), stands.id()).unwrap();
    let root = root_list(&mut survivor);
    let mut at_rest = None;
    for step in (0..).step_by(3) {
        hang_chain(&mut survivor, root);
        let link = survivor.run(|tx| item(tx, root, 0).and_then(|first| item(tx, first, 0))).unwrap();
        heap.store(slot.hazard(), link.raw(), Relaxed);
        heap.store(slot.start(), 1, Relaxed);
        survivor.run(|tx| list::truncate(tx, root, 0)).unwrap();
        let through = dies_at(
            &heap,
            &space,
            step,
            |_| (),
            |victim| {
                let mut collection = victim.open_collection(AT_ONCE).unwrap();
                go_on(victim, &mut collection, usize::MAX);
            },
        );
        space.recover_dead();
        assert_eq!(fsck_at_rest(&space), vec![], "after a kill at step {step}");
        let mut collection = survivor.open_collection(AT_ONCE).unwrap();
        assert!(go_on(&mut survivor, &mut collection, usize::MAX), "step {step}");
        survivor.collect();
        assert_eq!(fsck_at_rest(&space), vec![], "collected after a kill at step {step}");
        heap.store(slot.start(), 0, Relaxed);
        let live = live_after_a_kill(&space, &mut survivor, step);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 1000, "only {step} steps");
            return;
        }
    }
}
