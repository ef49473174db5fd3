//! Every kind of trace, played by threads on a heap: all lines are committed, and what must hold holds. And the checks can
//! fail: a lost update and a torn transaction are found.

use std::thread;

use pso_engine::arena::Geometry;
use pso_engine::platform::System;
use pso_engine::space::Space;
use pso_engine::word::Value;
use pso_model::heap::Heap;
use pso_sim::measure::{Measurement, Verdict, World};
use pso_sim::player::{Pacing, Part, Run, Script, Spin, measurement, verify};
use pso_sim::stage::Stage;
use pso_sim::trace::{Contention, Kind, Trace, generate};

/// Where a run took place, and what its players say.
struct Played {
    trace: Trace,
    stage: Stage,
    parts: Vec<Part>,
    participant: pso_engine::transaction::Participant<Heap>,
}

fn play(trace: Trace) -> Played {
    let (heap, layout) = Heap::space(Geometry::for_bytes(16 << 20).unwrap());
    let space = Space::join(heap, layout).unwrap();
    let mut participant = space.participant().unwrap();
    let stage = Stage::build(&mut participant, trace.cells()).unwrap();
    let players: Vec<_> = (0..trace.participants())
        .map(|number| {
            let (space, trace) = (space.clone(), trace.clone());
            thread::spawn(move || {
                let mut participant = space.participant().unwrap();
                let stage = Stage::find(&mut participant).unwrap().expect("it is built");
                let script = Script::new(&trace, number, &stage).expect("the stage has all cells");
                let start_ns = stage.arrive(&mut participant, None).unwrap();
                let mut part = Part::new(number);
                script.play(&mut participant, start_ns, Pacing::AS_WRITTEN, &mut Spin, &mut part).unwrap();
                participant.leave();
                part
            })
        })
        .collect();
    let start_ns = stage.open(&mut participant, trace.participants(), 1_000, None).unwrap();
    assert!(start_ns > 0 && start_ns <= space.arena().platform().now_ns() + 1_000);
    let parts = players.into_iter().map(|player| player.join().unwrap()).collect();
    Played { trace, stage, parts, participant }
}

impl Played {
    fn verdict(&mut self) -> Verdict {
        verify(&mut self.participant, &self.stage, &self.trace, &self.parts).unwrap()
    }
    fn measurement(&mut self) -> Measurement {
        let verdict = self.verdict();
        let run = Run { world: World::Real, policy: "default", machine: "a test", cores: 2, seed: 1 };
        measurement(&self.trace, run, &self.parts, verdict)
    }
    /// Changes a cell behind the players' backs.
    fn spoil(&mut self, cell: u64, by: i64) {
        let cell = self.stage.cell(cell).unwrap();
        let change = |tx: &mut pso_engine::transaction::Participant<Heap>| {
            let value = tx.read(cell)?.as_int().unwrap() + by;
            tx.write(cell, Value::int(value).unwrap())
        };
        self.participant.run(change).unwrap();
    }
}

#[test]
fn every_kind_is_played_to_its_end_and_found_right() {
    for kind in Kind::ALL {
        for contention in Contention::ALL {
            let trace = generate(kind, contention, contention.participants(), 320, 3);
            let transactions = trace.transactions.len() as u64;
            let mut played = play(trace);
            let measured = played.measurement();
            let name = &measured.trace;
            assert_eq!(measured.verdict, Verdict::Ok, "{name}");
            assert_eq!(measured.commits.iter().sum::<u64>(), transactions, "{name}");
            assert!(measured.attempts >= transactions && measured.duration_ns > 0, "{name}");
            let latency = measured.latency;
            assert!(latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max, "{name}: {latency:?}");
            let slowest = played.parts.iter().map(|part| part.ended_ns - part.began_ns).max().unwrap();
            assert!(latency.max <= slowest + slowest / 50, "{name}: {latency:?} in {slowest} ns");
            assert_eq!(measured.rates.len() as u32, contention.participants(), "{name}");
        }
    }
}

#[test]
fn a_queue_dealt_to_fewer_participants_does_not_wait_for_itself() {
    for participants in 1..=5 {
        let trace = generate(Kind::Queue, Contention::Medium, 8, 400, 1).folded(participants);
        assert!(trace.hands_over());
        assert_eq!(play(trace).verdict(), Verdict::Ok);
    }
}

#[test]
fn a_trace_with_more_cells_than_a_block_holds_is_played() {
    let mut trace = generate(Kind::Counter, Contention::Low, 2, 20, 1);
    trace.header.cells = Some(3000);
    for (number, line) in trace.transactions.iter_mut().enumerate() {
        let cell = number as u64 * 150 + 149;
        line.operations = vec![
            pso_sim::trace::Operation::Write { cell, add: 2 },
            pso_sim::trace::Operation::Allocate { words: 20 },
            pso_sim::trace::Operation::Compute { ns: 500 },
        ];
    }
    let mut played = play(trace);
    assert_eq!(played.stage.cells(), 3000);
    assert!(played.stage.cell(2999).is_some() && played.stage.cell(3000).is_none());
    assert_eq!(played.verdict(), Verdict::Ok);
    let script = Script::new(&played.trace, 0, &Stage::build(&mut played.participant, 100).unwrap());
    assert!(script.is_none(), "a stage that is too small is refused");
}

#[test]
fn a_lost_update_is_found() {
    let mut played = play(generate(Kind::Counter, Contention::High, 2, 100, 1));
    assert_eq!(played.verdict(), Verdict::Ok);
    played.spoil(0, -1);
    assert!(matches!(played.verdict(), Verdict::Wrong(_)));
}

#[test]
fn money_that_moves_behind_the_players_backs_is_found_though_the_sum_is_kept() {
    let mut played = play(generate(Kind::Bank4, Contention::High, 2, 100, 1));
    played.spoil(0, -1);
    played.spoil(3, 1);
    assert!(matches!(played.verdict(), Verdict::Wrong(_)));
}

/// A player that was killed has said how many of its transactions are committed, and that one more was under way: this one
/// may be there or not, but wholly.
#[test]
fn a_transaction_in_flight_is_there_wholly_or_not_at_all() {
    let mut played = play(generate(Kind::Bank1000, Contention::High, 2, 100, 1));
    let part = &mut played.parts[1];
    (part.commits, part.in_flight, part.through) = (part.commits - 1, true, false);
    assert_eq!(played.verdict(), Verdict::OutOfBudget, "it was committed: nothing is wrong");
    let last = played.trace.lines_of(1).last().unwrap().clone();
    let [from, to] = [last.operations[0].cell().unwrap(), last.operations[2].cell().unwrap()];
    played.spoil(from, 1);
    assert!(matches!(played.verdict(), Verdict::Wrong(_)), "half of it is there");
    played.spoil(to, -1);
    assert_eq!(played.verdict(), Verdict::OutOfBudget, "it was not committed: nothing is wrong");
    played.parts[1].in_flight = false;
    assert_eq!(played.verdict(), Verdict::OutOfBudget);
}

/// The stage is spoilt before the players come: the reader of all cells sees a sum that cannot be.
#[test]
fn a_reader_that_sees_a_wrong_sum_says_so() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 << 20).unwrap());
    let space = Space::join(heap, layout).unwrap();
    let mut participant = space.participant().unwrap();
    let trace = generate(Kind::LongReader, Contention::Low, 2, 32, 1);
    let stage = Stage::build(&mut participant, trace.cells()).unwrap();
    let cell = stage.cell(7).unwrap();
    participant.run(|tx| tx.write(cell, Value::int(5).unwrap())).unwrap();
    let mut part = Part::new(0);
    let script = Script::new(&trace, 0, &stage).unwrap();
    script.play(&mut participant, 0, Pacing::FLAT_OUT, &mut Spin, &mut part).unwrap();
    assert_eq!(part.wrong.as_deref(), Some("an attempt that read all cells saw the sum 5, not 0"));
    assert!(matches!(verify(&mut participant, &stage, &trace, &[part]).unwrap(), Verdict::Wrong(_)));
}

/// A computation of 3 ms inside an attempt is part of its latency: the histogram has no ceiling below that.
#[test]
fn a_long_transaction_has_a_long_latency() {
    let mut trace = generate(Kind::Counter, Contention::High, 1, 4, 1);
    trace.transactions[2].operations.push(pso_sim::trace::Operation::Compute { ns: 3_000_000 });
    let latency = play(trace).measurement().latency;
    assert!(latency.max >= 2_900_000 && latency.p50 < latency.max, "{latency:?}");
}

#[test]
fn parts_survive_the_way_between_processes() {
    let played = play(generate(Kind::Counter, Contention::High, 2, 500, 1));
    let text = serde_json::to_string(&played.parts).unwrap();
    let back: Vec<Part> = serde_json::from_str(&text).unwrap();
    for (part, back) in played.parts.iter().zip(&back) {
        assert_eq!((part.commits, part.attempts, part.through), (back.commits, back.attempts, back.through));
        assert_eq!(part.latency.count(), back.latency.count());
        assert_eq!(part.latency.percentiles(), back.latency.percentiles());
    }
}

/// The danger: who has nothing to do is the slowest, and fairness is low where all who work are alike.
#[test]
fn who_has_no_line_is_neither_slow_nor_served_badly() {
    let mut trace = generate(Kind::Counter, Contention::High, 2, 200, 1);
    trace.header.participants = Some(3);
    let measured = play(trace).measurement();
    assert_eq!((measured.participants, measured.commits.len(), measured.commits[2]), (3, 3, 0));
    assert_eq!(measured.rates.len(), 2);
    assert!(measured.slowest_over_fastest() > 0.0 && measured.jain() <= 1.0);
}
