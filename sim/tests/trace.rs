//! Traces survive the way through text and files; damaged ones are refused with the line and a reason, never with a panic.

use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use pso_sim::trace::{Contention, Header, Kind, Operation, Trace, TraceError, Transaction, generate};
use std::io::Write;

const CELLS: u64 = 50;

fn operation() -> impl Strategy<Value = Operation> {
    let cell = 0..CELLS;
    prop_oneof![
        cell.clone().prop_map(|cell| Operation::Read { cell }),
        (cell, -1_000_000_i64..1_000_000).prop_map(|(cell, add)| Operation::Write { cell, add }),
        (0..1_u64 << 24).prop_map(|words| Operation::Allocate { words }),
        any::<u64>().prop_map(|ns| Operation::Compute { ns }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let numbers = (0..7_u32, any::<u64>(), any::<u64>());
    (numbers, proptest::collection::vec(operation(), 0..12)).prop_map(|(numbers, operations)| {
        let (participant, arrival_ns, think_ns) = numbers;
        Transaction { participant, arrival_ns, think_ns, operations }
    })
}

fn trace() -> impl Strategy<Value = Trace> {
    let texts = ("[a-z][a-z0-9 -]{0,20}[a-z]", "[a-z]{1,5}");
    let counts = (any::<bool>(), any::<bool>(), any::<u64>(), any::<u64>());
    (texts, counts, proptest::collection::vec(transaction(), 0..20), any::<bool>()).prop_map(
        |((name, from), (participants, cells, seed, start_ns), transactions, whole)| {
            let header = Header {
                name: name.split_whitespace().collect::<Vec<_>>().join(" "),
                from,
                participants: participants.then_some(7),
                cells: cells.then_some(CELLS),
                seed,
                start_ns,
            };
            Trace { header, transactions, whole }
        },
    )
}

proptest! {
    #[test]
    fn a_trace_survives_its_text(trace in trace()) {
        prop_assert_eq!(Trace::read(trace.text().as_bytes()).unwrap(), trace);
    }

    /// One byte of a text is another one: it is refused, or a trace all the same.
    #[test]
    fn a_changed_byte_never_panics(trace in trace(), place: prop::sample::Index, byte: u8) {
        let mut text = trace.text().into_bytes();
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(read) = Trace::read(&text[..]) {
            let _ = read.dense().text();
        }
    }

    #[test]
    fn anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Trace::read(&bytes[..]);
    }

    /// Cut anywhere, the text gives the lines that are whole, or it is said that the header has no end.
    #[test]
    fn a_cut_text_gives_its_whole_lines(trace in trace(), place: prop::sample::Index) {
        let text = Trace { whole: true, ..trace.clone() }.text();
        let cut = &text[..place.index(text.len())];
        match Trace::read(cut.as_bytes()) {
            Ok(read) => {
                prop_assert!(!read.whole);
                prop_assert_eq!(&read.transactions[..], &trace.transactions[..read.transactions.len()]);
                let lines = cut.matches('\n').count() - trace.header.to_string().matches('\n').count();
                prop_assert_eq!(read.transactions.len(), lines);
            }
            Err(_) => prop_assert!(!cut.contains("\n--\n")),
        }
    }
}

const HEADER: &str = "pso-trace 1\nname n\nfrom f\nparticipants 2\ncells 3\nseed 1\nstart 0\n--\n";

fn refusal(text: &str) -> String {
    Trace::read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("2 0 0 r1\n", "line 9: participant 2 of 2"),
        ("0 0 0 r1\n0 0 0 r3\n", "line 10: operation `r3`: cell 3 of 3"),
        ("0 0 r1\n", "line 9: think time: `r1` is not a number"),
        ("0 0\n", "line 9: the think time is missing"),
        ("0 -1 0\n", "line 9: arrival: `-1` is not a number"),
        ("0 0 99999999999999999999\n", "line 9: think time: `99999999999999999999` is not a number"),
        ("0 0 0 x1\n", "line 9: operation `x1`: there is no such operation"),
        ("0 0 0  r1\n", "line 9: operation ``: it is empty (one blank stands between two words)"),
        ("0 0 0 w1+\n", "line 9: operation `w1+`: `` is not a number"),
        (
            "0 0 0 w1+9999999999999999\n",
            "line 9: operation `w1+9999999999999999`: `+9999999999999999` is too large for a cell",
        ),
        ("0 0 0 u1\n", "line 9: operation `u1`: `=` and a value are missing"),
        ("0 0 0 a99999999\n", "line 9: operation `a99999999`: no block has more than 16777216 words"),
        ("0 0 0 r1\nend 2\n", "line 10: the end speaks of 2 transactions and there are 1"),
        ("end 0\n0 0 0\n", "line 10: something follows the end"),
    ];
    for (lines, expected) in cases {
        assert_eq!(refusal(&format!("{HEADER}{lines}")), expected, "{lines}");
    }
    assert_eq!(refusal("pso-trace 1\nname a\nname b\n"), "line 3: `name` appears twice");
    assert_eq!(refusal("pso-trace 1\nname a\ncolour b\n"), "line 3: the header has no key `colour`");
    assert_eq!(refusal("pso-trace 1\nname a\n--\n"), "line 3: the header lacks `from`");
    assert_eq!(refusal("pso-trace 1\nparticipants 5000\n"), "line 2: 5000 is more than 2046");
    assert_eq!(refusal("pso-trace 1\nname a\n"), "line 3: the header has no end");
}

#[test]
fn a_newer_version_and_other_files_are_refused_in_a_sentence() {
    let newer = refusal("pso-trace 2\nsome 1\n");
    assert_eq!(newer, "it has format version 2, and this pso reads up to version 1: take a newer pso");
    for text in ["", "hello\n", "pso-trace\n", "pso-trace 0\n", "pso-trace one\n", "pso-trace 1"] {
        assert!(matches!(Trace::read(text.as_bytes()), Err(TraceError::NoTrace)), "{text:?}");
    }
    assert!(matches!(Trace::read(&b"\xff\xfe\n"[..]), Err(TraceError::NoTrace)));
}

/// A player that waits for what never comes would wait for ever: such a trace is refused before.
#[test]
fn hand_overs_that_cannot_happen_are_refused() {
    let cases = [
        ("0 0 0 u1=1 w1\n", "line 9: waits for cell 1 to hold 1, but after all lines before it holds 0"),
        (
            "0 0 0 u1=0 w1\n1 0 0 w1\n",
            "line 10: writes cell 1, for which others wait, without having waited for it first",
        ),
        ("0 0 0 u1=0 w1-1\n", "line 9: adds -1 to cell 1, for which others wait: it has to grow"),
    ];
    for (lines, expected) in cases {
        assert_eq!(refusal(&format!("{HEADER}{lines}")), expected);
    }
    assert!(Trace::read(format!("{HEADER}0 0 0 u1=0 w1\n1 0 0 u1=1 w1+2\n0 0 0 u1=3\nend 3\n").as_bytes()).is_ok());
}

/// The danger: the engine is blamed for a run that comes to no end, or to no count, because its trace says so.
#[test]
fn what_cannot_be_played_is_refused_where_cells_are_named_too() {
    let large = " w5-4503599627370496".repeat(127);
    let cases = [
        (
            "0 0 0 r5\n0 0 0 u5=7\n".to_owned(),
            "line 10: waits for cell 5 to hold 7, but after all lines before it holds 0",
        ),
        (
            format!("0 0 0 r5{large}\n0 0 0 w6\n0 0 0 w5+4503599627370496\n"),
            "line 11: with it up to 576460752303423488 is added to cell 5, which holds 576460752303423487 at most",
        ),
    ];
    for cells in ["cells ?", "cells 9"] {
        let header = HEADER.replace("cells 3", cells);
        for (lines, expected) in &cases {
            assert_eq!(refusal(&format!("{header}{lines}")), *expected, "{cells}");
        }
        // One less, and as much elsewhere.
        let fits = format!("{header}0 0 0{large}\n0 0 0 w5+4503599627370495\n0 0 0 w6+4503599627370496\n");
        assert!(Trace::read(fits.as_bytes()).is_ok());
    }
}

#[test]
fn named_cells_are_numbered_as_met() {
    let text =
        "pso-trace 1\nname n\nfrom f\nparticipants ?\ncells ?\nseed 0\nstart 5\n--\n0 0 0 r9000 w70\n3 0 0 w9000\n";
    let trace = Trace::read(text.as_bytes()).unwrap().dense();
    assert_eq!((trace.cells(), trace.participants()), (2, 4));
    assert_eq!(trace.transactions[0].to_string(), "0 0 0 r0 w1");
    assert_eq!(trace.transactions[1].to_string(), "3 0 0 w0");
}

/// What a killed writer leaves: a gzip stream that was flushed now and then and has no end.
#[test]
fn a_gzip_stream_without_its_end_gives_its_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(HEADER.as_bytes()).unwrap();
    encoder.write_all(b"0 0 0 r1\n1 0 0 w2\n0 0 0 w").unwrap();
    encoder.flush().unwrap();
    let flushed = encoder.get_ref().len();
    encoder.write_all(b"1\n").unwrap();
    let bytes = encoder.finish().unwrap();
    for end in [flushed, flushed + 1, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let trace = Trace::load(&path).unwrap();
        assert!(!trace.whole && (2..=3).contains(&trace.transactions.len()), "{end}");
    }
    let mut damaged = bytes.clone();
    for place in 0..damaged.len() {
        damaged[place] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let _ = Trace::load(&path);
        damaged[place] ^= 0x10;
    }
}

fn committed(kind: Kind, contention: Contention) -> PathBuf {
    let name = format!("{}-{}.gz", kind.name(), contention.name());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces").join(name)
}

/// The traces of the repository are what the generator makes today: what was measured with one can be measured again.
/// Written anew by `pso trace generate` as `sim/traces/README.md` says.
#[test]
fn the_committed_traces_are_what_the_generator_makes() {
    let mut bytes = 0;
    for kind in Kind::ALL {
        for contention in Contention::ALL {
            let path = committed(kind, contention);
            let made = generate(kind, contention, contention.participants(), 1600, 1);
            let read = Trace::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(read.text() == made.text(), "{}", path.display());
            assert!(read.whole);
            bytes += std::fs::metadata(&path).unwrap().len();
        }
    }
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

#[test]
fn another_seed_makes_another_trace() {
    let make = |seed| generate(Kind::Bank1000, Contention::Low, 2, 10, seed).text();
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}

#[test]
fn generated_traces_have_the_participants_that_they_need() {
    for kind in Kind::ALL {
        for asked in 1..6 {
            let trace = generate(kind, Contention::High, asked, 64, 1);
            let participants = trace.participants();
            assert!((asked..=asked + 1).contains(&participants), "{} {asked}", kind.name());
            for participant in 0..participants {
                assert!(trace.lines_of(participant).next().is_some(), "{} {asked} {participant}", kind.name());
            }
            assert_eq!(Trace::read(trace.text().as_bytes()).unwrap(), trace);
        }
    }
}

/// What is refused for its size is refused by this count.
#[test]
fn generated_traces_have_as_many_operations_as_is_said_before() {
    for kind in Kind::ALL {
        for contention in Contention::ALL {
            let lines = generate(kind, contention, contention.participants(), 66, 1).transactions;
            let operations: usize = lines.iter().map(|line| line.operations.len()).sum();
            assert_eq!(kind.operations(contention, 66), operations as u64, "{} {}", kind.name(), contention.name());
        }
    }
}

/// The danger: one of the writers is given those transactions that are the reader's.
#[test]
fn every_writer_beside_a_long_reader_has_something_to_do() {
    for participants in [2, 3, 8, 17, 33, 49] {
        let trace = generate(Kind::LongReader, Contention::High, participants, 16 * 64, 1);
        for participant in 0..participants {
            let lines = trace.transactions.iter().filter(|line| line.participant == participant).count();
            assert!(lines > 0, "{participant} of {participants}");
        }
    }
}
