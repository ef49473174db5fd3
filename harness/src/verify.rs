//! `pso verify`: all the evidence that takes long, one part after the other, with its verdicts in a file.
//!
//! Each part is a command of its own, run as a child and recorded with what it took and what it measured. A part that fails does
//! not keep the next from running. The file is written after each part, so an interrupted run leaves what it had come to, and
//! says of the rest that it has not run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use pso_engine::contention::PolicyId;
use pso_model::report::workspace;
use rand::Rng;
use serde::Serialize;
use serde_json::Value;

use crate::cli::Verify;
use crate::failure::Failure;
use crate::{interrupt, machine, output};

/// The part that runs `pso check`, which runs cargo-nextest.
const MODELS: &str = "models";

/// What a part came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Holds,
    Fails,
    NotRun,
}

/// One command and what it came to.
#[derive(Serialize)]
struct Part {
    name: &'static str,
    command: String,
    verdict: Verdict,
    seconds: f64,
    /// What it measured, as it says itself.
    #[serde(skip_serializing_if = "Value::is_null")]
    figures: Value,
    #[serde(skip)]
    arguments: Vec<String>,
    #[serde(skip)]
    kind: Kind,
}

/// How a part is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A subcommand of this executable that writes its figures where `--out` says.
    Own,
    /// Cargo, with these environment variables in front.
    Cargo,
}

/// All of a run.
#[derive(Serialize)]
struct Numbers {
    seed: u64,
    /// Everything that was asked for holds.
    holds: bool,
    parts: Vec<Part>,
    /// What was not asked for.
    left_out: Vec<&'static str>,
}

/// The subcommand.
pub fn run(options: &Verify) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let mut numbers = Numbers { seed, holds: false, parts: parts(options, seed), left_out: left_out(options) };
    if numbers.parts.is_empty() {
        return Err(Failure::Wrong("verify: there is nothing to run: all parts are left out".into()));
    }
    if numbers.parts.iter().any(|part| part.kind == Kind::Cargo || part.name == MODELS) {
        has_nextest()?;
    }
    // Nothing has run: whoever interrupts the first part is not to find what an earlier run came to.
    machine::write_results(&options.out, &numbers)?;
    for at in 0..numbers.parts.len() {
        interrupt::check()?;
        let part = &mut numbers.parts[at];
        output::line(format_args!("verify: {}: {}", part.name, part.command))?;
        part.run()?;
        let told = output::line(format_args!("verify: {} {:?} after {:.0} s", part.name, part.verdict, part.seconds));
        if told.is_err() && part.verdict == Verdict::Fails {
            // It writes where we do: it may have failed for nothing but that, and what it came to is not known.
            part.verdict = Verdict::NotRun;
        }
        numbers.holds = numbers.parts.iter().all(|part| part.verdict == Verdict::Holds);
        machine::write_results(&options.out, &numbers)?;
        told?;
    }
    let failed: Vec<_> = numbers.parts.iter().filter(|part| part.verdict != Verdict::Holds).collect();
    if failed.is_empty() {
        let left_out = numbers.left_out.join(", ");
        let left_out = if left_out.is_empty() { left_out } else { format!("; not run: {left_out}") };
        output::line(format_args!("verify: ok, {} parts (seed {seed}){left_out}", numbers.parts.len()))?;
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|part| part.name).collect();
    Err(Failure::Wrong(format!("verify: does not hold: {} (seed {seed})", names.join(", "))))
}

/// Without it each part that needs it would be said to fail, which says something of the engine.
fn has_nextest() -> Result<(), Failure> {
    let mut probe = Command::new("cargo");
    probe.current_dir(workspace()).args(["nextest", "--version"]).stdin(Stdio::null());
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let without = "verify: the models and the schedules need cargo-nextest, and `cargo nextest` does not run here";
    Err(Failure::Wrong(format!(
        "{without}: install it, or leave them out with --without-models. Nothing was run or written."
    )))
}

/// What is not to be run.
fn left_out(options: &Verify) -> Vec<&'static str> {
    let mut names = if options.without_models { vec!["models", "schedules"] } else { Vec::new() };
    names.extend((options.kills == 0).then_some("kills"));
    names.extend((options.stops == 0).then_some("stops"));
    names
}

/// What there is to do. Kills are spread over numbers of writers and over the policies.
fn parts(options: &Verify, seed: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    if !options.without_models {
        parts.push(Part::own(MODELS, vec!["check".into()]));
        let runs = options.schedules;
        let variables = [format!("PSO_SHUTTLE_SEED={seed}"), format!("PSO_SHUTTLE_RUNS={runs}")];
        let command = ["nextest", "run", "-p", "pso-model", "--test", "shuttle", "--no-fail-fast"].map(String::from);
        parts.push(Part::new("schedules", Kind::Cargo, variables.into_iter().chain(command).collect()));
    }
    let tenth = (options.kills / 10).max(1);
    let rest = PolicyId::ALL.len() as u32 - 1;
    let torture = |number: usize, what: &str, count: u32, writers: u32, policy: PolicyId| {
        let (count, writers, seed) = (count.to_string(), writers.to_string(), (seed + number as u64).to_string());
        let policy = policy.to_string();
        // Many writers on few processors, and builds beside: time for those who get none.
        let words = ["torture", what, &count, "--writers", &writers, "--policy", &policy, "--seed", &seed];
        [&words[..], &["--patience-ms", "5000", "--quiet"]].concat().into_iter().map(String::from).collect()
    };
    let default = PolicyId::default();
    if options.kills > 0 {
        let most = options.kills.saturating_sub(3 * tenth).max(1);
        parts.push(Part::own("kills", torture(0, "--kills", most, 3, default)));
        parts.push(Part::own("kills of two", torture(1, "--kills", tenth, 2, default)));
        parts.push(Part::own("kills of six", torture(2, "--kills", tenth, 6, default)));
        for (number, policy) in PolicyId::ALL.into_iter().filter(|policy| *policy != default).enumerate() {
            let each = tenth.div_ceil(rest);
            parts.push(Part::own("kills under other policies", torture(3 + number, "--kills", each, 3, policy)));
        }
    }
    if options.stops > 0 {
        parts.push(Part::own("stops", torture(9, "--stops", options.stops, 3, default)));
    }
    parts
}

impl Part {
    fn own(name: &'static str, arguments: Vec<String>) -> Self {
        Self::new(name, Kind::Own, arguments)
    }

    fn new(name: &'static str, kind: Kind, arguments: Vec<String>) -> Self {
        let words = arguments.join(" ");
        let command = match kind {
            Kind::Own => format!("pso {words}"),
            Kind::Cargo => words.replacen("nextest", "cargo nextest", 1),
        };
        let (verdict, seconds, figures) = (Verdict::NotRun, 0.0, Value::Null);
        Self { name, command, verdict, seconds, figures, arguments, kind }
    }

    fn run(&mut self) -> Result<(), Failure> {
        let folder = tempfile::tempdir().map_err(Failure::system("a folder for figures"))?;
        let out = folder.path().join("figures.json");
        let mut command = match self.kind {
            Kind::Own => {
                let executable = std::env::current_exe().map_err(Failure::system("finding this executable"))?;
                let mut command = Command::new(executable);
                command.args(&self.arguments).arg("--out").arg(&out);
                command
            }
            Kind::Cargo => {
                let mut command = Command::new("cargo");
                command.current_dir(workspace());
                for argument in &self.arguments {
                    match argument.split_once('=') {
                        Some((name, value)) => command.env(name, value),
                        None => command.arg(argument),
                    };
                }
                command
            }
        };
        let began = Instant::now();
        let status = interrupt::run(&mut command, interrupt::OF_OURS)
            .map_err(Failure::system(format!("starting {}", self.command)))?;
        // A signal goes on to the child, and the part has not run.
        interrupt::check_child(status)?;
        self.seconds = began.elapsed().as_secs_f64();
        self.figures = figures(&out);
        self.verdict = if status.success() { Verdict::Holds } else { Verdict::Fails };
        Ok(())
    }
}

/// The numbers of a result file; null if there is none, as after a failure.
fn figures(file: &Path) -> Value {
    let Ok(text) = std::fs::read_to_string(file) else { return Value::Null };
    serde_json::from_str::<Value>(&text).map_or(Value::Null, |mut results| results["numbers"].take())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kills: u32, stops: u32, without_models: bool) -> Verify {
        Verify { kills, stops, schedules: 10, seed: None, without_models, out: "x".into() }
    }

    #[test]
    fn all_kills_that_are_asked_for_are_made() {
        let parts = parts(&options(10_000, 1000, false), 5);
        let killed: u32 = (parts.iter())
            .filter_map(|part| {
                let at = part.arguments.iter().position(|word| word == "--kills")?;
                part.arguments[at + 1].parse::<u32>().ok()
            })
            .sum();
        assert_eq!(killed, 10_000);
        assert!(parts.iter().all(|part| part.verdict == Verdict::NotRun));
        assert!(parts[1].command.starts_with("PSO_SHUTTLE_SEED=5 PSO_SHUTTLE_RUNS=10 cargo nextest"));
        assert!(parts.last().is_some_and(|part| part.command.contains("--stops 1000")));
    }

    #[test]
    fn a_run_of_nothing_is_not_well_and_what_is_not_run_is_named() {
        let failure = run(&options(0, 0, true)).unwrap_err();
        assert!(failure.to_string().contains("nothing to run"), "{failure}");
        assert_eq!(left_out(&options(0, 0, true)), ["models", "schedules", "kills", "stops"]);
        assert_eq!(left_out(&options(7, 0, false)), ["stops"]);
        assert_eq!(left_out(&options(7, 1, false)), [""; 0]);
    }

    #[test]
    fn what_fails_is_said_to_fail() {
        let mut part = Part::new("nothing", Kind::Cargo, vec!["no-such-subcommand-here".into()]);
        part.run().unwrap();
        assert_eq!(part.verdict, Verdict::Fails);
        assert_eq!(options(0, 1, true).kills, 0);
        assert_eq!(super::parts(&options(0, 1, true), 1).len(), 1);
    }

    /// The danger: a child is ended by the Ctrl-C that is meant for us, before that is noted here, and its part is said to fail.
    #[test]
    fn what_a_signal_has_ended_has_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        std::fs::write(&cargo, "#!/bin/sh\nkill -INT $$\n").unwrap();
        std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut part = Part::new("ended", Kind::Cargo, vec![format!("PATH={}", folder.path().display())]);
        assert!(matches!(part.run(), Err(Failure::Interrupted)));
        assert_eq!(part.verdict, Verdict::NotRun);
    }
}
