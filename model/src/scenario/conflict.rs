//! Scenes of two and three who want the same cells: who waits, who leaves, who is stopped (I1, I4, I7).

use super::{Actor, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::participant::{Slot, status_of};
use pso_engine::transaction::Participant;
use pso_engine::word::{AttemptId, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 8] {
    [
        Scene { name: "crossing_writers", write: crossing_writers },
        Scene { name: "older_stops_younger", write: older_stops_younger },
        Scene { name: "a_lock_comes_between", write: a_lock_comes_between },
        Scene { name: "reads_its_own_write", write: reads_its_own_write },
        Scene { name: "three_in_a_chain", write: three_in_a_chain },
        Scene { name: "three_on_one_cell", write: three_on_one_cell },
        Scene { name: "the_second_row", write: the_second_row },
        Scene { name: "the_second_row_one_by_one", write: the_second_row_one_by_one },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// Asserts at the end that the sum is what it was, and the accounts are `balances`.
fn balances<W: World>(setting: &Setting<W>, bank: super::Bank, balances: &'static [i64]) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let found: Vec<_> = (0..balances.len() as u64)
            .map(|account| reader.run(|tx| tx.read(bank.account(account))).ok().and_then(Value::as_int))
            .collect();
        assert_eq!(found, balances.iter().map(|balance| Some(*balance)).collect::<Vec<_>>(), "a transfer is lost");
        reader.leave();
    })
}

/// Runs `body` in the attempt that `who` has begun, and again until it commits.
fn go_on<W: World>(who: &mut Participant<W>, body: impl Fn(&mut Participant<W>) -> Result<(), Stop>) {
    let first = body(who).and_then(|()| who.commit());
    match first {
        Ok(()) => {}
        Err(Stop::Conflict) => who.run(body).expect("it commits"),
        Err(stop) => panic!("{stop}"),
    }
}

/// **Crossing writers**: one takes a and wants b, the other takes b and wants a. The danger: both wait for ever (I7), or both
/// give way for ever. Two is the smallest cycle.
fn crossing_writers<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let transfer = |mut who: Participant<W>, from, to, amount| {
        Box::new(move || bank.transfer(&mut who, from, to, amount).expect("it commits")) as Actor
    };
    let actors = vec![transfer(setting.participant(), 0, 1, 1), transfer(setting.participant(), 1, 0, 10)];
    Play { actors, epilogue: balances(setting, bank, &[109, 91]) }
}

/// **An older transaction stops a younger one** in mid-run and takes its lock: steal, the late status check, clearing up
/// after a thief. The danger: the victim writes on, or commits, or clears the lock of the thief. One cell has all of it; the
/// age is made before the actors start, so that the first meeting already stops.
fn older_stops_younger<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let mut old = setting.participant();
    old.begin().expect("it begins");
    setting.pass(10);
    let mut young = setting.participant();
    let add = move |tx: &mut Participant<W>, amount: i64| {
        let seen = tx.read(cell)?.as_int().expect("an integer");
        tx.write(cell, integer(seen + amount))
    };
    let actors: Vec<Actor> = vec![
        Box::new(move || young.run(|tx| add(tx, 10)).expect("it commits")),
        Box::new(move || go_on(&mut old, |tx| add(tx, 1))),
    ];
    Play { actors, epilogue: balances(setting, bank, &[111]) }
}

/// **A lock comes between**: one has begun and finds the cell free, and before he has locked it another one begins and does. The
/// danger: he sees the lock, and not yet that its owner has begun, and takes a lock for damage whose attempt seems to be over.
/// Blind writes, so that the lock word is all that tells one of the other.
fn a_lock_comes_between<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let (mut first, mut second) = (setting.participant(), setting.participant());
    first.begin().expect("it begins");
    let actors: Vec<Actor> = vec![
        Box::new(move || go_on(&mut first, |tx| tx.write(cell, integer(1)))),
        Box::new(move || second.run(|tx| tx.write(cell, integer(2))).expect("it commits")),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let seen = reader.run(|tx| tx.read(cell)).expect("it commits");
        assert!([integer(1), integer(2)].contains(&seen), "nobody wrote {seen:?}");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **An attempt that reads its own write** while somebody older takes the lock from it and commits. The danger: the victim
/// reads the thief's value and takes it for its own, or a value that was never written. The victim writes two cells, so
/// that its commit has a half-way.
fn reads_its_own_write<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (first, second) = (bank.account(0), bank.account(1));
    let mut old = setting.participant();
    old.begin().expect("it begins");
    setting.pass(10);
    let mut young = setting.participant();
    let both = move |tx: &mut Participant<W>, value: i64| {
        tx.write(first, integer(value))?;
        tx.write(second, integer(value))?;
        assert_eq!(tx.read(first)?, integer(value), "an attempt's own write is not what it wrote");
        assert_eq!(tx.read(second)?, integer(value), "an attempt's own write is not what it wrote");
        Ok(())
    };
    let actors: Vec<Actor> = vec![
        Box::new(move || young.run(|tx| both(tx, 2)).expect("it commits")),
        Box::new(move || go_on(&mut old, |tx| both(tx, 1))),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let seen = reader.run(|tx| Ok((tx.read(first)?, tx.read(second)?))).expect("it commits");
        assert!([(integer(1), integer(1)), (integer(2), integer(2))].contains(&seen), "half of a write: {seen:?}");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **Three in a chain**: a to b, b to c, c to a, so that each may hold what the next one wants. The danger: nobody sleeps on
/// a sleeper, so somebody must leave (I7). Three is the smallest chain; under loom bounded, under shuttle in depth.
fn three_in_a_chain<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(3);
    let transfer = |mut who: Participant<W>, from, to, amount| {
        Box::new(move || bank.transfer(&mut who, from, to, amount).expect("it commits")) as Actor
    };
    let actors = vec![
        transfer(setting.participant(), 0, 1, 1),
        transfer(setting.participant(), 1, 2, 10),
        transfer(setting.participant(), 2, 0, 50),
    ];
    Play { actors, epilogue: balances(setting, bank, &[149, 91, 60]) }
}

/// **Three on one cell**: an owner, who waits in its place, who finds no place and goes to the second row. The danger: the
/// one in the second row is forgotten (I8). Blind writes of one cell keep the attempts short.
fn three_on_one_cell<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let write = |mut who: Participant<W>, value| {
        Box::new(move || who.run(|tx| tx.write(cell, integer(value))).expect("it commits")) as Actor
    };
    let actors =
        vec![write(setting.participant(), 1), write(setting.participant(), 2), write(setting.participant(), 3)];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        let seen = reader.run(|tx| tx.read(cell)).expect("it commits");
        assert!([integer(1), integer(2), integer(3)].contains(&seen), "nobody wrote {seen:?}");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **The second row**: an owner that gives up beside one who finds its place taken. The danger is that of
/// [`three_on_one_cell`]. The third, who has the place, was on its way to sleep when the actors start, and stays there: two are
/// left, and a bound goes far.
fn the_second_row<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let [mut owner, mut placed, mut visitor] = [setting.participant(), setting.participant(), setting.participant()];
    for who in [&mut owner, &mut placed, &mut visitor] {
        who.begin().expect("it begins");
    }
    owner.write(cell, integer(1)).expect("nobody is in the way");
    take_place(&owner, &placed);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            while let Err(stop) = visitor.write(cell, integer(2)) {
                assert_eq!(stop, Stop::Conflict);
                visitor.begin().expect("it begins");
            }
            visitor.abort();
        }),
        Box::new(move || owner.abort()),
    ];
    Play { actors, epilogue: Box::new(move || placed.abort()) }
}

/// **Two in the second row, who then find nothing to write.** The danger: the end of the owner rings one of them, and he ends without
/// ringing the other, for an attempt that has only read rings nobody.
fn the_second_row_one_by_one<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let (mut owner, mut placed) = (setting.participant(), setting.participant());
    let (mut first, mut second) = (setting.participant(), setting.participant());
    for who in [&mut owner, &mut placed, &mut first, &mut second] {
        who.begin().expect("it begins");
    }
    owner.write(cell, integer(1)).expect("nobody is in the way");
    take_place(&owner, &placed);
    let visit = move |visitor: &mut Participant<W>| {
        while let Err(stop) = visitor.write(cell, integer(2)) {
            assert_eq!(stop, Stop::Conflict);
            visitor.begin().expect("it begins");
            if visitor.read(cell).is_ok() && visitor.commit().is_ok() {
                return;
            }
        }
        visitor.abort();
    };
    let actors: Vec<Actor> = vec![
        Box::new(move || visit(&mut first)),
        Box::new(move || visit(&mut second)),
        Box::new(move || owner.abort()),
    ];
    Play { actors, epilogue: Box::new(move || placed.abort()) }
}

/// Puts `placed` into the one place at `owner`, as `take_place` does.
fn take_place<W: World>(owner: &Participant<W>, placed: &Participant<W>) {
    let arena = owner.arena();
    let slot = |who: &Participant<W>| Slot::of(arena, who.id()).expect("it has a slot");
    let seq = status_of(arena, slot(placed)).expect("it has begun").seq;
    let place = AttemptId { participant: placed.id(), seq }.pack();
    arena.platform().store(slot(owner).queue_to(), place, pso_engine::platform::Ordering::Release);
}
