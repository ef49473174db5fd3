//! A benchmark as a test, so that it cannot rot: what stands for the test harness of Rust in an executable with a main of its own.
//!
//! `cargo test` and `cargo nextest` call such an executable as they call any other: `--list` names the tests, anything else that
//! is not an option chooses among them.

use std::process::ExitCode;

use crate::failure::Failure;

/// A test: its name, which is a sentence, and what it does.
pub type Test = (&'static str, fn() -> Result<(), Failure>);

/// Options of the test harness of Rust that have a value.
const WITH_VALUE: [&str; 6] = ["--format", "--color", "--skip", "--test-threads", "--logfile", "-Z"];

/// Lists or runs those of `tests` that `arguments` choose.
pub fn main(tests: &[Test], arguments: &[String]) -> ExitCode {
    let mut chosen = Vec::new();
    let mut after = "";
    for argument in arguments {
        if !argument.starts_with('-') && !WITH_VALUE.contains(&after) {
            chosen.push(argument.as_str());
        }
        after = argument;
    }
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let is_chosen = |name: &str| {
        let fits = |word: &&str| if has("--exact") { name == *word } else { name.contains(*word) };
        !has("--ignored") && (chosen.is_empty() || chosen.iter().any(fits))
    };
    let mut exit = ExitCode::SUCCESS;
    for (name, test) in tests.iter().filter(|(name, _)| is_chosen(name)) {
        if has("--list") {
            println!("{name}: test");
            continue;
        }
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(failure) => {
                println!("test {name} ... FAILED\n{failure}");
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

/// An error that says `what`, unless it `holds`.
pub fn expect(holds: bool, what: impl Into<String>) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Wrong(what.into())) }
}
