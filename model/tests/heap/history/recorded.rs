//! Histories of the engine itself, on real threads.

use std::sync::Arc;

use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_model::heap::Heap;
use pso_model::history::{History, Outcome, Recorder, Why};
use pso_model::scenario::Bank;

const THREADS: u64 = 4;
const ROUNDS: u64 = 400;
const ACCOUNTS: u64 = 6;

/// Reads two accounts, writes two with values that nobody else writes. Every ninth only reads, every eleventh gives up.
fn some_transaction(recorder: &Recorder, tx: &mut Participant<Heap>, bank: &Bank, round: u64) -> Result<(), Stop> {
    let [one, other] = [bank.account(round * 7), bank.account(round * 7 + 1 + round % (ACCOUNTS - 1))];
    recorder.read(tx, one)?;
    recorder.read(tx, other)?;
    if round.is_multiple_of(9) {
        return Ok(());
    }
    for cell in [other, one] {
        recorder.write(tx, cell, recorder.fresh())?;
        recorder.read(tx, cell)?;
    }
    if round.is_multiple_of(11) { Err(Stop::Interrupted) } else { Ok(()) }
}

fn history() -> History {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 << 20).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    let mut first = space.participant().unwrap();
    let bank = Bank::found(&mut first, ACCOUNTS).unwrap();
    let recorder = Recorder::default();
    let threads: Vec<_> = (0..THREADS)
        .map(|me| {
            let (space, recorder) = (Arc::clone(&space), recorder.clone());
            std::thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                recorder.watch(&mut participant);
                for round in 0..ROUNDS {
                    match participant.run(|tx| some_transaction(&recorder, tx, &bank, round * THREADS + me)) {
                        Ok(()) | Err(Stop::Interrupted) => {}
                        Err(stop) => panic!("{stop}"),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    recorder.watch(&mut first);
    first.run(|tx| (0..ACCOUNTS).try_for_each(|account| recorder.read(tx, bank.account(account)).map(drop))).unwrap();
    recorder.history()
}

#[test]
fn what_threads_did_is_strictly_serializable_and_opaque() {
    let history = history();
    let count = |wanted: fn(&Outcome) -> bool| history.attempts.iter().filter(|it| wanted(&it.outcome)).count();
    assert!(count(|outcome| matches!(outcome, Outcome::Committed(_))) > 1000);
    assert!(count(|outcome| *outcome == Outcome::ReadOnly) > 100);
    assert!(count(|outcome| *outcome == Outcome::Aborted) > 100);
    if let Err(anomaly) = history.strictly_serializable().and(history.opaque()) {
        panic!("{anomaly}");
    }
}

#[test]
fn a_wrong_word_in_a_recorded_history_is_found() {
    // The same history, with one read of one attempt moved to the version before.
    let mut history = history();
    let versions: Vec<(u64, u64, u64)> = history
        .attempts
        .iter()
        .filter(|attempt| attempt.committed())
        .flat_map(|attempt| attempt.writes.iter().filter_map(|write| Some((write.cell, write.old?.0, write.old?.1))))
        .collect();
    let last = history.attempts.iter_mut().rfind(|attempt| attempt.outcome == Outcome::ReadOnly).unwrap();
    let read = last.reads[0];
    let older = versions.iter().filter(|(cell, version, _)| *cell == read.cell && Some(*version) < read.version).max();
    let &(_, version, value) = older.expect("the cell was written more than once");
    (last.reads[0].version, last.reads[0].value) = (Some(version), value);
    assert!(history.strictly_serializable().is_err());
}

/// The danger: a recovery that rolls forward what nobody had committed when its owner died.
#[test]
fn a_commit_that_comes_after_its_owners_death_is_found() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 << 20).unwrap());
    let space = Space::join(heap.clone(), layout).unwrap();
    let mut first = space.participant().unwrap();
    let cell = Bank::found(&mut first, ACCOUNTS).unwrap().account(0);
    let recorder = Recorder::default();
    recorder.watch(&mut first);
    let late = recorder.fresh();
    let doomed = Space::join(heap.process(), layout).unwrap();
    let mut dead = doomed.participant().unwrap();
    recorder.watch(&mut dead);
    dead.begin().unwrap();
    recorder.write(&mut dead, cell, late).unwrap();
    recorder.died(dead.id());
    std::mem::forget(dead);
    heap.kill_process(doomed.process());
    first.run(|tx| recorder.read(tx, cell)).unwrap();
    assert!(recorder.history().strictly_serializable().is_ok());
    // In place of the recovery: somebody of whom nobody hears.
    space.participant().unwrap().run(|tx| tx.write(cell, late)).unwrap();
    first.run(|tx| recorder.read(tx, cell)).unwrap();
    let anomaly = recorder.history().strictly_serializable().unwrap_err();
    let kinds: Vec<Why> = anomaly.cycle().unwrap().iter().map(|edge| edge.why).collect();
    assert!(kinds.len() == 2 && kinds.contains(&Why::RealTime) && kinds.contains(&Why::ReadWrite), "{anomaly}");
}
