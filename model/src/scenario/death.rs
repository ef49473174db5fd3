//! Scenes of a participant that died before they begin, and of those who find what it left (I6, I11).
//!
//! Who died, died for good: the scenes are about the living, who find it out at once, one after the other, or not at all.
//! Deaths at every step are `crash`'s business. The survivors join before the death, for joining clears up.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::contention::Limits;
use pso_engine::platform::Platform;
use pso_engine::recovery;
use pso_engine::transaction::{Attempt, Observer, Participant};
use pso_engine::word::{ParticipantId, Value, Version};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 8] {
    [
        Scene { name: "dead_owner_of_a_lock", write: dead_owner_of_a_lock },
        Scene { name: "dead_committer", write: dead_committer },
        Scene { name: "dead_in_write_back", write: dead_in_write_back },
        Scene { name: "two_who_recover", write: two_who_recover },
        Scene { name: "one_cell_of_a_dead_commit", write: one_cell_of_a_dead_commit },
        Scene { name: "two_who_finish_a_cell_each", write: two_who_finish_a_cell_each },
        Scene { name: "two_who_finish_one_cell", write: two_who_finish_one_cell },
        Scene { name: "recovered_beside_a_waiter", write: recovered_beside_a_waiter },
    ]
}

/// The observer of a participant that dies as soon as its commit is decided.
struct DiesCommitted;

/// The panic that ends it.
struct Dead;

impl<P: Platform> Observer<P> for DiesCommitted {
    fn begins(&mut self, _: ParticipantId) {}
    fn decided(&mut self, _: Version) {
        std::panic::resume_unwind(Box::new(Dead));
    }
    fn ended(&mut self, _: &Attempt<'_, P>) {}
}

/// A participant that transfers 7 from account 0 to account 1 and dies when that is COMMITTED and nothing is written back.
/// With `written` it has put back the first value.
fn die_committed<W: World>(setting: &Setting<W>, bank: Bank, written: bool) -> ParticipantId {
    let space = setting.join();
    let mut victim = space.participant().expect("a slot is free");
    victim.set_observer(Some(Box::new(DiesCommitted)));
    let end = catch_unwind(AssertUnwindSafe(|| bank.transfer(&mut victim, 0, 1, 7)));
    assert!(end.is_err_and(|payload| payload.is::<Dead>()), "it dies when its commit is decided");
    if written {
        // What `write_back` does first.
        let value = Value::int(93).unwrap_or(Value::NONE).raw();
        space.arena().platform().store(bank.account(0).value_word(), value, pso_engine::platform::Ordering::Release);
    }
    setting.kill(&space);
    victim.id()
}

fn sum_at_the_end<W: World>(setting: &Setting<W>, bank: Bank) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        stage.recover_dead();
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(bank.sum(&mut reader), Ok(bank.expected()), "half of what the dead one did");
        reader.leave();
    })
}

fn sums<W: World>(mut who: Participant<W>, bank: Bank) -> Actor {
    Box::new(move || {
        let sum = who.run(|tx| {
            let sum = bank.sum_in(tx)?;
            assert_eq!(sum, bank.expected(), "a reader saw half of what the dead one did");
            Ok(sum)
        });
        assert_eq!(sum, Ok(bank.expected()));
    })
}

fn transfers<W: World>(mut who: Participant<W>, bank: Bank, from: u64, to: u64) -> Actor {
    Box::new(move || bank.transfer(&mut who, from, to, 10).expect("it commits"))
}

/// **A lock whose owner is dead** stands in the way of one who writes, beside one who only reads. The danger: the writer
/// waits for ever, or the reader sees the value to come. The lock is on one of two cells.
fn dead_owner_of_a_lock<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (writer, reader) = (setting.participant(), setting.participant());
    let space = setting.join();
    let mut victim = space.participant().expect("a slot is free");
    victim.begin().expect("it begins");
    victim.write(bank.account(0), Value::int(0).unwrap_or(Value::NONE)).expect("nobody is in the way");
    setting.kill(&space);
    let actors = vec![sums(reader, bank), transfers(writer, bank, 1, 0)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// **Committed, and dead before the first value is back.** A reader takes the values from the record while a writer has the
/// commit finished. The danger: a new value from the record beside an old one from a cell.
fn dead_committer<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (writer, reader) = (setting.participant(), setting.participant());
    die_committed(setting, bank, false);
    let actors = vec![sums(reader, bank), transfers(writer, bank, 1, 0)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// **Dead with one of two values back**, and both locks still there. As above; here a value that is back already is put
/// back again.
fn dead_in_write_back<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (writer, reader) = (setting.participant(), setting.participant());
    die_committed(setting, bank, true);
    let actors = vec![sums(reader, bank), transfers(writer, bank, 0, 1)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// **Two who recover the same dead one**, each to write its own cell of the two that the dead one left committed. The
/// danger: two write back at once, and the later one overwrites what the other has committed since (I4).
fn two_who_recover<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let (first, second) = (setting.participant(), setting.participant());
    die_committed(setting, bank, false);
    let actors = vec![transfers(first, bank, 0, 2), transfers(second, bank, 1, 2)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// To whom every attempt of the dead is a large one: of a commit it finishes the cell that it waits for.
fn thrifty<W: World>(mut who: Participant<W>) -> Participant<W> {
    who.set_limits(Limits { cleared_entries: 0, ..Limits::default() });
    who
}

/// **One cell of a commit of the dead is finished**, for a writer, and the other is not, while somebody reads both. The danger: the new value that is back
/// beside an old one; or that the commit is taken for finished as a whole.
fn one_cell_of_a_dead_commit<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let (writer, reader) = (thrifty(setting.participant()), setting.participant());
    die_committed(setting, bank, false);
    let actors = vec![sums(reader, bank), transfers(writer, bank, 0, 2)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// **Two who finish a cell each** of a commit of the dead, and go on. The danger: as of `two_who_recover`, and that one of them finishes what the other has
/// written since.
fn two_who_finish_a_cell_each<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let (first, second) = (thrifty(setting.participant()), thrifty(setting.participant()));
    die_committed(setting, bank, false);
    let actors = vec![transfers(first, bank, 0, 2), transfers(second, bank, 1, 2)];
    Play { actors, epilogue: sum_at_the_end(setting, bank) }
}

/// **Two who finish the same cell** of a commit of the dead, one after the other; the first goes on and writes it. The danger: the second has the right
/// from the first and has not seen what that one did, and puts back once more what the dead one has committed (I4).
fn two_who_finish_one_cell<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let cell = bank.account(0);
    let (mut first, second) = (thrifty(setting.participant()), setting.join());
    let dead = die_committed(setting, bank, false);
    let seven = Value::int(7).unwrap_or(Value::NONE);
    let actors: Vec<Actor> = vec![
        Box::new(move || first.run(|tx| tx.write(cell, seven)).expect("it commits")),
        Box::new(move || recovery::finish_attempt(&second, dead, 0, cell).expect("it is whole")),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        stage.recover_dead();
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(reader.run(|tx| tx.read(cell)), Ok(seven), "the living one's commit came after the dead one's");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **Somebody recovers a dead owner beside one who comes to wait for it.** The danger: the recoverer looks for waiters before the end shows, and the waiter
/// looks at the owner before it shows that it waits (I8).
fn recovered_beside_a_waiter<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let (mut waiter, recoverer) = (setting.participant(), setting.join());
    let space = setting.join();
    let mut victim = space.participant().expect("a slot is free");
    victim.begin().expect("it begins");
    victim.write(cell, Value::NONE).expect("nobody is in the way");
    let dead = victim.id();
    setting.kill(&space);
    let actors: Vec<Actor> = vec![
        Box::new(move || waiter.run(|tx| tx.write(cell, Value::TRUE)).expect("it commits")),
        Box::new(move || recovery::finish_attempt(&recoverer, dead, u64::MAX, cell).expect("it is whole")),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        stage.recover_dead();
    });
    Play { actors, epilogue }
}
