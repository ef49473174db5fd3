//! Scenes of `or_else`: what the first alternative did is undone, what it read still counts (I2, I8).

use super::{Actor, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 3] {
    [
        Scene { name: "or_else_waits_for_the_first", write: or_else_waits_for_the_first },
        Scene { name: "or_else_waits_for_both", write: or_else_waits_for_both },
        Scene { name: "or_else_undoes_the_first", write: or_else_undoes_the_first },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// Asks to wait unless `cell` holds `wanted`.
fn demand<W: World>(tx: &mut Participant<W>, cell: CellAddress, wanted: i64) -> Result<(), Stop> {
    if tx.read(cell)? == integer(wanted) { Ok(()) } else { Err(Stop::Retry) }
}

fn write<W: World>(mut who: Participant<W>, cell: CellAddress, value: i64) -> Actor {
    Box::new(move || who.run(|tx| tx.write(cell, integer(value))).expect("it commits"))
}

/// **Both alternatives wait, and the first one's wish comes true.** The danger: the reads of an alternative that is undone are
/// dropped with its writes, and nobody wakes who waits for them. The second alternative's cell never changes.
fn or_else_waits_for_the_first<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (wish, other) = (bank.account(0), bank.account(1));
    let mut waiter = setting.participant();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let served = waiter.or_else(|tx| demand(tx, wish, 7), |tx| demand(tx, other, 7));
            served.expect("it commits");
        }),
        write(setting.participant(), wish, 7),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **Each alternative takes from a cell of its own, two others fill both.** The danger: one fill is taken twice or not at all, the
/// waiter sleeps although one of the two came. The first alternative writes before it looks, so that there is something to undo.
fn or_else_waits_for_both<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let (first, second, taken) = (bank.account(0), bank.account(1), bank.account(2));
    let mut waiter = setting.participant();
    let take = move |tx: &mut Participant<W>, from: CellAddress, value: i64| {
        let before = tx.read(taken)?.as_int().expect("an integer");
        tx.write(taken, integer(before + value))?;
        demand(tx, from, value)?;
        tx.write(from, integer(0))
    };
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            for _ in 0..2 {
                waiter.or_else(|tx| take(tx, first, 7), |tx| take(tx, second, 8)).expect("it commits");
            }
        }),
        write(setting.participant(), first, 7),
        write(setting.participant(), second, 8),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let seen = reader.run(|tx| Ok([tx.read(first)?, tx.read(second)?, tx.read(taken)?])).expect("it commits");
        assert_eq!(seen, [0, 0, 115].map(integer), "what was put in was not taken once");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **The first alternative moves money, then asks to wait; the second moves other money.** The danger: half of the first is
/// committed with the second, or somebody reads through its lock what was undone. Its locks stay: the second alternative's
/// own writes find them, and those of the other actor. Two accounts, as few as a transfer has.
fn or_else_undoes_the_first<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (mut chooser, mut other) = (setting.participant(), setting.participant());
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let chosen = chooser.or_else(
                |tx| {
                    bank.transfer_in(tx, 0, 1, 30)?;
                    Err(Stop::Retry)
                },
                |tx| {
                    assert_eq!(bank.sum_in(tx)?, bank.expected(), "half of the first alternative is left");
                    bank.transfer_in(tx, 1, 0, 5)
                },
            );
            chosen.expect("it commits");
        }),
        Box::new(move || {
            let moved = other.run(|tx| {
                assert_eq!(bank.sum_in(tx)?, bank.expected(), "half of an alternative was seen");
                bank.transfer_in(tx, 0, 1, 10)
            });
            moved.expect("it commits");
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let seen = reader.run(|tx| (0..2).map(|account| tx.read(bank.account(account))).collect::<Result<Vec<_>, _>>());
        assert_eq!(seen, Ok([95, 105].map(integer).to_vec()), "a transfer is lost, or one that was undone is not");
        reader.leave();
    });
    Play { actors, epilogue }
}
