//! `pso verify`, and `pso check` which it runs, where they cannot come to their end: what has not run is never said to fail, and what has is
//! not lost.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::iter;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use pso_model::report::{Coverage, DIRECTORY_VARIABLE, Played};
use serde_json::Value;

/// The danger: the committed verdicts are written over by a machine on which nothing could be run.
#[test]
fn without_nextest_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("verify.json");
    std::fs::write(&out, "before").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    // No cargo here at all, or one that has no such subcommand.
    command.env("PATH", folder.path()).args(["verify", "--kills", "0", "--stops", "0", "--out"]).arg(&out);
    for _ in 0..2 {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("need cargo-nextest"), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "before");
        let cargo = folder.path().join("cargo");
        std::fs::write(&cargo, "#!/bin/sh\nexit 101\n").unwrap();
        std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// The danger: Ctrl-C ends the child, too, and its part is said to fail.
#[test]
fn a_part_that_is_interrupted_has_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("verify.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["verify", "--without-models", "--kills", "40", "--stops", "0", "--seed", "5", "--out"]).arg(&out);
    // As a terminal does, the signal goes to all of the group.
    let mut child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("verify: kills of two: ")));
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.ends_with("pso: interrupted\n"), "{output:?}");
    let results: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let parts = results["numbers"]["parts"].as_array().unwrap();
    let verdicts: Vec<_> = parts.iter().take(3).map(|part| part["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["holds", "not_run", "not_run"]);
    assert_eq!(results["numbers"]["holds"], false);
}

/// The danger: who is told alone to end waits for hours for the part that is under way.
#[test]
fn a_signal_to_the_command_alone_ends_the_part_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("verify.json");
    std::fs::write(&out, r#"{"numbers": {"holds": true}}"#).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command
        .args(["verify", "--without-models", "--kills", "1000000", "--stops", "0", "--seed", "5", "--out"])
        .arg(&out);
    let mut child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("verify: kills: ")));
    let verify = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(verify, rustix::process::Signal::TERM).unwrap();
    // To its end: whoever is left would hold the pipe.
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.ends_with("pso: interrupted\n"), "{output:?}");
    let results: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(results["numbers"]["holds"], false, "what an earlier run found does not stand for this one");
    let parts = results["numbers"]["parts"].as_array().unwrap();
    assert!(!parts.is_empty() && parts.iter().all(|part| part["verdict"] == "not_run"), "{parts:?}");
}

/// A folder with a `cargo` that has played one scene of the model, which nobody expects, and says nothing.
fn played() -> (tempfile::TempDir, OsString) {
    let folder = tempfile::tempdir().unwrap();
    let play = Played {
        scene: "a_scene".into(),
        tool: "loom".into(),
        manner: "none".into(),
        coverage: Coverage::Complete,
        executions: 7,
    };
    let play = serde_json::to_string(&play).unwrap();
    let cargo = folder.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nif [ -n \"${DIRECTORY_VARIABLE}\" ]; then echo '{play}' > \"${DIRECTORY_VARIABLE}/a\"; fi\n"
    );
    std::fs::write(&cargo, script).unwrap();
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let folders = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(iter::once(folder.path().into()).chain(std::env::split_paths(&folders))).unwrap();
    (folder, path)
}

/// The danger: a panic in place of a sentence, and with it the figures of an hour.
#[test]
fn a_check_that_nobody_listens_to_any_more_leaves_its_figures_and_says_why_it_ends() {
    let (folder, path) = played();
    let out = folder.path().join("check.json");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.env("PATH", path).args(["check", "a_scene", "--out"]).arg(&out).stdin(Stdio::null());
    let output = command.stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.contains("pso: cannot write the output")), (Some(1), true), "{output:?}");
    let results: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(results["numbers"]["executions_loom"], 7);
}

/// The danger: the verdict of hours is lost with the line that tells it, or a part is said to fail that had nobody to tell that it holds.
#[test]
fn a_part_that_is_through_is_written_before_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("verify.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["verify", "--without-models", "--kills", "40", "--stops", "0", "--seed", "5", "--out"]).arg(&out);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("verify: kills of two: ")));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.ends_with("Broken pipe (os error 32)\n"), "{output:?}");
    let results: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let second = &results["numbers"]["parts"][1];
    // Not known: the part had nobody to tell either.
    assert_eq!((second["verdict"].as_str(), second["figures"]["kills"]["kills"].as_u64()), (Some("not_run"), Some(4)));
}
