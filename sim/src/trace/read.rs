//! Text into traces. Damaged input is refused with the number of the line and what is wrong with it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use pso_engine::trace::{MAGIC, SEPARATOR, VERSION};

use super::{
    CELLS_MAX, Header, MEMORY_BYTES, MEMORY_BYTES_MAX, Operation, PARTICIPANTS_MAX, Trace, Transaction, check,
};

/// A line longer than this is damage: it bounds what a bad file can take.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// The largest block of an allocation, in words.
const WORDS_MAX: u64 = 1 << 24;
/// Of one operation. What all of them come to is checked when all are read.
const VALUE_MAX: i64 = 1 << 52;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a file is not a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be opened or read, or its compression is damaged.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// Not a trace at all.
    #[error("it does not begin with `{MAGIC}` and a version: it is not a trace")]
    NoTrace,
    /// Written by a later pso.
    #[error("it has format version {found}, and this pso reads up to version {VERSION}: take a newer pso")]
    Newer {
        /// What it says.
        found: u64,
    },
    /// A line.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl Trace {
    /// Reads a file, gzipped or not.
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        let mut file = BufReader::new(File::open(path)?);
        if file.fill_buf()?.starts_with(&GZIP) {
            Self::read(BufReader::new(Cut(MultiGzDecoder::new(file))))
        } else {
            Self::read(file)
        }
    }

    /// Reads the text. A text that ends in the middle of a line, or without its `end`, is a cut trace: what is whole of it
    /// counts.
    ///
    /// # Errors
    /// [`TraceError`]: it is damaged, of a later format, no trace, or takes more than [`MEMORY_BYTES_MAX`].
    pub fn read(input: impl BufRead) -> Result<Self, TraceError> {
        Self::read_within(input, MEMORY_BYTES_MAX)
    }

    fn read_within(input: impl BufRead, most_bytes: u64) -> Result<Self, TraceError> {
        let mut lines = Lines { input, number: 0, text: String::new() };
        let (header, first) = header(&mut lines)?;
        let mut transactions = Vec::new();
        let mut bytes = 0;
        let whole = loop {
            let Some(text) = lines.next()? else { break false };
            let what = match text.strip_prefix("end ") {
                Some(count) if number(count) == Ok(transactions.len() as u64) => break true,
                Some(count) => {
                    Err(format!("the end speaks of {count} transactions and there are {}", transactions.len()))
                }
                None => transaction(text, &header),
            };
            let transaction = what.map_err(|what| lines.wrong(what))?;
            // A small file can unpack to any length.
            bytes += MEMORY_BYTES[0] + MEMORY_BYTES[1] * transaction.operations.len() as u64;
            if bytes > most_bytes {
                return Err(lines.wrong(format!("with it the trace takes more than {most_bytes} bytes of memory")));
            }
            transactions.push(transaction);
        };
        if whole && lines.next()?.is_some() {
            return Err(lines.wrong("something follows the end".into()));
        }
        check::playable(&transactions)
            .map_err(|error| TraceError::Line { line: first + error.transaction as u64, what: error.what })?;
        Ok(Self { header, transactions, whole })
    }
}

/// A gzip stream whose writer was killed ends without its trailer: it is taken as ending there.
struct Cut<R>(R);

impl<R: Read> Read for Cut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        }
    }
}

struct Lines<R> {
    input: R,
    number: u64,
    text: String,
}

impl<R: BufRead> Lines<R> {
    /// The next line that has an end.
    fn next(&mut self) -> Result<Option<&str>, TraceError> {
        self.text.clear();
        self.number += 1;
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(self.wrong("it is too long".into()));
        }
        self.text = String::from_utf8(bytes).map_err(|_| self.wrong("it is not text".into()))?;
        Ok(self.text.strip_suffix('\n'))
    }

    fn wrong(&self, what: String) -> TraceError {
        TraceError::Line { line: self.number, what }
    }
}

/// The header, and the number of the first line behind it.
fn header(lines: &mut Lines<impl BufRead>) -> Result<(Header, u64), TraceError> {
    let first = match lines.next() {
        Ok(line) => line.ok_or(TraceError::NoTrace)?,
        Err(TraceError::Line { .. }) => return Err(TraceError::NoTrace),
        Err(error) => return Err(error),
    };
    let version = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')).ok_or(TraceError::NoTrace)?;
    match number(version) {
        Ok(found) if found > u64::from(VERSION) => return Err(TraceError::Newer { found }),
        Ok(1) => {}
        _ => return Err(TraceError::NoTrace),
    }
    let mut keys = Keys::default();
    loop {
        let Some(text) = lines.next()? else { return Err(lines.wrong("the header has no end".into())) };
        if text == SEPARATOR {
            break;
        }
        let taken = keys.take(text);
        taken.map_err(|what| lines.wrong(what))?;
    }
    let header = keys.finish().map_err(|what| lines.wrong(what))?;
    Ok((header, lines.number + 1))
}

#[derive(Default)]
struct Keys {
    name: Option<String>,
    from: Option<String>,
    participants: Option<Option<u64>>,
    cells: Option<Option<u64>>,
    seed: Option<u64>,
    start_ns: Option<u64>,
}

impl Keys {
    fn take(&mut self, text: &str) -> Result<(), String> {
        let (key, value) = text.split_once(' ').unwrap_or((text, ""));
        let again = match key {
            "name" => self.name.replace(value.to_owned()).is_some(),
            "from" => self.from.replace(value.to_owned()).is_some(),
            "participants" => self.participants.replace(count(value, u64::from(PARTICIPANTS_MAX))?).is_some(),
            "cells" => self.cells.replace(count(value, CELLS_MAX)?).is_some(),
            "seed" => self.seed.replace(number(value)?).is_some(),
            "start" => self.start_ns.replace(number(value)?).is_some(),
            _ => return Err(format!("the header has no key `{}`", shown(key))),
        };
        if again { Err(format!("`{key}` appears twice")) } else { Ok(()) }
    }

    fn finish(self) -> Result<Header, String> {
        let missing = |key: &str| format!("the header lacks `{key}`");
        Ok(Header {
            name: self.name.ok_or_else(|| missing("name"))?,
            from: self.from.ok_or_else(|| missing("from"))?,
            participants: self.participants.ok_or_else(|| missing("participants"))?.map(|count| count as u32),
            cells: self.cells.ok_or_else(|| missing("cells"))?,
            seed: self.seed.ok_or_else(|| missing("seed"))?,
            start_ns: self.start_ns.ok_or_else(|| missing("start"))?,
        })
    }
}

fn transaction(text: &str, header: &Header) -> Result<Transaction, String> {
    let mut words = text.split(' ');
    let mut field = |name: &str| {
        let word = words.next().ok_or_else(|| format!("the {name} is missing"))?;
        number(word).map_err(|what| format!("{name}: {what}"))
    };
    let (participant, arrival_ns, think_ns) = (field("participant")?, field("arrival")?, field("think time")?);
    let most = header.participants.unwrap_or(PARTICIPANTS_MAX);
    if participant >= u64::from(most) {
        return Err(format!("participant {participant} of {most}"));
    }
    let operations = words.map(|word| operation(word, header)).collect::<Result<_, _>>()?;
    Ok(Transaction { participant: participant as u32, arrival_ns, think_ns, operations })
}

fn operation(word: &str, header: &Header) -> Result<Operation, String> {
    let about = |what: String| format!("operation `{}`: {what}", shown(word));
    let mut letters = word.chars();
    let letter = letters.next().ok_or_else(|| about("it is empty (one blank stands between two words)".into()))?;
    let rest = letters.as_str();
    let cell = |text: &str| match (number(text)?, header.cells) {
        (cell, Some(cells)) if cell >= cells => Err(format!("cell {cell} of {cells}")),
        (cell, _) => Ok(cell),
    };
    let parsed = match letter {
        'r' => cell(rest).map(|cell| Operation::Read { cell }),
        'w' => {
            let (name, add) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
            cell(name)
                .and_then(|cell| Ok(Operation::Write { cell, add: if add.is_empty() { 1 } else { signed(add)? } }))
        }
        'u' => match rest.split_once('=') {
            Some((name, value)) => cell(name).and_then(|cell| Ok(Operation::Await { cell, value: signed(value)? })),
            None => Err("`=` and a value are missing".into()),
        },
        'a' => match number(rest) {
            Ok(words) if words > WORDS_MAX => Err(format!("no block has more than {WORDS_MAX} words")),
            parsed => parsed.map(|words| Operation::Allocate { words }),
        },
        'c' => number(rest).map(|ns| Operation::Compute { ns }),
        _ => Err("there is no such operation".into()),
    };
    parsed.map_err(about)
}

/// A count, or `?`.
fn count(text: &str, most: u64) -> Result<Option<u64>, String> {
    if text == "?" {
        return Ok(None);
    }
    match number(text)? {
        count if count > most => Err(format!("{count} is more than {most}")),
        count => Ok(Some(count)),
    }
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("`{}` is not a number", shown(text)))
}

fn signed(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match i64::try_from(number(digits)?) {
        Ok(value) if value <= VALUE_MAX => Ok(if negative { -value } else { value }),
        _ => Err(format!("`{}` is too large for a cell", shown(text))),
    }
}

/// The beginning of a text from a file that may hold anything.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Contention, Kind, generate};

    /// The danger: a small gzipped file takes all the memory of the machine.
    #[test]
    fn a_trace_that_takes_too_much_memory_is_refused_at_the_line_with_which_it_does() {
        let trace = generate(Kind::Counter, Contention::High, 2, 100, 1);
        let text = trace.text();
        let operations: u64 = trace.transactions.iter().map(|line| line.operations.len() as u64).sum();
        let bytes = 100 * MEMORY_BYTES[0] + operations * MEMORY_BYTES[1];
        assert_eq!(Trace::read_within(text.as_bytes(), bytes).unwrap(), trace);
        let refused = Trace::read_within(text.as_bytes(), bytes - 1).unwrap_err();
        let lines = text.lines().count() as u64;
        assert!(matches!(refused, TraceError::Line { line, .. } if line == lines - 1), "{refused}");
    }
}
