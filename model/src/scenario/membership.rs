//! Scenes of those who come and go: a slot has one owner, and the next one finds it at rest.

use std::sync::{Arc, Mutex};

use super::{Actor, Play, Scene, Setting, World};
use pso_engine::platform::Platform;
use pso_engine::space::Space;
use pso_engine::transaction::{Attempt, Observer, Participant};
use pso_engine::word::{ParticipantId, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 5] {
    [
        Scene { name: "two_who_join", write: two_who_join },
        Scene { name: "leave_and_claim", write: leave_and_claim },
        Scene { name: "read_leave_and_claim", write: read_leave_and_claim },
        Scene { name: "dead_slots_are_cleared_once", write: dead_slots_are_cleared_once },
        Scene { name: "fenced_and_alive", write: fenced_and_alive },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// **Two processes join at once**, take a participant, commit and leave. The danger: both get the same process slot or the
/// same participant slot. Each adds to one cell, so that a shared slot costs an addition.
fn two_who_join<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let come_and_go = |amount| {
        let (world, layout) = setting.newcomer();
        Box::new(move || {
            let space = Space::join(world, layout).expect("a process slot is free");
            let mut who = space.participant().expect("a participant slot is free");
            let added = who.run(|tx| {
                let seen = tx.read(cell)?.as_int().expect("an integer");
                tx.write(cell, integer(seen + amount))
            });
            added.expect("it commits");
            who.leave();
            space.leave();
        }) as Actor
    };
    let actors = vec![come_and_go(1), come_and_go(10)];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(reader.run(|tx| tx.read(cell)), Ok(integer(111)), "an addition is lost");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **A participant leaves while another comes** and takes its slot if it is free already. The danger: the new owner finds the
/// slot before the old one has put it at rest. All other slots are taken, so that the newcomer gets this one or none.
fn leave_and_claim<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    let mut leaver = setting.participant();
    let newcomers = setting.join();
    let stage = setting.stage();
    let others: Vec<_> = std::iter::from_fn(|| stage.participant().ok()).collect();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            leaver.run(|tx| tx.write(cell, integer(7))).expect("it commits");
            leaver.leave();
        }),
        Box::new(move || {
            let Ok(mut who) = newcomers.participant() else { return };
            assert_eq!(who.run(|tx| tx.read(cell)), Ok(integer(7)), "the last owner's commit comes before its leave");
            who.run(|tx| tx.write(cell, integer(8))).expect("it commits");
        }),
    ];
    let epilogue = Box::new(move || others.into_iter().for_each(|other| other.leave()));
    Play { actors, epilogue }
}

/// **The same with a leaver that has only read**, so that no fence of a commit stands between its last attempt and its leave.
/// The danger: the next owner goes on with a number of the last one's attempts.
fn read_leave_and_claim<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let listen = |who: &mut Participant<W>, numbers: &Arc<Mutex<Vec<u64>>>| {
        who.set_observer(Some(Box::new(Numbers(Arc::clone(numbers)))));
    };
    let mut leaver = setting.participant();
    listen(&mut leaver, &numbers);
    let newcomers = setting.join();
    let stage = setting.stage();
    let others: Vec<_> = std::iter::from_fn(|| stage.participant().ok()).collect();
    let heard = Arc::clone(&numbers);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            leaver.run(|tx| tx.read(cell)).expect("nobody is in the way");
            leaver.leave();
        }),
        Box::new(move || {
            let Ok(mut who) = newcomers.participant() else { return };
            listen(&mut who, &heard);
            who.run(|tx| tx.read(cell)).expect("nobody is in the way");
            let heard = heard.lock().unwrap();
            assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "attempts of one slot: {heard:?}");
        }),
    ];
    let epilogue = Box::new(move || others.into_iter().for_each(|other| other.leave()));
    Play { actors, epilogue }
}

/// Hears the numbers of attempts.
struct Numbers(Arc<Mutex<Vec<u64>>>);

impl<P: Platform> Observer<P> for Numbers {
    fn begins(&mut self, _: ParticipantId) {}
    fn ended(&mut self, attempt: &Attempt<'_, P>) {
        self.0.lock().unwrap().push(attempt.seq());
    }
}

/// **Two clear up after the same dead process**, whose participant had a lock, while one of them takes a new participant. The
/// danger: the slower one frees the slot that the faster one has taken anew.
fn dead_slots_are_cleared_once<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let cell = bank.account(0);
    // They join before the death: joining clears up, too.
    let (first, second) = (setting.join(), setting.join());
    let dead = setting.join();
    let mut victim = dead.participant().expect("a slot is free");
    victim.begin().expect("it begins");
    victim.write(cell, integer(0)).expect("nobody is in the way");
    setting.kill(&dead);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            first.recover_dead();
            let mut who = first.participant().expect("a slot is free");
            who.run(|tx| tx.write(cell, integer(7))).expect("it commits");
        }),
        Box::new(move || {
            second.recover_dead();
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        stage.recover_dead();
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(reader.run(|tx| tx.read(cell)), Ok(integer(7)), "a living participant was cleared away");
        reader.leave();
    });
    Play { actors, epilogue }
}

/// **A process has lost its byte of the lock file, and lives**: it goes on with its attempt while another looks for the dead. The danger: it is
/// cleared away, and its slots are handed out again while it uses them.
fn fenced_and_alive<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let seeker = setting.join();
    let space = setting.join();
    let mut fenced = space.participant().expect("a slot is free");
    fenced.begin().expect("it begins");
    fenced.write(cell, integer(7)).expect("nobody is in the way");
    setting.fence(&space);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            assert_eq!(fenced.commit(), Ok(()), "it lives");
        }),
        Box::new(move || {
            assert_eq!(seeker.recover_dead(), 0, "nobody is dead");
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut reader = stage.participant().expect("a slot is free");
        assert_eq!(reader.run(|tx| tx.read(cell)), Ok(integer(7)));
        reader.leave();
    });
    Play { actors, epilogue }
}
