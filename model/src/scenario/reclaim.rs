//! Scenes of blocks that a commit takes out of the space: their memory is written anew, and nobody who may still read them sees
//! that (see `reclamation` in the engine).

use super::{Actor, LARGEST_SMALL, Play, Scene, Setting, World};
use pso_engine::allocator;
use pso_engine::error::Stop;
use pso_engine::transaction::Participant;
use pso_engine::word::{BlockKind, BlockPhase, CellAddress, Handle, Value};

/// The scenes of this file.
pub(super) fn scenes<W: World>() -> [Scene<W>; 6] {
    [
        Scene { name: "retired_beside_a_beginning", write: retired_beside_a_beginning },
        Scene { name: "retired_beside_a_reading", write: retired_beside_a_reading },
        Scene { name: "retired_beside_an_end", write: retired_beside_an_end },
        Scene { name: "two_who_collect", write: two_who_collect },
        Scene { name: "followed_beside_an_end", write: followed_beside_an_end },
        Scene { name: "taken_out_beside_its_commit", write: taken_out_beside_its_commit },
    ]
}

/// Payload words of the blocks here that something is in.
const WORDS: u64 = 2;
/// What is freed is used again behind the last of these allocations: whoever makes as many has none left of the four that share a superblock.
const USES_ALL: usize = 3;
/// What stands in the first block, in the one that replaces it, and in what is made of freed memory.
const FIRST: u64 = 1;
const SECOND: u64 = 11;
const ANEW: u64 = 101;

fn make<W: World>(tx: &mut Participant<W>, content: u64) -> Result<Handle, Stop> {
    let block = tx.allocate(BlockKind::Bytes, LARGEST_SMALL)?;
    let first = tx.open(block, BlockKind::Bytes)?;
    (0..WORDS).for_each(|word| tx.arena().platform().store_plain(first.offset(word), content));
    Ok(block)
}

/// What is in the block that the cell names. All its words say the same.
fn content<W: World>(tx: &mut Participant<W>, cell: CellAddress) -> Result<u64, Stop> {
    let block = tx.read(cell)?.as_handle().expect("the cell always names a block");
    content_of(tx, block)
}

fn content_of<W: World>(tx: &mut Participant<W>, block: Handle) -> Result<u64, Stop> {
    let first = tx.open(block, BlockKind::Bytes)?;
    let words: Vec<u64> = (0..WORDS).map(|word| tx.arena().platform().load_plain(first.offset(word))).collect();
    assert!(words.iter().all(|word| *word == words[0]), "a block has two users: {words:?}");
    Ok(words[0])
}

/// Somebody who has replaced the block that a cell names, in an attempt that is ready to commit.
fn replacer<W: World>(setting: &Setting<W>, cell: CellAddress) -> Participant<W> {
    let mut writer = setting.participant();
    writer
        .run(|tx| {
            let block = make(tx, FIRST)?;
            tx.write(cell, Value::handle(block))
        })
        .expect("nobody is in the way");
    writer.begin().expect("it begins");
    replace(&mut writer, cell, SECOND).expect("nobody is in the way");
    writer
}

fn replace<W: World>(tx: &mut Participant<W>, cell: CellAddress, content: u64) -> Result<(), Stop> {
    let old = tx.read(cell)?.as_handle().expect("the cell always names a block");
    let block = make(tx, content)?;
    tx.write(cell, Value::handle(block))?;
    tx.discard(old)
}

/// Commits, frees what it may, and writes over what is free.
fn replaces_and_writes_anew<W: World>(mut writer: Participant<W>) -> Actor {
    Box::new(move || {
        writer.commit().expect("nobody is in the way");
        // In an attempt, as where a space is full: no fence comes between the look at the readers and the writing.
        writer.begin().expect("it begins");
        writer.collect();
        for _ in 0..USES_ALL {
            make(&mut writer, ANEW).expect("there is room");
        }
        writer.abort();
    })
}

/// **A block is replaced, freed and written anew while somebody begins** and reads the cell that named it. The danger: the
/// reader finds the old name after those who free have looked for readers.
fn retired_beside_a_beginning<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let writer = replacer(setting, cell);
    let mut reader = setting.participant();
    let actors: Vec<Actor> = vec![
        replaces_and_writes_anew(writer),
        Box::new(move || {
            let seen = reader.run(|tx| content(tx, cell));
            assert!([Ok(FIRST), Ok(SECOND)].contains(&seen), "{seen:?}");
        }),
    ];
    Play { actors, epilogue: empties(setting, cell) }
}

/// **The same beside somebody who has begun** and reads now. The danger: his start is not seen, or taken for a later one.
fn retired_beside_a_reading<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let writer = replacer(setting, cell);
    let mut reader = setting.participant();
    reader.begin().expect("it begins");
    let actors: Vec<Actor> = vec![
        replaces_and_writes_anew(writer),
        Box::new(move || {
            let seen = content(&mut reader, cell);
            assert!([Ok(FIRST), Ok(SECOND)].contains(&seen), "{seen:?}");
            reader.abort();
        }),
    ];
    Play { actors, epilogue: empties(setting, cell) }
}

/// **The same beside somebody who has read the name**, follows it now, and ends. The danger: his end is seen before his reading
/// is done, so that the memory is written under his eyes.
fn retired_beside_an_end<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let writer = replacer(setting, cell);
    let mut reader = setting.participant();
    reader.begin().expect("it begins");
    let block = reader.read(cell).expect("nobody is in the way").as_handle().expect("it names a block");
    let actors: Vec<Actor> = vec![
        replaces_and_writes_anew(writer),
        Box::new(move || {
            assert_eq!(content_of(&mut reader, block), Ok(FIRST));
            reader.abort();
        }),
    ];
    Play { actors, epilogue: empties(setting, cell) }
}

/// **Two who replace and collect**, one after the other or at once, beside a reader who has read the first name. The danger: the
/// batch number that one has moved on hides from the other who began before.
fn two_who_collect<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (cell, other_cell) = (bank.account(0), bank.account(1));
    let writer = replacer(setting, cell);
    let mut reader = setting.participant();
    reader.begin().expect("it begins");
    let block = reader.read(cell).expect("nobody is in the way").as_handle().expect("it names a block");
    let other = replacer(setting, other_cell);
    let actors: Vec<Actor> = vec![
        replaces_and_writes_anew(writer),
        replaces_and_writes_anew(other),
        Box::new(move || {
            assert_eq!(content_of(&mut reader, block), Ok(FIRST));
            reader.abort();
        }),
    ];
    let (first, second) = (empties(setting, cell), empties(setting, other_cell));
    Play {
        actors,
        epilogue: Box::new(move || {
            first();
            second();
        }),
    }
}

/// **Somebody follows the log of a reader into a block that is out, while the reader ends** and whoever has taken it out frees it, and
/// writes over it. The danger: he reads on in what is somebody else's by then.
fn followed_beside_an_end<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (cell, other_cell) = (bank.account(0), bank.account(1));
    let mut taker = setting.participant();
    let in_tuple = taker.run(|tx| {
        let part = make(tx, FIRST)?;
        let whole = tx.allocate(BlockKind::Tuple, LARGEST_SMALL)?;
        let first = tx.open(whole, BlockKind::Tuple)?;
        tx.arena().platform().store_plain(first, 1);
        tx.arena().platform().store_plain(first.offset(1), Value::handle(part).raw());
        tx.write(cell, Value::handle(whole))?;
        Ok((whole, part))
    });
    let (whole, part) = in_tuple.expect("nobody is in the way");
    let mut follower = replacer(setting, other_cell);
    let mut reader = setting.participant();
    reader.begin().expect("it begins");
    reader.read(cell).expect("nobody is in the way");
    let taken = taker.run(|tx| {
        let block = make(tx, SECOND)?;
        tx.write(cell, Value::handle(block))?;
        tx.discard(part)?;
        tx.discard(whole)
    });
    assert_eq!(taken, Ok(()));
    follower.commit().expect("nobody is in the way");
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            reader.abort();
            taker.begin().expect("it begins");
            taker.collect();
            for _ in 0..USES_ALL {
                make(&mut taker, ANEW).expect("there is room");
            }
            taker.abort();
        }),
        Box::new(move || {
            follower.collect();
        }),
    ];
    let (first, second) = (empties(setting, cell), empties(setting, other_cell));
    Play {
        actors,
        epilogue: Box::new(move || {
            first();
            second();
        }),
    }
}

/// **What is committed is taken out at once**, as soon as its cell is free, while its maker is still in his commit. The danger: the block is
/// not LIVE yet, so that nobody can retire it, and then it is never freed.
fn taken_out_beside_its_commit<W: World>(setting: &Setting<W>) -> Play {
    let cell = setting.bank(1).account(0);
    let mut writer = replacer(setting, cell);
    let mut other = setting.participant();
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            // It may be taken for hung where it stands still.
            let _ = writer.commit();
        }),
        Box::new(move || {
            let replaced = other.run(|tx| replace(tx, cell, SECOND));
            assert_eq!(replaced, Ok(()));
        }),
    ];
    let stage = setting.stage();
    let last = empties(setting, cell);
    let epilogue = Box::new(move || {
        let mut left = 0;
        allocator::for_each_block(stage.arena(), |_, state| {
            left += u64::from(state.kind == BlockKind::Bytes && state.phase == BlockPhase::Live);
        });
        assert_eq!(left, 1, "LIVE blocks, and one cell that names one");
        last();
    });
    Play { actors, epilogue }
}

/// The bytes here are words, which fsck does not take for the text of a Bytes block: they are taken out at the end.
fn empties<W: World>(setting: &Setting<W>, cell: CellAddress) -> Actor {
    let stage = setting.stage();
    Box::new(move || {
        let mut last = stage.participant().expect("a slot is free");
        let seen = last.run(|tx| {
            let seen = content(tx, cell)?;
            let block = tx.read(cell)?.as_handle().expect("the cell always names a block");
            tx.write(cell, Value::NONE)?;
            tx.discard(block)?;
            Ok(seen)
        });
        assert_eq!(seen, Ok(SECOND));
        last.collect();
        last.leave();
    })
}
