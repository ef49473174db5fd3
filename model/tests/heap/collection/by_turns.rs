//! Several who collect a little now and then, and let the collection rest in between.

use pso_engine::platform::System;
use pso_model::alone::Alone;
use pso_model::lens::Through;

use super::*;

/// Does nothing for so long.
fn rest(tx: &Participant<Through<Heap, Alone>>, ns: u64) {
    let (platform, bell) = (tx.arena().platform(), Slot::of(tx.arena(), tx.id()).unwrap().bell());
    platform.wait(bell, platform.load(bell, Relaxed) as u32, ns);
}

/// Two, each of whom comes to it after the other has let it rest for longer than others have to leave it. The danger: each begins anew, and none comes to an end.
#[test]
fn two_who_come_to_it_seldom_find_what_nothing_names() {
    const STEPS_BY_THE_WAY: u32 = 8;
    let (heap, layout) = Heap::space(Geometry::for_bytes(16 * MIB).unwrap());
    let space = Space::join(Alone::default().on(heap.process()), layout).unwrap();
    let mut both = [(); 2].map(|()| space.participant().unwrap());
    let root = root_list(&mut both[0]);
    both[0]
        .run(|tx| {
            for _ in 0..20_000 {
                let list = list_of(tx, &[])?;
                list::push(tx, root, Value::handle(list))?;
            }
            list_of(tx, &[]).map(drop)
        })
        .unwrap();
    let (mut resting, mut begun) = ([None, None], 0);
    let pause_ns = Patience::BY_THE_WAY.rests_ns * 6 / 5;
    for round in 0..1000 {
        let tx = &mut both[round % 2];
        let mine = match resting[round % 2].take() {
            Some(resting) => Some(resting).filter(|resting| tx.resume_collection(resting)),
            None => {
                let opened = tx.open_collection(Patience::BY_THE_WAY);
                begun += u32::from(opened.is_some());
                opened
            }
        };
        if let Some(mut collection) = mine {
            for _ in 0..STEPS_BY_THE_WAY {
                if let Step::Over(collected) = tx.collection_step(&mut collection) {
                    assert_eq!((collected.objects, collected.damage), (1, None));
                    assert!(begun > 1 && round > 10, "{begun} collections in {round} turns: too few to tell");
                    return;
                }
            }
            tx.rest_collection(&collection);
            resting[round % 2] = Some(collection);
        }
        rest(tx, pause_ns);
    }
    panic!("{begun} collections were begun, and none has come to its end");
}
