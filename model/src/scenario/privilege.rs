//! Scenes of irrevocable transactions: one attempt, whoever is in the way (I10).

use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::Value;

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 3] {
    [
        Scene { name: "irrevocable_beside_an_older", write: irrevocable_beside_an_older },
        Scene { name: "irrevocable_beside_a_reader", write: irrevocable_beside_a_reader },
        Scene { name: "two_irrevocable", write: two_irrevocable },
    ]
}

/// Runs the transfer once, without a second attempt.
fn transfers_once<W: World>(mut who: Participant<W>, bank: Bank, from: u64, to: u64, amount: i64) -> Actor {
    Box::new(move || {
        let done = who.run_irrevocable(None, |tx| {
            assert_eq!(bank.sum_in(tx)?, bank.expected(), "half of a transfer was seen");
            bank.transfer_in(tx, from, to, amount)
        });
        assert_eq!(done, Ok(()), "an irrevocable transaction was stopped");
    })
}

fn balances<W: World>(setting: &Setting<W>, bank: Bank, expected: [i64; 2]) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let found = reader.run(|tx| Ok([tx.read(bank.account(0))?, tx.read(bank.account(1))?]));
        let expected = expected.map(|balance| Value::int(balance).unwrap_or(Value::NONE));
        assert_eq!(found, Ok(expected), "a transfer is lost");
        reader.leave();
    })
}

/// **An irrevocable transaction beside one that is much older**, both over the same two accounts, in opposite directions. The danger:
/// the older stops it, by age, in validation, or for being PREPARED too long (mutant 38).
fn irrevocable_beside_an_older<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let mut old = setting.participant();
    old.begin().expect("it begins");
    setting.pass(10);
    let actors: Vec<Actor> = vec![
        transfers_once(setting.participant(), bank, 0, 1, 10),
        Box::new(move || {
            let first = bank.transfer_in(&mut old, 1, 0, 1).and_then(|()| old.commit());
            match first {
                Ok(()) => {}
                Err(Stop::Conflict) => bank.transfer(&mut old, 1, 0, 1).expect("it commits"),
                Err(stop) => panic!("{stop}"),
            }
        }),
    ];
    Play { actors, epilogue: balances(setting, bank, [91, 109]) }
}

/// **What an irrevocable transaction has only read, somebody else writes.** The danger: its reads are invisible, and its validation
/// fails (mutant 22). It reads before it writes: so the cell that it has only read is free first. (Whoever meanwhile reads the other
/// through its committed lock fails in validation until that lock is gone, and waits for that.)
fn irrevocable_beside_a_reader<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (mut once, mut other) = (setting.participant(), setting.participant());
    let integer = |value: i64| Value::int(value).unwrap_or(Value::NONE);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let done = once.run_irrevocable(None, |tx| {
                let seen = tx.read(bank.account(0))?;
                tx.write(bank.account(1), seen)
            });
            assert_eq!(done, Ok(()), "an irrevocable transaction was stopped");
        }),
        Box::new(move || {
            let done = other.run(|tx| {
                let seen = tx.read(bank.account(1))?;
                tx.write(bank.account(0), if seen == integer(100) { integer(7) } else { integer(8) })
            });
            done.expect("it commits");
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let found = reader.run(|tx| Ok([tx.read(bank.account(0))?, tx.read(bank.account(1))?])).expect("it commits");
        // The irrevocable first: it copies 100, and the other cannot tell. The other first: it writes 7, which is copied.
        assert!([[7, 100], [7, 7]].map(|pair| pair.map(integer)).contains(&found), "no order gives {found:?}");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **Two irrevocable transactions.** The danger: both have the token, or the one that waits for it is not rung (I8).
fn two_irrevocable<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let actors = vec![
        transfers_once(setting.participant(), bank, 0, 1, 10),
        transfers_once(setting.participant(), bank, 1, 0, 1),
    ];
    Play { actors, epilogue: balances(setting, bank, [91, 109]) }
}
