//! `pso demo`, the main job: every file of the standard library is counted and indexed in shared objects by processes of
//! which some are killed, and the result must equal that of one plain process, word by word.
//!
//! 1. `list`: which files (all, or a seeded sample).
//! 2. `plain`: one process on builtins, timed. Its result is the measure.
//! 3. `shared`: workers on a new space, with kills.
//! 4. `verify` compares, `fsck` walks the space.
//! 5. `manager`: every 20th file on `multiprocessing.Manager`, timed and scaled.
//! 6. `evaluate`: what the workers recorded is played by real processes and on the simulated machine; charts and a report.
//!
//! Each part is a Python process of its own (`python/pso_demo`); this side starts and kills them and keeps the time.

mod coordinator;
mod crew;
mod evaluate;
mod plan;
mod report;
mod shared;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pso_engine::platform::native::Place;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;

use crate::cli::Demo;
use crate::failure::Failure;
use crate::place::{self, RemoveAtEnd};
use crate::python::Python;
use crate::{fsck, inspect, output};

/// `multiprocessing.Manager` gets every so-many-th file: all of them would take minutes.
const MANAGER_EVERY: u64 = 20;
/// Of a small sample it gets enough files to be measured.
const MANAGER_FILES: u64 = 8;

/// The files.
#[derive(Deserialize)]
struct Listing {
    files: u64,
    python: String,
}

/// The plain process.
#[derive(Deserialize)]
struct Plain {
    seconds: f64,
    files: u64,
    words: u64,
    bytes: u64,
}

/// The Manager's processes.
#[derive(Deserialize)]
struct Manager {
    seconds: f64,
    files: u64,
    words: u64,
    expected_words: u64,
    bytes: u64,
    failed: u64,
}

/// The comparison.
#[derive(Deserialize)]
struct Verdict {
    words: u64,
    distinct: u64,
    files: u64,
    identifiers: u64,
    lost: u64,
    differences: Vec<String>,
    difference_count: u64,
}

/// The subcommand.
pub fn run(options: &Demo) -> Result<(), Failure> {
    let python = Python::find(options.python.as_deref())?;
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let file = |name: &str| python.folder().join(name);
    let (names, plain_result) = (file("names.json"), file("plain.pickle"));
    let text = |path: &std::path::Path| path.display().to_string();

    let arguments = ["list", "--sample", &options.sample.to_string(), "--seed", &seed.to_string(), "--out"];
    let listing: Listing = python.answer("pso_demo", &strings(&arguments, &[text(&names)]))?;
    output::line(format_args!(
        "demo: {} files of the standard library of Python {}, {} workers, {} kills, seed {seed}",
        listing.files, listing.python, options.workers, options.kills
    ))?;

    let spinner = spinner("one plain process");
    let plain: Plain = python
        .answer("pso_demo", &strings(&["plain", "--names"], &[text(&names), "--out".into(), text(&plain_result)]))?;
    spinner.finish_and_clear();
    output::line(format_args!("  one plain process: {:.1} s", plain.seconds))?;

    let space = format!("demo-{}", std::process::id());
    let place = Place::Name(space.clone());
    let removal = RemoveAtEnd::new(place.clone());
    let bar = progress_bar(listing.files, "shared objects");
    let mut random = StdRng::seed_from_u64(seed);
    let shared = shared::run(&python, options, &space, &names, listing.files, &mut random, &bar)?;
    bar.finish_and_clear();
    output::line(format_args!("  shared objects: {:.1} s", shared.seconds))?;

    let spinner = self::spinner("comparing");
    let verdict: Verdict =
        python.answer("pso_demo", &strings(&["verify", "--space", &space, "--plain"], &[text(&plain_result)]))?;
    let joined = place::attach(&place)?;
    let findings = fsck::findings_at_rest(&joined.space);
    let mut wrong: Vec<String> = findings.iter().map(|finding| format!("fsck: {finding}")).collect();
    let memory = inspect::memory(&joined.space);
    drop(joined);
    spinner.finish_and_clear();

    let manager =
        if options.no_manager { None } else { Some(run_manager(&python, options, &text(&names), listing.files)?) };
    report::print(&plain, &shared, &verdict, manager.as_ref(), &memory, options)?;
    if options.keep {
        removal.keep();
        output::line(format_args!("  the space is kept: pso inspect {space}"))?;
    }
    // Whether the job was right is told whatever becomes of its evaluation.
    let evaluated = evaluate::run(&shared.recordings, options, seed);
    wrong.extend(evaluated.as_deref().unwrap_or_default().iter().cloned());
    report::judge(&plain, &shared, &verdict, &wrong, options)?;
    evaluated.map(drop)
}

fn run_manager(python: &Python, options: &Demo, names: &str, files: u64) -> Result<Manager, Failure> {
    let every = MANAGER_EVERY.min((files / MANAGER_FILES).max(1));
    let spinner = spinner("multiprocessing.Manager");
    let numbers =
        [names.to_owned(), "--workers".into(), options.workers.to_string(), "--every".into(), every.to_string()];
    let manager: Manager = python.answer("pso_demo", &strings(&["manager", "--names"], &numbers))?;
    spinner.finish_and_clear();
    output::line(format_args!("  multiprocessing.Manager, every {every}th file: {:.1} s", manager.seconds))?;
    if manager.failed > 0 || manager.words != manager.expected_words {
        let what = "the run on multiprocessing.Manager failed: it is no measure for anything";
        return Err(Failure::Wrong(what.into()));
    }
    Ok(manager)
}

fn strings(first: &[&str], rest: &[String]) -> Vec<String> {
    first.iter().map(|each| (*each).to_owned()).chain(rest.iter().cloned()).collect()
}

fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn progress_bar(files: u64, what: &'static str) -> ProgressBar {
    // The template is a constant; if indicatif does not like it, its own style does.
    let style = ProgressStyle::with_template("  {msg} {wide_bar} {pos}/{len} files {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files).with_style(style).with_message(what)
}
