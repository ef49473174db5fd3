//! Each ordering of the modules that act on shared words ([`MODULES`]), weakened: some scene must notice, or the table says why none does.
//!
//! The danger: an ordering that nobody needs is a cost and a false explanation; one that is needed and not covered by any scene
//! is a fault waiting for an edit. `model/expected/weaken.json` holds a verdict for each site in the text of the modules:
//! `killed` by a play, which notices something; `survives` all plays that come by, and why; `unmet` by all plays, and why. Where
//! the reason is that another site orders the same, it can be put to the test: `with` names the other one, and `by` a play that
//! notices when both are weakened and does not notice when only the other is.
//!
//! What the tests here compare with the table, in each run: that it names the sites of the text and no others; every kill, by its
//! play; for survivors the first [`SAMPLE`] executions of each play, which is less than what their verdict was found with
//! ([`PLAYS`]); and that no play meets the unmet. A weakened run may end in a deadlock, with which loom aborts the
//! process: each runs in a child process of its own.
//!
//! After a change of engine or scenes delete the verdicts that changed from the table, or only the plays of a survivor, which keeps
//! its reason:
//! `PSO_MODEL_BLESS=weaken cargo nextest run -p pso-model --test loom table_names --no-capture` finds the verdicts that are
//! missing and writes each down at once; the reasons are for people to write.

mod plays;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pso_model::lens::{Access, Lens, ProcessLens, Through};
use pso_model::report::{blesses, replace, workspace};
use pso_model::scenario::scene;
use pso_model::weaken::{Site, Weakening, sites};
use serde::{Deserialize, Serialize};

use crate::explore::explore_up_to;
use crate::manners;
use crate::touched::Words;
use crate::world::Loom;
use plays::{PLAYS, is_play};

/// So many executions of each of its plays are played again in each run of the tests.
const SAMPLE: u64 = 300;
/// Where the sites are.
const MODULES: [&str; 7] = [
    "engine/src/transaction/",
    "engine/src/reclamation/",
    "engine/src/collection/",
    "engine/src/waiting/",
    "engine/src/recovery/",
    "engine/src/holding/",
    "engine/src/allocator/",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum Verdict {
    /// This play notices. `saw`: the first line of what it said, for people.
    Killed { by: String, saw: String },
    /// None does, of those that meet the site.
    Survives {
        plays: Vec<String>,
        because: String,
        /// Other sites that order the same: weakened without this one they are not noticed, with it they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<String>,
        /// By this play.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// No play comes by.
    Unmet { because: String },
}

type Table = BTreeMap<String, Verdict>;

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected/weaken.json")
}

fn table() -> Table {
    let text = std::fs::read_to_string(table_path()).expect("weaken.json can be read");
    serde_json::from_str(&text).expect("weaken.json is a table of verdicts")
}

/// The source files of a folder and of all folders in it.
fn files_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(workspace().join(folder)).expect("the sources are there");
    let paths = entries.map(|entry| {
        let (entry, is_folder) = entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind.is_dir()))).unwrap();
        (format!("{folder}{}", entry.file_name().into_string().unwrap()), is_folder)
    });
    let files = paths.flat_map(|(path, is_folder)| if is_folder { files_in(&format!("{path}/")) } else { vec![path] });
    files.filter(|path| path.ends_with(".rs")).collect()
}

/// All sites of the modules, by name. Every file that is there counts, so that a new one shows.
fn named_sites() -> BTreeMap<String, Site> {
    let of_file = |path: String| {
        let text = std::fs::read_to_string(workspace().join(&path)).expect("the sources are there");
        let sites = sites(&path, &text).into_iter();
        sites.map(|site| (site.name(&text).expect("it stands in the text"), site)).collect::<Vec<_>>()
    };
    let mut named = BTreeMap::new();
    for (name, site) in MODULES.into_iter().flat_map(files_in).flat_map(of_file) {
        let other = named.insert(name.clone(), site);
        assert_eq!(other, None, "two sites are called {name}");
    }
    named
}

/// The weakening while the actors are on stage. What a scene does before them is no part of what it shows.
struct WhileActorsAct(Arc<Weakening>);

impl Lens<Loom> for WhileActorsAct {
    fn access(&self, inner: &Loom, access: Access) -> Result<u64, u64> {
        if inner.is_loud() { self.0.access(inner, access) } else { access.on(inner) }
    }
}

impl ProcessLens<Loom> for WhileActorsAct {
    fn another(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What is known of the words of each play: learned once, and of use whatever is weakened.
type Known = BTreeMap<String, Words>;

/// Plays one line of [`PLAYS`] with this weakening.
fn play(most: Option<u64>, play: &str, known: &mut Known, weakening: &Arc<Weakening>) {
    let mut words = play.split(' ');
    let (name, manner) = (words.next().unwrap(), words.next().unwrap());
    let bound = words.next().unwrap().parse().unwrap();
    let full = PLAYS.iter().find(|(known, _)| *known == play).expect("it is one of the plays").1;
    let most = most.unwrap_or(full);
    let weakening = Arc::clone(weakening);
    let wrap = move |world| Through::over(world, WhileActorsAct(weakening.clone()));
    explore_up_to(most, scene(name), manners(manner), Some(bound), known.entry(play.to_owned()).or_default(), wrap);
}

/// What some plays made of a weakening.
#[derive(Debug)]
enum Ending {
    Noticed {
        by: String,
        saw: String,
    },
    Unnoticed,
    /// Nothing was played.
    NoSuchPlay(String),
}

/// What a child is to play, in full.
#[derive(Serialize, Deserialize)]
struct Order {
    places: Vec<Place>,
    plays: Vec<String>,
    known: Known,
}

/// File, line, column.
type Place = (String, u32, u32);

fn place(site: &Site) -> Place {
    (site.file.clone(), site.line, site.column)
}

fn weakening_of(places: Vec<Place>) -> Arc<Weakening> {
    let site = |(file, line, column)| Site { file, line, column, strength: String::new() };
    Weakening::of(places.into_iter().map(site).collect())
}

/// Plays `plays` one after the other with these sites weakened, until one notices. A child that
/// fails has noticed: so it is given nothing to play that is not there.
fn weakened_plays(places: Vec<Place>, plays: &[String], known: &Known) -> Ending {
    if let Some(play) = plays.iter().find(|play| !is_play(play)) {
        return Ending::NoSuchPlay(play.clone());
    }
    let known = plays.iter().filter_map(|play| Some((play.clone(), known.get(play)?.clone()))).collect();
    let order = Order { places, plays: plays.to_vec(), known };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "weaken::weakened", "--ignored", "--nocapture"])
        .env("PSO_MODEL_WEAK", "from the standard input")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test can start itself");
    serde_json::to_writer(child.stdin.take().unwrap(), &order).expect("the child listens");
    let output = child.wait_with_output().expect("the child ends");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ending::Unnoticed;
    }
    let said = errors.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let by = text.lines().filter_map(|line| line.split_once("playing ")).next_back();
    let by = by.expect("the child plays at least once").1.to_owned();
    Ending::Noticed { by, saw: said.unwrap_or("a deadlock").chars().take(100).collect() }
}

/// (internal) What [`weakened_plays`] starts.
#[test]
#[ignore = "plays weakened scenes for the other tests here"]
fn weakened() {
    if std::env::var_os("PSO_MODEL_WEAK").is_none() {
        return;
    }
    let Order { places, plays, mut known } = serde_json::from_reader(std::io::stdin()).unwrap();
    let weakening = weakening_of(places);
    for each in plays {
        println!("playing {each}");
        play(None, &each, &mut known, &weakening);
    }
}

/// The verdicts of every `of`th site from `part` on stand. Survivors are played in this process: if one is noticed, by a
/// deadlock even, the test fails.
fn check(part: usize, of: usize) {
    let sites = named_sites();
    let mut known = Known::new();
    for (name, verdict) in table().into_iter().skip(part).step_by(of) {
        let began = Instant::now();
        let place_of = |name: &String| place(&sites[name]);
        let noticed = |sites: Vec<Place>, by: &String| {
            let ending = weakened_plays(sites, std::slice::from_ref(by), &known);
            assert!(matches!(ending, Ending::Noticed { .. }), "{name}: {by} no longer notices: {ending:?}");
        };
        match &verdict {
            Verdict::Killed { by, .. } => noticed(vec![place_of(&name)], by),
            Verdict::Survives { plays, with, by, .. } => {
                if !with.is_empty() {
                    noticed(with.iter().chain([&name]).map(place_of).collect(), by);
                    play(Some(SAMPLE), by, &mut known, &weakening_of(with.iter().map(place_of).collect()));
                }
                let weakening = weakening_of(vec![place_of(&name)]);
                for each in plays {
                    println!("{name}, which survives, in {each}. If this fails, bless the table.");
                    play(Some(SAMPLE), each, &mut known, &weakening);
                }
                assert!(weakening.weakened() > 0, "no play meets {name} any more");
            }
            Verdict::Unmet { .. } => continue,
        }
        println!("{name}: {:?}", began.elapsed());
    }
}

macro_rules! parts {
    ($($name:ident: $part:literal,)*) => {
        const PARTS: usize = [$($part),*].len();
        $(
            #[test]
            fn $name() {
                check($part, PARTS);
            }
        )*
    };
}
parts! {
    the_verdicts_of_the_first_eighth_stand: 0,
    the_verdicts_of_the_second_eighth_stand: 1,
    the_verdicts_of_the_third_eighth_stand: 2,
    the_verdicts_of_the_fourth_eighth_stand: 3,
    the_verdicts_of_the_fifth_eighth_stand: 4,
    the_verdicts_of_the_sixth_eighth_stand: 5,
    the_verdicts_of_the_seventh_eighth_stand: 6,
    the_verdicts_of_the_last_eighth_stand: 7,
}

#[test]
fn the_table_names_every_site_and_says_why_those_survive_that_do() {
    let sites = named_sites();
    if blesses("weaken") {
        bless(&sites);
    }
    let table = table();
    let there: BTreeSet<&String> = sites.keys().collect();
    assert_eq!(there, table.keys().collect(), "sites of the text, and sites of the table");
    for (name, verdict) in &table {
        match verdict {
            Verdict::Killed { .. } => {}
            Verdict::Survives { because, .. } | Verdict::Unmet { because } => {
                assert!(because.len() > 30, "{name} is not killed, and nobody says why");
            }
        }
        if let Verdict::Survives { with, by, .. } = verdict {
            assert_eq!(with.is_empty(), by.is_empty(), "{name}: nothing notices it with {with:?}");
        }
    }
}

/// The danger: a panic about a play that is not there counts as something that it notices.
#[test]
fn a_play_that_is_not_there_notices_nothing() {
    for play in ["", "no_such_scene sleep 1", "retry no_such_manner 1"] {
        let ending = weakened_plays(Vec::new(), &[play.to_owned()], &Known::new());
        assert!(matches!(ending, Ending::NoSuchPlay(name) if name == play));
    }
    PLAYS.iter().for_each(|(play, _)| assert!(is_play(play), "{play}"));
}

/// The danger: a site is called unmet, and a scene that is new since would tell something about it.
#[test]
fn no_play_meets_the_sites_that_are_called_unmet() {
    let sites = named_sites();
    let (met, _) = meetings(Some(SAMPLE));
    for (name, verdict) in table() {
        if matches!(verdict, Verdict::Unmet { .. }) {
            let plays = met.get(&place(&sites[&name]));
            assert_eq!(plays, None, "{name} is met now: bless the table");
        }
    }
}

/// The places that the plays come by, and which of them do; and what is known of the plays then. Two plays at a time.
fn meetings(most: Option<u64>) -> (BTreeMap<Place, Vec<String>>, Known) {
    let met = Mutex::new(Vec::new());
    let todo = Mutex::new(PLAYS.iter());
    let work = || {
        while let Some(&(each, _)) = { todo.lock().unwrap().next() } {
            let (weakening, mut known, began) = (Weakening::of(Vec::new()), Known::new(), Instant::now());
            play(most, each, &mut known, &weakening);
            println!("{each}: {:?}", began.elapsed());
            met.lock().unwrap().push((each, weakening.met(), known));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let met = met.into_inner().unwrap();
    let mut meetings = BTreeMap::<Place, Vec<String>>::new();
    for (each, _) in PLAYS {
        let of_this_play = met.iter().filter(|(play, ..)| *play == each).flat_map(|(_, sites, _)| sites);
        for site in of_this_play.filter(|site| MODULES.iter().any(|module| site.file.contains(module))) {
            meetings.entry(place(site)).or_default().push(each.to_owned());
        }
    }
    (meetings, met.into_iter().flat_map(|(.., known)| known).collect())
}

/// Finds the verdicts that the table lacks and the plays that notice sites weakened together, two at a time; forgets sites that
/// are gone.
fn bless(sites: &BTreeMap<String, Site>) {
    let mut before = table();
    before.retain(|name, _| sites.contains_key(name));
    let lacks = |name: &String| match before.get(name) {
        None => true,
        Some(Verdict::Survives { plays, with, by, .. }) => plays.is_empty() || with.is_empty() != by.is_empty(),
        Some(_) => false,
    };
    let todo: Vec<&String> = sites.keys().filter(|name| lacks(name)).collect();
    let (met, known) = if todo.is_empty() { Default::default() } else { meetings(None) };
    let places: BTreeSet<Place> = sites.values().map(place).collect();
    for place in met.keys() {
        assert!(places.contains(place), "{place:?} is met, and is no site of the text");
    }
    let place_of = |name: &String| place(&sites[name]);
    let alone = |name: &String| {
        let because = match before.get(name) {
            Some(Verdict::Survives { because, .. } | Verdict::Unmet { because }) => because.clone(),
            _ => String::new(),
        };
        let Some(plays) = met.get(&place_of(name)) else { return Verdict::Unmet { because } };
        match weakened_plays(vec![place_of(name)], plays, &known) {
            Ending::Noticed { by, saw } => Verdict::Killed { by, saw },
            Ending::NoSuchPlay(play) => panic!("{name}: there is no play {play:?}"),
            Ending::Unnoticed => {
                Verdict::Survives { plays: plays.clone(), because, with: Vec::new(), by: String::new() }
            }
        }
    };
    let together = |name: &String, with: &[String], plays: &[String]| {
        let others: Vec<Place> = with.iter().map(place_of).collect();
        let all: Vec<Place> = others.iter().cloned().chain([place_of(name)]).collect();
        let notices = |play: &&String, places: &[Place]| {
            let ending = weakened_plays(places.to_vec(), std::slice::from_ref(*play), &known);
            matches!(ending, Ending::Noticed { .. })
        };
        let by = plays.iter().find(|play| notices(play, &all) && !notices(play, &others));
        by.cloned().unwrap_or_default()
    };
    let verdict = |name: &String| {
        let found = match before.get(name) {
            Some(found @ Verdict::Survives { plays, .. }) if !plays.is_empty() => found.clone(),
            _ => alone(name),
        };
        match (found, before.get(name)) {
            (Verdict::Survives { plays, because, .. }, Some(Verdict::Survives { with, .. })) if !with.is_empty() => {
                let by = together(name, with, &plays);
                Verdict::Survives { plays, because, with: with.clone(), by }
            }
            (found, _) => found,
        }
    };
    let (done, todo) = (Mutex::new(before.clone()), Mutex::new(todo));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = todo.lock().unwrap().pop() else { return };
                    let began = Instant::now();
                    let verdict = verdict(name);
                    println!("{name}: {verdict:?} {:?}", began.elapsed());
                    let mut done = done.lock().unwrap();
                    done.insert(name.clone(), verdict);
                    write_table(&done);
                }
            });
        }
    });
    write_table(&done.into_inner().unwrap());
}

fn write_table(table: &Table) {
    replace(&table_path(), &(serde_json::to_string_pretty(table).unwrap() + "\n")).unwrap();
}
