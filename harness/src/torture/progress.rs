//! What each writer says it has committed, kept outside the space: one number each in a file, which survives its writer.
//!
//! A writer notes a commit after it has happened. So what the space says is the note or, if the writer died between the two,
//! one more. Less would be a lost commit, more an update that nobody made.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::failure::Failure;

const FILE: &str = "progress";

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
    /// Notes that `writer` has made `commits` commits.
    pub fn note(&self, writer: u32, commits: u64) -> Result<(), Failure> {
        self.file.write_all_at(&commits.to_le_bytes(), offset(writer)).map_err(Failure::system("noting a commit"))
    }
    /// What `writer` noted last.
    pub fn noted(&self, writer: u32) -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        // A writer that never committed has written nothing: a short read leaves zeroes.
        self.file.read_at(&mut bytes, offset(writer)).map_err(Failure::system("reading the notes"))?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn offset(writer: u32) -> u64 {
    u64::from(writer) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_by_writer() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::open(folder.path()).unwrap();
        progress.note(2, 5).unwrap();
        let again = Progress::open(folder.path()).unwrap();
        assert_eq!([again.noted(0).unwrap(), again.noted(2).unwrap(), again.noted(9).unwrap()], [0, 5, 0]);
    }
}
