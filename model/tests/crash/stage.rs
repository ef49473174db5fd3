//! The stage: a space, two survivors, and for each run a process that dies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use pso_engine::allocator::{self, BlockCache};
use pso_engine::arena::{Geometry, Layout};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{BlockKind, BlockPhase, CellAddress, Value};
use pso_model::alone::Alone;
use pso_model::crash::Crash;
use pso_model::heap::Heap;
use pso_model::heap::hide_deaths;
use pso_model::history::{Outcome, Recorder};
use pso_model::interpose::Interposed;
use pso_model::lens::Through;
use pso_model::mutant::{Fault, Mutant};
use pso_model::scenario::Bank;

use crate::parts::Part;

/// A process: time of its own, a death, an instant, and the fault, if any (outermost: its accesses count as steps).
type Process = Through<Interposed<Crash<Through<Heap, Alone>>>, Mutant>;
type Player = Arc<Mutex<Participant<Process>>>;

const CELLS: u64 = 3;
/// Whoever stands still before his own instant is waited for so long (a PREPARED one is stopped after 50 us).
const PATIENCE_NS: u64 = 1_000_000;
/// Who is to die waits longer: until it takes an owner that stands still for hung (100 ms).
const DOOMED_NS: u64 = 300_000_000;
/// Long enough to wait in a queue and to leave it, too short to try again for ever.
const GLIMPSE_NS: u64 = 3_000_000;
/// Whoever has not come to rest after so long, with nobody but the dead in his way, never will.
const REST_NS: u64 = 2_000_000_000;

pub struct Stage {
    props: Run,
    /// Deaths after the commit and before anybody was told of it.
    pub unheard: u64,
}

/// The smallest that holds everybody: a run looks at all of it, several times.
fn geometry() -> Geometry {
    let sizes = Geometry {
        space_words: 1 << 20,
        process_slots: 8,
        participants: 8,
        wait_buckets: 1,
        superblock_words: 256,
        region_superblocks: 32,
        commit_superblocks: 1,
        log_base: 8,
    };
    let tables = Layout::new(sizes).unwrap().tables_words();
    Geometry { space_words: tables + 32 * 256, ..sizes }
}

/// One run on a stage: its two survivors, and what else is needed.
#[derive(Clone)]
pub struct Run {
    heap: Heap,
    clock: Alone,
    layout: Layout,
    first: Player,
    second: Player,
    cells: Vec<CellAddress>,
    recorder: Recorder,
    fault: Fault,
}

impl Stage {
    pub fn new() -> Self {
        hide_deaths();
        Self::with(Fault::None, Alone::default())
    }

    /// Everybody has this fault.
    pub fn with(fault: Fault, clock: Alone) -> Self {
        let (heap, layout) = Heap::space(geometry());
        let player = |heap: Heap| {
            let space = Space::join(process(heap, &clock, (fault, layout)), layout).unwrap();
            Arc::new(Mutex::new(space.participant().unwrap()))
        };
        let (first, second) = (player(heap.process()), player(heap.process()));
        let bank = Bank::found(&mut first.lock().unwrap(), CELLS).unwrap();
        let cells = (0..CELLS).map(|account| bank.account(account)).collect();
        let recorder = Recorder::default();
        Self { props: Run { heap, clock, layout, first, second, cells, recorder, fault }, unheard: 0 }
    }

    /// One run, and all that must hold after it.
    pub fn run<T>(&mut self, run: impl FnOnce(&Run) -> T, steps: (u64, u64)) -> T {
        let it = self.props.clone();
        it.recorder.start_again();
        for &cell in &it.cells {
            let word = |address| it.heap.load(address, Relaxed);
            it.recorder.begins_with(cell, word(cell.lock_word()), Value::from_raw(word(cell.value_word())));
        }
        for player in [&it.first, &it.second] {
            it.recorder.watch(&mut player.lock().unwrap());
        }
        let result = run(&it);
        self.judge(&it, steps);
        result
    }

    fn judge(&mut self, it: &Run, steps: (u64, u64)) {
        let recorder = &it.recorder;
        let mut first = it.first.lock().unwrap();
        // Before anybody recovers: what the dead left must be readable as it is.
        let read = Part::Read.play(recorder, &mut first, &it.cells, REST_NS);
        assert_eq!(read, Ok(()), "a last reader after {steps:?}");
        let space = Arc::clone(first.space());
        drop(first);
        space.recover_dead();
        let mut second = it.second.lock().unwrap();
        let read = Part::Read.play(recorder, &mut second, &it.cells, REST_NS);
        assert_eq!(read, Ok(()), "a reader after recovery, {steps:?}");
        assert_eq!(fsck(&space), vec![], "fsck after {steps:?}");
        let history = recorder.history();
        if let Err(anomaly) = history.strictly_serializable().and_then(|_| history.opaque()) {
            panic!("{steps:?}: {anomaly}\n{history:#?}");
        }
        // Else a commit of the dead could be seen later than by whoever began after the death.
        assert!(history.attempts.iter().all(|it| it.end.is_some()), "{steps:?}: an end is not known\n{history:#?}");
        let seen = |value| history.attempts.iter().any(|it| it.reads.iter().any(|read| read.value == value));
        let unfinished = history.attempts.iter().filter(|it| it.outcome == Outcome::Unfinished);
        self.unheard += unfinished.filter(|it| it.writes.iter().any(|write| seen(write.value))).count() as u64;
    }
}

fn process(heap: Heap, clock: &Alone, (fault, layout): (Fault, Layout)) -> Process {
    Through::over(Interposed::new(Crash::mortal(clock.on(heap))), Mutant::new(fault, layout))
}

impl Run {
    /// Another process, alive, that does nothing yet.
    pub fn bystander(&self) -> Arc<Space<Process>> {
        Space::join(process(self.heap.process(), &self.clock, (self.fault, self.layout)), self.layout).unwrap()
    }

    fn stranger(&self) -> (Participant<Process>, Arc<Space<Process>>) {
        let space = self.bystander();
        let mut participant = space.participant().unwrap();
        self.recorder.watch(&mut participant);
        (participant, space)
    }

    /// A process plays `part` and dies before its access number `death`. True: it got through before. Dead it is either way.
    pub fn doomed(&self, part: Part, death: u64) -> bool {
        if part == Part::Makes {
            self.frees_what_was_made();
        }
        let (participant, space) = self.stranger();
        self.dies(participant, &space, part, (death, DOOMED_NS))
    }

    /// Frees the LIVE blocks of those who died in [`Part::Makes`]: nothing names them.
    fn frees_what_was_made(&self) {
        let first = self.first.lock().unwrap();
        let mut made = Vec::new();
        allocator::for_each_block(first.arena(), |handle, state| {
            if state.kind == BlockKind::Bytes && state.phase == BlockPhase::Live {
                made.push(handle);
            }
        });
        let mut cache = BlockCache::default();
        made.into_iter().for_each(|handle| assert!(cache.free(first.arena(), first.id(), handle)));
    }

    fn dies(
        &self,
        mut participant: Participant<Process>,
        space: &Arc<Space<Process>>,
        part: Part,
        (death, patience_ns): (u64, u64),
    ) -> bool {
        let mortal = space.arena().platform().inner().inner();
        mortal.die_after(death);
        let played =
            catch_unwind(AssertUnwindSafe(|| part.play(&self.recorder, &mut participant, &self.cells, patience_ns)));
        let survived = mortal.live_on();
        assert_eq!(played.is_ok(), survived, "it dies by nothing else");
        if let Ok(Err(stop)) = played {
            assert!(matches!(stop, Stop::TimedOut | Stop::Conflict), "{stop}");
        }
        self.recorder.died(participant.id());
        std::mem::forget(participant);
        self.heap.kill_process(space.process());
        survived
    }

    /// A living process recovers the dead and dies before its access number `death`. True: it got through.
    pub fn recovers(&self, recoverer: &Arc<Space<Process>>, death: u64) -> bool {
        let mortal = recoverer.arena().platform().inner().inner();
        mortal.die_after(death);
        let recovered = catch_unwind(AssertUnwindSafe(|| recoverer.recover_dead()));
        let survived = mortal.live_on();
        assert_eq!(recovered.is_ok(), survived, "it dies by nothing else");
        self.heap.kill_process(recoverer.process());
        survived
    }

    /// Both survivors' transactions, the second's at an instant of the first's. True: the instant lies behind its end.
    pub fn survivors(&self, instant: u64) -> bool {
        let mut first = self.first.lock().unwrap();
        let space = Arc::clone(first.space());
        self.second_at(&space, instant);
        let played = Part::Transfer.play(&self.recorder, &mut first, &self.cells, REST_NS);
        assert_eq!(played, Ok(()), "the first survivor comes to rest");
        let through = space.arena().platform().inner().forget();
        drop(first);
        self.second_again();
        through
    }

    /// The second survivor's transaction at an instant of what `watched` does next. It may be in the way.
    fn second_at(&self, watched: &Arc<Space<Process>>, instant: u64) {
        let (recorder, second, cells) = (self.recorder.clone(), Arc::clone(&self.second), self.cells.clone());
        watched.arena().platform().inner().at(instant, move || {
            let mut second = second.lock().unwrap();
            let met = Part::Chain.play(&recorder, &mut second, &cells, PATIENCE_NS);
            assert!(matches!(met, Ok(()) | Err(Stop::TimedOut)), "{met:?}");
        });
    }

    /// The second survivor with nobody in its way but the dead.
    fn second_again(&self) {
        let mut second = self.second.lock().unwrap();
        let played = Part::Chain.play(&self.recorder, &mut second, &self.cells, REST_NS);
        assert_eq!(played, Ok(()), "the second survivor comes to rest");
    }

    /// At an instant of the first survivor's transaction another process plays `part` and dies in it.
    /// Gives whether it survived, and whether the instant lies behind the end.
    pub fn dies_inside(&self, part: Part, death: u64, instant: u64) -> (bool, bool) {
        let mut first = self.first.lock().unwrap();
        let space = Arc::clone(first.space());
        let (participant, doomed) = self.stranger();
        let process = doomed.process();
        let survived = Arc::new(Mutex::new(None));
        let told = Arc::clone(&survived);
        let run = self.clone();
        space.arena().platform().inner().at(instant, move || {
            let survives = run.dies(participant, &doomed, part, (death, GLIMPSE_NS));
            *told.lock().unwrap() = Some(survives);
        });
        let played = Part::Transfer.play(&self.recorder, &mut first, &self.cells, REST_NS);
        assert_eq!(played, Ok(()), "the first survivor comes to rest");
        let through = space.arena().platform().inner().forget();
        drop(first);
        self.second_again();
        self.heap.kill_process(process);
        let survived = survived.lock().unwrap().unwrap_or(true);
        (survived, through)
    }

    /// The second survivor's transaction at an instant of the doomed one's, which dies later. Gives whether the instant lies
    /// behind the end, and whether it survived.
    pub fn met_and_doomed(&self, part: Part, instant: u64, death: u64) -> (bool, bool) {
        let (participant, doomed) = self.stranger();
        self.second_at(&doomed, instant);
        let survived = self.dies(participant, &doomed, part, (death, DOOMED_NS));
        let through = doomed.arena().platform().inner().forget();
        self.survivors(u64::MAX - 1);
        (through && survived, survived)
    }

    /// The first survivor holds a cell that the doomed one wants; that one dies in its wait, or tires of it. Then the first goes
    /// on, with the second's transaction at an instant of its end. Gives whether the doomed one survived, and whether the
    /// instant lies behind the end.
    pub fn waiter_dies(&self, part: Part, death: u64, instant: u64) -> (bool, bool) {
        let mut first = self.first.lock().unwrap();
        let space = Arc::clone(first.space());
        first.begin().unwrap();
        self.recorder.write(&mut first, self.cells[0], self.recorder.fresh()).unwrap();
        let survived = self.doomed(part, death);
        self.second_at(&space, instant);
        let ended = self.recorder.write(&mut first, self.cells[1], self.recorder.fresh()).and_then(|()| first.commit());
        let through = space.arena().platform().inner().forget();
        if ended == Err(Stop::Conflict) {
            // The waiter took it for hung, or died with a lock that the first then came upon.
            let again = Part::Transfer.play(&self.recorder, &mut first, &self.cells, REST_NS);
            assert_eq!(again, Ok(()), "the first survivor comes to rest");
        } else {
            assert_eq!(ended, Ok(()));
        }
        drop(first);
        self.second_again();
        (survived, through)
    }
}
