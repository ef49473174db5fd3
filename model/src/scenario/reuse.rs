//! Scenes of a record that is used again: an attempt's entries stand where those of the one before stood, and whoever follows a
//! lock to its entry must find the entry of that lock (I2, I3).
//!
//! What came before the danger is played before the actors start, so that a play is a handful of accesses and its bound on
//! preemptions goes far.

use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::Value;

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 5] {
    [
        Scene { name: "read_past_a_reused_entry", write: read_past_a_reused_entry },
        Scene { name: "validated_past_a_reused_entry", write: validated_past_a_reused_entry },
        Scene { name: "read_past_a_lock_that_is_gone", write: read_past_a_lock_that_is_gone },
        Scene { name: "a_record_is_used_again", write: a_record_is_used_again },
        Scene { name: "a_victim_begins_anew", write: a_victim_begins_anew },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// A reader that has begun and read account `first`; a transfer between both accounts that committed since; and somebody who
/// now locks account 0, once more, and gives up. The reader must not come by a value of account `second`: all that there are
/// are newer than its snapshot.
fn past_a_reused_entry<W: World>(setting: &Setting<W>, [first, second]: [u64; 2]) -> Play {
    let bank = setting.bank(2);
    let mut locker = setting.participant();
    let lock = move |tx: &mut Participant<W>| tx.write(bank.account(0), integer(0)).expect("nobody is in the way");
    locker.begin().expect("it begins");
    lock(&mut locker);
    locker.abort();
    let mut reader = setting.participant();
    reader.begin().expect("it begins");
    reader.read(bank.account(first)).expect("nobody is in the way");
    transfer_before(setting, bank);
    // Its snapshot moves on now: what is left is the lock.
    locker.begin().expect("it begins");
    locker.read(bank.account(0)).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            lock(&mut locker);
            locker.abort();
        }),
        Box::new(move || {
            let seen = reader.read(bank.account(second));
            assert_eq!(seen, Err(Stop::Conflict), "one account from before the transfer, one from after");
        }),
    ];
    Play { actors, epilogue: adds_up(setting, bank) }
}

fn adds_up<W: World>(setting: &Setting<W>, bank: Bank) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        assert_eq!(bank.sum(&mut last), Ok(bank.expected()));
        last.leave();
    })
}

fn transfer_before<W: World>(setting: &Setting<W>, bank: Bank) {
    let mut mover = setting.stage().participant().expect("a slot is free");
    bank.transfer(&mut mover, 0, 1, 7).expect("nobody is in the way");
    mover.leave();
}

/// **A lock is passed by its entry**, which stands where the entry of an aborted attempt stood, for the same cell, with an older
/// version. The danger: the reader takes the older version, and the new value with it, for part of its snapshot.
fn read_past_a_reused_entry<W: World>(setting: &Setting<W>) -> Play {
    past_a_reused_entry(setting, [1, 0])
}

/// **A lock is validated by its entry**, as above. The danger: the snapshot moves on over a cell that has changed, because the
/// old entry has the version that was read.
fn validated_past_a_reused_entry<W: World>(setting: &Setting<W>) -> Play {
    past_a_reused_entry(setting, [0, 1])
}

/// **A lock goes, and its entry with it, while it is passed.** The next attempt writes another cell, whose version is old enough for the
/// reader's snapshot; that of the first cell is not. The danger: the reader takes the other cell's version for its own cell's,
/// because its second look shows it the lock that is gone.
fn read_past_a_lock_that_is_gone<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let (mut locker, mut reader) = (setting.participant(), setting.participant());
    reader.begin().expect("it begins");
    reader.read(bank.account(1)).expect("nobody is in the way");
    transfer_before(setting, bank);
    locker.begin().expect("it begins");
    locker.write(bank.account(0), integer(0)).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            locker.abort();
            locker.begin().expect("it begins");
            locker.write(bank.account(2), integer(0)).expect("nobody is in the way");
            locker.abort();
        }),
        Box::new(move || {
            let seen = reader.read(bank.account(0));
            assert_eq!(seen, Err(Stop::Conflict), "one account from before the transfer, one from after");
        }),
    ];
    Play { actors, epilogue: adds_up(setting, bank) }
}

/// **A record is used again while somebody reads through it.** A commit of one cell, written twice; then a write of another
/// cell in the same place. The danger: the reader takes the first value, which was never committed, or the other cell's.
fn a_record_is_used_again<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (cell, other) = (bank.account(0), bank.account(1));
    let (mut writer, mut reader) = (setting.participant(), setting.participant());
    writer.begin().expect("it begins");
    writer.write(cell, integer(1)).expect("nobody is in the way");
    reader.begin().expect("it begins");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            writer.write(cell, integer(7)).expect("it has the lock");
            writer.commit().expect("nobody is in the way");
            writer.begin().expect("it begins");
            writer.write(other, integer(9)).expect("nobody is in the way");
            writer.abort();
        }),
        Box::new(move || {
            let seen = reader.read(cell).expect("one read is always of one state");
            assert!([integer(100), integer(7)].contains(&seen), "{seen:?} was never there");
            reader.abort();
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A victim begins anew while its lock is being stolen.** The danger: the thief does not find the entry of the lock, for the
/// record is that of the next attempt, and takes the old lock for damage. Found by loom in the engine.
fn a_victim_begins_anew<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (mut thief, mut victim) = (setting.participant(), setting.participant());
    thief.begin().expect("it begins");
    setting.pass(10);
    victim.begin().expect("it begins");
    victim.write(bank.account(0), integer(1)).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            thief.write(bank.account(0), integer(7)).expect("it is the older by far");
            thief.abort();
        }),
        Box::new(move || {
            victim.abort();
            victim.begin().expect("it begins");
            victim.write(bank.account(1), integer(2)).expect("nobody wants this cell");
            victim.abort();
        }),
    ];
    Play { actors, epilogue: adds_up(setting, bank) }
}
