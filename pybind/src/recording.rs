//! A trace of what this process commits in a space: a gzipped file that grows line by line.
//!
//! Process-wide, like the registry, and knows no Python. A [`Membership`](crate::registry::Membership) has one recording
//! at most. Its members look at a number before they work: it rises when a recording begins or ends, and then they give
//! their participant the observer of the day (`pso_engine::trace::Recorder`), or none.
//!
//! The stream is flushed every tenth of a second in which something is recorded, so a process that is killed leaves a file
//! that reads up to a whole line (`pso_sim::trace` reads such files, and so does zcat). Only a recording that was closed
//! has its last line. The file belongs to the process that opened it: a child of a fork writes nothing to it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use pso_engine::platform::System;
use pso_engine::platform::native::Native;
use pso_engine::space::Space;
use pso_engine::trace::{Header, Recorder, Transaction, ending};
use pso_engine::transaction::Observer;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::registry::lock;

/// What a killed process loses at most, of the time in which it recorded.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// The recordings of one membership, one at a time.
#[derive(Default)]
pub struct Recordings {
    number: AtomicU64,
    current: Mutex<Option<Arc<Recording>>>,
}

impl Recordings {
    /// Changes whenever a recording begins or ends.
    #[inline]
    pub fn number(&self) -> u64 {
        // Acquire: pairs with the Release of whoever begins or ends one, though the lock behind it would do.
        self.number.load(Ordering::Acquire)
    }

    /// What a participant of `space` is to be observed by.
    pub fn observer(&self, space: &Arc<Space<Native>>) -> Option<Box<dyn Observer<Native> + Send>> {
        let recording = lock(&self.current).clone().filter(|recording| recording.is_ours())?;
        // Relaxed: a number that nobody else gets.
        let participant = recording.participants.fetch_add(1, Ordering::Relaxed);
        let start_ns = recording.start_ns;
        let sink = Box::new(move |line: &Transaction| recording.write(line));
        Some(Box::new(Recorder::new(Arc::clone(space), participant, start_ns, sink)))
    }

    /// Begins one into the file at `path`, which is made or emptied. `None`: there is one already.
    pub fn begin(&self, space: &Space<Native>, uuid: &[u8; 16], path: &Path) -> io::Result<Option<Arc<Recording>>> {
        let ours = |current: &Option<Arc<Recording>>| current.as_ref().is_some_and(|recording| recording.is_ours());
        // Looked at twice: a file is not emptied in vain, and two interpreters may ask at once.
        if ours(&lock(&self.current)) {
            return Ok(None);
        }
        let recording = Arc::new(Recording::open(space.arena().platform(), uuid, path)?);
        let mut current = lock(&self.current);
        if ours(&current) {
            return Ok(None);
        }
        let _parents = current.replace(Arc::clone(&recording));
        drop(current);
        self.number.fetch_add(1, Ordering::Release);
        Ok(Some(recording))
    }

    /// Ends this one.
    pub fn end(&self, recording: &Arc<Recording>) {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, recording)) {
            *current = None;
            self.number.fetch_add(1, Ordering::Release);
        }
    }
}

/// One file.
pub struct Recording {
    /// The process that opened it.
    pid: u32,
    start_ns: u64,
    participants: AtomicU32,
    transactions: AtomicU64,
    state: Mutex<State>,
}

enum State {
    Open(Stream),
    /// The file takes no more. Told when the recording is closed.
    Failed(io::Error),
    Closed,
}

struct Stream {
    file: GzEncoder<File>,
    line: String,
    flushed: Instant,
}

/// A file that is made or emptied. Whoever asks has Python's lock, so that of a FIFO that nobody reads is an error (ENXIO), not a wait.
fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

impl Recording {
    fn open(native: &Native, uuid: &[u8; 16], path: &Path) -> io::Result<Self> {
        let start_ns = native.now_ns();
        let mut from = "space ".to_owned();
        for byte in uuid {
            // A String takes everything.
            let _ = write!(from, "{byte:02x}");
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let header = Header {
            name: name.trim_end_matches(".gz").to_owned(),
            from,
            participants: None,
            cells: None,
            seed: 0,
            start_ns,
        };
        let mut file = GzEncoder::new(create(path)?, Compression::fast());
        file.write_all(header.to_string().as_bytes())?;
        file.flush()?;
        let stream = Stream { file, line: String::new(), flushed: Instant::now() };
        Ok(Self {
            pid: std::process::id(),
            start_ns,
            participants: AtomicU32::new(0),
            transactions: AtomicU64::new(0),
            state: Mutex::new(State::Open(stream)),
        })
    }

    /// False in a child of a fork.
    fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// How many transactions it has so far.
    pub fn transactions(&self) -> u64 {
        // Relaxed: a number for people; the one of the last line is read under the lock of the state.
        self.transactions.load(Ordering::Relaxed)
    }

    fn write(&self, line: &Transaction) {
        let mut state = lock(&self.state);
        if let State::Open(stream) = &mut *state {
            match stream.write(line) {
                Ok(()) => {
                    self.transactions.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => *state = State::Failed(error),
            }
        }
    }

    /// Writes the last line. A second time does nothing, and neither does a child of a fork.
    pub fn close(&self) -> io::Result<()> {
        if !self.is_ours() {
            return Ok(());
        }
        let state = std::mem::replace(&mut *lock(&self.state), State::Closed);
        match state {
            State::Open(mut stream) => {
                stream.file.write_all(ending(self.transactions()).as_bytes())?;
                stream.file.finish().map(drop)
            }
            State::Failed(error) => Err(error),
            State::Closed => Ok(()),
        }
    }
}

impl Stream {
    fn write(&mut self, line: &Transaction) -> io::Result<()> {
        self.line.clear();
        // A String takes everything.
        let _ = writeln!(self.line, "{line}");
        self.file.write_all(self.line.as_bytes())?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.file.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.is_ours() {
            // Whoever wants to hear of errors closes it.
            let _ = self.close();
        } else if let Ok(state) = self.state.get_mut() {
            // The encoder would write the end of its stream into the parent's file.
            std::mem::forget(std::mem::replace(state, State::Closed));
        }
    }
}
