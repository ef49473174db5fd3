//! What the tests of the native platform share: places that clean up, and child processes that run a role.

#![allow(dead_code)] // each test file uses a part

pub mod damage;
pub mod forks;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use pso_engine::arena::Layout;
use pso_engine::arena::header::{HEADER_USED_WORDS, Header, HeaderWords};
use pso_engine::platform::native::{self, Native, Place};

/// How long a test waits for what must happen before it calls it lost. Far above every expected time.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The smallest space.
pub const BYTES: u64 = 1 << 20;

const ROLE: &str = "PSO_TEST_ROLE";
const PLACE: &str = "PSO_TEST_PLACE";

/// A directory that is gone when the test is over.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// In memory, where spaces usually are.
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("pso-test-").tempdir_in("/dev/shm").unwrap())
    }
    /// A place in it for a space of this name.
    pub fn place(&self, name: &str) -> Place {
        Place::Directory(self.path(name))
    }
    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    /// The arena of a space in it.
    pub fn arena(&self, name: &str) -> File {
        OpenOptions::new().read(true).write(true).open(self.path(name).join("arena")).unwrap()
    }
    /// A new space in it.
    pub fn space(&self, name: &str) -> (Native, Layout) {
        native::create(&self.place(name), BYTES).unwrap()
    }
}

/// Writes the header of a space anew, changed, with a good checksum.
pub fn change_header(file: &File, change: impl FnOnce(&mut Header)) {
    let mut bytes = [0; HEADER_USED_WORDS * 8];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let mut words: HeaderWords = [0; HEADER_USED_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut header = Header::decode(&words, Path::new("")).unwrap();
    change(&mut header);
    for (index, word) in header.encode((words[32], words[33])).iter().enumerate() {
        file.write_all_at(&word.to_le_bytes(), index as u64 * 8).unwrap();
    }
}

/// A second process: this test program, run for its test `child_role` only.
pub struct Helper {
    pub process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts a process in `role` with the space at `path`.
    pub fn start(role: &str, path: &std::path::Path) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), role, path)
    }
    /// The same, with another command before the program.
    pub fn run(mut command: Command, role: &str, path: &std::path::Path) -> Self {
        command.args(["child_role", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(PLACE, path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }
    /// The next thing that it says, without the test runner's own lines.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child process ended without a word");
            if let Some(said) = line.split("child: ").nth(1) {
                return said.trim_end().to_string();
            }
        }
    }
    /// Tells it to go on.
    pub fn go_on(&mut self) {
        writeln!(self.input.as_mut().unwrap()).unwrap();
    }
    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes numbers; the process is a child of ours that was not waited for, so the number is its.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: the role and the space's path; `None` if the test runner runs us by itself.
pub fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(PLACE)?.into()))
}

/// In a child: tells the parent something.
pub fn say(what: impl std::fmt::Display) {
    println!("child: {what}");
    std::io::stdout().flush().unwrap();
}

/// In a child: waits for the parent; false at its end.
pub fn wait_for_parent() -> bool {
    let mut line = String::new();
    matches!(std::io::stdin().read_line(&mut line), Ok(bytes) if bytes > 0)
}

/// Waits until `holds`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::yield_now();
    }
}
