//! An object whose name comes from an old pickle: it is taken up whole, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use pso_engine::holding::Hold;

type Watched = Interposed<Heap>;

/// A list in a list that nothing names; who may collect it, and who loads it.
struct Scene {
    space: Arc<Space<Heap>>,
    others: Arc<Space<Watched>>,
    collector: Tx,
    loader: Participant<Watched>,
    object: Handle,
}

fn scene() -> Scene {
    let (heap, layout) = Heap::space(Geometry::for_bytes(2 * MIB).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    let others = Space::join(Interposed::new(heap.process()), layout).unwrap();
    let mut collector = space.participant().unwrap();
    let object = collector
        .run(|tx| {
            let inner = list_of(tx, &[integer(42)])?;
            list_of(tx, &[Value::handle(inner)])
        })
        .unwrap();
    let mut loader = others.participant().unwrap();
    loader.begin().unwrap();
    Scene { space, others, collector, loader, object }
}

/// Behind the collection: who has taken the object up finds all of it. Gives whether he has.
fn is_taken(
    space: &Arc<Space<Heap>>,
    collector: &mut Tx,
    mut loader: Participant<Watched>,
    (object, hold): (Handle, Option<Hold>),
    at: &str,
) -> bool {
    collector.collect();
    if let Some(hold) = hold {
        let inner = loader.run(|tx| {
            let inner = item(tx, object, 0)?;
            list::get(tx, inner, 0)
        });
        assert_eq!(inner, Ok(Some(integer(42))), "{at}");
        loader.release(hold);
    }
    drop(loader);
    collected(collector);
    nothing_waits(space);
    assert_eq!(fsck_at_rest(space), vec![], "{at}");
    hold.is_some()
}

/// Somebody takes up a list that nothing names, and at an access of his another begins to collect and goes some steps, whatever access and however many.
#[test]
fn what_is_taken_up_has_lost_nothing_to_a_collection() {
    let (mut taken, mut refused) = (0, 0);
    for first in 0.. {
        let mut through = false;
        for steps in 0.. {
            let Scene { space, others, collector, mut loader, object } = scene();
            let place = Arc::new(Mutex::new((collector, None, false)));
            let place_of = Arc::clone(&place);
            others.arena().platform().at(first, move || {
                let mut place = place_of.lock().unwrap();
                let (collector, under_way, over) = &mut *place;
                let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
                *over = (0..steps).any(|_| matches!(collector.collection_step(&mut collection), Step::Over(_)));
                *under_way = Some(collection);
            });
            let hold = loader.take_up(object, || false).unwrap();
            through = others.arena().platform().forget();
            loader.abort();
            let mut place = place.lock().unwrap();
            let (collector, under_way, over) = &mut *place;
            let over = *over || under_way.is_none();
            if let Some(collection) = under_way {
                while !over && !matches!(collector.collection_step(collection), Step::Over(_)) {}
            }
            let at = format!("access {first}, {steps} steps of the collection");
            match is_taken(&space, collector, loader, (object, hold), &at) {
                true => taken += 1,
                false => refused += 1,
            }
            if over {
                break;
            }
        }
        if through {
            break;
        }
    }
    assert!(taken > 10 && refused > 10, "{taken} were taken up, {refused} were not");
}

/// Who had it exported lets go of it at an access of whoever loads it, as one does who asked for a collection before there was one: nobody shades it. The
/// collection goes on by some steps at that moment, and through behind it.
#[test]
fn what_was_exported_a_moment_ago_is_taken_up_whole_or_not_at_all() {
    let (mut taken, mut refused) = (0, 0);
    for first in 0.. {
        let mut through = false;
        for steps in 0.. {
            let Scene { space, others, mut collector, mut loader, object } = scene();
            let under_way = collector.open_collection(Patience::IN_A_HURRY).unwrap();
            let place = Arc::new(Mutex::new((collector, under_way, false)));
            let (place_of, is_kept) = (Arc::clone(&place), Arc::new(AtomicBool::new(true)));
            let kept = Arc::clone(&is_kept);
            others.arena().platform().at(first, move || {
                kept.store(false, Ordering::Relaxed);
                let mut place = place_of.lock().unwrap();
                let (collector, collection, over) = &mut *place;
                *over = (0..steps).any(|_| matches!(collector.collection_step(collection), Step::Over(_)));
            });
            let hold = loader.take_up(object, || is_kept.load(Ordering::Relaxed)).unwrap();
            through = others.arena().platform().forget();
            loader.abort();
            let mut place = place.lock().unwrap();
            let (collector, collection, over) = &mut *place;
            while !*over && !matches!(collector.collection_step(collection), Step::Over(_)) {}
            let at = format!("access {first}, {steps} steps of the collection");
            match is_taken(&space, collector, loader, (object, hold), &at) {
                true => taken += 1,
                false => refused += 1,
            }
            if *over || through {
                break;
            }
        }
        if through {
            break;
        }
    }
    assert!(taken > 3 && refused > 3, "{taken} were taken up, {refused} were not");
}

/// Who had it exported has told nobody that he lets go: there was no collection. Then, at whatever access of whoever loads it, one begins and goes some steps, through the tables perhaps; and at whatever
/// later access the export goes, and the collection comes to its end.
#[test]
fn what_was_exported_until_a_collection_had_passed_is_taken_up_whole_or_not_at_all() {
    let (mut taken, mut refused) = (0, 0);
    for first in 0.. {
        let mut is_first_through = false;
        for (steps, gap) in [2, 3, 4, 6].into_iter().flat_map(|steps| (0..12).map(move |gap| (steps, gap))) {
            let Scene { space, others, collector, mut loader, object } = scene();
            let place = Arc::new(Mutex::new((collector, None)));
            let is_kept = Arc::new(AtomicBool::new(true));
            let (place_of, kept, there) = (Arc::clone(&place), Arc::clone(&is_kept), Arc::clone(&others));
            others.arena().platform().at(first, move || {
                let mut begun = place_of.lock().unwrap();
                let (collector, under_way) = &mut *begun;
                let mut collection = collector.open_collection(Patience::IN_A_HURRY).unwrap();
                assert!((0..steps).all(|_| collector.collection_step(&mut collection) == Step::Went));
                *under_way = Some(collection);
                drop(begun);
                there.arena().platform().at(gap, move || {
                    kept.store(false, Ordering::Relaxed);
                    let (collector, under_way) = &mut *place_of.lock().unwrap();
                    let mut collection = under_way.take().unwrap();
                    while !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
                });
            });
            let hold = loader.take_up(object, || is_kept.load(Ordering::Relaxed)).unwrap();
            let is_second_through = others.arena().platform().forget();
            loader.abort();
            let (collector, under_way) = &mut *place.lock().unwrap();
            if let Some(mut collection) = under_way.take() {
                while !matches!(collector.collection_step(&mut collection), Step::Over(_)) {}
            } else if is_second_through {
                is_first_through = true;
                break;
            }
            let at = format!("access {first}, {steps} steps of the collection, {gap} accesses later");
            match is_taken(&space, collector, loader, (object, hold), &at) {
                true => taken += 1,
                false => refused += 1,
            }
        }
        if is_first_through {
            break;
        }
    }
    assert!(taken > 10 && refused > 10, "{taken} were taken up, {refused} were not");
}
