//! Scenes of objects that nothing in the space names, and a process holds (see `holding` in the engine), beside a collection.

use std::sync::{Arc, Mutex};

use super::collect::{PATIENCE_NS, cell_of, content, found, make, read, treasure, treasure_is_first};
use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::error::Stop;
use pso_engine::holding::{Hold, for_each_held};
use pso_engine::transaction::Participant;
use pso_engine::word::{CellAddress, Handle, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 4] {
    [
        Scene { name: "exported_beside_a_collection", write: exported_beside_a_collection },
        Scene { name: "released_beside_a_child", write: released_beside_a_child },
        Scene { name: "released_beside_a_fork", write: released_beside_a_fork },
        Scene { name: "released_beside_a_collection", write: released_beside_a_collection },
    ]
}

/// Somebody who holds the treasure, which no cell names any more.
fn holder<W: World>(setting: &Setting<W>, bank: &Bank) -> (Participant<W>, Hold) {
    let mut holder = setting.participant();
    holder.begin().expect("it begins");
    let object = read(&mut holder, bank.account(1)).expect("nobody is in the way");
    let hold = holder.hold(object).expect("there is room");
    holder.abort();
    holder.run(|tx| tx.write(bank.account(1), Value::NONE)).expect("nobody is in the way");
    (holder, hold)
}

/// Somebody who has it by other ways than a cell gives it a name again.
fn name_again<W: World>(tx: &mut Participant<W>, object: Handle, cell: CellAddress) -> Result<(), Stop> {
    tx.run(|tx| {
        tx.name(object)?;
        tx.write(cell, Value::handle(object))
    })
}

/// **Somebody pickles what he holds while a collector looks**, and lets go of it. The danger: in the middle of it neither the hold nor the export
/// is found. In the end it is adopted.
fn exported_beside_a_collection<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let (holder, hold) = holder(setting, &bank);
    let mut collector = setting.participant();
    let export = Arc::new(Mutex::new(None));
    let sent = Arc::clone(&export);
    let space = Arc::clone(holder.space());
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            *sent.lock().unwrap() = space.export(hold);
        }),
        Box::new(move || {
            collector.collect_objects(PATIENCE_NS).expect("nobody interrupts");
        }),
    ];
    let (stage, last) = (setting.stage(), treasure_is_first(setting, &bank));
    let epilogue = Box::new(move || {
        let mut adopter = stage.participant().expect("a slot is free");
        assert_eq!(name_again(&mut adopter, hold.handle(), bank.account(0)), Ok(()));
        assert!(stage.adopt(export.lock().unwrap().expect("it was held")));
        adopter.leave();
        holder.leave();
        last();
    });
    Play { actors, epilogue }
}

/// **A parent lets go of what the child of a fork has still to copy**, and collects. The danger: the child has a token of what is gone.
fn released_beside_a_child<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let (mut parent, hold) = holder(setting, &bank);
    parent.space().before_fork();
    let claim = parent.space().claim();
    let noted = parent.space().held_at_fork().expect("a note");
    let child = setting.join();
    let mut heir = setting.participant_of(&child);
    let cell = bank.account(0);
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            parent.release(hold);
            parent.collect_objects(PATIENCE_NS).expect("nobody interrupts");
        }),
        Box::new(move || {
            assert!(child.take_over_held(claim, &noted).expect("there is room"));
            assert_eq!(name_again(&mut heir, hold.handle(), cell), Ok(()));
            heir.release(hold);
        }),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// **One thread lets go of what another notes for the child that it is about to fork.** The danger: neither sees the other. Then the child finds that its parent
/// does not hold what it has tokens of, and holds nothing.
fn released_beside_a_fork<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let (mut parent, hold) = holder(setting, &bank);
    // Without one that stays the child has nothing to copy, and looks at no entry.
    let stays = parent.run(|tx| tx.hold(hold.handle())).expect("there is room");
    let space = Arc::clone(parent.space());
    let child = setting.join();
    let heir = Arc::clone(&child);
    let has_token = Arc::new(Mutex::new(false));
    let noted_it = Arc::clone(&has_token);
    let actors: Vec<Actor> = vec![
        Box::new(move || parent.release(hold)),
        Box::new(move || {
            space.before_fork();
            let noted = space.held_at_fork().expect("a note");
            assert!(heir.take_over_held(space.claim(), &noted).expect("there is room"));
            *noted_it.lock().unwrap() = noted.contains(&hold);
            // For loom, which orders words that two processes have to do with: as whoever looks for what is held.
            for_each_held(heir.arena(), &mut |_| {}).expect("nothing is damaged");
        }),
    ];
    let (mut last, treasure) = (setting.participant_of(&child), treasure_is_first(setting, &bank));
    let epilogue = Box::new(move || {
        assert_eq!(name_again(&mut last, hold.handle(), bank.account(0)), Ok(()));
        last.release(stays);
        if *has_token.lock().unwrap() {
            last.release(hold);
        }
        last.leave();
        treasure();
    });
    Play { actors, epilogue }
}

/// **The name of the treasure moves from an object that is only held to the root, and the object is let go of**, while a collector is between the two. The
/// danger: it has looked at the root before, and does not find what is held after.
fn released_beside_a_collection<W: World>(setting: &Setting<W>) -> Play {
    setting.bank(1);
    let mut holder = setting.participant();
    let made = holder.run(|tx| {
        let (inner, outer) = (make(tx)?, make(tx)?);
        tx.write(cell_of(outer), Value::handle(inner))?;
        Ok((outer, tx.hold(outer)?))
    });
    let (outer, hold) = made.expect("nobody is in the way");
    let mut collector = setting.participant();
    let root = setting.stage().arena().root();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            collector.collect_objects(PATIENCE_NS).expect("nobody interrupts");
        }),
        Box::new(move || {
            let moved = holder.run(|tx| {
                let inner = tx.read(cell_of(outer))?;
                tx.write(root, inner)
            });
            assert_eq!(moved, Ok(()));
            holder.release(hold);
        }),
    ];
    let stage = setting.stage();
    let epilogue = Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        let seen = last.run(|tx| {
            let object = read(tx, root)?;
            content(tx, object)
        });
        assert_eq!(seen, Ok(treasure()));
        last.leave();
    });
    Play { actors, epilogue }
}
