//! Boost.Interprocess's `managed_shared_memory`, what C++ programs use for blocks in shared memory.
//!
//! Fair use: the same loops in C++ (`boost.cpp`), compiled with -O2 where the header is, with Boost's default algorithm (a best fit
//! under a mutex in the segment). There is no other way to it: the allocator is a template.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use pso_harness::failure::Failure;
use serde::Deserialize;
use tempfile::TempDir;

use crate::Bench;

const SOURCE: &str = include_str!("boost.cpp");
const HEADER: &str = "boost/interprocess/managed_shared_memory.hpp";
/// Debian's package of the header.
const PACKAGE: &str = "libboost-dev";

/// The compiled program. Goes when this goes.
pub struct Boost {
    program: PathBuf,
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Tally {
    operations: u64,
    ns: f64,
}

/// Compiles the program. The inner error says why it cannot be: no compiler, no header.
///
/// # Errors
/// A program that the compiler refuses although the header is there.
pub fn compile() -> Result<Result<Boost, String>, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::system("a folder for Boost's program"))?;
    let looks = ["-E", "-x", "c++", "-include", HEADER, "/dev/null"];
    match compiler().args(looks).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(error) => return Ok(Err(format!("no C++ compiler (c++): {error}"))),
        Ok(status) if !status.success() => {
            return Ok(Err(format!("the header {HEADER} is not installed (Debian's package {PACKAGE})")));
        }
        Ok(_) => {}
    }
    let (source, program) = (folder.path().join("boost.cpp"), folder.path().join("boost"));
    std::fs::write(&source, SOURCE).map_err(Failure::system("writing Boost's program"))?;
    let mut compiler = compiler();
    compiler.args(["-O2", "-std=c++17", "-pthread", "-o"]).arg(&program).arg(&source).arg("-lrt");
    let output = compiler.output().map_err(Failure::system("compiling Boost's program"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Wrong(format!("compiling Boost's program: {errors}")));
    }
    Ok(Ok(Boost { program, _folder: folder }))
}

fn compiler() -> Command {
    Command::new("c++")
}

/// A run of `work`: a number of blocks that live, 0 for pairs, or `remote`.
///
/// # Errors
/// A program that fails, or whose blocks were not what they should be.
pub fn run(bench: &Bench, work: &str) -> Result<Option<f64>, Failure> {
    let Some(boost) = &bench.boost else { return Ok(None) };
    let mut command = Command::new(&boost.program);
    command.arg(work).args([bench.seconds.to_string(), bench.seed.to_string()]);
    let output = command.stdin(Stdio::null()).output().map_err(Failure::system("running Boost's program"))?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        let last_words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::Child { who: "Boost's program".into(), status: output.status.to_string(), last_words });
    }
    match serde_json::from_str::<Tally>(&line) {
        Ok(tally) => Ok(Some(tally.ns / tally.operations as f64)),
        Err(_) => Err(Failure::Nonsense { who: "Boost's program".into(), line }),
    }
}
