//! Scenes of privilege and of visible reads: one attempt, whoever is in the way (I10), and who gets past it.

use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::contention::Limits;
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::Value;

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 6] {
    [
        Scene { name: "irrevocable_beside_an_older", write: irrevocable_beside_an_older },
        Scene { name: "irrevocable_beside_a_reader", write: irrevocable_beside_a_reader },
        Scene { name: "two_irrevocable", write: two_irrevocable },
        Scene { name: "visible_reader_beside_a_transfer", write: visible_reader_beside_a_transfer },
        Scene { name: "visible_reader_beside_an_irrevocable", write: visible_reader_beside_an_irrevocable },
        Scene { name: "a_lull_beside_a_transfer", write: a_lull_beside_a_transfer },
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
/// through its committed lock, and writes, fails in validation until that lock is gone, and waits for that.)
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

/// Somebody who has lost an attempt: it asks for a lull in the next, or reads visibly where another has the token.
fn sums_at_the_second_try<W: World>(setting: &Setting<W>, bank: Bank) -> Actor {
    let (mut reader, mut other) = (setting.boxed(), setting.boxed());
    reader.set_limits(Limits { privileged_attempts: 1, visible_attempts: 1, lull_reads: 0, ..Limits::default() });
    reader.begin().expect("it begins");
    reader.read(bank.account(0)).expect("it reads");
    // There and back: versions change, and the sum of money does not.
    bank.transfer(&mut other, 0, 1, 1).and_then(|()| bank.transfer(&mut other, 1, 0, 1)).expect("it commits");
    other.leave();
    assert_eq!(reader.read(bank.account(1)), Err(Stop::Conflict), "its snapshot is gone");
    Box::new(move || {
        let seen = reader.run(|tx| {
            let seen = bank.sum_in(tx)?;
            assert_eq!(seen, bank.expected(), "half of a transfer was seen");
            Ok(seen)
        });
        assert_eq!(seen, Ok(bank.expected()));
    })
}

/// **A reader that holds what it reads, beside a transfer over the same accounts.** The danger: its hold lets somebody in, or keeps
/// somebody out for ever, or the holder of the token, who stands still and has nothing to do with it, keeps it waiting.
fn visible_reader_beside_a_transfer<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let reader = sums_at_the_second_try(setting, bank);
    let (mut silent, mut writer) = (setting.boxed(), setting.boxed());
    silent.begin_irrevocable(None).expect("nobody has the token");
    let transfer = Box::new(move || bank.transfer(&mut writer, 0, 1, 10).expect("it commits"));
    let looks = balances(setting, bank, [90, 110]);
    let epilogue = Box::new(move || {
        silent.commit().expect("nobody stops it");
        silent.leave();
        looks();
    });
    Play { actors: vec![reader, transfer], epilogue }
}

/// **A reader that passes one cell of an irrevocable transaction and comes to the other when that has committed.** The danger: it takes
/// the old value of the first and the new one of the second, for a cell that can be held is the present; or it waits, or makes the
/// other fail, in the middle of its commit.
fn visible_reader_beside_an_irrevocable<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let reader = sums_at_the_second_try(setting, bank);
    let mut once = setting.participant();
    once.begin_irrevocable(None).expect("nobody has the token");
    let integer = |value: i64| Value::int(value).unwrap_or(Value::NONE);
    once.write(bank.account(0), integer(90)).expect("nobody stops it");
    let commits = Box::new(move || {
        let done = once.write(bank.account(1), integer(110)).and_then(|()| once.commit());
        assert_eq!(done, Ok(()), "an irrevocable transaction was stopped");
    });
    Play { actors: vec![reader, commits], epilogue: balances(setting, bank, [90, 110]) }
}

/// **A reader that asks for a lull, beside a transfer over the same accounts.** The danger: whoever puts his commit off comes back as somebody
/// else had committed, or not at all; or the reader takes the lull for a promise.
fn a_lull_beside_a_transfer<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let reader = sums_at_the_second_try(setting, bank);
    let mut writer = setting.participant();
    let transfer = Box::new(move || bank.transfer(&mut writer, 0, 1, 10).expect("it commits"));
    Play { actors: vec![reader, transfer], epilogue: balances(setting, bank, [90, 110]) }
}
