//! The interpreter that runs the scripts: which one, and how its processes are started.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::interrupt;
use crate::scripts::Scripts;

/// An interpreter that can import the package, and the scripts for it.
pub struct Python {
    interpreter: PathBuf,
    scripts: Scripts,
}

impl Python {
    /// Takes `chosen`, else the first that exists of: the .venv above this executable, the active virtual environment,
    /// the .venv of the working directory, `python3`. It must be able to import the package.
    pub fn find(chosen: Option<&Path>) -> Result<Self, Failure> {
        let interpreter = chosen.map_or_else(default_interpreter, Path::to_path_buf);
        let python = Self { interpreter, scripts: Scripts::unpack()? };
        let output = python
            .command()
            .args(["-c", "import pso; pso.create"])
            .output()
            .map_err(Failure::system(format!("starting {}", python.interpreter.display())))?;
        if !output.status.success() {
            let reason = last_lines(&output.stderr, 1);
            return Err(Failure::NoPackage { python: python.interpreter, reason });
        }
        Ok(python)
    }

    /// A folder for files of this run.
    pub fn folder(&self) -> &Path {
        self.scripts.folder()
    }

    /// `python`, seeing the scripts. Standard input is empty unless the caller gives one.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.env("PYTHONPATH", self.scripts.folder());
        // Byte code of the scripts is kept in their folder: the workers that replace others start faster for it.
        command.env_remove("PYTHONDONTWRITEBYTECODE").env("PYTHONUTF8", "1").stdin(Stdio::null());
        command
    }

    /// `python -m MODULE ARGUMENTS`, run to its end; the last line that it prints, as JSON.
    pub fn answer<T: DeserializeOwned>(&self, module: &str, arguments: &[String]) -> Result<T, Failure> {
        let who = format!("python -m {module} {}", arguments.first().map_or("", String::as_str));
        let output = self
            .command()
            .args(["-m", module])
            .args(arguments)
            .output()
            .map_err(Failure::system(format!("starting {who}")))?;
        interrupt::check()?;
        parse_answer(&who, &output)
    }
}

/// The last line of a finished process, as JSON.
fn parse_answer<T: DeserializeOwned>(who: &str, output: &Output) -> Result<T, Failure> {
    if !output.status.success() {
        return Err(Failure::Child {
            who: who.into(),
            status: output.status.to_string(),
            last_words: last_lines(&output.stderr, 25),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|_| Failure::Nonsense { who: who.into(), line: line.into() })
}

/// The end of what a process wrote.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn default_interpreter() -> PathBuf {
    // target/release/pso stands two folders below the repository.
    let beside_executable = std::env::current_exe().ok().and_then(|path| Some(path.ancestors().nth(3)?.join(".venv")));
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let here = std::env::current_dir().ok().map(|path| path.join(".venv"));
    [beside_executable, active, here]
        .into_iter()
        .flatten()
        .map(|environment| environment.join("bin/python"))
        .find(|interpreter| interpreter.exists())
        .unwrap_or_else(|| PathBuf::from("python3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_complaint_is_quoted() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines(b"", 2), "");
    }
}
