//! A scene of this table's own: a read that is repeated after the snapshot has moved on.
//!
//! The danger: a commit takes its version from a clock that it loaded before it was PREPARED. A reader whose snapshot moved
//! on in between counts that version as its past, and sees the cell change between two looks. The clock moves only where somebody
//! extends, so the reader first reads a cell whose version is the clock's present value.

use pso_engine::word::Value;
use pso_model::scenario::{Actor, Play, Scene, Setting, World};

pub const NAME: &str = "repeated_read_after_an_extension";

pub fn scene<W: World>() -> Scene<W> {
    Scene { name: NAME, write }
}

fn write<W: World>(setting: &Setting<W>) -> Play {
    let bank = setting.bank(2);
    let (mut writer, mut reader) = (setting.participant(), setting.participant());
    // Twice: the second commit extends first, so that the cell's version is the clock's value.
    for value in [1, 2] {
        writer.run(|tx| tx.write(bank.account(1), Value::int(value).unwrap_or(Value::NONE))).expect("it commits");
    }
    let actors: Vec<Actor> = vec![
        Box::new(move || {
            writer.run(|tx| tx.write(bank.account(0), Value::TRUE)).expect("it commits");
        }),
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
