//! A scene in every schedule of one preemption: one actor stops before its n-th access to memory, for every n, and another acts
//! to its end in that instant; then the first goes on, then the rest act.
//!
//! One thread plays all parts, in time of its own. An actor that waits for the one that stands still, and for nobody else, waits
//! in vain: such schedules are none and are skipped.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use pso_engine::platform::Platform;
use pso_model::alone::{Alone, Endless};
use pso_model::heap::Heap;
use pso_model::history::Recorder;
use pso_model::interpose::Instant;
use pso_model::lens::{Access, Lens, ProcessLens, Through};
use pso_model::mutant::{Fault, Mutant};
use pso_model::scenario::{Actor, Setting, scene, small_geometry};

use crate::judge;

/// An instant among the accesses of all processes.
#[derive(Clone, Default)]
struct Everywhere(Arc<Instant>);

impl<P: Platform> Lens<P> for Everywhere {
    fn access(&self, inner: &P, access: Access) -> Result<u64, u64> {
        self.0.access(inner, access)
    }
}

impl<P: Platform> ProcessLens<P> for Everywhere {
    fn another(&self) -> Self {
        self.clone()
    }
}

/// The faulty engine's accesses are instants, too: the fault is outermost.
type World = Through<Through<Through<Heap, Alone>, Everywhere>, Mutant>;

/// More than any wait of the protocol: hung owners are stopped after 100 ms.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Gives how many schedules there were. Panics where something does not hold.
pub fn play(fault: Fault, name: &str) -> u64 {
    let actors = cast(fault, name, |_, play| play.actors.len());
    let mut schedules = 0;
    for watched in 0..actors {
        for intruder in (0..actors).filter(|intruder| *intruder != watched) {
            for instant in 0.. {
                schedules += 1;
                if through(fault, name, [watched, intruder], instant) {
                    break;
                }
            }
        }
    }
    schedules
}

/// The scene, cast and not yet begun, and what hears of it.
fn cast<T>(fault: Fault, name: &str, act: impl FnOnce(&Stage, pso_model::scenario::Play) -> T) -> T {
    let (heap, layout) = Heap::space(small_geometry());
    heap.watch_pages();
    let stage = Stage { instant: Everywhere::default(), recorder: Recorder::default() };
    let world = Through::over(Alone::until(PATIENCE_NS).on(heap), stage.instant.clone());
    let recorder = stage.recorder.clone();
    let setting = Setting::<World>::new(Through::over(world, Mutant::new(fault, layout)), layout)
        .before(Box::new(move |participant| recorder.watch(participant)));
    let play = setting.play(scene(name));
    act(&stage, play)
}

struct Stage {
    instant: Everywhere,
    recorder: Recorder,
}

/// One schedule. True if the instant lies behind the end of the watched actor.
fn through(fault: Fault, name: &str, [watched, intruder]: [usize; 2], instant: u64) -> bool {
    cast(fault, name, |stage, play| {
        let mut actors: Vec<Option<Actor>> = play.actors.into_iter().map(Some).collect();
        let first = actors[watched].take().unwrap();
        let second = Arc::new(Mutex::new(actors[intruder].take()));
        let inside = Arc::new(AtomicBool::new(false));
        let (entering, within) = (Arc::clone(&second), Arc::clone(&inside));
        stage.instant.0.at(instant, move || {
            within.store(true, Relaxed);
            let actor = entering.lock().unwrap().take();
            actor.into_iter().for_each(|actor| actor());
            within.store(false, Relaxed);
        });
        let played = catch_unwind(AssertUnwindSafe(first));
        let through = stage.instant.0.forget();
        match played {
            Err(payload) if payload.is::<Endless>() && inside.load(Relaxed) => return false,
            Err(payload) => resume_unwind(payload),
            Ok(()) => {}
        }
        let late = second.lock().unwrap().take();
        late.into_iter().chain(actors.into_iter().flatten()).for_each(|actor| actor());
        (play.epilogue)();
        judge(&stage.recorder);
        through
    })
}
