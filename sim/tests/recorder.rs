//! A recorder writes down what a participant has committed, as lines that can be read, merged and played again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::object::bytes;
use pso_engine::platform::System;
use pso_engine::space::Space;
use pso_engine::trace::Recorder;
use pso_engine::transaction::Participant;
use pso_engine::word::Value;
use pso_model::heap::Heap;
use pso_sim::measure::Verdict;
use pso_sim::player::{Pacing, Part, Script, Spin, verify};
use pso_sim::stage::Stage;
use pso_sim::trace::{Contention, Header, Kind, Operation, Trace, Transaction, generate, merge};

type Lines = Arc<Mutex<Vec<Transaction>>>;

fn space() -> Arc<Space<Heap>> {
    let (heap, layout) = Heap::space(Geometry::for_bytes(16 << 20).unwrap());
    Space::join(heap, layout).unwrap()
}

/// Records `participant` as number `number` from now on. Gives the time of arrival 0, too.
fn record(participant: &mut Participant<Heap>, number: u32) -> (Lines, u64) {
    let lines = Lines::default();
    let (space, sink) = (participant.space().clone(), lines.clone());
    let start_ns = space.arena().platform().now_ns();
    let sink = Box::new(move |line: &Transaction| sink.lock().unwrap().push(line.clone()));
    participant.set_observer(Some(Box::new(Recorder::new(space, number, start_ns, sink))));
    (lines, start_ns)
}

fn recording(lines: &Lines) -> Trace {
    let header = Header {
        name: "recorded".into(),
        from: "a test".into(),
        participants: None,
        cells: None,
        seed: 0,
        start_ns: 0,
    };
    Trace { header, transactions: lines.lock().unwrap().clone(), whole: true }
}

/// Cells that a line reads and cells that it writes.
fn cells(line: &Transaction) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
    for operation in &line.operations {
        match *operation {
            Operation::Read { cell } => read.insert(cell),
            Operation::Write { cell, .. } => written.insert(cell),
            _ => continue,
        };
    }
    (read, written)
}

/// Written down while it is played, a trace has the same transactions; read back and merged, it is played again.
#[test]
fn a_trace_that_is_played_and_recorded_is_the_same_trace() {
    let trace = generate(Kind::Bank1000, Contention::High, 1, 300, 5);
    let space = space();
    let mut participant = space.participant().unwrap();
    let stage = Stage::build(&mut participant, trace.cells()).unwrap();
    let script = Script::new(&trace, 0, &stage).unwrap();
    let (lines, _) = record(&mut participant, 0);
    script.play(&mut participant, 0, Pacing::FLAT_OUT, &mut Spin, &mut Part::new(0)).unwrap();
    participant.set_observer(None);
    let recorded = recording(&lines);
    assert_eq!(recorded.transactions.len(), trace.transactions.len());
    for (line, original) in recorded.transactions.iter().zip(&trace.transactions) {
        let (read, written) = cells(original);
        // Recorded cells are called by their place in the space.
        let named = |numbers: BTreeSet<u64>| -> BTreeSet<u64> {
            numbers.into_iter().map(|number| stage.cell(number).unwrap().index()).collect()
        };
        assert_eq!(cells(line), (named(read), named(written)));
        assert_eq!(line.operations.iter().filter(|each| matches!(each, Operation::Compute { .. })).count(), 1);
    }
    assert!(recorded.transactions.is_sorted_by_key(|line| line.arrival_ns));
    let back = Trace::read(recorded.text().as_bytes()).unwrap();
    assert_eq!(back, recorded);
    let again = merge("again", vec![back]).unwrap();
    let stage = Stage::build(&mut participant, again.cells()).unwrap();
    let mut part = Part::new(0);
    let script = Script::new(&again, 0, &stage).unwrap();
    script.play(&mut participant, 0, Pacing::FLAT_OUT, &mut Spin, &mut part).unwrap();
    assert_eq!(verify(&mut participant, &stage, &again, &[part]).unwrap(), Verdict::Ok);
}

/// The older of two takes a cell away from the younger: the younger's line has the arrival of its first attempt and what
/// its last one did, once.
#[test]
fn what_was_lost_is_not_recorded_but_counts_as_waiting() {
    let space = space();
    let (mut one, mut other) = (space.participant().unwrap(), space.participant().unwrap());
    let stage = Stage::build(&mut one, 4).unwrap();
    let cell = |number| stage.cell(number).unwrap();
    let (lines, start_ns) = record(&mut one, 0);
    let mut attempts = 0;
    let mut began_ns = [0; 4];
    one.run(|tx| {
        attempts += 1;
        began_ns[attempts as usize] = tx.arena().platform().now_ns();
        let value = tx.read(cell(0))?.as_int().unwrap();
        if attempts < 3 {
            // Somebody else commits to what this attempt has read: it will not validate.
            other.run(|tx| tx.write(cell(0), Value::int(value + 10).unwrap()))?;
        }
        tx.read(cell(attempts))?;
        tx.write(cell(0), Value::int(value + 1).unwrap())
    })
    .unwrap();
    let recorded = lines.lock().unwrap().clone();
    assert_eq!((attempts, recorded.len()), (3, 1));
    let arrived_ns = start_ns + recorded[0].arrival_ns;
    assert!(arrived_ns <= began_ns[1], "{arrived_ns} {began_ns:?}");
    let (read, written) = cells(&recorded[0]);
    assert_eq!(read, BTreeSet::from([cell(0).index(), cell(3).index()]));
    assert_eq!(written, BTreeSet::from([cell(0).index()]));
}

#[test]
fn a_body_that_gives_up_is_not_recorded_and_allocations_have_their_size() {
    let space = space();
    let mut participant = space.participant().unwrap();
    let cell = Stage::build(&mut participant, 1).unwrap().cell(0).unwrap();
    let (lines, _) = record(&mut participant, 7);
    let given_up: Result<(), Stop> = participant.run(|tx| {
        tx.write(cell, Value::int(1).unwrap())?;
        Err(Stop::Interrupted)
    });
    assert!(given_up.is_err());
    participant
        .run(|tx| {
            let value = bytes::encode(tx, &[1; 100])?;
            tx.write(cell, value)
        })
        .unwrap();
    let recorded = lines.lock().unwrap().clone();
    let [line] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!(line.participant, 7);
    let words = line.operations.iter().find_map(|each| match each {
        Operation::Allocate { words } => Some(*words),
        _ => None,
    });
    // Length, hash, 13 words of bytes, rounded up to a class.
    assert!(words.is_some_and(|words| (15..=32).contains(&words)), "{words:?}");
}
