//! Each ordering of the transaction module, weakened: some scene must notice, or the table says why none does.
//!
//! The danger: an ordering that nobody needs is a cost and a false explanation; one that is needed and not covered by any scene
//! is a fault waiting for an edit. `model/expected/weaken.json` holds a verdict for each site:
//! `killed` with the play that does it, or `survives` with the plays that meet it and the reason. The tests here, one a source
//! file, fail when a verdict changes; `no_site_is_missing` fails when a site has none.
//!
//! A weakened run may end in a deadlock, with which loom aborts the process: each runs in a child process of its own.
//!
//! After a change of engine or scenes delete the verdicts that changed from the table:
//! `PSO_MODEL_BLESS=weaken cargo nextest run -p pso-model --test loom --run-ignored all no_site_is_missing` finds the verdicts that are missing and
//! writes them down; the reasons are for people to write. All of them take some minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use pso_model::report::{blesses, workspace};
use pso_model::scenario::scene;
use pso_model::weaken::{Site, Weaken, Weakening, find};
use serde::{Deserialize, Serialize};

use crate::explore::explore_up_to;
use crate::manners;

/// `scene manner bound`, about a second each, the quickest killers first.
const PLAYS: [&str; 11] = [
    "a_new_block_is_read yields 2",
    "retry yields 2",
    "dead_committer yields 1",
    "write_skew yields 2",
    "reader_of_two_cells yields 2",
    "older_stops_younger yields 1",
    "older_stops_younger hasty 1",
    "retry sleep 2",
    "reads_its_own_write hasty 1",
    "two_who_retry sleep 1",
    "three_on_one_cell sleep 1",
];
/// A weakened scene may have many more executions than it has. Cut here: a survivor has survived so many of each play.
const MOST_EXECUTIONS: u64 = 2_000;
/// Where the sites are.
const MODULE: &str = "engine/src/transaction/";
const FILES: [&str; 10] = [
    "abort.rs",
    "begin.rs",
    "commit.rs",
    "conflict.rs",
    "mod.rs",
    "read.rs",
    "run.rs",
    "second_row.rs",
    "validate.rs",
    "write.rs",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum Verdict {
    /// This play notices.
    Killed { by: String },
    /// None does, of those that meet the site.
    Survives { plays: Vec<String>, because: String },
}

type Table = BTreeMap<String, Verdict>;

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/weaken.json")
}

fn table() -> Table {
    let text = std::fs::read_to_string(table_path()).unwrap_or_else(|_| "{}".into());
    serde_json::from_str(&text).expect("weaken.json is a table of verdicts")
}

fn source(file: &str) -> String {
    std::fs::read_to_string(workspace().join(file)).expect("the sources are there")
}

/// Plays one line of [`PLAYS`] with this weakening.
fn play(play: &str, weakening: &std::sync::Arc<Weakening>) {
    let mut words = play.split(' ');
    let (name, manner) = (words.next().unwrap(), words.next().unwrap());
    let bound = words.next().unwrap().parse().unwrap();
    let weakening = std::sync::Arc::clone(weakening);
    let wrap = move |world| Weaken::over(world, weakening.clone());
    explore_up_to(MOST_EXECUTIONS, scene(name), manners(manner), Some(bound), wrap);
}

/// Plays `plays` one after the other with `site` weakened; the first that notices.
fn killer(site: &Site, plays: &[String]) -> Option<String> {
    let weak = serde_json::to_string(&(&site.file, site.line, site.column, plays)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "weaken::weakened", "--ignored", "--nocapture"])
        .env("PSO_MODEL_WEAK", weak)
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::null())
        .output()
        .expect("this test can start itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().filter_map(|line| line.split_once("playing ")).next_back();
    let last = last.expect("the child plays at least once").1.to_owned();
    (!output.status.success()).then_some(last)
}

/// (internal) What [`killer`] starts.
#[test]
#[ignore = "plays weakened scenes for the other tests here"]
fn weakened() {
    let Ok(text) = std::env::var("PSO_MODEL_WEAK") else { return };
    let (file, line, column, plays): (String, u32, u32, Vec<String>) = serde_json::from_str(&text).unwrap();
    let weakening = Weakening::of(Some(Site { file, line, column, strength: String::new() }));
    for each in plays {
        println!("playing {each}");
        play(&each, &weakening);
    }
}

/// The verdicts of a source file stand.
fn check(file: &str) {
    let path = format!("{MODULE}{file}");
    let text = source(&path);
    let mut checked = 0;
    for (name, verdict) in table().iter().filter(|(name, _)| name.starts_with(&format!("{file} "))) {
        let site = find(&path, name, &text).unwrap_or_else(|| panic!("the table names {name}, which is gone"));
        match verdict {
            Verdict::Killed { by } => {
                assert!(killer(&site, std::slice::from_ref(by)).is_some(), "{name}: {by} no longer notices");
            }
            Verdict::Survives { plays, because } => {
                assert!(because.len() > 20, "{name} survives, and nobody says why");
                assert_eq!(killer(&site, plays), None, "{name} is noticed now: bless the table");
            }
        }
        checked += 1;
    }
    assert!(checked > 0, "the table has no site of {file}");
}

macro_rules! files {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[test]
            #[ignore = "the table of verdicts is still empty"]
            fn $name() {
                check($file);
            }
        )*
    };
}
files! {
    abort: "abort.rs",
    begin: "begin.rs",
    commit: "commit.rs",
    conflict: "conflict.rs",
    read: "read.rs",
    run: "run.rs",
    second_row: "second_row.rs",
    validate: "validate.rs",
    write: "write.rs",
}

/// The sites that the plays meet, and which of them do. Two plays at a time.
fn sites() -> BTreeMap<Site, Vec<String>> {
    let met = Mutex::new(Vec::new());
    let todo = Mutex::new(PLAYS.iter());
    let work = || {
        while let Some(&each) = { todo.lock().unwrap().next() } {
            let weakening = Weakening::of(None);
            play(each, &weakening);
            met.lock().unwrap().push((each, weakening.met()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let met = met.into_inner().unwrap();
    let mut sites = BTreeMap::<Site, Vec<String>>::new();
    for each in PLAYS {
        let of_this_play = met.iter().filter(|(play, _)| *play == each).flat_map(|(_, sites)| sites);
        for site in of_this_play.filter(|site| site.file.contains(MODULE)) {
            sites.entry(site.clone()).or_default().push(each.to_owned());
        }
    }
    sites
}

#[test]
#[ignore = "the table of verdicts is still empty: PSO_MODEL_BLESS=weaken and --run-ignored fill it"]
fn no_site_is_missing() {
    let sites = sites();
    let texts: BTreeMap<&str, String> = FILES.iter().map(|file| (*file, source(&format!("{MODULE}{file}")))).collect();
    let name = |site: &Site| {
        let file = site.file.rsplit('/').next().unwrap();
        site.name(&texts[file]).expect("the sources are those of this build")
    };
    if blesses("weaken") {
        bless(&sites, name);
    }
    let met: BTreeSet<String> = sites.keys().map(name).collect();
    let known: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(met, known, "sites that the scenes meet, and sites of the table");
}

/// Finds the verdicts that the table lacks, two sites at a time, and forgets those of sites that are gone.
fn bless(sites: &BTreeMap<Site, Vec<String>>, name: impl Fn(&Site) -> String) {
    let before = table();
    let named = sites.iter().map(|(site, plays)| (name(site), site, plays));
    let (known, new): (Vec<_>, Vec<_>) = named.partition(|(name, ..)| before.contains_key(name));
    let done = Mutex::new(Table::from_iter(known.into_iter().map(|(name, ..)| (name.clone(), before[&name].clone()))));
    let todo = Mutex::new(new);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((name, site, plays)) = todo.lock().unwrap().pop() else { return };
                    let verdict = match killer(site, plays) {
                        Some(by) => Verdict::Killed { by },
                        None => Verdict::Survives { plays: plays.clone(), because: String::new() },
                    };
                    println!("{name}: {verdict:?}");
                    let mut done = done.lock().unwrap();
                    done.insert(name, verdict);
                    write_table(&done);
                }
            });
        }
    });
    write_table(&done.into_inner().unwrap());
}

fn write_table(table: &Table) {
    std::fs::write(table_path(), serde_json::to_string_pretty(table).unwrap() + "\n").unwrap();
}
