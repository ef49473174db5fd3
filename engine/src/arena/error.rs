//! Why a space cannot be created, attached or removed. Each variant says what was found and what was expected, and where.

use std::io;
use std::path::{Path, PathBuf};

/// Why a space cannot be created, attached or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// A space, or something else, is already there.
    #[error("{} already exists", path.display())]
    AlreadyExists {
        /// Where.
        path: PathBuf,
    },
    /// There is no space of this name.
    #[error("there is no space at {}", path.display())]
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// The name cannot be one.
    #[error("{name:?} cannot be the name of a space: {reason}")]
    BadName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The size asked for is too small to hold anything.
    #[error("a space of {bytes} bytes is too small: the least is {minimum}")]
    TooSmall {
        /// Asked for.
        bytes: u64,
        /// The least.
        minimum: u64,
    },
    /// The size asked for is more than handles can reach.
    #[error("a space of {bytes} bytes is too large: the most is {maximum}")]
    TooLarge {
        /// Asked for.
        bytes: u64,
        /// The most.
        maximum: u64,
    },
    /// The space belongs to another user.
    #[error("{} belongs to user {owner}, and this process runs as user {user}", path.display())]
    NotOwner {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asked.
        user: u32,
    },
    /// The system refuses access.
    #[error("no permission to {action} {}", path.display())]
    Permission {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// What is there is not a space.
    #[error("{} is not a space: {found}", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// It is a space, but its header is damaged.
    #[error("the header of {} is damaged: {what} is {found:#x}, expected {expected:#x}", path.display())]
    Corrupt {
        /// Where.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// What was read.
        found: u64,
        /// What belongs there: a value, or the nearest that is allowed.
        expected: u64,
    },
    /// The space was made by an older release, in a format that this one no longer reads.
    #[error("{} has the older format {found}, and this release reads format {expected}", path.display())]
    Older {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The space was made by a newer release, in a format that this one does not know.
    #[error("{} has the newer format {found}, and this release reads format {expected}", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The format is the same, but structures lie differently in it: another build.
    #[error("{} was laid out by another build: its layout is {found:#018x}, ours {expected:#018x}", path.display())]
    OtherLayout {
        /// Where.
        path: PathBuf,
        /// Its layout hash.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// The space needs features that this build lacks.
    #[error("{} needs the features {found:#x}, and this build knows {known:#x}", path.display())]
    OtherFeatures {
        /// Where.
        path: PathBuf,
        /// Feature bits of the space.
        found: u64,
        /// Feature bits that this build knows.
        known: u64,
    },
    /// The readers of the space leave their fences to `membarrier`, and the system does not let this process take part in that.
    #[error(
        "the members of {} rely on the system call membarrier, which this process may not use (a sandbox?): see membarrier(2)",
        path.display()
    )]
    NoMembarrier {
        /// Where.
        path: PathBuf,
    },
    /// The members of the space agreed on fences that this build does not know.
    #[error("the members of {} use fence mode {found}, and this build knows none above {known}", path.display())]
    OtherFences {
        /// Where.
        path: PathBuf,
        /// Its mode.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The members of the space settle conflicts by a policy that this build does not know.
    #[error("the members of {} use contention policy {found}, which this build does not know", path.display())]
    OtherPolicy {
        /// Where.
        path: PathBuf,
        /// Its number.
        found: u64,
    },
    /// The machine was started anew since the space was made: whoever took part is gone, perhaps in mid-write.
    #[error("{} was made before the machine was last started (boot {found:032x}, now {expected:032x})", path.display())]
    OtherBoot {
        /// Where.
        path: PathBuf,
        /// Boot id of the space.
        found: u128,
        /// Boot id of the running system.
        expected: u128,
    },
    /// The file is not as long as its header says.
    #[error("{} is {found} bytes long, expected {expected}", path.display())]
    Truncated {
        /// Where.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// What the header says, or the least that a header needs.
        expected: u64,
    },
    /// A descriptor was handed over whose size somebody could still change under us.
    #[error("the descriptor of an anonymous space is not sealed: its seals are {found:#x}, expected {expected:#x}")]
    NotSealed {
        /// Its seals.
        found: u32,
        /// What it needs.
        expected: u32,
    },
    /// The file system, or the user's part of it, is full.
    #[error("no room for {}: {source}; the file system that it is in is full", path.display())]
    FileSystemFull {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This process may not have files of that size.
    #[error(
        "{} is to have {bytes} bytes, and the limit on the size of files (RLIMIT_FSIZE, ulimit -f) is {limit}",
        path.display()
    )]
    FileLimit {
        /// Where.
        path: PathBuf,
        /// Asked for.
        bytes: u64,
        /// The limit, or what the file system can have where that is less.
        limit: u64,
    },
    /// This process has no range of addresses left in which the space could lie.
    #[error(
        "this process has no {bytes} addresses in a row left for {}: its limit on addresses (RLIMIT_AS, ulimit -v) is {limit}",
        path.display()
    )]
    NoAddresses {
        /// Where.
        path: PathBuf,
        /// Size of the space.
        bytes: u64,
        /// The limit, in bytes, or how many addresses there are at all.
        limit: u64,
    },
    /// The system has no memory for the space.
    #[error("the system has no memory for {}: {source}", path.display())]
    NoMemory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call failed for another reason.
    #[error("could not {action} {}: {source}", path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ArenaError {
    /// Names the failure of a system call that tried to `action` (an infinitive) something at `path`.
    pub(crate) fn from_system(action: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.raw_os_error() {
            Some(libc::ENOENT) => Self::NotFound { path },
            Some(libc::EEXIST | libc::ENOTEMPTY) => Self::AlreadyExists { path },
            Some(libc::EACCES | libc::EPERM) => Self::Permission { action, path },
            Some(libc::ELOOP) => Self::Foreign { path, found: "a symbolic link".into() },
            Some(libc::ENOTDIR) => Self::Foreign { path, found: "a link, or not a directory".into() },
            Some(libc::ENOSPC | libc::EDQUOT) => Self::FileSystemFull { path, source: error },
            Some(libc::ENOMEM) => Self::NoMemory { path, source: error },
            _ => Self::System { action, path, source: error },
        }
    }
    /// The same of a file under `/proc`: that there is none says nothing of a space.
    pub(crate) fn from_proc(path: &Path, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                Self::System { action: "read", path: path.to_path_buf(), source: error }
            }
            _ => Self::from_system("read", path, error),
        }
    }
}
