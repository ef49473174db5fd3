//! Others help whoever collects. Whoever helps may stand still, be killed, or come back late; so may whoever is helped.

use super::*;
use pso_engine::collection::{Collection, Help, Helping, TRACED_AT_ONCE};
use pso_engine::transaction::{Progress, WholeCollection};

/// Whoever collects is taken for one who does not come back.
const AT_ONCE: Patience = Patience { rests_ns: 0, silent_ns: 0 };
/// Items of the large list: so many that they are no single step's work, or a few.
const LARGE: u64 = 3000;
const SMALL: u64 = 2;

fn content(number: u64) -> Value {
    integer(number as i64)
}

/// A list that names a list that names one with `content` in it, and so on: so many, the deepest of them made first.
fn chain<P: Platform>(tx: &mut Participant<P>, length: usize, content: Value) -> Result<Value, Stop> {
    (0..length).try_fold(content, |inner, _| list_of(tx, &[inner]).map(Value::handle))
}

/// The root names chains of some lists each, and a large list, of which some items are lists.
fn found<P: Platform>(tx: &mut Participant<P>, chains: u64, items: u64) -> Handle {
    let root = root_list(tx);
    for number in 0..chains {
        tx.run(|tx| {
            let chain = chain(tx, 5, content(number))?;
            list::push(tx, root, chain)
        })
        .unwrap();
    }
    tx.run(|tx| {
        let large = list::create(tx)?;
        for number in 0..items {
            let item = if number % 100 == 0 { chain(tx, 1, content(number))? } else { Value::NONE };
            list::push(tx, large, item)?;
        }
        list::push(tx, root, Value::handle(large))
    })
    .unwrap();
    root
}

/// Looks at all of it.
fn is_whole<P: Platform>(tx: &mut Participant<P>, root: Handle, chains: u64, items: u64) -> Result<bool, Stop> {
    tx.run(|tx| {
        let mut whole = true;
        for number in 0..chains {
            let mut list = item(tx, root, number)?;
            for _ in 1..5 {
                list = item(tx, list, 0)?;
            }
            whole &= list::get(tx, list, 0)?.is_some_and(|value| (0..chains).any(|number| value == content(number)));
        }
        let large = item(tx, root, chains)?;
        for number in (0..items).step_by(100) {
            let list = item(tx, large, number)?;
            whole &= list::get(tx, list, 0)? == Some(content(number));
        }
        Ok(whole)
    })
}

/// Takes the second list of a chain out of the first, puts a new first one around it, and lets the chains change places.
fn rewrap<P: Platform>(tx: &mut Participant<P>, root: Handle, first: u64, second: u64) {
    tx.run(|tx| {
        for (from, to) in [(first, second), (second, first)] {
            let outer = item(tx, root, from)?;
            let inner = list::get(tx, outer, 0)?.unwrap();
            let around = list_of(tx, &[inner])?;
            let other = list::get(tx, root, to)?.unwrap();
            list::set(tx, root, to, Value::handle(around))?;
            list::set(tx, root, from, other)?;
        }
        Ok(())
    })
    .unwrap();
}

/// A collection, begun by the one and as far as that the other one is admitted to help.
pub(super) fn begin<P: Platform, Q: Platform>(
    tx: &mut Participant<P>,
    helper: &mut Participant<Q>,
) -> (Collection, Helping) {
    let mut collection = tx.open_collection(AT_ONCE).unwrap();
    loop {
        if let Some(helping) = helper.offer_help() {
            return (collection, helping);
        }
        assert_eq!(tx.collection_step(&mut collection), Step::Went, "it admits nobody");
    }
}

/// Goes on by `steps`. True: it is over.
fn go_on<P: Platform>(tx: &mut Participant<P>, collection: &mut Collection, steps: u64) -> bool {
    (0..steps).any(|_| match tx.collection_step(collection) {
        Step::Went => false,
        Step::Over(_) => true,
        Step::Lost => panic!("nobody else takes over"),
    })
}

/// Helps until there is nothing to help with.
pub(super) fn help<P: Platform>(tx: &mut Participant<P>, helping: &mut Helping) -> u64 {
    (0..).find(|_| tx.helping_step(helping, TRACED_AT_ONCE) != Help::Went).unwrap()
}

/// Somebody collects, and another one helps, all that there is.
#[test]
fn who_helps_traces_what_is_grey_and_nothing_is_lost() {
    let (heap, space) = space_of_few(4 * MIB);
    let mut tx = space.participant().unwrap();
    let mut helper = another(&heap, &space).participant().unwrap();
    let root = found(&mut tx, 40, LARGE);
    let before = live(&space);
    garbage(&mut tx);
    assert_eq!(helper.offer_help().map(drop), None, "nobody collects");
    let (mut collection, mut helping) = begin(&mut tx, &mut helper);
    assert!(help(&mut helper, &mut helping) > 3, "it had something to do");
    assert!(go_on(&mut tx, &mut collection, u64::MAX));
    assert_eq!(helper.helping_step(&mut helping, TRACED_AT_ONCE), Help::Over);
    assert_eq!(helper.offer_help().map(drop), None, "it is over");
    tx.collect();
    assert_eq!(live(&space), before);
    assert_eq!(is_whole(&mut tx, root, 40, LARGE), Ok(true));
    nothing_waits(&space);
}

/// A process that wants to collect while another one does helps, and collects then.
#[test]
fn who_would_collect_beside_another_helps_and_collects_then() {
    let (heap, space) = space_of_few(4 * MIB);
    let mut tx = space.participant().unwrap();
    let mut other = another(&heap, &space).participant().unwrap();
    let root = found(&mut tx, 40, LARGE);
    let before = live(&space);
    let mut first = WholeCollection::default();
    let mut second = WholeCollection::default();
    let (mut helped, mut ends) = (0, [false, false]);
    for turn in 0.. {
        assert!(turn < 100_000, "they do not come to an end");
        garbage(&mut tx);
        ends[0] |= matches!(tx.go_on_with(&mut first, 1), Progress::Over(_));
        let went = other.go_on_with(&mut second, 1);
        helped += u64::from(went == Progress::Went && !ends[0]);
        ends[1] |= matches!(went, Progress::Over(_));
        if ends == [true, true] {
            break;
        }
    }
    assert!(helped > 3, "{helped}");
    tx.collect();
    collected(&mut tx);
    assert_eq!((live(&space), is_whole(&mut tx, root, 40, LARGE)), (before, Ok(true)));
    nothing_waits(&space);
}

/// Whoever helps stands still before an access. The collection goes on by `steps`, chains are moved; he goes on, and so does the collection.
fn stands_still_for(steps: u64, late: u64, items: u64, stride: usize) -> bool {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let mut helper = space.participant().unwrap();
    let mut mover = others.participant().unwrap();
    let root = found(&mut mover, 8, items);
    let mover = Arc::new(Mutex::new(mover));
    let collector = Arc::new(Mutex::new((others.participant().unwrap(), None::<Collection>)));
    let (mut at_rest, mut overs) = (None, 0);
    for step in (0..).step_by(stride) {
        garbage(&mut mover.lock().unwrap());
        let mut helping = {
            let (tx, collection) = &mut *collector.lock().unwrap();
            let (begun, helping) = begin(tx, &mut helper);
            *collection = Some(begun);
            // As far as that the helper comes late.
            assert!(!go_on(tx, collection.as_mut().unwrap(), late));
            helping
        };
        let (collector_of, mover_of) = (Arc::clone(&collector), Arc::clone(&mover));
        let over = Arc::new(Mutex::new(false));
        let over_of = Arc::clone(&over);
        space.arena().platform().at(step, move || {
            let (tx, collection) = &mut *collector_of.lock().unwrap();
            rewrap(&mut mover_of.lock().unwrap(), root, step % 8, (step + 3) % 8);
            *over_of.lock().unwrap() = go_on(tx, collection.as_mut().unwrap(), steps);
            rewrap(&mut mover_of.lock().unwrap(), root, (step + 1) % 8, (step + 5) % 8);
            garbage(&mut mover_of.lock().unwrap());
        });
        help(&mut helper, &mut helping);
        let through = space.arena().platform().forget();
        let (tx, collection) = &mut *collector.lock().unwrap();
        let mut mover = mover.lock().unwrap();
        let over = *over.lock().unwrap();
        overs += u64::from(over);
        assert!(over || go_on(tx, collection.as_mut().unwrap(), u64::MAX), "step {step}");
        assert_eq!(fsck_at_rest(&others), vec![], "step {step}");
        tx.collect();
        assert_eq!(is_whole(&mut mover, root, 8, items), Ok(true), "step {step}");
        collected(&mut mover);
        tx.collect();
        nothing_waits(&others);
        assert_eq!(is_whole(&mut mover, root, 8, items), Ok(true), "step {step}");
        let live = live(&others);
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after step {step}");
        if through {
            assert!(late > 0 || step > 100, "only {step} accesses");
            return overs >= step / stride as u64;
        }
    }
    unreachable!()
}

#[test]
fn who_stands_still_while_he_helps_takes_nothing_along() {
    for steps in [1, 2, 4, 7] {
        stands_still_for(steps, 0, SMALL, 3);
    }
}

#[test]
fn a_helped_collection_is_over_while_who_helps_stands_still() {
    assert!(stands_still_for(u64::MAX, 0, SMALL, 2));
    assert!(stands_still_for(u64::MAX, 0, LARGE, 331));
}

#[test]
fn who_helps_late_takes_nothing_along() {
    for late in [1, 2, 4, 6, 8, 10] {
        for steps in [1, 2, 3, 5, 8, u64::MAX] {
            stands_still_for(steps, late, SMALL, 5);
        }
    }
}

/// Whoever helps, or whoever is helped, is killed before an access.
fn killed(helps: bool) {
    let (heap, space) = space_of_few(4 * MIB);
    let mut survivor = space.participant().unwrap();
    let root = found(&mut survivor, 8, SMALL);
    let mut at_rest = None;
    for step in (0..).step_by(5) {
        garbage(&mut survivor);
        let mut other = space.participant().unwrap();
        let both = Mutex::new(None);
        let through = dies_at(
            &heap,
            &space,
            step,
            |victim| {
                let begun = if helps { begin(&mut other, victim) } else { begin(victim, &mut other) };
                both.lock().unwrap().replace(begun);
            },
            |victim| {
                let mut both = both.lock().unwrap();
                let (collection, helping) = both.as_mut().unwrap();
                if helps {
                    help(victim, helping);
                } else {
                    go_on(victim, collection, u64::MAX);
                }
            },
        );
        let (mut collection, mut helping) = both.into_inner().unwrap_or_else(|taken| taken.into_inner()).unwrap();
        if helps {
            assert!(go_on(&mut other, &mut collection, u64::MAX), "step {step}");
        } else {
            help(&mut other, &mut helping);
            rewrap(&mut survivor, root, 0, 1);
            let mut next = other.open_collection(AT_ONCE).unwrap();
            assert!(go_on(&mut other, &mut next, u64::MAX), "step {step}");
        }
        // What the dead one was about to change he holds until then.
        space.recover_dead();
        other.collect();
        let live = live_after_a_kill(&space, &mut survivor, step);
        other.leave();
        assert_eq!(is_whole(&mut survivor, root, 8, SMALL), Ok(true), "step {step}");
        assert_eq!(*at_rest.get_or_insert(live), live, "blocks after a kill at step {step}");
        if through {
            assert!(step > 300, "only {step} steps");
            return;
        }
    }
}

#[test]
fn who_is_killed_while_he_helps_leaves_nothing() {
    killed(true);
}

#[test]
fn who_is_killed_while_he_is_helped_leaves_nothing() {
    killed(false);
}
