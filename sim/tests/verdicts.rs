//! A checker that cannot fail is a defect: each verdict of the simulator is brought about.

mod support;

use std::cell::Cell;
use std::sync::Arc;

use pso_engine::error::Stop;
use pso_engine::platform::{
    Liveness, Memory, Ordering, OutOfPages, Platform, ProcessIdentity, System, WaitOutcome, WordKind,
};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{LockWord, ProcessSlotId, Value, WordAddress};
use pso_model::scenario;
use pso_sim::fiber::Bound;
use pso_sim::measure::Verdict;
use pso_sim::player::Pace;
use pso_sim::simulated::Pass;
use pso_sim::{Report, Setup, Simulated, Simulation};

use support::{Bank, chiplet};

/// What is wrong with a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Rings are lost, and so is time: sleeps have no end.
    LostWakes,
    /// The n-th lock of a cell is said to be taken, without having been.
    LostLock(u64),
}

/// A simulated process with a flaw.
#[derive(Clone)]
struct Flawed {
    inner: Simulated,
    flaw: Flaw,
    locks: Arc<Bound<Cell<u64>>>,
}

impl Flawed {
    fn new(inner: Simulated, flaw: Flaw) -> Self {
        Self { inner, flaw, locks: Arc::new(Bound::new(Cell::new(0))) }
    }
}

impl Memory for Flawed {
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.inner.load(address, order)
    }
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.inner.store(address, value, order);
    }
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.inner.swap(address, value, order)
    }
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let locks = matches!(LockWord::unpack(new), LockWord::Locked(_));
        if locks && let Flaw::LostLock(number) = self.flaw {
            let count = self.locks.get();
            count.set(count.get() + 1);
            if count.get() == number {
                return Ok(current);
            }
        }
        self.inner.compare_exchange(address, current, new, success, failure)
    }
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.inner.fetch_add(address, value, order)
    }
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.inner.fetch_or(address, bits, order)
    }
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.inner.fetch_and(address, bits, order)
    }
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.inner.load_plain(address)
    }
    fn load_optimistic(&self, address: WordAddress) -> u64 {
        self.inner.load_optimistic(address)
    }
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.inner.store_plain(address, value);
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        self.inner.with_payload(address, length, reader)
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        self.inner.write_payload(address, bytes);
    }
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind) {
        self.inner.retype(address, words, kind);
    }
    fn fence(&self, order: Ordering) {
        self.inner.fence(order);
    }
    fn light_fence(&self) {
        self.inner.light_fence();
    }
    fn heavy_fence(&self) -> bool {
        self.inner.heavy_fence()
    }
}

impl System for Flawed {
    fn now_ns(&self) -> u64 {
        self.inner.now_ns()
    }
    fn coarse_ns(&self) -> u64 {
        self.inner.coarse_ns()
    }
    fn spin_hint(&self) {
        self.inner.spin_hint();
    }
    fn spin_ns(&self) -> u64 {
        self.inner.spin_ns()
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        let timeout_ns = if self.flaw == Flaw::LostWakes { u64::MAX } else { timeout_ns };
        self.inner.wait(bell, expected, timeout_ns)
    }
    fn wake(&self, bell: WordAddress) {
        if self.flaw != Flaw::LostWakes {
            self.inner.wake(bell);
        }
    }
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.inner.commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.inner.punch_pages(address, words);
    }
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.inner.claim_liveness(slot)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.inner.release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.inner.liveness(slot, identity)
    }
    fn identity(&self) -> ProcessIdentity {
        self.inner.identity()
    }
    fn thread_number(&self) -> u64 {
        self.inner.thread_number()
    }
    fn forked(&self) -> bool {
        self.inner.forked()
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }
}

/// What a thread does in the bank.
type Body<P> = fn(&mut Participant<P>, scenario::Bank) -> Result<(), Stop>;

/// Two threads, each with a body of its own.
fn two<P: Platform>(setup: Setup, adapt: impl Fn(Simulated) -> P + Copy + 'static, bodies: [Body<P>; 2]) -> Report {
    let mut simulation = Simulation::new(setup);
    let layout = *simulation.layout();
    let space = Space::join(simulation.outside(), layout).unwrap();
    let bank = scenario::Bank::found(&mut space.participant().unwrap(), 2).unwrap();
    for body in bodies {
        simulation.spawn(move |platform| {
            let space = Space::join(adapt(platform), layout).unwrap();
            // Whatever it ends with: these scenes are about who comes through at all.
            let _ = body(&mut space.participant().unwrap(), bank);
        });
    }
    simulation.run()
}

/// Waits until the first account has changed.
fn await_change<P: Platform>(tx: &mut Participant<P>, bank: scenario::Bank) -> Result<(), Stop> {
    tx.run(|tx| if tx.read(bank.account(0))?.as_int() == Some(100) { Err(Stop::Retry) } else { Ok(()) })
}

/// Changes it, long after the other has fallen asleep.
fn change_late<P: Platform>(tx: &mut Participant<P>, bank: scenario::Bank) -> Result<(), Stop> {
    let until = tx.arena().platform().now_ns() + 1_000_000;
    while tx.arena().platform().now_ns() < until {
        tx.arena().platform().spin_hint();
    }
    tx.run(|tx| bank.transfer_in(tx, 0, 1, 1))
}

#[test]
fn who_sleeps_through_a_lost_wake_up_is_stuck_and_who_is_rung_is_not() {
    let run = |flaw| two(chiplet(2, 1), move |inner| Flawed::new(inner, flaw), [await_change, change_late]);
    assert_eq!(run(Flaw::None).verdict, Verdict::Ok);
    let stuck = run(Flaw::LostWakes);
    assert_eq!(stuck.verdict, Verdict::Stuck);
    assert!(!stuck.threads[0].through && stuck.threads[1].through);
}

/// The engine's own sleeps are timed, so a sleeper looks again and again: nothing happens all the same.
#[test]
fn who_waits_for_what_nobody_will_do_is_stuck_though_it_wakes_now_and_then() {
    let report = two(chiplet(2, 1), |platform| platform, [await_change, await_change]);
    assert_eq!(report.verdict, Verdict::Stuck);
    assert!(report.threads.iter().all(|thread| thread.commits == 0 && thread.steps > 0));
}

#[test]
fn bodies_that_never_commit_are_livelocked() {
    fn never<P: Platform>(tx: &mut Participant<P>, bank: scenario::Bank) -> Result<(), Stop> {
        tx.run(|tx| {
            bank.transfer_in(tx, 0, 1, 1)?;
            Err(Stop::Conflict)
        })
    }
    let report = two(Setup { patience_ns: 20_000_000, ..chiplet(2, 1) }, |platform| platform, [never, never]);
    assert_eq!(report.verdict, Verdict::Livelocked);
    assert!(report.threads.iter().all(|thread| thread.attempts > 100 && thread.commits == 0));
    // With somebody beside it who commits, nothing is livelocked until that one is through.
    let report = two(Setup { patience_ns: 20_000_000, ..chiplet(2, 1) }, |platform| platform, [never, change_late]);
    assert_eq!((report.verdict, report.threads[1].commits), (Verdict::Livelocked, 1));
}

/// The danger: a trace with a pause is said to hang. The other one commits meanwhile, and is through long before the pause is.
#[test]
fn who_rests_for_longer_than_anybody_is_patient_hangs_nobody() {
    fn rests(tx: &mut Participant<Simulated>, bank: scenario::Bank) -> Result<(), Stop> {
        let platform = tx.arena().platform().clone();
        Pass.rest(&platform, platform.now_ns() + 200_000_000);
        tx.run(|tx| bank.transfer_in(tx, 0, 1, 1))
    }
    let report = two(Setup { patience_ns: 20_000_000, ..chiplet(2, 1) }, |platform| platform, [rests, change_late]);
    assert_eq!(report.verdict, Verdict::Ok);
    assert!(report.threads.iter().all(|thread| thread.commits == 1));
}

/// A compare-exchange that says yes and does nothing: two hold one cell, and one of the updates is lost.
#[test]
fn a_lost_update_is_wrong() {
    let bank = Bank { threads: 3, accounts: 2, transfers: 60 };
    let wrong: Vec<String> = (1..60)
        .filter_map(|number| {
            let report = bank.run_on(chiplet(3, 2), move |inner| Flawed::new(inner, Flaw::LostLock(number)));
            if let Verdict::Wrong(wrong) = report.verdict { Some(wrong) } else { None }
        })
        .collect();
    assert!(wrong.iter().any(|wrong| wrong.starts_with("the sum is")), "{wrong:?}");
    assert_eq!(bank.run_on(chiplet(3, 2), |inner| Flawed::new(inner, Flaw::None)).verdict, Verdict::Ok);
}

#[test]
fn a_panic_of_a_body_is_wrong_and_says_why() {
    fn panics<P: Platform>(_: &mut Participant<P>, _: scenario::Bank) -> Result<(), Stop> {
        std::panic::resume_unwind(Box::new("the roof is on fire"));
    }
    let report = two(chiplet(2, 1), |platform| platform, [panics, change_late]);
    assert_eq!(report.verdict, Verdict::Wrong("thread 0 panicked: the roof is on fire".into()));
}

#[test]
fn a_run_beyond_its_budget_is_cut_short() {
    let bank = Bank { threads: 2, accounts: 10, transfers: 1_000 };
    let report = bank.run(Setup { budget: 10_000, ..chiplet(2, 1) });
    assert_eq!((report.verdict, report.steps), (Verdict::OutOfBudget, 10_000));
    assert!(report.threads.iter().all(|thread| !thread.through));
}

/// What the verdicts rest on: the simulator counts attempts and commits by the status words that go by.
#[test]
fn commits_are_counted_by_what_the_engine_writes() {
    fn reads_once<P: Platform>(tx: &mut Participant<P>, bank: scenario::Bank) -> Result<(), Stop> {
        let mut first = true;
        tx.run(|tx| {
            tx.read(bank.account(0))?;
            if std::mem::take(&mut first) { Err(Stop::Conflict) } else { Ok(()) }
        })?;
        tx.run(|tx| tx.write(bank.account(1), Value::int(100).unwrap()))
    }
    let report = two(chiplet(2, 1), |platform| platform, [reads_once, change_late]);
    assert_eq!((report.threads[0].attempts, report.threads[0].commits), (3, 2));
    assert_eq!(report.threads[0].latencies_ns.len(), 2);
    assert_eq!(report.threads[1].commits, 1);
}
