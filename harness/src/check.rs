//! `pso check`: plays the scenes of the model and says how far each went.
//!
//! The tests of `pso-model` do the work, under `cargo nextest`, which gives each a process of its own (loom aborts on a
//! deadlock). Each writes how many executions it explored and within which bounds; here that is compared with the committed
//! numbers, for a checker that explores less than it did passes all the same.

use std::path::Path;
use std::process::Command;

use pso_model::report::{
    BLESS_VARIABLE, Comparison, DIRECTORY_VARIABLE, Expected, Played, expected, expected_path, replace, workspace,
};

use serde::Serialize;

use crate::cli::Check;
use crate::failure::Failure;
use crate::table::{Table, thousands};
use crate::{interrupt, machine, output};

/// How much was explored.
#[derive(Serialize)]
struct Figures {
    /// Scenes, tools and manners together.
    plays: usize,
    executions_loom: u64,
    executions_shuttle: u64,
    /// Plays that went less far than expected, or not to their end.
    less_than_expected: u64,
}

/// The subcommand.
pub fn run(options: &Check) -> Result<(), Failure> {
    let reports = tempfile::tempdir().map_err(Failure::system("cannot make a directory for reports"))?;
    let mut command = Command::new("cargo");
    command.args(["nextest", "run", "-p", "pso-model", "--no-fail-fast"]);
    command.args(&options.only).current_dir(workspace()).env(DIRECTORY_VARIABLE, reports.path());
    // Tests alone play a sample of what no tool finds (`model/tests/mutants/table.rs`).
    command.env("PSO_MODEL_MISSED", "all");
    if options.bless {
        command.env(BLESS_VARIABLE, "plays");
    }
    let status =
        interrupt::run(&mut command, interrupt::OF_NEXTEST).map_err(Failure::system("cannot start cargo nextest"))?;
    interrupt::check_child(status)?;
    let passed = status.success();

    let plays = plays(reports.path())?;
    let before = expected();
    let (table, fewer) = compared(&plays, &before);
    let is_missing = |key: &&String| options.only.is_none() && !plays.iter().any(|play| play.key() == **key);
    let missing: Vec<String> = before.keys().filter(is_missing).cloned().collect();
    let failures = fewer + missing.len() as u64;
    // All is written before anything is told: whoever was to read may have gone meanwhile.
    if let Some(file) = &options.out {
        let executions = |tool: &str| plays.iter().filter(|play| play.tool == tool).map(|play| play.executions).sum();
        let figures = Figures {
            plays: plays.len(),
            executions_loom: executions("loom"),
            executions_shuttle: executions("shuttle"),
            less_than_expected: failures,
        };
        machine::write_results(file, &figures)?;
    }
    let blessed = if options.bless && passed { Some(bless(&plays, before, options.only.is_none())?) } else { None };
    show(&table, &missing)?;
    if let Some(count) = blessed {
        return output::line(format_args!("{count} plays are expected from now on"));
    }
    match (passed, failures) {
        (true, 0) => Ok(()),
        (false, _) => Err(Failure::Wrong("check: a scene or a checker fails (see above)".into())),
        (true, _) => Err(Failure::Wrong(format!("check: {failures} plays are not what is expected"))),
    }
}

/// What the tests have written, by scene.
fn plays(directory: &Path) -> Result<Vec<Played>, Failure> {
    let entries = std::fs::read_dir(directory).map_err(Failure::system("cannot read the reports"))?;
    let mut plays = Vec::new();
    for entry in entries {
        let path = entry.map_err(Failure::system("cannot read the reports"))?.path();
        let text = std::fs::read_to_string(&path).map_err(Failure::system("cannot read a report"))?;
        let play = serde_json::from_str(&text);
        plays.push(play.map_err(|_| Failure::Nonsense { who: "a test of the model".into(), line: text })?);
    }
    plays.sort_by_key(Played::key);
    Ok(plays)
}

/// The plays and what each was expected to be, and how many went less far than that.
fn compared(plays: &[Played], expected: &Expected) -> (Table, u64) {
    let mut table = Table::new(["scene", "tool", "manner", "bounds", "executions", "verdict"]);
    let mut fewer = 0;
    for play in plays {
        let verdict = match play.compare(expected) {
            Comparison::Same => "holds".to_owned(),
            Comparison::New => "holds, and NOBODY EXPECTS IT".to_owned(),
            Comparison::Changed(before) => {
                format!("holds, was {} executions, {}", thousands(before.executions), before.coverage)
            }
            Comparison::Fewer(before) => {
                fewer += 1;
                format!("LESS: {} are expected, {}", thousands(before.executions), before.coverage)
            }
        };
        table.row([
            play.scene.clone(),
            play.tool.clone(),
            play.manner.clone(),
            play.coverage.to_string(),
            thousands(play.executions),
            verdict,
        ]);
    }
    (table, fewer)
}

fn show(table: &Table, missing: &[String]) -> Result<(), Failure> {
    output::line(table)?;
    missing.iter().try_for_each(|key| output::line(format_args!("  {key}: expected, and not played to its end")))
}

/// Writes what is expected from now on, and says how many plays that are. A whole run forgets plays that are gone.
fn bless(plays: &[Played], before: Expected, whole: bool) -> Result<usize, Failure> {
    let mut expected = if whole { Expected::new() } else { before };
    expected.extend(plays.iter().map(|play| (play.key(), play.expectation())));
    let text = serde_json::to_string_pretty(&expected).map_err(|error| Failure::Wrong(error.to_string()))?;
    replace(&expected_path(), &(text + "\n")).map_err(Failure::system("cannot write the expectations"))?;
    Ok(expected.len())
}
