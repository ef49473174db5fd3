//! Scenes of a collection beside those who change who names what (see `collection` in the engine).

use super::{Actor, Bank, Play, Scene, Setting, World};
use pso_engine::collection::{Collection, Help, Patience, Step};
use pso_engine::error::Stop;
use pso_engine::fsck::fsck_at_rest;
use pso_engine::object::tuple;
use pso_engine::shape::LIST_CELLS;
use pso_engine::transaction::{CollectionEnd, Participant};
use pso_engine::word::{BlockKind, CELL_WORDS, CellAddress, Handle, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 7] {
    [
        Scene { name: "collected_beside_a_move", write: collected_beside_a_move },
        Scene { name: "collected_beside_a_birth", write: collected_beside_a_birth },
        Scene { name: "collected_beside_a_reader", write: collected_beside_a_reader },
        Scene { name: "collected_beside_an_older_birth", write: collected_beside_an_older_birth },
        Scene { name: "collected_beside_a_hold", write: collected_beside_a_hold },
        Scene { name: "collected_and_taken_over", write: collected_and_taken_over },
        Scene { name: "collected_with_help", write: collected_with_help },
    ]
}

/// What is in the object that a scene is about. A list of that length without places: the smallest container.
const TREASURE: i64 = 42;
/// Of whoever takes a collection over.
const AT_ONCE: Patience = Patience { rests_ns: 0, silent_ns: 0 };
/// Of a collector: more than nothing, less than anybody stands still.
pub(super) const PATIENCE_NS: u64 = 1_000_000;

pub(super) fn treasure() -> Value {
    Value::int(TREASURE).expect("it is small")
}

pub(super) fn cell_of(object: Handle) -> CellAddress {
    CellAddress::new(object.block().offset(pso_engine::word::BLOCK_HEADER_WORDS))
}

pub(super) fn make<W: World>(tx: &mut Participant<W>) -> Result<Handle, Stop> {
    make_of(tx, treasure())
}

fn make_of<W: World>(tx: &mut Participant<W>, content: Value) -> Result<Handle, Stop> {
    let made = tx.allocate(BlockKind::List, LIST_CELLS * CELL_WORDS)?;
    tx.initialize(cell_of(made), content);
    (1..LIST_CELLS).for_each(|cell| tx.initialize(cell_of(made).offset(cell), Value::ABSENT));
    Ok(made)
}

pub(super) fn read<W: World>(tx: &mut Participant<W>, cell: CellAddress) -> Result<Handle, Stop> {
    Ok(tx.read(cell)?.as_handle().expect("an object stands there"))
}

/// What is in an object that was named a moment ago.
pub(super) fn content<W: World>(tx: &mut Participant<W>, object: Handle) -> Result<Value, Stop> {
    tx.open(object, BlockKind::List)?;
    tx.read(cell_of(object))
}

/// The root names two cells, which a collector looks at in their order. The second names the treasure.
pub(super) fn found<W: World>(setting: &Setting<W>) -> Bank {
    let bank = setting.bank(2);
    let mut founder = setting.stage().participant().expect("a slot is free");
    let made = founder.run(|tx| {
        let treasure = make(tx)?;
        tx.write(bank.account(0), Value::NONE)?;
        tx.write(bank.account(1), Value::handle(treasure))
    });
    made.expect("the space has room");
    founder.leave();
    bank
}

fn collects<W: World>(mut collector: Participant<W>) -> Actor {
    Box::new(move || {
        collector.collect_objects(PATIENCE_NS).expect("nobody interrupts");
    })
}

/// A treasure is what the first cell names, and nothing is left when no cell names anything.
pub(super) fn treasure_is_first<W: World>(setting: &Setting<W>, bank: &Bank) -> Actor {
    let (stage, cells) = (setting.stage(), [bank.account(0), bank.account(1)]);
    Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        let seen = last.run(|tx| {
            let object = read(tx, cells[0])?;
            content(tx, object)
        });
        assert_eq!(seen, Ok(treasure()));
        let emptied = last.run(|tx| cells.into_iter().try_for_each(|cell| tx.write(cell, Value::NONE)));
        assert_eq!(emptied, Ok(()));
        for left in [0..=3, 0..=0] {
            let end = last.collect_objects(PATIENCE_NS);
            let right = matches!(end, Ok(CollectionEnd::Finished(collected)) if left.contains(&collected.objects));
            assert!(right, "{end:?} instead of {left:?}");
        }
        last.leave();
    })
}

/// **A name moves while the collector looks**, from a place that it comes to later to one that it has passed. The danger: it sees
/// the name nowhere, and frees what it names.
fn collected_beside_a_move<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let collector = setting.participant();
    let mut mover = setting.participant();
    let cells = [bank.account(0), bank.account(1)];
    let actors: Vec<Actor> = vec![
        collects(collector),
        Box::new(move || {
            let moved = mover.run(|tx| {
                let object = tx.read(cells[1])?;
                tx.write(cells[1], Value::NONE)?;
                tx.write(cells[0], object)
            });
            assert_eq!(moved, Ok(()));
        }),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// **Something is made while the collector looks**, and put where it has looked. The danger: it is taken for something that nothing
/// named from the start.
fn collected_beside_a_birth<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let collector = setting.participant();
    let mut maker = setting.participant();
    let first = bank.account(0);
    let actors: Vec<Actor> = vec![
        collects(collector),
        Box::new(move || {
            let made = maker.run(|tx| {
                let object = make(tx)?;
                tx.write(first, Value::handle(object))
            });
            assert_eq!(made, Ok(()));
        }),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// **The last name goes, and a collection comes, while somebody who has read it reads on.** The danger: what he reads is freed under his
/// eyes.
fn collected_beside_a_reader<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let mut collector = setting.participant();
    let mut reader = setting.participant();
    let cells = [bank.account(0), bank.account(1)];
    reader.begin().expect("it begins");
    let old = read(&mut reader, cells[1]).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            let replaced = collector.run(|tx| {
                let other = make(tx)?;
                tx.write(cells[1], Value::NONE)?;
                tx.write(cells[0], Value::handle(other))
            });
            assert_eq!(replaced, Ok(()));
            collector.collect_objects(PATIENCE_NS).expect("nobody interrupts");
            // Over what was freed, if anything was.
            let written = collector.run(|tx| {
                let over = make(tx)?;
                tx.write(cell_of(over), Value::NONE)
            });
            assert_eq!(written, Ok(()));
        }),
        Box::new(move || {
            let seen = content(&mut reader, old);
            assert!(seen == Ok(treasure()) || seen == Err(Stop::Conflict), "{seen:?}");
            reader.abort();
        }),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// **An attempt that has begun before the collection commits beside it**: it has put something new in the place of what there was. The danger: it
/// does not know of the collection, and what it has made is taken for something that nothing named from the start.
fn collected_beside_an_older_birth<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let collector = setting.participant();
    let mut maker = setting.participant();
    let cells = [bank.account(0), bank.account(1)];
    maker.begin().expect("it begins");
    let made = (|| {
        let made = make(&mut maker)?;
        maker.write(cells[1], Value::NONE)?;
        maker.write(cells[0], Value::handle(made))
    })();
    assert_eq!(made, Ok(()));
    // The maker first: where a scene is played with few preemptions, that saves one.
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            assert_eq!(maker.commit(), Ok(()));
        }),
        collects(collector),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// **The last name goes while an attempt that has read it makes its process hold the object**, and ends. The danger: whoever collects finds it
/// neither in the table nor in the log.
fn collected_beside_a_hold<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let mut collector = setting.participant();
    let mut holder = setting.participant();
    let cells = [bank.account(0), bank.account(1)];
    holder.begin().expect("it begins");
    let object = read(&mut holder, cells[1]).expect("nobody is in the way");
    // The table has room from here on.
    let first = holder.hold(object).expect("there is room");
    holder.release(first);
    holder.abort();
    holder.begin().expect("it begins");
    read(&mut holder, cells[1]).expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            assert_eq!(collector.run(|tx| tx.write(cells[1], Value::NONE)), Ok(()));
            collector.collect_objects(PATIENCE_NS).expect("nobody interrupts");
        }),
        Box::new(move || {
            let hold = holder.hold(object).expect("there is room");
            holder.abort();
            let back = holder.run(|tx| {
                tx.name(object)?;
                tx.write(cells[0], Value::handle(object))
            });
            assert_eq!(back, Ok(()));
            holder.release(hold);
        }),
    ];
    Play { actors, epilogue: treasure_is_first(setting, &bank) }
}

/// Two lists that nothing names.
fn garbage<W: World>(tx: &mut Participant<W>) {
    let made = tx.run(|tx| (0..2).try_for_each(|_| make(tx).map(drop)));
    assert_eq!(made, Ok(()));
}

/// Goes on to the end, or until somebody else has taken over. Gives the number of steps.
fn go_on<W: World>(tx: &mut Participant<W>, collection: &mut Collection, most: u32) -> u32 {
    (0..most).find(|_| tx.collection_step(collection) != Step::Went).map_or(most, |last| last + 1)
}

/// **A collection is taken over while the first collector retires what both have found**, and goes on. The danger: what the second one has freed, and used
/// for something else, the first one puts into his list; behind it the list is lost.
fn collected_and_taken_over<W: World>(setting: &Setting<W>) -> Play {
    let bank = found(setting);
    let mut first = setting.participant();
    let mut second = setting.participant();
    // How many steps there are, the last of which ends it, and the one before retires.
    garbage(&mut first);
    let mut rehearsed = first.open_collection(AT_ONCE).expect("nobody collects");
    let steps = go_on(&mut first, &mut rehearsed, u32::MAX);
    first.collect();
    garbage(&mut first);
    let mut collection = first.open_collection(AT_ONCE).expect("nobody collects");
    assert_eq!(go_on(&mut first, &mut collection, steps - 2), steps - 2);
    let stage = setting.stage();
    let cells = [bank.account(0), bank.account(1)];
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            go_on(&mut first, &mut collection, u32::MAX);
        }),
        Box::new(move || {
            if let Some(mut collection) = second.open_collection(AT_ONCE) {
                go_on(&mut second, &mut collection, u32::MAX);
            }
            second.collect();
            // Over what was freed, if anything was.
            let made = second.run(|tx| {
                let over = make(tx)?;
                tx.write(cells[0], Value::handle(over))
            });
            assert_eq!(made, Ok(()));
        }),
    ];
    let epilogue: Actor = Box::new({
        let last = treasure_is_first(setting, &bank);
        move || {
            assert_eq!(fsck_at_rest(&stage), vec![]);
            last();
        }
    });
    Play { actors, epilogue }
}

/// **Somebody helps whoever collects, and is dismissed before the last look.** The danger: he makes something grey behind that look, and black what the look has not
/// come to yet; then what that names is found nowhere, and freed. So the blocks lie in the order in which they are looked at from the treasure to the root.
fn collected_with_help<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(1);
    let (mut collector, mut helper) = (setting.participant(), setting.participant());
    let made = collector.run(|tx| {
        let last = make(tx)?;
        let inner = (0..3).try_fold(last, |inner, _| make_of(tx, Value::handle(inner)))?;
        // In a superblock of their own, which is looked at later.
        let mut outer = Value::handle(inner);
        for _ in 0..2 {
            let mut items = [Value::NONE; 20];
            items[0] = outer;
            outer = tuple::encode(tx, &items)?;
            tx.share(outer.as_handle().expect("a block"));
        }
        tx.write(bank.account(0), outer)?;
        Ok(last)
    });
    let last = made.expect("the space has room");
    // What a process holds is grey before marking begins.
    helper.begin().expect("it begins");
    let outer = read(&mut helper, bank.account(0)).expect("nobody is in the way");
    let hold = helper.hold(outer).expect("there is room");
    helper.abort();
    let mut collection = collector.open_collection(AT_ONCE).expect("nobody collects");
    let mut helping = loop {
        match helper.offer_help() {
            Some(helping) => break helping,
            None => assert_eq!(collector.collection_step(&mut collection), Step::Went),
        }
    };
    // The outermost; then the collector is through with what he has found, and with the first superblock; then the next one, which names the inner ones.
    assert_eq!(helper.helping_step(&mut helping, 1), Help::Went);
    assert_eq!(go_on(&mut collector, &mut collection, 2), 2);
    assert_eq!(helper.helping_step(&mut helping, 1), Help::Went);
    let stage = setting.stage();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            (0..2).all(|_| helper.helping_step(&mut helping, 1) == Help::Went);
            helper.release(hold);
        }),
        Box::new(move || {
            go_on(&mut collector, &mut collection, u32::MAX);
            collector.collect();
        }),
    ];
    let epilogue: Actor = Box::new(move || {
        let mut after = stage.participant().expect("a slot is free");
        assert_eq!(after.run(|tx| content(tx, last)), Ok(treasure()));
        after.leave();
        assert_eq!(fsck_at_rest(&stage), vec![]);
    });
    Play { actors, epilogue }
}
