//! The command as people meet it: exit codes, and sentences that say what to do.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pso_engine::object::{list, text};
use pso_engine::participant::Slot;
use pso_engine::platform::native::{Place, create};
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::word::Value;

fn pso(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(arguments).stdin(Stdio::null()).output().expect("pso starts")
}

fn complaint(output: &Output) -> String {
    complaint_with(1, output)
}

fn complaint_with(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_missing_space_is_named() {
    for subcommand in ["inspect", "top"] {
        let said = complaint(&pso(&[subcommand, "no-such-space-here"]));
        assert!(said.starts_with("pso: no-such-space-here: "), "{said}");
    }
    // 1 would say that there is damage.
    for arguments in [&["fsck", "no-such-space-here"][..], &["fsck", "--repair", "no-such-space-here"]] {
        let said = complaint_with(2, &pso(arguments));
        assert!(said.starts_with("pso: no-such-space-here: "), "{said}");
    }
}

#[test]
fn nonsense_on_the_command_line_is_exit_code_2() {
    for arguments in [&["fsck"][..], &["demo", "--sample", "2"], &["torture", "--writers", "1"], &["dance"], &[]] {
        assert_eq!(pso(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_python_without_the_package_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("python");
    std::fs::write(&bare, "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'pso'\" >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&bare, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = complaint(&pso(&["demo", "--python", bare.to_str().unwrap()]));
    assert!(said.contains("make setup") && said.contains("No module named 'pso'"), "{said}");
    let said = complaint(&pso(&["demo", "--python", "/nowhere/python"]));
    assert!(said.contains("/nowhere/python") && said.contains("No such file"), "{said}");
}

#[test]
fn a_new_space_is_clean_and_empty() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let _space = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let directory = directory.to_str().unwrap();
    let output = pso(&["fsck", "--dir", directory]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("is clean"), "{output:?}");
    let output = pso(&["inspect", "--dir", directory, "--once"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 participants"), "{output:?}");
    let output = pso(&["top", "--dir", directory, "--once"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 processes, 0 participants") && text.contains("0 collections"), "{output:?}");
}

#[test]
fn blocks_are_counted_by_the_room_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let (platform, layout) = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let space = pso_engine::space::Space::join(platform, layout).unwrap();
    let mut tx = space.participant().unwrap();
    tx.run(|tx| {
        let made = list::create(tx)?;
        for number in 0..100 {
            let text = text::encode(tx, &format!("a text that needs a block of its own, number {number}"))?;
            list::push(tx, made, text)?;
        }
        let root = tx.arena().root();
        tx.write(root, Value::handle(made))
    })
    .unwrap();
    let output = pso(&["inspect", "--dir", directory.to_str().unwrap(), "--classes"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("room of a block") && text.lines().any(|line| line.contains(" 100 ")), "{text}");
    let output = pso(&["inspect", "--dir", directory.to_str().unwrap(), "--kinds"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        |kind: &str| text.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_default().to_owned();
    assert!(line("str").contains(" 100 ") && line("list").contains(" 1 ") && !line("logs").is_empty(), "{text}");
    assert!(text.contains("0 collections"), "{text}");
    // Who asks for both has both.
    let output = pso(&["inspect", "--dir", directory.to_str().unwrap(), "--kinds", "--classes"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("room of a block") && text.contains("objects"), "{output:?}");
    tx.leave();
    space.leave();
}

#[test]
fn a_space_that_nobody_has_open_is_repaired_and_all_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let (platform, layout) = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let space = pso_engine::space::Space::join(platform.clone(), layout).unwrap();
    let mut tx = space.participant().unwrap();
    for _ in 0..2 {
        tx.run(|tx| {
            let made = list::create(tx)?;
            let root = tx.arena().root();
            tx.write(root, Value::handle(made))
        })
        .unwrap();
    }
    let directory = directory.to_str().unwrap();
    let repair = || pso(&["fsck", "--repair", "--dir", directory]);
    let output = repair();
    assert_eq!(output.status.code(), Some(2), "it is open here: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in use by process"), "{output:?}");
    tx.leave();
    space.leave();
    let output = repair();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("(List), named by nothing") && text.contains("is clean"), "{text}");
    // A word that is no value is left, and said.
    platform.store(space.arena().root().value_word(), 0xf, Relaxed);
    let output = repair();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("is no value") && text.contains("blocks of"), "{text}");
    let output = pso(&["fsck", "--repair", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// The danger: what was replaced and hangs in no list is never freed, and no checker says so.
#[test]
fn leaks_are_looked_for_where_no_other_process_has_the_space_open() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let (platform, layout) = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let space = pso_engine::space::Space::join(platform.clone(), layout).unwrap();
    // It frees what it has replaced when there is more of it, or when it leaves; this one never does.
    let mut tx = space.participant().unwrap();
    let mut made = None;
    tx.run(|tx| {
        let list = *made.insert(list::create(tx)?);
        let text = text::encode(tx, "a text that needs a block of its own")?;
        list::push(tx, list, text)?;
        let root = tx.arena().root();
        tx.write(root, Value::handle(list))
    })
    .unwrap();
    tx.run(|tx| list::set(tx, made.unwrap(), 0, Value::int(0).unwrap())).unwrap();
    let retired = Slot::of(space.arena(), tx.id()).unwrap().retired();
    assert_ne!(platform.load(retired, Relaxed), 0);
    let check = || {
        let output = pso(&["fsck", "--dir", directory.to_str().unwrap()]);
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("is clean (checked live: "), "it is open here: {said}");
    space.leave();
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("is clean (checked at rest: "), "what waits is no damage: {said}");
    platform.store(retired, 0, Relaxed);
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("is in no list") && said.contains("1 findings") && said.contains("(checked at rest: "),
        "{said}"
    );
}

/// The danger: a panic in the middle of a line, with all that a guard takes along left behind.
#[test]
fn whoever_reads_no_more_ends_what_shows_and_nothing_panics() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let (platform, layout) = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let directory = directory.to_str().unwrap();
    let trace = folder.path().join("trace.gz");
    let trace = trace.to_str().unwrap();
    let into = |output: Stdio, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
        let output = command.args(arguments).stdin(Stdio::null()).stdout(output).output().expect("pso starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let gone = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        into(writer.into(), arguments)
    };
    let full = |arguments: &[&str]| into(std::fs::File::create("/dev/full").unwrap().into(), arguments);
    let shows = [
        &["trace", "generate", "counter", "-o", trace][..],
        &["trace", "show", trace],
        &["list"],
        &["list", "--names"],
        &["fsck", "--dir", directory],
        &["inspect", "--once", "--dir", directory],
        &["inspect", "--kinds", "--dir", directory],
        &["inspect", "--classes", "--dir", directory],
        &["top", "--once", "--dir", directory],
    ];
    for arguments in shows {
        assert_eq!(gone(arguments), (Some(0), String::new()), "{arguments:?}");
        if arguments[..1] != ["list"] {
            let (code, said) = full(arguments);
            assert!(code == Some(1) && said.starts_with("pso: cannot write the output: "), "{arguments:?}: {said}");
        }
    }
    // What is to be measured has not been.
    let (code, said) = gone(&["sim", "--transactions", "100"]);
    assert!(code == Some(1) && said.contains("cannot write the output"), "{said}");
    // A space with damage stays one.
    let space = pso_engine::space::Space::join(platform.clone(), layout).unwrap();
    platform.store(space.arena().root().value_word(), 0xf, Relaxed);
    space.leave();
    let (code, said) = gone(&["fsck", "--dir", directory]);
    assert!(code == Some(1) && said.contains("1 findings"), "{said}");
}

/// The danger: a panic in place of a sentence, and with it the numbers of hours.
#[test]
fn a_torture_that_nobody_listens_to_any_more_leaves_its_numbers_and_says_why_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("torture.json");
    let start = |output: Stdio, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
        command.args(["torture", "--kills", "1", "--writers", "2", "--out"]).arg(&out).args(more);
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
    };
    let ends = |child: std::process::Child| {
        let said = complaint(&child.wait_with_output().unwrap());
        assert!(said.contains("pso: cannot write the output") && !said.contains("panicked"), "{said}");
    };
    let gone = || -> Stdio {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    };
    ends(start(gone(), &[]));
    // Nor is anybody there to be told why.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["torture", "--kills", "1"]).stdin(Stdio::null()).stdout(gone()).stderr(gone());
    assert_eq!(command.status().unwrap().code(), Some(1));
    assert!(!out.exists(), "it never began");
    // This one has nothing to say before all is through.
    ends(start(gone(), &["--quiet"]));
    std::fs::remove_file(&out).unwrap();
    let mut child = start(Stdio::piped(), &[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("torture: 1 kills"));
    drop(lines);
    ends(child);
    let numbers: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(numbers["numbers"]["kills"]["kills"], 1);
}

/// The danger: a number of a damaged space ends whoever shows it.
#[test]
fn counts_of_a_damaged_space_are_shown_whatever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("space");
    let (platform, layout) = create(&Place::Directory(directory.clone()), 8 << 20).unwrap();
    let space = pso_engine::space::Space::join(platform.clone(), layout).unwrap();
    let participants = [space.participant().unwrap(), space.participant().unwrap()];
    for participant in &participants {
        let slot = Slot::of(space.arena(), participant.id()).unwrap();
        for word in [slot.commits(), slot.attempts(), slot.stops(), slot.sleeps(), slot.retired_words()] {
            platform.store(word, u64::MAX - 1, Relaxed);
        }
    }
    for subcommand in ["top", "inspect"] {
        let output = pso(&[subcommand, "--once", "--dir", directory.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
    }
    // Nobody leaves by words that are wrong.
    std::mem::forget(participants);
}

/// The danger: who reads nothing but the exit code takes a run in which nobody got through for a good one.
#[test]
fn a_simulated_run_in_which_nobody_gets_through_fails_unless_it_was_disturbed() {
    let sim = |more: &[&str]| {
        let run = ["sim", "--kind", "counter", "--cores", "2", "--transactions", "200", "--patience-ms"];
        pso(&[&run[..], more].concat())
    };
    let said = complaint(&sim(&["0"]));
    assert!(said.starts_with("pso: sim: the trace counter-high") && said.contains("policy damped"), "{said}");
    for well in [&["2000"][..], &["0", "--stop", "0:50:1"], &["0", "--policy", "immediate"]] {
        let output = sim(well);
        assert!(output.status.success(), "{well:?}: {output:?}");
    }
}

#[test]
fn a_fault_of_nobody_is_refused() {
    let sim = |fault: [&str; 2]| pso(&[&["sim", "--cores", "2", "--transactions", "100"], &fault[..]].concat());
    for fault in [["--kill", "2:1"], ["--stop", "99:1:1"], ["--slow", "2:1:2"], ["--kill", "0"]] {
        let output = sim(fault);
        assert_eq!(output.status.code(), Some(2), "{fault:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("there is no participant") || said.contains("2 numbers"), "{said}");
    }
    assert!(sim(["--kill", "1:1"]).status.success());
}

#[test]
fn a_foreign_file_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arena");
    std::fs::write(&file, vec![7u8; 1 << 20]).unwrap();
    let said = complaint_with(2, &pso(&["fsck", "--dir", folder.path().to_str().unwrap()]));
    assert!(!said.contains("panicked"), "{said}");
    assert!(std::fs::read(&file).unwrap().iter().all(|byte| *byte == 7));
}

/// The danger: the number in the report is not the one that was asked for; times that are too long for the clock make it run backwards.
#[test]
fn a_simulated_run_that_cannot_be_as_asked_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.gz");
    let file = file.to_str().unwrap();
    let made = pso(&["trace", "generate", "counter", "--participants", "2", "--transactions", "20", "-o", file]);
    assert!(made.status.success(), "{made:?}");
    assert!(complaint(&pso(&["sim", file, "--participants", "3"])).contains("cannot be dealt to 3"));
    assert!(pso(&["sim", file, "--participants", "2"]).status.success());
    for times in ["0:1:0", "0:1:18446744073709551615"] {
        let said = complaint_with(2, &pso(&["sim", "--transactions", "20", "--cores", "2", "--slow", times]));
        assert!(said.contains("times as slow"), "{said}");
    }
}

/// The danger: a size that the command line takes is one that no run of it can have, and what was measured before is lost.
#[test]
fn a_simulated_run_has_room_for_all_whom_the_command_line_takes_and_more_are_refused() {
    let few = ["--kind", "counter", "--transactions", "600"];
    for size in ["--cores", "--participants"] {
        let most = if size == "--cores" { "256" } else { "1000" };
        let output = pso(&[&["sim", size, most], &few[..]].concat());
        assert!(output.status.success(), "{size} {most}: {output:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (many, out) = (path("many.gz"), path("out.json"));
    let made = pso(&["trace", "generate", "counter", "--participants", "2046", "--transactions", "4092", "-o", &many]);
    assert!(made.status.success(), "{made:?}");
    let policies = ["policies", "--cores", "1,256", "--oversubscribed", "16", "--out", &out];
    for (arguments, asked) in [(&["sim", &many, "--out", &out][..], "2,046"), (&policies, "4,096")] {
        let output = pso(arguments);
        let said = complaint_with(2, &output);
        assert!(said.contains("room for 1,023 participants") && said.contains(asked), "{said}");
        assert!(output.stdout.is_empty() && !Path::new(&out).exists(), "nothing was begun: {output:?}");
    }
}

/// The danger: a machine without memory, for a number with a zero too many.
#[test]
fn a_trace_that_would_take_too_much_memory_is_refused_before_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (file, many) = (folder.path().join("many"), "100000000");
    let file = file.to_str().unwrap();
    let refused = [
        &["sim", "--kind", "counter", "--transactions", many][..],
        &["sim", "--kind", "long-reader", "--transactions", "10000000"],
        &["policies", "--traces", "counter,bank-4", "--out", file, "--transactions", many],
        &["sweep", "--traces", "queue", "--out", file, "--transactions", many],
        &["validate", "--processes", "1,2,3,4", "--transactions", "10000000"],
        &["trace", "generate", "bank-1000", "-o", file, "--transactions", many],
    ];
    for arguments in refused {
        let said = complaint_with(2, &pso(arguments));
        assert!(said.contains("GiB of memory, and 8 are the most"), "{arguments:?}: {said}");
    }
    assert!(!std::path::Path::new(file).exists());
}

/// The danger: a command that never looks for signals takes them, and goes on for minutes.
#[test]
fn a_simulation_is_ended_by_a_signal() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["sim", "--transactions", "1000000", "--cores", "8"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("sim "));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=x", "-c", "user.email=x"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("git starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The danger: numbers pass for those of whatever repository the command was started in.
#[test]
fn results_name_the_commit_of_the_repository_that_the_command_was_built_from() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    let foreign = git(folder.path(), &["rev-parse", "--short=12", "HEAD"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["sim", "--transactions", "100", "--out", "sim.json"]).stdin(Stdio::null());
    let output = command.current_dir(folder.path()).output().expect("pso starts");
    assert!(output.status.success(), "{output:?}");
    let file = std::fs::read(folder.path().join("sim.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let commit = file["provenance"]["commit"].as_str().unwrap();
    assert!(!commit.is_empty() && !commit.contains(&foreign), "{commit}");
}

/// The danger: what is committed while a command measures passes for what it has measured.
#[test]
fn the_commit_is_looked_up_before_anything_else_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (git, asked) = (folder.path().join("git"), folder.path().join("asked"));
    std::fs::write(&git, format!("#!/bin/sh\necho asked >> '{}'\n", asked.display())).unwrap();
    std::fs::set_permissions(&git, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(["sim", "no-such-trace", "--out", "sim.json"]).env("PATH", folder.path()).stdin(Stdio::null());
    // It fails before there is anything to be written.
    complaint(&command.current_dir(folder.path()).output().expect("pso starts"));
    assert!(asked.exists() && !folder.path().join("sim.json").exists());
}

/// The danger: whoever started a worker is killed before that one has asked to end with it, and it works on for nobody.
#[test]
fn a_worker_whose_parent_is_gone_ends_at_once() {
    let workers = [
        &["torture-worker", "--writer", "0", "--seed", "1"][..],
        &["bank-worker", "--worker", "0", "--seconds", "1", "--seed", "1"],
        &["kill-victim", "--deed", "commit", "--blocks", "1", "--handles", "1"],
        &["replay-worker", "--file", "no-such-trace", "--participants", "1", "--participant", "0", "--pace", "think"],
    ];
    for worker in workers {
        let folder = tempfile::tempdir().unwrap();
        let said_with = |parent: u32| {
            let more = ["--dir", folder.path().to_str().unwrap(), "--parent", &parent.to_string()];
            complaint(&pso(&[worker, &more].concat()))
        };
        let is_orphan = |said: &str| said.contains("is not its parent");
        assert!(is_orphan(&said_with(std::process::id() ^ 1)), "{worker:?}");
        // There is no space: it comes that far.
        let said = said_with(std::process::id());
        assert!(!is_orphan(&said), "{worker:?}: {said}");
    }
}

/// Two accounts, so that a transfer may go only one of two ways.
#[test]
fn the_native_bank_finds_every_transfer() {
    let output =
        pso(&["bench", "native", "--seconds", "0.1", "--rounds", "1", "--processes", "1,2", "--accounts", "2"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("every transfer found"), "{output:?}");
    assert_eq!(pso(&["bench", "native", "--accounts", "1"]).status.code(), Some(2));
}
