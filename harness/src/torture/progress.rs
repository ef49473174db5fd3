//! What each writer says it has done, kept outside the space: a ring of notes in a file, which survives its writer.
//!
//! A writer notes a commit after it has happened. So what the space says is the note or, if the writer died between the two,
//! one more. Less would be a lost commit, more an update that nobody made. The note says, too, when that was (on the clock that
//! all processes share) and what the writer does next: so whoever looks later finds the first commit after a moment, and what
//! a dead writer was killed at.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::failure::Failure;

const FILE: &str = "progress";
/// Notes that are kept of each writer: some milliseconds of commits.
const NOTES: u64 = 1024;
/// A power of two, so that no note lies on two pages: a kill does not tear it.
const NOTE_BYTES: usize = 32;

/// One commit of a writer, and what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Commits of the writer so far.
    pub commits: u64,
    /// When the last of them was, in ns of the monotonic clock.
    pub at_ns: u64,
    /// What it does next (see `Deed`).
    pub deed: u64,
}

impl Note {
    fn pack(self) -> [u8; NOTE_BYTES] {
        let mut bytes = [0; NOTE_BYTES];
        for (place, word) in [self.commits, self.at_ns, self.deed].into_iter().enumerate() {
            bytes[place * 8..place * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn unpack(bytes: &[u8]) -> Self {
        let word = |place: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[place * 8..place * 8 + 8]);
            u64::from_le_bytes(word)
        };
        Self { commits: word(0), at_ns: word(1), deed: word(2) }
    }
}

/// The file.
pub struct Progress {
    file: File,
}

impl Progress {
    /// Opens the file in `folder`, or makes it.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Failure::system(format!("opening {}", path.display())))?;
        Ok(Self { file })
    }

    /// Writes down where `writer` stands.
    pub fn note(&self, writer: u32, note: Note) -> Result<(), Failure> {
        self.file
            .write_all_at(&note.pack(), offset(writer, note.commits % NOTES))
            .map_err(Failure::system("noting a commit"))
    }

    /// What `writer` noted last.
    pub fn noted(&self, writer: u32) -> Result<Note, Failure> {
        let notes = self.ring(writer)?;
        Ok(notes.into_iter().max_by_key(|note| note.commits).unwrap_or_default())
    }

    /// When `writer` first committed at `since_ns` or later, having made `before` commits when somebody looked before that.
    /// If so many commits have followed that the note is gone: the oldest that is there.
    pub fn committed_since(&self, writer: u32, before: u64, since_ns: u64) -> Result<Option<u64>, Failure> {
        let later = |note: &Note| note.commits > before && note.at_ns >= since_ns;
        Ok(self.ring(writer)?.iter().filter(|note| later(note)).map(|note| note.at_ns).min())
    }

    fn ring(&self, writer: u32) -> Result<Vec<Note>, Failure> {
        let mut bytes = vec![0; NOTES as usize * NOTE_BYTES];
        // A writer that never committed has written nothing: a short read leaves zeroes.
        self.file.read_at(&mut bytes, offset(writer, 0)).map_err(Failure::system("reading the notes"))?;
        Ok(bytes.chunks_exact(NOTE_BYTES).map(Note::unpack).collect())
    }
}

fn offset(writer: u32, place: u64) -> u64 {
    (u64::from(writer) * NOTES + place) * NOTE_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(commits: u64) -> Note {
        Note { commits, at_ns: commits * 10, deed: commits % 3 }
    }

    #[test]
    fn notes_are_kept_by_writer() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::open(folder.path()).unwrap();
        progress.note(2, note(5)).unwrap();
        let again = Progress::open(folder.path()).unwrap();
        assert_eq!([0, 2, 9].map(|writer| again.noted(writer).unwrap()), [note(0), note(5), note(0)]);
    }

    #[test]
    fn the_first_commit_after_a_moment_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::open(folder.path()).unwrap();
        (0..2500).for_each(|commits| progress.note(1, note(commits)).unwrap());
        assert_eq!(progress.noted(1).unwrap(), note(2499));
        assert_eq!(progress.committed_since(1, 2000, 20_005).unwrap(), Some(20_010));
        assert_eq!(progress.committed_since(1, 2100, 20_005).unwrap(), Some(21_010));
        assert_eq!(progress.committed_since(1, 2499, 0).unwrap(), None);
        // More commits than notes are kept.
        assert_eq!(progress.committed_since(1, 10, 100).unwrap(), Some((2500 - NOTES) * 10));
        assert_eq!(progress.committed_since(0, 0, 0).unwrap(), None);
    }
}
