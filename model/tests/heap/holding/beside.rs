//! Threads of one process, and a fork of one of them beside what another is at: all that one preemption can do.

use std::sync::{Arc, Mutex};

use pso_engine::arena::Geometry;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::holding::{Hold, for_each_held};
use pso_engine::object::list;
use pso_engine::participant::{PIECES, ProcessSlot};
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::Handle;
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

use super::BASE;

type Watched = Interposed<Heap>;

/// A process that is stopped at a chosen access, and what it holds.
struct Parent {
    heap: Heap,
    space: Arc<Space<Watched>>,
    tx: Participant<Watched>,
    objects: Vec<Handle>,
    holds: Vec<Hold>,
}

fn parent(count: usize) -> Parent {
    let (heap, layout) = Heap::space(Geometry { log_base: BASE / 2, ..Geometry::for_bytes(4 << 20).unwrap() });
    let space = Space::join(Interposed::new(heap.process()), layout).unwrap();
    let mut tx = space.participant().unwrap();
    let objects: Vec<Handle> = tx.run(|tx| (0..count).map(|_| list::create(tx)).collect()).unwrap();
    let holds = objects.iter().map(|object| tx.run(|tx| tx.hold(*object)).unwrap()).collect();
    Parent { heap, space, tx, objects, holds }
}

impl Parent {
    fn at(&self, step: u64, action: impl FnOnce() + Send + 'static) {
        self.space.arena().platform().at(step, action);
    }
    /// True: all was over before the access was come to.
    fn forget(&self) -> bool {
        self.space.arena().platform().forget()
    }
}

/// What the child of a fork does that has a slot. Gives it, and whether it inherits.
fn come(heap: &Heap, parent: &Arc<Space<Watched>>) -> (Arc<Space<Heap>>, bool) {
    let noted = parent.held_at_fork().expect("a note");
    let child = Space::join(heap.process(), *parent.arena().layout()).unwrap();
    let inherits = child.take_over_held(parent.claim(), &noted).unwrap();
    (child, inherits)
}

/// The child holds all by the tokens of its parent, but perhaps for what another thread was about to let go of.
fn inherits_all(parent: &mut Parent, child: &Arc<Space<Heap>>, released: usize, step: u64) {
    let mut held = Vec::new();
    // What was put off in the parent goes.
    parent.tx.release(parent.holds[0]);
    for_each_held(child.arena(), &mut |handle| held.push(handle)).unwrap();
    for (number, object) in parent.objects.iter().enumerate() {
        let times = held.iter().filter(|handle| *handle == object).count();
        let wanted = match number {
            0 => 1..=1,
            _ if number == released => 0..=1,
            _ => 2..=2,
        };
        assert!(wanted.contains(&times), "access {step}: object {number} is held {times} times");
    }
    parent.holds.iter().for_each(|hold| child.release(*hold));
    parent.holds.iter().for_each(|hold| parent.space.release(*hold));
    assert_eq!(fsck_at_rest(&parent.space), vec![], "access {step}");
}

/// The danger: the child is told that its parent does not hold what was noted, and holds nothing.
#[test]
fn who_lets_go_at_the_moment_of_a_fork_takes_nothing_from_the_child() {
    const RELEASED: usize = 7;
    for comes_at_once in [false, true] {
        for step in 0.. {
            let mut parent = parent(20);
            let child = Arc::new(Mutex::new(None));
            let (heap, space, there) = (parent.heap.clone(), Arc::clone(&parent.space), Arc::clone(&child));
            parent.at(step, move || {
                space.before_fork();
                if comes_at_once {
                    *there.lock().unwrap() = Some(come(&heap, &space));
                }
            });
            parent.space.release(parent.holds[RELEASED]);
            if parent.forget() {
                assert!(step > 3, "{step} accesses");
                break;
            }
            let child = child.lock().unwrap().take();
            let (child, inherits) = child.unwrap_or_else(|| come(&parent.heap, &parent.space));
            assert!(inherits, "access {step}");
            inherits_all(&mut parent, &child, RELEASED, step);
        }
    }
}

/// The same where the whole release is squeezed in before an access of the fork.
#[test]
fn who_forks_at_the_moment_of_a_release_loses_nothing() {
    const RELEASED: usize = 7;
    for step in 0.. {
        let mut parent = parent(20);
        let (space, hold) = (Arc::clone(&parent.space), parent.holds[RELEASED]);
        parent.at(step, move || space.release(hold));
        parent.space.before_fork();
        if parent.forget() {
            assert!(step > 20, "{step} accesses");
            return;
        }
        let (child, inherits) = come(&parent.heap, &parent.space);
        assert!(inherits, "access {step}");
        inherits_all(&mut parent, &child, RELEASED, step);
    }
}

/// The danger: each adds one, twice as large as the last.
#[test]
fn who_finds_a_full_table_beside_another_takes_the_piece_of_that_one() {
    let pieces = |space: &Space<Watched>| {
        let slot = ProcessSlot::of(space.arena(), space.process()).unwrap();
        (0..PIECES).filter(|piece| space.arena().platform().load(slot.holds_piece(*piece), Relaxed) != 0).count()
    };
    for step in 0.. {
        let mut parent = parent(BASE as usize);
        assert_eq!(pieces(&parent.space), 1);
        let mut other = parent.space.participant().unwrap();
        let object = parent.objects[0];
        parent.at(step, move || {
            other.run(|tx| tx.hold(object)).unwrap();
        });
        parent.tx.run(|tx| tx.hold(object)).unwrap();
        if parent.forget() {
            assert!(step > BASE, "{step} accesses");
            return;
        }
        assert_eq!(pieces(&parent.space), 2, "access {step}");
        assert_eq!(fsck_at_rest(&parent.space), vec![], "access {step}");
    }
}
