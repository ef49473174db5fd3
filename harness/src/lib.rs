//! What the command `pso` is made of: shows, measures, torments and inspects shared spaces.
//!
//! Each subcommand is a folder or file of its own; this file chooses among them and turns failures into exit codes:
//! 0 all is well, 1 something that should hold does not or cannot be done, 2 the command line makes no sense, or `fsck` could not look at the
//! space, or `fsck --repair` not repair it. A command that has nothing to clear up is ended by the signal itself.
//!
//! Public are the rooms that the benchmarks of this crate (`benches/`) work in as well: a space and a crew of processes on
//! it, what stands beside a number, promises, tables, the ground that charts are drawn on, and what makes a test of a benchmark.

mod bench;
mod calibrate;
mod check;
mod cli;
pub mod crew;
mod demo;
pub mod failure;
mod fault;
mod fsck;
mod inspect;
pub mod interrupt;
mod listing;
pub mod machine;
mod output;
pub mod place;
pub mod plot;
mod policies;
pub mod promise;
mod python;
mod replay;
mod scripts;
mod simulator;
pub mod smoke;
mod sweep;
pub mod table;
mod top;
mod torture;
mod trace;
mod validate;
mod verify;

use std::process::ExitCode;

use clap::Parser;

pub use cli::seconds;
use cli::{Command, Options};
use failure::Failure;

/// The command, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let command = Options::parse().command;
    let only_shows = matches!(
        command,
        Command::Trace(_) | Command::Fsck(_) | Command::Inspect(_) | Command::Top(_) | Command::List(_)
    );
    if !only_shows && !is_worker(&command) {
        // Of what runs: it is asked for again when the results are written.
        machine::commit();
    }
    match run(command) {
        // Whoever reads our output has enough: `pso inspect | head`. What measures or checks has not come to its end then.
        Err(Failure::Output(error)) if only_shows && error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        result => exit_code(result),
    }
}

/// What a command ends with; a failure is told on standard error.
pub fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ (Failure::NotLookedAt(_) | Failure::Refused(_))) => {
            output::aside(format_args!("pso: {failure}"));
            ExitCode::from(2)
        }
        Err(failure) => {
            output::aside(format_args!("pso: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether a command looks for signals, for it has folders, spaces or processes to clear up. The others a signal ends where they are: a repair
/// may be killed anywhere.
fn looks_for_signals(command: &Command) -> bool {
    !matches!(
        command,
        Command::Plot(_)
            | Command::Policies(_)
            | Command::Sim(_)
            | Command::Calibrate(_)
            | Command::Trace(_)
            | Command::Fsck(_)
            | Command::List(_)
    )
}

/// Whether somebody else started this process, and writes the results.
fn is_worker(command: &Command) -> bool {
    matches!(
        command,
        Command::TortureWorker(_) | Command::BankWorker(_) | Command::KillVictim(_) | Command::ReplayWorker(_)
    )
}

fn run(command: Command) -> Result<(), Failure> {
    if looks_for_signals(&command) {
        interrupt::install()?;
    }
    command.results().map_or(Ok(()), machine::can_write)?;
    match command {
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Plot(options) => plot::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Policies(options) => policies::run(&options),
        Command::Sim(options) => simulator::run(&options),
        Command::Calibrate(options) => calibrate::run(&options),
        Command::Validate(options) => validate::run(&options),
        Command::Trace(options) => trace::run(&options),
        Command::Torture(options) => torture::run(&options),
        Command::TortureWorker(options) => torture::work(&options),
        Command::BankWorker(options) => bench::native::work(&options),
        Command::KillVictim(options) => bench::kill::work(&options),
        Command::Check(options) => check::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::ReplayWorker(options) => replay::work(&options),
        Command::Fsck(options) => fsck::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Top(options) => top::run(&options),
        Command::List(options) => listing::run(&options),
    }
}
