//! The table of faults and tools, kept in `model/expected/mutants.json`, and how its verdicts are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use pso_model::mutant::Fault;
use pso_model::report::{blesses, replace};
use serde::{Deserialize, Serialize};

use crate::tools::{TOOLS, Tool};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// This play finds it.
    Caught(String),
    /// None of the tool's plays finds it.
    Missed,
    /// Sometimes, so nothing is claimed: threads of one machine.
    Varies,
    /// No play that was played to its end finds it, and not all were: nothing is claimed.
    Unfinished,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    verdicts: BTreeMap<Tool, Verdict>,
    /// Why nothing finds it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    because: String,
}

type Table = BTreeMap<Fault, Row>;

/// Threads that take longer hang, and that is a finding; exploration may just have more to explore.
const PATIENCE: Duration = Duration::from_secs(12);

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/mutants.json")
}

fn table() -> Table {
    let text = std::fs::read_to_string(path()).expect("mutants.json can be read");
    serde_json::from_str(&text).expect("mutants.json is a table of verdicts")
}

/// How a play in a process of its own ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Well,
    Found,
    Late,
}

/// Nothing was played: the tool has no such play, or the play has no scene.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoSuchPlay(Tool, String);

/// Plays all of the tool's plays until one finds the fault.
fn verdict(fault: Fault, tool: Tool) -> Verdict {
    let mut none = Verdict::Missed;
    let ending = |play: &str| ending(fault, tool, play, PATIENCE).expect("a tool has its plays");
    for play in tool.plays() {
        match ending(play) {
            Ending::Found if tool != Tool::Threads => return Verdict::Caught((*play).to_owned()),
            // A hit of threads counts if it is hit each time.
            Ending::Found if (0..3).all(|_| ending(play) == Ending::Found) => {
                return Verdict::Caught((*play).to_owned());
            }
            Ending::Late => none = Verdict::Unfinished,
            Ending::Well | Ending::Found => {}
        }
    }
    if tool == Tool::Threads { Verdict::Varies } else { none }
}

/// A child that fails has found something: so it is given nothing to play that is not there.
fn ending(fault: Fault, tool: Tool, play: &str, patience: Duration) -> Result<Ending, NoSuchPlay> {
    if !tool.has(play) {
        return Err(NoSuchPlay(tool, play.to_owned()));
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "table::faulty", "--ignored"])
        .env("PSO_MODEL_FAULT", serde_json::to_string(&(fault, tool, play)).unwrap())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test can start itself");
    Ok(match (ends_well(child, patience), tool) {
        (Some(true), _) => Ending::Well,
        (Some(false), _) | (None, Tool::Threads) => Ending::Found,
        (None, _) => Ending::Late,
    })
}

/// `None`: it did not end.
fn ends_well(mut child: Child, patience: Duration) -> Option<bool> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// (internal) What [`ending`] starts.
#[test]
#[ignore = "plays faults for the other tests here"]
fn faulty() {
    let Ok(text) = std::env::var("PSO_MODEL_FAULT") else { return };
    crate::hide_what_is_planned();
    let (fault, tool, play): (Fault, Tool, String) = serde_json::from_str(&text).unwrap();
    tool.play(fault, &play);
}

/// Of the verdicts that a tool finds nothing, which take all of its plays each, one in so many is looked at: others each day.
const SHARE: u64 = 4;

/// Which of them are played: those of today, those of `PSO_MODEL_MISSED=<number>`, or `PSO_MODEL_MISSED=all`, as `pso check` has it.
fn is_in_turn() -> impl Fn(usize) -> bool {
    let days = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
    let chosen = std::env::var("PSO_MODEL_MISSED").ok();
    let is_all = chosen.as_deref() == Some("all");
    let turn = chosen.and_then(|number| number.parse().ok()).unwrap_or(days) % SHARE;
    if !is_all {
        println!("PSO_MODEL_MISSED={turn}: one in {SHARE} of what nothing finds");
    }
    move |index| is_all || index as u64 % SHARE == turn
}

/// The verdicts of a tool stand.
fn check(tool: Tool) {
    let is_in_turn = is_in_turn();
    let (mut checked, mut changed) = (0, Vec::new());
    for (index, (fault, row)) in table().into_iter().enumerate() {
        match &row.verdicts[&tool] {
            Verdict::Caught(by) => match ending(fault, tool, by, 10 * PATIENCE) {
                Ok(Ending::Found) => {}
                Ok(_) => changed.push(format!("{fault:?}: {tool:?} no longer catches it by {by}")),
                Err(error) => changed.push(format!("{fault:?}: {error:?}")),
            },
            Verdict::Missed if !is_in_turn(index) => continue,
            Verdict::Missed => {
                let now = verdict(fault, tool);
                if matches!(now, Verdict::Caught(_)) {
                    changed.push(format!("{fault:?} {tool:?}: {now:?} now: bless the table"));
                }
            }
            Verdict::Varies | Verdict::Unfinished => continue,
        }
        checked += 1;
    }
    assert!(checked > 0, "the table has no verdict of {tool:?}");
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

macro_rules! tools {
    ($($name:ident: $tool:ident,)*) => {
        $(
            #[test]
            fn $name() {
                check(Tool::$tool);
            }
        )*
    };
}
tools! {
    one_preemption_catches_what_it_did: OnePreemption,
    shuttle_catches_what_it_did: Shuttle,
    loom_catches_what_it_did: Loom,
    crashes_catch_what_they_did: Crash,
}

/// The danger: a panic about a play that is not there counts as a fault that is found.
#[test]
fn a_play_that_is_not_there_finds_nothing() {
    for tool in TOOLS {
        for play in ["", "no_such_play", "no_such_scene sleep 1", "write_skew no_such_manner"] {
            let error = NoSuchPlay(tool, play.to_owned());
            assert_eq!(ending(Fault::None, tool, play, PATIENCE), Err(error));
        }
        tool.plays().iter().for_each(|play| assert!(tool.has(play), "{tool:?} {play}"));
    }
    for (fault, row) in table() {
        for (tool, verdict) in row.verdicts {
            if let Verdict::Caught(by) = verdict {
                assert!(tool.has(&by), "{fault:?}: {tool:?} has no play {by:?}");
            }
        }
    }
}

#[test]
fn every_fault_has_a_row() {
    if blesses("mutants") {
        bless();
    }
    let table = table();
    let missing: Vec<_> = Fault::ALL.iter().filter(|fault| !table.contains_key(fault)).collect();
    assert!(missing.is_empty(), "no verdict about {missing:?}");
    for (fault, row) in &table {
        assert_eq!(row.verdicts.len(), TOOLS.len(), "{fault:?} has a verdict of each tool");
        let caught = row.verdicts.values().any(|verdict| matches!(verdict, Verdict::Caught(_)));
        assert!(caught || row.because.len() > 20, "{fault:?} is caught by nothing, and nobody says why");
    }
}

/// At least so many faults must be caught, each by a tool that it names.
#[test]
fn at_least_fifteen_faults_are_caught() {
    let caught = table().into_values().filter(|row| {
        row.verdicts.iter().any(|(tool, verdict)| *tool != Tool::Threads && matches!(verdict, Verdict::Caught(_)))
    });
    assert!(caught.count() >= 15);
}

/// Finds the verdicts that the table lacks, two at a time. Delete what is to be found anew.
fn bless() {
    let before = table();
    let known = |fault: &Fault, tool| before.get(fault).is_some_and(|row| row.verdicts.contains_key(&tool));
    let todo = Fault::ALL.iter().rev().flat_map(|fault| TOOLS.map(|tool| (*fault, tool)));
    let todo: Mutex<Vec<(Fault, Tool)>> = Mutex::new(todo.filter(|(fault, tool)| !known(fault, *tool)).collect());
    let done = Mutex::new(before.clone());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((fault, tool)) = todo.lock().unwrap().pop() else { return };
                    let began = Instant::now();
                    let verdict = verdict(fault, tool);
                    println!("{fault:?} {tool:?} {verdict:?} {:?}", began.elapsed());
                    let mut done = done.lock().unwrap();
                    let row = done.entry(fault).or_default();
                    row.because = before.get(&fault).map(|row| row.because.clone()).unwrap_or_default();
                    row.verdicts.insert(tool, verdict);
                    let text = serde_json::to_string_pretty(&*done).unwrap() + "\n";
                    replace(&path(), &text).unwrap();
                }
            });
        }
    });
}
