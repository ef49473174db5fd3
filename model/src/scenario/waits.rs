//! Scenes of those who wait for an owner: nobody is forgotten, nobody sleeps on a sleeper, who loses its place finds it out (I7, I8).
//! Worth most where no time-out helps. The locks are taken before the actors start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};

use super::{Actor, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 3] {
    [
        Scene { name: "gives_up_beside_a_waiter", write: gives_up_beside_a_waiter },
        Scene { name: "a_chain_behind_a_long_body", write: a_chain_behind_a_long_body },
        Scene { name: "an_older_one_takes_the_place", write: an_older_one_takes_the_place },
    ]
}

/// Writes `cell` in the attempt that `who` has begun, and in others until it can; and gives up.
fn visit<W: World>(who: &mut Participant<W>, cell: CellAddress) {
    while let Err(stop) = who.write(cell, Value::TRUE) {
        assert_eq!(stop, Stop::Conflict);
        who.begin().expect("it begins");
    }
    who.abort();
}

/// **An owner gives up while another comes to wait for it.** The danger: the owner looks for waiters before it shows that it
/// is over, and the waiter looks at the owner before it shows that it waits (I8). The lock is taken before the actors start.
fn gives_up_beside_a_waiter<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let (mut owner, mut waiter) = (setting.participant(), setting.participant());
    owner.begin().expect("it begins");
    owner.write(cell, Value::NONE).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || waiter.run(|tx| tx.write(cell, Value::TRUE)).expect("it commits")),
        Box::new(move || owner.abort()),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        assert_eq!(last.run(|tx| tx.read(cell)), Ok(Value::TRUE));
        last.leave();
    });
    Play { actors, epilogue }
}

/// **A chain behind a long body.** One holds a cell and goes on until the last of the chain is through: a body that computes for
/// long. The middle one wants that cell and holds another, which the last one wants. The danger: the middle one sleeps with its
/// lock, and the last one on it, as long as the body takes; here for ever.
fn a_chain_behind_a_long_body<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let [mut long, mut middle, mut last] = [setting.boxed(), setting.boxed(), setting.boxed()];
    for who in [&mut long, &mut middle, &mut last] {
        who.begin().expect("it begins");
    }
    long.write(bank.account(0), Value::TRUE).expect("nobody is in the way");
    middle.write(bank.account(1), Value::TRUE).expect("nobody is in the way");
    let through = Arc::new(AtomicBool::new(false));
    let is_through = Arc::clone(&through);
    let actors: Vec<Actor> = vec![
        Box::new(move || visit(&mut middle, bank.account(0))),
        Box::new(move || {
            visit(&mut last, bank.account(1));
            through.store(true, Release);
        }),
        Box::new(move || {
            // Bounded by the others' ends.
            while !is_through.load(Acquire) {
                long.arena().platform().spin_hint();
            }
            long.abort();
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **An older one takes the place** of a younger one that sleeps in it. The danger: the younger one sleeps on, and its owner's end is
/// told to the other alone. The owner is as old as the older one, which therefore waits.
fn an_older_one_takes_the_place<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let (mut owner, mut older) = (setting.participant(), setting.participant());
    owner.begin().expect("it begins");
    older.begin().expect("it begins");
    owner.write(cell, Value::TRUE).expect("nobody is in the way");
    setting.pass(10);
    let mut younger = setting.participant();
    younger.begin().expect("it begins");
    let actors: Vec<Actor> = vec![
        Box::new(move || visit(&mut younger, cell)),
        Box::new(move || visit(&mut older, cell)),
        Box::new(move || owner.abort()),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}
