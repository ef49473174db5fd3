//! Traces as people meet them: made, shown, merged and played on real processes by the command.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn pso(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(arguments).stdin(Stdio::null()).output().expect("pso starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Spaces that the replay with this process number has left in shared memory.
fn left_behind(pid: u32) -> usize {
    let prefix = format!("pso-replay-{pid}-");
    let Ok(entries) = std::fs::read_dir("/dev/shm") else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
}

#[test]
fn every_kind_of_trace_is_played_on_processes_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["counter", "bank-4", "long-reader", "crossing-pairs", "queue"] {
        let (file, out) = (folder.path().join(format!("{kind}.gz")), folder.path().join("out.json"));
        let made = ["trace", "generate", kind, "--contention", "high", "--participants", "4", "--transactions", "200"];
        let made = said(&pso(&[&made[..], &["-o", text(&file)]].concat()));
        assert!(made.contains("200"), "{made}");
        let shown = said(&pso(&["trace", "show", text(&file)]));
        assert_eq!(shown, made);
        let played = said(&pso(&["replay", text(&file), "--runs", "2", "--out", text(&out)]));
        assert!(played.contains("real time") && played.contains("median"), "{played}");
        let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
        let runs = written["numbers"]["measurements"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        assert!(written["provenance"]["command"].as_str().unwrap().contains("replay"));
        for run in runs {
            assert_eq!((run["world"].as_str(), run["verdict"].as_str()), (Some("real"), Some("ok")));
            let commits: u64 = run["commits"].as_array().unwrap().iter().filter_map(|each| each.as_u64()).sum();
            assert_eq!((commits, run["participants"].as_u64()), (200, Some(4)));
        }
    }
}

#[test]
fn lines_are_dealt_to_fewer_processes_and_never_to_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.gz");
    said(&pso(&["trace", "generate", "queue", "--transactions", "100", "-o", text(&file)]));
    let pace = ["--pace", "flat-out", "--runs", "1"];
    said(&pso(&[&["replay", text(&file), "--participants", "3"], &pace[..]].concat()));
    let refused = complaint(&pso(&[&["replay", text(&file), "--participants", "9"], &pace[..]].concat()));
    assert!(refused.contains("it cannot be dealt to 9"), "{refused}");
}

#[test]
fn files_that_are_no_traces_are_refused_with_their_name_and_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad");
    let header = "pso-trace 1\nname n\nfrom f\nparticipants 1\ncells 1\nseed 0\nstart 0\n--\n";
    for (content, reason) in [
        (format!("{header}0 0 0 r0\n0 0 0 r7\n"), "line 10: operation `r7`: cell 7 of 1"),
        (
            format!("{}0 0 0 u5=7\n", header.replace("cells 1", "cells ?")),
            "line 9: waits for cell 5 to hold 7, but after all lines before it holds 0",
        ),
        (format!("{header}0 0 0{}\n", " w0+4503599627370496".repeat(128)), "which holds 576460752303423487 at most"),
        ("pso-trace 9\n".into(), "format version 9"),
        ("hello\n".into(), "it is not a trace"),
    ] {
        std::fs::write(&file, content).unwrap();
        for arguments in [&["trace", "show", text(&file)][..], &["replay", text(&file)], &["sim", text(&file)]] {
            let refused = complaint(&pso(arguments));
            assert!(refused.contains(reason) && refused.contains(text(&file)), "{refused}");
        }
    }
    assert!(complaint(&pso(&["trace", "show", "/nowhere/trace"])).contains("No such file"));
    let wrong_kind = pso(&["trace", "generate", "dance", "-o", text(&file)]);
    assert_eq!(wrong_kind.status.code(), Some(2), "{wrong_kind:?}");
}

#[test]
fn recordings_are_merged_and_played() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, start: u64, lines: &str| {
        let file = folder.path().join(name);
        let header =
            format!("pso-trace 1\nname {name}\nfrom space 1\nparticipants ?\ncells ?\nseed 0\nstart {start}\n--\n");
        std::fs::write(&file, header + lines).unwrap();
        file
    };
    let (one, other) = (part("a", 500, "0 0 0 r88 w88\nend 1\n"), part("b", 900, "0 0 0 r88 a9 c50 w90\n"));
    let merged = folder.path().join("both.gz");
    let output = pso(&["trace", "merge", text(&one), text(&other), "-o", text(&merged)]);
    let shown = said(&output);
    assert!(shown.contains("both") && shown.contains("1 of them cut"), "{shown}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("b has no end"), "{output:?}");
    said(&pso(&["replay", text(&merged), "--runs", "1"]));
    let refused = complaint(&pso(&["trace", "merge", text(&merged), "-o", text(&one)]));
    assert!(refused.contains("is not a recording"), "{refused}");
}

/// A player is killed in mid-run: the command says so, ends with an error and leaves nothing behind.
#[test]
fn a_player_that_dies_is_an_error_and_the_space_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slow");
    let header = "pso-trace 1\nname n\nfrom f\nparticipants 2\ncells 1\nseed 0\nstart 0\n--\n";
    // The second transaction comes in an hour.
    std::fs::write(&file, format!("{header}0 0 0 w0\n1 0 0 w0\n1 3600000000000 0 w0\nend 3\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command
        .args(["replay", text(&file), "--runs", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let replay = command.spawn().unwrap();
    let pid = replay.id();
    let player = (0..2000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        player_of(pid)
    });
    let player = rustix::process::Pid::from_raw(player.expect("the players start")).unwrap();
    rustix::process::kill_process(player, rustix::process::Signal::KILL).unwrap();
    let refused = complaint(&replay.wait_with_output().unwrap());
    assert!(refused.contains("player 1 ended with signal: 9"), "{refused}");
    assert_eq!(left_behind(pid), 0);
}

/// The child of `parent` that plays participant 1.
fn player_of(parent: u32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().find_map(|child| {
        let command = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
        command.contains("--participant\x001\0").then(|| child.parse().ok())?
    })
}
