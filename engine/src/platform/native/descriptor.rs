//! A file that stays open for as long as a space, asked each time whether its number is still its own.
//!
//! Who closes all descriptors of a process (to become a daemon; `os.closerange`) closes ours, and the next file that anybody opens has one of our
//! numbers. What is done to a file by number is then done to that one: pages punched, locks asked for, at last the number closed. So before each
//! of these the number is compared with device and inode; a system call more for what is rare and takes longer.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{OFlags, fcntl_getfl, fstat};

/// Device and inode: which file it is, whatever its name.
pub(super) type FileKey = (u64, u64);

/// Which file this is.
pub(super) fn key_of(file: BorrowedFd<'_>) -> io::Result<FileKey> {
    let stat = fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// An open file that is known by more than its number.
#[derive(Debug)]
pub(super) struct Descriptor {
    file: ManuallyDrop<OwnedFd>,
    key: FileKey,
}

impl Descriptor {
    /// Of an open file.
    pub(super) fn new(file: OwnedFd) -> io::Result<Self> {
        let key = key_of(file.as_fd())?;
        Ok(Self::known(file, key))
    }
    /// Of an open file that is this one.
    pub(super) fn known(file: OwnedFd, key: FileKey) -> Self {
        Self { file: ManuallyDrop::new(file), key }
    }
    /// Which file it was opened as.
    pub(super) fn key(&self) -> FileKey {
        self.key
    }
    /// The file. `None`: somebody has closed it, and the number is nobody's or another file's, or of one that is only looked at (O_PATH).
    pub(super) fn get(&self) -> Option<BorrowedFd<'_>> {
        let file = self.file.as_fd();
        let is_it = key_of(file).is_ok_and(|key| key == self.key)
            && fcntl_getfl(file).is_ok_and(|flags| !flags.contains(OFlags::PATH));
        is_it.then_some(file)
    }
    /// Its number, whatever that is by now: to be handed over.
    pub(super) fn number(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A descriptor, and the next one of the same file, opened after somebody had closed this one.
#[derive(Debug)]
pub(super) struct Opened {
    file: Descriptor,
    again: OnceLock<Box<Opened>>,
}

impl Opened {
    /// The first one.
    pub(super) fn new(file: Descriptor) -> Self {
        Self { file, again: OnceLock::new() }
    }
    /// The one that counts.
    pub(super) fn file(&self) -> &Descriptor {
        &self.last().file
    }
    /// Another one of the same file. Of two threads that come with one each the file of one may be closed at once.
    pub(super) fn go_on_with(&self, file: OwnedFd) {
        let last = self.last();
        let file = Descriptor::known(file, last.file.key());
        last.again.get_or_init(|| Box::new(Self::new(file)));
    }

    fn last(&self) -> &Self {
        let mut last = self;
        while let Some(again) = last.again.get() {
            last = again;
        }
        last
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Another's is not ours to close.
        if self.get().is_some() {
            // SAFETY: the field is not used again.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}
