//! Scenes of reading beside writing: what an attempt sees must be one state, in attempts that abort, too (I2, I3).

use std::sync::{Arc, Mutex};

use super::{Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 10] {
    [
        Scene { name: "two_writers_of_one_cell", write: two_writers_of_one_cell },
        Scene { name: "write_skew", write: write_skew },
        Scene { name: "reader_of_two_cells", write: reader_of_two_cells },
        Scene { name: "repeated_read", write: repeated_read },
        Scene { name: "repeated_read_after_an_extension", write: repeated_read_after_an_extension },
        Scene { name: "a_snapshot_begins_beside_a_commit", write: a_snapshot_begins_beside_a_commit },
        Scene { name: "late_extension", write: late_extension },
        Scene { name: "own_commit_over_a_read", write: own_commit_over_a_read },
        Scene { name: "reads_beside_two_commits", write: reads_beside_two_commits },
        Scene { name: "busy_bank", write: busy_bank },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

fn add<W: World>(tx: &mut Participant<W>, cell: CellAddress, amount: i64) -> Result<(), Stop> {
    let seen = tx.read(cell)?.as_int().expect("the cell holds an integer");
    tx.write(cell, integer(seen + amount))
}

/// **Lock and commit.** The danger: both read 100, both add, one addition is lost. Two attempts that add to one cell are the
/// smallest case of every step from lock to free: lock, conflict, validation, write-back. Different amounts, so that a sum
/// names the lost one.
fn two_writers_of_one_cell<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let add_once = |mut who: Participant<W>, amount| {
        Box::new(move || who.run(|tx| add(tx, cell, amount)).expect("it commits")) as super::Actor
    };
    let actors = vec![add_once(setting.participant(), 1), add_once(setting.participant(), 10)];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(reader.run(|tx| tx.read(cell)), Ok(integer(111)), "an addition is lost");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **Write skew.** The danger: each reads what the other writes, sees the old value and commits; no cell has two writers, so
/// only F2 and validation stand between. Two is all that a Dekker handshake has.
fn write_skew<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let leave_one = |mut who: Participant<W>, mine: CellAddress, other: CellAddress| {
        Box::new(move || {
            who.run(|tx| if tx.read(other)? == integer(100) { tx.write(mine, integer(0)) } else { Ok(()) })
                .expect("it commits");
        }) as super::Actor
    };
    let (first, second) = (bank.account(0), bank.account(1));
    let actors = vec![leave_one(setting.participant(), first, second), leave_one(setting.participant(), second, first)];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(bank.sum(&mut reader), Ok(100), "exactly one of the two is emptied");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **A reader of two cells against their writer.** The danger: one cell from before the transfer, one from after. Asserted
/// inside the body, so that attempts which abort are held to it, too (opacity). The writer takes the cells in the other order
/// than the reader, which leaves the reader the most ways to be wrong.
fn reader_of_two_cells<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let mut writer = setting.participant();
    let mut reader = setting.participant();
    let actors: Vec<super::Actor> = vec![
        Box::new(move || {
            let sum = reader.run(|tx| {
                let sum = bank.sum_in(tx)?;
                assert_eq!(sum, bank.expected(), "a reader saw half a transfer");
                Ok(sum)
            });
            assert_eq!(sum, Ok(bank.expected()));
        }),
        Box::new(move || bank.transfer(&mut writer, 1, 0, 7).expect("it commits")),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(bank.sum(&mut reader), Ok(bank.expected()));
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **A read that is repeated.** The danger: a commit between two reads of one cell gets a version that the reader counts as
/// its past (a clock loaded before PREPARED). One cell, one writer, three looks.
fn repeated_read<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let mut writer = setting.participant();
    let mut reader = setting.participant();
    let actors: Vec<super::Actor> = vec![
        Box::new(move || {
            let seen = reader.run(|tx| {
                let first = tx.read(cell)?;
                assert_eq!(tx.read(cell)?, first, "a cell changed within an attempt");
                Ok(first)
            });
            assert!([Ok(integer(100)), Ok(integer(7))].contains(&seen), "{seen:?}");
        }),
        Box::new(move || writer.run(|tx| tx.write(cell, integer(7))).expect("it commits")),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A read that is repeated after the snapshot has moved on.** The danger: a commit takes its version from a clock that it
/// loaded before it was PREPARED. A reader whose snapshot moved on in between counts that version as its past, and sees the cell
/// change between two looks. The clock moves only where somebody extends, so the reader first reads a cell that
/// the writer has committed at the clock's present value.
fn repeated_read_after_an_extension<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (mut writer, mut reader) = (setting.participant(), setting.participant());
    writer.run(|tx| tx.write(bank.account(1), integer(1))).expect("it commits");
    let actors: Vec<super::Actor> = vec![
        Box::new(move || writer.run(|tx| tx.write(bank.account(0), Value::TRUE)).expect("it commits")),
        Box::new(move || {
            let read = reader.run(|tx| {
                tx.read(bank.account(1))?;
                let first = tx.read(bank.account(0))?;
                assert_eq!(tx.read(bank.account(0))?, first, "a cell changed within an attempt");
                Ok(())
            });
            read.expect("it commits");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A snapshot begins beside a commit** that has its version already, and somebody else has moved the clock on since. The danger:
/// the reader begins with a snapshot that holds the commit, and passes the committer's lock because it still sees it ACTIVE; it
/// never extends. The cell is locked and the others have begun before the actors start.
fn a_snapshot_begins_beside_a_commit<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let [mut writer, mut extender, mut reader] = [setting.participant(), setting.participant(), setting.participant()];
    writer.run(|tx| tx.write(bank.account(1), integer(1))).expect("it commits");
    writer.begin().expect("it begins");
    writer.write(bank.account(0), integer(7)).expect("nobody is in the way");
    extender.begin().expect("it begins");
    let actors: Vec<super::Actor> = vec![
        Box::new(move || writer.commit().expect("nobody is in the way")),
        Box::new(move || {
            extender.read(bank.account(1)).expect("it has read nothing that could have changed");
            extender.abort();
        }),
        Box::new(move || {
            let read = reader.run(|tx| {
                let first = tx.read(bank.account(0))?;
                assert_eq!(tx.read(bank.account(0))?, first, "a cell changed within an attempt");
                Ok(())
            });
            read.expect("it commits");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A late extension.** The danger: the snapshot moves on for the third cell while the first is being changed, and what was
/// read of it no longer belongs to the new snapshot. The reader has read one cell before its first version is too new; two
/// writers, each of one of its cells and of one that it reads later.
fn late_extension<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let mut first = setting.participant();
    let mut second = setting.participant();
    let mut reader = setting.participant();
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let actors: Vec<super::Actor> = vec![
        Box::new(move || bank.transfer(&mut first, 0, 1, 1).expect("it commits")),
        Box::new(move || bank.transfer(&mut second, 1, 2, 10).expect("it commits")),
        Box::new(move || {
            let sum = reader.run(|tx| {
                let sum = bank.sum_in(tx)?;
                assert_eq!(sum, bank.expected(), "a reader saw half a transfer");
                Ok(sum)
            });
            *told.lock().unwrap() = Some(sum);
        }),
    ];
    let epilogue = Box::new(move || assert_eq!(*seen.lock().unwrap(), Some(Ok(bank.expected()))));
    Play { actors, epilogue }
}

/// **A commit of one's own, over what somebody has read.** The danger: who takes for its past what it has committed itself, and does not
/// move the clock on for that, misses a commit that comes before its own. One reads the first cell and, if it is as it was, writes the
/// second; the other writes the first, and then reads both. Who has found the first as it was is before that, so what it writes is seen; and
/// who has not writes nothing.
fn own_commit_over_a_read<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (first, second) = (bank.account(0), bank.account(1));
    let [mut earlier, mut later] = [setting.participant(), setting.participant()];
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let actors: Vec<super::Actor> = vec![
        Box::new(move || {
            let write =
                earlier.run(|tx| if tx.read(first)? == integer(100) { tx.write(second, integer(7)) } else { Ok(()) });
            write.expect("it commits");
        }),
        Box::new(move || {
            later.run(|tx| tx.write(first, integer(1))).expect("it commits");
            let both = later.run(|tx| Ok((tx.read(first)?, tx.read(second)?))).expect("it commits");
            assert_eq!(both.0, integer(1), "its own commit is of its past");
            *told.lock().unwrap() = Some(both.1);
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let left = reader.run(|tx| tx.read(second)).expect("it commits");
        assert_eq!(*seen.lock().unwrap(), Some(left), "what came before its own commit was not seen");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **A reader beside two commits of one owner**, of which the second is of a later time of the clock. The danger: the reader finds the first one COMMITTED and loads the version of
/// the second, with nothing by which it would see the clock there: a version ahead of the clock is damage. The owner moves the clock on itself, where it reads what somebody
/// else has committed at the clock's present value.
fn reads_beside_two_commits<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let [mut before, mut owner, mut reader] = [setting.participant(), setting.participant(), setting.participant()];
    before.run(|tx| tx.write(bank.account(1), integer(1))).expect("it commits");
    owner.begin().expect("it begins");
    owner.write(bank.account(0), integer(7)).expect("nobody is in the way");
    let actors: Vec<super::Actor> = vec![
        Box::new(move || {
            owner.commit().expect("nobody is in the way");
            let second = owner.run(|tx| {
                tx.read(bank.account(1))?;
                tx.write(bank.account(2), integer(8))
            });
            second.expect("it commits");
        }),
        Box::new(move || {
            let seen = reader.run(|tx| tx.read(bank.account(0)));
            assert!([Ok(integer(100)), Ok(integer(7))].contains(&seen), "{seen:?}");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A busy bank**: three who transfer five times each among three accounts, beside one who sums. No danger of its own: the
/// depth in which those of the small scenes meet. Too deep for loom; for random schedules and threads.
fn busy_bank<W: World>(setting: &Setting<W>) -> Play {
    const TRANSFERS: u64 = 5;
    let bank = setting.bank(3);
    let mut actors: Vec<super::Actor> = Vec::new();
    for number in 0..3 {
        let mut who = setting.participant();
        actors.push(Box::new(move || {
            for round in 0..TRANSFERS {
                bank.transfer(&mut who, number + round, number + 2 * round + 1, 1).expect("it commits");
            }
        }));
    }
    let mut reader = setting.participant();
    actors.push(Box::new(move || {
        for _ in 0..TRANSFERS {
            let sum = reader.run(|tx| {
                let sum = bank.sum_in(tx)?;
                assert_eq!(sum, bank.expected(), "a reader saw half a transfer");
                Ok(sum)
            });
            assert_eq!(sum, Ok(bank.expected()));
        }
    }));
    Play { actors, epilogue: Box::new(|| {}) }
}
