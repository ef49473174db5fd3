//! Standard output, and lines on standard error. `println!` panics when whoever reads it has gone; what is said through this ends with a [`Failure::Output`], so that
//! guards run on the way out.

use std::fmt::Display;
use std::io::Write;

use crate::failure::Failure;

/// Says a line.
pub fn line(text: impl Display) -> Result<(), Failure> {
    write(format_args!("{text}\n"))
}

/// Says what ends its own lines: a table, a screen.
pub fn text(text: impl Display) -> Result<(), Failure> {
    write(format_args!("{text}"))
}

/// Says a line on standard error, if anybody listens: the exit code says the rest.
pub fn aside(text: impl Display) {
    let _ = std::io::stderr().write_fmt(format_args!("{text}\n"));
}

fn write(text: std::fmt::Arguments) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_fmt(text).and_then(|()| output.flush()).map_err(Failure::Output)
}
