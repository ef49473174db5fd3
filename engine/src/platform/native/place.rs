//! Where a space has its files: `/dev/shm/pso.NAME/`, or a directory of the user's. Publishing, removing and listing.
//!
//! ```text
//! DIRECTORY/            0700
//!     arena             0600, the space
//!     live              0600, one lock byte for each process slot
//! PARENT/.pso-NAMESPACE.PID.START.RANDOM/    a space that process PID of a pid namespace is making
//! ```
//! 1. A space is made under a temporary name beside its own and renamed when it is complete, so nobody sees half of one.
//!    The kernel renames a directory onto nothing or onto an empty one, never onto a filled one: of two creators one wins.
//! 2. A space ends at the moment at which `arena` is unlinked. Members keep what they have mapped.
//! 3. Who is killed in between leaves a temporary directory, or one without `arena`; the next creator there clears it away, if it is of the maker's
//!    pid namespace: only there a number says who is gone.
//! 4. Only files of ours are ever removed (an `arena` that begins as a space, an empty `live`, and `wake.*`, empty or a FIFO: names
//!    that are kept free for event loops, and that nothing makes yet), and no link is followed at the last step of a path.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::{process, system};
use crate::arena::ArenaError;
use crate::arena::header::MAGIC;
use crate::platform::ProcessIdentity;

/// Where named spaces are.
const SHARED_MEMORY: &str = "/dev/shm";
/// What a named space's directory begins with.
const PREFIX: &str = "pso.";
/// What a temporary directory begins with; hidden, so that no name of a space can be one.
const DRAFT_PREFIX: &str = ".pso-";
/// With the prefix well below the 255 bytes of a file name.
const NAME_BYTES_MAX: usize = 200;

/// The file that is the space.
pub(super) const ARENA: &str = "arena";
/// The file of the lock bytes.
pub(super) const LIVE: &str = "live";
/// Names that begin with this are kept free for event loops' FIFOs. Nothing makes one yet.
const WAKE_PREFIX: &[u8] = b"wake.";

/// Where a space is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// By name, in `/dev/shm`: for all processes of this user, until unlinked or the machine is started anew.
    Name(String),
    /// In this directory, which becomes the space's own.
    Directory(PathBuf),
}

impl Place {
    /// The space's directory, absolute.
    pub(super) fn directory(&self) -> Result<PathBuf, ArenaError> {
        match self {
            Self::Name(name) => {
                let reason = match name.as_bytes() {
                    [] => "it is empty",
                    bytes if bytes.len() > NAME_BYTES_MAX => "it is longer than 200 bytes",
                    bytes if bytes.contains(&b'/') => "it has a slash in it",
                    bytes if bytes.contains(&0) => "it has a zero byte in it",
                    _ if name.contains("..") => "it has two dots in a row in it",
                    _ => return Ok(Path::new(SHARED_MEMORY).join(format!("{PREFIX}{name}"))),
                };
                Err(ArenaError::BadName { name: name.clone(), reason })
            }
            Self::Directory(path) => {
                let bad = |reason| ArenaError::BadName { name: path.display().to_string(), reason };
                path.file_name().ok_or(bad("it does not end in the name of a directory"))?;
                // Without a slash at its end, behind which the system would follow a link.
                let path: PathBuf = path.components().collect();
                std::path::absolute(path).map_err(|_| bad("it cannot be made an absolute path"))
            }
        }
    }
}

/// Removes the space's files. Members go on with what they have mapped; nobody can attach any more.
pub fn unlink(place: &Place) -> Result<(), ArenaError> {
    let path = place.directory()?;
    let directory = open_directory(&path)?;
    check_arena(directory.as_fd(), &path)?;
    clear(directory.as_fd()).map_err(|errno| ArenaError::from_system("remove", &path, errno.into()))?;
    // Not empty: the user keeps other files there, or somebody has made a new space already.
    match unlinkat(CWD, &path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
        Err(errno) => Err(ArenaError::from_system("remove", &path, errno.into())),
    }
}

/// Names of the spaces of this user, sorted.
pub fn list_spaces() -> Vec<String> {
    let entries = fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten();
    let names =
        entries.filter_map(|entry| entry.file_name().into_string().ok()?.strip_prefix(PREFIX).map(String::from));
    let mut names: Vec<String> = names
        .filter(|name| {
            let directory = Place::Name(name.clone()).directory().and_then(|path| open_directory(&path));
            directory.is_ok_and(|directory| has_arena(directory.as_fd()))
        })
        .collect();
    names.sort();
    names
}

/// Opens a space's directory; it has to be this user's.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, ArenaError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty());
    let directory = directory.map_err(|errno| ArenaError::from_system("open", path, errno.into()))?;
    check_owner(directory.as_fd(), path)?;
    Ok(directory)
}

/// Refuses what belongs to another user.
pub(super) fn check_owner(file: BorrowedFd<'_>, path: &Path) -> Result<(), ArenaError> {
    let stat = fstat(file).map_err(|errno| ArenaError::from_system("look at", path, errno.into()))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid == user {
        Ok(())
    } else {
        Err(ArenaError::NotOwner { path: path.to_path_buf(), owner: stat.st_uid, user })
    }
}

/// A space in the making, in a directory of its own beside its later place.
///
/// Dropping it before [`Draft::publish`] removes it, a kindness only: a later creator would.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    directory: OwnedFd,
    published: bool,
}

impl Draft {
    /// Makes the temporary directory for a space at `target`.
    pub(super) fn begin(target: &Path) -> Result<Self, ArenaError> {
        let parent = target.parent().unwrap_or(Path::new("/"));
        sweep(parent);
        let failed = |errno: Errno| match errno {
            // Not the space is missing, but the place for it.
            Errno::NOENT | Errno::NOTDIR => {
                ArenaError::System { action: "make a space in", path: parent.to_path_buf(), source: errno.into() }
            }
            _ => ArenaError::from_system("make a space in", parent, errno.into()),
        };
        let me = process::myself_or_why()?;
        let path = parent.join(draft_name(process::pid_namespace(), me, system::entropy()));
        mkdirat(CWD, &path, Mode::RWXU).map_err(failed)?;
        let directory = open_directory(&path).inspect_err(|_| _ = unlinkat(CWD, &path, AtFlags::REMOVEDIR))?;
        Ok(Self { path, directory, published: false })
    }

    /// Makes an empty file in it.
    pub(super) fn file(&self, name: &str) -> Result<OwnedFd, ArenaError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| ArenaError::from_system("make", &self.path.join(name), errno.into()))
    }

    /// Gives the complete space its name.
    pub(super) fn publish(mut self, target: &Path) -> Result<(), ArenaError> {
        let mut renamed = renameat(CWD, &self.path, CWD, target);
        if matches!(renamed, Err(Errno::NOTEMPTY | Errno::EXIST)) && clear_leftover(target) {
            renamed = renameat(CWD, &self.path, CWD, target);
        }
        match renamed {
            Ok(()) => {
                self.published = true;
                Ok(())
            }
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR) => {
                Err(ArenaError::AlreadyExists { path: target.to_path_buf() })
            }
            Err(errno) => Err(ArenaError::from_system("make", target, errno.into())),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // By their names: a list of what is there takes a descriptor, for want of which we may be here.
            for name in [ARENA, LIVE] {
                let _ = unlinkat(&self.directory, name, AtFlags::empty());
            }
            let _ = unlinkat(CWD, &self.path, AtFlags::REMOVEDIR);
        }
    }
}

fn draft_name(namespace: u64, maker: ProcessIdentity, random: u64) -> String {
    format!("{DRAFT_PREFIX}{namespace}.{}.{}.{random:016x}", maker.pid, maker.start_time)
}

/// Who makes the space in a directory of this name, and in which pid namespace.
fn draft_maker(name: &OsStr) -> Option<(u64, ProcessIdentity)> {
    let mut parts = name.to_str()?.strip_prefix(DRAFT_PREFIX)?.split('.');
    let namespace = parts.next()?.parse().ok()?;
    let maker = ProcessIdentity { pid: parts.next()?.parse().ok()?, start_time: parts.next()?.parse().ok()? };
    (parts.next()?.len() == 16 && parts.next().is_none()).then_some((namespace, maker))
}

/// Removes what killed creators left in `parent`. What cannot be removed stays: it is in nobody's way.
fn sweep(parent: &Path) {
    let here = process::pid_namespace();
    let is_left = |(namespace, maker)| namespace == here && process::is_gone(maker);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if draft_maker(&entry.file_name()).is_some_and(is_left)
            && let Ok(directory) = open_directory(&entry.path())
        {
            let _ = clear(directory.as_fd());
            let _ = unlinkat(CWD, entry.path(), AtFlags::REMOVEDIR);
        }
    }
}

/// Removes the files of a space, the space itself first. Having nothing to remove is [`Errno::NOENT`].
fn clear(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    // Before: it takes a descriptor. What is there is asked after.
    let list = Dir::read_from(directory)?;
    let ended = unlinkat(directory, ARENA, AtFlags::empty());
    for name in names(list)? {
        if is_ours(directory, &name) {
            match unlinkat(directory, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    ended
}

/// Clears a directory in which a killed process was removing a space. False: there is a space, or something else.
fn clear_leftover(path: &Path) -> bool {
    let Ok(directory) = open_directory(path) else { return false };
    let only_ours =
        names_in(directory.as_fd()).is_ok_and(|names| names.iter().all(|name| is_ours(directory.as_fd(), name)));
    only_ours && !has_arena(directory.as_fd()) && clear(directory.as_fd()) == Err(Errno::NOENT)
}

pub(super) fn has_arena(directory: BorrowedFd<'_>) -> bool {
    statat(directory, ARENA, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Files that a space has beside `arena`. Users may have some that are called like them.
fn is_ours(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    let Ok(stat) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let is_wake = name.as_encoded_bytes().starts_with(WAKE_PREFIX);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => stat.st_size == 0 && (name == LIVE || is_wake),
        FileType::Fifo => is_wake,
        _ => false,
    }
}

/// That `arena` begins as a space does, of whatever format.
fn check_arena(directory: BorrowedFd<'_>, path: &Path) -> Result<(), ArenaError> {
    let file_path = path.join(ARENA);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, ARENA, flags, Mode::empty())
        .map_err(|errno| ArenaError::from_system("remove", path, errno.into()))?;
    let mut magic = [0; 8];
    match rustix::io::pread(&file, &mut magic, 0) {
        Ok(8) if u64::from_le_bytes(magic) == MAGIC => Ok(()),
        _ => Err(ArenaError::Foreign { path: file_path, found: "it does not begin as a space does".into() }),
    }
}

fn names_in(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    names(Dir::read_from(directory)?)
}

fn names(list: Dir) -> Result<Vec<OsString>, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let names = list.map(|entry| Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec())));
    names.filter(|name| !matches!(name, Ok(name) if name == "." || name == "..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        let directory = |name: &str| Place::Name(name.into()).directory();
        for bad in ["", "a/b", "/", "..", "a..b", "nul\0", &"x".repeat(201)] {
            assert!(matches!(directory(bad), Err(ArenaError::BadName { .. })), "{bad:?}");
        }
        assert_eq!(directory(&"x".repeat(200)).unwrap().as_os_str().len(), "/dev/shm/pso.".len() + 200);
        assert_eq!(directory("shop").unwrap(), Path::new("/dev/shm/pso.shop"));
        assert_eq!(directory("läden und .punkte").unwrap(), Path::new("/dev/shm/pso.läden und .punkte"));
    }

    #[test]
    fn directories_are_made_absolute() {
        let directory = |path: &str| Place::Directory(path.into()).directory();
        assert!(directory("state/shop").unwrap().is_absolute());
        for bad in ["", "/", "..", "state/.."] {
            assert!(matches!(directory(bad), Err(ArenaError::BadName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_drafts_name_names_its_maker() {
        let maker = ProcessIdentity { pid: 42, start_time: 4711 };
        assert_eq!(draft_maker(OsStr::new(&draft_name(1, maker, 7))), Some((1, maker)));
        let random = "0000000000000007";
        for other in [
            &format!("pso.1.42.4711.{random}"),
            ".pso-1.42.4711",
            &format!(".pso-1.x.4711.{random}"),
            ".pso-1.42.4711.7",
        ] {
            assert_eq!(draft_maker(OsStr::new(other)), None, "{other}");
        }
    }
}
