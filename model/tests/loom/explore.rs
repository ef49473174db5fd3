//! Plays a scene in every execution that loom knows, and says how many there were.
//!
//! Never with loom's limits on time or on executions: it reports success when they run out.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pso_model::scenario::{Scene, Setting, World};

use crate::touched::{Touched, Unknown, Words};
use crate::world::{Loom, Manners, Waiting};

/// Accesses and choices of one execution at most; a loop that never ends reaches it.
const MOST_BRANCHES: usize = 20_000;
/// Each round adds a word that executions touch: more than a scene has are never needed.
const MOST_ROUNDS: usize = 400;
/// A round that has met a word that is no loom object goes on for so many executions, to find more of them.
const MORE_EXECUTIONS: u64 = 50;
/// Of the stack of a thread: eight times what loom gives, which a scene's end has overflowed.
const STACK_WORDS: usize = 1 << 15;

/// Plays `scene` in all executions with at most `preemptions` preemptions (`None`: all that there are) and says how many
/// they are. Panics where the scene or loom finds something.
///
/// `wrap` is what the scene sees of the world: the world itself, or an adapter around it.
pub fn explore<W: World>(scene: Scene<W>, manners: Manners, preemptions: Option<usize>, wrap: impl Wrap<W>) -> u64 {
    explore_up_to(u64::MAX, scene, manners, preemptions, &mut Words::new(), wrap)
}

/// The same, and stops after `most` executions of each bound. Nothing is claimed to be complete then. `words`: those that are
/// known of the scene, and afterwards those that it touches; to know them saves the rounds in which they are learned.
pub fn explore_up_to<W: World>(
    most: u64,
    scene: Scene<W>,
    manners: Manners,
    preemptions: Option<usize>,
    words: &mut Words,
    wrap: impl Wrap<W>,
) -> u64 {
    // Most words are found with few preemptions, where a round is cheap.
    for bound in 0..preemptions.unwrap_or(2) {
        explore_with(most, scene, manners, Some(bound), words, wrap.clone());
    }
    explore_with(most, scene, manners, preemptions, words, wrap)
}

/// What turns the world into the platform of a scene.
pub trait Wrap<W>: Fn(Loom) -> W + Clone + Send + Sync + 'static {}
impl<W, F: Fn(Loom) -> W + Clone + Send + Sync + 'static> Wrap<W> for F {}

/// The panic that ends a round that has had enough executions.
struct Enough;

/// Rounds of executions, until one touches no word that was not known before it.
fn explore_with<W: World>(
    most: u64,
    scene: Scene<W>,
    manners: Manners,
    preemptions: Option<usize>,
    words: &mut Words,
    wrap: impl Wrap<W>,
) -> u64 {
    for _ in 0..MOST_ROUNDS {
        let executions = Arc::new(AtomicU64::new(0));
        let last = Arc::new(AtomicU64::new(most));
        let wrap = wrap.clone();
        let touched = Arc::new(Touched::of(words.clone()));
        let (counter, known) = (Arc::clone(&executions), Arc::clone(&touched));
        let mut builder = loom::model::Builder::new();
        builder.max_branches = MOST_BRANCHES;
        builder.preemption_bound = preemptions;
        builder.max_duration = None;
        builder.max_permutations = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                play(scene, manners, &known, &wrap);
                let executions = counter.fetch_add(1, Relaxed) + 1;
                if !known.is_complete() {
                    last.fetch_min(executions + MORE_EXECUTIONS, Relaxed);
                }
                if executions >= last.load(Relaxed) {
                    resume_unwind(Box::new(Enough));
                }
            });
        }));
        match outcome {
            Err(payload) if !payload.is::<Enough>() && !payload.is::<Unknown>() => resume_unwind(payload),
            _ if touched.is_complete() => return executions.load(Relaxed),
            _ => touched.add_to(words),
        }
    }
    panic!("the scene touches new words for ever");
}

/// One execution.
fn play<W: World>(scene: Scene<W>, manners: Manners, touched: &Arc<Touched>, wrap: &impl Wrap<W>) {
    let (world, layout) = Loom::new(manners, Arc::clone(touched));
    let setting = Setting::new(wrap(world.clone()), layout);
    let mut play = setting.play(scene);
    world.raise_curtain();
    // The main thread acts, too: one thread less for loom to order.
    let mine = play.actors.remove(0);
    let mut threads: Vec<_> = play.actors.into_iter().map(spawn).collect();
    if manners.waiting == Waiting::Fitful {
        let world = world.clone();
        threads.push(spawn(move || world.shake()));
    }
    mine();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    world.lower_curtain();
    // With nobody beside it: nothing more to order.
    spawn(play.epilogue).join().unwrap();
}

/// On a stack that is large enough for all that is looked at, and through what.
fn spawn(act: impl FnOnce() + Send + 'static) -> loom::thread::JoinHandle<()> {
    loom::thread::Builder::new().stack_size(STACK_WORDS).spawn(act).expect("threads are loom's own")
}
