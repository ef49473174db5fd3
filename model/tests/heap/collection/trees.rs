//! What hangs on one place may be a tree of very many blocks of one name: it is gone through in pieces, too, and others go on in between.

use super::*;
use crate::support::unless_killed;
use pso_engine::collection::TRACED_AT_ONCE;

/// Items of a tuple: more than one step goes through.
const ITEMS: u64 = 3000;

/// A tuple of texts, with `last` behind them.
fn tuple_of<P: Platform>(tx: &mut Participant<P>, texts: u64, last: Value) -> Result<Value, Stop> {
    let mut items = (0..texts).map(|_| text::encode(tx, LONG)).collect::<Result<Vec<_>, _>>()?;
    items.push(last);
    tuple::encode(tx, &items)
}

/// A tuple whose first item is such a tuple, and so on.
fn nested<P: Platform>(tx: &mut Participant<P>, depth: u64, last: Value) -> Result<Value, Stop> {
    let mut inner = last;
    for _ in 0..depth {
        let long = text::encode(tx, LONG)?;
        inner = tuple::encode(tx, &[inner, long])?;
    }
    Ok(inner)
}

/// The most accesses that one step of a collection makes, and how many steps there are.
fn dearest_step(heap: &Heap, tx: &mut Tx) -> (u64, u64) {
    const MANY: u64 = 1 << 40;
    let mut collection = tx.open_collection(Patience::IN_A_HURRY).unwrap();
    let mut dearest = 0;
    for steps in 1.. {
        heap.die_after(MANY);
        let step = unless_killed(|| tx.collection_step(&mut collection)).unwrap();
        dearest = dearest.max(MANY - heap.live_on());
        if let Step::Over(collected) = step {
            assert_eq!((collected.objects, collected.damage), (0, None));
            return (dearest, steps);
        }
    }
    unreachable!()
}

#[test]
fn a_step_is_short_whatever_hangs_on_a_place() {
    let (heap, space) = space_of_few(32 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    let mut blocks = 0;
    tx.run(|tx| {
        let names = dict::create(tx)?;
        list::push(tx, root, Value::handle(names))
    })
    .unwrap();
    for number in 0..60 {
        tx.run(|tx| {
            let many = tuple_of(tx, 500, integer(1))?;
            list::push(tx, root, many)?;
            let names = item(tx, root, 0)?;
            let name = format!("{LONG} {number}");
            let key = text_key(tx, &name);
            let many = tuple_of(tx, 100, integer(1))?;
            dict::set(tx, names, &key, many).map(drop)
        })
        .unwrap();
        blocks += 600;
    }
    tx.run(|tx| {
        let deep = nested(tx, ITEMS, integer(1))?;
        list::push(tx, root, deep)?;
        let wide = tuple_of(tx, ITEMS, integer(1))?;
        list::push(tx, root, wide)?;
        let shared = tuple_of(tx, ITEMS, integer(1))?;
        tx.share(shared.as_handle().unwrap());
        list::push(tx, root, shared)
    })
    .unwrap();
    blocks += 4 * ITEMS;
    let (dearest, steps) = dearest_step(&heap, &mut tx);
    println!("{blocks} blocks, {steps} steps, the dearest of them {dearest} accesses");
    assert!(steps > blocks / TRACED_AT_ONCE, "only {steps} steps");
    assert!(dearest < 16 * TRACED_AT_ONCE, "{dearest} accesses in one step");
}

/// What one step of a collection may find at its last place only, and where it goes meanwhile.
type Move = fn(&mut Tx, Handle) -> Result<(), Stop>;

/// Between any two steps of a collection an object goes from the end of a large tree, which is taken out, to a place where the tracer has been.
fn stays(made: Move, moved: Move) {
    let (_, space) = space_of_few(16 * MIB);
    let mut collector = space.participant().unwrap();
    let mut mover = space.participant().unwrap();
    let root = root_list(&mut mover);
    mover.run(|tx| (0..2).try_for_each(|_| list::push(tx, root, Value::NONE))).unwrap();
    let mut at_rest = None;
    for steps in 0.. {
        at_rest = at_rest.filter(|_| steps > 2);
        mover.run(|tx| made(tx, root)).unwrap();
        let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
        let over = (0..steps).any(|_| matches!(collector.collection_step(&mut collection), Step::Over(_)));
        mover.run(|tx| moved(tx, root)).unwrap();
        // What was taken out goes, and its memory becomes somebody else's.
        mover.collect();
        mover.give_back_pages();
        mover.run(|tx| tuple_of(tx, 100, integer(0)).and_then(|made| list::push(tx, root, made))).unwrap();
        while !over && !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
        collector.collect();
        let found = mover.run(|tx| {
            let treasure = item(tx, root, 0)?;
            list::get(tx, treasure, 0)
        });
        assert_eq!(found, Ok(Some(integer(42))), "{steps} steps");
        mover
            .run(|tx| {
                list::truncate(tx, root, 2)?;
                (0..2).try_for_each(|place| list::set(tx, root, place, Value::NONE).map(drop))
            })
            .unwrap();
        collected(&mut mover);
        mover.collect();
        nothing_waits(&space);
        // The first times make the logs as large as they have to be.
        let live = live(&space);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after {steps} steps");
        if over {
            assert!(steps > 8, "only {steps} steps");
            return;
        }
    }
}

fn treasure<P: Platform>(tx: &mut Participant<P>) -> Result<Value, Stop> {
    list_of(tx, &[integer(42)]).map(Value::handle)
}

#[test]
fn what_moves_out_of_a_tree_that_is_gone_through_in_pieces_stays() {
    stays(
        |tx, root| {
            let treasure = treasure(tx)?;
            let tree = tuple_of(tx, ITEMS, treasure)?;
            list::set(tx, root, 1, tree).map(drop)
        },
        |tx, root| {
            let tree = list::get(tx, root, 1)?.unwrap();
            let treasure = tuple::item(tx, tree.as_handle().unwrap(), ITEMS)?.unwrap();
            list::set(tx, root, 0, treasure)?;
            list::set(tx, root, 1, Value::NONE).map(drop)
        },
    );
}

#[test]
fn what_moves_out_of_a_tree_behind_an_entry_stays() {
    fn names<P: Platform>(tx: &mut Participant<P>, root: Handle) -> Result<Handle, Stop> {
        Ok(list::get(tx, root, 1)?.unwrap().as_handle().unwrap())
    }
    stays(
        |tx, root| {
            let names = dict::create(tx)?;
            let treasure = treasure(tx)?;
            let tree = tuple_of(tx, ITEMS, treasure)?;
            let key = text_key(tx, LONG);
            dict::set(tx, names, &key, tree)?;
            list::set(tx, root, 1, Value::handle(names)).map(drop)
        },
        |tx, root| {
            let names = names(tx, root)?;
            let key = text_key(tx, LONG);
            let tree = dict::set(tx, names, &key, integer(0))?.unwrap();
            let treasure = tuple::item(tx, tree.as_handle().unwrap(), ITEMS)?.unwrap();
            list::set(tx, root, 0, treasure)?;
            object::discard(tx, tree)
        },
    );
}

/// Whoever helps is in the middle of a tree when he goes, or finds that the collector is at it: it is grey still.
#[test]
fn a_tree_that_a_helper_leaves_in_the_middle_is_gone_through_by_others() {
    let (heap, space) = space_of_few(16 * MIB);
    let mut collector = space.participant().unwrap();
    let mut helper = another(&heap, &space).participant().unwrap();
    let root = root_list(&mut collector);
    collector
        .run(|tx| {
            for _ in 0..3 {
                let treasure = treasure(tx)?;
                let tree = tuple_of(tx, ITEMS, treasure)?;
                let holder = list_of(tx, &[tree])?;
                list::push(tx, root, Value::handle(holder))?;
            }
            Ok(())
        })
        .unwrap();
    let before = live(&space);
    for steps in 0..24 {
        let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
        let mut over = false;
        let mut helping = loop {
            if let Some(helping) = helper.offer_help() {
                break Some(helping);
            }
            over = matches!(collector.collection_step(&mut collection), Step::Over(_));
            if over {
                break None;
            }
        };
        for step in 0..steps {
            if let Some(helping) = &mut helping {
                helper.helping_step(helping, TRACED_AT_ONCE);
            }
            if step % 3 == 2 {
                over = over || matches!(collector.collection_step(&mut collection), Step::Over(_));
            }
        }
        drop(helping.take());
        while !over && !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
        collector.collect();
        assert_eq!(live(&space), before, "{steps} steps of help");
        nothing_waits(&space);
    }
}
