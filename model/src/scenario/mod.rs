//! Scenes, written once as functions over a platform, run on every platform that there is.
//!
//! A scene says who is there, what each of them does, and what must hold afterwards; which threads, processes or schedules
//! run it is the business of the test that plays it. Its first lines tell the danger and why it is no larger than it is.
//! Values are chosen so that a wrong one shows.
//!
//! ```text
//! World      a platform with more than one process, and a hand on their deaths
//! Setting    makes a scene's processes and participants
//! Play       the actors, each for a thread of its own, and the epilogue when all are through
//! Scene      name, playwright
//! ```
//! What every play checks by itself: `fsck` finds nothing when all are through.

mod alternatives;
mod bank;
mod collect;
mod conflict;
mod death;
mod holding;
mod isolation;
mod membership;
mod memory;
mod pages;
mod patience;
mod privilege;
mod reclaim;
mod reuse;
mod waits;

use std::sync::{Arc, Mutex};

pub use bank::Bank;
use pso_engine::arena::{Geometry, HotWord, Layout};
use pso_engine::fsck::fsck;
use pso_engine::platform::{Ordering::Relaxed, Platform};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, ProcessSlotId};

/// A platform on which scenes can be played: several processes on one memory, whose ends the test decides about.
pub trait World: Platform + Clone {
    /// Another process on the same memory.
    fn process(&self) -> Self;
    /// Whoever holds `slot` is dead from now on; its threads are for the test to end.
    fn kill_process(&self, slot: ProcessSlotId);
    /// Whoever holds `slot` loses its byte of the lock file, and lives.
    fn fence_process(&self, slot: ProcessSlotId);
}

/// What a scene begins with: formatted memory.
pub struct Setting<W: World> {
    world: W,
    layout: Layout,
    audience: Option<Audience<W>>,
    /// The one process that outlives the play, and in whose name the epilogue looks around.
    stage: Mutex<Option<Arc<Space<W>>>>,
}

/// Is shown every participant before it acts, to give it an observer, say.
pub type Audience<W> = Box<dyn Fn(&mut Participant<W>) + Send + Sync>;

/// What one thread does, in a process that no other actor uses.
pub type Actor = Box<dyn FnOnce() + Send>;

/// A scene that is ready to begin. The actors run at once, each on a thread of its own; then the epilogue.
pub struct Play {
    /// At most five, which is what loom can hold. The first goes on until it is preempted: it is the one that is in the middle
    /// of something when another comes, so that a bound on preemptions goes far.
    pub actors: Vec<Actor>,
    /// Asserts what must hold when all actors are through.
    pub epilogue: Actor,
}

/// A scene by name.
pub struct Scene<W: World> {
    /// Its name in tables and expectations.
    pub name: &'static str,
    /// Prepares it.
    pub write: fn(&Setting<W>) -> Play,
}

// By hand: a derive would ask for `W: Copy`.
impl<W: World> Clone for Scene<W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W: World> Copy for Scene<W> {}

impl<W: World> Setting<W> {
    /// A setting in the formatted memory of `world`.
    pub fn new(world: W, layout: Layout) -> Self {
        Self { world, layout, audience: None, stage: Mutex::new(None) }
    }

    /// The same with somebody who is shown every participant.
    pub fn before(self, audience: Audience<W>) -> Self {
        Self { audience: Some(audience), ..self }
    }

    /// A new process joins the space.
    pub fn join(&self) -> Arc<Space<W>> {
        Space::join(self.world.process(), self.layout).expect("a process slot is free")
    }

    /// A process that has not joined yet: its platform, and what to join with.
    pub fn newcomer(&self) -> (W, Layout) {
        (self.world.process(), self.layout)
    }

    /// The process that makes the scene's objects and looks around when all is over.
    pub fn stage(&self) -> Arc<Space<W>> {
        Arc::clone(self.stage.lock().unwrap().get_or_insert_with(|| self.join()))
    }

    /// A participant of a process of its own.
    pub fn participant(&self) -> Participant<W> {
        self.participant_of(&self.join())
    }

    /// The same, of which the caller's stack holds a pointer only: where several are made one after the other, the stack of a tool's first thread is too small for all.
    #[inline(never)]
    pub fn boxed(&self) -> Box<Participant<W>> {
        Box::new(self.participant())
    }

    /// Another participant of a process.
    pub fn participant_of(&self, space: &Arc<Space<W>>) -> Participant<W> {
        let mut participant = space.participant().expect("a participant slot is free");
        if let Some(audience) = &self.audience {
            audience(&mut participant);
        }
        participant
    }

    /// A bank, founded by a participant that has left again.
    pub fn bank(&self, accounts: u64) -> Bank {
        let mut founder = self.stage().participant().expect("a participant slot is free");
        let bank = Bank::found(&mut founder, accounts).expect("the space has room");
        founder.leave();
        bank
    }

    /// Lets shared time pass: transactions that begin from here on are younger by `ticks` than those that have begun.
    pub fn pass(&self, ticks: u64) {
        let tick = self.layout.hot(HotWord::Tick);
        // Relaxed: nobody acts yet.
        self.world.store(tick, self.world.load(tick, Relaxed) + ticks, Relaxed);
    }

    /// Kills the process of `space`.
    pub fn kill(&self, space: &Space<W>) {
        self.world.kill_process(space.process());
    }

    /// The process of `space` loses its byte of the lock file, and lives.
    pub fn fence(&self, space: &Space<W>) {
        self.world.fence_process(space.process());
    }

    /// The play of `scene`, with the checks that belong to all.
    pub fn play(&self, scene: Scene<W>) -> Play {
        let stage = self.stage();
        let Play { actors, epilogue } = (scene.write)(self);
        let epilogue = Box::new(move || {
            epilogue();
            assert_eq!(fsck(&stage), vec![], "fsck after {}", scene.name);
        });
        Play { actors, epilogue }
    }
}

/// Words of a superblock.
const SUPERBLOCK_WORDS: u64 = 256;
/// Payload words of the largest blocks that share a superblock, four of them: what is freed is soon used again.
const LARGEST_SMALL: u64 = SUPERBLOCK_WORDS / 4 - BLOCK_HEADER_WORDS;

/// The smallest sizes that hold every scene: tables for six processes and five participants, one wait bucket for all cells (so that
/// sleepers of different cells meet), superblocks that hold a record ring of eight units in one block.
pub fn small_geometry() -> Geometry {
    let geometry = Geometry {
        space_words: 0,
        process_slots: 6,
        participants: 5,
        wait_buckets: 1,
        superblock_words: SUPERBLOCK_WORDS,
        region_superblocks: 16,
        commit_superblocks: 1,
        log_base: 8,
    };
    let tables = Layout::new(Geometry { space_words: 1 << 20, ..geometry }).map_or(0, |layout| layout.tables_words());
    Geometry { space_words: tables + 16 * SUPERBLOCK_WORDS, ..geometry }
}

/// All scenes.
pub fn scenes<W: World>() -> Vec<Scene<W>> {
    [
        isolation::scenes::<W>().as_slice(),
        conflict::scenes().as_slice(),
        death::scenes().as_slice(),
        patience::scenes().as_slice(),
        alternatives::scenes().as_slice(),
        privilege::scenes().as_slice(),
        reclaim::scenes().as_slice(),
        collect::scenes().as_slice(),
        reuse::scenes().as_slice(),
        waits::scenes().as_slice(),
        memory::scenes().as_slice(),
        pages::scenes().as_slice(),
        holding::scenes().as_slice(),
        membership::scenes().as_slice(),
    ]
    .concat()
}

/// The scene with this name. Panics if there is none: a test that plays nothing must not pass.
pub fn scene<W: World>(name: &str) -> Scene<W> {
    scenes().into_iter().find(|scene| scene.name == name).unwrap_or_else(|| panic!("there is no scene {name:?}"))
}
