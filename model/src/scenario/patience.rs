//! Scenes of those who wait for a change: no wake-up is lost (I8). They are worth most where no time-out helps.

use super::{Actor, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::object::queue;
use pso_engine::participant::Slot;
use pso_engine::platform::Ordering;
use pso_engine::transaction::Participant;
use pso_engine::waiting;
use pso_engine::word::{CellAddress, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 8] {
    [
        Scene { name: "retry", write: retry },
        Scene { name: "retry_after_a_killed_sleeper", write: retry_after_a_killed_sleeper },
        Scene { name: "two_who_retry", write: two_who_retry },
        Scene { name: "retry_and_writers", write: retry_and_writers },
        Scene { name: "queue_hand_over", write: queue_hand_over },
        Scene { name: "arms_beside_a_ring_nearby", write: arms_beside_a_ring_nearby },
        Scene { name: "arms_again_beside_a_ring_nearby", write: arms_again_beside_a_ring_nearby },
        Scene { name: "commits_beside_a_ring_nearby", write: commits_beside_a_ring_nearby },
    ]
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}

/// Waits until `cell` holds `wanted`.
fn wait_for<W: World>(mut who: Participant<W>, cell: CellAddress, wanted: i64) -> Actor {
    Box::new(move || {
        who.run(|tx| if tx.read(cell)? == integer(wanted) { Ok(()) } else { Err(Stop::Retry) }).expect("it commits");
    })
}

fn write<W: World>(mut who: Participant<W>, cell: CellAddress, value: i64) -> Actor {
    Box::new(move || who.run(|tx| tx.write(cell, integer(value))).expect("it commits"))
}

/// **Retry.** One waits until a cell is 7, one writes 7. The danger: the waiter looks before the commit and arms after the
/// ring. One cell and one commit have every order of the four steps.
fn retry<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let actors = vec![wait_for(setting.participant(), cell, 7), write(setting.participant(), cell, 7)];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **The same in the slot of somebody who was killed in its sleep.** The danger: the bell says that somebody sleeps, so that nobody can go to sleep, and
/// the waiter looks again and again.
fn retry_after_a_killed_sleeper<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let space = setting.join();
    let dead = space.participant().expect("a slot is free");
    let slot = Slot::of(space.arena(), dead.id()).expect("there is such a slot");
    // What a sleep does before it sleeps.
    space.arena().platform().fetch_or(slot.bell(), 1, Ordering::AcqRel);
    let id = dead.id();
    std::mem::forget(dead);
    setting.kill(&space);
    setting.stage().recover_dead();
    let heir = setting.participant();
    assert_eq!(heir.id(), id);
    let actors = vec![wait_for(heir, cell, 7), write(setting.participant(), cell, 7)];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **Two who retry** for different cells in one bucket, one commit that changes both. The danger: one ring serves for both,
/// or the summary bit is cleared over the head of the one who arms late.
fn two_who_retry<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let mut writer = setting.participant();
    let actors: Vec<Actor> = vec![
        wait_for(setting.participant(), bank.account(0), 7),
        wait_for(setting.participant(), bank.account(1), 8),
        Box::new(move || {
            let both = writer.run(|tx| {
                tx.write(bank.account(0), integer(7))?;
                tx.write(bank.account(1), integer(8))
            });
            both.expect("it commits");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **One who retries beside two writers of the cell.** The danger: a writer in the second row and the one who retries are
/// found in the same bucket, and one kind's wake-up is swallowed by the other.
fn retry_and_writers<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let mut waiter = setting.participant();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let changed = waiter.run(|tx| if tx.read(cell)? == integer(100) { Err(Stop::Retry) } else { Ok(()) });
            changed.expect("it commits");
        }),
        write(setting.participant(), cell, 7),
        write(setting.participant(), cell, 8),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **A queue of one place**: one puts two items, one takes two. The danger: putter and taker each sleep while the queue is
/// full or empty for the other. One place makes every put and every get wait at its worst; two items let each wait once.
fn queue_hand_over<W: World>(setting: &Setting<W>) -> Play {
    let mut putter = setting.participant();
    let mut taker = setting.participant();
    let queue = putter.run(|tx| {
        let queue = queue::create(tx, 1)?;
        let root = tx.arena().root();
        // Filled and emptied once: the memory of its place is made before the actors start.
        queue::put(tx, queue, integer(0))?;
        queue::get(tx, queue)?;
        tx.write(root, Value::handle(queue))?;
        Ok(queue)
    });
    let queue = queue.expect("the space has room");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            for item in 1..=2 {
                putter.run(|tx| queue::put(tx, queue, integer(item))).expect("it commits");
            }
        }),
        Box::new(move || {
            for item in 1..=2 {
                assert_eq!(taker.run(|tx| queue::get(tx, queue)), Ok(integer(item)), "items come in their order");
            }
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **One arms its wait while another rings for a cell nearby**, in the same bucket, which is empty and was not always; then that one commits what the
/// first waits for. The danger: the ring that was not for it takes the bit of a sleeper whose reason it does not see, or the bucket's bit of the summary,
/// and the commit finds nobody. What comes before is played before: a lock to give up, a read to wait for.
fn arms_beside_a_ring_nearby<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (nearby, cell) = (bank.account(0), bank.account(1));
    let (mut waiter, mut writer) = (setting.participant(), setting.participant());
    // What a wait that is over leaves: the bucket's bit in the summary.
    waiting::announce(waiter.arena(), nearby, waiter.id());
    waiting::withdraw(waiter.arena(), nearby, waiter.id());
    waiter.begin().expect("it begins");
    waiter.read(cell).expect("nobody is in the way");
    writer.begin().expect("it begins");
    writer.write(nearby, Value::NONE).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || waiter.wait_for_change(None).expect("it changes")),
        Box::new(move || {
            writer.abort();
            writer.run(|tx| tx.write(cell, integer(7))).expect("it commits");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **One whose wait is over arms the next one while another rings for a cell nearby.** The danger: the ringer has seen the old bit and that nothing is
/// waited for, and then takes the bit of the new wait for the old one; the commit that follows finds nobody. The first wait is over at once, for the cell
/// has changed since it was read.
fn arms_again_beside_a_ring_nearby<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (nearby, cell) = (bank.account(0), bank.account(1));
    let (mut waiter, mut writer) = (setting.participant(), setting.participant());
    waiter.begin().expect("it begins");
    waiter.read(cell).expect("nobody is in the way");
    writer.run(|tx| tx.write(cell, integer(1))).expect("nobody is in the way");
    writer.begin().expect("it begins");
    writer.write(nearby, Value::NONE).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            waiter.wait_for_change(None).expect("it has changed");
            let seven = waiter.run(|tx| if tx.read(cell)? == integer(7) { Ok(()) } else { Err(Stop::Retry) });
            seven.expect("it commits");
        }),
        Box::new(move || {
            writer.abort();
            writer.run(|tx| tx.write(cell, integer(7))).expect("it commits");
        }),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}

/// **One arms its wait, one rings for a cell nearby, and a third one commits what the first waits for.** The danger: the ringer has found the bucket empty
/// and takes its bit out of the summary, for a moment; the commit looks for sleepers in just that moment.
fn commits_beside_a_ring_nearby<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (nearby, cell) = (bank.account(0), bank.account(1));
    let (mut waiter, mut ringer, mut writer) = (setting.participant(), setting.participant(), setting.participant());
    // What a wait that is over leaves: the bucket's bit in the summary.
    waiting::announce(waiter.arena(), nearby, waiter.id());
    waiting::withdraw(waiter.arena(), nearby, waiter.id());
    waiter.begin().expect("it begins");
    waiter.read(cell).expect("nobody is in the way");
    ringer.begin().expect("it begins");
    ringer.write(nearby, Value::NONE).expect("nobody is in the way");
    writer.begin().expect("it begins");
    writer.write(cell, integer(7)).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || waiter.wait_for_change(None).expect("it changes")),
        Box::new(move || ringer.abort()),
        Box::new(move || writer.commit().expect("nobody is in the way")),
    ];
    Play { actors, epilogue: Box::new(|| {}) }
}
